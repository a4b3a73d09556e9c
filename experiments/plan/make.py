"""What a study will run: a DAG of stages in which arms share what is equal. Loads no jax.

Before the data are prepared the plan is exact in tokens and steps; epochs and fingerprints come with the data.
"""

import itertools
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

from experiments.plan.chain import ending, plan_stage
from experiments.plan.check import check
from experiments.plan.prepared import with_data
from experiments.plan.stage import Plan, PlannedStage, PreparedPlan, StageStart
from experiments.plan.starts import Planner, begin, needed
from experiments.plan.supply import Windows, expected, prepared
from experiments.study import Study
from mixtures.prepare import changes, prepared_folder, tokenizer_of, with_identities
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.manifest import Manifest, read_manifest
from store.errors import UserError, about


def make_plan(study: Study, store: Path) -> Plan:
    """Lay out the DAG of `study`, with epochs and fingerprints when its data are prepared in `store`.

    Where runs start from stages of other studies, fingerprints are known when the data of those are prepared, too.

    Raises:
        UserError: the study is declared badly, or a mixture, budget, schedule or start cannot be met; the message names
            the study, and the field, source or stage.
    """
    check(study)
    with about(f"study '{study.name}'"):
        data = with_identities(study.data, store)
        manifest = read_manifest(prepared_folder(data, store))
        _check_tokenizer(study, manifest)
        windows = expected(study) if manifest is None else prepared(study, manifest)
        plan = lay_out(study, windows, lambda other: make_plan(other, store))
        plan = replace(plan, changes=tuple(changes(data, store)))
        starts = [stage.start for stage in plan.stages if isinstance(stage.start, StageStart)]
        if manifest is None or any(start.folder is None for start in starts):
            return plan
        return with_data(plan, manifest, store)


def lay_out(study: Study, windows: Windows, plan_of: Planner = lambda study: lay_out(study, expected(study))) -> Plan:
    """The DAG of a study that was checked, on sources of which there is what `windows` says.

    Args:
        study: that was checked.
        windows: sequences in an epoch of every source.
        plan_of: gives the plans of studies that its runs start from; if not said, by the catalogue.

    Raises:
        UserError: a mixture, budget, schedule or start cannot be met; the message names the arm and the stage.
    """
    stages: dict[Hashable, PlannedStage] = {}
    runs: dict[tuple[str, int], tuple[str, ...]] = {}
    plan_of = _once(plan_of)
    for seed in study.seeds:
        for arm in study.arms:
            with about(f"arm '{arm.name}'"):
                start = begin(study, arm, seed, plan_of)
            chain: list[PlannedStage] = []
            for number, stage in enumerate(arm.stages):
                with about(f"arm '{arm.name}', stages[{number}]"):
                    planned = plan_stage(study, arm, seed, stage, chain, windows, start)
                chain.append(_merge(stages, planned, ending(study, planned.model, seed)))
            runs[arm.name, seed] = tuple(stage.id for stage in chain)
    return Plan(study, tuple(stages.values()), runs, (), needed=needed(study, plan_of))


def _once(plan_of: Planner) -> Planner:
    """`plan_of` that plans every study once."""
    known: list[tuple[Study, Plan]] = []

    def once(study: Study) -> Plan:
        found = next((plan for other, plan in known if other is study), None)
        if found is None:
            known.append((study, found := plan_of(study)))
        return found

    return once


def prepared_plan(study: Study, store: Path) -> PreparedPlan:
    """The plan of a study that can be run.

    Raises:
        UserError: as `make_plan`; or its data are not prepared.
    """
    plan = make_plan(study, store)
    if not isinstance(plan, PreparedPlan):
        lacking = [other.study for other in plan.needed if not isinstance(other, PreparedPlan)]
        first = ", ".join(f"`ablate prepare {each.typed}`" for each in (lacking or [study]))
        raise UserError(f"the data of study '{(lacking or [study])[0].name}' are not in {store}; first {first}")
    return plan


def _check_tokenizer(study: Study, manifest: Manifest | None) -> None:
    """Refuse ids that the model does not know, and bits per byte of a tokenizer that does not keep texts.

    A model may know more ids than there are; published ones round their number up.
    """
    (data, path), models = tokenizer_of(study.data), [study.model, *(arm.model for arm in study.arms if arm.model)]
    ids, loss = data.vocabulary, ""
    if manifest is not None:
        ids, loss = manifest.vocabulary, "" if manifest.bits_per_byte else manifest.loss
    if path is None:
        ids = max(ids, data.vocabulary, bpe.SMALLEST)
    elif manifest is None:
        tokenizer = bpe.load(path, data.end)
        bpe.eod_id(tokenizer, data.end)
        ids, loss = bpe.size(tokenizer), bpe.loss(tokenizer, form=bpe.canonical)
    model = min(models, key=lambda model: model.vocabulary)
    if ids > model.vocabulary:
        raise UserError(
            f"model.vocabulary is {model.vocabulary:,}, and the tokenizer of its data has {ids:,} ids; give the model "
            f"{ids:,}, or the data a smaller vocabulary"
        )
    if loss and (counted := [metric for metric in study.primary if metric.endswith("bpb")]):
        raise UserError(
            f"primary names '{counted[0]}', which is in bits per byte, and the tokenizer loses text ({loss}); declare "
            "other metrics, or use a tokenizer that keeps texts"
        )


def _merge(stages: dict[Hashable, PlannedStage], planned: PlannedStage, ending: str) -> PlannedStage:
    """Share a stage that another run has planned already; a name that another one has gets a number."""
    known = stages.get(planned.decisive)
    if known is None:
        taken = {stage.id for stage in stages.values()}
        stem = planned.id.removesuffix(ending)
        names = itertools.chain([planned.id], (f"{stem}.{number}{ending}" for number in itertools.count(2)))
        merged = replace(planned, id=next(name for name in names if name not in taken))
    else:
        scored = known.stage.scored or planned.stage.scored
        arms = tuple(dict.fromkeys((*known.arms, *planned.arms)))
        merged = replace(known, arms=arms, stage=replace(known.stage, scored=scored))
    stages[planned.decisive] = merged
    return merged
