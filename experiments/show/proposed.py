"""The study that would test a proposal: a file of experiments/studies as text, and the proposal as tables."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from rich.console import Console

from experiments.show.table import Column, say, table

_FILE = '''"""{question}

{about}

Hypothesis: {hypothesis}
Command: `ablate run {name}`.
"""

from dataclasses import replace

{imports}
from mixtures.mixture import mixture

AGAIN = ({again})
"""Arms as they were tried, the best one first."""
MIXTURES = {{
{mixtures}
}}
"""By arm what it is, and the share of every source."""


def proposed(before: Study) -> Study:
    """As `before`, but for what the arms read."""
    arms = [replace(before.arm(name), against=None) for name in AGAIN]
    best = arms[0]
    for name, (described, shares) in MIXTURES.items():
        stages = tuple(replace(stage, mixture=mixture(name, shares)) for stage in best.stages)
        arms.append(replace(best, name=name, description=described, stages=stages, origin="ours: proposed"))
    return replace(
        before,
        name="{name}",
        question="{question}",
        hypothesis="{hypothesis}",
        baseline=best.name,
        arms=tuple(arms),
        expected=({expected}),
        parts=(),
    )


{end}
'''
_OF_SCALE = "def study(scale: Scale) -> Study:\n    return proposed(tried.study(scale))"
_TOLD = "What is proposed is better than {best}, the best so far, and the control worse."
WIDTH = 120


def study_file(document: Mapping[str, Any], name: str, module: str, scales: bool) -> str:
    """The text of experiments/studies/<name>.py; "" where there is nothing to test.

    Args:
        document: of the proposal, as `analysis.propose.document.to_json` has it.
        name: of the study.
        module: the file of the study that was asked.
        scales: whether that is a function of the scale.
    """
    best, new = document["over"], dict[str, tuple[str, Mapping[str, str]]]()
    again = [best]
    for key, described in (("proposed", "the best foretold"), ("control", "the worst foretold")):
        if document[key] and document[key]["arm"] != key:
            again.append(document[key]["arm"])
        elif document[key]:
            new[f"{name}-{key}"] = (described, document[key]["shares"])
    new |= {f"{name}-{number}": ("drawn", shares) for number, shares in enumerate(document["swarm"], start=1)}
    if not new:
        return ""
    about = f"Objective: {document['objective']}. After study {document['study']}: {document['finding']}"
    scale = "from experiments.scales import Scale\n" if scales else ""
    expected = _expected(document, name)
    words = "Expected, Study" if expected else "Study"
    return _FILE.format(
        question=f"Is there a better mixture than {best}?",
        about=fill(about, WIDTH, break_long_words=False, break_on_hyphens=False),
        hypothesis=_TOLD.format(best=best) if document["proposed"] else f"None yet: mixtures drawn around {best}.",
        name=name,
        imports=f"{scale}from experiments.studies import {module} as tried\nfrom experiments.study import {words}",
        again=", ".join(f'"{arm}"' for arm in again) + ("," if len(again) == 1 else ""),
        mixtures="\n".join(_entry(arm, *its) for arm, its in new.items()),
        expected=expected,
        end=_OF_SCALE if scales else "STUDY = proposed(tried.STUDY)",
    )


def _expected(document: Mapping[str, Any], name: str) -> str:
    """Of an objective that is one metric what is foretold of it; nothing of a sum, for which no table has a row."""
    if len(document["metrics"]) > 1 or not document["proposed"] or document["gain"] is None:
        return ""
    ((metric, weight),) = document["metrics"].items()
    sign, ways = (1, ("higher", "lower")) if document["higher_is_better"] else (-1, ("lower", "higher"))
    gain, low, high = (sign * each / weight for each in (document["gain"], *document["interval"][::sign]))
    lines = []
    for key, way in zip(("proposed", "control"), ways, strict=True):
        arm = document[key]["arm"] if document[key]["arm"] != key else f"{name}-{key}"
        lines.append(f'            Expected("{arm}", "{metric}", "{way}"')
    foretold = f', "foretold: {gain:+.3g} [{low:+.3g}, {high:+.3g}]"'
    return "\n" + f"{lines[0]}{foretold}),\n{lines[1]}),\n        "


def _entry(arm: str, described: str, shares: Mapping[str, str]) -> str:
    lines = [f'            "{source}": "{share}",' for source, share in shares.items()]
    return "\n".join([f'    "{arm}": (', f'        "{described}",', "        {", *lines, "        },", "    ),"])


def print_proposal(document: Mapping[str, Any], console: Console) -> None:
    laws: Sequence[Any] = document["laws"]
    columns: dict[str, Column] = {
        **{"law of": "of", "best law": "law", "error": ("error", ".4f")},
        **{"error of a constant": ("of_constant", ".4f"), "noise of a mean": ("noise", ".4f")},
    }
    console.print(table("Laws, by what they miss of an arm that is left out", laws, columns))
    names = [part["part"] for part in document["parts"]]
    rows = [document[key] for key in ("best_arm", "proposed", "control") if document[key]]
    parts = {f"{name}, %": (_share(number), ".3g") for number, name in enumerate(names)}
    if rows:
        foretold = {"foretold": ("foretold", ".4f"), "distance to an arm": ("distance", ".2f")}
        epochs = {"most epochs": (lambda row: max(row["epochs"].values(), default=None), ".2f")}
        console.print(
            table(f"Objective: {document['objective']}", rows, {"mixture": "arm", **parts, **foretold, **epochs})
        )
    say(console, document["finding"])
    if document["swarm"]:
        say(console, f"swarm: {len(document['swarm'])} mixtures, {document['merged']} more were merged with one alike")
    if document["written"]:
        say(console, f"study: {document['written']}")
    elif document["text"]:
        say(console, "", document["text"])


def _share(number: int) -> Any:
    return lambda row: 100 * row["parts"][number]
