"""A user's own documents: files of rows, plain files, and the shards that preparation writes."""
# A corpus may have a million files, and strings are listed in a fraction of the time that Path objects take.
# ruff: noqa: PTH100, PTH110, PTH111, PTH112, PTH113, PTH116, PTH118, PTH120, PTH207

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from mixtures.documents.document import STORED, Document
from mixtures.readers import tables
from store.digests import digests, look, short
from store.errors import Failure, UserError, readable
from store.layout import DIGESTS

READER_VERSION = 1
TEXT_FIELDS = ("text", "content")
"""Where the text of a row is when nobody says where."""
MAX_FILE_BYTES = 200_000_000
"""Of a plain file, which is one document."""
SHARD_BYTES = 32_000_000
"""Of files on disk that are read together; a larger file is a shard of its own."""


@dataclass(frozen=True)
class Corpus:
    """Files, and what of their rows is read.

    Attributes:
        patterns: absolute paths of files and folders, or patterns with *, ? and **. As in a shell, names that begin
            with a dot are left out unless they are spelt.
        field: of a row, the text; "" for the first of `TEXT_FIELDS`. A dot leads into an object: "meta.body".
        group: of a row, what is held out together; "" for every document on its own.
    """

    patterns: tuple[str, ...]
    field: str = ""
    group: str = ""


def absolute(pattern: str | os.PathLike[str]) -> str:
    """`pattern` from the root of the file system, `~` being the user's home."""
    return os.path.abspath(os.path.expanduser(pattern))


def listed(patterns: Iterable[str], store: Path | None = None) -> dict[str, Path]:
    """All files of absolute `patterns`, by their paths below the folder that the patterns share, in that order.

    But for what is in a `store` below the folder that a pattern searches, such as "." with its runs.

    Raises:
        UserError: a pattern matches no file.
    """
    roots, found = [], set()
    for pattern in patterns:
        root, paths = _found(pattern)
        if store is not None and absolute(store).startswith(os.path.join(root, "")):
            paths = [path for path in paths if not path.startswith(os.path.join(absolute(store), ""))]
        if not paths and os.path.isdir(pattern):
            raise UserError(f"{pattern} holds no files; put them there, or name another folder")
        if not paths:
            folders = glob.has_magic(pattern) and any(map(os.path.isdir, glob.iglob(pattern)))
            way_out = f"for what is in its folders write {pattern}/**" if folders else "mend the pattern"
            raise UserError(f"no file matches {pattern}; {way_out}, or put the files there")
        roots.append(root)
        found.update(paths)
    start = len(os.path.join(os.path.commonpath(roots), ""))
    return {_name(path[start:]): Path(path) for path in sorted(found)}


def _without_descriptions(paths: Mapping[str, Path], field: str) -> dict[str, Path]:
    """Beside files of rows, a .json of one object without a text tells of them (dataset_info.json): all others."""
    forms = {name: tables.form(name) for name in paths}
    with_rows = {os.path.dirname(name) for name, form in forms.items() if form in tables.TABLES}
    beside = {name for name, form in forms.items() if form == ".json" and os.path.dirname(name) in with_rows}
    return {name: path for name, path in paths.items() if name not in beside or not _is_description(path, field)}


def _name(path: str) -> str:
    return os.fsencode(path.replace(os.sep, "/")).decode(errors="backslashreplace")  # ids are UTF-8, names need not be


def matches(pattern: str) -> bool:
    """Whether anything is where the absolute `pattern` says."""
    return os.path.exists(pattern) or next(_matching(pattern), None) is not None


def _found(pattern: str) -> tuple[str, list[str]]:
    """The folder where `pattern` begins to vary, and its files."""
    if os.path.isfile(pattern):
        return os.path.dirname(pattern), [pattern]
    root = pattern
    if os.path.isdir(pattern):
        pattern = os.path.join(glob.escape(pattern), "**")
    while glob.has_magic(root):
        root = os.path.dirname(root)
    return root, [path for path in _matching(pattern) if os.path.isfile(path)]


def _matching(pattern: str) -> Iterator[str]:
    """As `glob`, which would follow a link to a folder around it round and round."""
    head, deep, tail = pattern.partition(f"{os.sep}**")
    if not deep or tail[:1] not in ("", os.sep):
        yield from glob.iglob(pattern)
        return
    for root in glob.iglob(head) if glob.has_magic(head) else [head or os.sep]:
        for folder in _folders(root, frozenset()):
            yield from _matching(os.path.join(glob.escape(folder), tail[1:] or "*"))


