"""Problems that a server makes harder: only what was executed is kept, every rule counts, replies are replayed."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from experiments.commands.making import evolve_problems, print_evolved
from experiments.make import answers
from experiments.make import evolve as evolving
from experiments.make.evolve import Evolving
from experiments.study import Endpoint
from store.errors import UserError
from tests.analysis.judge_server import serving
from tests.conftest import boxes
from tests.experiments.making import making_store, problems

pytestmark = pytest.mark.skipif(not boxes(), reason="no bubblewrap, or no right to its namespaces")


@pytest.fixture
def store(finished_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return making_store(finished_store, tmp_path / "store")


def blocks(*texts: str) -> str:
    return "\n".join(f"```python\n{text}\n```" for text in texts)


TESTS = "assert add(1) == {0}\nassert add(0) == {1}\nassert add(-1) == {2}\nassert add(7) == {3}"


def harder(body: dict[str, Any]) -> str:
    """Of 'Add n.' what adds 10 more; but of 1 a wrong solution, of 2 tests of nothing, of 3 prose, of 4 the same."""
    said = re.search(r"Add (\d+)", body["messages"][1]["content"])
    number = int(said[1]) if said else 3
    more = number + 10
    solution, tests = f"def add(x):\n    return x + {more}", TESTS.format(*(x + more for x in (1, 0, -1, 7)))
    if number % 10 == 1:
        solution = "def add(x):\n    return x"
    if number % 10 == 2:
        tests = "assert add(1) != 1\n" * 4
    if number % 10 == 3:
        return "I would rather not."
    if number % 10 == 4:
        more = number
    return blocks(f"Add {more}.", solution, tests)


def of(port: int) -> Evolving:
    return Evolving("harder", "mbpp_exec", None, Endpoint("judge-1", f"http://127.0.0.1:{port}/v1"), rounds=2)


def test_what_was_not_executed_is_dropped_and_every_reply_counted(store: Path) -> None:
    with serving() as server:
        server.says = harder
        document = evolve_problems(of(server.port), store)
        asked = len(server.seen)
        shutil.rmtree(store / "made")
        assert evolve_problems(of(server.port), store) == document and len(server.seen) == asked
    assert document["problems"] == {
        **{evolving.KEPT: 2, evolving.FAILS: 1, evolving.VACUOUS: 1, evolving.NO_BLOCKS: 2, evolving.KNOWN: 1}
    }
    assert asked == len(problems()) + 1 == sum(document["problems"].values())
    rows = [json.loads(line) for line in Path(document["files"]).read_text().splitlines()]
    assert [(row["id"], row["group"], row["answer"]) for row in rows] == [
        ("0/1", "0", "def add(x):\n    return x + 10"),
        ("0/2", "0", "def add(x):\n    return x + 20"),
    ]
    assert rows[1]["prompt"] == '"""\nAdd 20.\nassert add(1) == 21\n"""\n'
    console = Console(width=200, record=True)
    print_evolved(document, console)
    assert evolving.VACUOUS in (shown := console.export_text()) and 'prompt="prompt"' in shown


def test_a_server_that_evolves_nothing_is_refused(store: Path) -> None:
    with serving() as server:
        server.says = lambda body: "no"
        with pytest.raises(UserError, match=r"'judge-1' evolved none of 6 problems \(not a problem, .*: 6\)"):
            evolve_problems(of(server.port), store)
    assert not list(store.glob("made/*/*.json*"))


SOLUTION = "def add(x):\n    return x + 1"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (None, evolving.REFUSED),
        ("", evolving.NO_BLOCKS),
        (blocks("Add 1.", SOLUTION), evolving.NO_BLOCKS),
        (blocks('Add """1""".', SOLUTION, TESTS), evolving.NO_BLOCKS),
        (blocks("Add 1.", "def add(x", TESTS), evolving.NO_PYTHON),
        (blocks("Add 1.", "x = " + "(" * 3_000, TESTS), evolving.NO_PYTHON),
        (blocks("Add 1.", SOLUTION, "assert add(1) == 2"), evolving.FEW_TESTS),
        (blocks("Add 1.", SOLUTION, "assert 1\n" * 5), evolving.FEW_TESTS),
        (blocks("A box.", "class Box: pass", "assert Box()\n" * 5), evolving.WEAK),
        (blocks("Add \0.", SOLUTION, TESTS), answers.CONTROL),
        (blocks("Add 1.", SOLUTION + "  # " + "x" * answers.LONGEST, TESTS), answers.TOO_LONG),
        (blocks("Add 1.", SOLUTION, TESTS), ""),
    ],
)
def test_a_reply_is_read_or_named(reply: str | None, why: str) -> None:
    found, new = evolving._read(evolving._Evolved("0", "Add 0."), reply, 0)
    assert found == why and (new is None) == bool(why)
