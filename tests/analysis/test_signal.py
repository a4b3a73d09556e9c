"""The task signal card of stores, comparisons of the last checkpoints, and what is refused."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.choice import Choice
from analysis.compare import compare, contrast, notes, to_json
from analysis.records import EvalRecord, RunRecord, StageRecord, StudyRecord, eval_path, read_study, write
from analysis.report import telling
from analysis.report.blocks import Fold, Table
from analysis.rungs import noise
from analysis.rungs.signal import Signal, card, carry_most, groups, signals
from analysis.rungs.signal import to_json as card_json
from analysis.scores import evaluated
from store.errors import UserError
from tests.analysis import synthetic_store as synthetic

ALONE = ((1, 1), (2, 2), (3, 3))
MIX = [["prose", "1"]]

Scores = Mapping[str, float]
"""By task: bits per byte of held-out text, or the share of answers that are right."""


def write_runs(
    store: Path,
    runs: Mapping[tuple[str, int], Sequence[Scores]],
    kinds: Sequence[str] = (),
    mixtures: Sequence[Any] = (),
    **changes: Any,
) -> None:
    """A study "s" of these runs, each with a stage of 100 tokens for each of its points; `changes` of its record."""
    made = []
    for (arm, seed), points in runs.items():
        folders, parent = [], None
        for number, scores in enumerate(points):
            fingerprint = f"{arm}{seed:02}{number}".encode().hex()[-16:].rjust(16, "0")
            folder = f"{arm}-{number}-s{seed}-{fingerprint}"
            mix = mixtures[number] if mixtures else MIX
            stage = StageRecord(
                folder, fingerprint, "pretrain", "1m", parent, seed, 5, 100, {"prose": 100}, {"text": 100},
                {"prose": 0.1}, 1e6, 100 * number, {"mixture": mix} if mix else {},
            )  # fmt: skip
            write(store / "stages" / folder / "stage.json", stage)
            for task, score in scores.items():
                record = EvalRecord(task, 1, f"hash of {task}", fingerprint, 5, tuple(_items(task, score)))
                write(eval_path(store / "stages" / folder, task, 1, 5), record)
            folders.append(folder)
            parent = fingerprint
        made.append(RunRecord(arm, seed, tuple(folders), tuple(kinds or ["pretrain"] * len(folders))))
    arms = dict.fromkeys((arm for arm, _ in runs), "")
    study = StudyRecord("s", "?", "!", next(iter(arms)), arms, tuple(made), (), "ablate run s", "data1")
    write(store / "studies" / "s" / "study.json", replace(study, **changes))


def _items(task: str, score: float) -> list[dict[str, Any]]:
    if task.startswith("heldout/"):  # 30 documents, which differ in the same way whatever the score
        return [
            {"id": f"{n:02}", "nats": math.log(2) * 100 * (score + 0.01 * (n - 14.5)), "bytes": 100} for n in range(30)
        ]
    return [{"id": f"{n:03}", "nats": 9.0, "bytes": 9, "correct": int(n < round(100 * score))} for n in range(100)]


def ends(values_AxS: Sequence[Sequence[float]], task: str = "heldout/text") -> dict[tuple[str, int], list[Scores]]:
    """Runs of arms a, b, ... that were scored at their ends."""
    return {
        ("abcdefgh"[arm], seed): [{task: value}] for arm, of in enumerate(values_AxS) for seed, value in enumerate(of)
    }


def of(found: Sequence[Signal], metric: str) -> Signal:
    (one,) = [each for each in found if each.metric.name == metric]
    return one


def test_a_store_with_a_metric_that_tells_and_one_that_is_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    runs = {
        (arm, seed): [
            {
                "heldout/text": 2 + 0.1 * number + rng.normal(0, 0.01),
                "heldout/code": 1 + rng.normal(0, 0.01),
                "boolq": 0.4,
            }
        ]
        for number, arm in enumerate("abcd")
        for seed in range(3)
    }
    write_runs(tmp_path, runs)
    found = card(tmp_path, "s").signals
    text, code, accuracy = (of(found, name) for name in ("heldout/text/bpb", "heldout/code/bpb", "boolq/acc"))
    assert found[0] == text and found[-1].snr is None
    assert text.tells and code.tells is False
    value_AxS = np.array([[run[0]["heldout/text"] for (arm, _), run in runs.items() if arm == name] for name in "abcd"])
    within = value_AxS.var(axis=1, ddof=1).mean()
    assert text.within is not None and text.within.sd.value == pytest.approx(math.sqrt(within))
    rest_AxS = value_AxS - value_AxS.mean(axis=0) - value_AxS.mean(axis=1, keepdims=True) + value_AxS.mean()
    spread = math.sqrt(value_AxS.mean(axis=1).var(ddof=1) - (rest_AxS**2).sum() / 6 / 3)
    assert text.snr == pytest.approx(spread / math.sqrt(within)) and text.snr > 5
    assert text.between is not None and text.between.ranks == 1.0 and text.between.p is not None
    assert text.between.p < 1e-4 and (text.n_arms, text.n_runs) == (4, 12)
    assert code.snr is not None and code.snr < 2 and code.between is not None and (code.between.p or 0) > 0.01
    assert accuracy.snr is accuracy.tells is None, "its runs do not differ, so of its noise nothing is known"
    assert (accuracy.metric.chance, accuracy.above_chance, accuracy.arms_above) == (0.622, False, 0)
    assert carry_most(found)["heldout/text"] == "heldout/text/bpb" and "boolq" not in carry_most(found)
    assert text.checkpoints is None and text.worth is None and text.monotonicity is None and text.n_along == 0


def test_a_metric_at_chance_tells_nothing_however_its_arms_differ(tmp_path: Path) -> None:
    write_runs(tmp_path, ends([[0.30, 0.31, 0.30], [0.45, 0.44, 0.45]], "boolq"))
    found = of(card(tmp_path, "s").signals, "boolq/acc")
    assert found.seen is not None and found.detectable is not None and found.seen > found.detectable
    assert found.tells is False and "boolq" not in carry_most([found])


def test_what_plans_know_of_noise_is_the_mean_over_pairs_of_arms_of_what_the_card_has(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1, 2, 3), ("heldout/text", "piqa"))
    found, study = compare(tmp_path, "small"), read_study(tmp_path, "small")
    for name in ("heldout/text/bpb", "piqa/acc"):
        (metric,) = [metric for metric in found.metrics if metric.name == name]
        pairs = [contrast(found, one, other, metric, "final") for one, other in combinations(study.arms, 2)]
        its = of(signals(study, evaluated(tmp_path, study)[0]), name).between
        assert its is not None
        assert 2 * its.of_mean == pytest.approx(np.mean([row.estimate.spread.seeds for row in pairs if row]))
        assert its.paired.value == pytest.approx(math.sqrt(3 * its.of_mean))


def test_a_larger_model_is_no_signal(tmp_path: Path) -> None:
    values = [[1.0, 1.1, 1.2], [1.3, 1.2, 1.4], [0.5, 0.6, 0.7], [0.8, 0.7, 0.9]]
    write_runs(tmp_path, ends(values), baselines={"c": "c", "d": "c"})
    study = read_study(tmp_path, "s")
    assert groups(study)["a"] == groups(study)["b"] != groups(study)["c"] == groups(study)["d"]
    found = of(card(tmp_path, "s").signals, "heldout/text/bpb")
    alone = noise.between(np.array(values[:2]), ["a", "a"], ALONE)
    assert found.between is not None and alone is not None and found.between.spread == pytest.approx(alone.spread)


def test_lost_runs_leave_the_seeds_that_all_arms_have(tmp_path: Path) -> None:
    runs = ends([[1.0, 1.1, 1.3, 1.2], [1.5, 1.7, 1.6, 1.9]])
    del runs["b", 2]
    write_runs(tmp_path, runs)
    found = of(card(tmp_path, "s").signals, "heldout/text/bpb")
    both = noise.between(np.array([[1.0, 1.1, 1.2], [1.5, 1.7, 1.9]]), ["a", "a"], ALONE)
    assert found.between == both and found.n_runs == 7
    assert found.within is not None and found.within.sd.freedom == 3 + 2


# Along the runs


def falling(slope: float, jitter: Sequence[float]) -> list[Scores]:
    return [{"heldout/text": 2 - slope * number + each} for number, each in enumerate(jitter)]


def test_the_noise_of_checkpoints_is_what_a_line_leaves(tmp_path: Path) -> None:
    jitters = {
        ("a", 0): (0.0, 0.0, 0.03, 0.0),
        ("a", 1): (9.0, 0.0, 0.0, 0.0),
        ("b", 0): (0, 0, 0, 0),
        ("b", 1): (0, 0, -0.03, 0),
    }
    write_runs(tmp_path, {run: falling(0.5, jitter) for run, jitter in jitters.items()})
    found = of(card(tmp_path, "s").signals, "heldout/text/bpb")
    assert found.checkpoints is not None and (found.n_along, found.checkpoints.freedom) == (4, 4)
    assert found.checkpoints.value == pytest.approx(math.sqrt(2 * 0.06**2 / 6 / 4)), "second differences of 0.06"
    assert found.published is not None and found.published.noise > 10 * found.checkpoints.value, "which has the slope"
    assert found.monotonicity == 1.0, "bits per byte fall, which is better"
    four = of(card(tmp_path, "s", 4).signals, "heldout/text/bpb")
    assert four.checkpoints is not None and four.checkpoints.freedom == 8 and four.checkpoints.value > 1


def test_signal_and_noise_as_they_are_published(tmp_path: Path) -> None:
    """By hand: arms at 2.1 and 2.5; the points of every run are 0.1 apart, with an sd of 0.1 √(2/3)."""
    runs = {
        (arm, seed): [{"heldout/text": at + step} for step in (0.0, 0.2, 0.1)]
        for arm, at in (("a", 2.0), ("b", 2.4))
        for seed in (0, 1)
    }
    write_runs(tmp_path, runs)
    found = of(card(tmp_path, "s").signals, "heldout/text/bpb").published
    assert found is not None
    assert (found.signal, found.noise) == pytest.approx((0.4 / 2.3, 0.1 * math.sqrt(2 / 3) / 2.3))
    assert found.snr == pytest.approx(4 / math.sqrt(2 / 3))


def test_averaging_is_worth_the_seeds_whose_noise_it_takes_out(tmp_path: Path) -> None:
    """Nothing but noise between checkpoints: the mean of four is worth about four runs."""
    rng = np.random.default_rng(5)
    runs = {
        (arm, seed): [{"heldout/text": 2 + rng.normal(0, 0.1)} for _ in range(4)]
        for arm in "abcdef"
        for seed in range(6)
    }
    write_runs(tmp_path, runs)
    found = of(card(tmp_path, "s", 4).signals, "heldout/text/bpb")
    assert found.worth is not None and found.worth.low is not None and found.worth.high is not None
    means = np.array([np.mean([point["heldout/text"] for point in run]) for run in runs.values()]).reshape(6, 6)
    assert found.worth.noise.value == pytest.approx(math.sqrt(means.var(axis=1, ddof=1).mean()))
    assert found.worth.low < 4 < found.worth.high and found.worth.low > 1


@pytest.mark.parametrize(
    ("kinds", "mixtures", "count"),
    [
        (("pretrain",) * 4, (MIX,) * 4, 4),
        (("pretrain", "pretrain", "continue", "continue"), (MIX,) * 4, 2),
        (("pretrain",) * 4, ([["code", "1"]], MIX, MIX, MIX), 3),
        (("pretrain", "pretrain", "pretrain", "cooldown"), (MIX,) * 4, 1),
        (("pretrain",) * 4, (None,) * 4, 1),  # the records do not say
    ],
)
def test_only_points_of_one_kind_and_mixture_count(
    tmp_path: Path, kinds: Sequence[str], mixtures: Sequence[Any], count: int
) -> None:
    runs = {(arm, seed): falling(0.1, (0, 0.01, 0, 0.02 * seed)) for arm in "ab" for seed in (0, 1)}
    write_runs(tmp_path, runs, kinds, mixtures)
    found = of(card(tmp_path, "s").signals, "heldout/text/bpb")
    assert (found.n_along, found.checkpoints is None) == ((4, False) if count >= 3 else (0, True))
    if count > 1:
        assert compare(tmp_path, "s", Choice(last=count)).rows
    with pytest.raises(UserError, match=rf"a, seed 0, has {count} scored checkpoints? of one kind") as refused:
        compare(tmp_path, "s", Choice(last=count + 1))
    assert "\n" not in str(refused.value)


def test_a_point_that_was_not_scored_ends_the_line(tmp_path: Path) -> None:
    write_runs(tmp_path, {(arm, seed): falling(0.1, (0.0,) * 5) for arm in "ab" for seed in (0, 1)})
    for path in (tmp_path / "stages").glob("a-1-s0-*/evals/*.json"):
        path.unlink()
    assert of(card(tmp_path, "s", 4).signals, "heldout/text/bpb").n_along == 3
    assert of(card(tmp_path, "s", 3).signals, "heldout/text/bpb").n_along == 4


# Comparisons of the last checkpoints


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms, three seeds, five pieces of a stage and a cooldown."""
    store, rng = tmp_path_factory.mktemp("last"), np.random.default_rng(6)
    runs = {
        (arm, seed): [
            {
                "heldout/text": 2 + 0.05 * (arm == "b") - 0.02 * step + rng.normal(0, 0.01),
                "boolq": rng.integers(50, 80) / 100,
            }
            for step in range(6)
        ]
        for arm in "ab"
        for seed in range(3)
    }
    write_runs(store, runs, ("pretrain",) * 5 + ("cooldown",), primary=("heldout/text/bpb",))
    return store


