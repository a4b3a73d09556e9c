"""What goes wrong is said in one line with the way out, with exit code 2 (the user) or 1 (the world)."""

import io
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.ledger_rows import ledger_line, read_ledger
from analysis.records import read_stage, write
from experiments.audit import audit
from experiments.cli import app, guard, main
from experiments.plan.check import check
from experiments.plan.find import find_study
from experiments.plan.make import make_plan
from experiments.study import Arm
from mixtures.mixture import mixture
from models.config import config
from store.errors import UserError
from store.errors import UserError as ModelError
from store.lock import exclusive
from tests.conftest import ROOT, run_tiny, tiny_command, tiny_options
from tests.experiments.tiny import CODE, TEXT, stage, study


@pytest.fixture
def store(finished_store: Path, tmp_path: Path) -> Path:
    """A copy of the finished store to damage."""
    shutil.copytree(finished_store, tmp_path / "store")
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["plan", "nonsense"], 2, "study 'nonsense' is unknown; known studies: "),
        (["plan", "proporton"], 2, "study 'proporton' is unknown; did you mean 'proportion'?"),
        (["plan", "proportion", "--scale", "laptpo"], 2, "scale 'laptpo' is unknown; did you mean 'laptop'?"),
        (["plan", "quickstart", "--scale", "paper"], 2, "it has one scale of its own, and no scale 'paper'"),
        (["compare", "quickstart"], 2, "run `ablate run quickstart` first"),
        (["audit", "quickstart"], 2, "run `ablate run quickstart` first"),
    ],
)
def test_a_slip_on_the_command_line_is_one_line(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "ablate"), *arguments, "--store", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("gopher://b/x", "gopher://b/x cannot be used"),
        ("", "a path is empty"),
        ("~nobody-of-this-name/x", "cannot be used (Could not determine home directory.)"),
        (300 * "x", "cannot be used (File name too long)"),
        ("/dev/null", "/dev/null is a file; name a folder"),
        ("/dev/null/x", "cannot be used (a file stands where it needs a folder)"),
    ],
)
def test_a_store_that_cannot_be_is_one_line(typed: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        guard(lambda: app(["status", "quickstart", "--store", typed], standalone_mode=False))
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("3b --topology v5e:2x2", "2", "model '3b' is unknown"),
        ("470m --topology v6e:2x2", "2", "topology 'v6e:2x2' is unknown; choose one of v5e:2x2, "),
        ("470m --topology v5e:2x2 --precision float16", "2", "precision 'float16' is unknown"),
        ("470m --topology gpu", "1", "no GPU: jax finds none here"),
    ],
)
def test_a_slip_of_fit_is_one_line(words: str, code: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=code):
        guard(lambda: app(["fit", *words.split()], standalone_mode=False))
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and len(said.err.splitlines()) == 1


_INTERRUPTED = """
import sys
class Interruption:
    def find_spec(self, name, *rest):
        if name == "numpy":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interruption())
from experiments.cli import main
main()
"""


@pytest.mark.parametrize("command", [["plan"], ["compare"], ["judge", "run"]])
def test_an_interruption_while_a_command_loads_is_one_line(command: list[str], tmp_path: Path) -> None:
    arguments = [*command, "quickstart", "--store", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "interrupted; run the same command again to carry on\n"


def test_any_text_is_printed_wherever_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "argv", ["ablate", "sources"])
    with pytest.raises(SystemExit, match="0"):
        main()
    sys.stdout.flush()
    assert b"literature" in raw.getvalue() and b"\\u" in raw.getvalue()


def test_an_unknown_size_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="model '3m' is unknown; choose one of 1m"):
        config("3m")


def test_an_unknown_source_of_a_mixture_is_named(tmp_path: Path) -> None:
    bad = mixture("bad", {"prose": 1, "poems": 1})
    arms = (Arm("text-only", "", (stage("pretrain", bad, 4),)),)
    with pytest.raises(UserError, match="mixture 'bad' names source 'poems'"):
        make_plan(study(arms=arms), tmp_path)


def test_a_baseline_that_is_no_arm_is_refused() -> None:
    with pytest.raises(UserError, match="baseline 'none' is not one of its arms"):
        check(study(baseline="none"))


