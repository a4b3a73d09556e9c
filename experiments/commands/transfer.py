"""`ablate transfer`: how far a small rung's conclusions hold at a large one, from the records alone."""

from typing import Annotated

import typer

from experiments.commands.lookup import asked
from experiments.commands.options import RUNS, Json, Store, StudyName, print_result


def transfer(
    study: StudyName,
    small: Annotated[str, typer.Option("--from", help="The scale that is to be trusted, such as laptop.")],
    large: Annotated[str, typer.Option("--to", help="The scale that says how far, such as desktop.")],
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Hold a study's results at two scales beside each other: decisions, conclusions, what effects are in tokens."""
    from experiments.show.rungs import print_rungs, rungs_json

    keys = [asked(study, scale).key for scale in (small, large)]
    print_result(rungs_json(store, study, *keys), json, print_rungs)
