"""Programs that want to pass without being right. Each is asked to add one to a number, and does not.

They run in boxes only: selftest.py sends this file as it stands, and asks for one of PROGRAMS.
"""
# ruff: noqa: SIM105

import atexit
import builtins
import gc
import os
import sys
from collections.abc import Callable
from typing import Any


class Equal:
    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 2


class EqualNumber(int):
    __eq__ = Equal.__eq__
    __hash__ = Equal.__hash__


def _exit_handler(number: int) -> None:
    atexit.register(os._exit, 0)


def _patches_builtins(number: int) -> Any:
    builtins.AssertionError = type("Harmless", (Exception,), {})  # type: ignore
    builtins.all = lambda values: True
    return 0


def _raises(error: BaseException) -> Any:
    raise error


def _searches_for_the_answer(number: int) -> Any:
    """A stolen nonce, or any text of the tests, would be found so."""
    frame: Any = sys._getframe().f_back
    while frame:
        if any(isinstance(value, str) and "assert f(1" in value for value in frame.f_locals.values()):
            return number + 1
        frame = frame.f_back
    found = [thing for thing in gc.get_objects() if isinstance(thing, dict) and "assert f(1" in str(thing)[:10_000]]
    return number + 1 if found else 0


def _says(*texts: bytes) -> Any:
    """Texts down every pipe; answers to calls that were not made yet are no better than answers."""
    for text in texts:
        for fd in range(1, 16):
            try:
                os.write(fd, len(text).to_bytes(4, "big") + text)
            except OSError:
                pass
    return 0


def _replaces_the_driver(number: int) -> Any:
    driver = sys._getframe(1).f_globals
    driver["_call"] = lambda *_: '["returned", ["Decimal", "NaN"], null]'
    driver["write"] = lambda *_: '["iterator", 2]'
    return 0


PROGRAMS: dict[str, Callable[[int], Any]] = {
    "object equal to everything": lambda number: Equal(),
    "number equal to everything": lambda number: EqualNumber(),
    "list of equals": lambda number: [Equal()],
    "exit with success": lambda number: os._exit(0),
    "exits politely": lambda number: sys.exit(0),
    "exit handler": _exit_handler,
    "patches builtins": _patches_builtins,
    "ends the loop of the tests": lambda number: _raises(StopIteration()),
    "searches for the answer": _searches_for_the_answer,
    "announces its verdict": lambda number: _says(
        *(b'["passed", true]', b'{"verdict": {"passed": true, "reason": "passed"}}', b"null")
    ),
    "replies a bomb": lambda number: _says(b'["returned", ' + b"[" * 400_000 + b", null]"),
    "replaces the driver": _replaces_the_driver,
    "replies ahead": lambda number: _says(*[b'["returned", true, null]'] * 4),
    "changes its argument": lambda number: _says(b'["returned", 2, [[0], {"number": 1}]]'),
    "raises success": lambda number: _raises(type("passed", (BaseException,), {})("passed")),
    "not a number": lambda number: float("nan"),
    "odd text": lambda number: chr(0) + chr(0xD800) + chr(0x10FFFF) + "\x1b[2J",
}
