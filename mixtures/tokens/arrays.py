"""The token store: per source a list of shards, each a flat array of tokens and the offsets of its documents.

Zarr3 through TensorStore, `<source>/<00000>/{tokens,doc_offsets}`. A shard's documents are concatenated, each followed
by `<eod>`. A window reads S+1 tokens and trains on S of them; window r of a shard starts at r*S and never crosses into
the next shard. The tail of a shard that fills no window is dropped and counted. Of packed examples (packing.py) a third
array, `<00000>/examples`, says what is known.
"""

import hashlib
import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.tokens.manifest import Manifest, Packed, SourceManifest, forms
from store.errors import Failure
from store.files import publish, scratch
from store.layout import shard_name
from store.paths import kvstore

# A file holds many chunks of an array behind an index (few objects in an object store), and every chunk and the index
# carry a checksum, so a flipped bit on disk is an error and not a token. Chunks are uncompressed and small, because a
# random window must not pay for decoding a large chunk around it; not smaller, because a host that reads everything
# keeps the index in memory (16 bytes a chunk: 2 MB for 10^9 tokens). benchmarks/loader.md has the figures.
CHUNK_TOKENS = 8_192
FILE_TOKENS = 1 << 26
"""A multiple of a chunk. A file is encoded in memory as a whole, so one of a large shard would take gigabytes."""
_CACHE_BYTES = 256_000_000
_OFFSETS_IN_MEMORY = 256  # shards
_DIGESTED = 1 << 22  # tokens at a time

_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}
_CHECKED = [_ENDIAN, {"name": "crc32c"}]
_READ_ERRORS = (ValueError, OSError, KeyError, IndexError, RuntimeError)


