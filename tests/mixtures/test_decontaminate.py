"""Decontamination: what every rule finds and leaves alone, on items made here."""

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mixtures.benchmarks.item import Item
from mixtures.benchmarks.load import load as load_benchmark
from mixtures.decontaminate.components import components
from mixtures.decontaminate.index import Index, build, load
from mixtures.decontaminate.scan import RULES, Match, Rule, best, scan
from mixtures.decontaminate.selftest import CLEAN, selftest
from mixtures.documents.document import Document
from store.errors import Failure, UserError

PROMPT = '''def rolling_peak(values: list[int], span: int) -> list[int]:
    """Given the daily readings of a gauge, return for every day the highest reading of the last few days,
    counting that day itself; days before the first reading do not exist and so are left out of account.

    >>> rolling_peak([3, 1, 2], 2)
    [3, 3, 2]
    """
'''
SOLUTION = """    peaks = []
    for day in range(len(values)):
        window = values[max(0, day - span + 1) : day + 1]
        highest = window[0]
        for reading in window[1:]:
            highest = max(highest, reading)
        peaks.append(highest)
    return peaks
"""
CODE = Item(
    "code",
    "peak",
    {
        "prompt": PROMPT,
        "docstring": PROMPT.split('"""')[1],
        "solution": SOLUTION,
        "tests": "def check(f):\n    assert f([3, 1, 2], 2) == [3, 3, 2]\n",
        "entry_point": "rolling_peak",
    },
)
QUESTION = "Which of these kitchen tools would a careful baker choose to sift lumps out of old flour before kneading?"
CHOICE = Item("choice", "sieve", {"question": QUESTION}, ("a fine sieve", "a ladle", "a rolling pin"), 0)
SHORT = Item(
    "choice", "kettle", {"question": "What boils?"}, ("the kettle upon grandmother's old iron stove", "ice"), 0
)
OPEN = Item(
    "open", "lake", {"question": "which explorer mapped the northern shore of lake vanda"}, answers=("Ana Bek",)
)
TINY = Item("open", "tiny", {"question": "who won"}, answers=("we",))
ITEMS = (CODE, CHOICE, SHORT, OPEN, TINY)
FILLER = "\n".join(
    f"Line {n} tells of harvest {n * n % 97}, of rain and of the miller's {n % 7} geese." for n in range(120)
)


@pytest.fixture(scope="module")
def index() -> Index:
    return build(ITEMS)


def found(index: Index, text: str, rule: str = "align") -> list[Match]:
    return scan(index, Rule(rule), [Document("d", "", f"{FILLER}\n{text}\n{FILLER}")])


def only(matches: list[Match]) -> Match:
    (match,) = matches
    return match


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("item", [CODE, CHOICE], ids=lambda item: item.id)
def test_a_verbatim_item_is_dropped_and_clean_text_is_not(index: Index, rule: str, item: Item) -> None:
    text = "\n".join([*item.fields.values(), *item.choices, *item.answers])
    match = only(found(index, text, rule))
    assert (match.benchmark, match.item, match.score, match.drop) == (item.benchmark, item.id, 1.0, True)
    assert len(match.evidence) <= 200
    assert any(word in match.evidence for word in text.split())
    assert found(index, "", rule) == []


def test_each_rule_breaks_where_its_definition_says(index: Index) -> None:
    tokens = QUESTION.split()
    every_eighth = " ".join("xyzzy" if n % 8 == 4 else word for n, word in enumerate(tokens))
    assert [bool(found(index, every_eighth, rule)) for rule in RULES] == [True, False, False, False]
    letters = "".join(filter(str.isalnum, QUESTION))
    for size, hit in ((50, True), (49, False)):
        assert bool(found(index, f"!{letters[7 : 7 + size]}!", "gpt4-exhaustive")) is hit
    for size, hit in ((13, True), (12, False)):
        assert bool(found(index, " ".join(tokens[2 : 2 + size]), "ngram")) is hit


