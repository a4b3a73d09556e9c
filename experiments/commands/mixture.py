"""`ablate mixture`: what mixtures say, and how two arms differ."""

from typing import Annotated

import typer

from experiments.commands.options import RUNS, Json, Store, print_result

mixture_app = typer.Typer(help="Look at mixtures: what they say, how two differ, what was read.", no_args_is_help=True)


@mixture_app.command("show")
def mixture_show(
    name: Annotated[str, typer.Argument(help="A study, or a run or mixture of the paper, such as code+synth.")],
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Show the tree of every arm and stage: exact fractions, tokens, epochs, supply, fingerprints."""
    from experiments.show.mixtures import print_show, show

    print_result(show(name, store), json, print_show)


@mixture_app.command("diff")
def mixture_diff(
    names: Annotated[list[str], typer.Argument(help="STUDY ARM_A ARM_B, or two runs or mixtures of the paper.")],
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Show only what changed between two arms: stage by stage, source by source."""
    from experiments.show.mixtures import diff, print_diff

    print_result(diff(names, store), json, print_diff)
