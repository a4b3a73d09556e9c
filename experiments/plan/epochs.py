"""What a lineage has read of its sources, against what there is of them. Loads no jax."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from experiments.plan.stage import PlannedStage
from experiments.study import Stage, Study
from mixtures.allocate import check_supply
from mixtures.tokens.arrays import windows_in
from mixtures.tokens.manifest import Manifest
from store.errors import UserError


@dataclass(frozen=True)
class Form:
    """How a source is cut into windows: their length, and whether its documents stand in fill-in-the-middle order."""

    sequence: int
    infilling: bool


@dataclass(frozen=True)
class Pass:
    """Sequences that a lineage read of a source from one restart to the next."""

    count: int
    form: Form


def form_of(study: Study, stage: Stage, sequence: int) -> Form:
    """How `stage` reads its sources, in sequences of so many tokens.

    Raises:
        UserError: infilling was prepared for another length.
    """
    fim = study.data.fim
    if stage.infilling and fim is not None and fim.sequence != sequence:
        raise UserError(
            f"a stage of mixture '{stage.mixture.name}' reads sequences of {sequence:,} tokens and infilling is "
            f"prepared for {fim.sequence:,}; set the fim of the study's data to the same length"
        )
    return Form(sequence, stage.infilling)


def passes_before(chain: Sequence[PlannedStage], stage: Stage, source: str, form: Form) -> list[Pass]:
    """What the lineage read of `source` before `stage`, one entry from each restart to the next.

    Raises:
        UserError: the source would carry on in windows that are cut otherwise.
    """
    passes = [Pass(0, form)]
    for before in chain:
        if before.stage.restarts(source):
            passes.append(Pass(0, form))
        count = before.sequences.get(source, 0)
        if count:
            passes[-1] = Pass(passes[-1].count + count, Form(before.sequence, before.stage.infilling))
    if stage.restarts(source):
        return [*passes, Pass(0, form)]
    if passes[-1].count and passes[-1].form != form:
        raise UserError(
            f"source '{source}' cannot carry on in a stage of mixture '{stage.mixture.name}': with another sequence or "
            f"infilling its windows are other ones; let it restart there"
        )
    return [*passes[:-1], replace(passes[-1], form=form)]


def windows_of(manifest: Manifest, source: str, form: Form, share: Fraction) -> int:
    """Sequences in one epoch of `source`, of which a run that simulates a larger one reads `share`."""
    shard_tokens = manifest.sources[source].form(form.infilling).shard_tokens
    return int(windows_in(shard_tokens, form.sequence) * share)


def epochs_read(
    study: Study, manifest: Manifest, share: Fraction, passes: Mapping[str, list[Pass]], sequences: Mapping[str, int]
) -> dict[str, float]:
    """How often a lineage has read every source after a stage that reads `sequences` of it.

    Raises:
        UserError: a source has fewer tokens than that, or windows of it would be read too often.
    """
    epochs = {}
    for source, count in sequences.items():
        form, limit = passes[source][-1].form, study.max_epochs_for(source)
        available = windows_of(manifest, source, form, share)
        read = [*passes[source][:-1], Pass(passes[source][-1].count + count, form)]
        used = math.ceil(Fraction(sum(one.count * one.form.sequence for one in read), form.sequence))
        try:
            check_supply(source, used, available, form.sequence, limit, count)
        except UserError as error:
            if study.simulated_tokens is None:
                raise
            raise UserError(f"{error} (of which simulated_tokens leaves {float(share):.3%})") from error
        parts = [Fraction(one.count, windows_of(manifest, source, one.form, share)) for one in read if one.count]
        most = sum(math.ceil(part) for part in parts)
        if most > math.ceil(limit):
            raise UserError(
                f"source '{source}' restarts, so some of its windows would be read {most} times and max_epochs is "
                f"{limit}; let it carry on or raise max_epochs"
            )
        epochs[source] = float(sum(parts))
    return epochs


def heldout_warnings(study: Study, manifest: Manifest) -> list[str]:
    """The sources whose groups are so large that the share asked for could not be held out, one line each."""
    share, lines = study.data.heldout, []
    for name, source in manifest.sources.items():
        total = source.documents + source.heldout_documents
        off = abs(source.heldout_documents - share * total)
        if not source.heldout_documents and share:
            lines.append(
                f"nothing of source '{name}' is held out: its {total:,} documents are of one group; name a finer one"
            )
        elif off > max(1, share * total / 2):
            lines.append(
                f"{source.heldout_documents:,} of {total:,} documents of source '{name}' are held out "
                f"({source.heldout_documents / total:.1%}), not the {share:.1%} asked for: its groups are too large; "
                "name finer ones"
            )
    return lines
