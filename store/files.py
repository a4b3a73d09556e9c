"""Files that appear whole or not at all, and JSON that shows when it was changed afterwards."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from store.errors import Failure

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
    """Yield a temporary path beside `path`; it becomes `path` when the block ends without an error.

    Raises:
        Failure: the disk is full or the folder cannot be written.
    """
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
        return json.loads(path.read_text(encoding="utf-8"))
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
        data = path.read_bytes()
        row = json.loads(data)
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
