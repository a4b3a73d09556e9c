"""Tokens per second and core of the loader beside its peers, on the same tokens: python benchmarks/loader.py [FOLDER]

Five sources, mixed 40/25/15/12/8, documents of log-normal length. Every measurement is a process of its own on one core
(all its threads share that core), and the peers take turns, so that a noisy machine is noisy for all of them. Prints
medians of the non-padding tokens per second. grain and seqio are in the extras `benchmarks` and `seqio`; a peer that is
not installed says so. The data (110 MB) are made in FOLDER once, a temporary folder by default.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

SOURCES = {"a": Fraction(40, 100), "b": Fraction(25, 100), "c": Fraction(15, 100), "d": Fraction(12, 100)}
SOURCES["e"] = 1 - sum(SOURCES.values())
DOCUMENTS = 8_000  # per source
SHARDS = 4  # per source
VOCABULARY = 32_768
SHAPES = ((8, 512), (4, 8_192))
ROUNDS = 5
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


def make_data(folder: Path) -> None:
    """The same documents as shards of the store, flat files and, with TensorFlow, TFRecords."""
    from mixtures.tokens.arrays import token_dtype, write_shard
    from store.layout import shard_name

    for source in SOURCES:
        texts = documents(source)
        np.concatenate(texts).astype("uint16").tofile(folder / f"{source}.bin")
        for number in range(SHARDS):
            part = texts[number * DOCUMENTS // SHARDS : (number + 1) * DOCUMENTS // SHARDS]
            offsets = np.cumsum([0, *map(len, part)])
            write_shard(
                folder / "tokens" / source / shard_name(number),
                np.concatenate(part).astype(token_dtype(VOCABULARY)),
                offsets,
            )
    (folder / "done").touch()


def ours(folder: Path, batch: int, sequence: int, mask: bool = False) -> Peer:
    from mixtures.loader import load_batch
    from mixtures.tokens import arrays

    arrays._CACHE_BYTES = CACHE_BYTES
    plan, tokens = _plan(folder, batch, sequence, mask)
    return (load_batch(plan, tokens, step) for step in range(10**9)), lambda b: batch * sequence


def ours_masked(folder: Path, batch: int, sequence: int) -> Peer:
    return ours(folder, batch, sequence, mask=True)


def _plan(folder: Path, batch: int, sequence: int, mask: bool = False) -> Any:
    from mixtures.allocate import allocate
    from mixtures.order import DataPlan
    from mixtures.tokens.arrays import TokenStore, windows_in

    shards = {}
    for source in SOURCES:
        lengths = list(map(len, documents(source)))
        step = DOCUMENTS // SHARDS
        shards[source] = [sum(lengths[n * step : (n + 1) * step]) for n in range(SHARDS)]
    windows = {source: windows_in(its, sequence) for source, its in shards.items()}
    plan = DataPlan(allocate(SOURCES), windows, {}, 0, batch, sequence, mask)
    return plan, TokenStore(folder / "tokens", shards)


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
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import seqio
    import tensorflow as tf

    vocabulary = seqio.PassThroughVocabulary(VOCABULARY, eos_id=1)
    for source in SOURCES:
        path = folder / f"{source}.tfrecord"
        if not path.exists():
            _write_tfrecord(tf, path, documents(source))
        seqio.TaskRegistry.add(
            source,
            source=seqio.TFExampleDataSource(
                {"train": str(path)},
                {"targets": tf.io.RaggedFeature(tf.int64)},
                num_input_examples={"train": DOCUMENTS},
            ),
            preprocessors=[lambda data: data.map(lambda row: {"targets": tf.cast(row["targets"], tf.int32)})],
            output_features={"targets": seqio.Feature(vocabulary, add_eos=False)},
        )
    seqio.MixtureRegistry.add("mix", [(source, float(share)) for source, share in SOURCES.items()])
    data = seqio.get_dataset(
        "mix",
        task_feature_lengths={"targets": sequence},
        dataset_split="train",
        shuffle=True,
        seed=0,
        num_epochs=None,
        feature_converter=seqio.LMFeatureConverter(pack=True),
    )
    stream = data.batch(batch, drop_remainder=True).as_numpy_iterator()
    return stream, lambda b: int(np.count_nonzero(b["decoder_target_tokens"]))


def _write_tfrecord(tf: Any, path: Path, texts: list[np.ndarray]) -> None:
    temporary = path.with_suffix(".part")
    with tf.io.TFRecordWriter(str(temporary)) as file:
        for ids in texts:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=ids))
            row = tf.train.Example(features=tf.train.Features(feature={"targets": feature}))
            file.write(row.SerializeToString())
    temporary.rename(path)


PEERS: dict[str, Callable[[Path, int, int], Peer]] = {
    "ours": ours,
    "ours, document mask": ours_masked,
    "numpy.memmap, random windows": memmap,
    "grain, concat-then-split": grain,
    "seqio mixture, packed": seqio,
}


def measure(name: str, folder: Path, batch: int, sequence: int) -> None:
    """Print the tokens per second of one peer over SECONDS, in this process on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    stream, tokens_in = PEERS[name](folder, batch, sequence)
    # What a pipeline has ready when the clock starts must not count for much.
    for _ in range(20):
        next(stream)
    tokens, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        tokens += tokens_in(next(stream))
    print(tokens / (time.perf_counter() - started))


