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

from store import kept_rows, paths
from store.errors import Failure
from store.files import make_folder

BUSY_SECONDS = 60.0
_SCHEMA = """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, request TEXT NOT NULL,
    reply TEXT NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL)"""
_INSERT = "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)"
_KEY = {"cache": "replies"}
REMOTE_REPLIES = 16


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
    """An open cache. Replies are committed one by one, from any thread, so that a kill loses none that has arrived.

    In an object store they are kept some at a time (`REMOTE_REPLIES`), and a kill loses as many.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path, self._connection, self._lock = path, connection, threading.Lock()
        self._waiting: list[tuple[str | int, ...]] = []

    def get(self, request: Request) -> Reply | None:
        with self._lock, _problems_of(self._path):
            query = "SELECT reply, tokens_in, tokens_out FROM replies WHERE key = ?"
            row = self._connection.execute(query, (request.key,)).fetchone()
        return None if row is None else Reply(*row)

    def keep(self, request: Request, reply: Reply) -> None:
        """Keep `reply`, unless another process was first."""
        row = (request.key, request.model, request.text, reply.text, reply.tokens_in, reply.tokens_out)
        with self._lock, _problems_of(self._path), self._connection:
            self._connection.execute(_INSERT, row)
            if paths.remote(self._path):
                self._waiting.append(row)
                if len(self._waiting) >= REMOTE_REPLIES:
                    self._put()

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            if self._waiting:
                self._put()

    def _put(self) -> None:
        kept_rows.keep(self._path, _KEY, [{"row": row} for row in self._waiting])
        self._waiting.clear()


@contextmanager
def opened(path: Path) -> Iterator[Replies]:
    """The cache at `path`, made when it is not there.

    Raises:
        Failure: the file is damaged, is no such cache, or cannot be written.
    """
    with _problems_of(path):
        make_folder(path.parent)
        file = ":memory:" if paths.remote(path) else path
        connection = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False)
    replies = Replies(path, connection)
    try:
        with _problems_of(path):
            # Reading a cut file works until the first missing page; half a cache must not pass for a whole one.
            found = connection.execute("PRAGMA quick_check").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            connection.execute(_SCHEMA)
            connection.execute("SELECT key, reply, tokens_in, tokens_out FROM replies LIMIT 1")
            if paths.remote(path):
                connection.executemany(_INSERT, [row["row"] for row in kept_rows.read(path, _KEY)])
                connection.commit()
        yield replies
    finally:
        replies.close()


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
