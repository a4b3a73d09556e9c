"""The report as a file: complete, safe to open, equal for equal records."""

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.compare import compare
from analysis.ledger_rows import ledger_line, read_ledger
from analysis.records import read_study, write
from analysis.report.build import build
from analysis.report.findings import answer
from store.errors import Failure, UserError
from store.files import write_sealed
from tests.analysis import synthetic_store as synthetic

HOSTILE = "<script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)> $\\frac$ {{ 7*7 }}"


class Page(HTMLParser):
    """Tags, the addresses that a browser would load, and event handlers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data", "srcset", "action")]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("report")
    synthetic.write_store(store)
    return build(store, "small", synthetic.EXTRAS)


def test_the_page_has_every_section(built: Path) -> None:
    text = built.read_text(encoding="utf-8")
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        "What the arms are",
        "Differences to the baseline",
        "Before and after cooldown",
        "Stage by stage",
        "Along the runs",
        "All comparisons",
        "What the tasks can tell",
        "Declared and realised tokens",
        "Where the data come from",
        "Contamination",
        "Cost",
        "Limits",
        "How to reproduce",
    ]
    names = re.findall(r'role="img" aria-label="([^"]+)"', text)
    assert len(names) == text.count("<svg") == 8 and "Along the runs" in names
    for said in ("Does code help?", "It helps code.", "rule align", "ablate run small", "jax 0.10.2, device 16 x TPU"):
        assert said in text
    assert "for every source in all 12 stages; sampled batches were read again" in text
    for said in (
        "plays 1.0",
        "3.50",
        "duplicate 31",
        "prose: 31 documents also in page, dropped as duplicates",
        "longer than 64 tokens 3",
    ):
        assert said in text


def test_the_answer_counts_what_the_table_says(built: Path) -> None:
    text = built.read_text(encoding="utf-8")
    with (built.parent / "comparison.csv").open(encoding="utf-8", newline="") as file:
        primary = [row for row in csv.DictReader(file) if row["adjustment"].startswith("holm")]
    clear = [row for row in primary if row["side"] == "better"]
    assert len(primary) == 9
    assert len(clear) > 1
    assert {row["verdict"] for row in clear} == {"better"}
    assert (
        "Of 9 declared primary comparisons with text-only at the end of the runs, after Holm's correction for all 9, "
        f"{len(clear)} are better and 0 worse."
    ).replace("'", "&#39;") in text


def test_what_a_correction_takes_back_is_counted_by_the_verdict_and_not_by_its_words(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path)
    found = compare(tmp_path, "small")
    beyond = [r for r in found.rows if r.primary and not r.estimate.difference.low <= 0 <= r.estimate.difference.high]
    lost = [r for r in beyond if not r.judged.told_apart]
    assert [r for r in found.rows if r.primary and r.judged.before] == lost
    reworded = [replace(r, judged=replace(r.judged, why=("a seed less", "not after all"))) for r in found.rows]
    said = [" ".join(answer(replace(found, rows=tuple(rows)))) for rows in (found.rows, reworded)]
    assert said[0] == said[1] and lost and f"{len(lost)} of the others" in said[0]
    told = sum(r.judged.told_apart for r in found.rows if r.primary)
    assert 9 - told - len(lost) == 1 and "The other cannot be told from noise" in said[0], "none is counted twice"


def test_one_comparison_is_told_as_one(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path)
    found = compare(tmp_path, "small")
    arms = {arm: found.study.arms[arm] for arm in ("text-only", "balanced-only")}
    study = replace(found.study, arms=arms, primary=("heldout/code/bpb",))
    (row,) = [r for r in found.at("final") if (r.arm, r.metric.name) == ("balanced-only", "heldout/code/bpb")]
    for what, said in (
        ("better", ": it is better. The largest gain is balanced-only"),
        ("cannot tell", ". It cannot be"),
    ):
        rows = (replace(row, judged=replace(row.judged, side=what, before="")),)
        family = (("balanced-only", "heldout/code/bpb"),)
        text = " ".join(answer(replace(found, study=study, rows=rows, family=family)))
        assert text.startswith(f"There is one declared primary comparison, with text-only at the end of the runs{said}")


def test_the_family_has_its_declared_size_whatever_is_missing(tmp_path: Path) -> None:
    """Nine were declared; two cannot be made, and one seed has a word of its own."""
    synthetic.write_store(tmp_path, seeds=(1,), tasks=("heldout/text", "heldout/code", "humaneval"), n_items=100)
    for stage in (tmp_path / "stages").glob("balanced-only-cooldown-*"):
        for task in ("text", "code"):
            (stage / "evals" / f"heldout.{task}@1-step{synthetic.STEPS}.json").unlink()
    text = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    with (tmp_path / "studies" / "small" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        primary = [row for row in csv.DictReader(file) if row["adjustment"].startswith("holm")]
    better, worse = (sum(row["side"] == side for row in primary) for side in ("better", "worse"))
    assert better and len(primary) == 7
    assert f"correction for all 9, {better} {'is' if better == 1 else 'are'} better and {worse} worse." in text
    assert "2 could not be made: scores are missing." in text
    assert "There is one seed only: the intervals hold item noise" in text


def test_the_page_loads_nothing(built: Path) -> None:
    page = Page(built.read_text(encoding="utf-8"))
    assert page.tags.isdisjoint({"script", "link", "iframe", "img", "object", "embed"})
    assert page.loads
    assert all(address.startswith("#") for address in page.loads)
    text = built.read_text(encoding="utf-8")
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_references_inside_the_page_resolve_once(built: Path) -> None:
    text = built.read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_equal_records_give_equal_bytes(built: Path, tmp_path: Path) -> None:
    synthetic.write_store(tmp_path)
    again = build(tmp_path, "small", synthetic.EXTRAS)
    for name in ("report.html", "comparison.csv", "scores.csv", "losses.csv", "tokens.csv"):
        assert (again.parent / name).read_bytes() == (built.parent / name).read_bytes(), name


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, tasks=("heldout/code", "piqa"), primary=("heldout/code/bpb",))
    study = read_study(tmp_path, "small")
    arms = {arm: HOSTILE for arm in study.arms}
    write(
        tmp_path / "studies" / "small" / "study.json",
        replace(study, arms=arms, question=HOSTILE, hypothesis=HOSTILE, command=HOSTILE),
    )
    text = json.dumps(synthetic.manifest())
    text = text.replace('"plays"', json.dumps("<b onclick=x>plays")).replace(
        "the glue", HOSTILE.replace('"', "").replace("\\", "")
    )
    write_sealed(tmp_path / "prepared" / "data1" / "manifest.json", json.loads(text))
    text = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.isdisjoint({"script", "img"})
    assert not page.handlers
    assert all(address.startswith("#") for address in page.loads)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7*7 }}" in text


def test_hostile_arm_names_stay_text_in_figures(tmp_path: Path) -> None:
    arms = {synthetic.BASELINE: "the baseline", "code-to-text": "other"}
    synthetic.write_store(tmp_path, tasks=("heldout/code",), arms=arms, primary=("heldout/code/bpb",))
    study = read_study(tmp_path, "small")
    name = "<script>$x^{"
    runs = tuple(replace(run, arm=name) if run.arm == "code-to-text" else run for run in study.runs)
    write(
        tmp_path / "studies" / "small" / "study.json",
        replace(study, runs=runs, arms={synthetic.BASELINE: "", name: ""}),
    )
    text = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    assert "script" not in Page(text).tags
    assert re.search(r"<text[^>]*>&lt;script&gt;\$x\^\{</text>", text)


def test_tokens_that_were_not_read_as_declared_are_shown(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, tasks=("heldout/code",), primary=())
    (stage,) = (tmp_path / "stages").glob("balanced-only-pretrain-s1-*")
    rows = read_ledger(stage)
    rows[0] = replace(rows[0], counts=rows[0].counts | {"python": 1023})
    (stage / "ledger.jsonl").write_bytes(b"".join(map(ledger_line, rows)))
    problem = {"id": stage.name[:25], "problems": ["realised tokens differ from the declared ones"]}
    found = {"equal": False, "problems": ["study.json is damaged"], "stages": [problem]}
    text = build(tmp_path, "small", synthetic.EXTRAS | {"audit": found}).read_text(encoding="utf-8")
    assert "The audit found differences" in text and "study.json is damaged" in text
    assert "<strong>balanced-only-pretrain-s1</strong>: realised tokens differ from the declared ones" in text
    assert re.search(r'<td class="bad">61,439 ≠\s*</td>', text)


def test_a_ledger_that_was_cut_in_a_line_counts_what_is_whole(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, (1,), ("heldout/code",))
    (stage,) = (tmp_path / "stages").glob("text-only-pretrain-s1-*")
    whole = (stage / "ledger.jsonl").read_bytes()
    (stage / "ledger.jsonl").write_bytes(whole[:-40])
    page = build(tmp_path, "small", synthetic.EXTRAS)
    lacking = synthetic.TOKENS_PER_STEP * (synthetic.STEPS - 1)
    assert f'<td class="bad">{lacking:,} ≠' in page.read_text(encoding="utf-8")
    with (page.parent / "cost.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["stage"]: row for row in csv.DictReader(file)}
    assert (rows["text-only-pretrain-s1"]["steps"], rows["text-only-continue-s1"]["steps"]) == ("59", "60")
    assert int(rows["text-only-pretrain-s1"]["tokens"]) == lacking
    damaged = whole.replace(b'"step":7,', b'"step":8,', 1)
    (stage / "ledger.jsonl").write_bytes(damaged)
    with pytest.raises(Failure, match="damaged at line 7"):
        build(tmp_path, "small", synthetic.EXTRAS)


def test_losses_follow_the_lineage(built: Path) -> None:
    with (built.parent / "losses.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["arm"], row["seed"]) == ("code-to-text", "2")]
    per_stage = synthetic.STEPS * synthetic.TOKENS_PER_STEP
    assert [int(row["lineage_tokens"]) for row in rows] == [
        synthetic.TOKENS_PER_STEP * (i + 1) for i in range(3 * synthetic.STEPS)
    ]
    assert int(rows[-1]["lineage_tokens"]) == 3 * per_stage


def test_a_report_without_manifest_or_ledgers_says_what_it_lacks(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, seeds=(1,), tasks=("heldout/code",), primary=("heldout/code/bpb",))
    shutil.rmtree(tmp_path / "prepared")
    for ledger in (tmp_path / "stages").glob("*/ledger.jsonl"):
        ledger.unlink()
    text = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    assert "no manifest of the prepared data" in text
    assert "There is one seed only" in text
    assert "item noise only" in text


def test_nothing_is_written_when_nothing_can_be_compared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ablate run small"):
        build(tmp_path, "small", synthetic.EXTRAS)
    assert not (tmp_path / "studies").exists()


def test_contamination_is_told_per_arm_and_by_what_it_read(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, tasks=("heldout/code", "piqa", "copa"), primary=("heldout/code/bpb",))
    text = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    section = text[text.index("<h2>Contamination</h2>") : text.index("<h2>Cost</h2>")]
    assert "not searched for the items of copa" in section
    assert "piqa<small>1,838 items, 2 found before dropping</small>" in section
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", section)[: len(synthetic.ARMS)]
    reads_code = {arm: synthetic.CODE_SHARE[arm] > 0 for arm in synthetic.ARMS}
    assert set(reads_code.values()) == {True, False}
    assert cells == ["1 (up to 0.40)" if reads else "0" for reads in reads_code.values()]
    assert "prose: 2 documents dropped, for 2 items" in section


def test_steps_that_were_skipped_are_counted_and_not_drawn(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path, tasks=("heldout/code",))
    folder = next((tmp_path / "stages").glob("balanced-only-pretrain-s1-*"))
    rows = read_ledger(folder)
    for step in (7, 20):
        rows[step - 1] = replace(rows[step - 1], loss=None, grad_norm=None, skipped=True)
    (folder / "ledger.jsonl").write_bytes(b"".join(map(ledger_line, rows)))
    page = build(tmp_path, "small", synthetic.EXTRAS)
    text = page.read_text(encoding="utf-8")
    assert "balanced-only-pretrain-s1: 2 of 60 steps (7, 20)" in text and text.count("made no update") == 1
    assert "A gap is a step whose loss was not finite" in text
    with (page.parent / "losses.csv").open() as file:
        losses = {(r["arm"], r["seed"], r["kind"], r["step"]): r["loss"] for r in csv.DictReader(file)}
    assert losses["balanced-only", "1", "pretrain", "7"] == "" != losses["balanced-only", "1", "pretrain", "8"]


def test_a_tokenizer_that_loses_text_is_named_and_has_no_bits_per_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, manifest = synthetic.items, synthetic.manifest
    monkeypatch.setattr(
        synthetic, "items", lambda *how: tuple({k: v for k, v in i.items() if k != "bytes"} for i in items(*how))
    )
    lossy = {"vocabulary": 8192, "digest": "def", "loss": "'A' comes back as 'a'", "bits_per_byte": False}
    monkeypatch.setattr(synthetic, "manifest", lambda: manifest() | {"tokenizer": lossy})
    synthetic.write_store(tmp_path, (1,), ("heldout/text", "hellaswag"), primary=("hellaswag/acc",))
    text = build(tmp_path, "small", synthetic.EXTRAS).read_text(encoding="utf-8")
    assert "comes back as &#39;a&#39;, so there are no bits per byte" in text
    assert "bpb" not in (tmp_path / "studies" / "small" / "comparison.csv").read_text()
