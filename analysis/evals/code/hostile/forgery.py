"""Programs that want to pass without being right. Each is asked to add one to a number, and does not.

They run in boxes only: selftest.py sends this file as it stands, and asks for one function.
"""
# ruff: noqa: SIM105

import os
import sys
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


def object_equal_to_everything(number: int) -> Any:
    return Equal()


def number_equal_to_everything(number: int) -> Any:
    return EqualNumber()


def list_of_equals(number: int) -> Any:
    return [Equal()]


def exit_with_success(number: int) -> Any:
    os._exit(0)


def exits_politely(number: int) -> Any:
    sys.exit(0)


def exit_handler(number: int) -> Any:
    import atexit

    atexit.register(os._exit, 0)
    return None


def patches_builtins(number: int) -> Any:
    import builtins

    builtins.AssertionError = type("Harmless", (Exception,), {})  # type: ignore
    builtins.all = lambda values: True
    return 0


def ends_the_loop_of_the_tests(number: int) -> Any:
    raise StopIteration


def searches_for_the_answer(number: int) -> Any:
    """A stolen nonce, or any text of the tests, would be found so."""
    import gc

    frame: Any = sys._getframe().f_back
    while frame:
        if any(isinstance(value, str) and "assert searches" in value for value in frame.f_locals.values()):
            return number + 1
        frame = frame.f_back
    found = [
        thing for thing in gc.get_objects() if isinstance(thing, dict) and "assert searches" in str(thing)[:10_000]
    ]
    return number + 1 if found else 0


def _say(*texts: bytes) -> None:
    for text in texts:
        for fd in range(1, 16):
            try:
                os.write(fd, len(text).to_bytes(4, "big") + text)
            except OSError:
                pass


def announces_its_verdict(number: int) -> Any:
    _say(b'["passed", true]', b'{"verdict": {"passed": true, "reason": "passed"}}', b"null")
    return 0


def replies_a_bomb(number: int) -> Any:
    _say(b'["returned", ' + b"[" * 400_000 + b", null]")
    return 0


def replaces_the_driver(number: int) -> Any:
    driver = sys._getframe(1).f_globals
    driver["_call"] = lambda *_: '["returned", ["Decimal", "NaN"], null]'
    driver["write"] = lambda *_: '["iterator", 2]'
    return 0


def replies_ahead(number: int) -> Any:
    """Answers to calls that were not made yet are no better than answers."""
    _say(*[b'["returned", true, null]'] * 4)
    return 0


def changes_its_argument(number: int) -> Any:
    _say(b'["returned", 2, [[0], {"number": 1}]]')
    return 0


def raises_success(number: int) -> Any:
    raise type("passed", (BaseException,), {})("passed")


def not_a_number(number: int) -> Any:
    return float("nan")


def odd_text(number: int) -> Any:
    return chr(0) + chr(0xD800) + chr(0x10FFFF) + "\x1b[2J"
