"""What runs in the tests' box, after inside.py and in one text with it: tests, whose calls the program's box answers.

The tests are data that a user downloaded, and what they work on is what a program returned: neither may run where there
is something to lose. One process waits with the usual modules loaded, and forks one for every check, which has limits
of its own and takes all that it started with it.

Messages to the judge begin with a letter: "c" and marshal, a call that he passes on as it is; "v" and JSON, [reason,
detail]; "e", from the process that waits: this check has ended, with that exit status. He answers a call with the
program's reply as it is, or with nothing, if there will be none.
"""

import builtins
import contextlib
import json
import marshal
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from analysis.evals.code.inside import ITERATED, NotPlain, exactly, limit, read, request, say, streams, write

DETAIL = 200
USUAL = (
    *("array", "bisect", "cmath", "collections", "copy", "datetime", "decimal", "enum", "fractions", "functools"),
    *("heapq", "itertools", "math", "operator", "random", "re", "statistics", "string", "typing"),
)
"""What tests import."""


class Fault(Exception):
    """The program cannot pass any more; tests that swallow this do not change it."""


def ask() -> None:
    """Take limits on, then run checks, a process each, until nobody wants any more."""
    requests, replies = streams()
    limits = request(requests)
    seconds = limits.pop("CPU")
    limit(limits)
    for name in USUAL:
        __import__(name)
    say(replies, b"null")
    while (wanted := request(requests)) is not None:
        pid = posix.fork()
        if pid == 0:
            try:
                limit({"CPU": seconds})
                say(replies, b"v" + json.dumps(check(requests, replies, *wanted)).encode())
            finally:
                posix._exit(0)
        status = posix.waitpid(pid, 0)[1]
        with contextlib.suppress(ProcessLookupError):
            posix.kill(-1, 9)  # whom the check may have left; the box's first process is immune
        say(replies, b"e%d" % status)


def check(requests: int, replies: int, names: "list[str]", tests: str, setup: str) -> "list[str]":
    """[reason, detail], as in a `judge.Verdict`."""
    scope: dict[str, Any] = {"__name__": "check"}
    try:
        code = compile(tests, "<tests>", "exec", dont_inherit=True, optimize=0)
        exec(compile(setup, "<setup>", "exec", dont_inherit=True, optimize=0), scope)
    except BaseException as error:
        return ["check", f"{type(error).__name__}: {error}"[:DETAIL]]
    faults: list[list[str]] = []
    heard: list[str] = []
    for name in names:
        scope[name] = proxy(requests, replies, name, faults, heard)
    try:
        exec(code, scope)
    except BaseException as error:
        kind = type(error).__name__
        words = str(error)[:DETAIL]
        wrong = ["wrong", words or "an assertion does not hold"]
        faults.append(wrong if isinstance(error, AssertionError) else ["raised", f"{kind}: {words}"])
    return faults[0] if faults else ["passed", ""]


def proxy(
    requests: int, replies: int, name: str, faults: "list[list[str]]", heard: "list[str]"
) -> "Callable[..., Any]":
    """A function that has the program call its `name`; mutable arguments become what the call made of them.

    `heard` are the names of what was called: before the first, what goes wrong is no doing of the program's.
    """

    def call(*args: "Any", **kwargs: "Any") -> "Any":
        packed = [list(args), kwargs]
        try:
            tree = json.loads(write(packed))
        except NotPlain as error:
            words = f"the tests give {name} {error}, so they can only run in the box"
            faults.append(["reply" if heard else "check", words[:DETAIL]])
            raise Fault(words) from None
        heard.append(name)
        say(replies, b"c" + marshal.dumps((name, tree), 4))
        try:
            reply = parsed(requests)
            if reply[0] == "raised":
                kind, message = reply[1:]
                if kind == "NotPlain":
                    raise Fault(f"{name} returned {message}, which cannot be compared from outside")
                raise rebuilt(kind)(message)
            try:
                value = read(reply[1], ITERATED)
                if reply[2] is not None:
                    mutate(packed, read(reply[2], ITERATED))
            except NotPlain as error:
                raise Fault(f"not a reply: {error}") from None
            return value
        except Fault as fault:
            faults.append(["reply", str(fault)[:DETAIL]])
            raise

    call.__name__ = name
    return call


def parsed(requests: int) -> "Any":
    """A program's reply: ["returned", value, arguments] or ["raised", kind, message]."""
    size = int.from_bytes(exactly(requests, 4), "big")
    if not size:
        posix._exit(0)  # the program is gone, and the judge knows why: nothing that the tests do changes that
    try:
        reply = json.loads(exactly(requests, size))
    except (ValueError, RecursionError):
        raise Fault("not a reply") from None
    if isinstance(reply, list) and len(reply) == 3:
        if reply[0] == "raised" and isinstance(reply[1], str) and isinstance(reply[2], str):
            return ["raised", reply[1][:DETAIL], reply[2][:DETAIL]]
        if reply[0] == "returned":
            return reply
    raise Fault("not a reply")


def rebuilt(kind: str) -> "type[Exception]":
    """The built-in exception of that name, for tests that expect it. StopIteration would end the tests' loops early."""
    found = getattr(builtins, kind, None)
    plain = isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, UnicodeError)
    if not plain or kind in ("StopIteration", "StopAsyncIteration"):
        return type(kind if kind.isidentifier() else "Error", (Exception,), {})
    return found  # type: ignore[return-value]


def mutate(packed: "list[Any]", after: "Any") -> None:
    """Give the arguments the contents that the call left in them. Only the outer container of each stays the same."""
    if not (isinstance(after, list) and len(after) == 2 and isinstance(after[0], list) and isinstance(after[1], dict)):
        raise Fault("not a reply")
    args, kwargs = packed
    pairs = [*zip(args, after[0]), *((kwargs[key], after[1][key]) for key in kwargs if key in after[1])]  # noqa: B905
    for old, new in pairs:
        if type(old) is not type(new):
            continue
        if isinstance(old, (list, bytearray)):
            old[:] = new
        elif isinstance(old, (dict, set)):
            old.clear()
            old.update(new)
