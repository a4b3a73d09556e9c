"""`ablate mixture`: what a study's mixtures say, what differs between arms; and the plan's special ways of reading."""

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from rich.console import Console

from experiments import studies
from experiments.plan.check import check
from experiments.plan.make import make_plan
from experiments.plan.prepared import data_plan
from experiments.plan.stage import PlannedStage
from experiments.show.mixtures import diff, print_diff, print_show, show
from experiments.show.plans import plan_json, print_plan
from experiments.study import Arm, Stage
from mixtures.mixture import mixture
from mixtures.order import rows
from store.errors import UserError
from tests.conftest import ROOT
from tests.experiments import tiny
from tests.experiments.tiny import CODE, HALF, TEXT, stage, study

PROBE = f"""
import sys
from experiments import cli, studies
studies.__path__.append({str(ROOT / "tests" / "experiments")!r})
cli.main()
"""
TOKENS = 8 * 32
"""Of one step."""


def ablate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROBE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture
def tiny_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(Path(tiny.__file__).parent)])


def printed(print_function, document: dict) -> str:
    out = io.StringIO()
    print_function(document, Console(width=160, file=out))
    return out.getvalue()


@pytest.mark.usefixtures("tiny_is_known")
def test_show_says_what_every_stage_of_every_arm_reads(finished_store: Path) -> None:
    document, plan = show("tiny", finished_store), make_plan(study(), finished_store)
    assert [arm["arm"] for arm in document["arms"]] == ["text-only", "half-only", "half-to-text"]
    for arm in document["arms"]:
        for number, shown in enumerate(arm["stages"]):
            planned = plan.stage(plan.runs[arm["arm"], 0][number])
            assert {row["source"]: row["tokens"] for row in shown["sources"]} == planned.tokens_by_source
            assert sum(Fraction(row["share"]) for row in shown["sources"]) == 1
            assert {row["source"]: row["epochs"] for row in shown["sources"]} == pytest.approx(planned.epochs)
            assert shown["fingerprints"]["0"] == planned.fingerprint != shown["fingerprints"]["1"]
    json.dumps(document, allow_nan=False)
    text = printed(print_show, document)
    assert "1 pretrain: 15,360 tokens in 60 steps" in text and plan.stages[0].fingerprint in text
    assert "unknown" not in text


@pytest.mark.usefixtures("tiny_is_known")
def test_before_preparation_epochs_and_supply_are_unknown(tmp_path: Path) -> None:
    shown = show("tiny", tmp_path)["arms"][1]["stages"][0]
    assert [(row["source"], row["share"], row["tokens"], row["epochs"]) for row in shown["sources"]] == [
        ("prose", "1/2", 7_680, None),
        ("program", "1/2", 7_680, None),
    ]
    assert printed(print_show, show("tiny", tmp_path)).count("unknown") > 4


def test_a_paper_run_shows_epochs_of_the_papers_supply_and_the_choices_made(tmp_path: Path) -> None:
    lines = _lines("code+adjacent-issues", tmp_path)
    assert "§2.1 names commits" in lines[0]
    assert lines[-1].startswith("together") and lines[-1].split()[-2:] == ["1.40", "21,400,000,000"]
    synthetic = next(line for line in _lines("code+synth", tmp_path) if "synthetic-python" in line)
    assert synthetic.split() == ["synthetic-python", "1/10", "1/10", "10.00", "20,000,112,640", "6.25", "3,200,000,000"]
    markup = next(line for line in _lines("text90", tmp_path) if "stack-markup" in line)
    assert markup.split() == ["stack-markup", "1/5", "1/50", "2.00", "unknown", "180,000,000,000"]


def _lines(name: str, store: Path) -> list[str]:
    return printed(print_show, show(name, store)).splitlines()


@pytest.mark.usefixtures("tiny_is_known")
def test_diff_shows_only_what_changed(finished_store: Path) -> None:
    changed = diff(["tiny", "half-only", "half-to-text"], finished_store)
    assert [row["stage"] for row in changed["stages"]] == [2]
    assert changed["stages"][0]["changes"] == {}
    sources = changed["stages"][0]["sources"]
    assert sources["prose"]["share"] == ["1/2", "1"] and sources["prose"]["tokens"] == [512, 1_024]
    assert sources["program"]["share"] == ["1/2", "0"] and sources["program"]["tokens"] == [512, 0]
    text = printed(print_diff, changed)
    assert "2 half → text" in text and "1/2 → 1" in text and "pretrain" not in text


@pytest.mark.usefixtures("tiny_is_known")
def test_diff_of_equal_arms_says_identical(finished_store: Path) -> None:
    done = ablate("mixture", "diff", "tiny", "half-only", "half-only", "--store", str(finished_store))
    assert (done.returncode, done.stdout.strip()) == (0, "half-only and half-only are identical")


