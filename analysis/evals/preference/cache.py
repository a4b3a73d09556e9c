"""Every reply of a judge, kept in SQLite, so that nothing is paid for twice and a report can be rebuilt offline."""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.errors import Failure

BUSY_SECONDS = 60.0
_SCHEMA = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, request TEXT NOT NULL,
    reply TEXT NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL)"""


@dataclass(frozen=True)
class Request:
    """What is asked of a judge; with equal requests come equal keys. It is kept as it stands: no secret may be in it.

    Attributes:
        model: the judge's name.
        parameters: those that decide its reply.
        messages: to it.
        server: its address, for on another one the same name may be another model; "" for one that is embedded.
    """

    model: str
    parameters: Mapping[str, Any]
    messages: Sequence[Mapping[str, str]]
    server: str = ""

    @property
    def text(self) -> str:
        """As canonical JSON."""
        parts = {"model": self.model, "parameters": dict(self.parameters), "messages": list(self.messages)}
        parts |= {"server": self.server} if self.server else {}
        return json.dumps(parts, sort_keys=True, ensure_ascii=True)

    @property
    def key(self) -> str:
        """sha256, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Reply:
    """What a judge said, and the tokens that its server counted (where it counts none, as many as there may be)."""

    text: str
    tokens_in: int
    tokens_out: int


class Replies:
    """An open cache. Replies are committed one by one, from any thread, so that a kill loses none that has arrived."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path, self._connection, self._lock = path, connection, threading.Lock()

    def get(self, request: Request) -> Reply | None:
        with self._lock, _problems_of(self._path):
            query = "SELECT reply, tokens_in, tokens_out FROM replies WHERE key = ?"
            row = self._connection.execute(query, (request.key,)).fetchone()
        return None if row is None else Reply(*row)

    def keep(self, request: Request, reply: Reply) -> None:
        """Keep `reply`, unless another process was first."""
        row = (request.key, request.model, request.text, reply.text, reply.tokens_in, reply.tokens_out)
        with self._lock, _problems_of(self._path), self._connection:
            self._connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)", row)


@contextmanager
def opened(path: Path) -> Iterator[Replies]:
    """The cache at `path`, made when it is not there.

    Raises:
        Failure: the file is damaged, is no such cache, or cannot be written.
    """
    with _problems_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        with _problems_of(path):
            # Reading a cut file works until the first missing page; half a cache must not pass for a whole one.
            found = connection.execute("PRAGMA quick_check").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            connection.execute(_SCHEMA)
            connection.execute("SELECT key, reply, tokens_in, tokens_out FROM replies LIMIT 1")
        yield Replies(path, connection)
    finally:
        connection.close()


@contextmanager
def _problems_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        problem = " ".join(str(error).split())
        raise Failure(
            f"the judge's cache {path} cannot be used ({problem}); put a good copy in its place, "
            "or delete it and have everything judged again"
        ) from error
