"""What a function rests on, found by looking at it: the code that it calls, the values that it holds, files it spells.

Of this project's readers only their `READER_VERSION` counts, which a golden digest forces to move. Of a user's function
it is the source text, which is equal between processes, machines and versions of Python. Libraries are not followed.
"""

import hashlib
import inspect
import json
import math
import re
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, timedelta
from functools import partial
from numbers import Number
from pathlib import PurePath
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

LIBRARIES = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})
MAX_PATH = 1_000
CATALOGUES = ("mixtures.catalogue.laptop", "mixtures.catalogue.paper_scale")
"""Of ours, the modules whose constants decide data; those of readers go with their version."""


@dataclass
class Traced:
    """Collects, for all that `value` is given: versions of readers, code, values of globals, and possible paths.

    Attributes:
        not_deciding: of these dataclasses, the fields that decide nothing.
        readers: READER_VERSION of every module of ours that was met, by the module's name.
        code: digest of the source of every function and class of the user's.
        globals: what those name beside functions, and their defaults.
        paths: what may be the name of a file or folder.
        files: where that code is.
    """

    not_deciding: Mapping[type, tuple[str, ...]]
    readers: dict[str, int] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    globals: dict[str, Any] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    _met: set[FunctionType | type] = field(default_factory=set)
    _held: set[int] = field(default_factory=set)

    def value(self, value: Any) -> Any:
        """`value` as JSON; of an object of a user's class what it holds, of a library's the name of its type."""
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, str | PurePath):
            self._path(str(value))
            return str(value)
        if isinstance(value, bytes):
            return hashlib.sha256(value).hexdigest()
        if isinstance(value, Number | range | date | timedelta):
            return value if isinstance(value, float) and math.isfinite(value) else repr(value)
        if isinstance(value, FunctionType | type):
            self._code(value)
            return value.__qualname__
        return self._parts(value)

    def _parts(self, value: Any) -> Any:
        if isinstance(value, tuple | list):
            return [self.value(part) for part in value]
        if isinstance(value, set | frozenset):
            return sorted((self.value(part) for part in value), key=json.dumps)
        if isinstance(value, Mapping):
            return sorted(([self.value(key), self.value(part)] for key, part in value.items()), key=json.dumps)
        if isinstance(value, re.Pattern):
            return [self.value(value.pattern), value.flags]
        if isinstance(value, partial):
            return [self.value(part) for part in (value.func, value.args, value.keywords)]
        if isinstance(value, MethodType):
            return [self.value(value.__self__), self.value(value.__func__)]
        if hasattr(value, "__wrapped__"):  # by functools.cache
            return self.value(inspect.unwrap(value))
        return self._object(value)

    def _object(self, value: Any) -> Any:
        self._code(type(value))
        skipped = self.not_deciding.get(type(value), ())
        if is_dataclass(value):
            return {
                part.name: self.value(getattr(value, part.name)) for part in fields(value) if part.name not in skipped
            }
        theirs = type(value) in self._met and not _is_ours(type(value).__module__)
        if not theirs or id(value) in self._held:
            return type(value).__qualname__
        self._held.add(id(value))  # it may hold itself
        return {name: self.value(part) for name, part in sorted(getattr(value, "__dict__", {}).items())}

    def _path(self, text: str) -> None:
        if 0 < len(text) <= MAX_PATH and "\n" not in text and "\0" not in text:
            self.paths.add(text)

    def _code(self, value: FunctionType | type) -> None:
        module = value.__module__ or ""
        if value in self._met or _is_library(module, value):
            return
        self._met.add(value)
        if not _is_ours(module):
            _put(self.code, value.__qualname__, _digest(value))
            self.files.add(_file(value))
        elif isinstance(value, type):
            return  # data; and a field may have the name of a function of its module
        functions = [value] if isinstance(value, FunctionType) else vars(value).values()
        for function in functions:
            if isinstance(function, FunctionType):
                self._function(function)

    def _function(self, function: FunctionType) -> None:
        ours = _is_ours(function.__module__ or "")
        self._reader(function.__globals__)
        if not ours:
            filled = [cell.cell_contents for cell in function.__closure__ or () if cell != CellType()]
            held = (function.__defaults__, function.__kwdefaults__, *filled)
            if any(part is not None for part in held):
                _put(self.globals, function.__qualname__, [self.value(part) for part in held])
            for code in _codes(function.__code__):
                for constant in code.co_consts:
                    if isinstance(constant, str | tuple | frozenset):
                        self.value(constant)
        names = dict.fromkeys(name for code in _codes(function.__code__) for name in code.co_names)
        for name in names:
            value = function.__globals__.get(name)
            if isinstance(value, ModuleType):
                self._module(value, names)
            else:
                self._named(name, value, function.__module__ or "")

    def _module(self, module: ModuleType, names: Mapping[str, None], around: tuple[ModuleType, ...] = ()) -> None:
        if module in around or _is_library(module.__name__, module):
            return
        self._reader(vars(module))
        for name in names:
            value = vars(module).get(name)
            if not isinstance(value, ModuleType):
                self._named(name, value, module.__name__)
            elif not _is_ours(value.__name__):  # package.module.function
                self._module(value, names, (*around, module))

    def _reader(self, names: Mapping[str, Any]) -> None:
        if "READER_VERSION" in names and _is_ours(names["__name__"]):
            self.readers[names["__name__"].rpartition(".")[2]] = names["READER_VERSION"]

    def _named(self, name: str, value: Any, module: str) -> None:
        if isinstance(value, FunctionType):
            self._code(value)
        elif value is not None and not name.startswith("__") and (not _is_ours(module) or module in CATALOGUES):
            _put(self.globals, name, self.value(value))


def _put(known: dict[str, Any], name: str, value: Any) -> None:
    """Under another name where that one is taken: two modules may each have a `read`, and lambdas share theirs."""
    while known.get(name, value) != value:
        name += "'"
    known[name] = value


def _is_ours(module: str) -> bool:
    return module.split(".")[0] in ("mixtures", "store")


def _is_library(module: str, value: Any) -> bool:
    # Without a file it is built in; or it was typed at a prompt, and then the user's.
    file = _file(value)
    return file.startswith(LIBRARIES) if file else module != "__main__"


def _file(value: Any) -> str:
    try:
        return inspect.getfile(value)
    except (TypeError, OSError):
        return next(iter(getattr(value, "__path__", ())), "")  # of a package without a file of its own


def _digest(value: FunctionType | type) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError):  # typed at a prompt: what was compiled of it
        text = "".join(f"{code.co_code.hex()} {code.co_names}" for code in _codes(getattr(value, "__code__", None)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _codes(code: CodeType | None) -> Iterator[CodeType]:
    if code is not None:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _codes(constant)
