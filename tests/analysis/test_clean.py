"""Scores on clean items, against a store in which leaked items were planted in the arms that read code."""

import csv
from pathlib import Path

import pytest

from analysis.clean import CleanScore, clean_scores, dirty_items
from analysis.compare import compare
from analysis.ledgers import read_ledgers
from analysis.records import eval_path, read_eval, read_study, write
from analysis.report.build import build
from store.files import read_sealed, write_sealed
from tests.analysis import synthetic_store as synthetic

LEAKED, ITEMS, SEEDS = 10, 40, (1, 2)
"""The first ten items of PIQA match documents of the source "python", which text-only does not read."""


def _planted(store: Path, leaked: int = LEAKED) -> Path:
    """A store whose arms that read code answer the leaked items right and the others as they did."""
    tasks = ("piqa", "hellaswag", "heldout/text")
    synthetic.write_store(store, SEEDS, tasks, primary=("heldout/text/bpb",), n_items=ITEMS)
    path = store / "prepared" / "data1" / "manifest.json"
    manifest = read_sealed(path, "")
    (match,) = manifest["sources"]["python"]["kept"]
    manifest["sources"]["python"]["kept"] = [match | {"item": f"piqa-{n}"} for n in range(leaked)]
    write_sealed(path, manifest)
    for run in read_study(store, "small").runs:
        if run.arm != synthetic.BASELINE:
            file = eval_path(store / "stages" / run.stages[-1], "piqa", 1, synthetic.STEPS)
            record = read_eval(file)
            items = tuple(item | {"correct": 1} if n < leaked else item for n, item in enumerate(record.items))
            write(file, record.__class__(**record.__dict__ | {"items": items}))
    return store


def _scores(store: Path) -> dict[tuple[str, str], CleanScore]:
    comparison = compare(store, "small")
    manifest = read_sealed(store / "prepared" / "data1" / "manifest.json", "")
    dirty = dirty_items(manifest, comparison.study, read_ledgers(store, comparison.study))
    return {(score.arm, score.metric.name): score for score in clean_scores(comparison, dirty)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _planted(tmp_path_factory.mktemp("clean"))


def test_leaked_items_are_taken_out_of_the_arms_that_read_them(store):
    found = _scores(store)
    for arm in synthetic.ARMS:
        score = found[arm, "piqa/acc"]
        correct = _correct(store, arm)
        mean = [sum(seed[first:]) / len(seed[first:]) for seed in correct for first in (0, LEAKED)]
        everything, clean = sum(mean[::2]) / 2, sum(mean[1::2]) / 2
        assert score.value == pytest.approx(everything)
        if arm == synthetic.BASELINE:
            assert (score.n_clean, score.clean, score.difference.high, score.relative) == (ITEMS, score.value, 0, 0)
            continue
        assert (score.n_items, score.n_clean, score.n_seeds) == (ITEMS, ITEMS - LEAKED, 2)
        assert score.clean == pytest.approx(clean)
        assert score.difference.centre == pytest.approx(clean - everything)
        assert score.relative == pytest.approx((clean - everything) / everything)
        assert score.difference.low < clean - everything < score.difference.high < 0, "the leak is beyond noise"


def _correct(store: Path, arm: str) -> list[list[int]]:
    """By seed and item at the end of the runs."""
    runs = [run for run in read_study(store, "small").runs if run.arm == arm]
    files = [eval_path(store / "stages" / run.stages[-1], "piqa", 1, synthetic.STEPS) for run in runs]
    return [[item["correct"] for item in read_eval(file).items] for file in files]


def test_arms_are_compared_on_the_items_clean_for_both(store):
    found = _scores(store)
    arm, baseline = (_correct(store, name) for name in ("balanced-only", synthetic.BASELINE))
    clean = [sum(a[LEAKED:]) / 30 - sum(b[LEAKED:]) / 30 for a, b in zip(arm, baseline, strict=True)]
    score = found["balanced-only", "piqa/acc"]
    assert score.n_both == ITEMS - LEAKED
    assert score.against.difference.centre == pytest.approx(sum(clean) / 2)
    assert found[synthetic.BASELINE, "piqa/acc"].against is None


def test_what_a_leak_was_worth_is_what_the_arm_has_more_on_the_items_that_it_alone_read(store):
    arm, baseline = (_correct(store, name) for name in ("balanced-only", synthetic.BASELINE))
    more = [
        (sum(a[:LEAKED]) - sum(b[:LEAKED])) / LEAKED - (sum(a[LEAKED:]) - sum(b[LEAKED:])) / (ITEMS - LEAKED)
        for a, b in zip(arm, baseline, strict=True)
    ]
    score = _scores(store)["balanced-only", "piqa/acc"]
    assert score.n_read == LEAKED
    assert score.worth.difference.centre == pytest.approx(sum(more) / 2)
    assert score.worth.difference.low < 0 < score.worth.difference.p < 1, "two seeds that do not agree"


def test_only_benchmarks_that_were_searched_are_called_clean(store):
    assert {metric for _, metric in _scores(store)} == {"piqa/acc", "piqa/gold_bpb"}
    assert "hellaswag/acc" in {metric.name for metric in compare(store, "small").metrics}


def test_an_arm_without_a_clean_item_has_no_clean_score(tmp_path):
    score = _scores(_planted(tmp_path, ITEMS))["balanced-only", "piqa/acc"]
    assert (score.n_clean, score.clean, score.difference, score.relative, score.against) == (0, None, None, None, None)
    assert (score.n_read, score.worth) == (ITEMS, None)


def test_the_report_shows_them(store):
    page = build(store, "small", synthetic.EXTRAS)
    text = page.read_text(encoding="utf-8")
    assert "Scores without the matched items" in text
    with (page.parent / "clean.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["arm"], row["metric"]): row for row in csv.DictReader(file)}
    assert len(rows) == 2 * len(synthetic.ARMS)
    for (arm, metric), score in _scores(store).items():
        assert float(rows[arm, metric]["clean"]) == pytest.approx(score.clean)
        assert (rows[arm, metric]["worth"] == "") == (score.worth is None)
        if score.worth:
            assert float(rows[arm, metric]["worth"]) == pytest.approx(score.worth.difference.centre)
    assert "What a leak was worth" in text
    shown = text.split("Scores without the matched items")[1].split("</table>")[0]
    assert shown.count(f"<td>{ITEMS} × 2</td><td>{ITEMS - LEAKED}</td>") == 2 * (len(synthetic.ARMS) - 1)
