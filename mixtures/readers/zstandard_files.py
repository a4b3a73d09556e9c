"""Zstandard files that end too early are an error, as they are for every other compression.

The library's own reader reads a cut file to where it was cut and calls that the end, so that a shard whose last bytes
were never copied would be a smaller shard without a word.
"""

import io
from typing import Any, BinaryIO

import zstandard

READ_BYTES = 1 << 16
"""Of compressed bytes at a time; what they hold is kept in memory."""
MAX_WINDOW = 1 << 31
"""What `zstd --long=31` may ask for; memory is taken as a file needs it."""


class StrictReader(io.RawIOBase):
    """The decompressed bytes of `file`.

    Raises (when read):
        EOFError: the file ends inside a frame.
        zstandard.ZstdError: it is no Zstandard file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.frame = self._frame()
        self.inside = True  # a file without a single frame is cut short as well
        self.waiting = memoryview(b"")

    def _frame(self) -> Any:
        return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.waiting:
            compressed = self.frame.unused_data or self.file.read(READ_BYTES)
            if not compressed:
                if self.inside:
                    raise EOFError("the compressed file ends before its last frame does")
                return 0
            if self.frame.eof:
                self.frame = self._frame()
            self.waiting = memoryview(self.frame.decompress(compressed))
            self.inside = not self.frame.eof
        size = min(len(buffer), len(self.waiting))
        buffer[:size] = self.waiting[:size]
        self.waiting = self.waiting[size:]
        return size
