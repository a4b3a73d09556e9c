"""What pages for readers name is there, and no room is missing on docs/architecture.md, which comes first."""

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


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "mixtures/README.md"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    """By their path from the root, or from the page; not what a reader is told to write."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|md|j2))`", text)) - {"experiments/studies/my_study.py"}
    places = (ROOT, (ROOT / page).parent)
    assert named and not [path for path in named if not any((place / path).exists() for place in places)]


def test_every_room_is_on_the_page_and_every_room_on_the_page_is_there() -> None:
    rooms = {str(path.parent.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")}
    assert {path.rstrip("/") for path in re.findall(r"^\| `([\w/]+/)` \|", PAGE, re.MULTILINE)} == rooms - HIDDEN


HIDDEN = {"analysis/evals/code/hostile", "mixtures/synthetic/grammar"}
"""Doors within a room."""


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_has_two_files_of_one_name(room: str) -> None:
    names = [path.name for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))
