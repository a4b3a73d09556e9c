"""Arms that are compared with another arm than the study's baseline."""

import csv
import html
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from analysis.compare import compare, family, to_json
from analysis.records import judge_path, read_study, write
from analysis.report.build import build
from analysis.report.terminal import print_all
from analysis.winrates import win_rates
from tests.analysis import synthetic_store as synthetic
from tests.analysis.test_winrates import record

PRIMARY = ("heldout/text/bpb", "heldout/code/bpb")
BASELINES = {"balanced-only": "balanced-only", "code-to-text": "balanced-only"}
"""balanced-only stands for itself, and code-to-text is compared with it; balanced-to-text stays with text-only."""


def declare(store: Path, **changes: object) -> None:
    write(store / "studies" / "small" / "study.json", replace(read_study(store, "small"), **changes))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    synthetic.write_store(tmp_path, tasks=("heldout/text", "heldout/code", "piqa"), primary=PRIMARY)
    declare(tmp_path, baselines=BASELINES, origins={"balanced-to-text": "Fig. 5b", "code-to-text": "ours: no markup"})
    return tmp_path


def test_an_arm_is_compared_as_in_a_study_that_has_its_baseline(store: Path) -> None:
    found = compare(store, "small")
    declare(store, baselines={}, baseline="balanced-only")
    alone = {(row.arm, row.metric.name, row.at): row for row in compare(store, "small").rows}
    its = [row for row in found.rows if row.arm == "code-to-text"]
    assert its and all(row.estimate == alone[row.arm, row.metric.name, row.at].estimate for row in its)
    assert {(row.arm, row.baseline) for row in found.rows} == {
        ("balanced-to-text", synthetic.BASELINE),
        ("code-to-text", "balanced-only"),
    }


def test_the_family_has_no_arm_that_is_compared_with_none(store: Path) -> None:
    found = compare(store, "small")
    assert family(found.study) == [(arm, name) for arm in ("balanced-to-text", "code-to-text") for name in PRIMARY]
    (least,) = [row for row in found.rows if row.primary and row.p == min(r.p for r in found.rows if r.primary)]
    assert least.p_adjusted == pytest.approx(4 * least.p)


def test_a_seed_that_only_the_arms_own_baseline_lacks_is_named(store: Path) -> None:
    runs = read_study(store, "small").runs
    declare(store, runs=tuple(run for run in runs if (run.arm, run.seed) != ("balanced-only", 2)))
    found = compare(store, "small")
    assert "code-to-text, seed 2: the baseline balanced-only has no run with this seed to pair with" in found.gaps
    assert {row.arm: row.n_seeds for row in found.rows} == {"balanced-to-text": 2, "code-to-text": 1}


def test_every_table_names_the_baseline_of_an_arm(store: Path) -> None:
    found = compare(store, "small")
    document = to_json(found)
    assert {(row["arm"], row["baseline"]) for row in document["rows"]} == {(r.arm, r.baseline) for r in found.rows}
    out = io.StringIO()
    print_all(found, Console(file=out, width=250))
    assert "code-to-text (against balanced-only)" in out.getvalue() and "against their baselines" in out.getvalue()
    text = html.unescape(build(store, "small", synthetic.EXTRAS).read_text(encoding="utf-8"))
    for said in (
        "<dd>text-only; of 1 arm another, which stands below its name</dd>",
        "Of 4 declared primary comparisons with their baselines",
        "<strong>code-to-text (against balanced-only)</strong>",
        '<th scope="row" class="l">balanced-only<small>baseline</small></th>',
        "relative difference to their baselines",
        "3 of these 4 are the paper's; the other is not",
    ):
        assert said in text
    assert "<strong>balanced-only</strong>" not in text
    with (store / "studies" / "small" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        assert {(row["arm"], row["baseline"]) for row in csv.DictReader(file)} == {
            (r.arm, r.baseline) for r in found.rows
        }


def test_an_interval_is_drawn_from_its_own_baseline(store: Path) -> None:
    """A dashed line in every row of a panel, where with one baseline there is one across them."""
    dashed = r'stroke-dasharray: 3.2,2.4[^"]*stroke: currentColor'

    def lines() -> int:
        svg = re.search(r'<svg(?:(?!</svg>).)*aria-label="Held-out text by kind".*?</svg>', text, re.DOTALL)
        assert svg is not None
        return len(re.findall(dashed, svg[0]))

    text = build(store, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    assert lines() == 2 * len(synthetic.ARMS), "two panels"
    declare(store, baselines={})
    text = build(store, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    assert lines() == 2


def test_verdicts_are_shown_by_baseline(store: Path) -> None:
    for arm, baseline in (("balanced-to-text", synthetic.BASELINE), ("code-to-text", "balanced-only")):
        of_arm = record(store, arm, ["win", "win", "tie", "loss"])
        study = read_study(store, "small")
        theirs = record(store, baseline, ["win"]).checkpoints
        pairs = {seed: (mine, theirs[seed][0]) for seed, (mine, _) in of_arm.checkpoints.items()}
        its = replace(of_arm, baseline=study.baseline_of(arm), checkpoints=pairs)
        write(judge_path(store, "small", "judge-1-ab", "answers", arm), its)
    found = win_rates(store, read_study(store, "small"))
    assert [(each["baseline"], [row["arm"] for row in each["arms"]], each["gaps"]) for each in found] == [
        (synthetic.BASELINE, ["balanced-to-text"], []),
        ("balanced-only", ["code-to-text"], []),
    ]
    assert all(each["strengths"] == [] for each in found), "no arms met in a circle, so there is nothing to fit"
    declare(store, baselines={})
    found = win_rates(store, read_study(store, "small"))
    assert [(each["baseline"], [row["arm"] for row in each["arms"]]) for each in found] == [
        (synthetic.BASELINE, ["balanced-to-text"]),
        ("balanced-only", ["code-to-text"]),
    ]
    assert "code-to-text: not judged" in found[0]["gaps"]