def test_a_comparison_of_the_last_checkpoints_is_that_of_their_means(scored: Path) -> None:
    found = compare(scored, "s", Choice(at="before-cooldown", last=3))
    single = [compare(scored, "s", Choice(at=at)) for at in ("stage-3", "stage-4", "stage-5")]
    for metric in ("heldout/text/bpb", "boolq/acc"):
        for arm in "ab":
            by_seed = found.by_seed(arm, metric, "before-cooldown")
            each = [
                one.by_seed(arm, metric, at) for one, at in zip(single, ("stage-3", "stage-4", "stage-5"), strict=True)
            ]
            assert by_seed == pytest.approx({seed: np.mean([of[seed] for of in each]) for seed in range(3)})
        rows = [row for one in (found, *single) for row in one.rows if row.metric.name == metric]
        mean, *alone = (row.estimate.difference.centre for row in rows)
        assert mean == pytest.approx(np.mean(alone)) and {row.n_items for row in rows} == {rows[0].n_items}
    (row,) = [row for row in found.rows if row.metric.name == "heldout/text/bpb"]
    assert row.n_seeds == 3 and not row.primary and found.family == (), "nobody declared that"
    assert to_json(found)["averaged"] == 3
    assert notes(found) == ["arms are compared at before-cooldown, the mean of each run's last 3 checkpoints"]


