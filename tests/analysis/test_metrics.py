"""From evaluation records to metrics."""

import math

import pytest

from analysis.evals.benchmarks import EXECUTED, TASKS
from analysis.evals.scoring import credit
from analysis.metrics import (
    CHOICES,
    CODE,
    HELDOUT_KINDS,
    QUESTIONS,
    above_chance,
    coverage,
    metrics_for,
    signed,
    value,
)
from analysis.records import EvalRecord
from analysis.scores import Evaluated, require_same_items
from analysis.task_scores import scores_of
from store.errors import Failure


def record(task: str, *items: dict[str, object], version: int = 1, prompt_hash: str = "h") -> EvalRecord:
    return EvalRecord(task, version, prompt_hash, "f", 10, items)


def of(task: str, *items: dict[str, object]) -> dict[str, object]:
    return scores_of(record(task, *items), "stage-a")


def test_bits_per_byte_sums_before_it_divides() -> None:
    scores = of(
        "heldout/code", {"id": "a", "nats": math.log(2) * 3, "bytes": 1}, {"id": "b", "nats": math.log(2), "bytes": 7}
    )
    (metric,) = metrics_for(scores)
    assert metric.name == "heldout/code/bpb"
    assert not metric.score.higher_is_better
    assert value(metric, scores) == pytest.approx(4 / 8)


def test_categories_are_unweighted_means_of_their_tasks() -> None:
    item = {"nats": 1.0, "bytes": 1}
    scores = (
        of("piqa", *({"id": i, "correct": 1, **item} for i in range(10)))
        | of("copa", {"id": 0, "correct": 0, **item})
        | of("triviaqa", {"id": 0, "correct": 1, **item}, {"id": 1, "correct": 0, **item})
    )
    found = {metric.name: value(metric, scores) for metric in metrics_for(scores)}
    assert found["reasoning/acc"] == 0.5
    assert found["reasoning-no-cb-copa/acc"] == 1.0
    assert found["knowledge/exact_match"] == 0.5
    assert found["nl/gold_bpb"] == pytest.approx(1 / math.log(2))


CHOICE = {
    # The right one is the second: the likeliest as a whole, but not per character (3.0 / 6 against 4.0 / 10).
    "id": "a", "nats": 3.0, "bytes": 7, "correct": 1, "gold": 1,
    "choice_nats": [4.0, 3.0, 6.0], "choice_bytes": [11, 7, 5], "choice_chars": [10, 6, 4],
}  # fmt: skip
EASY = {
    "id": "b", "nats": 1.0, "bytes": 5, "correct": 1, "gold": 0,
    "choice_nats": [1.0, 6.0], "choice_bytes": [5, 4], "choice_chars": [4, 3],
}  # fmt: skip


def test_choice_scores_are_those_computed_by_hand() -> None:
    scores = of("sciq", CHOICE, EASY)
    found = {metric.name: value(metric, scores) for metric in metrics_for(scores)}
    assert found["sciq/acc"] == 1.0
    assert found["sciq/acc_norm"] == 0.5
    assert found["sciq/gold_bpb"] == pytest.approx(4.0 / math.log(2) / 12)
    assert found["sciq/correct_prob"] == pytest.approx((math.exp(-3.0 / 6) + math.exp(-1.0 / 4)) / 2)
    assert found["sciq/margin"] == pytest.approx(((4 / 11 - 3 / 7) + (6 / 4 - 1 / 5)) / 2)
    assert found["reasoning/margin"] == found["reasoning-no-cb-copa/margin"] == found["sciq/margin"]
    better = {metric.name.split("/")[1]: metric.score.higher_is_better for metric in metrics_for(scores)}
    assert better == {"acc": True, "acc_norm": True, "gold_bpb": False, "correct_prob": True, "margin": True}


