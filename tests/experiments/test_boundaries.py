"""What happens between two stages: pieces of one stage, rates that continue, optimizer states that start again."""

import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from analysis.ledger_rows import MAX_SKIPPED, StepRecord, read_ledger
from experiments.audit import audit
from experiments.pieces import cut, turned
from experiments.plan.make import make_plan
from experiments.plan.stage import Plan, PlannedStage
from experiments.plan.status import checkpoints
from experiments.run.trainer import train_stage
from experiments.study import CONTINUE, Arm, Piece, Stage
from mixtures.mixture import mixture
from models import checkpoint
from models.recipe import AdamW
from models.step import TrainState, abstract_state
from store.errors import Failure, UserError
from tests.experiments.tiny import CODE, HALF, TEXT, stage, study

TOKENS = 8 * 32
"""Of one step."""
UNEVEN = mixture("uneven", {"prose": 5, "program": 2})
"""Its slots repeat every 7 sequences, so that hardly any step of 8 begins where they do."""


@pytest.fixture
def store(finished_store: Path, tmp_path: Path) -> Path:
    """Prepared data and no stage."""
    shutil.copytree(finished_store / "prepared", tmp_path / "store" / "prepared")
    return tmp_path / "store"


def _train(store: Path, arms: dict[str, tuple[Stage, ...]]) -> Plan:
    first = next(iter(arms))
    declared = tuple(Arm(name, "", stages) for name, stages in arms.items())
    plan = make_plan(study(arms=declared, seeds=(0,), baseline=first), store)
    for planned in plan.stages:
        train_stage(plan, planned, store, lambda step: None)
    return plan


def _chain(plan: Plan, arm: str) -> list[PlannedStage]:
    return [plan.stage(id) for id in plan.runs[arm, 0]]


def _state(plan: Plan, stage: PlannedStage, store: Path) -> TrainState:
    return checkpoint.restore(checkpoints(store, stage.folder), stage.steps, abstract_state(plan.study.model, AdamW()))


def _rows(plan: Plan, stages: list[PlannedStage], store: Path) -> list[StepRecord]:
    rows = [row for stage in stages for row in read_ledger(store / "stages" / stage.folder)]
    return [replace(row, step=0, tokens=0, seconds=0.0) for row in rows]


def test_a_stage_in_pieces_is_the_whole_stage_to_the_bit(store: Path) -> None:
    """Its rates, its batches and the order of its data, cut in the warm-up, on the plateau and in the decay."""
    whole = Stage("pretrain", UNEVEN, 24 * TOKENS, "1-sqrt", 3e-3, 1e-5, warmup=0.2, stable=0.5)
    after = stage("cooldown", TEXT, 3)
    pieces = cut(whole, 3 * TOKENS, 10 * TOKENS, 20 * TOKENS)
    plan = _train(store, {"whole": (whole, after), "pieces": (*pieces, after)})
    one, many = _chain(plan, "whole"), _chain(plan, "pieces")
    assert [stage.steps for stage in many] == [3, 7, 10, 4, 3]
    assert _rows(plan, many, store) == _rows(plan, one, store)
    for uncut, last in ((one[0], many[3]), (one[1], many[4])):
        ends = [[np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(_state(plan, s, store))] for s in (uncut, last)]
        assert ends[0] == ends[1]
    assert audit(plan, store)["equal"]


