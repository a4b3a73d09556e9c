"""What a stage may set for itself: rotary base, length of the sequences, document mask, fill-in-the-middle order,
batch, optimizer and objective."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.ledger_rows import read_ledger
from experiments.audit import audit
from experiments.plan.check import check
from experiments.plan.make import make_plan
from experiments.plan.prepared import data_plan
from experiments.plan.stage import PlannedStage
from experiments.run.trainer import train_stage
from experiments.show.plans import plan_json
from experiments.study import Arm, Stage, Study
from mixtures.loader import load_batch
from mixtures.mixture import mixture
from mixtures.prepare import prepare
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import open_tokens, windows_in
from mixtures.tokens.fim import Fim
from models.recipe import AdamW, NextToken, Ranking
from store.errors import UserError
from tests.experiments.tiny import CODE, HALF, TEXT, source, stage, study

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


def test_what_infilling_leaves_as_it_is_carries_on_in_a_stage_with_it(store: Path) -> None:
    """The fim of the study permutes code alone, so that prose has the same windows in both stages."""
    holes = replace(LONGER, infilling=True, restart=frozenset({"program"}))
    longer, mixed = plan_stages(store, replace(LONGER, restart=True), holes)
    assert mixed.starts == {"prose": longer.sequences["prose"], "program": 0}
    with pytest.raises(UserError, match="source 'program' cannot carry on"):
        plan_stages(store, LONGER, replace(holes, restart=False))


def test_infilling_that_is_not_prepared_is_refused(store: Path) -> None:
    with pytest.raises(UserError, match="are prepared without; give its DataSpec a fim"):
        check(study(arms=(Arm("text-only", "", (INFILLED,)),)))
    with pytest.raises(UserError, match="sequences of 32 tokens and infilling is prepared for 512"):
        plan_stages(store, replace(FIRST, infilling=True))


def test_batch_and_optimizer_last_until_a_stage_sets_them_again(store: Path) -> None:
    gentle = AdamW(b2=0.99)
    small = replace(stage("continue", HALF, 2), batch=3, optimizer=gentle)
    plan = make_plan(infilling_study(FIRST, small, stage("cooldown", HALF, 1)), store)
    first, second, last = plan.stages
    assert [(each.batch, each.optimizer) for each in plan.stages] == [(8, AdamW()), (3, gentle), (3, gentle)]
    # A block is the smallest multiple of the batch of at least 8 sequences.
    assert (second.steps, second.tokens) == (2 * math.ceil(2 * 8 / 9) * 3 // 2, 2 * 9 * 32)
    assert (last.steps, last.tokens) == (3, 9 * 32)
    assert [each.identity["batch"] for each in plan.stages] == [8, 3, 3]  # type: ignore[attr-defined]
    assert second.identity["optimizer"]["b2"] == 0.99  # type: ignore[attr-defined]
    assert first.fingerprint == plan_stages(store, FIRST)[0].fingerprint  # type: ignore[attr-defined]
    for planned in plan.stages:
        train_stage(plan, planned, store, lambda step: None)  # type: ignore[arg-type]
        rows = read_ledger(store / "stages" / planned.folder)  # type: ignore[attr-defined]
        assert [row.tokens for row in rows] == [(step + 1) * planned.batch * 32 for step in range(planned.steps)]
    assert audit(plan, store)["equal"]


@pytest.mark.parametrize("change", [{"batch": 16}, {"optimizer": AdamW(weight_decay=0.0)}])
def test_each_of_them_decides_the_result(store: Path, change: dict[str, object]) -> None:
    before, after = (plan_stages(store, each)[0] for each in (FIRST, replace(FIRST, **change)))  # type: ignore[arg-type]
    assert before.fingerprint != after.fingerprint


def test_what_is_said_and_inherited_is_one_stage(tmp_path: Path) -> None:
    arms = (Arm("text-only", "", (FIRST,)), Arm("said", "", (replace(FIRST, batch=8, optimizer=AdamW()),)))
    (one,) = make_plan(study(arms=arms, seeds=(0,)), tmp_path).stages
    assert one.arms == ("text-only", "said")


PAIRS = mixture("pairs", {"pairs": 1})
MIXED = mixture("mixed", {"pairs": 1, "prose": 3})
TUNE = stage("finetune", PAIRS, 2)


def with_examples(tuned: Stage, **changes: object) -> Study:
    """A study with a source of examples, in sequences of 32 tokens."""
    pairs = replace(source("pairs", "instruct"), examples=True, expected_tokens=10_000)
    data = replace(study().data, sources=(*study().data.sources, pairs), packing=(32,))
    return study(**({"arms": (Arm("text-only", "", (tuned,)),), "data": data, "seeds": (0,)} | changes))


@pytest.mark.parametrize(
    ("tuned", "wanted"),
    [
        (TUNE, "all"),
        (replace(TUNE, objective=NextToken("answers")), "answers"),
        (replace(TUNE, mixture=MIXED, objective=NextToken("answers")), "answers"),
        (replace(TUNE, objective=Ranking(), document_mask=True), "ranked"),
    ],
)
def test_the_plan_says_what_carries_loss(tuned: Stage, wanted: str, tmp_path: Path) -> None:
    plan = make_plan(with_examples(tuned), tmp_path)
    assert plan_json(plan, tmp_path)["stages"][0]["objective"] == wanted


def test_objectives_are_other_stages(tmp_path: Path) -> None:
    kinds = [NextToken(), NextToken("answers"), Ranking(), Ranking(rank=0.5)]
    arms = tuple(
        Arm(f"arm-{number}", "", (replace(TUNE, objective=each, document_mask=True),))
        for number, each in enumerate(kinds)
    )
    assert len(make_plan(with_examples(TUNE, arms=arms, baseline="arm-0"), tmp_path).stages) == 4


@pytest.mark.parametrize(
    ("message", "tuned", "changes"),
    [
        ("packed into sequences of 32 tokens, and the stage reads 64", replace(TUNE, sequence=64), {}),
        (
            "its objective is the loss on answers, and no source of mixture 'text' has examples",
            replace(TUNE, mixture=TEXT, objective=NextToken("answers")),
            {},
        ),
        ("source 'prose' of mixture 'mixed' has no examples", replace(TUNE, mixture=MIXED, objective=Ranking()), {}),
        ("must not see each other; set document_mask=True", replace(TUNE, objective=Ranking()), {}),
        (
            "ranks answers, for which there is no z_loss, and it is 0.1",
            replace(TUNE, objective=Ranking(), document_mask=True),
            {"z_loss": 0.1},
        ),
        ("objective.on is 'prompts'", replace(TUNE, objective=NextToken("prompts")), {}),  # type: ignore[arg-type]
        ("objective.rank is -1.0", replace(TUNE, objective=Ranking(rank=-1.0)), {}),
    ],
)
def test_objectives_that_cannot_be_met_are_refused(
    message: str, tuned: Stage, changes: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        make_plan(with_examples(tuned, **changes), tmp_path)


def test_examples_without_a_length_to_pack_them_into_are_refused() -> None:
    unpacked = with_examples(TUNE)
    with pytest.raises(UserError, match=r"source 'pairs' holds examples, .* give the DataSpec packing=\(32,\)"):
        check(replace(unpacked, data=replace(unpacked.data, packing=())))
