"""A report as a W&B report: our findings, intervals and tables in words, and live panels over the runs beside them.

W&B's own bands are standard errors over runs; the paired intervals are ours and stand in tables. Run sets name their
runs by id, so other studies in the project stay out. Texts are escaped: what a study or a model says is no markup.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis.metrics import COMPOSITE, FRESH, HELDOUT
from analysis.report.blocks import (
    ENDS,
    STAGES,
    Block,
    Bullets,
    Cell,
    Code,
    Facts,
    Figure,
    Fold,
    Heading,
    Panel,
    Report,
    Section,
    Table,
    Text,
)
from analysis.report.values import PLAIN_MEAN

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as wr

MOST_ROWS = 120
"""Of a table; the CSV files beside report.html have all."""
WIDTH, HEIGHT = 12, 8
"""Of a panel; W&B's grid is 24 wide."""
TITLE = 128
"""Letters, at most."""


def spec(report: Report, address: str = "") -> dict[str, Any]:
    """What W&B stores of the report, made without a network: equal reports give equal values.

    Args:
        report: the report.
        address: of the project on a server, for links to runs; "" for none.
    """
    made = draft(report, "", "", address)._to_model().spec
    return _without_chance(json.loads(json.dumps(made.model_dump(by_alias=True, exclude_none=True), default=str)))


def draft(report: Report, entity: str, project: str, address: str = "") -> "wr.Report":
    """A report of W&B's own client; with an entity and a project it asks the server for their ids."""
    import wandb_workspaces.reports.v2 as wr

    sets = {
        name: wr.Runset(entity=entity, project=project, name=name, filters=f"Metric('ID') in {list(ids)!r}")
        for name, ids in report.runs.items()
        if ids
    }
    blocks = [
        wr.TableOfContents(),
        *_shown([Facts(report.facts), *report.lead], sets),
        wr.H2("Live from the runs"),
        *_grids(live(report), sets),
        *(block for section in report.sections for block in _section(section, sets)),
        *_links(report, address),
    ]
    title = f"{report.study}, {report.question}".replace("?", "")  # which would end its address
    title = title if len(title) <= TITLE else f"{title[: TITLE - 1]}…"
    return wr.Report(project=project, entity=entity, title=title, description=report.question, blocks=blocks)


def live(report: Report) -> list[Panel]:
    """Panels that every study has: training, scores by category, all primary scores at once, what runs differ in."""
    metrics = report.metrics
    groups = {
        "Held-out text": [name for name in metrics if name.startswith(HELDOUT) and name.count("/") == 2],
        "Fresh text": [name for name in metrics if name.startswith(FRESH) and name.count("/") == 2],
        "Code": [name for name in metrics if name.startswith(("humaneval", "mbpp"))],
        "Reasoning": [name for name in metrics if name.startswith("reasoning/")],
        "Knowledge": [name for name in metrics if name.startswith("knowledge/")],
        "Composite and plain mean": [n for n in metrics if COMPOSITE in metrics and n in (COMPOSITE, PLAIN_MEAN)],
    }
    along = [name for name in groups["Held-out text"] if name.endswith("/bpb")]
    return [
        Panel("line", "Training loss, seeds of an arm together", ("loss",), "tokens"),
        *(Panel("line", f"{name} over tokens", (name,), "tokens") for name in along),
        *(Panel("bar", title, tuple(names)) for title, names in groups.items() if names),
        *([Panel("bar", "Win rates", tuple(report.judges))] if report.judges else []),
        Panel("parallel", "Primary metrics of all runs", tuple(report.primary or metrics[:6])),
        Panel("compare", "What differs between runs"),
    ]


def _section(section: Section, sets: Mapping[str, "wr.Runset"]) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    inner = _shown(section.blocks, sets)
    return [wr.H2(section.title, collapsed_blocks=inner)] if inner else []


def _shown(blocks: Iterable[Block], sets: Mapping[str, "wr.Runset"]) -> list[Any]:
    return [made for block in blocks for made in _made(block, sets)]


def _made(block: Block, sets: Mapping[str, "wr.Runset"]) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    match block:
        case Text(text, look):
            return [wr.CalloutBlock(text) if look == "answer" else wr.P(text)]
        case Heading(text):
            return [wr.H3(text)]
        case Code(text):
            return [wr.MarkdownBlock(f"```\n{text}\n```")]
        case Bullets(pairs) | Facts(pairs):
            return [wr.MarkdownBlock("\n".join(f"- {_term(term)}{escaped(said)}" for term, said in pairs))]
        case Table():
            return [wr.MarkdownBlock(markdown(block))]
        case Fold(summary, inside):
            inner = _shown(inside, sets)
            return [wr.H3(summary, collapsed_blocks=inner)] if inner else []
        case Figure(panels=panels, title=title) if panels:
            return [wr.H3(title), *_grids(panels, sets)]
    return []  # a drawing, which report.html has


