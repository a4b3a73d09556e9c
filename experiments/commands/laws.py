"""`ablate law`: how metrics follow the share of a mixture, from a study's records or the paper's figure 4."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from experiments.commands.lookup import asked
from experiments.commands.options import RUNS, Json, Store, print_result
from store.errors import UserError


def law(
    study: Annotated[str, typer.Argument(help="A sweep over a share, such as proportion.")] = "",
    scale: Annotated[
        list[str] | None,
        typer.Option("--scale", help="How large it was asked; three of them, of three model sizes, for the joint law."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Of this one, not the primary ones; may be repeated.")
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Of the paper's own figure 4, not of a study.")] = False,
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Fit laws of a metric over the share of code, and say where it is best, or that the runs cannot tell."""
    from analysis.laws.told import of_figure, to_json

    if paper == bool(study):
        raise UserError("name a study, or say --paper, for the numbers of the paper's figure 4")
    scales = list(dict.fromkeys(scale or [])) or [""]
    if len(scales) > 1:
        print_result(_joint(store, [asked(study, each).key for each in scales], metric or []), json, print_joint)
        return
    document = to_json(of_figure() if paper else _of_study(store, asked(study, scales[0]).key, metric or []))
    print_result(document, json, print_laws)


def _joint(store: Path, keys: list[str], names: list[str]) -> Any:
    """The joint law of a study's bits per byte at several scales."""
    from analysis.laws.forms import LOG, link_of
    from analysis.laws.joint import Size, join, to_json
    from analysis.laws.points import points
    from analysis.laws.told import metrics_named
    from analysis.ledgers import tokens_by_arm
    from analysis.report.values import primary
    from models.config import ModelConfig, config, parameters

    found = [_sweep(store, key) for key in keys]
    metrics = metrics_named(found[0][0], names) or primary(found[0][0])
    losses = [metric for metric in metrics if link_of(metric.score) is LOG]
    if not losses:
        raise UserError("the joint law is one of losses; name a metric in bits per byte, such as heldout/text/bpb")
    joined = []
    for metric in losses:
        sizes = []
        for comparison, ledgers, shares in found:
            its, gaps = points(comparison, [(1.0, metric)], shares)
            if its is None:
                raise UserError(f"study '{comparison.study.name}': {gaps[-1]}")
            stage = next(iter(ledgers.values()))[0]
            its_model = stage.identity.get("model")  # with the vocabulary that it was trained with
            count = parameters(ModelConfig(**its_model) if its_model else config(stage.model)).total
            tokens = next(iter(tokens_by_arm(comparison.study, ledgers).values()))
            sizes.append(Size(comparison.study.name, stage.model, count, tokens, its))
        joined.append(join(metric, sizes))
    return to_json(keys, joined)


def print_joint(document: Any, console: Console) -> None:
    from experiments.show.table import say, table

    title = f"Laws of {document['of']}, by what they miss of a share that is left out"
    console.print(table(title, _rows(document), {"metric": _label, "law": "law", "error": ("error", ".4f")}))
    for each in document["metrics"]:
        say(
            console,
            each["finding"],
            ", ".join(f"{name} {value:.3g}" for name, value in each["parameters"].items() if value is not None),
        )


def _sweep(store: Path, key: str) -> Any:
    """A study's comparison, ledgers, and share by arm."""
    from analysis.compare import compare
    from analysis.laws.told import NO_SWEEP
    from analysis.ledgers import read_ledgers, sweep

    comparison = compare(store, key)
    ledgers = read_ledgers(store, comparison.study)
    shares = sweep(comparison.study, ledgers)
    if not shares:
        raise UserError(f"study '{key}' {NO_SWEEP}")
    return comparison, ledgers, shares


def _of_study(store: Path, key: str, names: list[str]) -> Any:
    from analysis.laws.told import metrics_named, of_sweep
    from analysis.report.values import primary

    comparison, _, shares = _sweep(store, key)
    return of_sweep(comparison, metrics_named(comparison, names) or primary(comparison), shares)


def print_laws(document: Any, console: Console) -> None:
    from experiments.show.table import say, table

    console.print(
        table(
            f"Laws of {document['of']} over the share of what is not text, by what they miss of an arm left out",
            _rows(document),
            {
                "metric": _label,
                "law": lambda row: row["law"] + (" *" if row["law"] == row["of"]["best"] else ""),
                "error": ("error", ".4f"),
                "noise of a mean": (lambda row: row["of"]["noise"], ".4f"),
                "misfit": ("misfit", ".3g"),
                "best share, %": _interval,
                "parameters": lambda row: ", ".join(f"{name} {value:.3g}" for name, value in row["parameters"].items()),
            },
        )
    )
    say(console, *(each["finding"] for each in document["metrics"]), *document["gaps"])
    sources = dict.fromkeys(each["noise_of"] for each in document["metrics"])
    say(console, f"* of least error. Misfit: in variances of one mean. Noise: {'; '.join(sources)}.", style="dim")


def _rows(document: Any) -> list[Any]:
    """A law of a metric each, with what else is said of the metric as "of"."""
    return [{**law, "of": each} for each in document["metrics"] for law in each["laws"]]


def _label(row: Any) -> str:
    """The metric's, in its first row."""
    return row["of"]["label"] if row["law"] == row["of"]["laws"][0]["law"] else ""


def _interval(row: Any) -> str:
    low, high = row["interval"]
    return "refuted" if row["refuted"] else f"{100 * low:.3g} to {100 * high:.3g}"
