"""The token store: per source a flat array of tokens and the offsets of its documents, in zarr3 by TensorStore.

A source's documents are concatenated in manifest order, each followed by `<eod>`. Window r starts at r*S,
reads S+1 tokens and trains on S of them; the tail that fills no window is dropped and counted.
"""

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.errors import Failure

# Every chunk carries a checksum, so a flipped bit on disk is an error and not a token. Uncompressed and small,
# because a random window must not pay for decoding a large chunk around it.
CHUNK_TOKENS = 32_768
_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_CACHE_BYTES = 256_000_000


@dataclass(frozen=True)
class StoredSource:
    """What was written: sizes and the digest of tokens and offsets together."""

    tokens: int
    documents: int
    digest: str


def windows_in(tokens: int, sequence: int) -> int:
    """Sequences in one epoch of `tokens` stored tokens."""
    return max(0, (tokens - 1) // sequence)


def token_dtype(vocabulary: int) -> str:
    return "uint16" if vocabulary <= 2**16 else "uint32"


def write_source(folder: Path, documents: Iterable[Sequence[int]], vocabulary: int) -> StoredSource:
    """Write a source's documents (token ids with their `<eod>`); the folder appears whole or not at all.

    Raises:
        Failure: the disk is full or not writable.
    """
    arrays = [np.asarray(ids, token_dtype(vocabulary)) for ids in documents]
    tokens = np.concatenate(arrays) if arrays else np.zeros(0, token_dtype(vocabulary))
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in arrays])]).astype(np.int64)
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        _write_array(temporary / "tokens", tokens)
        _write_array(temporary / "doc_offsets", offsets)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except (OSError, ValueError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise Failure(
            f"cannot write tokens to {folder} ({_first_line(error)}); free some space or choose another --store"
        ) from error
    digest = hashlib.sha256(tokens.astype(tokens.dtype.newbyteorder("<")).tobytes() + offsets.tobytes()).hexdigest()
    return StoredSource(len(tokens), len(arrays), digest)


def _write_array(path: Path, values: npt.NDArray[Any]) -> None:
    _open(path, create=values).write(values).result()


def _open(path: Path, create: npt.NDArray[Any] | None = None, context: Any = None) -> Any:
    import tensorstore as ts

    spec: dict[str, Any] = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    if create is None:
        return ts.open(spec, context=context, read=True).result()
    spec["metadata"] = {
        "shape": [len(create)],
        "data_type": str(create.dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [CHUNK_TOKENS]}},
        "codecs": _CODECS,
    }
    return ts.open(spec, create=True, delete_existing=True).result()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


class TokenStore:
    """Random windows of the prepared sources of one folder."""

    def __init__(self, folder: Path, sources: Iterable[str]):
        """Open the token arrays of `sources`.

        Raises:
            Failure: a source's tokens are missing or unreadable.
        """
        import tensorstore as ts

        context = ts.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})
        self._folder = folder
        self._arrays = {}
        for name in sources:
            try:
                self._arrays[name] = _open(folder / name / "tokens", context=context)
            except ValueError as error:
                raise self._corrupt(name, error) from error

    def read(self, requests: Sequence[tuple[str, int]], sequence: int) -> npt.NDArray[np.int32]:
        """int32 [len(requests), sequence + 1]: the window of every (source, window) pair.

        Raises:
            Failure: a chunk on disk is missing or fails its checksum.
        """
        reads = []
        for name, window in requests:
            start = window * sequence
            reads.append((name, self._arrays[name][start : start + sequence + 1].read()))
        out_BxS = np.empty((len(reads), sequence + 1), np.int32)
        for row, (name, future) in enumerate(reads):
            try:
                out_BxS[row] = future.result()
            except ValueError as error:
                raise self._corrupt(name, error) from error
        return out_BxS

    def _corrupt(self, name: str, error: Exception) -> Failure:
        return Failure(
            f"the tokens of source '{name}' are missing or corrupt in {self._folder} ({_first_line(error)}); "
            f"delete {self._folder.parent} and prepare again"
        )