def _term(term: str) -> str:
    return f"**{escaped(term)}**: " if term else ""


def escaped(text: str) -> str:
    """Plain text as markdown that shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~$])", r"\\\1", " ".join(text.split()))


def markdown(table: Table) -> str:
    """A table of GitHub's markdown, its caption above."""

    def cell(value: Cell | str) -> str:
        if isinstance(value, str):
            return escaped(value)
        return escaped(value.text) + (f"<br>{escaped(value.note)}" if value.note else "")

    rows = ["| " + " | ".join(map(cell, row)) + " |" for row in (table.head, *table.rows[:MOST_ROWS])]
    rule = ["---" if n < table.words or n in table.prose else "---:" for n in range(len(table.head))]
    rows.insert(1, "| " + " | ".join(rule) + " |")
    more = len(table.rows) - MOST_ROWS
    rest = [f"\nand {more} more rows, in the CSV files beside report.html"] if more > 0 else []
    return "\n".join([f"*{escaped(table.caption)}*\n", *rows, *rest])


def _grids(panels: Sequence[Panel], sets: Mapping[str, "wr.Runset"]) -> list[Any]:
    """Lines are of all stages, all else of the ends of the runs alone: a mean over stages would mean nothing."""
    import wandb_workspaces.reports.v2 as wr

    lines = [panel for panel in panels if panel.kind == "line"]
    others = [panel for panel in panels if panel.kind != "line"]
    return [
        wr.PanelGrid(runsets=[sets[name]], panels=_panels(its))
        for name, its in ((STAGES, lines), (ENDS, others))
        if its and name in sets
    ]


def _panels(panels: Sequence[Panel]) -> list[Any]:
    """Two beside each other."""
    import wandb_workspaces.reports.v2 as wr

    made = [_panel(panel) for panel in panels]
    for number, panel in enumerate(made):
        panel.layout = wr.Layout(x=WIDTH * (number % 2), y=HEIGHT * (number // 2), w=WIDTH, h=HEIGHT)
    return made


def _panel(panel: Panel) -> Any:
    import wandb_workspaces.reports.v2 as wr

    bands: dict[str, Any] = {
        "groupby": wr.Config("arm"),
        "groupby_aggfunc": "mean",
        "groupby_rangefunc": "stderr",
        "max_runs_to_show": 100,
    }
    names = [logged(name) for name in panel.y]
    match panel.kind:
        case "line":
            return wr.LinePlot(title=panel.title, x=panel.x, y=list(names), **bands)
        case "bar":
            return wr.BarPlot(title=panel.title, metrics=list(names), **bands)
        case "scatter":
            return wr.ScatterPlot(title=panel.title, x=wr.Config(panel.x), y=wr.SummaryMetric(names[0]))
        case "parallel":
            columns = [wr.ParallelCoordinatesPlotColumn(wr.Config("arm"))]
            columns += [wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(name)) for name in names]
            return wr.ParallelCoordinatesPlot(title=panel.title, columns=columns)
    return wr.RunComparer(diff_only="split")


def logged(metric: str) -> str:
    """What a run calls a metric: scores are below "eval/", what every step has is not."""
    return f"eval/{metric}" if "/" in metric and not metric.startswith("win_rate/") else metric


def _links(report: Report, address: str) -> list[Any]:
    """Every run by its id, with its address where one is known."""
    import wandb_workspaces.reports.v2 as wr

    rows = [
        f"| {escaped(name)} | {f'[{id_}]({address}/runs/{id_})' if address else id_} |"
        for name, id_ in report.links.items()
    ]
    table = "\n".join(["| run | id |", "| --- | --- |", *rows])
    return [wr.H2("Runs", collapsed_blocks=[wr.MarkdownBlock(table)])] if rows else []


def _without_chance(made: Any) -> Any:
    """The ids that the client draws, by the order in which they come; nothing refers to them by their letters."""
    known: dict[str, str] = {}

    def mended(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: mended(of, name) for name, of in value.items()}
        if isinstance(value, list):
            return [mended(of, key) for of in value]
        if isinstance(value, str) and key in ("id", "__id__", "ref", "blockID") and value:
            return known.setdefault(value, f"id-{len(known)}")
        return value

    return mended(made)
