"""Time `ablate compare` and the report on a study of 22 arms, three seeds and all benchmarks whole, at two points.

python -m benchmarks.comparison [STORE]    writes the study there first, if it is not there (1.4 GB of records)

The first look at a study keeps what it made of the records, so run it twice: "compare" is both points, "end" the end of
the runs alone, 66 checkpoints. Every part runs in a process of its own. CPU seconds are of all its threads and count
while others have the cores too.
"""

import resource
import sys
import time
from pathlib import Path

from benchmarks.rounds import apart

PARTS = ("read", "compare", "end", "report")


def measure(part: str, folder: str) -> str:
    """One line: what the part took, all that it needs of other parts included."""
    store, started = Path(folder), time.perf_counter()
    if part == "read":
        from analysis.records import read_study
        from analysis.scores import evaluated

        found, _ = evaluated(store, read_study(store, "large"))
        size = f"{sum(len(task.ids) for of in found.scores.values() for task in of.values()):,} rows of scores"
    elif part in ("compare", "end"):
        from analysis.choice import Choice
        from analysis.compare import compare

        size = f"{len(compare(store, 'large', Choice(at='final' if part == 'end' else '')).rows):,} comparisons"
    else:
        from analysis.report.build import build
        from tests.analysis.synthetic_store import EXTRAS

        size = f"a page of {build(store, 'large', EXTRAS).stat().st_size / 1e6:.1f} MB"
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (
        f"{part}: {time.perf_counter() - started:.1f} s, {used.ru_utime + used.ru_stime:.1f} CPU seconds, "
        f"{used.ru_maxrss / 1e6:.2f} GB, {size}"
    )


def main(store: str = "/tmp/ablate-comparison") -> None:
    if not (Path(store) / "studies" / "large" / "study.json").exists():
        from tests.analysis.large_store import write_store

        write_store(Path(store))
    for part in PARTS:
        print(apart(measure, part, store), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
