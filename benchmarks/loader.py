"""Tokens per second and core of the loader beside its peers, on the same tokens: python -m benchmarks.loader

    [--rounds 5]

Five sources, mixed 40/25/15/12/8, documents of log-normal length. Every measurement is a process of its own on one core
(all its threads share that core), and the peers take turns. Figures are of the non-padding tokens per second. grain and
seqio are in the extras `benchmarks` and `seqio`; a peer that is not installed says so. The data (110 MB) are made in a
temporary folder.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import typer

from benchmarks.rounds import Figures, apart, on_one_core, race
from mixtures.allocate import allocate
from mixtures.loader import load_batch
from mixtures.order import DataPlan
from mixtures.tokens import arrays
from store.layout import shard_name

SOURCES = dict(zip("abcde", (Fraction(share, 100) for share in (40, 25, 15, 12, 8)), strict=True))
DOCUMENTS = 8_000  # per source
SHARDS = 4  # per source
VOCABULARY = 32_768
SHAPES = ((8, 512), (4, 8_192))
SECONDS = 2.0
CACHE_BYTES = 2_000_000  # a sixteenth of the tokens: at scale hardly a window is read twice

Batches = Iterator[Any]
Peer = tuple[Batches, Callable[[Any], int]]
"""Batches without end, and the non-padding tokens of one."""


def documents(source: str) -> list[np.ndarray]:
    """int32 ids in [3, VOCABULARY); median 250 tokens."""
    rng = np.random.default_rng(list(SOURCES).index(source))
    lengths = np.clip(rng.lognormal(np.log(250), 1.0, DOCUMENTS).astype(int), 8, 4_000)
    return np.split(rng.integers(3, VOCABULARY, lengths.sum(), dtype=np.int32), np.cumsum(lengths)[:-1])


def shards_of(texts: list[np.ndarray]) -> list[list[np.ndarray]]:
    size = DOCUMENTS // SHARDS
    return [texts[n * size : (n + 1) * size] for n in range(SHARDS)]


def make_data(folder: Path) -> None:
    """The same documents as shards of the store and as flat files."""
    for source in SOURCES:
        texts = documents(source)
        np.concatenate(texts).astype("uint16").tofile(folder / f"{source}.bin")
        for number, part in enumerate(shards_of(texts)):
            ids = np.concatenate(part).astype(arrays.token_dtype(VOCABULARY))
            arrays.write_shard(folder / "tokens" / source / shard_name(number), ids, np.cumsum([0, *map(len, part)]))


def ours(folder: Path, batch: int, sequence: int, mask: bool = False) -> Peer:
    arrays._CACHE_BYTES = CACHE_BYTES
    shards = {source: [sum(map(len, part)) for part in shards_of(documents(source))] for source in SOURCES}
    windows = {source: arrays.windows_in(its, sequence) for source, its in shards.items()}
    plan = DataPlan(allocate(SOURCES), windows, {}, 0, batch, sequence, mask)
    tokens = arrays.TokenStore(folder / "tokens", shards)
    return (load_batch(plan, tokens, step) for step in range(10**9)), lambda b: batch * sequence


def memmap(folder: Path, batch: int, sequence: int) -> Peer:
    """Random windows of flat files, sources drawn: no epochs, no position to resume from, no checksums."""
    flat = [np.memmap(folder / f"{source}.bin", np.uint16, "r") for source in SOURCES]
    weights = [float(share) for share in SOURCES.values()]
    rng = np.random.default_rng(0)

    def batches() -> Batches:
        while True:
            drawn = [flat[i] for i in rng.choice(len(flat), batch, p=weights)]
            starts = [rng.integers(0, len(tokens) - sequence) for tokens in drawn]
            windows = (tokens[s : s + sequence + 1] for tokens, s in zip(drawn, starts, strict=True))
            yield np.stack([window.astype(np.int32) for window in windows])

    return batches(), lambda b: batch * sequence


def grain(folder: Path, batch: int, sequence: int) -> Peer:
    """Documents in memory, shuffled, mixed by weight, concatenated and split."""
    import grain
    from grain.experimental import ConcatThenSplitIterDataset

    sources = [
        grain.MapDataset.source(documents(source)).seed(number).shuffle().repeat().map(lambda ids: {"tokens": ids})
        for number, source in enumerate(SOURCES)
    ]
    mixed = grain.MapDataset.mix(sources, weights=[float(share) for share in SOURCES.values()])
    stream = mixed.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
    packed = ConcatThenSplitIterDataset(stream, length_struct={"tokens": sequence})
    return iter(packed.batch(batch, drop_remainder=True)), lambda b: int(np.count_nonzero(b["tokens"]))


def seqio(folder: Path, batch: int, sequence: int) -> Peer:
    """A Mixture of TFRecord Tasks, packed by LMFeatureConverter."""
    import seqio
    import tensorflow as tf

    vocabulary = seqio.PassThroughVocabulary(VOCABULARY, eos_id=1)
    for source in SOURCES:
        path, form = folder / f"{source}.tfrecord", {"targets": tf.io.RaggedFeature(tf.int64)}
        if not path.exists():
            _write_tfrecord(tf, path, documents(source))
        seqio.TaskRegistry.add(
            source,
            source=seqio.TFExampleDataSource({"train": str(path)}, form, num_input_examples={"train": DOCUMENTS}),
            preprocessors=[lambda data: data.map(lambda row: {"targets": tf.cast(row["targets"], tf.int32)})],
            output_features={"targets": seqio.Feature(vocabulary, add_eos=False)},
        )
    seqio.MixtureRegistry.add("mix", [(source, float(share)) for source, share in SOURCES.items()])
    packed = seqio.LMFeatureConverter(pack=True)
    data = seqio.get_dataset("mix", {"targets": sequence}, packed, "train", shuffle=True, seed=0, num_epochs=None)
    stream = data.batch(batch, drop_remainder=True).as_numpy_iterator()
    return stream, lambda b: int(np.count_nonzero(b["decoder_target_tokens"]))


def _write_tfrecord(tf: Any, path: Path, texts: list[np.ndarray]) -> None:
    with tf.io.TFRecordWriter(str(path)) as file:
        for ids in texts:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=ids))
            row = tf.train.Example(features=tf.train.Features(feature={"targets": feature}))
            file.write(row.SerializeToString())


PEERS: dict[str, Callable[[Path, int, int], Peer]] = {
    "ours": ours,
    "ours, document mask": partial(ours, mask=True),
    "numpy.memmap, random windows": memmap,
    "grain, concat-then-split": grain,
    "seqio mixture, packed": seqio,
}


def measure(name: str, folder: str, batch: int, sequence: int) -> Figures:
    """One peer over SECONDS."""
    on_one_core()
    stream, tokens_in = PEERS[name](Path(folder), batch, sequence)
    # What a pipeline has ready when the clock starts must not count for much.
    for _ in range(20):
        next(stream)
    tokens, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        tokens += tokens_in(next(stream))
    return {"M tokens/s/core": tokens / (time.perf_counter() - started) / 1e6}


def main(rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder))
        for batch, sequence in SHAPES:
            print(f"\n{batch} x {sequence:,}\n")
            race({name: partial(apart, measure, name, folder, batch, sequence) for name in PEERS}, rounds, base="ours")


if __name__ == "__main__":
    typer.run(main)
