"""Rows of a prompt and its answer, with the answers to one prompt in sets where they are ranked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from mixtures.documents.document import Document
from mixtures.readers import files, tables
from store.digests import short
from store.errors import Failure

READER_VERSION = 1


@dataclass(frozen=True)
class Fields:
    """What of a row is what; a dot leads into an object: "meta.body".

    Attributes:
        prompt: a field, or a text with fields in braces: "{instruction}\\n\\n{input}\\n\\n".
        answer: a field.
        group: what is held out together; "" for what has the same prompt, and all answers of a set.
        set: which answers are ranked with each other, within one file; "" for none.
        score: a whole number, higher is better; "" for 0.
    """

    prompt: str
    answer: str
    group: str = ""
    set: str = ""
    score: str = ""


def read(corpus: files.Corpus, its: Fields, shard: str, downloads: Path) -> Iterator[Document]:
    """The examples of one shard, by file and place in it; preparation counts those without prompt or answer.

    Raises:
        Failure: its files changed after they were listed, one cannot be read or has no rows, or a row holds what cannot
            be a prompt, an answer, a group or a score; it names file, line and way out.
    """
    for name, path in files.part(corpus, shard, downloads).items():
        if tables.form(path.name) not in (*tables.TABLES, ".json"):
            raise Failure(f"{path} has no rows, and an example is one; leave it out of the pattern")
        rows = tables.rows(path)
        yield from documents(((f"{name}#{number}", tables.place(path, number), row) for number, row in rows), its, name)


def documents(rows: Iterable[tuple[str, str, Any]], its: Fields, file: str) -> Iterator[Document]:
    """The examples of rows, each with its id and, for errors, its place.

    Raises:
        Failure: as `read`.
    """
    groups: dict[str, str] = {}
    for id, where, row in rows:
        if not isinstance(row, dict):
            raise Failure(f"{where} is no object with named fields; write one object a row")
        prompt, answer = _prompt(row, its.prompt, where), _text(row, its.answer, where)
        set_, group = (_name(row, field, where) for field in (its.set, its.group))
        set_ = f"{file} {set_}" if set_ else ""
        group = group or groups.get(set_, "") or short(prompt)
        if set_ and groups.setdefault(set_, group) != group:
            raise Failure(
                f"{where}: this answer is of group '{group}', and another of its set is of '{groups[set_]}'; give all "
                "answers of a set one group, so that they are held out together"
            )
        score = _score(row, its.score, where) if prompt and answer else 0  # else it is dropped
        yield Document(id, group, prompt + answer, "", len(prompt), set_, score)


def _prompt(row: Mapping[str, Any], template: str, where: str) -> str:
    """The prompt of a row. Of a template, paragraphs that have fields and nothing in them are left out."""
    if "{" not in template:
        return _text(row, template, where)
    kept, found = [], False
    for paragraph in template.split("\n\n"):
        parts = [(text, _text(row, field, where) if field else "", field) for text, field, _, _ in _parsed(paragraph)]
        filled = any(value.strip() for _, value, _ in parts)
        if filled or not any(field for _, _, field in parts):
            kept.append("".join(text + value for text, value, _ in parts))
        found |= filled
    return "\n\n".join(kept) if found else ""


def _parsed(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    return list(Formatter().parse(template))


def fields_of(template: str) -> list[str]:
    """The fields in a prompt's template, or the one that it is.

    Raises:
        ValueError: its braces do not match, or hold more than a field's name.
    """
    if "{" not in template:
        return [template]
    parts = [(field, spec, conversion) for _, field, spec, conversion in _parsed(template) if field is not None]
    if bad := [field for field, spec, conversion in parts if not field or spec or conversion]:
        raise ValueError(f"'{{{bad[0]}...}}' is more than the name of a field")
    return [field for field, _, _ in parts]


def _found(row: Mapping[str, Any], field: str) -> Any:
    """What `field` holds; None where there is none."""
    found: Any = row
    for part in (field,) if field in row else field.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    """The text of a field, "" where there is none; of several texts one a line."""
    found = _found(row, field)
    if found is None:
        return ""
    if isinstance(found, int | float) and not isinstance(found, bool):
        return str(found)
    texts = found if isinstance(found, list) else [found]
    if not all(isinstance(text, str) for text in texts):
        raise Failure(f"{where}: field '{field}' holds what is no text; name another")
    return "\n".join(texts)


def _name(row: Mapping[str, Any], field: str, where: str) -> str:
    found = _found(row, field) if field else None
    if isinstance(found, dict | list):
        raise Failure(f"{where}: field '{field}' holds no name; name another")
    return "" if found is None else str(found).encode(errors="backslashreplace").decode()


def _score(row: Mapping[str, Any], field: str, where: str) -> int:
    if not field:
        return 0
    found = _found(row, field)
    if isinstance(found, str) and found.lstrip("-").isdecimal():  # all that a CSV file holds are texts
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or not -(2**31) <= found < 2**31:
        raise Failure(f"{where}: field '{field}' holds {repr(found)[:60]}, and a score is a whole number of 32 bits")
    return found