def _folders(folder: str, around: frozenset[str]) -> Iterator[str]:
    """`folder` and those below it whose names do not begin with a dot, also by links.

    Raises:
        Failure: one may not be looked into, of which `glob` says nothing.
    """
    real = os.path.realpath(folder)
    if real in around or not os.path.isdir(folder):
        return
    with readable(Path(folder)):
        os.stat(os.path.join(folder, "."))  # what may be listed and not entered looks empty
        with os.scandir(folder) as entries:
            below = sorted(entry.path for entry in entries if entry.name[0] != "." and entry.is_dir())
    yield folder
    for path in below:
        yield from _folders(path, around | {real})


def read_files(target: Path, field: str = "") -> Iterator[Document]:
    """Every document of a file, or of all files below a folder; what is not UTF-8 is replaced.

    Args:
        field: of files of rows, where the text is.

    Raises:
        UserError: the target does not exist, or holds no files.
        Failure: as `documents`.
    """
    for name, path in _without_descriptions(paths_in(target), field).items():
        for document in documents(path, name, field if _has_rows(path, field) else ""):
            text = document.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            yield Document(document.id, document.group, text)


def paths_in(target: Path) -> dict[str, Path]:
    """The file, or all files below the folder, as `listed`.

    Raises:
        UserError: the target does not exist, or holds no files.
    """
    if not target.exists():
        raise UserError(f"{target} does not exist; name a file or folder of documents")
    return listed([absolute(target)])


def shards(corpus: Corpus, downloads: Path) -> tuple[str, ...]:
    """Names of the shards, each with the digest of what is in it. Small files share a shard.

    Raises:
        UserError: a pattern matches no file.
        Failure: a file cannot be read.
    """
    parts = _parts(corpus, downloads.parent)
    known = digests([path for part in parts for path in part.values()], memory(corpus.patterns, downloads))
    return tuple(f"{number:05}-{_digest(part, known)}" for number, part in enumerate(parts))


def read(corpus: Corpus, shard: str, downloads: Path) -> Iterator[Document]:
    """The documents of one shard, by file and place in it.

    Raises:
        Failure: its files changed after they were listed; or as `documents`.
    """
    for name, path in part(corpus, shard, downloads).items():
        yield from documents(path, name, corpus.field, corpus.group)


def memory(patterns: Iterable[str], downloads: Path) -> Path:
    """Where the digests of the files of `patterns` are remembered."""
    return downloads / DIGESTS / f"{short(list(patterns))}.json"


def _parts(corpus: Corpus, store: Path) -> list[dict[str, Path]]:
    parts: list[dict[str, Path]] = []
    free = 0
    for name, path in _without_descriptions(listed(corpus.patterns, store), corpus.field).items():
        size = look(path)[0]
        if not parts or size > free:
            parts.append({})
            free = SHARD_BYTES
        parts[-1][name] = path
        free -= size
    return parts


_remembered_parts = lru_cache(maxsize=4)(_parts)
"""A worker reads many shards of a corpus, and listing a million files takes its time."""


def part(corpus: Corpus, shard: str, downloads: Path) -> dict[str, Path]:
    """The files of a shard by their names.

    Raises:
        Failure: they changed after they were listed.
    """
    number, _, digest = shard.partition("-")
    for _ in range(2):
        found = dict(enumerate(_remembered_parts(corpus, downloads.parent))).get(int(number), {})
        known = digests(found.values(), memory(corpus.patterns, downloads))
        if _digest(found, known) == digest:
            return found
        _remembered_parts.cache_clear()
    raise Failure("its files changed while they were read; run the command again")


def _digest(part: Mapping[str, Path], known: Mapping[Path, str]) -> str:
    return short([[name, known[path]] for name, path in part.items()])