def test_gpt4_looks_at_three_places_only_and_at_the_same_ones_every_time(index: Index) -> None:
    letters = "".join(filter(str.isalnum, PROMPT))
    places = [n for n in range(len(letters) - 49) if found(index, f"!{letters[n : n + 50]}!", "gpt4")]
    assert 1 <= len(places) <= 3
    assert all(found(build(ITEMS[::-1]), f"!{letters[n : n + 50]}!", "gpt4") for n in places)


def test_the_best_component_is_named(index: Index) -> None:
    assert only(found(index, SOLUTION)).component == "solution"
    prose = "# " + PROMPT.split('"""')[1].split("\n\n")[0].replace("\n", "\n# ")
    match = only(found(index, prose))
    assert (match.component, match.score, match.drop) == ("prose", 1.0, True)
    assert only(found(index, f"{QUESTION} a fine sieve")).score == 1.0
    assert (
        only(found(index, "What boils? The kettle upon grandmother's old iron stove.")).component == "question+answer"
    )


def test_a_short_question_alone_is_reported_and_drops_with_its_answer(index: Index) -> None:
    question = OPEN.fields["question"]
    alone = only(found(index, question))
    assert (alone.component, alone.drop) == ("question", False)
    answered = only(found(index, f"Q: {question}? I believe it was ana  BEK, in fact."))
    assert (answered.component, answered.drop) == ("question+answer", True)
    assert found(index, " ".join(question.split()[:5])) == []
    far = f"{question}\n{FILLER[:2000]}\nana bek"
    assert only(found(index, far)).drop
    assert not only(found(index, far.replace("vanda", "superior"))).drop
    assert not only(found(index, f"{question}\n{FILLER[:4500]}\nana bek")).drop


@pytest.mark.parametrize("asked", [OPEN, CHOICE, SHORT], ids=lambda item: item.id)
@pytest.mark.parametrize("title", ["", "bent "])
def test_every_place_of_a_question_is_looked_at(asked: Item, title: str) -> None:
    question = "which explorer mapped the northern shore of lake vanda"
    item = replace(asked, fields={"question": question})
    contents = f"1. Maps\n2. {title}{question} ... 7\n{FILLER}\n{FILLER[:4000]}\n"
    answer = item.answers[0] if item.answers else item.choices[0]
    body = f"{question}?\n{answer}\n"
    for before, after in ((contents, body), (contents * 3, body), (contents, body + contents), (body, contents)):
        match = only(scan(build([item]), Rule(), [Document("d", "", before + after)]))
        assert (match.component, match.drop) == ("question+answer", True)
    assert not only(scan(build([item]), Rule(), [Document("d", "", contents + contents)])).drop


def test_a_hundred_thousand_questions_are_looked_at_in_time_and_room(index: Index) -> None:
    asked = OPEN.fields["question"] + "? "
    assert only(found(index, asked * 20_000 + FILLER)).drop is False
    assert only(found(index, asked * 1_000 + "Ana Bek")).drop is True


def test_an_answer_that_says_nothing_is_none() -> None:
    for choices in (("yes", "no"), ("the northern shore", "Ana Bek"), ("?", "!")):
        item = replace(CHOICE, fields=OPEN.fields, choices=choices)
        assert all(entry.answers == () for entry in build([item]).components)


def test_a_label_or_a_choice_alone_is_nobodys_leak(index: Index) -> None:
    assert found(index, "a fine sieve a ladle a rolling pin who won rolling_peak") == []
    labelled = Item("hellaswag", "0", {"activity_label": "Roof work", "ctx_a": "A man sits."}, ("He jumps.",), 0)
    assert all("Roof" not in component.text for component in components(labelled))


def test_a_task_with_a_passage_drops_by_its_question_only_where_answers_say_nothing() -> None:
    stem = {"passage": "A long support text.", "question": "which gas do most green plants take in by day"}
    science = components(Item("sciq", "0", stem, ("oxygen", "carbon dioxide"), 1))
    assert [(c.name, c.alone, c.answers) for c in science] == [
        ("passage", 0, ()), ("question", 12, ("carbon dioxide",)),
        ("question+answer", 0, ()), ("question+choices", 0, ()),
    ]  # fmt: skip
    truth = components(Item("boolq", "0", stem, ("no", "yes"), 1))
    assert [(c.name, c.alone) for c in truth] == [("passage", 0), ("question", 0)]


