"""What preparation at the paper's scale rests on, tried: keys of 10^8 documents, and 60,000 jobs through Beam.

The figures that they print (pytest -s) are those of benchmarks/preparation-at-scale.md.
"""

import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixtures.catalogue.paper_scale import PAPER
from mixtures.catalogue.source import Source, one_shard
from mixtures.steps.candidate import Candidate
from mixtures.steps.executors import beam
from mixtures.steps.read import ReadJob
from mixtures.steps.select import select
from store.layout import Prepared

pytestmark = pytest.mark.soak
DOCUMENTS, SHARDS, JOBS = 100_000_000, 400, 60_000
TEXTS = 5 * DOCUMENTS
"""That documents are drawn from: some 9 % of them are copies."""


def _texts(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, TEXTS, DOCUMENTS // SHARDS, np.uint64)


def _write(path: Path, number: int) -> None:
    """The columns that selection reads, and no text."""
    text_D, rng = _texts(number), np.random.default_rng([number, 1])
    hashes = np.stack([text_D * np.uint64(0x9E3779B97F4A7C15), text_D * np.uint64(0xD6E8FEB86659FD93)], axis=1)
    columns = {name: rng.integers(0, 2**64, len(text_D), np.uint64) for name in ("id_hash", "group_hash")}
    text_hash = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(text_D), [None, pa.py_buffer(hashes)])
    table = {**columns, "bytes": np.full(len(text_D), 3_000, np.uint32), "text_hash": text_hash}
    pq.write_table(pa.table(table), path, 10_000, compression="lz4", use_dictionary=False)


def _repeated(numbers: range) -> int:
    """Documents of these shards whose text one before them has, counted in another way."""
    seen, count = np.zeros(TEXTS, bool), 0
    for number in numbers:
        text_D = _texts(number)
        first = np.unique(text_D[~seen[text_D]])
        count += len(text_D) - len(first)
        seen[first] = True
    return count


def _tell(what: str, started: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{what}: {time.perf_counter() - started:,.0f} s, peak memory of the process {peak:.2f} GB")


def test_a_hundred_million_documents_are_chosen_from(tmp_path: Path) -> None:
    """In two sources, each of which keeps what the other has, and 1 % of the documents held out."""
    at = Prepared(tmp_path)
    paths = tuple(tmp_path / f"{number:05}.parquet" for number in range(SHARDS))
    for number, path in enumerate(paths):
        _write(path, number)
    halves = {"across": range(SHARDS // 2), "within": range(SHARDS // 2, SHARDS)}
    sources = {kind: Source(kind, "text", "", lambda *_: iter(()), one_shard, dedup=kind) for kind in halves}
    candidates = [Candidate(sources[kind], paths[its.start : its.stop], (), at) for kind, its in halves.items()]
    started = time.perf_counter()
    found = select(candidates, 0.01)
    _tell(f"selecting among {DOCUMENTS:,}", started)
    for kind, its in halves.items():
        assert found[kind]["dropped"]["exact duplicate"] == _repeated(its)


def _touch(job: ReadJob) -> None:
    job.outputs[0][1].touch()


def test_sixty_thousand_jobs_go_through_beam(tmp_path: Path) -> None:
    """Of the paper's largest source; each leaves an empty file."""
    files = tuple(f"cerebras~SlimPajama-627B~train~chunk1~train_{number}.jsonl.zst" for number in range(66))
    mirror = {"": "gs://bucket/hub"}
    jobs = [ReadJob(files, ((PAPER[0], tmp_path / f"{n}.done"),), tmp_path, mirror) for n in range(JOBS)]
    started = time.perf_counter()
    beam((), tmp_path)(_touch, jobs, print)
    _tell(f"{JOBS:,} jobs", started)
    assert len([*tmp_path.glob("*.done")]) == JOBS
