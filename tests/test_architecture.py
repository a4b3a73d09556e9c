"""docs/architecture.md is what a new maintainer reads first: what it names is there, and no room is missing on it."""

import importlib
import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = ("store", "mixtures", "models", "analysis", "experiments")
NAMES = sorted(set(re.findall(rf"`((?:{'|'.join(ROOMS)})(?:\.\w+)+)`", PAGE)))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_page_names_is_there(name: str) -> None:
    module, _, rest = name, "", []
    while True:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    for part in rest:
        found = getattr(found, part)


def test_every_room_is_on_the_page_and_every_room_on_the_page_is_there() -> None:
    rooms = {str(path.parent.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")}
    assert {path.rstrip("/") for path in re.findall(r"^\| `([\w/]+/)` \|", PAGE, re.MULTILINE)} == rooms - HIDDEN


HIDDEN = {"analysis/evals/code/hostile", "mixtures/synthetic/grammar"}
"""Doors within a room."""


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_has_two_files_of_one_name(room: str) -> None:
    names = [path.name for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))