def test_different_stages_of_one_name_are_told_apart_by_a_number(tmp_path: Path) -> None:
    lengths = {"text-only": 4, "longer": 8, "again": 4}
    arms = tuple(Arm(name, "", (stage("pretrain", TEXT, steps),)) for name, steps in lengths.items())
    plan = make_plan(study(arms=arms, seeds=(3,)), tmp_path)
    assert [(row.id, row.steps, row.arms) for row in plan.stages] == [
        ("text-s3", 4, ("text-only", "again")),
        ("text.2-s3", 8, ("longer",)),
    ]


def test_a_budget_that_a_source_cannot_meet_is_refused_at_plan_time(finished_store: Path) -> None:
    arms = (Arm("text-only", "", (stage("pretrain", CODE, 9_000),)),)
    with pytest.raises(UserError, match=r"source 'program' has .* tokens; the plan needs 2,304,000"):
        make_plan(study(arms=arms), finished_store)


def test_a_folder_of_another_fingerprint_is_refused(store: Path) -> None:
    folder = next((store / "stages").iterdir())
    (folder / "done.json").unlink()
    write(folder / "stage.json", replace(read_stage(folder), fingerprint="0" * 16))
    done = run_tiny(store)
    assert done.returncode == 1
    assert "holds a stage with fingerprint 0000000000000000" in done.stderr


def test_a_torn_last_line_is_not_an_error(store: Path) -> None:
    folder = next((store / "stages").iterdir())
    rows = read_ledger(folder)
    with (folder / "ledger.jsonl").open("a") as file:
        file.write('{"step": 61, "tok')
    assert read_ledger(folder) == rows


def test_audit_sees_another_count_and_another_batch(store: Path) -> None:
    """Rows that were written so, not changed afterwards."""
    plan = make_plan(study(), store)
    folder = store / "stages" / plan.stages[0].folder
    rows = read_ledger(folder)
    rows[0] = replace(rows[0], counts={"prose": 255})
    rows[-1] = replace(rows[-1], digest="0" * 32)
    (folder / "ledger.jsonl").write_bytes(b"".join(map(ledger_line, rows)))
    first = audit(plan, store)["stages"][0]
    assert first["realised"]["prose"] == first["declared"]["prose"] - 1
    assert len(first["problems"]) == 2


def test_corrupt_tokens_stop_the_run_and_name_the_source(store: Path) -> None:
    shutil.rmtree(store / "stages")
    (chunk,) = (store / "prepared").glob("*/tokens/prose/*/tokens/c/0")
    chunk.write_bytes(b"\1" * chunk.stat().st_size)
    done = run_tiny(store)
    assert done.returncode == 1
    assert "the tokens of source 'prose' are missing or corrupt" in done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) > 0 and "Traceback" not in done.stderr


def test_two_processes_on_one_store(store: Path) -> None:
    with exclusive(store / "lock", "the store"):
        done = run_tiny(store)
    assert done.returncode == 1
    assert "is in use by process" in done.stderr and "Traceback" not in done.stderr


def run_on_a_full_disk(store: Path) -> list[str]:
    """A limit on the size of files fails a write as a full disk does, half-way through; the lines said of it."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    # Coverage measures child processes into files of its own, which the limit would fail first.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(tiny_command(store, 0.1), **tiny_options(), env=env, preexec_fn=limit, check=False)
    assert done.returncode == 1
    assert not [path for path in store.rglob("*") if path.name.endswith(".part")]
    return [line for line in done.stderr.splitlines() if not line.startswith(("prepare: ", "run: "))]


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    (said,) = run_on_a_full_disk(tmp_path / "store")
    assert "free some space" in said


def test_a_disk_that_is_full_at_a_checkpoint_is_one_line_a_chain(store: Path) -> None:
    """Without the traces of the writes that end after the one that failed."""
    shutil.rmtree(store / "stages")
    said = run_on_a_full_disk(store)
    assert len(said) == 4 and said[0].startswith("ablate: checkpoint ")
    for line in said:
        assert "/checkpoints/step-" in line
        assert line.endswith(" cannot be written (File too large); free some space, then run again")


def test_the_quickstart_has_the_arms_of_the_paper() -> None:
    """Four arms, three seeds, equal budgets; only the mixture differs."""
    quickstart = find_study("quickstart")
    budgets = {tuple((s.kind, s.tokens, s.peak) for s in arm.stages) for arm in quickstart.arms}
    assert len(budgets) == 1
    assert [arm.name for arm in quickstart.arms] == ["text-only", "balanced-only", "balanced-to-text", "code-to-text"]
