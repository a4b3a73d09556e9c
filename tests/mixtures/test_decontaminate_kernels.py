"""The compiled loops against plain Python that says what they should do."""

import re
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.benchmarks.item import Item
from mixtures.decontaminate import kernels, lookup
from mixtures.decontaminate.index import SEED_WORDS, build
from mixtures.decontaminate.normalise import join, words_of
from mixtures.decontaminate.scan import Rule, scan
from mixtures.documents.document import Document

TEXTS = st.text(st.sampled_from("aB1_ .é—中\0\U0001d7d8\ud800\u0301"), max_size=40)
WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=24)


def test_words_of_is_words_by_definition() -> None:
    text = "Has_close_Elements(naïve, x1)… ÉTÉ—été"
    assert words_of(text) == ["has", "close", "elements", "naïve", "x1", "ÉtÉ", "été"]


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_words_are_told_apart_as_in_python(texts: list[str]) -> None:
    buffer = join(texts)
    hash_W, end_W = kernels.hash_words(buffer.text, *kernels.letter_tables())
    expected = [word for text in texts for word in words_of(text)]
    ends = [
        int(start) + len(text[: m.end()].encode("utf-8", "surrogatepass"))
        for start, text in zip(buffer.first_D, texts, strict=False)
        for m in re.finditer(r"\w+", "".join(c if c.isalnum() else " " for c in text))
    ]
    assert end_W.tolist() == ends
    assert (hash_W[:, None] == hash_W[None, :]).tolist() == [[a == b for a in expected] for b in expected]


@settings(deadline=None)
@given(TEXTS)
def test_letters_are_those_of_python_each_with_its_place(text: str) -> None:
    letter_W, place_W = kernels.letters(join([text]).text, *kernels.letter_tables())
    expected = [
        (ord(character), len(text[:at].encode("utf-8", "surrogatepass")))
        for at, character in enumerate(text)
        if character.isalnum()
    ]
    assert list(zip(letter_W.tolist(), place_W.tolist(), strict=True)) == expected


def best_blocks(a: Sequence[int], b: Sequence[int]) -> int:
    """The definition: the best sum over choices of collinear equal blocks of at least three."""
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            best[i][j] = max(best[i - 1][j], best[i][j - 1])
            for size in range(3, min(i, j) + 1):
                if a[i - size : i] == b[j - size : j]:
                    best[i][j] = max(best[i][j], best[i - size][j - size] + size)
    return best[-1][-1]


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), max_size=30))
def test_alignment_is_the_best_choice_of_blocks(a: list[int], b: list[int]) -> None:
    assert kernels._blocks(np.array(a, np.uint32), np.array(b, np.uint32)) == best_blocks(a, b)


