"""`ablate propose`: the mixture to try next, from a study's records, and the study that would test it."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.commands.lookup import asked
from experiments.commands.options import RUNS, Json, ScaleName, Store, StudyName, local_path, print_result
from store.errors import UserError

NAME = re.compile(r"[a-z][a-z0-9_]*")
PROPOSED = "next_round"


def propose(
    study: StudyName,
    objective: Annotated[
        str, typer.Option(help='Such as "mean(reasoning, knowledge), code <= 1.4"; code is its held-out bits per byte.')
    ],
    scale: ScaleName = "",
    near: Annotated[
        float, typer.Option(min=0.02, max=1, help="Total variation distance from an arm that was tried, at most.")
    ] = 0.15,
    supply: Annotated[
        bool, typer.Option("--supply", help="Read no source more often than the study allows, as its runs had it.")
    ] = False,
    budget: Annotated[int, typer.Option(min=0, max=1_000, help="Draw so many mixtures for a next round, too.")] = 0,
    write: Annotated[
        Path | None, typer.Option(parser=local_path, help="Write the study to this .py file, not to the terminal.")
    ] = None,
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Propose the mixture to try next, and the study that would test it; or say that the runs cannot tell."""
    from experiments.show.proposed import print_proposal

    if write is not None and (write.suffix != ".py" or not NAME.fullmatch(write.stem)):
        raise UserError(f"{write} is no name of a study's file; write one such as experiments/studies/{PROPOSED}.py")
    if write is not None and write.exists():
        raise UserError(f"{write} is there; name another file, or remove it")
    document = proposed(study, scale, store, objective, near, supply, budget, write)
    print_result(document, json, print_proposal)


def proposed(
    name: str, scale: str, store: Path, text: str, near: float, supply: bool, budget: int, write: Path | None
) -> dict[str, Any]:
    """The document of `analysis.propose.document.to_json`, and "text", the study's file, which is "" where there is
    nothing to test; "written" is where it was written, or null."""
    from analysis.compare import compare
    from analysis.ledgers import read_ledgers
    from analysis.propose.document import to_json
    from analysis.propose.objective import parse
    from analysis.propose.parts import tried as tried_of
    from analysis.propose.search import propose as search
    from analysis.propose.swarm import swarm
    from experiments.plan.find import module_of, scales_of, split
    from experiments.show.proposed import study_file
    from store.files import write_text

    study = asked(name, scale)
    comparison = compare(store, study.key)
    tried = tried_of(comparison.study, read_ledgers(store, comparison.study))
    most = {source: float(study.max_epochs_for(source)) for source in tried.windows} if supply else {}
    proposal = search(comparison, tried, parse(text, comparison.metrics), near, most)
    around = proposal.proposed or proposal.arm
    drawn = swarm(around, list(tried.shares.values()), budget) if around else ([], 0)
    document = to_json(comparison, tried, proposal, near, drawn)
    module = module_of(split(name)[0]) or ""
    file = study_file(document, write.stem if write else PROPOSED, module, bool(scales_of(module)))
    if write is not None and file:
        write_text(write, file)
    return {**document, "text": file, "written": str(write) if write and file else None}
