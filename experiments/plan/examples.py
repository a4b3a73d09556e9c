"""What a stage may do with sources of examples: which length, which objective. Loads no jax."""

from typing import Literal

from experiments.plan.stage import PlannedStage
from experiments.study import Stage, Study
from mixtures.mixture import shares
from mixtures.tokens.manifest import Manifest, Packed
from models.recipe import NextToken, Ranking
from store.errors import UserError


def loss(objective: NextToken | Ranking) -> Literal["all", "answers", "ranked"]:
    """What of a batch carries loss, as the loader is told."""
    return "ranked" if isinstance(objective, Ranking) else objective.on


def check_examples(study: Study, stage: Stage, sequence: int) -> None:
    """Refuse a stage that examples are not packed for, or whose objective its sources cannot meet.

    Raises:
        UserError: the message names the source or the mixture.
    """
    examples = {source.name for source in study.data.sources if source.examples}
    read, what = list(shares(stage.mixture)), f"mixture '{stage.mixture.name}'"
    of_examples = [source for source in read if source in examples]
    if of_examples and sequence not in study.data.packing:
        packed = ", ".join(f"{length:,}" for length in study.data.packing)
        raise UserError(
            f"source '{of_examples[0]}' of {what} holds examples, which are packed into sequences of {packed} tokens, "
            f"and the stage reads {sequence:,}; add that to the packing of the study's data"
        )
    if stage.objective == NextToken("answers") and not of_examples:
        raise UserError(f"its objective is the loss on answers, and no source of {what} has examples; see the mixture")
    if isinstance(stage.objective, Ranking):
        _check_ranking(study, stage, [source for source in read if source not in examples], what)


def _check_ranking(study: Study, stage: Stage, others: list[str], what: str) -> None:
    if others:
        raise UserError(
            f"its objective ranks answers, and source '{others[0]}' of {what} has no examples; leave it out"
        )
    if not stage.document_mask:
        raise UserError("its objective ranks answers, which must not see each other; set document_mask=True")
    if study.z_loss:
        raise UserError(
            f"its objective ranks answers, for which there is no z_loss, and it is {study.z_loss}; set it 0"
        )


def check_sets(manifest: Manifest, planned: PlannedStage) -> None:
    """Refuse to rank answers where no sequence has two.

    Raises:
        UserError: the message names the source.
    """
    if not isinstance(planned.stage.objective, Ranking):
        return
    for source in planned.sequences:
        form = manifest.sources[source].form(planned.sequence, planned.stage.infilling)
        if not isinstance(form, Packed) or form.most_answers < 2:
            raise UserError(
                f"stage {planned.id} ranks answers, and no sequence of {planned.sequence:,} tokens holds two of source "
                f"'{source}'; give its examples sets of several answers, or the stage a longer sequence"
            )
