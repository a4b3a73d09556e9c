"""Arms against a baseline, from records on disk."""

import io
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from analysis.compare import Comparison, Row, compare, notes, to_json
from analysis.ledger_rows import ledger_line, read_ledger
from analysis.records import RunRecord, eval_path, read_eval, read_study, write
from analysis.report.terminal import print_all
from analysis.scores import FINAL
from store.errors import Failure, UserError
from tests.analysis import synthetic_store as synthetic

FEW = ("heldout/text", "heldout/code", "piqa", "copa", "triviaqa")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    synthetic.write_store(tmp_path, tasks=FEW, primary=("heldout/text/bpb", "heldout/code/bpb"))
    return tmp_path


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comparison]:
    path = tmp_path_factory.mktemp("full")
    synthetic.write_store(path, n_items=100)
    yield compare(path, "small")


def row(comparison: Comparison, arm: str, metric: str, at: str = "final") -> Row:
    (found,) = [r for r in comparison.rows if (r.arm, r.metric.name, r.at) == (arm, metric, at)]
    return found


def evaluation(store: Path, arm: str, seed: int, task: str, kind: str = "cooldown") -> Path:
    (stage,) = (store / "stages").glob(f"{arm}-{kind}-s{seed}-*")
    return eval_path(stage, task, 1, synthetic.STEPS)


def test_the_planted_effects_are_found_and_no_others(full: Comparison) -> None:
    for arm in ("balanced-only", "balanced-to-text", "code-to-text"):
        found = row(full, arm, "heldout/code/bpb")
        assert found.judged.text == "better"
        assert found.estimate.difference.high < 0
        planted = 1 - 0.5 * synthetic.CODE_SHARE[arm]
        assert found.estimate.relative is not None
        assert found.estimate.relative.low <= planted - 1 <= found.estimate.relative.high
    assert row(full, "code-to-text", "heldout/text/bpb").estimate.difference.centre > 0
    quiet = [r for r in full.rows if r.metric.name in ("heldout/markup/bpb", "heldout/adjacent/bpb")]
    assert len(quiet) == 12
    assert {r.judged.text for r in quiet} == {"cannot tell"}
    guesses = [r for r in full.rows if r.metric.name.endswith("/acc")]
    assert sum(r.judged.at_chance for r in guesses) >= 0.9 * len(guesses)


def test_values_are_those_of_the_records(full: Comparison) -> None:
    expected = []
    for seed in (1, 2):
        items = synthetic.items("heldout/code", "code-to-text", seed, "cooldown", 100)
        expected.append(sum(i["nats"] for i in items) / 0.6931471805599453 / sum(i["bytes"] for i in items))
    found = row(full, "code-to-text", "heldout/code/bpb")
    assert found.estimate.value == pytest.approx(sum(expected) / 2)
    assert (found.n_items, found.n_seeds, found.metric.score.higher_is_better) == (100, 2, False)
    assert found.estimate.difference.centre == pytest.approx(found.estimate.value - found.estimate.baseline_value)


def test_holm_is_taken_over_the_declared_family_at_the_end(full: Comparison) -> None:
    family = [r for r in full.rows if r.primary]
    assert {(r.metric.name, r.at) for r in family} == {(m, "final") for m in full.study.primary}
    assert len(family) == 9
    assert min(family, key=lambda r: r.p).p_adjusted == pytest.approx(9 * min(r.p for r in family))
    for r in family:
        assert r.p_adjusted is not None and r.adjustment == "holm of 9"
        beyond = not r.estimate.difference.low <= 0 <= r.estimate.difference.high
        assert r.judged.text.endswith("not after Holm") == (beyond and r.p_adjusted > 0.05)
        assert r.judged.told_apart == (r.p_adjusted <= 0.05)


def test_all_else_is_exploratory_and_corrected_by_benjamini_and_hochberg(full: Comparison) -> None:
    rest = [r for r in full.rows if not r.primary]
    p = sorted(r.p for r in rest)
    for r in rest:
        assert r.adjustment == f"bh of {len(rest)}"
        assert r.p_adjusted == pytest.approx(min(len(p) / (i + 1) * q for i, q in enumerate(p) if q >= r.p))
        if r.p_adjusted > 0.05:
            assert not r.judged.told_apart
    assert any(r.judged.text == "cannot tell, not after Benjamini–Hochberg" for r in rest)


