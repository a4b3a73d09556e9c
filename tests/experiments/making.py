"""A source that a checkpoint of the tiny study makes, of problems that anybody could solve."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from analysis.evals.code import box, selftest
from experiments.study import FromStage, Made, Reference, Study
from store.files import write_json
from tests.experiments.tiny import STUDY

SOLVED = 4
"""Of the problems, those that have a solution that passes; of the others one does not run here and one is weak."""
MADE = Made("taught", "mbpp_exec", None, FromStage(STUDY, "text-only"), (Reference(),), samples=3)


def problems() -> list[dict[str, object]]:
    rows = [
        {"task_id": n, "text": f"Add {n}.", "code": f"def add(x):\n    return x + {n}", "test_setup_code": ""}
        | {"test_list": [f"assert add(1) == {n + 1}"]}
        for n in range(SOLVED + 1)
    ]
    rows[SOLVED]["code"] = "def add(x):\n    return x"  # its own tests fail
    weak = {"task_id": 99, "text": "A box.", "code": "class Box:\n    size = 1", "test_setup_code": ""}
    return [*rows, weak | {"test_list": ["assert Box().size == 1"]}]


def making_store(finished: Path, store: Path) -> Path:
    """A store with the tiny study's end, those problems, and a sandbox that needs no self-test: that has its own."""
    for name in ("prepared", "stages", "sources"):
        shutil.copytree(finished / name, store / name)
    (store / "benchmarks").mkdir()
    (store / "benchmarks" / "mbpp.jsonl").write_text("\n".join(map(json.dumps, problems())))
    write_json(store / f"sandbox-{selftest.identity(box.find())}.json", {})
    return store


def reading(*made: Made) -> Study:
    """The tiny study, which has these sources besides."""
    sources = (*STUDY.data.sources, *(each.placeholder for each in made))
    data = replace(STUDY.data, sources=sources, packing=(STUDY.sequence,))
    return replace(STUDY, name="reads", data=data, made=made)
