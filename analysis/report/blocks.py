"""A report as data: what it says and shows, and nothing of how it looks.

`page.py` makes one HTML file of it and `wandb_report.py` a W&B report. Texts are plain, and escaped where they are
shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analysis.tabular import csv_text

ENDS, STAGES = "Ends of the runs", "All stages"
"""Sets of W&B runs."""


@dataclass(frozen=True)
class Cell:
    """`note` stands small below the text; `look` is a word for it, such as "better"; `trace` is where it is from."""

    text: str
    note: str = ""
    look: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Table:
    """The first `words` columns are words, as are those named in `prose`; all others are numbers.

    A row that repeats the first cell of the one before leaves it empty; one that does not begins a group.
    """

    caption: str
    head: tuple[Cell | str, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    words: int = 1
    prose: tuple[int, ...] = ()
    dense: bool = False


def grouped(rows: Sequence[tuple[Cell | str, ...]]) -> tuple[tuple[Cell | str, ...], ...]:
    """The rows of a table, those that repeat the first cell of the one before without it."""
    before = (None, *(row[0] for row in rows))
    return tuple(("" if row[0] == last else row[0], *row[1:]) for row, last in zip(rows, before, strict=False))


@dataclass(frozen=True)
class Text:
    """A paragraph; `look` is "note" or "bad", or nothing."""

    text: str
    look: str = ""


@dataclass(frozen=True)
class Bullets:
    """Each a term, which may be "", and what is said of it."""

    lines: tuple[tuple[str, str], ...]
    look: str = ""


@dataclass(frozen=True)
class Facts:
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Mark:
    """One point of a figure, with all that it stands for; `x` where it is not the arm that says where it stands."""

    figure: str
    arm: str
    metric: str
    at: str
    value: float
    low: float | None = None
    high: float | None = None
    x: float | None = None
    n_items: int | None = None
    n_seeds: int | None = None
    trace: str = ""
    """Study, seeds, stages with their fingerprints, step."""


@dataclass(frozen=True)
class Panel:
    """What W&B draws of the runs themselves, live: `kind` is "line", "bar", "scatter", "parallel" or "compare"."""

    kind: str
    title: str
    y: tuple[str, ...] = ()
    x: str = ""


@dataclass(frozen=True)
class Figure:
    """`svg` is safe to put into a page; `marks` are what it draws, which its CSV holds too."""

    name: str
    title: str
    svg: str
    caption: str
    marks: tuple[Mark, ...] = ()
    panels: tuple[Panel, ...] = ()

    @property
    def csv(self) -> str:
        header = ("figure", "arm", "metric", "at", "x", "value", "low", "high", "n_items", "n_seeds", "trace")
        return csv_text(header, map(vars, self.marks))


@dataclass(frozen=True)
class Fold:
    """What is shown when somebody asks for it."""

    summary: str
    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Heading:
    text: str


Block = Table | Text | Bullets | Facts | Code | Figure | Fold | Heading


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """`facts` and `lead` are the first screen: what was asked, the findings, the headline, the study's one figure."""

    study: str
    question: str
    facts: tuple[tuple[str, str], ...]
    lead: tuple[Block, ...]
    sections: tuple[Section, ...]
    runs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sets of stages that it is about, by what they are called: fingerprints, which are the ids of their W&B runs."""
    links: Mapping[str, str] = field(default_factory=dict)
    """The fingerprint of every stage, by its name."""
    metrics: tuple[str, ...] = ()
    primary: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    """What W&B's panels are of."""


def blocks_of(report: Report) -> Sequence[Block]:
    """All blocks in order, those inside of folds too."""

    def inside(blocks: Sequence[Block]) -> list[Block]:
        return [
            each for block in blocks for each in (block, *(inside(block.blocks) if isinstance(block, Fold) else ()))
        ]

    return inside([*report.lead, *(block for section in report.sections for block in section.blocks)])