def test_json_is_plain_and_complete(full: Comparison) -> None:
    document = json.loads(json.dumps(to_json(full), allow_nan=False))
    assert (document["study"], document["baseline"]) == ("small", "text-only")
    assert set(document["rows"][0]) >= {
        "arm", "metric", "n_items", "n_seeds", "value", "baseline_value", "difference", "interval", "relative",
        "relative_interval", "p", "p_adjusted", "adjustment", "higher_is_better", "at", "interval_kind", "verdict",
        "n_declared", "interval_items", "spread", "margin", "p_equivalent",
    }  # fmt: skip
    assert len(document["rows"][0]["interval"]) == 2
    verdicts = [row["verdict"] for row in document["rows"]]
    assert all(set(verdict) == {"side", "strength", "why"} for verdict in verdicts)
    assert {verdict["side"] for verdict in verdicts} == {"better", "worse", "cannot tell"}
    assert {verdict["strength"] for verdict in verdicts} == {"family", "exploratory", "items only"}
    assert {r["at"] for r in document["rows"]} == {"before-cooldown", "final"}


def test_a_deleted_record_is_named_and_makes_nothing_stronger(store: Path) -> None:
    whole = {(r.arm, r.metric.name, r.at): r for r in compare(store, "small").rows}
    evaluation(store, "balanced-only", 2, "heldout/code").unlink()
    comparison = compare(store, "small")
    found = row(comparison, "balanced-only", "heldout/code/bpb")
    assert (found.n_seeds, found.n_declared) == (1, 2)
    assert found.judged.text == "cannot tell, on this seed only: item noise only, 1 of 2 seeds"
    assert "item noise only" in found.estimate.kind
    assert "balanced-only, seed 2, final: heldout/code is not evaluated" in comparison.gaps
    assert (found.p, found.p_adjusted) == (1.0, 1.0)
    for r in comparison.rows:
        if r.primary:
            assert r.p_adjusted >= whole[r.arm, r.metric.name, r.at].p_adjusted  # type: ignore[operator]
    assert row(comparison, "code-to-text", "heldout/code/bpb").n_seeds == 2


def diverge(store: Path, arm: str, seed: int, tasks: tuple[str, ...] = FEW) -> None:
    for task in tasks:
        path = evaluation(store, arm, seed, task)
        why = "3 of 40 items have no finite likelihood, so the model has diverged"
        write(path, replace(read_eval(path), items=(), gap=why))


def test_a_seed_that_diverged_is_named_and_counts_against_its_arm(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, seeds=(1, 2, 3), tasks=FEW, primary=("heldout/code/bpb",), n_items=100)
    assert {r.judged.text for r in compare(tmp_path, "small").rows if r.primary} == {"better"}
    diverge(tmp_path, "code-to-text", 3)
    comparison = compare(tmp_path, "small")
    found = row(comparison, "code-to-text", "heldout/code/bpb")
    assert (found.judged.text, found.p, found.p_adjusted) == ("cannot tell, 2 of 3 seeds", 1.0, 1.0)
    assert any(
        gap.startswith("code-to-text, seed 3, final: heldout/code was not scored: 3 of 40") for gap in comparison.gaps
    )
    diverge(tmp_path, synthetic.BASELINE, 2)
    found = row(compare(tmp_path, "small"), "balanced-only", "heldout/code/bpb")
    assert (found.judged.text, found.n_seeds) == ("better, 2 of 3 seeds", 2), (
        "the baseline's loss is no reason to doubt the arm"
    )
    assert found.judged.mark == "△"


def test_scores_that_are_no_numbers_are_those_of_a_model_that_diverged(store: Path) -> None:
    path = evaluation(store, "code-to-text", 2, "heldout/code")
    record = read_eval(path)
    write(path, replace(record, items=({**record.items[0], "nats": None}, *record.items[1:])))
    comparison = compare(store, "small")
    assert row(comparison, "code-to-text", "heldout/code/bpb").judged.text.endswith("1 of 2 seeds")
    assert any(
        "code-to-text, seed 2, final: heldout/code was not scored: 1 of its scores" in gap for gap in comparison.gaps
    )


def test_a_run_that_stopped_because_it_diverged_is_called_that(store: Path) -> None:
    for kind in synthetic.STAGES:
        for task in FEW:
            evaluation(store, "code-to-text", 2, task, kind).unlink()
    (stage,) = (store / "stages").glob("code-to-text-pretrain-s2-*")
    (stage / "done.json").unlink()
    rows = read_ledger(stage)
    for skipped, diverged in ((range(5, 9), False), (range(5, 10), True)):  # the rows after them were written with them
        kept = [replace(row, skipped=number in skipped) for number, row in enumerate(rows[:10], 1)]
        (stage / "ledger.jsonl").write_bytes(b"".join(map(ledger_line, kept)))
        said = [gap for gap in compare(store, "small").gaps if "has diverged: step 9" in gap]
        assert (
            any(gap.startswith("code-to-text, seed 2, final: stage code-to-text-pretrain") for gap in said) == diverged
        )


