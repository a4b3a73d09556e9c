"""The W&B report of a study: its spec without a network, and put up by the real client, panel by panel."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from analysis.compare import compare
from analysis.report.blocks import Cell, Table
from analysis.report.build import gather
from analysis.report.wandb_report import escaped, markdown, spec
from experiments import cli, studies
from experiments.plan.make import prepared_plan
from store.errors import Failure, UserError
from tests.analysis import synthetic_store as synthetic
from tests.conftest import ROOT
from tests.experiments.tiny import study
from tests.experiments.wandb_server import ENTITY, WandbServer

Json = dict[str, Any]
TASKS = ("heldout/text", "heldout/code", "humaneval")


def grids(blocks: list[Json]) -> Iterator[Json]:
    for block in blocks:
        if block["type"] == "panel-grid":
            yield block["metadata"]
        yield from grids(block.get("collapsedChildren") or [])


def panels(made: Json) -> list[Json]:
    return [panel for grid in grids(made["blocks"]) for panel in grid["panelBankSectionConfig"]["panels"]]


def texts(blocks: list[Json]) -> str:
    return json.dumps(blocks, ensure_ascii=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Json, Any]:
    store = tmp_path_factory.mktemp("spec")
    synthetic.write_store(store, tasks=TASKS)
    found = gather(store, "small", synthetic.EXTRAS)
    return spec(found.report, "https://wandb.example/team/project"), found


def test_the_spec_is_the_report_and_equal_for_equal_records(made: tuple[Json, Any], tmp_path: Path) -> None:
    document, _ = made
    headings = [block["children"][0]["text"] for block in document["blocks"] if block["type"] == "heading"]
    assert headings[-13:] == [
        *("Differences to the baseline", "Before and after cooldown", "Stage by stage", "Along the runs"),
        *("All comparisons", "What the tasks can tell"),
        *("Declared and realised tokens", "Where the data come from", "Contamination", "Cost"),
        *("Limits", "How to reproduce", "Runs"),
    ]
    synthetic.write_store(tmp_path, tasks=TASKS)
    again = spec(gather(tmp_path, "small", synthetic.EXTRAS).report, "https://wandb.example/team/project")
    assert again == document


def test_intervals_are_ours_as_table_and_as_text(made: tuple[Json, Any]) -> None:
    document, found = made
    text = texts(document["blocks"])
    assert "Of 9 declared primary comparisons with text-only" in text
    row = next(r for r in found.comparison.last if r.primary)
    interval = escaped(row.metric.score.interval_text(row.estimate.difference)).replace("\\", "\\\\")
    assert text.count(interval) >= 2, "in the headline, and among all comparisons"


def test_run_sets_and_links_are_of_this_studys_runs(made: tuple[Json, Any]) -> None:
    document, found = made
    ends, every = (set(ids) for ids in found.report.runs.values())
    stages = {stage.fingerprint for stage, _ in found.ledgers.values()}
    assert every == stages and len(ends) == 8 and ends < stages
    for grid in grids(document["blocks"]):
        (chosen,) = (each["filters"]["filters"][0] for each in grid["runSets"])
        assert chosen["key"] == {"section": "run", "name": "name"}, "the id of a run"
        kinds = {panel["viewType"] for panel in grid["panelBankSectionConfig"]["panels"]}
        assert set(chosen["value"]) == (every if kinds == {"Run History Line Plot"} else ends)
    text = texts(document["blocks"])
    assert all(f"](https://wandb.example/team/project/runs/{id})" in text for id in stages)


def test_what_a_study_says_is_no_markup() -> None:
    hostile = "<script>|a| [x](http://evil) `b` *c* #d\n# e"
    assert escaped(hostile) == r"\<script\>\|a\| \[x\](http://evil) \`b\` \*c\* \#d \# e"
    table = Table("t", ("arm", "n"), ((Cell("a|b", "<i>"), "1"),))
    assert markdown(table).splitlines()[-1] == r"| a\|b<br>\<i\> | 1 |"


def test_a_table_that_is_too_long_says_what_it_leaves_out() -> None:
    table = Table("t", ("arm",), tuple((f"{n}",) for n in range(500)))
    assert markdown(table).endswith("and 380 more rows, in the CSV files beside report.html")


# By the command, with the real client


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(ROOT / "tests" / "experiments")])
    return CliRunner()


def test_the_spec_is_written_without_a_network(
    asked: CliRunner, finished_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    base = ["report", "tiny", "--store", str(finished_store), "--format", "wandb"]
    done = asked.invoke(cli.app, [*base, "--spec", str(tmp_path / "spec.json")], catch_exceptions=False)
    assert f"spec: {tmp_path / 'spec.json'}" in done.output and "publishes it, once you have logged in" in done.output
    document = json.loads((tmp_path / "spec.json").read_text())
    plan = prepared_plan(study(), finished_store)
    assert all(stage.fingerprint in texts(document["blocks"]) for stage in plan.stages)
    with pytest.raises(UserError, match="write its spec with --spec FILE"):
        asked.invoke(cli.app, base, catch_exceptions=False)
    with pytest.raises(UserError, match="--spec is of a W&B report"):
        asked.invoke(cli.app, [*base[:4], "--spec", str(tmp_path / "a.json")], catch_exceptions=False)


def test_the_report_is_put_up_and_made_anew_in_its_place(
    asked: CliRunner, finished_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The runs that it is about are sent first."""
    import wandb

    store = shutil.copytree(finished_store, tmp_path / "store", ignore=shutil.ignore_patterns("xla", "wandb"))

    base = ["report", "tiny", "--store", str(store), "--format", "wandb"]
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with WandbServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        try:
            done = asked.invoke(cli.app, base, catch_exceptions=False)
            asked.invoke(cli.app, base, catch_exceptions=False)
        finally:
            wandb.teardown()
        first, second = server.reports
    assert server.runs.keys() == {stage.fingerprint for stage in prepared_plan(study(), finished_store).stages}
    assert (first.get("id"), second["id"]) == (None, "view-1")
    assert (first["entityName"], first["projectName"]) == (ENTITY, "code-data-ablation")
    assert done.stdout == f"report: {server.url}/{ENTITY}/code-data-ablation/reports/tiny,-Does-it-run--view-1\n"
    document = json.loads(first["spec"])
    metrics = {metric.name for metric in compare(finished_store, "tiny").metrics}
    kinds: dict[str, list[Json]] = {}
    for panel in panels(document):
        kinds.setdefault(panel["viewType"], []).append(panel["config"])
    assert kinds.keys() == {"Run History Line Plot", "Bar Chart", "Parallel Coordinates Plot", "Run Comparer"}
    lines = kinds["Run History Line Plot"]
    assert {line["xAxis"] for line in lines} == {"tokens"} and ["loss"] in [line["metrics"] for line in lines]
    assert {(line["groupBy"], line["groupArea"]) for line in lines} == {("arm.value", "stderr")}
    drawn = {name for panel in (*lines, *kinds["Bar Chart"]) for name in panel["metrics"]} - {"loss"}
    assert drawn and {name.removeprefix("eval/") for name in drawn} <= metrics


def test_a_server_that_takes_no_report_is_told_in_a_line(
    asked: CliRunner, finished_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with WandbServer("reject") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Failure, match=r"W&B at http.* rejects the key"):
            asked.invoke(
                cli.app, ["report", "tiny", "--store", str(finished_store), "--format", "wandb"], catch_exceptions=False
            )
