"""`ablate synthesize`, `fresh`, `make` and `evolve`: data that a command makes, before any study reads them."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.commands.lookup import asked
from experiments.commands.options import (
    RUNS,
    Json,
    MaxCost,
    Price,
    ScaleName,
    Store,
    StudyName,
    local_path,
    print_result,
)


def synthesize(
    seeds: Annotated[int, typer.Option(min=1, help="How many are drawn; each becomes a file of documents.")] = 1,
    size: Annotated[int, typer.Option("--bytes", min=1, help="Of problems, from every seed.")] = 16_000_000,
    variant: Annotated[str, typer.Option(help="verified, or for control: unverified, wrong.")] = "verified",
    store: Store = RUNS,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the pool.")] = 2,
    json: Json = False,
) -> None:
    """Generate Python problems that passed all gates, as `prepare` reads any source, and say where they lie."""
    from experiments.commands.data import prepare_source, print_prepared
    from mixtures.catalogue import generated
    from mixtures.steps.executors import pool

    source = generated(f"{variant}-python", seeds, size, variant)
    print_result(prepare_source(source, store, pool(workers)), json, print_prepared)


def fresh(
    since: Annotated[str, typer.Option(help="The first day, as 2026-12-15; later than what the catalogue reads.")],
    out: Annotated[
        Path | None, typer.Option(parser=local_path, help="The file to write; by default the set that scales ask.")
    ] = None,
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Pin documents that appeared since a day in releases of the package index: no model trained here has read them."""
    from experiments.commands.fresh import pin_fresh, print_pinned

    print_result(pin_fresh(since, out, store), json, print_pinned)


def make(study: StudyName, scale: ScaleName = "", store: Store = RUNS, json: Json = False) -> None:
    """Make the data of a study that checkpoints write: they answer problems, and the sandbox says how far each gets."""
    from experiments.commands.making import make_sources, print_made

    print_result(make_sources(asked(study, scale), store), json, print_made)


def evolve(
    source: Annotated[str, typer.Argument(help="What comes of it is called so.")],
    url: Annotated[str, typer.Option(help="An OpenAI-compatible server's address; it ends in /v1.")],
    model: Annotated[str, typer.Option(help="Its name there. The API key is JUDGE_API_KEY of the environment.")],
    task: Annotated[str, typer.Option(help="Whose problems it begins with; not one that models are scored by.")],
    problems: Annotated[int | None, typer.Option(min=1, help="So many, the first by sha256; all if not said.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=10, help="How often each is made harder.")] = 2,
    price: Price = None,
    max_cost: MaxCost = None,
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Have a model behind a server make problems harder; those are kept whose solutions pass their tests here."""
    from experiments.commands.making import evolve_problems, print_evolved
    from experiments.make.evolve import Evolving
    from experiments.study import Endpoint

    what = Evolving(source, task, problems, Endpoint(model, url, price, max_cost), rounds)
    print_result(evolve_problems(what, store), json, print_evolved)