def naive_align(components: list[list[str]], document: list[str], report: float) -> dict[int, int]:
    """The rule `align` in words: most matching words of each component over all seeds, of those that are enough."""
    seeds: dict[tuple[str, ...], set[tuple[int, int]]] = {}
    for c, text in enumerate(components):
        for i in range(len(text) - SEED_WORDS + 1):
            if len(set(text[i : i + SEED_WORDS])) >= 4:
                seeds.setdefault(tuple(text[i : i + SEED_WORDS]), set()).add((c, i))
    scores: dict[int, int] = {}
    for i in range(len(document) - SEED_WORDS + 1):
        for c, offset in seeds.get(tuple(document[i : i + SEED_WORDS]), set()):
            size, begin = len(components[c]), i - offset
            window = document[max(0, begin - size // 2) : begin + size + size // 2]
            score = best_blocks([ord(w) for w in components[c]], [ord(w) for w in window])
            need = max(-(-size * report // 1), min(-(-size * 4 // 5), 12) if size >= 8 else size)
            if score >= need:
                scores[c] = max(scores.get(c, 0), score)
    return scores


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, min_size=1, max_size=8), st.data())
def test_align_finds_what_its_definition_finds(
    texts: list[list[str]], pieces: list[list[str]], data: st.DataObject
) -> None:
    items = [Item("b", str(n), {"question": " ".join(text)}, answers=("z",)) for n, text in enumerate(texts)]
    index = build(items)
    document = [word for piece in pieces for word in data.draw(st.sampled_from([piece, *texts]))]
    report = data.draw(st.sampled_from([0.3, 0.5, 1.0]))
    found = scan(index, Rule(report=report, drop=1.0), [Document("d", "", " ".join(document))])
    looked_for = {number: text for number, text in enumerate(texts) if len(text) >= 6}
    expected = naive_align(list(looked_for.values()), document, report)
    by_item = {
        str(number): expected[c] / len(text) for c, (number, text) in enumerate(looked_for.items()) if c in expected
    }
    assert {match.item: match.score for match in found} == by_item


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), WORDS, st.integers(1, 14), st.data())
def test_ngram_finds_what_its_definition_finds(
    texts: list[list[str]], noise: list[str], n: int, data: st.DataObject
) -> None:
    index = build([Item("b", str(number), {"question": " ".join(text)}) for number, text in enumerate(texts)])
    cut = data.draw(st.sampled_from(texts))
    document = noise + cut[data.draw(st.integers(0, 8)) :] + noise
    grams = {tuple(document[i : i + n]) for i in range(len(document) - n + 1)}
    expected = {
        str(number)
        for number, text in enumerate(texts)
        if len(text) >= 8 and grams & {tuple(text[i : i + n]) for i in range(len(text) - n + 1)}
    }
    found = scan(index, Rule("ngram", n=n), [Document("d", "", " ".join(document))])
    assert {match.item for match in found} == expected


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_fifty_characters_are_found_wherever_they_stand(data: st.DataObject) -> None:
    letter = st.sampled_from(data.draw(st.sampled_from(["ab", "abcdefghij", "aé中\U0001d7d8", "é"])))
    questions = data.draw(st.lists(st.text(letter, min_size=20, max_size=130), min_size=1, max_size=4))
    index = build([Item("b", str(n), {"question": text}, answers=("z",)) for n, text in enumerate(questions)])
    whole = data.draw(st.sampled_from(questions))
    start = data.draw(st.integers(0, max(0, len(whole) - 45)))
    cut = whole[start : start + data.draw(st.integers(20, 60))]
    document = data.draw(st.text(letter, max_size=70)) + "Q" + cut + data.draw(st.text(letter, max_size=70))
    expected = {
        str(n)
        for n, text in enumerate(questions)
        if len(text) >= 24 and any(text[i : i + 50] in document for i in range(max(1, len(text) - 49)))
    }
    spaced = "".join(character + " " * (n % 3) for n, character in enumerate(document))
    assert {match.item for match in scan(index, Rule("gpt4-exhaustive"), [Document("d", "", spaced)])} == expected


def test_a_question_is_found_wherever_it_stands() -> None:
    question = " ".join(f"w{n}x{n % 7}" for n in range(30))
    index = build([Item("b", "0", {"question": question}, answers=("z",))])
    for offset in range(0, 640, 9):
        text = " ".join(["filler"] * offset + [question] + ["filler"] * 500)
        documents = [Document("d", "", text)]
        (match,) = scan(index, Rule(), documents)
        assert match.score == 1.0
        assert "w0x0" in match.evidence
        (match,) = scan(index, Rule("gpt4"), documents)
        assert match.evidence.strip() and "x" in match.evidence


def test_no_key_is_lost_in_the_tables() -> None:
    key_P = np.random.default_rng(0).integers(0, 2**64, 5000, np.uint64) & ~np.uint64(0xFF << 40)
    key_P[1::2] = key_P[::2]  # every key twice
    grams = lookup.postings(key_P, np.arange(5000, dtype=np.int32), np.zeros(5000, np.int32))
    absent = np.random.default_rng(1).integers(0, 2**64, 1000, np.uint64)
    places, numbers = kernels.find_grams(np.concatenate([absent, key_P]), grams)
    assert places.tolist() == list(range(1000, 6000))
    for place, number in zip(places, numbers, strict=True):
        postings = grams.text[grams.posting[number] : grams.posting[number + 1]]
        assert place - 1000 in postings and len(postings) == 2