def test_two_seeds_that_differ_by_the_same_count_show_item_noise_only(store: Path) -> None:
    for seed in (1, 2):
        for arm, passed in ((synthetic.BASELINE, 10), ("code-to-text", 38)):
            path = evaluation(store, arm, seed, "piqa")
            record = read_eval(path)
            write(
                path,
                replace(
                    record, items=tuple({**item, "correct": int(n < passed)} for n, item in enumerate(record.items))
                ),
            )
    found = row(compare(store, "small"), "code-to-text", "piqa/acc")
    assert found.judged.text == "cannot tell, item noise only"
    assert found.p < 0.001 and found.p_adjusted == 1, "two counts that are equal by chance say nothing of seeds"


def test_one_seed_never_gives_a_plain_verdict(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, seeds=(1,), tasks=FEW, primary=("heldout/code/bpb",))
    verdicts = {r.judged.text for r in compare(tmp_path, "small").rows if r.metric.name == "heldout/code/bpb"}
    assert verdicts == {"better, on this seed only: item noise only"}


def test_documents_of_a_few_packages_speak_for_themselves(store: Path) -> None:
    for arm in synthetic.ARMS:
        for seed, kind in itertools.product((1, 2), synthetic.STAGES):
            path = evaluation(store, arm, seed, "heldout/code", kind)
            record = read_eval(path)
            items = tuple({**item, "cluster": f"package {n % 7}"} for n, item in enumerate(record.items))
            write(path, replace(record, items=items))
    found = row(compare(store, "small"), "code-to-text", "heldout/code/bpb")
    assert "these documents" in found.estimate.kind
    assert found.estimate.these_items == found.estimate.difference


def test_a_gap_of_the_data_is_told_once_and_the_means_say_what_they_lack(store: Path) -> None:
    for path in sorted((store / "stages").glob("*/evals/piqa@1-*.json")):
        write(
            path.with_name(path.name.replace("piqa", "quac")),
            replace(read_eval(path), task="quac", items=(), gap="no rows"),
        )
    comparison = compare(store, "small")
    assert [gap for gap in comparison.gaps if "quac" in gap] == ["quac was not scored: no rows"]
    assert notes(comparison) == []
    for path in sorted((store / "stages").glob("*/evals/piqa@1-*.json")):
        record = read_eval(path)
        write(path, replace(record, items=({**record.items[0], "alike": 1}, *record.items[1:])))
    (line,) = notes(compare(store, "small"))  # once, though every arm has it
    assert line.startswith(f"piqa: 1 of {len(record.items)} items have choices that are the same")
    printed = io.StringIO()
    print_all(comparison, Console(file=printed, width=200))
    assert (
        "Reasoning: mean over 2 of the paper's 11 tasks, PIQA (per character), COPA, without BoolQ"
        in printed.getvalue()
    )


def test_what_is_missing_is_listed_and_the_rest_compared(store: Path) -> None:
    for seed in (1, 2):
        evaluation(store, "balanced-only", seed, "piqa").unlink()
    path = evaluation(store, "code-to-text", 1, "triviaqa")
    write(path, replace(read_eval(path), items=(), gap="no sandbox"))
    comparison = compare(store, "small")
    assert not [r for r in comparison.rows if (r.arm, r.metric.name, r.at) == ("balanced-only", "piqa/acc", "final")]
    assert row(comparison, "balanced-only", "copa/acc").n_seeds == 2
    assert "triviaqa was not scored: no sandbox" in comparison.gaps


def test_a_stage_that_is_not_finished_is_a_gap(store: Path) -> None:
    for task in FEW:
        evaluation(store, "code-to-text", 1, task).unlink()
    (stage,) = (store / "stages").glob("code-to-text-cooldown-s1-*")
    (stage / "done.json").unlink()
    assert any("code-to-text, seed 1, final" in gap and "not finished" in gap for gap in compare(store, "small").gaps)