def measure_seek(folder: Path) -> None:
    """Print the milliseconds of the first batch at step 0 and of the first at step 10**6, shards open."""
    from mixtures.loader import load_batch

    plan, tokens = _plan(folder, 8, 512)
    tokens.check(list(SOURCES))
    load_batch(plan, tokens, 500_000)
    for step in (0, 10**6):
        started = time.perf_counter()
        load_batch(plan, tokens, step)
        print(f"{1e3 * (time.perf_counter() - started):.2f}", end=" ")


def _run(folder: Path, *what: str) -> str:
    """The output of a measurement in a process of its own; why there is none, after a minus sign."""
    command = [sys.executable, __file__, str(folder), *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else f"- {done.stderr.strip().splitlines()[-1]}"


def compare(folder: Path) -> None:
    if not (folder / "done").exists():
        make_data(folder)
    print(f"| pipeline | {' | '.join(f'{b} x {s:,}: M tokens/s/core | ours is' for b, s in SHAPES)} |")
    print("| --- |" + " ---: |" * 2 * len(SHAPES))
    found: dict[tuple[str, int], list[str]] = {(name, batch): [] for name in PEERS for batch, _ in SHAPES}
    _run(folder, "seqio mixture, packed", "8", "512")  # writes its TFRecords
    for _ in range(ROUNDS):
        for name in PEERS:
            for batch, sequence in SHAPES:
                found[name, batch].append(_run(folder, name, str(batch), str(sequence)))
    for name in PEERS:
        cells = [cell for batch, _ in SHAPES for cell in _cells(found[name, batch], found["ours", batch])]
        print(f"| {name} | {' | '.join(cells)} |")
    seeks = [[float(value) for value in _run(folder, "seek").split()] for _ in range(ROUNDS)]
    first, far = (statistics.median(column) for column in zip(*seeks, strict=True))
    print(f"\nThe first batch at step 0 takes {first:.1f} ms, at step 10^6 {far:.1f} ms (medians).")


def _cells(outputs: list[str], our_outputs: list[str]) -> tuple[str, str]:
    if outputs[0].startswith("-"):
        return f"not measured: {outputs[0][2:]}", "-"
    rate, our_rate = (statistics.median(map(float, lines)) for lines in (outputs, our_outputs))
    spread = f"{min(map(float, outputs)) / 1e6:.1f}–{max(map(float, outputs)) / 1e6:.1f}"
    return f"{rate / 1e6:.1f} ({spread})", f"{our_rate / rate:.1f} x"


def main() -> None:
    match sys.argv[1:]:
        case []:
            with tempfile.TemporaryDirectory() as folder:
                compare(Path(folder))
        case [folder]:
            Path(folder).mkdir(parents=True, exist_ok=True)
            compare(Path(folder))
        case [folder, "seek"]:
            measure_seek(Path(folder))
        case [folder, name, batch, sequence]:
            measure(name, Path(folder), int(batch), int(sequence))


if __name__ == "__main__":
    main()
