"""Files that appear whole or not at all, and JSON that shows when it was changed afterwards.

On a disk a file is written beside its place and renamed; in an object store it is written on this machine and put.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from store import paths
from store.errors import Away, Failure, said

AGAIN = "delete it and run the command again"

_LEFT = re.compile(r"\.(\d+)-[0-9a-f]{8}\.part$")


def beside(path: Path) -> Path:
    """A name of this process's own, beside `path`, for what is to become it."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left half-written anywhere below `folder`."""
    for path in list(folder.rglob(".*.part")):
        writer = _LEFT.search(path.name)
        if writer is not None and _lives(int(writer[1])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path of this machine's; its file becomes `path` when the block ends without an error.

    Raises:
        Failure: the disk is full, or the folder or object store cannot be written.
    """
    if paths.remote(path):
        with scratch(path) as folder:
            yield folder / path.name
            with writing(path):
                _put(folder / path.name, path)
        return
    temporary = beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise Failure(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another --store"
        ) from error
    finally:
        with suppress(OSError):  # where no file can be there is none
            temporary.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While the block runs, Away says why a place of an object store cannot be written."""
    try:
        with paths.reaching(path):
            yield
    except OSError as error:
        why = said(error.__cause__ or error)
        raise Away(f"cannot write {path} ({why}); see to the network and your rights, then run again") from error


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield an empty folder of this machine's for what is to become `path`: on the same disk, if that is on one."""
    if paths.remote(path):
        with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
            yield Path(folder)
        return
    own = beside(path)
    try:
        own.mkdir(parents=True)
        yield own
    except OSError as error:
        raise Failure(f"cannot write {path} ({error.strerror or error}); free some space and run again") from error
    finally:
        shutil.rmtree(own, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Have `target` hold what the scratch folder holds. It may be half there after a kill; a marker is written later.

    Raises:
        Failure: it cannot be written.
    """
    if not paths.remote(target):
        replace_folder(folder, target)
        return
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    with writing(target):
        paths.together(target, lambda path: _put(path, target.joinpath(*path.relative_to(folder).parts)), files)


def _put(file: Path, path: Path) -> None:
    system: Any = path.fs  # type: ignore[attr-defined]
    system.put_file(str(file), path.path)  # type: ignore[attr-defined]


def make_folder(folder: Path) -> None:
    """So that files can be written in it; an object store needs none."""
    if not paths.remote(folder):
        folder.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        Failure: it cannot be removed.
    """
    if not paths.remote(path):
        path.unlink(missing_ok=True)
        return
    system: Any = path.fs  # type: ignore[attr-defined]
    with writing(path), suppress(FileNotFoundError):
        system.rm_file(path.path)  # type: ignore[attr-defined]


def replace_folder(temporary: Path, folder: Path) -> None:
    """Rename over `folder`. A folder cannot be replaced in one call, so an older one is moved aside first."""
    while True:
        try:
            temporary.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        aside = beside(folder)
        try:
            folder.rename(aside)
        except FileNotFoundError:
            continue  # another writer of the same was faster; try again
        shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with its keys in their own order, atomically."""
    write_text(path, _text(value) + "\n")


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)


def read_json(path: Path, what: str) -> Any:
    """Read JSON that this project wrote; `what` names it in the error.

    Raises:
        Failure: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(paths.read(path))
    except paths.Unreachable:
        raise
    except (OSError, ValueError) as error:
        raise Failure(f"{what} cannot be read ({path}: {error}); {AGAIN}") from error


_SEAL = ',\n "checksum": "'


def write_sealed(path: Path, row: Mapping[str, Any]) -> None:
    """As `write_json`, with a last key "checksum": the SHA-256 of the text before it."""
    text = _text(row).removesuffix("\n}") + _SEAL
    write_text(path, f'{text}{_sha256(text.encode())}"\n}}\n')


def read_sealed(path: Path, what: str, schema: int | None = None, way_out: str = AGAIN) -> dict[str, Any]:
    """What `write_sealed` wrote, without the checksum; `what` names it in the error and `way_out` says what to do.

    Args:
        schema: what the key "schema" has to be, for a better word than damage about a file of another version.

    Raises:
        Failure: the file is missing or unreadable, of another schema, or not what was written.
    """
    try:
        data = paths.read(path)
        row = json.loads(data)
    except paths.Unreachable:
        raise
    except (OSError, ValueError) as error:
        raise Failure(f"{what} cannot be read ({path}: {error}); {way_out}") from error
    found = row.pop("schema", None) if isinstance(row, dict) and schema is not None else schema
    if found != schema:
        raise Failure(f"{what} has schema {found}, and this version reads {schema} ({path}); {way_out}")
    if not isinstance(row, dict) or not is_sealed(data):
        raise Failure(f"{what} is damaged: its content is not what its checksum says ({path}); {way_out}")
    del row["checksum"]
    return row


def is_sealed(data: bytes) -> bool:
    """Whether a file's content is what its checksum says."""
    end = data.rfind(_SEAL.encode()) + len(_SEAL)
    return data[end:].decode(errors="replace") == f'{_sha256(memoryview(data)[:end])}"\n}}\n'


def _sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()