def test_means_are_the_paper_s_and_say_what_is_in_them() -> None:
    tasks = (*(f"heldout/{kind}" for kind in HELDOUT_KINDS), *CODE, *EXECUTED, *CHOICES, *QUESTIONS)
    possible = {metric.name: metric for metric in metrics_for(tasks)}
    assert len(possible["reasoning/acc"].parts) == 11 and len(possible["knowledge/exact_match"].parts) == 2
    assert len(possible["reasoning-no-cb-copa/acc"].parts) == 9
    item = {"nats": 1.0, "bytes": 1}
    scores = (
        of("cb", {"id": 0, "correct": 1, **item}) | of("piqa", {"id": 0, "correct": 0, **item})
        | of("nq_open", {"id": 0, "correct": 1, **item}) | of("piqa@5shot", {"id": 0, "correct": 1, **item})
        | of("nq_open:harness", {"id": 0, "correct": 0, **item})
    )  # fmt: skip
    metrics = metrics_for(scores)
    found = {metric.name: value(metric, scores) for metric in metrics}
    assert found["reasoning/acc"] == 0.5 and found["knowledge/exact_match"] == 1.0  # no variant, no examples
    assert found["nl/acc"] == 0.75 and found["nl-no-cb-copa/acc"] == 0.5
    assert found["piqa@5shot/acc"] == 1.0 and found["nq_open:harness/exact_match"] == 0.0
    assert found["piqa/margin"] is None  # a record from before there was one
    assert coverage(metrics) == [
        "Reasoning: mean over 2 of the paper's 11 tasks, PIQA (per character), CB, without BoolQ, SciQ, SocialIQA, "
        "QuAC, COPA, StoryCloze, HellaSwag, WinoGrande, ARC-Easy.",
        "Knowledge: mean over 1 of the paper's 2 tasks, NQ-Open, without TriviaQA.",
    ]
    chance = {metric.name: metric.chance for metric in metrics}
    assert chance["piqa@5shot/acc"] == chance["piqa/acc_norm"] == 0.5 and chance["nl/acc"] == 0.25
    (shown,) = [m for m in metrics_for({"nq_open:harness@5shot"}) if m.score.name == "exact_match"]
    assert shown.label == "NQ-Open (harness 5shot), exact match"


def test_a_category_takes_each_task_s_leading_score() -> None:
    """HellaSwag by likelihood per character, as it is reported everywhere; WinoGrande as a whole."""
    scores = of("hellaswag", CHOICE) | of("winogrande", CHOICE | {"id": "c"})
    found = {metric.name: value(metric, scores) for metric in metrics_for(scores)}
    assert (found["hellaswag/acc"], found["hellaswag/acc_norm"]) == (1.0, 0.0)
    assert found["winogrande/acc"] == 1.0 and found["reasoning/acc"] == 0.5
    assert {name: task.lead for name, task in TASKS.items() if task.category == "reasoning"} == {
        **dict.fromkeys(("boolq", "social_iqa", "cb", "copa", "storycloze_2016", "winogrande"), "acc"),
        **dict.fromkeys(("piqa", "sciq", "quac", "hellaswag", "arc_easy"), "acc_norm"),
    }


def test_equal_likelihoods_share_what_the_right_answer_is_worth() -> None:
    """A model that says the same of everything scores what guessing does, whichever choice comes first."""
    flat = {"choice_nats": [2.0, 2.0], "choice_bytes": [3, 3], "choice_chars": [3, 3], "nats": 2.0, "bytes": 3}
    items = [{"id": str(gold), "gold": gold, "correct": credit([2.0, 2.0], gold), **flat} for gold in (0, 1)]
    scores = of("piqa", *items)
    found = {metric.name: value(metric, scores) for metric in metrics_for(scores)}
    assert found["piqa/acc"] == found["piqa/acc_norm"] == 0.5
    assert [credit([1.0, 1.0, 2.0], gold) for gold in range(3)] == [0.5, 0.5, 0]


