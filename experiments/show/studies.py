"""`ablate studies`: what can be asked, at which scales, and what that costs."""

from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.plan import forecast
from experiments.plan.epochs import waits_for_counts
from experiments.plan.find import find_study, known_studies, scales_of
from experiments.plan.make import lay_out
from experiments.plan.supply import expected
from experiments.show.plans import amount, duration
from experiments.show.table import say, table
from experiments.study import Study
from store.errors import UserError

FIGURES = ("arms", "models", "stages", "tokens", "hours")


def studies_json() -> list[dict[str, Any]]:
    """A row a study: "name", "question", "scales", and FIGURES each by scale; "" is the scale of one that has its own.

    A study that cannot be asked at a scale, for want of sources, has no figures there, nor one whose epochs are counted
    when its data are prepared; one whose file is broken has "error".
    """
    return [_row(name) for name in known_studies()]


def _row(name: str) -> dict[str, Any]:
    try:
        studies = {scale: study for scale in scales_of(name) or ("",) if (study := _at(name, scale)) is not None}
    except UserError as error:
        return {"name": name, "question": "", "scales": [], **{figure: {} for figure in FIGURES}, "error": str(error)}
    found = {scale: _figures(study) for scale, study in studies.items() if not waits_for_counts(study)}
    first = next(iter(studies.values()), None)
    return {
        "name": first.name if first else name,
        "question": first.question if first else "",
        "scales": [scale for scale in studies if scale],
        **{figure: {scale: figures[figure] for scale, figures in found.items()} for figure in FIGURES},
    }


def _at(name: str, scale: str) -> Study | None:
    try:
        return find_study(name, scale)
    except UserError:
        if not scale:
            raise
        return None


def _figures(study: Study) -> dict[str, Any]:
    plan = lay_out(study, expected(study))
    speeds = forecast.speeds(plan, Path())
    return {
        "arms": len(study.arms),
        "models": len(plan.runs),
        "stages": len(plan.stages),
        "tokens": sum(stage.tokens for stage in plan.stages),
        "hours": forecast.hours(plan, speeds, plan.stages),
    }


def print_studies(document: list[dict[str, Any]], console: Console) -> None:
    """One row a study and scale; the question stands once."""
    rows = []
    for study in document:
        for number, scale in enumerate(study["arms"]):
            figures = {figure: study[figure][scale] for figure in FIGURES}
            head = {"study": "", "question": ""} if number else {"study": study["name"], "question": study["question"]}
            rows.append({**head, "scale": scale or "its own", **figures})
    columns: Any = {
        **{name: name for name in ("study", "question", "scale", "arms", "models", "stages")},
        "tokens": lambda row: amount(row["tokens"]),
        "about": lambda row: duration(row["hours"]),
    }
    console.print(table("Studies", rows, columns))
    say(console, *(f"{study['name']}: {study['error']}" for study in document if "error" in study), style="red")
    say(console, "`ablate plan STUDY --scale S` says more; the file of a study says what is expected, and why")
