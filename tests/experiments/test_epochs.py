"""Budgets in passes over a source: exact, in whole steps, and never more often than asked."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from experiments.commands import run
from experiments.pieces import cut, cut_every, turned
from experiments.plan.epochs import in_tokens, waits_for_counts
from experiments.plan.make import make_plan
from experiments.show.plans import plan_json, print_plan
from experiments.study import Arm, Epochs, Piece, Stage, Study
from mixtures.curriculum import sequences_by_source
from mixtures.mixture import Mixture, mixture
from mixtures.tokens.arrays import windows_in
from store.errors import UserError
from tests.experiments.tiny import CODE, HALF, TEXT, stage, study

UNEVEN = mixture("uneven", {"prose": 5, "program": 2})


def epochs(mix: Mixture, source: str, count: int | Fraction) -> Stage:
    return replace(stage("finetune", mix, 1), tokens=0, epochs=Epochs(source, count))


def asked(*stages: Stage, **changes: object) -> Study:
    return study(**({"arms": (Arm("text-only", "", stages),), "seeds": (0,)} | changes))


@pytest.mark.parametrize("batch", [1, 3, 8, 20])
@pytest.mark.parametrize("count", [1, 2, Fraction(7, 2)])
@pytest.mark.parametrize("mix", [TEXT, HALF, UNEVEN])
def test_it_is_the_most_whole_blocks_that_read_the_source_no_more_often(
    mix: Mixture, count: int | Fraction, batch: int
) -> None:
    there, sequence, block = 137, 32, batch * -(-8 // batch)
    found = in_tokens(epochs(mix, "prose", count), batch, sequence, lambda source, form: there)
    assert found.tokens % (block * sequence) == 0

    def read(tokens: int) -> int:
        return sequences_by_source(mix, tokens, batch, sequence)["prose"]

    assert read(found.tokens) <= count * there < read(found.tokens + block * sequence)


def test_the_plan_has_the_number_and_the_record_of_what_was_asked(finished_store: Path) -> None:
    plan = make_plan(asked(epochs(HALF, "program", 2)), finished_store)
    (its,) = plan.stages
    windows = windows_in(plan.manifest.sources["program"].shard_tokens, 32)  # type: ignore[attr-defined]
    assert 2 - 8 / windows < its.epochs["program"] <= 2
    assert its.stage.tokens == its.tokens == its.steps * 8 * 32
    same = replace(its.stage, epochs=None)
    assert make_plan(asked(same), finished_store).stages[0].fingerprint == its.fingerprint  # type: ignore[attr-defined]
    row = plan_json(plan, finished_store)["stages"][0]
    assert row["epochs_requested"] == {"source": "program", "count": 2.0} and row["tokens_requested"] == its.tokens


def test_a_stage_for_each_epoch_is_called_after_how_many_there_were(finished_store: Path) -> None:
    once = epochs(HALF, "program", 1)
    more = replace(once, peak="continue", end="continue", warmup=0, decay="constant")
    other = replace(once, reset_optimizer=True)
    arms = (
        Arm("text-only", "", (stage("pretrain", TEXT, 2), once, more, more)),
        Arm("other", "", (stage("pretrain", TEXT, 2), other, more)),
    )
    plan = make_plan(study(arms=arms, seeds=(0,), max_epochs=4), finished_store)
    assert [its.id for its in plan.stages] == [
        *("text-s0", "text-to-half-s0", "text-to-half*2-s0", "text-to-half*3-s0"),
        *("text-to-half.2-s0", "text-to-half.2*2-s0"),
    ]


def test_pieces_of_a_name_that_another_has_keep_one_number(finished_store: Path) -> None:
    parts = cut(stage("continue", HALF, 6), 2 * 8 * 32, 4 * 8 * 32)
    masked = tuple(replace(part, document_mask=True) for part in parts)
    arms = tuple(
        Arm(name, "", (stage("pretrain", TEXT, 2), *its)) for name, its in (("text-only", parts), ("b", masked))
    )
    plan = make_plan(study(arms=arms, seeds=(0,)), finished_store)
    assert [its.id for its in plan.stages] == [
        "text-s0",
        *(f"text-to-half@{step}-s0" for step in (2, 4, 6)),
        *(f"text-to-half@{step}.2-s0" for step in (2, 4, 6)),
    ]


def test_the_page_shows_epochs_beside_their_tokens(finished_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    plan = make_plan(asked(epochs(HALF, "program", 2)), finished_store)
    print_plan(plan_json(plan, finished_store), Console(width=200))
    assert f"{plan.stages[0].tokens:,} (2 of program)" in capsys.readouterr().out


def test_before_preparation_it_goes_by_the_catalogue_or_waits(tmp_path: Path) -> None:
    uncounted = asked(epochs(TEXT, "prose", 2))
    assert waits_for_counts(uncounted)
    with pytest.raises(UserError, match=r"length is not known yet; prepare the data first, or give .* expected_tokens"):
        make_plan(uncounted, tmp_path)
    run._announce(uncounted, tmp_path)  # as `ablate run` begins, which prepares before it plans
    with pytest.raises(UserError, match="kind is 'distil'"):
        run._announce(asked(replace(epochs(TEXT, "prose", 2), kind="distil")), tmp_path)
    sources = tuple(replace(each, expected_tokens=32 * 8 * 10 + 40) for each in study().data.sources)
    counted = asked(epochs(TEXT, "prose", 2), data=replace(study().data, sources=sources))
    assert not waits_for_counts(counted)
    assert make_plan(counted, tmp_path).stages[0].steps == 20


BUDGET = Epochs("prose", 1)


@pytest.mark.parametrize(
    ("message", "stages"),
    [
        ("stages[0].tokens is 0, and it has no epochs", (replace(stage("finetune", TEXT, 1), tokens=0),)),
        ("stages[0] has 256 tokens and a budget in epochs", (replace(stage("finetune", TEXT, 1), epochs=BUDGET),)),
        ("source 'program', which mixture 'text' does not read", (epochs(TEXT, "program", 1),)),
        ("is a part of a longer stage; give it tokens", (replace(epochs(TEXT, "prose", 1), piece=Piece(0, 512)),)),
        ("a single step of 8 sequences reads", (epochs(TEXT, "prose", Fraction(1, 1000)),)),
        ("epochs.count is 0", (epochs(TEXT, "prose", 0),)),
    ],
)
def test_budgets_that_cannot_be_are_refused(message: str, stages: tuple[Stage, ...], finished_store: Path) -> None:
    import re

    with pytest.raises(UserError, match=re.escape(message)):
        make_plan(asked(*stages), finished_store)


def test_epochs_and_a_simulated_run_do_not_go_together(finished_store: Path) -> None:
    with pytest.raises(UserError, match="simulated_tokens cuts the sources by budgets; give tokens"):
        make_plan(asked(epochs(TEXT, "prose", 1), simulated_tokens=10**6), finished_store)


def test_what_has_no_tokens_yet_cannot_be_cut() -> None:
    for make in (lambda s: cut(s, 256), lambda s: cut_every(s, 256), lambda s: turned(s, 256, CODE)):
        with pytest.raises(UserError, match="has a budget in epochs, of which nobody knows yet"):
            make(epochs(TEXT, "prose", 1))
