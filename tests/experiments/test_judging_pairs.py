"""`ablate judge` on the tiny study: any two arms, a round robin, a panel, and prompts that were trained on."""

import json
import shutil
from pathlib import Path

import pytest

from analysis.evals.preference.prompts import read_prompts
from analysis.records import read_study
from analysis.report.build import build
from analysis.winrates import win_rates
from experiments.score import judges
from mixtures.documents import parquet
from mixtures.tokens.manifest import read_manifest
from store.errors import UserError
from tests.analysis.judge_server import serving
from tests.analysis.synthetic_store import EXTRAS
from tests.experiments.asking import ARMS, RECORDS, Ablate, by, contents, judged, write_prompts


def names(store: Path, judge: str = "judge-1-*") -> list[str]:
    return sorted(path.stem for path in store.glob(f"studies/tiny/judge/{judge}/*/*.json"))


def test_an_arm_may_be_judged_against_any_other(ablate: Ablate, store: Path, prompts: Path) -> None:
    with serving() as server:
        (found,) = judged(ablate, server, prompts, "--against", "half-only")["judges"]
        assert (found["baseline"], [row["arm"] for row in found["arms"]]) == (
            "half-only",
            ["text-only", "half-to-text"],
        )
        assert names(store) == ["half-to-text-vs-half-only", "text-only-vs-half-only"]
        assert found["gaps"] == [] and found["strengths"] == []
        sent = len(server.seen)
        own = judged(ablate, server, prompts, "--against", "text-only", "--arms", "half-only")["judges"]
        assert names(store) == ["half-only", "half-to-text-vs-half-only", "text-only-vs-half-only"]
        assert len(server.seen) == sent, "the same answers, in both orders: nothing new to ask"
    assert [(each["baseline"], [row["arm"] for row in each["arms"]]) for each in own] == [
        ("text-only", ["half-only"]), ("half-only", ["text-only", "half-to-text"]),
    ]  # fmt: skip
    one, other = own[0]["arms"][0], own[1]["arms"][0]
    assert (one["win"], one["loss"]) == (other["loss"], other["win"])
    assert own[0]["gaps"] == ["half-to-text: not judged"] and own[0]["strengths"] == []


def test_a_round_robin_judges_every_two_once_and_has_strengths(
    ablate: Ablate, store: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(judges, "_estimated", lambda cost, cap: told.append(cost.requests) or "")
    with serving() as server:
        by_baseline = judged(ablate, server, prompts)["judges"]
        assert "Bradley" not in build(store, "tiny", EXTRAS).read_text(encoding="utf-8")
        sent = len(server.seen)
        found = judged(ablate, server, prompts, "--round-robin")["judges"]
        orders = [json.dumps(request["messages"]) for request in server.seen if len(request["messages"]) == 2]
        assert len(orders) == len(set(orders)) and len(server.seen) > sent
        again = [request for request in server.seen[sent:] if len(request["messages"]) > 2]
        assert told[-1] == len(server.seen) - sent - len(again), "all pairs of it, repairs aside"
        text = ablate("judge", "run", "tiny", *by(server), "--prompts", str(prompts), "--n", "5", "--round-robin")
    assert names(store) == ["half-only", "half-to-text", "half-to-text-vs-half-only"]
    assert found[0]["arms"] == by_baseline[0]["arms"]
    assert [(each["baseline"], [row["arm"] for row in each["arms"]]) for each in found] == [
        ("text-only", list(ARMS)), ("half-only", ["half-to-text"]),
    ]  # fmt: skip
    assert {strength["arm"] for strength in found[0]["strengths"]} == {"text-only", *ARMS}
    assert found[0]["round_robin"]["comparisons"] == sum(row["n"] for each in found for row in each["arms"])
    assert [(pair["arm"], pair["baseline"]) for pair in found[0]["round_robin"]["pairs"]] == [
        ("half-only", "text-only"), ("half-to-text", "text-only"), ("half-to-text", "half-only"),
    ]  # fmt: skip
    assert found[1]["strengths"] == []
    assert "Bradley–Terry" in text and "Found and predicted, win + tie/2" in text and "over 3 pairs of arms" in text
    assert "Strengths of all arms together (Bradley–Terry)" in build(store, "tiny", EXTRAS).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--against", "half"], "has no arm 'half' to judge against; choose from text-only, half-only, half-to-text"),
        (["--against", "half-only", "--round-robin"], "give one of them"),
        (["--against", "half-only", "--arms", "half-only"], "has no arm 'half-only' to judge against another"),
        (["--round-robin", "--arms", "half-only"], "a round robin takes two arms at least"),
        (["--round-robin", "--arms", "half"], "has no arm 'half'"),
    ],
)
def test_pairs_that_there_are_not_are_refused(ablate: Ablate, prompts: Path, options: list[str], message: str) -> None:
    with serving() as server, pytest.raises(UserError, match=message):
        judged(ablate, server, prompts, *options)
    assert not server.seen