def test_of_two_stores_either_is_averaged(scored: Path, tmp_path: Path) -> None:
    third = {("c", seed): falling(0.02, (0, 0, 0.03, 0, 0.06)) for seed in range(3)}
    write_runs(tmp_path, third)
    found = compare(scored, "s", Choice(arms=("a", f"{tmp_path}/s:c"), at="stage-4", last=2))
    (row,) = [row for row in found.rows if row.metric.name == "heldout/text/bpb"]
    assert row.estimate.baseline_value == pytest.approx(2 - 0.02 * 2.5 + 0.015)


def test_one_checkpoint_is_the_comparison_as_it_is_declared(scored: Path) -> None:
    assert to_json(compare(scored, "s", Choice(last=1))) == to_json(compare(scored, "s"))
    with pytest.raises(UserError, match="the last 0 checkpoints cannot be averaged"):
        compare(scored, "s", Choice(last=0))


def test_a_task_that_was_not_scored_at_all_checkpoints_is_left_out_and_told(scored: Path, tmp_path: Path) -> None:
    runs = {(arm, seed): falling(0.1, (0.0, 0.01 * seed)) for arm in "ab" for seed in range(2)}
    for run in runs.values():
        run[-1] = {**run[-1], "boolq": 0.7}  # type: ignore[index]
    write_runs(tmp_path, runs)
    found = compare(tmp_path, "s", Choice(last=2))
    assert {row.metric.name for row in found.rows} == {"heldout/text/bpb"}
    assert "a, seed 0, final: boolq is not scored at all 2 last checkpoints, so it has no mean" in found.gaps