def test_a_stage_that_turns_has_one_schedule_and_reads_as_two_stages_do(store: Path) -> None:
    whole = Stage("pretrain", UNEVEN, 9 * TOKENS, "cosine", 3e-3, 3e-4, warmup=2)
    parts = turned(whole, 5 * TOKENS, HALF)
    after = stage("cooldown", TEXT, 2)
    plan = _train(store, {"turned": (*parts, after), "uncut": (whole,), "cut": cut(whole, 5 * TOKENS)})
    first, second, last = _chain(plan, "turned")
    assert [row.id for row in (first, second)] == ["uneven@5-s0", "uneven@5-to-half@9-s0"]
    assert first.fingerprint == _chain(plan, "cut")[0].fingerprint
    rates = [row.learning_rate for row in _rows(plan, [first, second], store)]
    assert rates == [row.learning_rate for row in _rows(plan, _chain(plan, "uncut"), store)]
    alone = make_plan(study(arms=(Arm("text-only", "", (parts[0], replace(parts[1], piece=None))),)), store)
    apart = _chain(alone, "text-only")[1]
    own = {"learning_rates", "parent"}
    assert {k: v for k, v in second.identity.items() if k not in own} == {
        k: v for k, v in apart.identity.items() if k not in own
    }
    assert last.starts["prose"] == first.sequences["prose"] + second.sequences["prose"]
    assert audit(plan, store)["equal"]


def test_a_trunk_is_trained_once_for_all_its_cooldowns(store: Path) -> None:
    trunk = Stage("pretrain", HALF, 12 * TOKENS, "constant", 3e-3, 3e-3, warmup=0.1)
    first, second, third = cut(trunk, 4 * TOKENS, 8 * TOKENS)
    cooldown = Stage("cooldown", TEXT, 2 * TOKENS, "1-sqrt", CONTINUE, 0.0, warmup=0.0)
    plan = _train(
        store,
        {
            "short": (first, cooldown),
            "long": (first, second, third, cooldown),
            "code": (first, second, third, replace(cooldown, mixture=CODE)),
        },
    )
    assert [(row.id, row.parent, row.steps) for row in plan.stages] == [
        ("half@4-s0", None, 4),
        ("half@4-to-text-s0", "half@4-s0", 2),
        ("half@8-s0", "half@4-s0", 4),
        ("half@12-s0", "half@8-s0", 4),
        ("half@12-to-text-s0", "half@12-s0", 2),
        ("half@12-to-code-s0", "half@12-s0", 2),
    ]
    for branch in plan.stages:
        assert branch.steps in checkpoint.steps(checkpoints(store, branch.folder)), "a branch point is kept"
    rates = [row.learning_rate for row in _rows(plan, _chain(plan, "long"), store)]
    assert rates == pytest.approx([3e-3] * 12 + [3e-3 * (1 - 0.5**0.5), 0.0])


def test_an_optimizer_that_is_reset_counts_from_zero(store: Path) -> None:
    parent, child = stage("pretrain", TEXT, 5), stage("continue", CODE, 1)
    plan = _train(
        store, {"kept": (parent, child), "reset": (parent, replace(child, mixture=HALF, reset_optimizer=True))}
    )
    counts = {arm: _state(plan, _chain(plan, arm)[1], store).optimizer for arm in ("kept", "reset")}
    assert {arm: int(optax.tree.get(state, "count")) for arm, state in counts.items()} == {"kept": 6, "reset": 1}
    moments = jax.tree.leaves(optax.tree.get(counts["reset"], "nu"))
    gradient_norm = read_ledger(store / "stages" / _chain(plan, "reset")[1].folder)[0].grad_norm
    # After one update from zero, the second moment is (1 - b2) times the clipped gradient's square.
    expected = 0.05 * min(gradient_norm, 1.0) ** 2
    assert sum(float(np.sum(leaf)) for leaf in moments) == pytest.approx(expected, rel=1e-3)