def windows_in(shard_tokens: Sequence[int], sequence: int) -> int:
    """Sequences in one epoch of shards with that many tokens; none crosses a shard."""
    return sum(max(0, (tokens - 1) // sequence) for tokens in shard_tokens)


def token_dtype(vocabulary: int) -> str:
    return "uint16" if vocabulary <= 2**16 else "uint32"


def write_shard(
    folder: Path,
    tokens_N: npt.NDArray[Any],
    doc_offsets: npt.NDArray[np.int64],
    table_Dx3: npt.NDArray[np.int32] | None = None,
) -> str:
    """Write one shard; the folder appears whole or not at all, and replaces one that is there.

    Args:
        folder: `<source>/<00000>`.
        tokens_N: uint16 or uint32 ids of the documents, each with its `<eod>`.
        doc_offsets: [documents + 1]: document d is tokens_N[doc_offsets[d] : doc_offsets[d + 1]], never empty.

        table_Dx3: of packed examples, what is known of every document (packing.py).

    Returns:
        The digest of all of them together.

    Raises:
        ValueError: the offsets do not cut tokens_N into documents.
        Failure: the disk is full or not writable.
    """
    _check_offsets(doc_offsets, len(tokens_N))
    # A name of its own, so that two writers never share a half-written folder; the last one to rename wins.
    with scratch(folder) as own:
        try:
            _write_array(own / "tokens", tokens_N)
            _write_array(own / "doc_offsets", doc_offsets)
            if table_Dx3 is not None:
                _write_array(own / "examples", table_Dx3)
            publish(own, folder)
        except _READ_ERRORS as error:
            raise Failure(
                f"cannot write tokens to {folder} ({_first_line(error)}); free some space or choose another --store"
            ) from error
    return shard_digest(tokens_N, doc_offsets, table_Dx3)


def shard_digest(
    tokens_N: npt.NDArray[Any], doc_offsets: npt.NDArray[np.int64], table_Dx3: npt.NDArray[np.int32] | None = None
) -> str:
    """What `write_shard` returns."""
    return _digest(tokens_N.dtype, len(tokens_N), [tokens_N], doc_offsets, table_Dx3)


def _check_offsets(doc_offsets: npt.NDArray[np.int64], tokens: int) -> None:
    if doc_offsets[0] != 0 or doc_offsets[-1] != tokens or (np.diff(doc_offsets) <= 0).any():
        raise ValueError(f"document offsets must rise from 0 to {tokens}")


def _digest(
    dtype: npt.DTypeLike,
    tokens: int,
    parts: Iterable[npt.NDArray[Any]],
    doc_offsets: npt.NDArray[np.int64],
    table_Dx3: npt.NDArray[np.int32] | None,
) -> str:
    """Of a shard, whose tokens come in parts."""
    total = hashlib.sha256(f"{np.dtype(dtype)} {tokens} {len(doc_offsets)}\n".encode())
    for array in itertools.chain(parts, [doc_offsets], [] if table_Dx3 is None else [table_Dx3]):
        total.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return total.hexdigest()


def joined_digest(digests: Iterable[str]) -> str:
    """A source's digest from those of its shards."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _write_array(path: Path, values: npt.NDArray[Any]) -> None:
    import tensorstore as ts

    chunk = CHUNK_TOKENS if path.name == "tokens" else max(1, len(values))  # others are always read whole
    whole = max(1, -(-len(values) // chunk)) * chunk
    file = min(whole, FILE_TOKENS) if path.name == "tokens" else whole
    rest = values.shape[1:]
    shards = {"chunk_shape": [chunk, *rest], "codecs": _CHECKED, "index_codecs": _CHECKED}
    metadata = {
        "shape": [len(values), *rest],
        "data_type": str(values.dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [file, *rest]}},
        "codecs": [{"name": "sharding_indexed", "configuration": shards}],
    }
    array = ts.open(_spec(path) | {"metadata": metadata}, create=True, delete_existing=True).result()
    for start in range(0, len(values), file):
        end = min(start + file, len(values))
        array[start:end].write(values[start:end]).result()


def _spec(path: Path | str) -> dict[str, Any]:
    """What TensorStore opens: an array in a local folder, or below a URL such as gs://bucket/tokens."""
    return {
        "driver": "zarr3",
        "kvstore": kvstore(path),
        # By default zarr leaves a chunk of zeros out and reads a lost chunk as zeros: a lost file would be tokens.
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": False,
        # A shard never changes once it is there, so what is cached needs no look at the disk.
        "recheck_cached_data": "open",
        "recheck_cached_metadata": "open",
    }


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def open_tokens(manifest: Manifest, sequence: int, infilling: bool = False) -> "TokenStore":
    """The tokens of prepared data as stages read them in such sequences: `manifest.forms` says in which form."""
    its = forms(manifest, sequence, infilling)
    folders = {name: f"{name}{form.suffix}" for name, form in its.items() if not isinstance(form, SourceManifest)}
    answers = {name: form.most_answers for name, form in its.items() if isinstance(form, Packed)}
    return TokenStore(manifest.tokens, {name: form.shard_tokens for name, form in its.items()}, folders, answers)


class TokenStore:
    """Random windows of prepared sources. Shards are opened when first read; `check` opens them all."""

    def __init__(
        self,
        folder: Path | str,
        shards: Mapping[str, Sequence[int]],
        folders: Mapping[str, str] | None = None,
        most_answers: Mapping[str, int] | None = None,
    ):
        """
        Args:
            folder: of all sources, or the URL of an object store (gs://, s3://).
            shards: per source the tokens of every shard, from the manifest.
            folders: of the sources whose folder has another name than they.
            most_answers: of the sources of packed examples, how many a window has at most.
        """
        import tensorstore as ts

        self._folder = str(folder).rstrip("/")
        self._shards = shards
        self.most_answers = dict(most_answers or {})
        self._folders = {name: f"{self._folder}/{(folders or {}).get(name, name)}" for name in shards}
        self._context = ts.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})
        self._array = cache(self._opened)
        self._offsets = lru_cache(_OFFSETS_IN_MEMORY)(self._read_offsets)
        self._tables = lru_cache(_OFFSETS_IN_MEMORY)(self._read_table)
        self._ends = cache(self._window_ends)

    def check(self, sources: Sequence[str]) -> None:
        """Open every shard of `sources`, so that a lost one shows before the training and not in its midst.

        Raises:
            Failure: a shard is missing, unreadable, or not of the size that the manifest says.
        """
        opening = [(name, n, self._open(name, n, "tokens")) for name in sources for n in range(len(self._shards[name]))]
        for name, number, future in opening:
            self._checked(name, number, future)
            if name in self.most_answers:
                self._tables(name, number)

    def digest(self, source: str) -> str:
        """Of all that is stored of a source, read from the store: that of its manifest if it is whole.

        Raises:
            Failure: a shard is missing, of another size than the manifest says, or fails its checksum.
        """
        return joined_digest(self._digest(source, number) for number in range(len(self._shards[source])))

    def _digest(self, name: str, number: int) -> str:
        array, offsets = self._array(name, number), self._offsets(name, number)
        size = array.shape[0]
        ends = ((at, min(at + _DIGESTED, size)) for at in range(0, size, _DIGESTED))
        with self._named(name, number):
            table = self._tables(name, number) if name in self.most_answers else None
            parts = (array[at:end].read().result() for at, end in ends)
            return _digest(array.dtype.numpy_dtype, size, parts, offsets, table)

    def read(self, requests: Sequence[tuple[str, int]], sequence: int) -> npt.NDArray[np.int32]:
        """int32 [len(requests), sequence + 1]: the window of every (source, window) pair.

        Raises:
            Failure: a shard is missing, of another size than the manifest says, or fails its checksum.
            IndexError: a source has no such window.
        """
        import tensorstore as ts

        views = []
        for name, window in requests:
            shard, start = self._place(name, window, sequence)
            views.append((shard, self._array(name, shard)[start : start + sequence + 1].translate_to[0]))
        try:
            # One read of all windows: a future per window costs up to twice the time.
            read_BxS = ts.stack([view for _, view in views]).read().result()
        except _READ_ERRORS as error:
            for (name, _), (shard, view) in zip(requests, views, strict=True):
                with self._named(name, shard):  # which of them cannot be read?
                    view.read().result()
            raise Failure(
                f"a read of {self._folder} failed once ({_first_line(error)}); run the command again"
            ) from error
        return read_BxS.astype(np.int32)

    def segments(self, requests: Sequence[tuple[str, int]], sequence: int) -> npt.NDArray[np.int32]:
        """int32 [len(requests), sequence]: which document of its window every input position belongs to, from 0.

        An `<eod>` belongs to the document that it ends. But a packed example begins with the `<eod>` before it, as it
        does when it is scored, and all that comes after an example is another document.

        Raises:
            Failure: a shard's document offsets are missing or corrupt.
            IndexError: a source has no such window.
        """
        segments_BxS = np.zeros((len(requests), sequence), np.int32)
        for row, (name, window) in enumerate(requests):
            if name in self.most_answers:
                lengths, _ = self.examples(name, window, sequence)
                segments_BxS[row] = np.repeat(np.arange(len(lengths)), lengths)
                continue
            shard, start = self._place(name, window, sequence)
            offsets = self._offsets(name, shard)
            ends = offsets[offsets.searchsorted(start + 1) : offsets.searchsorted(start + sequence)] - start
            for document, (begin, end) in enumerate(pairwise([*ends.tolist(), sequence]), 1):
                segments_BxS[row, begin:end] = document
        return segments_BxS

    def examples(self, name: str, window: int, sequence: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Of a window of packed examples, the lengths of the documents that its targets are, and what is known of them.

        Raises:
            Failure: a shard's document offsets or table are missing or corrupt.
            IndexError: a source has no such window.
        """
        shard, start = self._place(name, window, sequence)
        offsets = self._offsets(name, shard)
        first, last = offsets.searchsorted([start + 1, start + 1 + sequence])
        return np.diff(offsets[first : last + 1]), self._tables(name, shard)[first:last]

    def _place(self, name: str, window: int, sequence: int) -> tuple[int, int]:
        """Shard of a source's window, and the token in it at which the window starts."""
        ends = self._ends(name, sequence)
        if not 0 <= window < (ends[-1] if ends else 0):
            raise IndexError(f"source '{name}' has no window {window} of {sequence} tokens")
        shard = bisect_right(ends, window)
        return shard, (window - (ends[shard - 1] if shard else 0)) * sequence

    def _window_ends(self, name: str, sequence: int) -> list[int]:
        return list(accumulate(windows_in([tokens], sequence) for tokens in self._shards[name]))

    def _open(self, name: str, number: int, array: str) -> Any:
        import tensorstore as ts

        path = f"{self._folders[name]}/{shard_name(number)}/{array}"
        return ts.open(_spec(path), context=self._context, read=True)

    def _opened(self, name: str, number: int) -> Any:
        return self._checked(name, number, self._open(name, number, "tokens"))

    def _checked(self, name: str, number: int, future: Any) -> Any:
        with self._named(name, number):
            array = future.result()
        declared = self._shards[name][number]
        if array.shape != (declared,) or array.dtype.name not in ("uint16", "uint32"):
            found = f"{array.shape[0]:,} {array.dtype.name} tokens where the manifest says {declared:,}"
            raise self._corrupt(name, number, found)
        return array

    def _read_offsets(self, name: str, number: int) -> npt.NDArray[np.int64]:
        with self._named(name, number):
            offsets = np.asarray(self._open(name, number, "doc_offsets").result().read().result(), np.int64)
            _check_offsets(offsets, self._shards[name][number])
        return offsets

    def _read_table(self, name: str, number: int) -> npt.NDArray[np.int32]:
        documents = len(self._offsets(name, number)) - 1
        with self._named(name, number):
            table = np.asarray(self._open(name, number, "examples").result().read().result(), np.int32)
        if table.shape != (documents, 3):
            raise self._corrupt(name, number, f"{len(table):,} rows of examples for {documents:,} documents")
        return table

    @contextmanager
    def _named(self, name: str, number: int) -> Iterator[None]:
        """What cannot be read in the block is of this shard."""
        try:
            yield
        except _READ_ERRORS as error:
            raise self._corrupt(name, number, _first_line(error)) from error

    def _corrupt(self, name: str, number: int, problem: str) -> Failure:
        shard = f"{self._folders[name]}/{shard_name(number)}"
        return Failure(
            f"the tokens of source '{name}' are missing or corrupt in {shard} ({problem}); "
            f"delete {self._folder.rpartition('/')[0]} and prepare again"
        )
