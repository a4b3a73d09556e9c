"""`ablate law` and `ablate propose`, from records alone: what they print, write, and refuse in a line."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from rich.console import Console

from analysis.records import read_study, write
from experiments import cli, studies
from experiments.commands.laws import print_joint
from experiments.plan.find import find_study
from experiments.plan.make import make_plan
from store.errors import UserError
from tests.analysis.test_report_figures import sweep_store
from tests.conftest import ROOT
from tests.experiments.proposing import write_run
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


@pytest.fixture
def truthful(tmp_path: Path) -> Path:
    """Study proportion at scale laptop, whose text is best at 38 % of code."""

    def truth(share: Mapping[str, float]) -> Mapping[str, float]:
        code = 1 - share.get("text", 0.0)
        return {"heldout/text": 1.6 + 0.5 * (code - 0.38) ** 2, "heldout/code": 1.2 + 0.8 * math.exp(-4 * code)}

    write_run(tmp_path / "truthful", truth, 0.003)
    return tmp_path / "truthful"


def propose(store: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    cli.app(["propose", "proportion", "--store", str(store), *options], standalone_mode=False)
    return capsys.readouterr().out


def test_a_proposal_is_a_study_that_plans(
    truthful: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tested_next.py"
    shown = propose(truthful, capsys, "--objective", "text, code <= 1.45", "--budget", "2", "--write", str(file))
    assert "is foretold to be better than" in shown and f"study: {file}" in shown
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(tmp_path)])
    try:
        study = find_study("tested_next", "laptop")
        plan = make_plan(study, tmp_path / "empty")
    finally:
        sys.modules.pop("experiments.studies.tested_next", None)
    assert study.key == "tested_next-laptop" and {f"tested_next-{each}" for each in ("proposed", 1, 2)} < {
        arm.name for arm in study.arms
    }
    better, worse = study.expected
    assert (better.arm, better.metric, better.direction) == ("tested_next-proposed", "heldout/text/bpb", "lower")
    assert better.paper.startswith("foretold: -0.") and (worse.metric, worse.direction) == (better.metric, "higher")
    before = find_study("proportion", "laptop")
    assert study.arm(study.baseline).stages == before.arm(study.baseline).stages
    kinds = plan.tokens_by_kind(plan.stage(plan.runs["tested_next-proposed", 0][0]))
    assert 1 - kinds["text"] / sum(kinds.values()) == pytest.approx(0.38, abs=0.04)
    assert {stage.tokens for stage in plan.stages} == {194_560}


def test_a_proposal_in_json_is_the_same_twice_and_says_what_it_is_of(
    truthful: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--objective", "mean(text, code)", "--supply", "--budget", "3", "--json")
    text = propose(truthful, capsys, *options)
    assert text == propose(truthful, capsys, *options)
    document = json.loads(text)
    assert [part["part"] for part in document["parts"]] == ["literature and 2 more", "python and 7 more"]
    assert sum(Fraction(share) for share in document["proposed"]["shares"].values()) == 1
    assert max(document["proposed"]["epochs"].values()) <= 4 and len(document["swarm"]) == 3
    assert document["detectable"] is None, "of a sum"
    assert document["interval"][0] > 0 and document["written"] is None and "MIXTURES" in document["text"]


def test_a_gain_that_as_many_seeds_would_not_find_is_said_to_be_one(
    truthful: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--objective", "text", "--near", "0.13")
    document = json.loads(propose(truthful, capsys, *options, "--json"))
    assert 0 < document["gain"] < document["detectable"] < 0.1
    doubled = json.loads(propose(truthful, capsys, "--objective", "2 * text", "--near", "0.13", "--json"))
    assert doubled["gain"] == pytest.approx(2 * document["gain"]), "of the objective"
    of_metric = [line for line in document["text"].splitlines() if "foretold: " in line]
    assert of_metric == [line for line in doubled["text"].splitlines() if "foretold: " in line] != []
    assert f"As many seeds find {document['detectable']:.2g} four times in five" in propose(truthful, capsys, *options)


def test_noise_is_no_reason_for_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, lambda share: {"heldout/text": 1.6, "heldout/code": 1.3}, 0.01, seed=3)
    file = tmp_path / "next.py"
    shown = propose(tmp_path, capsys, "--objective", "text", "--write", str(file))
    assert "cannot tell what would be better: arms differ by no more than noise; the best so far is" in shown
    assert not file.exists()


def test_a_file_that_is_there_or_could_be_no_study_is_not_written(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.py").write_text("kept", encoding="utf-8")
    for name, message in (
        ("old.py", "is there"),
        ("No-Study.py", "is no name of a study's file"),
        ("x.txt", "is no name"),
    ):
        with pytest.raises(UserError, match=message):
            propose(store, capsys, "--objective", "text", "--write", str(tmp_path / name))
    assert (tmp_path / "old.py").read_text(encoding="utf-8") == "kept"


def test_three_scales_give_one_law(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text of every scale is best at the same share; what a size adds is its own."""
    scales = {"laptop": 0.4, "desktop": 0.3, "workstation": 0.0}
    for number, (scale, more) in enumerate(scales.items()):

        def truth(share: Mapping[str, float], more: float = more) -> Mapping[str, float]:
            text = share.get("text", 0.0)
            return {"heldout/text": 0.8 + more + 1 / (2 * text**0.4 + 1.5 * (1 - text) ** 0.7)}

        write_run(tmp_path, truth, 0.002, find_study("proportion", scale), seed=number)
    options = [word for scale in scales for word in ("--scale", scale)]
    arguments = ["law", "proportion", *options, "--metric", "heldout/text/bpb", "--store", str(tmp_path)]
    cli.app([*arguments, "--json"], standalone_mode=False)
    document = json.loads(capsys.readouterr().out)
    (metric,) = document["metrics"]
    assert [size["model"] for size in metric["sizes"]] == ["1m", "2m", "60m"]
    assert metric["interval"][0] <= 0.535 <= metric["interval"][1] and metric["optimum"] == pytest.approx(
        0.535, abs=0.1
    )
    print_joint(document, Console(width=160))
    shown = capsys.readouterr().out
    assert "joint" in shown and metric["finding"] in shown and "gamma1" in shown


def test_laws_and_proposals_load_no_jax(store: Path) -> None:
    """In one process, on a store that was run."""
    commands = (["law", "proportion"], ["propose", "proportion", "--objective", "text"])
    program = f"""
import sys
from experiments import cli
for command in {commands!r}:
    cli.app([*command, "--store", {str(store)!r}], standalone_mode=False)
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"