def test_heldout_text_is_scored_by_source_too() -> None:
    items = [
        {"id": f"{source}/{i}", "nats": math.log(2) * nats, "bytes": 4, "source": source}
        for i, (source, nats) in enumerate([("python", 4), ("c-cpp", 16), ("python", 12)])
    ]
    scores = scores_of(record("heldout/code", *items), "stage-a")
    found = {metric.name: value(metric, scores) for metric in metrics_for(scores)}
    assert found == {
        "heldout/code/bpb": pytest.approx(32 / 12),
        "heldout/code/c-cpp/bpb": pytest.approx(4.0),
        "heldout/code/python/bpb": pytest.approx(2.0),
    }
    assert "Held-out code (python), bits/byte" in [metric.label for metric in metrics_for(scores)]
    assert list(scores_of(record("heldout/text", *items[::2]), "x")) == ["heldout/text"]


def test_a_metric_needs_all_its_tasks() -> None:
    scores = of("piqa", {"id": 0, "correct": 1})
    found = {metric.name: metric for metric in metrics_for({"piqa", "copa"})}
    assert value(found["reasoning/acc"], scores) is None
    assert value(found["piqa/acc"], scores) == 1.0
    assert value(found["piqa/gold_bpb"], scores) is None


def test_chance_is_a_matter_of_items() -> None:
    found = {metric.name: metric for metric in metrics_for({"piqa", "boolq", "triviaqa"})}
    # 55 % of 100: Wilson's interval is [0.452, 0.644]; of 1,000 it is [0.519, 0.581].
    assert not above_chance(found["piqa/acc"], 0.55, {"piqa": 100})
    assert above_chance(found["piqa/acc"], 0.55, {"piqa": 1000})
    # A model that always says "yes" reaches 62 % on BoolQ.
    assert not above_chance(found["boolq/acc"], 0.62, {"boolq": 3270})
    assert above_chance(found["piqa/gold_bpb"], 9.9, {"piqa": 1})
    assert not above_chance(found["triviaqa/exact_match"], 0.0, {"triviaqa": 100})


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([{"id": "a", "correct": 1}, {"id": "a", "correct": 0}], "without an id of their own"),
        ([{"correct": 1}], "without an id of their own"),
        ([{"id": "a", "correct": 1}, {"id": "b"}], "'correct' for some items only"),
        ([{"id": "a", "nats": float("nan"), "bytes": 1}], "'nats' that is not a finite number"),
        ([CHOICE, {**EASY, "choice_chars": [4]}], "choices that are not whole"),
        ([CHOICE, {k: v for k, v in EASY.items() if k != "gold"}], "choices that are not whole"),
        ([CHOICE, {**EASY, "gold": 2}], "choices that are not whole"),
        ([CHOICE, {"id": "b", "nats": 1.0, "bytes": 5, "correct": 1}], "'choice_nats' for some items only"),
    ],
)
def test_corrupt_records_are_named(items: list[dict[str, object]], problem: str) -> None:
    with pytest.raises(Failure, match=f"'piqa' in stage-a .*{problem}"):
        scores_of(record("piqa", *items), "stage-a")


def test_item_order_does_not_matter_but_items_do() -> None:
    def of_arms(*records: EvalRecord) -> Evaluated:
        scores = {(str(n), 1, "final"): scores_of(each, f"stage-{n}") for n, each in enumerate(records)}
        return Evaluated({}, scores, frozenset())

    a, b = {"id": "a", "correct": 1}, {"id": "b", "correct": 0}
    require_same_items(of_arms(record("piqa", a, b), record("piqa", b, a)))
    other = record("piqa", a, version=2, prompt_hash="other")
    with pytest.raises(
        Failure, match=r"'piqa' differs in its version and prompts and items between stage-0 .* and stage-1"
    ):
        require_same_items(of_arms(record("piqa", a, b), other))


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert [signed(x, 1) for x in (-0.04, 0.04, -1.26, 1.26)] == ["0.0", "0.0", "−1.3", "+1.3"]