def test_diff_sees_schedule_restart_and_the_order_of_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_is_known: None
) -> None:
    first, second = stage("pretrain", HALF, 60), stage("continue", HALF, 4)
    swapped = replace(first, mixture=mixture("swapped", {"program": 1, "prose": 1}))
    arms = (
        Arm("text-only", "", (first, second)),
        Arm("other", "", (replace(swapped, peak=1e-3), replace(second, restart=frozenset({"prose"})))),
    )
    monkeypatch.setattr(tiny, "STUDY", study(arms=arms))
    monkeypatch.setitem(sys.modules, "experiments.studies.tiny", tiny)
    changed = diff(["tiny", "text-only", "other"], tmp_path)
    assert [row["changes"] for row in changed["stages"]] == [
        {"peak_learning_rate": [3e-3, 1e-3], "order of sources": [["prose", "program"], ["program", "prose"]]},
        {"restart": [[], ["prose"]]},
    ]


def test_two_mixtures_of_the_paper_differ_in_their_shares(tmp_path: Path) -> None:
    changed = diff(["code25", "balanced"], tmp_path)["stages"][0]
    assert changed["changes"] == {}
    assert changed["sources"] == {
        "slimpajama": {"share": ["3/4", "1/2"]},
        "stack-code": {"share": ["1/5", "2/5"]},
        "stack-markup": {"share": ["1/20", "1/10"]},
    }
    assert diff(["proportion-50", "proportion-50"], tmp_path)["identical"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nonsense"], "'nonsense' is no study"),
        (["diff", "tiny", "text-only", "nonsense"], "study 'tiny' has no arm 'nonsense'; its arms: text-only"),
        (["diff", "tiny", "text-only"], "'tiny' is a study; name two of its arms"),
        (["diff", "code"], "diff takes STUDY ARM_A ARM_B"),
        (["audit", "tiny"], "run `ablate run tiny` first"),
    ],
)
def test_a_slip_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = ablate("mixture", *arguments, "--store", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_audit_is_one_command_under_two_names(finished_store: Path) -> None:
    both = [
        ablate(*names, "tiny", "--json", "--store", str(finished_store)) for names in (["audit"], ["mixture", "audit"])
    ]
    assert both[0].returncode == both[1].returncode == 0
    assert both[0].stdout == both[1].stdout and json.loads(both[0].stdout)["equal"]


# What a stage may ask for beside its mixture.


def _plan(store: Path, *stages: Stage, **changes: object) -> tuple[PlannedStage, ...]:
    arms = (Arm("text-only", "", stages),)
    return make_plan(study(**({"arms": arms, "seeds": (0,)} | changes)), store).stages


def test_a_source_carries_on_or_restarts_at_a_boundary(finished_store: Path) -> None:
    one, two, three = stage("pretrain", HALF, 40), stage("continue", HALF, 8), stage("cooldown", HALF, 4)
    carried = _plan(finished_store, one, two, three)
    assert carried[1].starts == {"prose": 160, "program": 160} and carried[2].starts == {"prose": 192, "program": 192}
    again = _plan(finished_store, one, replace(two, restart=frozenset({"prose"})), three)
    assert again[1].starts == {"prose": 0, "program": 160} and again[2].starts == {"prose": 32, "program": 192}
    assert _plan(finished_store, one, replace(two, restart=True))[1].starts == {"prose": 0, "program": 0}
    assert again[1].epochs == carried[1].epochs, "what was read was read"
    assert again[0].fingerprint == carried[0].fingerprint
    assert {s.fingerprint for s in again[1:]}.isdisjoint(s.fingerprint for s in carried)


def test_a_field_that_changes_nothing_leaves_the_fingerprint(finished_store: Path) -> None:
    one, two = stage("pretrain", TEXT, 40), stage("continue", CODE, 8)
    plain = [s.fingerprint for s in _plan(finished_store, one, two)]
    assert [s.fingerprint for s in _plan(finished_store, one, replace(two, restart=frozenset({"program"})))] == plain
    assert [s.fingerprint for s in _plan(finished_store, one, two, max_epochs_of={"prose": 40})] == plain
    assert [s.fingerprint for s in _plan(finished_store, one, two, simulated_tokens=48 * TOKENS)] == plain
    assert [s.fingerprint for s in _plan(finished_store, one, two, simulated_tokens=50 * TOKENS)] != plain
    assert [s.fingerprint for s in _plan(finished_store, one, two, z_loss=0.0)] == plain
    assert [s.fingerprint for s in _plan(finished_store, one, two, z_loss=1e-4)] != plain


def test_a_restart_counts_the_windows_that_are_read_again(finished_store: Path) -> None:
    windows = _plan(finished_store, stage("pretrain", TEXT, 1))[0].windows
    assert windows is not None
    steps = windows["prose"] // 8 // 2  # half an epoch each
    one, two = stage("pretrain", TEXT, steps), stage("continue", TEXT, steps)
    _plan(finished_store, one, two, max_epochs=1)
    with pytest.raises(UserError, match="source 'prose' restarts, so some of its windows would be read 2 times"):
        _plan(finished_store, one, replace(two, restart=True), max_epochs=1)


def test_epochs_are_capped_source_by_source(finished_store: Path) -> None:
    long = stage("pretrain", HALF, 240)
    epochs = _plan(finished_store, long)[0].epochs
    assert epochs is not None and min(epochs.values()) > 1
    with pytest.raises(UserError, match=r"source 'program' has .* and max_epochs is 1:"):
        _plan(finished_store, long, max_epochs_of={"program": 1})
    with pytest.raises(UserError, match=r"source 'prose' has .* and max_epochs is 1:"):
        _plan(finished_store, long, max_epochs=1, max_epochs_of={"program": 50})


def test_a_small_run_simulates_the_epochs_of_a_large_one(finished_store: Path) -> None:
    """Same epochs as four times the budget, from one fixed part of every source whatever the arm or seed."""
    large = _plan(finished_store, stage("pretrain", HALF, 240))[0]
    simulated = study(
        arms=(
            Arm("text-only", "", (stage("pretrain", TEXT, 60),)),
            Arm("half", "", (stage("pretrain", HALF, 60),)),
        ),
        simulated_tokens=240 * TOKENS,
    )
    plan = make_plan(simulated, finished_store)
    half = plan.stage("half-s0")
    assert half.epochs == pytest.approx(large.epochs, rel=0.02)
    assert half.windows["prose"] == plan.stage("text-s1").windows["prose"] == large.windows["prose"] // 4
    ids = ("half-s0", "half-s1", "text-s1")
    read = {id: _windows_read(data_plan(plan, plan.stage(id)), half.steps) for id in ids}
    assert read["half-s0"] == read["half-s1"] and len(read["half-s0"]["prose"]) == half.windows["prose"]
    assert read["half-s0"]["prose"] == read["text-s1"]["prose"]
    assert max(read["half-s0"]["prose"]) > 3 * half.windows["prose"]  # drawn from all of the source, not its beginning
    whole = make_plan(replace(simulated, simulated_tokens=None), finished_store).stage("half-s0")
    assert half.fingerprint != whole.fingerprint
    assert "cut to 25.000%" in printed(print_plan, plan_json(plan, finished_store))


def _windows_read(data, steps: int) -> dict[str, set[int]]:
    names = data.allocation.sources
    read: dict[str, set[int]] = {name: set() for name in names}
    for step in range(steps):
        placed = rows(data, step)
        for source, window in zip(placed.source_B.tolist(), placed.window_B.tolist(), strict=True):
            read[names[source]].add(window)
    return read


def test_a_simulated_run_may_not_be_smaller_and_says_when_it_cuts_too_much(finished_store: Path) -> None:
    with pytest.raises(UserError, match=r"simulated_tokens is 1,000, less than the 15,360 that its baseline reads"):
        _plan(finished_store, stage("pretrain", TEXT, 60), simulated_tokens=1_000)
    with pytest.raises(UserError, match=r"source 'prose' has .* simulated_tokens leaves 0.100%"):
        _plan(finished_store, stage("pretrain", TEXT, 60), simulated_tokens=60_000 * TOKENS)


def test_the_order_of_sources_is_part_of_a_stage(finished_store: Path) -> None:
    """It breaks ties between sources, so two stages that differ in it read other batches."""
    prints = [
        _plan(finished_store, stage("pretrain", mixture("both", dict.fromkeys(names, 1)), 60))[0].fingerprint
        for names in (["prose", "program"], ["program", "prose"])
    ]
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"max_epochs_of": {"poems": 2}},
        {"arms": (Arm("text-only", "", (replace(stage("pretrain", TEXT, 4), restart=frozenset({"poems"})),)),)},
    ],
)
def test_a_source_that_the_study_does_not_have_is_named(changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match="names source 'poems'; its sources are prose, program"):
        check(study(**changes))


def test_looking_at_mixtures_loads_no_jax(finished_store: Path) -> None:
    code = PROBE.replace("cli.main()", "cli.app(standalone_mode=False)\nassert 'jax' not in sys.modules, 'jax'")
    arguments: Sequence[str] = ("mixture", "show", "tiny", "--store", str(finished_store))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