def test_a_code_row_without_a_prompt_is_looked_for_by_its_parts() -> None:
    short = "Write a function to find the peak of a span."
    for text, alone in ((short, 10), (short + " Days before the first reading are left out.", 0)):
        row = Item("mbpp", "1", {"text": text, "tests": "assert f(1) == 2", "setup": "import os", "solution": SOLUTION})
        assert [(c.name, c.alone) for c in components(row)] == [("text", alone), ("solution", 0), ("tests", 0)]
    index = build([row])
    assert only(found(index, SOLUTION)).component == "solution"
    assert found(index, "import os") == []


@pytest.mark.parametrize("tests", ["assert set(reach_top(1)) == {2}", "assert 2 == max(reach_top('find_peak (3)'))"])
def test_a_short_task_drops_whole_or_with_the_function_its_tests_call(tests: str) -> None:
    task = "Write a function to find the peak of the given span."
    index = build([Item("mbpp", "1", {"text": task, "tests": tests, "setup": "", "solution": "pass"})])
    nearly = task.replace("given ", "")
    assert only(found(index, task)).drop
    assert only(found(index, f"# {nearly}\ndef reach_top (day): return day")).component == "text+answer"
    for other in ("def reach_tops(day)", "def my_reach_top(day)", "find_peak(3)", "max(1)", "reach top"):
        assert not only(found(index, f"# {nearly}\n{other}")).drop


