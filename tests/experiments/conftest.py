"""The tiny study's store for judges and for tracking, and `ablate` on it."""

import shutil
from pathlib import Path

import pytest

from analysis.evals.preference import client
from analysis.evals.preference.prompts import read_prompts
from experiments import cli, studies
from experiments.plan.make import prepared_plan
from experiments.plan.stage import PreparedPlan
from experiments.score.judges import served
from experiments.score.judging import judge_study
from tests.analysis.judge_server import serving
from tests.conftest import ROOT
from tests.experiments.asking import Ablate, write_prompts
from tests.experiments.tiny import study
from tests.experiments.tracking import Chain, copied


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The judge of `tests.analysis.judge_server` mumbles and babbles on instructions that say so."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    return write_prompts(path, "Who walked?", "mumble", "What does x return?", "first", "babble")


@pytest.fixture(scope="module")
def answered(finished_store: Path, prompts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished store with all answers, before anything was judged."""
    store = tmp_path_factory.mktemp("answered") / "store"
    shutil.copytree(finished_store, store)
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        judge_study("tiny", store, served(server.endpoint(), store, None, False), read_prompts(prompts, 5), ())
    shutil.rmtree(store / "judge")
    shutil.rmtree(store / "studies" / "tiny" / "judge")
    return store  # in which these prompts were searched for, too


@pytest.fixture
def store(answered: Path, tmp_path: Path) -> Path:
    shutil.copytree(answered, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def ablate(store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ablate:
    """Runs a command on the store in this process; gives its standard output."""
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(ROOT / "tests" / "experiments")])
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def run(*arguments: str) -> str:
        capsys.readouterr()
        cli.app([*arguments, "--store", str(store)], standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def plan(finished_store: Path) -> PreparedPlan:
    return prepared_plan(study(), finished_store)


@pytest.fixture
def chain(plan: PreparedPlan, finished_store: Path, tmp_path: Path) -> Chain:
    """A store with the two stages of one run."""
    first, last = (plan.stage(id) for id in plan.runs["text-only", 0])
    copied(finished_store, tmp_path / "store", first, last)
    return tmp_path / "store", first, last


@pytest.fixture(scope="module")
def prepared_copy(finished_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data of the tiny study and no stage."""
    store = tmp_path_factory.mktemp("hosts") / "prepared"
    shutil.copytree(finished_store / "prepared", store / "prepared")
    return store
