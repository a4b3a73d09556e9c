"""`ablate law`, from records alone: what it prints, and what it refuses in a line."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.records import read_study, write
from experiments import cli
from store.errors import UserError
from tests.analysis.test_report_figures import sweep_store
from tests.conftest import ROOT
from tests.test_startup import HEAVY

Ablate = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sweep of synthetic records as study `proportion` at two scales, of one model."""
    sweep_store(tmp_path, monkeypatch)
    for scale in ("laptop", "desktop"):
        record = replace(read_study(tmp_path, "sweep"), name=f"proportion-{scale}")
        write(tmp_path / "studies" / record.name / "study.json", record)
    return tmp_path


@pytest.fixture
def ablate(store: Path, capsys: pytest.CaptureFixture[str]) -> Ablate:
    def run(*arguments: str) -> str:
        cli.app([*arguments, "--store", str(store)], standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_a_law_is_printed_for_people_and_for_programs(ablate: Ablate) -> None:
    shown = ablate("law", "proportion")
    assert "Held-out code, bits/byte: best at 100 %" in shown and "exponential" in shown
    document = json.loads(ablate("law", "proportion", "--metric", "heldout/text/bpb", "--json"))
    (metric,) = document["metrics"]
    assert document["of"] == "proportion-laptop" and metric["optimum"] == 0.0 and metric["interval"][0] == 0.0
    assert [arm["share"] for arm in metric["arms"]] == pytest.approx([0, 0.25, 0.5, 0.75, 1], abs=1e-3)
    assert ablate("law", "proportion", "--json") == ablate("law", "proportion", "--json")


def test_the_papers_figure_needs_no_store(ablate: Ablate) -> None:
    document = json.loads(ablate("law", "--paper", "--json"))
    assert [each["metric"] for each in document["metrics"]][:2] == ["nl/acc", "reasoning/acc"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["law"], "name a study, or say --paper"),
    (["law", "proportion", "--paper"], "name a study, or say --paper"),
    (["law", "proportion", "--scale", "laptop", "--scale", "desktop"], "3 model sizes or more, and these have 1 (1m)"),
    (["law", "proportion", "--metric", "nonsense"], "metric 'nonsense' was not scored"),
])  # fmt: skip
def test_what_a_law_cannot_be_made_of_is_said(ablate: Ablate, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        ablate(*arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("command", ["law proportion"])
def test_laws_load_no_jax(command: str, store: Path) -> None:
    program = (
        f"import sys\nfrom experiments import cli\ncli.app(sys.argv[1:], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", program, *command.split(), "--store", str(store)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"
