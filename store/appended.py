"""Files that only grow: on a disk one that is appended to, in an object store a folder of pieces that never change.

A piece is named by the appends that it holds, the first and the last (00000003-00000003); `join` writes one for many.
"""

import os
import re
from pathlib import Path
from typing import Any

from store import paths
from store.errors import Failure
from store.files import make_folder, remove, whole, writing

_PIECE = re.compile(r"(\d{8,})-(\d{8,})")


def append(path: Path, data: bytes) -> None:
    """Add `data` at the end and wait until it is kept. One process at a time adds to a file.

    Raises:
        Failure: the disk is full, or the folder or object store cannot be written.
    """
    if paths.remote(path):
        pieces = _pieces(path)
        _write(path, int(pieces[-1][1]) + 1 if pieces else 0, None, data)
        return
    try:
        make_folder(path.parent)
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Failure(f"cannot write {path} ({error.strerror or error}); free some space, then run again") from error


def read(path: Path) -> bytes:
    """All that was added; nothing if there is no such file. Raises OSError."""
    if paths.remote(path):
        return b"".join(paths.together(path, paths.read, [path / name for name in _names(path)]))
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def tail(path: Path, size: int) -> bytes:
    """The last bytes, `size` of them or some more; nothing if there is no such file. Raises OSError."""
    if paths.remote(path):
        last = _names(path)[-1:]
        return paths.read(path / last[0]) if last else b""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read()


def cut(path: Path, lines: int) -> None:
    """Keep the first `lines` lines alone. In an object store pieces are deleted, and at most one is written again.

    Raises:
        Failure: it cannot be written.
    """
    if not paths.remote(path):
        if path.exists():
            kept = path.read_bytes().split(b"\n")[:lines]
            with whole(path) as temporary:
                temporary.write_bytes(b"".join(line + b"\n" for line in kept))
        return
    left, gone = lines, []
    for name, data in zip(
        found := _names(path), paths.together(path, paths.read, [path / name for name in found]), strict=True
    ):
        its = data.split(b"\n")[:-1]
        if left <= 0:
            gone.append(name)
        elif len(its) > left:
            first, last = map(int, name.split("-"))
            _write(path, first, last, b"".join(line + b"\n" for line in its[:left]))
        left -= len(its)
    for name in reversed(gone):  # from the end, so that what a kill leaves is a beginning of it
        remove(path / name)


def join(path: Path) -> None:
    """Make one piece of all, which is read in one request; on a disk there is nothing to do.

    Raises:
        Failure: it cannot be written.
    """
    if paths.remote(path) and len(found := _names(path)) > 1:
        data = read(path)
        _write(path, int(found[0].split("-")[0]), int(found[-1].split("-")[1]), data)
        for name in found:
            remove(path / name)


def drop(path: Path) -> None:
    """Remove all of it, if it is there.

    Raises:
        Failure: it cannot be removed.
    """
    if not paths.remote(path):
        remove(path)
        return
    for first, last in _pieces(path):
        remove(path / f"{first}-{last}")


def _write(path: Path, first: int, last: int | None, data: bytes) -> None:
    place = path / f"{first:08d}-{first if last is None else last:08d}"
    system: Any = place.fs  # type: ignore[attr-defined]
    with writing(place):
        system.pipe_file(place.path, data)  # type: ignore[attr-defined]


def _pieces(path: Path) -> list[tuple[str, str]]:
    """First and last append of every piece, in order, those inside another among them."""
    found = (_PIECE.fullmatch(name) for name in paths.names(path))
    return sorted((match[1], match[2]) for match in found if match)


def _names(path: Path) -> list[str]:
    """The pieces that make up the whole: what a joined one holds is left out."""
    names, end = [], -1
    for first, last in sorted(_pieces(path), key=lambda piece: (int(piece[0]), -int(piece[1]))):
        if int(last) > end:
            names.append(f"{first}-{last}")
            end = int(last)
    return names
