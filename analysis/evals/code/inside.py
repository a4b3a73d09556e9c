"""What runs in a program's box, as one text: the codec of what may cross its wall, and the loop that answers calls.

The tests' box has the same codec, with asking.py after it. Only modules built into the interpreter are imported at the
top, since a box lives for some 20 ms, of which `import json` would be a third: so JSON is written by hand. It is read
with `json`, never with `ast.literal_eval` or `pickle`: the one may crash on hostile nesting, the other runs what it
reads.

Scalars are JSON's; all else is a list that begins with a tag:

    ["list", ...] ["tuple", ...] ["set", ...] ["frozenset", ...] ["dict", k, v, k, v, ...] ["range", start, stop, step]
    ["int", hex] ["float", "inf" | "-inf" | "nan"] ["complex", re, im] ["bytes", hex] ["bytearray", hex]
    ["Decimal", str] ["Fraction", numerator, denominator] ["iterator", ...] ["type", name of a built-in one]

Subclasses (Counter, namedtuple, IntEnum, ...) cross as their plain base, so an `__eq__` of the program never does.

Messages are length-prefixed: marshal to the program; JSON from it, which the tests' side parses and trusts nothing of.
All of this is in reach of the program, which may answer in our stead: it can then say no more than a returned value
says.
"""

import marshal
import posix
import sys
from _json import encode_basestring_ascii as _quoted

TYPE_CHECKING = False  # importing typing, too, would take a third of a box's life
if TYPE_CHECKING:
    from typing import Any

DEPTH = 200
ITERATED = 100_000
"""Items of an iterator that are taken before it counts as endless, and of a range that comes back."""
_TYPES = (bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, type(None))
_SMALL = 1 << 53
_HEAD = 4


class NotPlain(Exception):
    """A value that cannot cross; the message says why."""


def write(value: "Any", depth: int = 0) -> str:
    """`value` as JSON text.

    Raises:
        NotPlain: it holds something that is not plain, is nested over `DEPTH` deep or is an endless iterator.
    """
    if depth > DEPTH:
        raise NotPlain(f"something nested over {DEPTH} deep")
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(str.__str__(value))
    if isinstance(value, int):
        number = int.__index__(value)
        return int.__repr__(number) if -_SMALL < number < _SMALL else f'["int", "{number:x}"]'
    if isinstance(value, float):
        text = float.__repr__(value)
        return f'["float", "{text}"]' if "n" in text else text  # inf, -inf, nan
    tag, items = _parts(value)
    return "[" + ", ".join([_quoted(tag), *[write(item, depth + 1) for item in items]]) + "]"


def _parts(value: "Any") -> "tuple[str, list[Any]]":
    """A compound value's tag and the values that it is written as."""
    kind: Any
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return kind.__name__, [*kind.__iter__(value)]
    if isinstance(value, dict):
        return "dict", [part for pair in dict.items(value) for part in pair]
    if isinstance(value, range):
        return "range", [value.start, value.stop, value.step]
    if isinstance(value, complex):
        return "complex", [value.real, value.imag]
    if isinstance(value, (bytes, bytearray)):
        return "bytes" if isinstance(value, bytes) else "bytearray", [value.hex()]
    return _rarer_parts(value)


def _rarer_parts(value: "Any") -> "tuple[str, list[Any]]":
    if isinstance(value, _class("decimal", "Decimal")):
        return "Decimal", [str(value)]
    if isinstance(value, _class("fractions", "Fraction")):
        return "Fraction", [value.numerator, value.denominator]
    for kind in _TYPES:
        if value is kind:
            return "type", [kind.__name__]
    if not hasattr(type(value), "__next__"):
        raise NotPlain(f"a value of type {type(value).__name__}")
    items = []
    for item in value:
        items.append(item)
        if len(items) > ITERATED:
            raise NotPlain("an endless iterator")
    return "iterator", items


def _class(module: str, name: str) -> "Any":
    """A class that only programs import that use it; no class (an empty tuple) where nobody did."""
    return getattr(sys.modules.get(module), name, ())


