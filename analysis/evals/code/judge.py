"""Whether a program passes its tests, decided where the program is not.

The tests run in one box (asking.py), what they call runs in another, and only plain values pass between them. So an
object that equals all others, a patched `assert`, an early exit or a forged reply can say no more than a wrong value
says: the expected values never enter the program's box. Tests that hand over or get back what is not plain (a class of
the program's own) cannot be run so; they run in the program's box, where a program that means to can fake them, and
their verdict is marked weak. The judge runs nothing itself, reads no value and waits for nobody longer than there is
time: what goes wrong with him is the machine's fault.
"""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass, replace

from analysis.evals.code import box as boxes
from analysis.evals.code import cgroup
from analysis.evals.code.box import Box, Gone, Limits, NoBox, Sandbox

DETAIL_CHARACTERS = 200
TESTS_BYTES, CALL_BYTES = 1 << 30, 64 << 20
"""Of the tests' process, since they may multiply what a program returns, and of a call that they make."""


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
            to the protocol), "load" (it is no Python, or fails before a test) or "check" (the tests do not get as
            far as to ask the program, or cannot ask it).
        detail: a line for people, printable; partly the program's words.
        weak: the tests ran within the program's reach.
    """

    passed: bool
    reason: str
    detail: str = ""
    weak: bool = False


@dataclass
class Bench:
    """What a judge works with; the box of the tests serves one check after another, until something befalls it."""

    sandbox: Sandbox
    limits: Limits
    group: cgroup.Group | None
    tests: Box | None = None


def verdict(bench: Bench, program: str, check: Check) -> Verdict:
    """Run `program` in a box of its own and judge it. Its time begins when the box stands.

    Raises:
        NoBox: the machine does not give us a box, or takes one away; that says nothing of the program.
    """
    if bench.tests is None and not check.weak:
        limits = replace(bench.limits, process_bytes=TESTS_BYTES, reply_bytes=CALL_BYTES, replies_bytes=sys.maxsize)
        bench.tests = boxes.start(bench.sandbox, limits, None, boxes.TESTS)
    box = boxes.start(bench.sandbox, bench.limits, bench.group)
    box.until = time.monotonic() + bench.limits.wall_seconds
    try:
        if (error := _asked(box, program)) is not None:
            reason, detail = "load", "{}: {}".format(*error)
        elif check.weak:
            error = _asked(box, f"{check.setup}\n{check.tests}")
            reason, detail = ("passed", "") if error is None else _raised(*error)
        else:
            reason, detail = _tested(bench, box, check)
    except Gone as gone:
        reason, detail = _gone(gone)
    finally:
        boxes.stop(box)
    detail = "".join(c if c.isprintable() else "?" for c in detail[:DETAIL_CHARACTERS])
    return Verdict(reason == "passed", reason, detail, check.weak)


def close(bench: Bench) -> None:
    """Let go of the tests' box; the next verdict starts another."""
    if bench.tests is not None:
        boxes.stop(bench.tests)
        bench.tests = None


def _asked(box: Box, source: str) -> tuple[str, str] | None:
    """Have the box execute `source`; what it raised, as (type, message)."""
    boxes.send(box, source)
    reply = boxes.receive(box)
    if reply is None:
        return None
    if isinstance(reply, list) and len(reply) == 3 and reply[0] == "raised":
        _, kind, message = reply
        if isinstance(kind, str) and isinstance(message, str):
            return kind[:DETAIL_CHARACTERS], message[:DETAIL_CHARACTERS]
    raise Gone(boxes.NOT_A_REPLY)


def _tested(bench: Bench, box: Box, check: Check) -> tuple[str, str]:
    """Run the tests in their box and pass their calls on to the program's, unread: (reason, detail)."""
    tests = bench.tests
    assert tests is not None
    tests.until, tests.received = box.until, 0
    found = None
    try:
        boxes.send(tests, [list(check.names), check.tests, check.setup])
        while (message := boxes.hear(tests))[:1] != b"e":
            if message[:1] == b"v":
                found = message[1:]
                continue
            try:
                boxes.say(box, message[1:])
                reply = boxes.hear(box)
            except Gone as gone:
                _dismissed(bench, tests)
                return _gone(gone)
            boxes.say(tests, reply)
        return _ended(found, int(message[1:]))
    except ValueError:
        close(bench)
        return "raised", "the tests write where they should not"
    except Gone as gone:
        close(bench)
        if str(gone) in (boxes.LATE, boxes.TOO_MUCH):  # they go on and on with what the program returned
            return _gone(gone)
        raise NoBox(f"the tests' box is gone ({gone})") from None


def _dismissed(bench: Bench, tests: Box) -> None:
    """Tell the tests that the program is gone, and wait for their end; or end their box."""
    tests.until = time.monotonic() + boxes.EXIT_SECONDS
    try:
        boxes.say(tests, b"")
        while boxes.hear(tests)[:1] != b"e":
            pass
    except Gone:
        close(bench)


def _ended(found: bytes | None, status: int) -> tuple[str, str]:
    """What the tests say, or the way in which their process ended without a word."""
    if found is not None:
        try:
            reason, detail = json.loads(found)
        except (ValueError, TypeError, RecursionError):
            return "raised", "the tests' process said what is no verdict"
        return str(reason), str(detail)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return "time", boxes.OUT_OF_TIME
    if code == -signal.SIGKILL:
        raise NoBox("the tests' process was killed")
    return "raised", f"the tests' process ended (exit code {code})"


def _raised(kind: str, message: str) -> tuple[str, str]:
    if kind == "AssertionError":
        return "wrong", message or "an assertion does not hold"
    return "raised", f"{kind}: {message}"


def _gone(gone: Gone) -> tuple[str, str]:
    text = str(gone)
    if text in (boxes.LATE, boxes.OUT_OF_TIME):
        return "time", text
    return ("reply" if text in (boxes.NOT_A_REPLY, boxes.TOO_MUCH) else "limit"), text