def test_a_panel_says_what_most_of_its_judges_say(ablate: Ablate, store: Path, prompts: Path) -> None:
    panel = ("judge", "panel", "tiny")
    with serving() as server:
        with pytest.raises(UserError, match=r"a panel takes two judges .* have 0; run `ablate judge run tiny`"):
            ablate(*panel)
        judged(ablate, server, prompts)
        with pytest.raises(UserError, match=r"a panel takes two judges .* have 1"):
            ablate(*panel)
        named = ["--judge-url", server.endpoint().base_url, "--judge-model", "judge-2", "--rate", "60000"]
        run = ["judge", "run", "tiny", "--prompts", str(prompts), "--n", "5"]
        ablate(*run, *named, "--arms", "half-only")
    (found,) = json.loads(ablate(*panel, "--json"))["judges"]
    (row,) = found["arms"]
    single = next(each for each in win_rates(store, read_study(store, "tiny")) if each["judge"] == "judge-1")
    alone = single["arms"][0]
    assert (row["arm"], row["win"], row["tie"], row["loss"]) == (
        "half-only", alone["win"], alone["tie"], alone["loss"],
    )  # fmt: skip
    assert row["length_controlled"] == alone["length_controlled"] and row["agreement"] is None
    assert found["judge"] == "panel of 2: judge-1, judge-2" and found["gaps"] == ["half-to-text: not judged"]
    (alike,) = found["parameters"]["alike"]
    assert alike["same"]["value"] == 1 and alike["kappa"] in (1.0, None)
    assert alike["same"]["n"] == row["n"] - row["identical"] - row["empty"]
    records = contents(store, RECORDS)
    assert [Path(path).stem for path in records if "/panel-" in path] == ["half-only"]
    text = ablate(*panel)
    assert contents(store, RECORDS) == records, "a panel is no member of a panel"
    assert "more than half of its judges" in text and "are alike on 100.0" in text
    assert "panel of 2: judge-1, judge-2, against text-only" in build(store, "tiny", EXTRAS).read_text(encoding="utf-8")


def test_prompts_are_looked_for_in_what_the_arms_were_trained_on(ablate: Ablate, store: Path, tmp_path: Path) -> None:
    study = read_study(store, "tiny")
    manifest = read_manifest(store / "prepared" / study.prepared)
    assert manifest is not None
    role = {
        name: next(
            document.text
            for path, roles in zip(manifest.documents("program"), manifest.roles("program"), strict=True)
            for document, role in zip(parquet.read_documents(path), parquet.read_roles(roles).tolist(), strict=True)
            if role == wanted
        )
        for name, wanted in (("trained", parquet.TRAINING), ("held out", parquet.HELDOUT))
    }
    leaked = " ".join(role["trained"].split()[:40])
    kept = " ".join(role["held out"].split()[:40])
    path = write_prompts(tmp_path / "prompts.jsonl", leaked, "Who walked?", kept)
    with serving() as server:
        (found,) = judged(ablate, server, path, "--arms", "half-only")["judges"]
        text = ablate("judge", "run", "tiny", *by(server), "--prompts", str(path), "--n", "3", "--arms", "half-only")
    searched = found["searched"]
    assert searched["not"] == {} and set(searched["documents"]) == {"prose", "program"}
    assert searched["documents"]["program"] == manifest.sources["program"].documents
    (match,) = searched["matches"]
    assert match["source"] == "program" and match["score"] == pytest.approx(1)
    assert match["prompt"] == next(id_ for id_, said in read_prompts(path, 3).texts.items() if said == leaked)
    assert searched["short"] == 1
    (row,) = found["arms"]
    assert row["clean"]["prompts"] == row["prompts"] - 1
    text = " ".join(text.split())
    assert "1 of 3 found, strongest" in text and "1 have too few words to be looked for" in text
    for shard in manifest.documents("program"):
        shard.unlink()
    shutil.rmtree(store / "prepared" / study.prepared / "searched")
    with serving() as server:
        (found,) = judged(ablate, server, path, "--arms", "half-only")["judges"]
    assert found["searched"]["not"] == {"half-only": "their documents are not in this store any more"}
    assert found["arms"][0]["clean"] is None
    said = build(store, "tiny", EXTRAS).read_text(encoding="utf-8")
    assert "The prompts were not searched for in the training data (half-only): their documents are not" in said