def read(tree: "Any", longest: int = sys.maxsize) -> "Any":
    """The value of parsed JSON that `write` wrote, made of exact built-in types, Decimal and Fraction.

    Raises:
        NotPlain: `write` writes no such thing, or there is a range of more than `longest` items, which says in a few
            bytes what would take for ever to go through.
    """
    if not isinstance(tree, list):
        if isinstance(tree, dict):
            raise NotPlain("a JSON object")
        return tree
    if not tree or not isinstance(tree[0], str):
        raise NotPlain("a list without a tag")
    try:
        found = _built(tree[0], [read(part, longest) for part in tree[1:]])
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise NotPlain(f"a damaged {tree[0][:20]!r}") from error
    if isinstance(found, range) and len(found[:longest]) < len(found[: longest + 1]):
        raise NotPlain(f"a range of more than {longest} items")
    return found


def _built(tag: str, items: "list[Any]") -> "Any":
    if tag in ("list", "tuple", "set", "frozenset"):
        return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[tag](items)
    if tag == "dict":
        return dict(zip(items[::2], items[1::2]))  # noqa: B905 (Python 3.9 may be inside)
    if tag == "iterator":
        return iter(items)
    if tag in ("int", "bytes", "bytearray"):
        (text,) = items
        return {"int": lambda t: int(t, 16), "bytes": bytes.fromhex, "bytearray": bytearray.fromhex}[tag](text)
    if tag in ("float", "complex", "range"):
        return {"float": float, "complex": complex, "range": range}[tag](*items)
    if tag == "Decimal":
        from decimal import Decimal

        return Decimal(*items)
    if tag == "Fraction":
        from fractions import Fraction

        return Fraction(*items)
    if tag == "type":
        return {kind.__name__: kind for kind in _TYPES}[items[0]]
    raise NotPlain(f"a tag {tag[:20]!r}")


def serve() -> None:
    """Take limits on, load a program, then answer until nobody asks any more."""
    requests, replies = streams()
    limit(request(requests))
    say(replies, b"null")
    scope: dict[str, Any] = {}
    while (asked := request(requests)) is not None:
        reply = "null"
        try:
            if not scope:
                scope = _load(asked)
            elif isinstance(asked, str):
                exec(compile(asked, "<tests>", "exec", dont_inherit=True, optimize=0), scope)
            else:
                reply = _call(scope, asked)
        except BaseException as error:
            reply = _raised(error)
        say(replies, reply.encode())


def streams() -> "tuple[int, int]":
    """Where requests come from and replies go to; the standard streams lead nowhere from now on."""
    requests, replies = posix.dup(0), posix.dup(1)
    null = posix.open("/dev/null", posix.O_RDWR)
    for standard in (0, 1, 2):
        posix.dup2(null, standard)
    return requests, replies


def limit(limits: "Any") -> None:
    """Limit this process and all that it starts; from in here, since processes are counted per user namespace."""
    import resource

    for name, value in limits.items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value + (name == "CPU")))


def _load(source: "Any") -> "dict[str, Any]":
    """The namespace of the program, a module of its own: dataclasses and pickle look theirs up in sys.modules."""
    module = type(sys)("program")
    sys.modules["program"] = module
    exec(compile(source, "<program>", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _call(scope: "dict[str, Any]", request: "Any") -> str:
    """Reply ["returned", value, arguments or None]: the arguments when the call changed them."""
    name, packed = request
    args, kwargs = read(packed)
    before = write([args, kwargs])
    value = write(scope[name](*args, **kwargs))
    after = write([args, kwargs])
    return '["returned", ' + value + ", " + ("null" if before == after else after) + "]"


def _raised(error: BaseException) -> str:
    try:
        message = str(error)[:200]
    except BaseException:
        message = ""
    return '["raised", ' + write(type(error).__name__) + ", " + write(message) + "]"


def request(fd: int) -> "Any":
    head = exactly(fd, _HEAD)
    return marshal.loads(exactly(fd, int.from_bytes(head, "big"))) if head else None


def exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = posix.read(fd, size - len(data))
        if not chunk:
            return b""
        data += chunk
    return data


def say(fd: int, data: bytes) -> None:
    data = len(data).to_bytes(_HEAD, "big") + data
    while data:
        data = data[posix.write(fd, data) :]
