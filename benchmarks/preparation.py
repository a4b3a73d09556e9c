"""How fast documents become tokens on one core: each step of preparation beside the bare encoder on the same text.

    python benchmarks/preparation.py [--megabytes 100] [--rounds 5]

The text is Python of the standard library and of the installed packages. Every figure is a process of its own, pinned
to one core, so that the encoder's cache of words is cold; steps take turns, and the median of the rounds is printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mixtures.catalogue.source import Source, one_shard
from mixtures.decontaminate.scan import Rule
from mixtures.documents import parquet
from mixtures.documents.document import Document
from mixtures.documents.filters import PAPER
from mixtures.prepare import benchmark_index
from mixtures.steps.read import ReadJob, read_shard
from mixtures.steps.scan import ScanJob, scan_shard
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.tokenise import TokeniseJob, tokenise_shard
from store.layout import Prepared

FEW = 5
"""Documents that a process does before it is timed."""
STEPS = ("bare encoder", "tokenise", "read", "read and filter", "look for benchmark items", "reference encoder")


def read(megabytes: int, shard: str, downloads: Path) -> Iterator[Document]:
    size = 0
    for root in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        for path in sorted(Path(root).rglob("*.py")):
            try:
                text = path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, OSError):
                continue
            yield Document(str(path), path.parent.name, text)
            size += len(text)
            if size > megabytes * 10**6:
                return


def source(megabytes: int) -> Source:
    return Source("python", "code", "python", partial(read, megabytes), one_shard, filters=PAPER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--benchmarks", nargs="*", default=None, help="decontaminate against these; all by default")
    parser.add_argument("--downloads", type=Path, default=Path("runs/downloads"))
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step, options.folder, options.megabytes)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, options)
        rates: dict[str, list[float]] = {step: [] for step in STEPS}
        for _ in range(options.rounds):
            for step_name in STEPS:
                rates[step_name].append(measure(step_name, folder, options.megabytes))
    bare = statistics.median(rates["bare encoder"])
    for step_name, found in rates.items():
        median = statistics.median(found)
        print(f"{step_name:30} {median:8.1f} MB/s  ({min(found):.1f}–{max(found):.1f})  {median / bare:.2f} of bare")


def make(folder: Path, options: argparse.Namespace) -> None:
    """The corpus as a shard of documents, a tokenizer of 32,768 ids, and the index of the benchmarks."""
    job = ReadJob(source(options.megabytes), "all", folder, folder / "documents.parquet", "")
    read_shard(job)
    texts = [document.text for document in parquet.read_documents(job.path)]
    (Prepared(folder).choice / "python").mkdir(parents=True)
    np.save(Prepared(folder).roles("python", "documents"), np.ones(len(texts), np.uint8))
    parquet.write(folder / "few.parquet", (Document(f"few/{n}", "few", text) for n, text in enumerate(texts[:FEW])), {})
    np.save(Prepared(folder).roles("python", "few"), np.ones(FEW, np.uint8))
    ends = np.cumsum([len(text) for text in texts])
    bpe.save(bpe.train(texts[: int(np.searchsorted(ends, 20_000_000)) + 1], 32_768), folder / "tokenizer.json")
    from mixtures.benchmarks.known import BENCHMARKS

    names = tuple(BENCHMARKS) if options.benchmarks is None else tuple(options.benchmarks)
    (folder / "downloads").symlink_to(options.downloads.resolve())
    index = benchmark_index(names, folder, lambda *_: None)
    index.rename(folder / "index.npz")


def measure(name: str, folder: Path, megabytes: int) -> float:
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder), "--megabytes", str(megabytes)]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(result.stdout))


def step(name: str, folder: Path, megabytes: int) -> float:
    """Megabytes of text a second of this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    size = sum(
        int(np.sum(batch.column("bytes").to_numpy()))
        for batch in parquet.read(folder / "documents.parquet", ("bytes",))
    )
    run, share = work(name, folder, megabytes)
    started = time.perf_counter()
    run()
    return size * share / 1e6 / (time.perf_counter() - started)


def work(name: str, folder: Path, megabytes: int) -> tuple[Callable[[], object], float]:
    """What is timed, and the share of the corpus that it does. What is loaded once a process is loaded before."""
    out, corpus = folder / "out", folder / "documents.parquet"
    if name in ("bare encoder", "reference encoder"):
        encoder = bpe.encoder(folder / "tokenizer.json")
        groups = [batch.column("text").to_pylist() for batch in parquet.read(corpus, ("text",))]
        if name == "bare encoder":
            return lambda: [encoder.fast.encode_batch_flat(texts, split_special_tokens=True) for texts in groups], 1.0
        few = groups[0][::8]
        share = sum(map(len, few)) / sum(len(text) for texts in groups for text in texts)
        return lambda: encoder.reference.encode_batch(few, add_special_tokens=False), share
    if name == "tokenise":

        def job(documents: Path) -> TokeniseJob:
            return TokeniseJob(documents, "python", 0, Prepared(folder), None, None)

        tokenise_shard(job(folder / "few.parquet"))
        return lambda: tokenise_shard(job(corpus)), 1.0
    if name == "look for benchmark items":

        def scanning(documents: Path) -> ScanJob:
            return ScanJob(documents, folder / "index.npz", Rule(), out / "found.json")

        scan_shard(scanning(folder / "few.parquet"))
        return lambda: scan_shard(scanning(corpus)), 1.0
    documents = list(read(megabytes, "all", folder))  # in memory: the speed of the disk is not the question

    def reading(documents: list[Document]) -> ReadJob:
        filters = () if name == "read" else PAPER
        its = Source("python", "code", "python", partial(given, documents), one_shard, filters=filters)
        return ReadJob(its, "all", folder, out / "documents.parquet", "")

    read_shard(reading(documents[:FEW]))
    return lambda: read_shard(reading(documents)), 1.0


def given(documents: list[Document], shard: str, downloads: Path) -> Iterator[Document]:
    return iter(documents)


if __name__ == "__main__":
    main()
