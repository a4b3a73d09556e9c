"""What crosses the wall of a box, and which system calls do not. These need no sandbox."""

import errno
import json
import math
import struct
from collections import Counter, OrderedDict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.evals.code import inside, seccomp

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
)
HASHABLE = SCALARS | st.tuples(SCALARS, SCALARS) | st.frozensets(SCALARS)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE) | st.builds(bytearray, st.binary()),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(HASHABLE, inner),
)


def crossed(value):
    return inside.read(json.loads(inside.write(value)))


def types(value):
    if isinstance(value, dict):
        return dict, [(types(k), types(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [types(item) for item in value]
    return type(value), repr(value) if isinstance(value, float) else None


@given(VALUES)
def test_plain_values_cross_unchanged(value):
    assert crossed(value) == value
    assert types(crossed(value)) == types(value)


def test_what_is_not_equal_to_itself_and_what_is_huge_cross_too():
    assert math.isnan(crossed([math.nan])[0])
    assert crossed(7**100_000) == 7**100_000
    assert crossed(range(3, 9, 2)) == range(3, 9, 2)
    assert list(crossed(x * x for x in (1, 2, 3))) == [1, 4, 9]
    assert crossed(zip([1], [2], strict=True)) != [(1, 2)]  # an iterator is no list on either side


def test_built_in_types_cross_and_no_class_that_looks_like_one():
    assert crossed([int, type(None), {"k": dict}]) == [int, type(None), {"k": dict}]
    with pytest.raises(inside.NotPlain, match="type"):
        inside.write(type("int", (int,), {}))


def test_subclasses_cross_as_their_base_with_no_method_of_their_own():
    class Everything(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    pair = namedtuple("pair", "a b")
    colour = IntEnum("colour", "RED")
    values = [Everything(3), Counter("aab"), OrderedDict(a=1), pair(1, 2), colour.RED]
    back = crossed(values)
    assert back == [3, {"a": 2, "b": 1}, {"a": 1}, (1, 2), 1]
    assert [type(value) for value in back] == [int, dict, dict, tuple, int]


@pytest.mark.parametrize("value", [object(), print, inside, object, [[object()]], {1: lambda: 0}, iter(int, 1)])
def test_what_is_not_plain_is_refused_by_name(value):
    with pytest.raises(inside.NotPlain, match=r"type|iterator"):
        inside.write(value)


def test_deep_and_circular_values_are_refused():
    circle: list = []
    circle.append(circle)
    with pytest.raises(inside.NotPlain, match="deep"):
        inside.write(circle)


@pytest.mark.parametrize(
    "text",
    [
        *('{"a": 1}', "[]", "[1]", '["list", {}]', '["exec", "1"]', '["int", 5]', '["int", "zz"]', '["int"]'),
        *('["set", ["list"]]', '["dict", ["list"], 1]', '["range", 1, 2, 0]', '["Fraction", 1, 0]', '["bytes", "x"]'),
        *('["Decimal", "x"]', '["float", ["list"]]', "[" * 900 + "]" * 900),
        *('["Fraction", "1", 2]', '["complex", "a", "b"]', '["bytes", 4]'),
        *('["type", "object"]', '["type"]', '["type", ["list"]]'),
    ],
)
def test_no_text_that_we_did_not_write_becomes_a_value(text):
    with pytest.raises(inside.NotPlain):
        inside.read(json.loads(text))


def test_decimals_keep_their_digits_and_fractions_their_type():
    assert str(crossed(Decimal("1.10"))) == "1.10"
    assert type(crossed(Fraction(1, 3))) is Fraction


def outcome(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would make of a system call: an interpreter of the five instructions that we use."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *(arguments + (0,) * 6)[:6])
    code = list(struct.iter_unpack("=HBBI", program))
    at, loaded = 0, 0
    while True:
        operation, yes, no, k = code[at]
        at += 1
        if operation == 0x20:
            (loaded,) = struct.unpack_from("<I", data, k)
        elif operation == 0x06:
            return k
        else:
            holds = {0x15: loaded == k, 0x35: loaded >= k, 0x45: bool(loaded & k)}[operation]
            at += yes if holds else no


REFUSED, MISSING, ALLOWED, KILLED = 0x00050000 | errno.EPERM, 0x00050000 | 38, 0x7FFF0000, 0x80000000


@pytest.mark.parametrize(("machine", "clone", "ioctl", "read"), [("x86_64", 56, 16, 0), ("aarch64", 220, 29, 63)])
def test_the_filter_lets_through_what_it_should_and_nothing_else(machine, clone, ioctl, read):
    program, arch = seccomp.program(machine), seccomp.ARCHITECTURES[machine]
    denied = set(seccomp.DENIED[machine].values())
    for number in [*range(470), 0x3FFF_FFFF]:
        if number in denied:
            assert outcome(program, arch, number) == REFUSED, number
        elif number == 435 or number > 452:
            assert outcome(program, arch, number) == MISSING
        else:
            assert outcome(program, arch, number) == ALLOWED, number
    assert outcome(program, arch, read) == ALLOWED
    assert outcome(program, arch, clone, 0x003D0F00) == ALLOWED  # a thread
    assert outcome(program, arch, clone, 0x01200011) == ALLOWED  # a fork
    for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert outcome(program, arch, clone, bit | 17) == REFUSED
    assert outcome(program, arch, ioctl, 0, 0x5401) == ALLOWED
    assert outcome(program, arch, ioctl, 0, 0x5412) == REFUSED
    assert outcome(program, arch, ioctl, 0, 0xFFFFFFFF_00005412) == REFUSED  # the kernel looks at the low half only
    fcntl = {"x86_64": 72, "aarch64": 25}[machine]
    assert outcome(program, arch, fcntl, 0, 1) == ALLOWED
    assert outcome(program, arch, fcntl, 0, 1031) == REFUSED  # F_SETPIPE_SZ: pages of a quota that all boxes share
    assert outcome(program, arch, 0x40000000 | read) == REFUSED
    other = next(value for value in seccomp.ARCHITECTURES.values() if value != arch)
    assert outcome(program, other, read) == KILLED
    assert outcome(program, 0x40000003, 11) == KILLED  # 32 bits