# The command, the report, and what is refused


def test_the_command_and_its_keys(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments import cli
    from experiments.commands import results

    monkeypatch.setattr(results, "asked", lambda name, scale: type("Asked", (), {"key": name}))
    runner, base = CliRunner(), ["signal", "s", "--store", str(scored)]
    shown = runner.invoke(cli.app, base, catch_exceptions=False).stdout
    assert (
        "metrics can tell an effect of the size seen in them, with 3 seeds" in shown and "heldout/text/bpb *" in shown
    )
    document = json.loads(runner.invoke(cli.app, [*base, "--json"], catch_exceptions=False).stdout)
    assert document == json.loads(json.dumps(card_json(card(scored, "s")), allow_nan=False))
    assert list(document) == ["study", "last", "n_arms", "n_seeds", "signals", "carry_most", "gaps"]
    assert list(document["signals"][0]) == [
        *("metric", "task", "unit", "n_arms", "n_runs", "n_seeds", "value", "chance", "above_chance"),
        *("arms_above_chance", "noise", "noise_paired", "noise_init", "noise_data", "spread", "snr", "p"),
        *("spread_to_paired_interval", "seen", "detectable", "tells", "rank_stability", "n_along"),
        *("noise_checkpoints", "monotonicity", "noise_last", "seeds_worth", "seeds_worth_interval", "published"),
    ]
    assert set(document["signals"][0]["noise"]) == {"sd", "freedom", "interval"}
    last = runner.invoke(
        cli.app,
        ["compare", "s", "--store", str(scored), "--at", "stage-5", "--last", "4", "--json"],
        catch_exceptions=False,
    ).stdout
    assert json.loads(last)["averaged"] == 4


def test_the_section_is_sorted_and_folded_and_not_there_without_seeds_or_arms(scored: Path, tmp_path: Path) -> None:
    study = read_study(scored, "s")
    every = [f"stage-{number}" for number in range(1, 6)] + ["final"]
    found = evaluated(scored, study, every)[0]
    its = signals(study, found)
    _, fold = telling.told(its)
    assert isinstance(fold, Fold) and isinstance(fold.blocks[0], Table)
    assert [row[0].text for row in fold.blocks[0].rows] == [each.metric.label for each in its]  # type: ignore[union-attr]
    snr = [each.snr for each in its if each.snr is not None]
    assert snr == sorted(snr, reverse=True)
    for runs in ([run for run in study.runs if run.seed == 0], [run for run in study.runs if run.arm == "a"]):
        arms = {run.arm: "" for run in runs}
        assert telling.told(signals(replace(study, runs=tuple(runs), arms=arms), found)) == []


def test_what_cannot_be_told_is_refused_in_a_line(tmp_path: Path) -> None:
    write_runs(tmp_path / "seed", ends([[1.0], [2.0]]))
    write_runs(tmp_path / "arm", ends([[1.0, 2.0]]))
    write_runs(tmp_path / "empty", {run: [{}] for run in ends([[1.0, 2.0], [1.0, 2.0]])})
    for store, last, said in (
        ("seed", 3, "study 's' has one seed, and what can be told is told by several"),
        ("arm", 3, "study 's' has one arm, and"),
        ("none", 3, "study 's' has no records in store"),
        ("empty", 3, "no run of study 's' is scored at its end"),
        ("seed", 2, "a line through 2 leaves nothing over; ask for 3 or more"),
        ("seed", 1, "the noise of the last 1 checkpoints cannot be told"),
        ("seed", 0, "the noise of the last 0 checkpoints cannot be told"),
    ):
        with pytest.raises(UserError) as refused:
            card(tmp_path / store, "s", last)
        assert said in str(refused.value) and "\n" not in str(refused.value)
