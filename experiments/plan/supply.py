"""What a lineage has read of a source, and how often that is all there is of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from experiments.plan.budget import simulated_share
from experiments.plan.stage import Form, PlannedStage
from experiments.study import Stage, Study
from mixtures.allocate import check_supply
from mixtures.tokens.arrays import windows_in
from mixtures.tokens.manifest import Manifest
from store.errors import UserError

Windows = Callable[[str, Form], int | None]
"""Sequences in one epoch of a source that is cut in this form; None where nobody knows yet."""


@dataclass(frozen=True)
class Pass:
    """Sequences that a lineage read of a source from one restart to the next."""

    count: int
    form: Form


def form_of(study: Study, source: str, form: Form) -> Form:
    """How a source is cut in a stage of this form: only what the study's fim permutes has windows of its own there."""
    fim = study.data.fim
    its = next(each for each in study.data.sources if each.name == source)
    return replace(form, infilling=form.infilling and fim is not None and its.kind in fim.kinds and not its.examples)


def passes_before(study: Study, chain: Sequence[PlannedStage], stage: Stage, source: str, form: Form) -> list[Pass]:
    """What the lineage read of `source` before `stage`, one entry from each restart to the next.

    Raises:
        UserError: the source would carry on in windows that are cut otherwise.
    """
    form = form_of(study, source, form)
    passes = [Pass(0, form)]
    for before in chain:
        if before.stage.restarts(source):
            passes.append(Pass(0, form))
        count = before.sequences.get(source, 0)
        if count:
            passes[-1] = Pass(passes[-1].count + count, form_of(study, source, before.form))
    if stage.restarts(source):
        return [*passes, Pass(0, form)]
    if passes[-1].count and passes[-1].form != form:
        raise UserError(
            f"source '{source}' cannot carry on in a stage of mixture '{stage.mixture.name}': with another sequence or "
            f"infilling its windows are other ones; let it restart there"
        )
    return [*passes[:-1], replace(passes[-1], form=form)]


def is_cut(study: Study) -> bool:
    """Whether sources are cut, so that their epochs are those of a larger run."""
    return simulated_share(study) < 1 or bool(study.supply)


def expected(study: Study) -> Windows:
    """By the counts of the catalogue, before anything is prepared."""
    counts = {source.name: source.expected_tokens for source in study.data.sources}
    share = simulated_share(study)

    def windows(source: str, form: Form) -> int | None:
        count, most = counts.get(source), study.supply.get(source)
        if count is None:
            return None if most is None else max(1, most // form.sequence)
        return _cut(study, source, form, int(count // form.sequence * share))

    return windows


def prepared(study: Study, manifest: Manifest) -> Callable[[str, Form], int]:
    """By what was prepared."""
    share = simulated_share(study)

    def windows(source: str, form: Form) -> int:
        stored = windows_in(manifest.sources[source].form(form.sequence, form.infilling).shard_tokens, form.sequence)
        return _cut(study, source, form, int(stored * share))

    return windows


def _cut(study: Study, source: str, form: Form, windows: int) -> int:
    most = study.supply.get(source)
    return windows if most is None else min(windows, max(1, most // form.sequence))


def epochs(
    study: Study, windows: Windows, passes: Mapping[str, list[Pass]], sequences: Mapping[str, int]
) -> dict[str, float]:
    """How often a lineage has read every source after a stage that reads `sequences` of it, where that is known.

    Raises:
        UserError: a source has fewer tokens than that, or windows of it would be read too often.
    """
    found = {}
    for source, count in sequences.items():
        form, limit = passes[source][-1].form, study.max_epochs_for(source)
        available = windows(source, form)
        if available is None:
            continue
        read = [*passes[source][:-1], Pass(passes[source][-1].count + count, form)]
        used = math.ceil(Fraction(sum(one.count * one.form.sequence for one in read), form.sequence))
        try:
            check_supply(source, used, available, form.sequence, limit)
        except UserError as error:
            if study.simulated_tokens is None:
                raise
            left = float(simulated_share(study))
            raise UserError(f"{error} (of which simulated_tokens leaves {left:.3%})") from error
        parts = [Fraction(one.count, windows(source, one.form) or 1) for one in read if one.count]
        most = sum(math.ceil(part) for part in parts)
        if most > math.ceil(limit):
            raise UserError(
                f"source '{source}' restarts, so some of its windows would be read {most} times and max_epochs is "
                f"{limit}; let it carry on or raise max_epochs"
            )
        found[source] = float(sum(parts))
    return found
