"""CSV text and the words for numbers that every table and figure uses."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.metrics import percent_text
from analysis.statistics import Interval


def csv_text(header: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV with \\n line ends. Floats have ten digits, enough for any use and the same after a last-bit change.

    What is not there, or endless, is empty.
    """

    def text(cell: Any) -> Any:
        if isinstance(cell, float):
            return f"{cell:.10g}" if math.isfinite(cell) else ""
        return cell

    file = io.StringIO()
    writer = csv.DictWriter(file, header, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: text(cell) for name, cell in row.items()} for row in rows)
    return file.getvalue()


def ends(prefix: str, interval: Interval | None) -> dict[str, float | None]:
    """The two columns of an interval."""
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {f"{prefix}low": low, f"{prefix}high": high}


def few(names: Sequence[str], most: int) -> str:
    """Names in a line, the first ones where there are more."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def p_text(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count_text(count: float) -> str:
    """A count of tokens or the like with three digits: 812, 51.2k, 1.05M, 3.40B."""
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= 0.9995 * size:
            digits = 2 if abs(count) < 9.995 * size else 1 if abs(count) < 99.95 * size else 0
            return f"{count / size:.{digits}f}{suffix}"
    return f"{count:g}"


def duration_text(seconds: float) -> str:
    """120 s, 14.2 min or 3.4 h, by size."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3 * 3600 else f"{seconds / 3600:.1f} h"


def percents_text(interval: Interval | None) -> str:
    return f"[{percent_text(interval.low)}, {percent_text(interval.high)}]" if interval else "–"
