"""Whether a program passes its tests, decided where the program is not.

The tests run here; what they call runs in the box, and only plain values come back. So an object that equals all
others, a patched `assert`, an early exit or a forged reply can say no more than a wrong value says: the expected values
never enter the box. Tests that hand over or get back what is not plain (a class of the program's own) cannot be run so;
they run in the box, where a program that means to can fake them, and their verdict is marked weak.
"""

import builtins
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from analysis.evals.sandbox import box as boxes
from analysis.evals.sandbox import cgroup, inside
from analysis.evals.sandbox.box import Box, Gone, Limits, Sandbox

DETAIL_CHARACTERS = 200
GRACE_SECONDS = 1.0
"""Once the box is killed, the judge itself has so long, again and again, to notice it."""


@dataclass(frozen=True)
class Check:
    """The tests of one problem; trusted, and never seen by the program (unless weak).

    Attributes:
        names: the functions that the program has to define.
        tests: source that ends without an exception if they are right.
        setup: source that the tests need, run before them.
        weak: run the tests in the box, since what they exchange with the program is not plain.
    """

    names: tuple[str, ...]
    tests: str
    setup: str = ""
    weak: bool = False


@dataclass(frozen=True)
class Verdict:
    """What came of one program.

    Attributes:
        passed: all its tests.
        reason: "passed", "wrong", "raised", "time", "limit", "reply" (what it returned is not plain, or it did not keep
            to the protocol), "load" (it is no Python, or fails before a test) or "check" (the tests do not begin,
            whatever the program).
        detail: a line for people, printable; partly the program's words.
        weak: the tests ran within the program's reach.
    """

    passed: bool
    reason: str
    detail: str = ""
    weak: bool = False


class _Late(BaseException):
    """Breaks into tests that go on after the box was killed."""


class _Fault(Exception):
    """The program cannot pass any more; tests that swallow this do not change it."""


def verdict(sandbox: Sandbox, program: str, check: Check, limits: Limits, group: cgroup.Group | None) -> Verdict:
    """Run `program` in a box of its own and judge it. For the main thread of a worker: it uses the alarm.

    Raises:
        NoBox: the machine does not give us a box.
    """
    scope: dict[str, Any] = {"__name__": "check"}
    try:
        code = compile(check.tests, "<tests>", "exec", dont_inherit=True, optimize=0)
        if not check.weak:
            exec(compile(check.setup, "<setup>", "exec", dont_inherit=True, optimize=0), scope)
    except Exception as error:
        return Verdict(False, "check", f"{type(error).__name__}: {error}"[:DETAIL_CHARACTERS], check.weak)
    box = boxes.start(sandbox, limits, group)
    try:
        with _time_limit(box):
            found = _judged(box, program, check, scope, code)
    except _Late:
        found = Verdict(False, "time", boxes.LATE)
    finally:
        boxes.stop(box)
    detail = "".join(c if c.isprintable() else "?" for c in found.detail[:DETAIL_CHARACTERS])
    return Verdict(found.passed, found.reason, detail, check.weak)


def _judged(box: Box, program: str, check: Check, scope: dict[str, Any], code: Any) -> Verdict:
    faults: list[Verdict] = []
    try:
        if (error := _asked(box, program)) is not None:
            return Verdict(False, "load", "{}: {}".format(*error))
        if check.weak:
            error = _asked(box, f"{check.setup}\n{check.tests}")
            return Verdict(True, "passed") if error is None else _raised(*error)
        for name in check.names:
            scope[name] = _proxy(box, name, faults)
        exec(code, scope)
        if box.late:  # and the tests swallowed it
            faults.append(Verdict(False, "time", boxes.LATE))
    except Gone as gone:
        faults.append(_gone(box, gone))
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        faults.append(_raised(type(error).__name__, str(error)))
    return faults[0] if faults else Verdict(True, "passed")


def _asked(box: Box, source: str) -> tuple[str, str] | None:
    """Have the box execute `source`; what it raised, as (type, message)."""
    boxes.send(box, source)
    reply = boxes.receive(box)
    return None if reply is None else _exception(reply)


def _proxy(box: Box, name: str, faults: list[Verdict]) -> Any:
    """A function that has the box call its function `name`; mutable arguments become what the call made of them."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            packed = [list(args), kwargs]
            boxes.send(box, (name, boxes.tree(packed)))
            reply = boxes.receive(box)
            if not (isinstance(reply, list) and len(reply) == 3 and reply[0] == "returned"):
                kind, message = _exception(reply)
                if kind == "NotPlain":
                    raise _Fault(f"{name} returned {message}, which cannot be compared from outside")
                raise _rebuilt(kind)(message)
            value = boxes.value(reply[1])
            if reply[2] is not None:
                _mutate(packed, boxes.value(reply[2]))
            return value
        except Gone as gone:
            faults.append(_gone(box, gone))
            raise _Fault(str(gone)) from None
        except _Fault as fault:
            faults.append(Verdict(False, "reply", str(fault)))
            raise
        except inside.NotPlain as error:
            faults.append(Verdict(False, "reply", f"the tests give {name} {error}, so they can only run in the box"))
            raise _Fault(str(error)) from None

    call.__name__ = name
    return call


def _exception(reply: Any) -> tuple[str, str]:
    if isinstance(reply, list) and len(reply) == 3 and reply[0] == "raised":
        _, kind, message = reply
        if isinstance(kind, str) and isinstance(message, str):
            return kind[:DETAIL_CHARACTERS], message[:DETAIL_CHARACTERS]
    raise Gone("not a reply")


def _rebuilt(kind: str) -> type[Exception]:
    """The built-in exception of that name, for tests that expect it. StopIteration would end the tests' loops early."""
    found = getattr(builtins, kind, None)
    plain = isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, UnicodeError)
    if not plain or kind in ("StopIteration", "StopAsyncIteration"):
        return type(kind if kind.isidentifier() else "Error", (Exception,), {})
    return found  # type: ignore[return-value]


def _mutate(packed: list[Any], after: Any) -> None:
    """Give the arguments the contents that the call left in them. Only the outer container of each stays the same."""
    if not (isinstance(after, list) and len(after) == 2 and isinstance(after[0], list) and isinstance(after[1], dict)):
        raise Gone("not a reply")
    args, kwargs = packed
    pairs = [*zip(args, after[0], strict=False), *((kwargs[key], after[1][key]) for key in kwargs if key in after[1])]
    for old, new in pairs:
        if type(old) is not type(new):
            continue
        if isinstance(old, list | bytearray):
            old[:] = new
        elif isinstance(old, dict | set):
            old.clear()
            old.update(new)


def _raised(kind: str, message: str) -> Verdict:
    if kind == "AssertionError":
        return Verdict(False, "wrong", message or "an assertion does not hold")
    return Verdict(False, "raised", f"{kind}: {message}")


def _gone(box: Box, gone: Gone) -> Verdict:
    text = str(gone)
    if box.late or text == boxes.OUT_OF_TIME:
        return Verdict(False, "time", text)
    return Verdict(False, "reply" if text in ("not a reply", "too much output") else "limit", text)


@contextlib.contextmanager
def _time_limit(box: Box) -> Iterator[None]:
    """Kill the box when its time is over; break into the tests if they go on nevertheless."""

    def ring(number: int, frame: FrameType | None) -> None:
        if box.late:
            raise _Late
        boxes.kill(box)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, box.limits.wall_seconds, GRACE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
