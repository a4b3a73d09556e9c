"""From evaluation records to metrics."""

import math

import pytest

from analysis.metrics import above_chance, metrics_for, require_same_items, signed, task_scores, value
from analysis.records import EvalRecord
from mixtures.errors import Failure


def record(task: str, *items: dict[str, object], version: int = 1, prompt_hash: str = "h") -> EvalRecord:
    return EvalRecord(task, version, prompt_hash, "f", 10, items)


def of(task: str, *items: dict[str, object]) -> dict[str, object]:
    return {task: task_scores(record(task, *items), "stage-a")}


def test_bits_per_byte_sums_before_it_divides() -> None:
    scores = of(
        "heldout/code", {"id": "a", "nats": math.log(2) * 3, "bytes": 1}, {"id": "b", "nats": math.log(2), "bytes": 7}
    )
    (metric,) = metrics_for(scores)
    assert metric.name == "heldout/code/bpb"
    assert not metric.higher_is_better
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
    assert found["reasoning-no-copa/acc"] == 1.0
    assert found["knowledge/exact_match"] == 0.5
    assert found["nl/gold_bpb"] == pytest.approx(1 / math.log(2))


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
    ],
)
def test_corrupt_records_are_named(items: list[dict[str, object]], problem: str) -> None:
    with pytest.raises(Failure, match=f"'piqa' in stage-a .*{problem}"):
        task_scores(record("piqa", *items), "stage-a")


def test_item_order_does_not_matter_but_items_do() -> None:
    a, b = {"id": "a", "correct": 1}, {"id": "b", "correct": 0}
    require_same_items(task_scores(record("piqa", a, b), "x"), task_scores(record("piqa", b, a), "y"))
    other = task_scores(record("piqa", a, version=2, prompt_hash="other"), "stage-y")
    with pytest.raises(
        Failure, match=r"'piqa' differs in its version and prompts and items between stage-x .* and stage-y"
    ):
        require_same_items(task_scores(record("piqa", a, b), "stage-x"), other)


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert [signed(x, 1) for x in (-0.04, 0.04, -1.26, 1.26)] == ["0.0", "0.0", "−1.3", "+1.3"]