def test_unequal_items_are_refused_by_name(store: Path) -> None:
    path = evaluation(store, "code-to-text", 1, "piqa")
    record = read_eval(path)
    write(path, replace(record, items=record.items[1:]))
    with pytest.raises(Failure, match=r"'piqa' differs in its items .* text-only-\S+ .* code-to-text-cooldown-s1"):
        compare(store, "small")


def test_unequal_prompts_are_refused(store: Path) -> None:
    path = evaluation(store, "balanced-to-text", 2, "heldout/code")
    write(path, replace(read_eval(path), prompt_hash="another"))
    with pytest.raises(Failure, match="'heldout/code' differs in its prompts"):
        compare(store, "small")


def test_only_the_last_step_and_the_newest_version_count(store: Path) -> None:
    before = to_json(compare(store, "small"))
    path = evaluation(store, "code-to-text", 1, "piqa")
    early = replace(read_eval(path), step=5, items=())
    write(path.with_name("piqa@1-step5.json"), early)
    assert to_json(compare(store, "small")) == before


def test_the_same_checkpoint_is_called_that(store: Path) -> None:
    study = read_study(store, "small")
    shared = {run.seed: run for run in study.runs if run.arm == "text-only"}
    runs = tuple(RunRecord(r.arm, r.seed, (*shared[r.seed].stages[:2], r.stages[2]), r.kinds) for r in study.runs)
    write(store / "studies" / "small" / "study.json", replace(study, runs=runs))
    comparison = compare(store, "small")
    assert {r.judged.text for r in comparison.rows if r.at == "before-cooldown" and r.metric.name.endswith("bpb")} == {
        "equivalent, same checkpoint"
    }
    assert row(comparison, "code-to-text", "heldout/code/bpb").judged.text == "better"


def test_errors_say_what_to_do(store: Path) -> None:
    with pytest.raises(UserError, match="run `ablate run absent` first"):
        compare(store, "absent")
    study = read_study(store, "small")
    write(store / "studies" / "small" / "study.json", replace(study, primary=("heldout/code/bits",)))
    assert "primary metric heldout/code/bits was not scored in any run" in compare(store, "small").gaps
    for path in (store / "stages").glob("*/evals/*.json"):
        path.unlink()
    with pytest.raises(UserError, match="`ablate run small` does it, if the study"):
        compare(store, "small")


def test_tasks_of_a_newer_version_are_left_out_with_a_word(store: Path) -> None:
    path = evaluation(store, "code-to-text", 1, "piqa")
    write(path.with_name(path.name.replace("piqa", "newtask")), replace(read_eval(path), task="newtask"))
    assert any("newtask" in gap for gap in compare(store, "small").gaps)


def test_the_terminal_table_shows_values_and_hostile_names_verbatim(tmp_path: Path) -> None:
    arms = {synthetic.BASELINE: "", "code-to-text": "[red]"}
    synthetic.write_store(tmp_path, tasks=FEW, arms=arms)
    out = io.StringIO()
    print_all(compare(tmp_path, "small"), Console(file=out, width=160))
    text = out.getvalue()
    assert "Held-out code, bits/byte" in text
    assert "before-cooldown, against text-only" in text
    assert "intervals: seeds and items, crossed" in text


def test_comparing_loads_no_heavy_package() -> None:
    code = (
        "import sys, analysis.report.build, analysis.report.terminal; "
        "print([m for m in ('jax', 'tensorflow', 'pandas', 'matplotlib', 'scipy.stats', 'jinja2') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_study_reads_the_records_of_what_it_asked(store: Path) -> None:
    """Other studies may have asked the same stages for other items of a task, or for other tasks."""
    before = compare(store, "small").by_seed(synthetic.BASELINE, "piqa/acc", FINAL)
    for path in sorted((store / "stages").glob("*/evals/piqa@1-*.json")):
        record = read_eval(path)
        wrong = tuple({**item, "correct": 0} for item in record.items)
        write(eval_path(path.parents[1], "piqa", 1, synthetic.STEPS, "0badcafe"), replace(record, items=wrong))
        path.rename(eval_path(path.parents[1], "piqa", 1, synthetic.STEPS, "1a2b3c4d"))
    study = read_study(store, "small")
    for asked, found in (("1a2b3c4d", before), ("0badcafe", dict.fromkeys(before, 0.0))):
        write(store / "studies" / "small" / "study.json", replace(study, asked={"piqa": asked}))
        comparison = compare(store, "small")
        assert comparison.by_seed(synthetic.BASELINE, "piqa/acc", FINAL) == found
        assert {task for scores in comparison.evaluated.scores.values() for task in scores} == {"piqa"}
