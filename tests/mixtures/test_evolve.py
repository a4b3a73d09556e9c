"""Evolved problems: harder by the rules that they name, right by execution, held out where a part of them is."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from mixtures.benchmarks.load import load
from mixtures.catalogue.own import evolved
from mixtures.decontaminate.index import build
from mixtures.decontaminate.scan import Rule, scan
from mixtures.synthetic import evolve
from mixtures.synthetic import one_operation as one
from mixtures.synthetic.evolve import Outcome
from store.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden" / "evolve.json"
NOWHERE = Path("unused")
DRAFTS = 150


def golden() -> dict[str, object]:
    """Of some drafts and of what becomes of them; another digest under the same version is a mistake."""
    found = evolve.evolved(0, DRAFTS)
    said = [[each.index, each.signature, each.draft.statement, each.draft.code, tests] for each, tests in found.kept]
    digest = hashlib.sha256(json.dumps([said, found.dropped]).encode()).hexdigest()
    return {"version": evolve.READER_VERSION, "digest": digest}


@pytest.fixture(scope="module")
def found() -> Outcome:
    return evolve.evolved(0, DRAFTS)


def test_problems_are_those_of_this_version() -> None:
    """Changed on purpose? Bump READER_VERSION and run python -m tests.golden.write."""
    assert golden() == json.loads(GOLDEN.read_text())


def test_every_draft_is_kept_or_dropped_for_a_reason_that_is_no_defect(found: Outcome) -> None:
    """Both implementations agree on every draft: "differs" or "error" would be the grammar's fault."""
    assert len(found.kept) + sum(found.dropped.values()) == DRAFTS
    assert found.dropped.keys() <= {"held out", "too long", "same program", "prompt alike"} | {
        *("constant", "too few mutants", "weak tests"),
    }
    assert found.dropped["held out"] > 0 and len(found.kept) > 30


def test_solutions_pass_their_tests_and_each_rule_leaves_its_mark(found: Outcome) -> None:
    made: Counter[str] = Counter()
    for each, tests in found.kept:
        space: dict[str, object] = {}
        exec(each.draft.code, space)
        exec("\n".join(tests), space)
        assert len(tests) > 9 and 1 <= len(each.evolutions) <= evolve.LEVELS
        made.update(each.evolutions)
        assert len(each.blocks) == 1 + each.evolutions.count("composed")
        cases = sum(len(block.cases) for block in each.blocks)
        assert cases == each.evolutions.count("case") + each.evolutions.count("constraint")
        assert each.draft.statement.lower().count("otherwise") == sum(bool(block.cases) for block in each.blocks)
        assert each.draft.code.count("if ") >= cases
    assert set(made) == {"constraint", "case", "composed"} and min(made.values()) > 5


def test_no_kept_problem_has_a_part_that_is_held_out(found: Outcome) -> None:
    for each, _ in found.kept:
        for block in each.blocks:
            assert all(one.split(part, each.phrasing) == "train" for part in block.combinations)
    names = ("one_operation", "one_operation_wording")
    index = build(item for name in names for item in load(name, NOWHERE))
    assert scan(index, Rule(), list(evolved("harder", drafts=DRAFTS).read("all", NOWHERE))) == []


def test_prompts_that_differ_in_constants_alone_are_few(found: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Counter(each.draft.code.partition("\n")[2] for each, _ in found.kept)
    assert max(programs.values()) == 1
    monkeypatch.setattr(evolve, "ALIKE", 1)
    monkeypatch.setattr(evolve, "WORDS_AT_MOST", 30)
    stricter = evolve.evolved(1, DRAFTS)
    assert stricter.dropped["too long"] > found.dropped["too long"]
    prompts = [re.sub(r"[0-9]+|'[a-z]'", "", each.draft.statement) for each, _ in stricter.kept]
    assert len(set(prompts)) == len(prompts)


def test_the_source_has_examples_of_a_prompt_and_its_answer(found: Outcome) -> None:
    source = evolved("harder", drafts=DRAFTS)
    documents = list(source.read("all", NOWHERE))
    assert source.examples and len(documents) == len(found.kept)
    for document, (each, _) in zip(documents, found.kept, strict=True):
        assert document.text[: document.prompt].endswith(f"{each.draft.statement}\n\nSolution:\n\n")
        assert document.text[document.prompt :] == each.draft.code
    with pytest.raises(UserError, match="source 'harder': drafts is 0; give a whole number above 0"):
        evolved("harder", drafts=0)
