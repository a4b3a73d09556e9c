"""What `ablate launch` says, writes and submits; engines are stood in for by programs that note what they are told."""

import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import studies
from experiments.audit import audit
from experiments.cli import app, guard
from experiments.commands import launch as command
from experiments.commands.work_on import TRIES
from experiments.launch import before, canary, local, submit, sweep
from experiments.launch.slices import SLICES
from experiments.launch.sweep import Launch
from experiments.plan import forecast, status
from experiments.plan.make import make_plan, prepared_plan
from experiments.plan.stage import PreparedPlan
from experiments.show.plans import forecast_json
from store.errors import Failure
from store.files import write_json
from tests import bucket as buckets
from tests.bucket import Bucket
from tests.conftest import ROOT
from tests.experiments.tiny import study as tiny

SECRET = "9f8e7d6c5b4a-never-to-be-seen"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ablate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process: its exit code, standard output and what it says on the side."""
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(ROOT / "tests" / "experiments")])

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            guard(lambda: app(list(arguments), standalone_mode=False))
        said = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), said.out, said.err

    return run


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is installed but `kubectl` and `sky`, which note their words, a line each, and then run $THEN."""
    folder, heard = tmp_path / "bin", tmp_path / "heard"
    folder.mkdir()
    for name in ("kubectl", "sky"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {heard}\nexec 3>&1\neval "$THEN"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    heard.touch()
    return heard


@pytest.fixture
def prepared(finished_store: Path, tmp_path: Path) -> tuple[PreparedPlan, Path]:
    """The tiny study for a slice of four chips, and a store in which its data are prepared and nothing is trained."""
    store = tmp_path / "store"
    shutil.copytree(finished_store / "prepared", store / "prepared")
    return prepared_plan(sweep.scaled(tiny(), SLICES["v5litepod-4"]), store), store


def upload(store: Path, folder: str, bucket: Bucket) -> None:
    for path in (store / folder).rglob("*"):
        if path.is_file():
            bucket[f"suite/{path.relative_to(store)}"] = path.read_bytes()


@pytest.fixture
def bucket(finished_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """With a store gs://bucket/suite, in which the tiny study's data are prepared."""
    with buckets.served() as bucket:
        for name, value in buckets.environment(bucket).items():
            monkeypatch.setenv(name, value)
        upload(finished_store, "prepared", bucket)
        yield bucket


def launched(plan: PreparedPlan, store: Path, **fields: Any) -> Launch:
    """As the command makes it of a bucket, where the store of these tests is a folder."""
    given = {"engine": "jobset", "image": "registry/ablate:1", "spot": False, "secrets": ("WANDB_API_KEY",)}
    given |= {"store": "gs://bucket/suite", "price": None, "max_cost": None}
    return sweep.planned(plan, forecast_json(plan, store), SLICES["v5litepod-4"], **(given | {"workers": 2} | fields))


@pytest.mark.parametrize("engine", ["jobset", "skypilot"])
def test_a_dry_run_of_the_whole_paper_writes_every_file_and_says_what_it_costs(
    engine: str, ablate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no engine installed, no store, and nobody there to be asked."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    words = f"launch paper --scale paper --engine {engine} --slice v5litepod-256 --dry-run --price-per-chip-hour 1.2"
    code, out, said = ablate(
        *words.split(), "--out", str(tmp_path / "out"), "--store", str(tmp_path / "none"), "--json"
    )
    assert code == 0, said
    kept = json.loads((tmp_path / "out" / "launch.json").read_text())
    assert kept == json.loads(out)["launch"]
    assert (kept["engine"], kept["slice"], kept["hosts"]) == (engine, "v5litepod-256", 64)
    totals = json.loads(out)["plan"]["totals"]
    assert kept["chip_hours"] == pytest.approx(totals["chip_hours"])
    assert kept["price"] == pytest.approx(1.2 * totals["chip_hours"])
    # Work of 87 stages that eight slices share all but evenly.
    assert kept["chip_hours"] / 256 / 8 < kept["hours"] < 1.1 * kept["chip_hours"] / 256 / 8
    assert kept["workers"] == 8 and len(kept["files"]) == 9
    for name in kept["files"]:
        document = yaml.safe_load((tmp_path / "out" / name).read_text())
        words, scores = str(document).replace("', '", " "), name.endswith("-score.yaml")
        assert ("work paper --scale paper --store" in words) and ("--distributed" in words) != scores
        assert ("--only score" in words) == scores
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*kept["files"], "launch.json"])
    assert not (tmp_path / "none").exists()


def test_the_page_says_cost_fit_and_duration(ablate: Run, tmp_path: Path) -> None:
    words = "launch scale --scale paper --engine jobset --slice v5litepod-128 --dry-run --price-per-chip-hour 2"
    code, out, said = ablate(*words.split(), "--store", str(tmp_path))
    assert code == 0, said
    assert "14.2 of 14.96" in out and "v5litepod-128 (32 hosts each) by jobset, and v5litepod-4 to score" in out
    assert "dollars at 2 a chip-hour" in out and "hours from first to last" in out
    assert "no --image is named" in said and "where workers cannot reach it" in said


def test_the_dry_run_of_the_readme_runs(ablate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = re.sub(r"#.*", "", (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", ""))
    (line,) = [line for line in text.splitlines() if "ablate launch" in line and "--dry-run" in line]
    monkeypatch.chdir(tmp_path)
    code, out, said = ablate(*line.split()[1:])
    assert code == 0 and "dollars at 1.2 a chip-hour" in out, said
    assert len(list((tmp_path / "files").glob("*.yaml"))) > 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("quickstart --engine slurm", "engine 'slurm' is unknown; choose one of local, skypilot, jobset"),
        ("quickstart --engine jobset --slice v5litepod-255", "slice 'v5litepod-255' is unknown; choose one of v5lite"),
        ("quickstart --engine skypilot --slice tpu-v5litepod-256", "is unknown; choose one of v5litepod-4, "),
        ("quickstart --engine local --slice cpu:0", "the local engine takes cpu:N"),
        ("--engine jobset --slice v5litepod-4", "no study is named"),
        ("quickstart --engine jobset --slice v5litepod-256", "batch of 4 sequences cannot be divided over the 256"),
        ("quickstart --engine jobset --slice v5litepod-4 --max-cost 9", "--max-cost needs a price to count with"),
        ("quickstart --engine jobset --slice v5litepod-4 --max-cost nan --price-per-chip-hour 1", "--max-cost is nan"),
        (f"quickstart --engine jobset --slice v5litepod-4 --secret K={SECRET}", "takes the name of a variable"),
        (
            "scale --scale paper --engine jobset --slice v5litepod-128 --max-cost 9 --price-per-chip-hour 1",
            "--max-cost is 9;",
        ),
        (
            "scale --scale paper --engine jobset --slice v5litepod-4",
            "'2.8b' does not fit v5litepod-4: it needs 18.8 GiB",
        ),
        ("--status", "has no record of a launch"),
        ("quickstart --cancel", "has no record of launch 'quickstart'"),
    ],
)
def test_a_slip_is_one_line_and_leaves_nothing(words: str, message: str, ablate: Run, tmp_path: Path) -> None:
    arguments = ["launch", *words.split(), "--store", str(tmp_path / "store")]
    if "--engine" in words:
        arguments += ["--dry-run", "--out", str(tmp_path / "out")]
    code, out, said = ablate(*arguments)
    assert (code, out) == (2, "") and message in said and len(said.splitlines()) == 1
    assert SECRET not in said and list(tmp_path.iterdir()) == []


def test_what_stands_between_a_launch_and_its_engine_is_one_line(
    ablate: Run, programs: Path, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that no worker reaches, a bucket that is not there, no image, no data, no credentials, no engine."""

    def refused(store: str, *more: str) -> tuple[int, str]:
        words = "launch tiny --engine jobset --slice v5litepod-4 --yes --store"
        code, out, said = ablate(*words.split(), store, *more)
        assert out == "" and len(said.splitlines()) == 1
        return code, said

    code, said = refused(str(tmp_path))
    assert code == 2 and "where workers cannot reach it; --store gs://bucket/path" in said
    code, said = refused("gs://another/suite")
    assert code == 2 and "bucket gs://another does not exist" in said
    code, said = refused("gs://bucket/suite")
    assert code == 2 and "no image is named" in said
    code, said = refused("gs://bucket/empty", "--image", "i")
    assert code == 2 and "first `ablate prepare tiny`" in said
    assert programs.read_text() == ""
    monkeypatch.setenv("THEN", "echo 'error: You must be logged in to the server (Unauthorized)' >&2; exit 1")
    code, said = refused("gs://bucket/suite", "--image", "i")
    assert code == 1 and "`kubectl auth can-i` failed (error: You must be logged in" in said
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said = refused("gs://bucket/suite", "--image", "i")
    assert code == 2 and "engine 'jobset' needs `kubectl`, which is not installed" in said
    assert "create -f" not in programs.read_text() and not bucket.names("suite/launches")


def test_nobody_to_ask_is_a_refusal(ablate: Run, programs: Path, bucket: Bucket) -> None:
    words = "launch tiny --engine jobset --slice v5litepod-4 --image i --store gs://bucket/suite"
    code, _, said = ablate(*words.split())
    assert code == 2 and "add --yes (nothing was submitted)" in said.splitlines()[-1]
    assert "create -f" not in programs.read_text()


def test_a_launch_is_submitted_kept_followed_and_cancelled(
    ablate: Run, programs: Path, bucket: Bucket, finished_store: Path
) -> None:
    """Status is what the markers say; the engine is not asked, and need not be there any more."""
    store = ["--store", "gs://bucket/suite"]
    words = "launch tiny --engine jobset --slice v5litepod-4 --workers 2 --image i --yes".split()
    code, out, said = ablate(*words, *store)
    assert code == 0 and "submitted: tiny-0, tiny-1;" in out, said
    access, created = programs.read_text().splitlines()
    assert access == "kubectl auth can-i create jobsets.jobset.x-k8s.io"
    assert created.startswith("kubectl create -f /") and created.count("-f") == 2
    kept = json.loads(bucket["suite/launches/tiny/launch.json"])
    assert kept["objects"] == ["tiny-0", "tiny-1"] and kept["lock"] and kept["code"]
    code, _, said = ablate(*words, *store)
    assert code == 0 and "tiny was launched before; --cancel ends what of it still runs" in said
    code, out, _ = ablate("launch", "tiny", "--status", "--json", *store)
    (row,) = json.loads(out)["launches"]
    assert code == 0 and not row["done"] and row["counts"]["ready"] == 4
    upload(finished_store, "stages", bucket)
    code, out, _ = ablate("launch", "--status", "--json", *store)
    assert json.loads(out)["launches"][0]["done"] and len(programs.read_text().splitlines()) == 4
    assert ablate("launch", "tiny", "--cancel", *store)[0] == 0
    assert programs.read_text().splitlines()[-1].startswith("kubectl delete jobsets --selector ablate.launch=tiny ")
    code, _, said = ablate(*words, *store)
    assert code == 0 and "nothing is missing; nothing was submitted" in said and "before" not in said


def test_what_an_engine_refuses_is_one_line_with_the_way_out(
    ablate: Run, programs: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEN", 'case "$*" in *launch*) echo "ValueError: no quota" >&2; exit 1;; esac')
    words = "launch tiny --engine skypilot --slice v5litepod-4 --workers 3 --image i --yes --store gs://bucket/suite"
    code, _, said = ablate(*words.split())
    last = said.splitlines()[-1]
    assert code == 1 and "`sky jobs launch` failed (ValueError: no quota)" in last and "--cancel` ends what" in last
    assert len(programs.read_text().splitlines()) == 1  # the others are not tried
    assert ablate("launch", "--cancel", "--store", "gs://bucket/suite")[0] == 0
    ended = [line for line in programs.read_text().splitlines() if "jobs cancel" in line]
    assert [line.rpartition(" ")[2] for line in ended] == ["tiny-0", "tiny-1", "tiny-2"]


def test_the_rest_waits_for_the_canarys_first_checkpoint(
    programs: Path, prepared: tuple[PreparedPlan, Path], finished_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that was there before is none; the one that comes with the first worker is."""
    plan, store = prepared
    old, new = (stage.folder for stage in plan.stages[:2])
    shutil.copytree(finished_store / "stages" / old, store / "stages" / old)
    monkeypatch.setenv("THEN", f"cp -r {finished_store}/stages/{new} {store}/stages/")
    command._start(launched(plan, store), plan, store, canary=True)
    first, second = programs.read_text().splitlines()
    assert "tiny-0.yaml" in first and "tiny-1.yaml" not in first
    assert "tiny-0.yaml" not in second and "tiny-1.yaml" in second
    assert "canary" not in submit.known(store, "tiny")


def test_a_canary_that_fails_is_the_only_one(
    programs: Path, prepared: tuple[PreparedPlan, Path], finished_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as a stage may fail; until then a worker tries again."""
    plan, store = prepared
    failed = store / "stages" / plan.stages[0].folder
    failed.mkdir(parents=True)
    write_json(store / "failed.json", {"error": "the loss is not finite", "tries": TRIES})
    monkeypatch.setenv("THEN", f"cp {store}/failed.json {failed}/")
    with pytest.raises(Failure, match=r"the canary failed, and nothing else was started: .* the loss is not finite"):
        command._start(launched(plan, store), plan, store, canary=True)
    assert len(programs.read_text().splitlines()) == 1
    # The same command waits for the same worker, and submits no other.
    assert submit.known(store, "tiny")["canary"] == {}
    with pytest.raises(Failure, match="the canary failed"):
        command._start(launched(plan, store), plan, store, canary=True)
    assert len(programs.read_text().splitlines()) == 1


WORKER = "import shutil, sys; shutil.copytree(*sys.argv[1:3], dirs_exist_ok=True)"


def test_local_workers_are_believed_only_by_the_markers(
    ablate: Run, prepared: tuple[PreparedPlan, Path], finished_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All end with exit code 0, and the second time they did the work."""
    store, stages = prepared[1], str(finished_store / "stages")
    line = f"launch tiny --engine local --slice cpu:1 --workers 1 --yes --store {store}".split()
    monkeypatch.setattr(local, "PROGRAM", (sys.executable, "-c", "pass"))
    code, _, said = ablate(*line)
    assert code == 1 and "workers ended, and 10 of 10 stages are not trained and scored" in said
    monkeypatch.setattr(local, "PROGRAM", (sys.executable, "-c", WORKER, stages, str(store / "stages")))
    code, out, said = ablate(*line)
    assert code == 0 and "done: 10 stages are trained and scored" in out, said


@pytest.mark.soak
def test_two_processes_train_and_a_third_scores(
    ablate: Run, prepared: tuple[PreparedPlan, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way of a pod, on this machine."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(local, "PROGRAM", (sys.executable, "-m", "tests.experiments.run_ablate"))
    line = f"launch tiny --engine local --slice cpu:2 --workers 1 --canary --yes --store {prepared[1]}"
    code, out, said = ablate(*line.split())
    assert code == 0 and "done: 10 stages are trained and scored" in out, said
    assert audit(make_plan(tiny(), prepared[1]), prepared[1])["equal"]


@pytest.mark.parametrize("engine", ["jobset", "skypilot"])
def test_a_secret_goes_by_its_name_everywhere(
    engine: str, programs: Path, prepared: tuple[PreparedPlan, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = prepared
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setenv("THEN", f'cp -r $(dirname $(for last in "$@"; do :; done; echo $last)) {tmp_path}/sent')
    launch = launched(plan, store, engine=engine)
    command._start(launch, plan, store, canary=False)
    sent = [path for path in (tmp_path / "sent").rglob("*") if path.is_file()]
    assert len(sent) >= 2 and any(b"WANDB_API_KEY" in path.read_bytes() for path in sent)
    for path in (*sent, *(path for path in store.rglob("launch.json")), programs):
        assert SECRET.encode() not in path.read_bytes()


def test_processes_are_no_more_at_once_than_cores(ablate: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(forecast, "cores", lambda: [0, 1])
    hours, workers = {}, {}
    for words in ("", "--workers 8", "--slice cpu:2", "--slice cpu:2 --workers 2"):
        line = f"launch proportion --engine local --dry-run --json {words} --store"
        code, out, said = ablate(*line.split(), str(tmp_path))
        assert code == 0, said
        hours[words], workers[words] = (json.loads(out)["launch"][key] for key in ("hours", "workers"))
    assert list(workers.values()) == [2, 8, 1, 2] and json.loads(out)["launch"]["chip_hours"] is None
    alone, crowd, gang, gangs = hours.values()
    assert crowd == pytest.approx(alone, rel=0.05) and gangs == gang
    assert 0.7 * alone < gang < alone  # whose scores are made by a third process meanwhile


def test_what_is_done_costs_nothing_more(prepared: tuple[PreparedPlan, Path], finished_store: Path) -> None:
    plan, store = prepared
    whole = launched(plan, store)
    shutil.copytree(finished_store / "stages" / plan.stages[0].folder, store / "stages" / plan.stages[0].folder)
    assert status.trained(plan.stages[0], store)
    names = {task.id for task in sweep.tasks(forecast_json(plan, store), SLICES["v5litepod-4"])}
    assert plan.stages[0].id not in names and plan.stages[1].id in names
    assert whole.chip_hours and whole.hours


def test_a_store_that_does_not_answer_counts_as_empty(
    ablate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise Failure("bucket b cannot be reached; log in")

    monkeypatch.setattr(before, "make_plan", fails)
    words = "launch proportion --engine jobset --slice v5litepod-4 --dry-run"
    code, out, said = ablate(*words.split(), "--store", str(tmp_path))
    assert code == 0 and "v5litepod-4 (1 host each)" in out
    assert "counts as empty (bucket b cannot be reached; log in)" in said


def test_canary_needs_a_whole_checkpoint(prepared: tuple[PreparedPlan, Path], finished_store: Path) -> None:
    plan, store = prepared
    folder = plan.stages[0].folder
    shutil.copytree(finished_store / "stages" / folder, store / "stages" / folder)
    assert canary.seen(plan, store) == {folder: plan.stages[0].steps}
    for digests in store.rglob("checkpoints/*/checksums.json"):
        os.remove(digests)  # noqa: PTH107
    assert canary.seen(plan, store) == {}
