"""Verdicts kept between runs: an append-only file that a kill cannot spoil.

A verdict depends on a program, not on its names. Its key is the alpha-renamed syntax tree of the solution with the
reference (whose names never vary), the inputs and the versions of the generator and of Python, so a kept verdict is the
one that executing again would give. Lines carry a digest; a torn or changed one is passed over and its problem is
executed again.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from mixtures.synthetic.gates import Verdict
from mixtures.synthetic.problem import Draft
from store.errors import Failure


def key(draft: Draft, version: int, solution_shape: str) -> str:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parts = (version, python, solution_shape, draft.reference, draft.inputs, draft.shown)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def load(path: Path) -> dict[str, Verdict]:
    """All whole lines of the file; none when there is no file."""
    found: dict[str, Verdict] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return found
    except OSError as error:
        raise Failure(f"{path} cannot be read ({error.strerror}); choose another folder") from error
    for line in lines:
        digest, _, body = line.partition(b" ")
        if body and _digest(body) == digest:
            row = json.loads(body)
            name = row.pop("key")
            for field in ("values", "tests", "wrong"):
                row[field] = tuple(tuple(x) if isinstance(x, list) else x for x in row[field])
            found[name] = Verdict(**row)
    return found


def append(path: Path, rows: Mapping[str, Verdict]) -> None:
    """Add verdicts to the file. The first line break ends a line that a kill left torn."""
    lines = [json.dumps({"key": name, **asdict(verdict)}).encode() for name, verdict in rows.items()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"\n" + b"".join(_digest(line) + b" " + line + b"\n" for line in lines))
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}; free some space") from error


def _digest(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest()[:16].encode()
