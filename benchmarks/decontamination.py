"""How fast decontamination reads and how much memory it takes: python -m benchmarks.decontamination

    [--store runs] [--megabytes 60] [--rounds 5]

All benchmarks that can be had against this Python's own source files, one core: the whole step under each rule, by CPU
time in a process of its own. Benchmark rows that are missing are fetched to STORE/downloads. `ablate decontaminate
--selftest` tells what the rules find.
"""

import resource
import sys
import time
from functools import partial
from pathlib import Path

import typer

from benchmarks.preparation import python_files
from benchmarks.rounds import Figures, apart, on_one_core, race
from mixtures.benchmarks.item import Item
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.decontaminate import index as contamination
from mixtures.decontaminate.scan import RULES, Rule, scan
from mixtures.documents.document import Document
from mixtures.prepare import benchmark_index


def main(store: Path = Path("runs"), megabytes: float = 60, rounds: int = 5) -> None:
    path = benchmark_index(tuple(BENCHMARKS), store, lambda *_: None)
    print(f"{megabytes} MB of Python, index of {path.stat().st_size / 1e6:.1f} MB\n")
    race({rule: partial(apart, measure, str(path), rule, megabytes) for rule in RULES}, rounds, base="align")


def measure(path: str, name: str, megabytes: float) -> Figures:
    """Memory is what this process peaks at with the index and one document, and before it had the index."""
    on_one_core()
    rule = Rule(name)
    text = "one question of a few more words than eight that nobody has ever asked"
    scan(contamination.build([Item("b", "0", {"question": text})]), rule, [Document("", "", text)])
    before = peak()
    index = contamination.load(Path(path))
    scan(index, rule, [Document("", "", text)])
    after, documents = peak(), list(python_files(megabytes))
    started = time.process_time()
    scan(index, rule, documents)
    rate = sum(len(document.text.encode()) for document in documents) / 1e6 / (time.process_time() - started)
    return {"MB/s": rate, "MB at the peak": after, "MB without the index": before}


def peak() -> float:
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    # ru_maxrss of Linux counts what the parent process had.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    typer.run(main)
