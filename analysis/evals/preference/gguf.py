"""Just enough of the GGUF format (version 2 and 3, little-endian) to read a small quantised model into numpy.

Source: the format's description in the ggml project, docs/gguf.md. Only the tensor types below are read.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from store.errors import Failure

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_WEIGHTS_PER_BLOCK = 32


@dataclass(frozen=True)
class Gguf:
    """The file's metadata, and its tensors as float32, by name."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]


def read(content: bytes) -> Gguf:
    """Read a whole GGUF file.

    Raises:
        Failure: it is cut, of another format or holds a tensor type that is not known here.
    """
    try:
        return _read(content)
    except (struct.error, ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise Failure(f"the model file cannot be read ({type(error).__name__}: {error}); download it again") from error


class _Cursor:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, form: str) -> Any:
        (value,) = struct.unpack_from("<" + form, self.content, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def text(self) -> str:
        size = self.take("Q")
        self.at += size
        return self.content[self.at - size : self.at].decode()

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            kind, size = self.take("I"), self.take("Q")
            return [self.value(kind) for _ in range(size)]
        return self.take(_SCALARS[kind])


def _read(content: bytes) -> Gguf:
    cursor = _Cursor(content)
    if content[:4] != b"GGUF":
        raise ValueError("it does not start with GGUF")
    cursor.at = 4
    version, n_tensors, n_entries = cursor.take("I"), cursor.take("Q"), cursor.take("Q")
    if version not in (2, 3):
        raise ValueError(f"version {version}")
    metadata = {}
    for _ in range(n_entries):
        name = cursor.text()
        metadata[name] = cursor.value(cursor.take("I"))
    headers = []
    for _ in range(n_tensors):
        name = cursor.text()
        # The fastest axis comes first.
        shape = tuple(cursor.take("Q") for _ in range(cursor.take("I")))[::-1]
        headers.append((name, shape, cursor.take("I"), cursor.take("Q")))
    alignment = metadata.get("general.alignment", 32)
    start = -(-cursor.at // alignment) * alignment
    return Gguf(metadata, {name: _tensor(content, start + at, shape, kind) for name, shape, kind, at in headers})


def _tensor(content: bytes, start: int, shape: tuple[int, ...], kind: int) -> np.ndarray:
    weights, dtype, decode = _TYPES[kind]
    blocks = np.frombuffer(content, dtype, int(np.prod(shape)) // weights, start)
    return decode(blocks).reshape(shape)


def _plain(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    return blocks["scale"].astype(np.float32)[:, None] * blocks["q"]


def _q4_1(blocks: np.ndarray) -> np.ndarray:
    """The low halves of the 16 bytes are the first 16 weights of a block, the high halves the others."""
    q = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1)
    return blocks["scale"].astype(np.float32)[:, None] * q + blocks["minimum"].astype(np.float32)[:, None]


_Q8_0 = np.dtype([("scale", "<f2"), ("q", "i1", 32)])
_Q4_1 = np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("q", "u1", 16)])
_TYPES: Mapping[int, tuple[int, np.dtype, Callable[[np.ndarray], np.ndarray]]] = {
    0: (1, np.dtype("<f4"), _plain),
    1: (1, np.dtype("<f2"), _plain),
    3: (_WEIGHTS_PER_BLOCK, _Q4_1, _q4_1),
    8: (_WEIGHTS_PER_BLOCK, _Q8_0, _q8_0),
}
"""Weights per block, layout of a block and how to decode it, by the number of the type: F32, F16, Q4_1, Q8_0."""
