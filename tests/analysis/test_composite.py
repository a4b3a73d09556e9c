"""A declared composite: by hand, against NumPy, and beside the metrics that it is made of."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from analysis.compare import Comparison, Row, compare, to_json
from analysis.composite import Composite, coverage, declared, metrics_of
from analysis.laws.points import points
from analysis.metrics import COMPOSITE, value
from analysis.propose.objective import parse
from analysis.records import EvalRecord, eval_path, read_eval, read_study, write
from analysis.report.blocks import Text
from analysis.report.results import accuracies
from analysis.report.terminal import print_answer
from analysis.report.values import shown
from analysis.rungs.signal import card
from analysis.rungs.signal import to_json as card_json
from analysis.task_scores import scores_of
from tests.analysis import synthetic_store as synthetic

ALIKE = Composite({"reasoning": 1, "knowledge": 1, "code": 1}, centred=True, rescaled=True)
ARM = "code-to-text"
CHANCE = {"hellaswag": 0.25, "piqa": 0.5, "boolq": 0.622, "copa": 0.5, "triviaqa": 0.0, "humaneval_exec": 0.0}
Declare = Callable[[Composite], Comparison]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("composite")
    tasks = ("heldout/text", "hellaswag", "piqa", "boolq", "copa", "triviaqa")
    synthetic.write_store(path, (1, 2, 3), tasks, primary=(), n_items=60)
    for arm, seed in ((run.arm, run.seed) for run in read_study(path, "small").runs):
        (stage,) = (path / "stages").glob(f"{arm}-cooldown-s{seed}-*")
        head = read_eval(next((stage / "evals").glob("piqa@*")))
        rows = tuple(
            {"id": str(i), "samples": 2, "passed": (i + seed + len(arm)) % 3, "runs": i % 4 > 0, "weak": False}
            for i in range(24)
        )
        record = EvalRecord("humaneval_exec", 1, "h", head.fingerprint, synthetic.STEPS, rows)
        write(eval_path(stage, "humaneval_exec", 1, synthetic.STEPS), record)
    return path


@pytest.fixture(scope="module")
def declare(store: Path) -> Declare:
    """The comparison of the study once it declares a composite; nothing but its own record is written again."""
    plain = read_study(store, "small")

    def compared(composite: Composite) -> Comparison:
        write(store / "studies" / "small" / "study.json", replace(plain, composite=composite.flat))
        return compare(store, "small")

    return compared


def row(found: Comparison, metric: str) -> Row:
    (its,) = [r for r in found.rows if (r.arm, r.metric.name, r.at) == (ARM, metric, "final")]
    return its


def test_it_is_what_one_computes_by_hand() -> None:
    """PIQA: 3 of 4 right, half above chance of one half. TriviaQA: 1 of 4. HumanEval: 1 of the 2 whose tests run."""
    scores = (
        scores_of(EvalRecord("piqa", 1, "h", "f", 1, tuple({"id": i, "correct": int(i > 0)} for i in range(4))), "a")
        | scores_of(EvalRecord("triviaqa", 1, "h", "f", 1, tuple({"id": i, "correct": i // 3} for i in range(4))), "a")
        | scores_of(
            EvalRecord(
                *("humaneval_exec", 1, "h", "f", 1),
                tuple({"id": i, "samples": 1, "passed": i % 2, "runs": i < 2, "weak": False} for i in range(3)),
            ),
            "a",
        )
    )

    def of(composite: Composite) -> float | None:
        (metric,) = [metric for metric in metrics_of(composite, scores) if metric.name == COMPOSITE]
        assert metric.chance == (0.0 if composite.centred else pytest.approx(0.5 / 3))
        return value(metric, scores)

    assert of(ALIKE) == pytest.approx((0.5 + 0.25 + 0.5) / 3)
    assert of(replace(ALIKE, rescaled=False)) == pytest.approx((0.25 + 0.25 + 0.5) / 3)
    assert of(replace(ALIKE, centred=False, rescaled=False)) == pytest.approx((0.75 + 0.25 + 0.5) / 3)
    weighed = Composite({"piqa": Fraction(1, 2), "knowledge": 3, "cb": 7}, centred=True, rescaled=True)
    assert of(weighed) == pytest.approx((0.5 * 0.5 + 3 * 0.25) / 3.5)


def test_its_difference_and_noise_are_those_of_numpy(store: Path, declare: Declare) -> None:
    """Written down from the records alone: means of seeds, and variances of seeds, of items and of both."""
    found = row(declare(ALIKE), COMPOSITE)

    def scores(task: str, arm: str) -> tuple[np.ndarray, np.ndarray]:
        score, size = [], []
        for seed in (1, 2, 3):
            (path,) = (store / "stages").glob(f"{arm}-cooldown-s{seed}-*/evals/{task}@*.json")
            items = sorted(json.loads(path.read_text())["items"], key=lambda item: item["id"])
            executed = task == "humaneval_exec"
            size.append([float(item["runs"]) if executed else 1.0 for item in items])
            score.append([item["passed"] / 2 * item["runs"] if executed else item["correct"] for item in items])
        return np.array(score), np.array(size)

    weights = {**dict.fromkeys(("hellaswag", "piqa", "boolq", "copa"), 1 / 12), "triviaqa": 1 / 3}
    ours_S, theirs_S, items, both = np.zeros(3), np.zeros(3), 0.0, 0.0
    for task, weight in (weights | {"humaneval_exec": 1 / 3}).items():
        added = 0.0
        for sign, arm in ((1, ARM), (-1, synthetic.BASELINE)):
            score_SxN, size_SxN = scores(task, arm)
            mean_S = score_SxN.sum(axis=1) / size_SxN.sum(axis=1)
            by_seed = ours_S if sign == 1 else theirs_S
            by_seed += weight * (mean_S - CHANCE[task]) / (1 - CHANCE[task])
            left_SxN = (score_SxN - size_SxN * mean_S[:, None]) / size_SxN.mean(axis=1, keepdims=True)
            added = added + sign * weight / (1 - CHANCE[task]) * left_SxN
        n_seeds, n_items = added.shape
        items += added.mean(axis=0).var(ddof=1) / n_items
        both += ((added - added.mean(axis=0)) ** 2).sum() / ((n_seeds - 1) * (n_items - 1)) / n_seeds / n_items
    spread = found.estimate.spread
    assert found.estimate.value == pytest.approx(ours_S.mean())
    assert found.estimate.baseline_value == pytest.approx(theirs_S.mean())
    assert found.estimate.difference.centre == pytest.approx((ours_S - theirs_S).mean())
    assert (spread.seeds, spread.items, spread.both) == pytest.approx(
        ((ours_S - theirs_S).var(ddof=1) / 3, items, both)
    )
    assert found.estimate.relative is None  # it may be below 0


def test_chance_moves_no_difference_and_rescaling_is_a_factor(declare: Declare) -> None:
    parts = {"reasoning": Fraction(1, 2), "knowledge": Fraction(1, 2)}
    plain, centred = (declare(Composite(parts, each, False)) for each in (False, True))
    assert row(plain, COMPOSITE).estimate == row(plain, "nl/acc").estimate
    raw, above = row(plain, COMPOSITE).estimate, row(centred, COMPOSITE).estimate
    assert (above.difference, above.these_items, above.spread) == (raw.difference, raw.these_items, raw.spread)
    assert raw.value - above.value == pytest.approx((0.25 + 0.5 + 0.622 + 0.5) / 8)
    one = declare(Composite({"boolq": 3}, centred=True, rescaled=True))
    whole, part = (row(one, name).estimate.difference for name in (COMPOSITE, "boolq/acc"))
    ends = [end / (1 - 0.622) for end in (part.centre, part.low, part.high)]
    assert (whole.centre, whole.low, whole.high) == pytest.approx(ends) and whole.p == pytest.approx(part.p)


def test_it_stands_beside_the_paper_s_mean_and_says_what_it_lacks(store: Path, declare: Declare) -> None:
    found = declare(replace(ALIKE, parts={"knowledge": 1, "reasoning": 2, "cb@5shot": 1}))
    names = [metric.name for metric in found.metrics]
    assert names[names.index(COMPOSITE) + 1] == "nl/acc"
    line = coverage(declared(found.study), found.metrics)
    assert line == (
        "Composite: accuracy above chance / (1 − chance), by weight (chance): knowledge 33.3 %, alike over "
        "TriviaQA (0 %); reasoning 66.7 %, alike over BoolQ (62.2 %), PIQA (50 %), COPA (50 %), HellaSwag (25 %). "
        "Declared and not scored: NQ-Open, SciQ, SocialIQA, QuAC, CB, StoryCloze, WinoGrande, ARC-Easy, CB (5shot)."
    )
    assert to_json(found)["composite"] == line
    signals = card(store, "small")
    (its,) = [each for each in signals.signals if each.metric.name == COMPOSITE]
    assert its.metric.chance == 0.0 and its.arms_above == 0 and its.above_chance is False
    assert card_json(signals)["composite"] == line and row(found, COMPOSITE).judged.at_chance
    with (out := io.StringIO()):
        print_answer(found, Console(file=out, width=10_000))
        assert line in out.getvalue()
    assert [metric.name for metric in shown(found)][-2:] == [COMPOSITE, "nl/acc"], "last, for it is at chance"
    assert Text(line) in accuracies(found)
    above = declare(Composite({"humaneval_exec": 1}, centred=True, rescaled=True))
    assert [metric.name for metric in shown(above)][:2] == [COMPOSITE, "nl/acc"], "first, for it says something"
    nothing = Composite({"cb": 1}, centred=True, rescaled=True)
    assert coverage(nothing, metrics_of(nothing, {"piqa"})) == (
        "Composite: nothing of it was scored. Declared and not scored: CB."
    )


def test_it_is_proposed_and_fitted_like_any_metric(declare: Declare) -> None:
    """Of one task that is rescaled by 2, beside the task itself: the same answers, so that noise adds up as they do."""
    found = declare(Composite({"piqa": 1}, centred=True, rescaled=True))
    shares = dict(synthetic.CODE_SHARE)
    alone, both = (
        points(found, parse(text, found.metrics).weighed, shares)[0]
        for text in ("composite", "mean(composite, piqa/acc)")
    )
    assert alone is not None and both is not None
    assert both.mean_A == pytest.approx(0.5 * alone.mean_A + 0.5 * (alone.mean_A + 1) / 2)
    assert both.noise_AxA == pytest.approx(0.75**2 * alone.noise_AxA)
