"""Two processes of four devices each score what one process trained, with a model that no device holds whole."""

import shutil
from pathlib import Path

import pytest

from analysis.records import read_eval
from experiments.plan import status
from experiments.plan.make import prepared_plan
from experiments.plan.status import why_failed
from tests.experiments.run_work import small
from tests.experiments.two_hosts import end, start

SCORE = """
import os, sys
from pathlib import Path
from experiments import cli
from experiments.commands.work_on import Asked, work_on
from models import decode
from models.devices import scoring
from tests.experiments.run_work import small

def fails(*_):
    raise RuntimeError("RESOURCE_EXHAUSTED: made up")

scoring.WHOLE_BYTES = 0
if os.environ.get("FAILS") == os.environ["JAX_PROCESS_ID"]:
    decode.scorer = fails
cli.guard(lambda: work_on(small(), Path(sys.argv[1]), Asked(only="score", distributed=True)))
"""


@pytest.fixture
def unscored(finished_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    store = tmp_path / "store"
    shutil.copytree(finished_store, store, ignore=shutil.ignore_patterns("evals"))
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0")
    return store


def test_two_processes_score_as_one_does(finished_store: Path, unscored: Path) -> None:
    codes, errors = end(start(unscored, run=("-c", SCORE, str(unscored)), given=False))
    assert codes == [0, 0], errors
    plan = prepared_plan(small(), unscored)
    assert set(status.states(plan, unscored).values()) == {"done"}
    for records in status.records(plan, unscored).values():
        for path in records.values():
            ours, one = read_eval(path), read_eval(finished_store / path.relative_to(unscored))
            assert ours.prompt_hash == one.prompt_hash and len(ours.items) == len(one.items) > 0
            for item, expected in zip(ours.items, one.items, strict=True):
                assert {**item, "nats": None} == {**expected, "nats": None}
                assert item["nats"] == pytest.approx(expected["nats"], rel=1e-5)


@pytest.mark.soak
@pytest.mark.parametrize("fails", ["0", "1"])
def test_what_fails_in_one_process_ends_both_with_its_reason(
    unscored: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """A program of the first that cannot run, or the other's, while the first waits for it in a collective."""
    monkeypatch.setenv("FAILS", fails)
    codes, errors = end(start(unscored, run=("-c", SCORE, str(unscored)), given=False))
    assert 0 not in codes, errors
    assert f"ablate: process {fails} failed: RESOURCE_EXHAUSTED: made up" in errors[1 - int(fails)]
    plan = prepared_plan(small(), unscored)
    assert any("RESOURCE_EXHAUSTED: made up" in why_failed(stage, unscored) for stage in plan.stages)
