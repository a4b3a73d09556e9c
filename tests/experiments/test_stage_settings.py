"""What a stage may set for itself: rotary base, length of the sequences, document mask, fill-in-the-middle order."""

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.records import read_ledger
from experiments.audit import audit
from experiments.plan.check import check
from experiments.plan.make import make_plan
from experiments.plan.prepared import data_plan
from experiments.plan.stage import PlannedStage
from experiments.run.trainer import train_stage
from experiments.study import Arm, Stage, Study
from mixtures.loader import load_batch
from mixtures.prepare import prepare
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import open_tokens, windows_in
from mixtures.tokens.fim import Fim
from store.errors import UserError
from tests.experiments.tiny import CODE, HALF, TEXT, stage, study

LONG = 512
"""Tokens of the longer sequences, in which a document or two lie whole."""
FIRST = stage("pretrain", HALF, 6)
LONGER = replace(
    stage("continue", HALF, 2), tokens=2 * 8 * LONG, sequence=LONG, rope_theta=5e5, restart=True, document_mask=True
)
INFILLED = replace(stage("cooldown", CODE, 1), tokens=8 * LONG, infilling=True, restart=True)


def infilling_study(*stages: Stage, **changes: object) -> Study:
    data = replace(study().data, fim=Fim(LONG))
    return study(**({"arms": (Arm("text-only", "", stages),), "seeds": (0,), "data": data} | changes))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings") / "store"
    prepare(infilling_study(FIRST).data, folder, lambda *_: None)
    return folder


def plan_stages(store: Path, *stages: Stage) -> tuple[PlannedStage, ...]:
    return make_plan(infilling_study(*stages), store).stages


def test_a_run_that_changes_all_of_them_trains_and_its_tokens_are_exact(store: Path) -> None:
    plan = make_plan(infilling_study(FIRST, LONGER, INFILLED), store)
    for planned in plan.stages:
        train_stage(plan, planned, store, lambda step: None)
    assert audit(plan, store)["equal"]
    last = plan.stages[-1]
    [row] = read_ledger(store / "stages" / last.folder)
    assert row.tokens == 8 * LONG and not row.skipped
    # What was read is what the record says: code with documents in another order, marks and all.
    tokens = open_tokens(plan.manifest, LONG, infilling=True)
    assert load_batch(data_plan(plan, last), tokens, 0).digest == row.digest
    prefix = bpe.load(plan.manifest.tokenizer).token_to_id(bpe.FIM_PREFIX)
    assert (load_batch(data_plan(plan, last), tokens, 0).tokens_BxS == prefix).any()


def test_rotary_base_and_sequence_last_until_a_stage_sets_them_again(store: Path) -> None:
    after = replace(stage("cooldown", HALF, 4), tokens=8 * LONG)
    first, longer, cooldown = plan_stages(store, FIRST, LONGER, after)
    assert (first.model.rope_theta, first.sequence) == (10_000.0, 32)
    assert (longer.model.rope_theta, longer.sequence) == (cooldown.model.rope_theta, cooldown.sequence) == (5e5, LONG)
    assert cooldown.tokens == 8 * LONG and cooldown.starts == longer.sequences  # windows of one length carry on
    assert longer.identity is not None and longer.identity["model"]["rope_theta"] == 5e5
    assert first.fingerprint == plan_stages(store, FIRST)[0].fingerprint


@pytest.mark.parametrize("change", [{"document_mask": True}, {"infilling": True}, {"rope_theta": 1e6}])
def test_each_decides_the_result(store: Path, change: dict[str, object]) -> None:
    plain = replace(INFILLED, infilling=False, sequence=LONG)
    before, after = (plan_stages(store, each)[0] for each in (plain, replace(plain, **change)))  # type: ignore[arg-type]
    assert before.fingerprint != after.fingerprint


def test_epochs_count_tokens_of_windows_of_any_length(store: Path) -> None:
    first, longer = plan_stages(store, FIRST, LONGER)
    manifest = make_plan(infilling_study(FIRST), store).manifest
    shards = manifest.sources["prose"].shard_tokens
    read = first.sequences["prose"] / windows_in(shards, 32) + longer.sequences["prose"] / windows_in(shards, LONG)
    assert longer.epochs["prose"] == pytest.approx(read)


def test_windows_that_are_cut_otherwise_cannot_carry_on(store: Path) -> None:
    with pytest.raises(UserError, match=r"source 'prose' cannot carry on .* let it restart there"):
        plan_stages(store, FIRST, replace(LONGER, restart=False))
    unread = replace(stage("continue", TEXT, 2), tokens=8 * LONG, sequence=LONG)
    plan_stages(store, stage("pretrain", CODE, 6), unread)  # nothing of it was read, so there is nothing to carry on


def test_infilling_that_is_not_prepared_is_refused(store: Path) -> None:
    with pytest.raises(UserError, match="are prepared without; give its DataSpec a fim"):
        check(study(arms=(Arm("text-only", "", (INFILLED,)),)))
    with pytest.raises(UserError, match="sequences of 32 tokens and infilling is prepared for 512"):
        plan_stages(store, replace(FIRST, infilling=True))