def test_what_a_boundary_says_is_in_the_fingerprint_only_where_it_is_said(finished_store: Path) -> None:
    def identity(*stages: Stage) -> dict:
        plan = make_plan(study(arms=(Arm("text-only", "", stages),), seeds=(0,)), finished_store)
        return dict(plan.stages[-1].identity or {})

    first, second = stage("pretrain", TEXT, 8), stage("continue", CODE, 4)
    plain = identity(first, second)
    assert not {"reset_optimizer", "first_step"} & set(plain)
    assert identity(first, replace(second, reset_optimizer=True)) == plain | {"reset_optimizer": True}
    assert identity(replace(first, reset_optimizer=True)) == identity(first)  # there is nothing to reset
    head, tail = cut(first, 4 * TOKENS)
    assert identity(head, tail)["first_step"] == 4
    # The head of a trunk is any stage that trains alike.
    alone = stage("pretrain", TEXT, 4)
    flat = {"decay": "constant", "peak": 1e-3, "end": 1e-3, "warmup": 0.0}
    assert identity(cut(replace(first, **flat), 4 * TOKENS)[0]) == identity(replace(alone, **flat))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: (replace(a, peak=CONTINUE), b), "continues a learning rate, but is the first"),
        (lambda a, b: (a, replace(b, peak=CONTINUE)), "continues the learning rate, so it cannot warm up"),
        (lambda a, b: cut(a, 4 * TOKENS)[1:], "later piece of a longer one"),
        (lambda a, b: (cut(a, 4 * TOKENS)[0], b, cut(a, 4 * TOKENS)[1]), "later piece of a longer one"),
        (lambda a, b: (cut(a, 3 * TOKENS)[0], cut(a, 4 * TOKENS)[1]), "later piece of a longer one"),
        (lambda a, b: cut(a, 4 * TOKENS + 9, 4 * TOKENS + 19), "cut twice within one block"),
        (lambda a, b: cut(a, 8 * TOKENS), "cannot be cut at 2,048"),
        (lambda a, b: cut(cut(a, 4 * TOKENS)[0], 2 * TOKENS), "cannot be cut at 512"),
        (lambda a, b: turned(a, 4 * TOKENS, CODE)[1:], "what a longer one turns to; put the piece before it"),
        (lambda a, b: (a, turned(a, 4 * TOKENS, CODE)[1]), "what a longer one turns to"),
        (lambda a, b: (turned(a, 3 * TOKENS, CODE)[0], turned(a, 4 * TOKENS, CODE)[1]), "what a longer one turns to"),
        (lambda a, b: (turned(replace(a, peak=2e-3), 4 * TOKENS, CODE)[0], turned(a, 4 * TOKENS, CODE)[1]), "turns to"),
        (lambda a, b: turned(a, 8 * TOKENS, CODE), "cannot turn to 'code' after 2,048"),
        (lambda a, b: turned(turned(a, 4 * TOKENS, CODE)[0], 2 * TOKENS, CODE), "cannot turn to 'code' after 512"),
    ],
)
def test_stages_that_do_not_fit_together_are_refused(change: object, message: str, tmp_path: Path) -> None:
    first, second = stage("pretrain", TEXT, 8), replace(stage("continue", CODE, 4), warmup=0.5)
    with pytest.raises(UserError, match=message):
        stages = change(first, second)  # type: ignore[operator]
        make_plan(study(arms=(Arm("text-only", "", stages),)), tmp_path)


def test_cuts_are_rounded_once_and_lose_no_step(tmp_path: Path) -> None:
    whole = stage("pretrain", TEXT, 100)
    pieces = cut(whole, *(int(share * whole.tokens) for share in (0.1234, 0.3456, 0.7)))
    plan = make_plan(study(arms=(Arm("text-only", "", pieces),), seeds=(0,)), tmp_path)
    assert sum(piece.steps for piece in plan.stages) == 100
    assert pieces[1].piece == Piece(pieces[0].tokens, whole.tokens)


def test_a_run_that_diverges_stops_and_names_step_and_batch(store: Path) -> None:
    wild = replace(stage("pretrain", TEXT, 40), peak=1e30, end=1e30, decay="constant", warmup=0.0)
    with pytest.raises(Failure, match=r"not finite in 5 steps in a row, up to step \d+ \(batch [0-9a-f]{32}\)"):
        _train(store, {"wild": (wild,)})
    folder = next((store / "stages").iterdir())
    rows = read_ledger(folder)
    first = next(number for number, row in enumerate(rows) if row.skipped)
    assert first > 0 and all(row.skipped for row in rows[first : first + MAX_SKIPPED])
    assert [row.loss is None or row.grad_norm is None for row in rows] == [row.skipped for row in rows]
    assert "NaN" not in (folder / "ledger.jsonl").read_text()
