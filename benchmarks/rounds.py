"""What the measurements here share: processes of their own, turns in rounds, and a table of medians.

Programs take turns in an order that moves on by one each round, so that a noisy machine is noisy for all of them, and a
ratio is of one round's pair.
"""

import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Figures = Mapping[str, float]
"""Of one measurement, by unit. By the first of them programs are compared."""


class NotMeasured(Exception):
    """What the process said that gave no figures."""


def apart(function: Callable[..., Any], *given: object, python: str = sys.executable, **environment: str) -> Any:
    """What a function of a script here returns in a process of its own. What goes in and comes out is JSON."""
    what = (Path(function.__code__.co_filename).stem, function.__name__, json.dumps(given))
    # Idle threads of an OpenMP program sleep, else they take the cores from the ones that work.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    command = [python, "-m", "benchmarks.rounds", *what]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(" ".join(done.stderr.split())[-300:])
    return json.loads(done.stdout.splitlines()[-1])


def on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def race(programs: Mapping[str, Callable[[], Figures]], rounds: int, base: str, warm: int = 0) -> None:
    """Print medians (lowest–highest) as a table, and `base`'s first figure over each program's.

    The figures of every turn go to the standard error. `warm` rounds come first and do not count.
    """
    names, found = list(programs), {name: dict[int, Figures]() for name in programs}
    for number in range(-warm, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            said: Mapping[str, float | str]
            try:
                said = found[name][number] = programs[name]()
            except NotMeasured as why:
                said = {"not measured": str(why)}
            row = {"round": number, "program": name, **said, "load": round(os.getloadavg()[0], 1)}
            print(json.dumps(row), file=sys.stderr, flush=True)
    counted = {name: {n: figures for n, figures in mine.items() if n >= 0} for name, mine in found.items()}
    units = list(dict.fromkeys(unit for mine in counted.values() for figures in mine.values() for unit in figures))
    rows = []
    for name, mine in counted.items():
        cells = [spread([figures[unit] for figures in mine.values() if unit in figures]) for unit in units]
        ratios = [counted[base][n][units[0]] / mine[n][units[0]] for n in mine if n in counted[base] and name != base]
        rows.append([name, str(len(mine)), *cells, spread(ratios)])
    print_table(["program", "rounds", *units, f"{base} is"], rows)


def spread(values: Sequence[float]) -> str:
    """Median (lowest–highest)."""
    if not values:
        return ""
    three = (statistics.median(values), min(values), max(values))
    median, low, high = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in three)
    return f"{median} ({low}–{high})"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    script, function, given = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(f"benchmarks.{script}"), function)(*json.loads(given))))