def documents(path: Path, name: str, field: str = "", group: str = "") -> Iterator[Document]:
    """The documents of one file, of which `name` is the id.

    Files of rows (`tables.TABLES`, and .json whose rows have a text) hold a document a row, which is its own group
    unless `group` names a field. Document shards of this project keep ids and groups. Everything else is one document;
    where it is not UTF-8 it holds lone surrogates, by which preparation drops and counts it.

    Raises:
        Failure: the file cannot be read, is too large, or a row has no such text; it names file, line and way out.
    """
    if not _has_rows(path, field):
        if field or group:
            raise Failure(f"{path} has no rows and so no field '{field or group}'; leave it out of the pattern")
        yield Document(name, name, _plain(path))
    else:
        columns = [part for part in (field, group) if part] if field else []
        for number, row in tables.rows(path, columns):
            if not (field or group) and isinstance(row, dict) and tuple(row)[: len(STORED)] == STORED:
                yield Document(row["id"], row["group"], row["text"])
            else:
                yield document(row, f"{name}#{number}", tables.place(path, number), field, group)


def document(row: Any, id: str, where: str, field: str = "", group: str = "") -> Document:
    """One row as a document: an object, a list [id, group, text, ...], or a text.

    Args:
        where: names the row in an error.

    Raises:
        Failure: the row has no such text or group.
    """
    if isinstance(row, dict):
        field = field or _text_field(row, where)
        text = _value(row, field, where)
        its_group = _value(row, group, where) if group else None
    elif field or group:
        raise Failure(f"{where}: {_kind(row)} has no field '{field or group}'; rows are to be objects")
    elif isinstance(row, list) and len(row) >= 3 and all(isinstance(part, str) for part in row[:3]):
        _, its_group, text = row[:3]
    elif isinstance(row, str):
        text, its_group = row, None
    else:
        raise Failure(f"{where}: {_kind(row)} is no document; rows are objects with a text, or [id, group, text]")
    if isinstance(text, bytes):  # a column of Parquet without a mark that it is text
        text = text.decode(errors="surrogateescape")
    if text is not None and not isinstance(text, str):
        raise Failure(f"{where}: field '{field}' holds {_kind(text)}, not a text; name another")
    if isinstance(its_group, dict | list):
        raise Failure(f"{where}: field '{group}' holds {_kind(its_group)}, no name of a group; name another")
    named = id if its_group in (None, "") else str(its_group)
    return Document(id, named.encode(errors="backslashreplace").decode(), text or "")


def _text_field(row: Mapping[str, Any], where: str) -> str:
    there = [name for name in TEXT_FIELDS if name in row]
    if not there:
        wanted = " or ".join(f"'{name}'" for name in TEXT_FIELDS)
        raise Failure(f"{where}: no text as {wanted}; it has {_names(row)}; name the field that holds the text")
    return next((name for name in there if isinstance(row[name], str | bytes)), there[0])


def _value(row: Mapping[str, Any], field: str, where: str) -> Any:
    found: Any = row
    for part in (field,) if field in row else field.split("."):
        if found is None:
            return None
        if not isinstance(found, dict) or part not in found:
            raise Failure(f"{where}: no field '{field}'; it has {_names(row)}")
        found = found[part]
    return found


def _names(row: Mapping[str, Any]) -> str:
    return ", ".join(map(str, row))[:300] or "none"


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", int: "a number"}
    return "null" if value is None else kinds.get(type(value), f"a {type(value).__name__}")


def _has_rows(path: Path, field: str) -> bool:
    form = tables.form(path.name)
    if form != ".json" or field:
        return form in tables.TABLES or form == ".json"
    return any(_has_text(row, "") for row in _first(1, path))  # else a document that happens to be JSON, or nearly


def _first(count: int, path: Path) -> list[Any]:
    """The first rows of a file; none if it is no file of rows."""
    with suppress(Failure):
        return [row for _, row in islice(tables.rows(path), count)]
    return []


def _has_text(row: Any, field: str) -> bool:
    with suppress(Failure):
        return isinstance(row, dict) and isinstance(_value(row, field or _text_field(row, ""), ""), str)
    return False


def _is_description(path: Path, field: str) -> bool:
    rows = _first(2, path)
    return len(rows) < 2 and not any(_has_text(row, field) for row in rows)


def _plain(path: Path) -> str:
    with readable(path), path.open("rb") as file:
        content = tables.text(file, str(path), MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise Failure(f"{path} is one document of over {MAX_FILE_BYTES:,} bytes; cut it, or write it as JSON lines")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode(errors="surrogateescape")
