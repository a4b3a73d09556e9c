"""What preparation at the paper's scale rests on, tried: many document keys through selection, many jobs through Beam.

    python -m benchmarks.preparation_at_scale selection [--documents 100000000] [--shards 400] [--folder .]
    python -m benchmarks.preparation_at_scale beam [--jobs 60000] [--folder .]

Keys are random, and some 9 % of the documents are copies. Files have the columns that selection reads, and no text.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from mixtures.catalogue.paper_scale import PAPER
from mixtures.catalogue.source import Source, one_shard
from mixtures.steps.candidate import Candidate
from mixtures.steps.executors import beam
from mixtures.steps.read import ReadJob
from mixtures.steps.select import select
from store.layout import Prepared

app = typer.Typer(add_completion=False)


def timed(what: str, work: Callable[[], Any]) -> None:
    started = time.perf_counter()
    found = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{what}: {time.perf_counter() - started:,.0f} s, peak memory {peak:.2f} GB; {found}")


def write_keys(path: Path, number: int, documents: int, texts: int) -> None:
    rng = np.random.default_rng(number)
    text_D = rng.integers(0, texts, documents, np.uint64)
    hashes = np.stack([text_D * np.uint64(0x9E3779B97F4A7C15), text_D * np.uint64(0xD6E8FEB86659FD93)], axis=1)
    columns = {name: rng.integers(0, 2**64, documents, np.uint64) for name in ("id_hash", "group_hash")}
    text_hash = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), documents, [None, pa.py_buffer(hashes)])
    table = {**columns, "bytes": np.full(documents, 3_000, np.uint32), "text_hash": text_hash}
    pq.write_table(pa.table(table), path, 10_000, compression="lz4", use_dictionary=False)


@app.command()
def selection(documents: int = 100_000_000, shards: int = 400, share: float = 0.01, folder: Path = Path()) -> None:
    """Roles of so many documents in two sources, of which the second keeps what the first has."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        at = Prepared(Path(name))
        paths = tuple(at.folder / f"{number:05}.parquet" for number in range(shards))
        for number, path in enumerate(paths):
            write_keys(path, number, documents // shards, texts=5 * documents)
        halves = {"across": paths[: shards // 2], "within": paths[shards // 2 :]}
        candidates = [
            Candidate(Source(dedup, "text", "", lambda *_: iter(()), one_shard, dedup=dedup), its, (), at)
            for dedup, its in halves.items()
        ]
        timed(f"selecting among {documents:,}", lambda: [its["dropped"] for its in select(candidates, share).values()])


def touch(job: ReadJob) -> None:
    job.outputs[0][1].touch()


@app.command(name="beam")
def through_beam(jobs: int = 60_000, folder: Path = Path()) -> None:
    """So many jobs of the paper's largest source through Beam's local runner, each of which leaves an empty file."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        at = Path(name)
        files = tuple(f"cerebras~SlimPajama-627B~train~chunk1~train_{number}.jsonl.zst" for number in range(66))
        made = [ReadJob(files, ((PAPER[0], at / f"{n}.done"),), at, {"": "gs://bucket/hub"}) for n in range(jobs)]
        timed(f"{jobs:,} jobs", lambda: beam((), at)(touch, made, print) or f"{len([*at.glob('*.done')]):,} files")


if __name__ == "__main__":
    app()
