"""Teachers behind a server, on loopback: what they say is kept and replayed, and the network decides nothing."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.evals.code.executed import Problem
from analysis.evals.code.judge import Check
from analysis.evals.preference import client
from experiments.make import answers, node, teachers
from experiments.make.node import make
from experiments.plan.sources import folder_of, read_record
from experiments.study import Endpoint, Made
from store.errors import Failure, UserError
from tests.analysis.judge_server import Server, serving
from tests.conftest import boxes
from tests.experiments.making import MADE, SOLVED, making_store, reading

needs_bwrap = pytest.mark.skipif(not boxes(), reason="no bubblewrap, or no right to its namespaces")


@pytest.fixture
def store(finished_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store in which the student says at once what another test has it draw: here it is not what is tested."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(node, "sampled", _student)
    return making_store(finished_store, tmp_path / "store")


def _student(order: Any, problems: Sequence[Problem], *_: object) -> answers.Said:
    return {(problem.id, 0): {"text": "def add(x):\n    return None"} for problem in problems}


def solve(body: dict[str, Any]) -> str:
    """Right to even numbers, wrong to 1, and nothing to 3; at the second draw with words around it."""
    number, seed = int(re.findall(r"Add (\d)", body["messages"][1]["content"])[0]), body["seed"]
    if number == 3:
        return ""
    wrong = number % 2 * 5
    code = f"```python\ndef add(x):\n    return x + {number + wrong}  # {seed}\n```"
    return f"Here you are:\n{code}\nIt adds." if seed else code


def taught_by(server: Server) -> Made:
    return replace(MADE, teachers=(Endpoint("judge-1", f"http://127.0.0.1:{server.port}/v1"),), samples=2)


def results(store: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(store.glob("made/*/*.json*"))]


@needs_bwrap
def test_a_server_teaches_and_is_asked_once(store: Path) -> None:
    with serving() as server:
        server.says = solve
        study = reading(made := taught_by(server))
        make(study, store)
        asked = [(body["temperature"], body["top_p"], body["seed"], body["model"]) for body in server.seen]
        assert sorted(set(asked)) == [(0.2, 0.95, 0, "judge-1"), (0.8, 0.95, 1, "judge-1")]
        assert len(asked) == 2 * SOLVED
        first = results(store)
        shutil.rmtree(store / "made")
        make(study, store)
        assert results(store) == first and len(server.seen) == 2 * SOLVED
    folder = folder_of(made, store)
    assert folder is not None
    found = read_record(folder)
    assert found is not None
    assert found["answers"]["teacher 1, judge-1"] | {"blank": 2, "passes": 4, "fails tests": 2} == {
        **{"does not compile": 0, "raises or times out": 0, "fails tests": 2, "passes": 4, "blank": 2}
    }
    assert found["problems"]["no answer of a teacher"] == 1 and found["problems"]["kept"] == 3 - _level(found)


def _level(found: dict[str, Any]) -> int:
    return int(found["problems"].get("all answers are at one level", 0))


@needs_bwrap
def test_a_server_that_is_down_leaves_nothing_behind_but_what_it_said(store: Path) -> None:
    with serving(["", "500"], always="500") as server:
        server.says = solve
        study = reading(taught_by(server))
        with pytest.raises(Failure, match=r"source 'taught': .*is down"):
            make(study, store)
        assert not list(store.glob("made/*/examples.jsonl"))
        server.always, before = "", len(server.seen)
        make(study, store)
        assert len(server.seen) - before < 2 * SOLVED and len(results(store)) == 2


@needs_bwrap
def test_a_server_is_sent_nothing_that_may_cost_more_than_is_allowed(store: Path) -> None:
    with serving() as server:
        server.says = solve
        made = taught_by(server)
        (who,) = made.teachers
        assert isinstance(who, Endpoint)
        for capped, said in (
            (replace(who, max_dollars=1.0), "a cap of 1.000 dollars needs the server's prices"),
            (replace(who, dollars_per_million=(1.0, 1_000.0), max_dollars=1.0), "may cost .* over the cap of 1.000"),
        ):
            with pytest.raises(UserError, match=said):
                make(reading(replace(made, teachers=(capped,))), store)
        assert not server.seen
        dear = replace(made, teachers=(replace(who, dollars_per_million=(1.0, 1.0), max_dollars=1.0),))
        make(reading(dear), store)
        assert len(server.seen) == 2 * SOLVED and folder_of(made, store) is not None, "what it costs decides nothing"


@needs_bwrap
def test_a_server_that_answers_nothing_is_refused_by_name(store: Path) -> None:
    with serving() as server:
        server.says = lambda body: " \n"
        with pytest.raises(UserError, match=r"'taught': teacher 1, judge-1, answers none of 4 problems \(blank\)"):
            make(reading(taught_by(server)), store)
    assert not list(store.glob("made/*/examples.jsonl"))


HEADED = Problem(
    "h", 'def f(x):\n    """One more."""\n', ("\ndef",), 'def f(x):\n    """One more."""\n', Check((), ""), ""
)


@pytest.mark.parametrize(
    ("reply", "text", "fault"),
    [
        ("```python\n    return x + 1\n```", "    return x + 1", ""),
        ("    return x + 1\ndef g(): pass", "    return x + 1", ""),
        (f"Sure.\n```\n{HEADED.head}    return x + 1\n```\nDone.", "    return x + 1", ""),
        (f"```python\n{HEADED.head}    return x + 1", "    return x + 1", ""),  # cut before its end
        ("```python\ndef f(x):\n    return x + 1\n```", "def f(x):\n    return x + 1", answers.NOT_ON),
        ("I cannot help with that.", "I cannot help with that.", answers.NOT_ON),
        ("", "", ""),
    ],
)
def test_of_a_reply_only_the_code_that_goes_on_is_an_answer(reply: str, text: str, fault: str) -> None:
    assert teachers._code(HEADED, reply) == (text, fault)


def test_what_a_server_will_not_take_is_an_answer_too(tmp_path: Path, store: Path) -> None:
    """Status 400 to one of the requests: the others count, and it is not asked again."""
    problems = [replace(HEADED, id=str(number), prompt=f"Add {number}") for number in range(3)]
    drawing = node.Drawing(1, (0.2,), 0.9)
    with serving() as server:
        server.says = solve
        refusal = client._attempt

        def attempt(its: Any, endpoint: Any, request: Any) -> Any:
            if "Add 1" in request.text:
                return client.Gap("status 400: too long", refused=True)
            return refusal(its, endpoint, request)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "_attempt", attempt)
            given = (taught_by(server).teachers[0], problems, drawing, store, tmp_path / "made", 1, {"made": "x"})
            said = teachers.replied(*given, lambda done: None)
        again = teachers.replied(*given, lambda done: None)
    assert {key: row["fault"] for key, row in said.items()} == {
        ("0", 0): answers.NOT_ON,
        ("1", 0): answers.REFUSED,
        ("2", 0): answers.NOT_ON,
    }
    assert again == said and len(server.seen) == 2
