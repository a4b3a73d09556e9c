"""Tables and lines for people: what every command's document looks like on a terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]
Value = str | Callable[[Row], Any]
"""Of a cell: a key of its row, or a function of it."""
Column = Value | tuple[Value, str]
"""Numbers are written with commas, or by the format that stands second."""


def table(title: str, rows: Sequence[Row], columns: Mapping[str, Column], framed: bool = True) -> Table:
    """Columns by their headings. Numbers go to the right, texts fold, a list has commas between, None is a dash."""
    look: dict[str, Any] = {} if framed else {"box": None, "padding": (0, 3, 0, 0)}
    shown = Table(title=Text(title) if title else None, title_justify="left", **look)
    cells = []
    for heading, column in columns.items():
        value, form = column if isinstance(column, tuple) else (column, ",")
        values = [row[value] if isinstance(value, str) else value(row) for row in rows]
        numeric = any(isinstance(each, int | float) for each in values)
        shown.add_column(heading, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
        cells.append([Text(_written(each, form)) for each in values])
    for row in zip(*cells, strict=True):
        shown.add_row(*row)
    return shown


def _written(value: Any, form: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, int | float):
        return format(value, form)
    return value if isinstance(value, str) else ", ".join(map(str, value))


def say(console: Console, *lines: str, style: str = "") -> None:
    """Lines as they are: nothing in them is markup, and none is broken."""
    for line in lines:
        console.print(Text(line, style), soft_wrap=True)
