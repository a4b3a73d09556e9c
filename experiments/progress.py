"""Progress with time left, on stderr: a live bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 5.0


class Display:
    """One phase of a run with a total that is known: `update` says how far it is and what it is at."""

    def __init__(self, phase: str):
        self._phase = phase
        self._started = time.monotonic()
        self._first = 0.0
        self._printed = 0.0
        self._console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        if self._console.is_terminal:
            columns = (
                TextColumn(f"[bold]{phase}"),
                BarColumn(),
                TextColumn("{task.percentage:3.0f} %"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> "Display":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is None:
            self._print(f"done in {time.monotonic() - self._started:.0f} s")

    def update(self, what: str, done: float, total: float) -> None:
        """Show `done` of `total`; the time left follows from the pace since the first update."""
        if self._bar is not None:
            self._bar.update(self._task, description=what, completed=done, total=total)
            return
        now = time.monotonic()
        if self._printed == 0.0:
            self._first, self._started_work = done, now
        elif now - self._printed < LINE_SECONDS:
            return
        self._printed = now
        pace = (done - self._first) / max(now - self._started_work, 1e-9)
        left = f", {(total - done) / pace:.0f} s left" if pace > 0 else ""
        self._print(f"{100 * done / max(total, 1):.0f} %{left} ({what})")

    def _print(self, text: str) -> None:
        self._console.print(f"{self._phase}: {text}", highlight=False, markup=False, soft_wrap=True)