def test_common_phrases_do_not_seed() -> None:
    phrase = "the quick brown fox jumps over the lazy dog and then it"
    items = [Item("b", str(n), {"question": f"{phrase} {n} sees the farmer {n}"}) for n in range(9)]
    text = f"{phrase} sleeps."
    assert scan(build(items), Rule(), [Document("d", "", text)]) == []
    assert scan(build(items[:8]), Rule(), [Document("d", "", text)]) != []
    digits = Item("b", "digits", {"question": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18"})
    assert scan(build([digits]), Rule(), [Document("d", "", digits.fields["question"])]) == []


def test_letters_beyond_ascii_are_letters() -> None:
    question = "Почему зимой на старой мельнице никогда не бывает слышно звонких детских голосов и смеха"
    index = build([Item("b", "ru", {"question": question}, ("да", "нет"), 0)])
    for rule in RULES:
        assert only(found(index, question.replace(" ", " — "), rule)).drop
    assert found(index, question.replace("м", "n")) == []


@pytest.mark.parametrize("rule", RULES)
def test_odd_documents_are_read_and_the_batch_goes_on(index: Index, rule: str) -> None:
    text = f"\0{QUESTION}\0\ud800"
    odd = ["", "\0\0", "\ud800\udc00\ud9ff", " ", "x" * 2_000_000, "a b " * 500_000, "1 " * 300_000, "ÿ", "\U000e0100"]
    long = [FILLER * 150 + text + FILLER * 150, text, ""]
    matches = scan(index, Rule(rule), [Document(str(n), "", text) for n, text in enumerate(odd + long)])
    assert [match.document for match in matches] == ["9", "10"]
    assert scan(index, Rule(rule), []) == []


def test_an_index_without_items_or_words_finds_nothing() -> None:
    for items in ([], [TINY], [Item("b", "0", {"question": "?"}, ("!", "."), 0)]):
        assert all(found(build(items), QUESTION, rule) == [] for rule in RULES)


def test_the_split_into_batches_does_not_matter(index: Index) -> None:
    texts = [PROMPT, QUESTION, f"{SOLUTION}\n{QUESTION}", FILLER, QUESTION[:60]]
    documents = [Document(str(n), "", text) for n, text in enumerate(texts)]
    for rule in map(Rule, RULES):
        whole = scan(index, rule, documents)
        assert [match for document in documents for match in scan(index, rule, [document])] == whole


def test_merging_is_associative_and_prefers_drop_then_score_then_document() -> None:
    chance = random.Random(0)
    matches = [
        Match(
            "b", str(chance.randrange(4)), "question", chance.choice((0.3, 0.6, 1.0)), str(n), "", chance.random() < 0.4
        )
        for n in range(60)
    ]
    whole = best(matches)
    assert [match.item for match in whole] == ["0", "1", "2", "3"]
    for match in whole:
        rivals = [rival for rival in matches if rival.item == match.item]
        assert match.drop == any(rival.drop for rival in rivals)
        assert match.score == max(rival.score for rival in rivals if rival.drop == match.drop)
    for cut in range(0, 60, 7):
        assert best([*best(matches[cut:]), *best(matches[:cut])]) == whole
    first, second = (replace(whole[0], document=name) for name in "ab")
    assert best([second, first]) == [first]


def test_a_saved_index_finds_the_same(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "index"
    index.save(path)
    again = load(path)
    for name in ("digest", "items", "components", "questions", "shapes"):
        assert getattr(again, name) == getattr(index, name)
    assert all(found(again, PROMPT, rule) == found(index, PROMPT, rule) for rule in RULES)


def test_the_digest_follows_the_items(index: Index) -> None:
    assert build(ITEMS).digest == index.digest
    assert build(ITEMS[1:]).digest != index.digest
    assert build([replace(CODE, fields={**CODE.fields, "solution": "pass"}), *ITEMS[1:]]).digest != index.digest


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not an index"])
def test_a_damaged_index_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index").write_bytes(content)
    with pytest.raises(Failure, match=r"decontamination index cannot be read .*delete it"):
        load(tmp_path / "index")


def test_impossible_rules_are_refused() -> None:
    with pytest.raises(UserError, match="known are align, gpt4, gpt4-exhaustive, ngram"):
        Rule("gpt5")
    with pytest.raises(UserError, match="report <= drop"):
        Rule(drop=0.2)
    with pytest.raises(UserError, match="n must be 1 to 1,000"):
        Rule("ngram", n=0)


def test_the_selftest_plants_and_counts(index: Index) -> None:
    documents = [Document(str(n), "", FILLER[n:]) for n in range(20)] + [Document("leak", "", QUESTION)]
    rows = selftest(index, ITEMS, documents, Rule())
    recall = {(row.benchmark, row.edit): (row.documents, row.dropped, row.reported) for row in rows}
    assert recall["code", "identifiers renamed"] == recall["code", "1 word in 8"] == (1, 1.0, 1.0)
    assert recall["open", "verbatim"] == (2, 0.5, 0.5)
    assert all(recall["code", edit] == (1, 1.0, 1.0) for edit in ("renamed solution", "highlighted HTML"))
    assert recall["open", "question only"] == (2, 0.0, 0.5)
    assert recall["open", "answer 2 kB away"] == recall["open", "table of contents"] == (2, 0.5, 0.5)
    assert recall["", CLEAN] == (21, 1 / 21, 1 / 21)
    assert selftest(index, ITEMS, documents, Rule()) == rows


def test_the_selftest_takes_tasks_that_are_no_program() -> None:
    task = {
        "prompt": "Write a function to find the peak of a span.",
        "solution": SOLUTION,
        "tests": "assert reach(1) == 2",
    }
    for fields in (
        task,
        task | {"solution": "def reach(x:"},
        task | {"prompt": "def reach(x):\n", "tests": "assert ("},
    ):
        rows = selftest(build([Item("own", "0", fields)]), [Item("own", "0", fields)], [], Rule())
        assert all(row.documents == 1 for row in rows if row.benchmark)


def test_naming_a_rule_does_not_load_the_compiler() -> None:
    code = "import sys; from mixtures.decontaminate import scan, selftest; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.network
def test_renamed_and_edited_humaneval_is_dropped_at_the_promised_rate() -> None:
    items = load_benchmark("humaneval", Path("runs/downloads"))
    rows = selftest(build(items), items, [Document("filler", "", FILLER * 2)], Rule())
    recall = {row.edit: row for row in rows}
    for edit in ("identifiers renamed", "1 character in 40", "1 word in 8"):
        assert recall[edit].documents == 164
        assert recall[edit].dropped >= 0.95
    assert recall["docstring prose only"].reported >= 0.85
    for edit, share in (("solution only", 0.75), ("highlighted HTML", 0.75), ("renamed solution", 0.8)):
        assert recall[edit].dropped >= share
    assert recall[CLEAN].reported == 0
