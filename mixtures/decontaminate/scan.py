"""Match documents against the index by a rule. The lead-in of the package: start here."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mixtures.decontaminate.components import FAR_BYTES, NEAR_BYTES
from mixtures.decontaminate.index import Entry, Hit, Index
from mixtures.decontaminate.normalise import Buffer, join, words_of
from mixtures.decontaminate.rendered import readings
from mixtures.documents.document import Document, batches
from store.errors import UserError

RULES = ("align", "gpt4", "gpt4-exhaustive", "ngram")
LONGEST = 1_000
"""Words of an n-gram, at most."""
SCAN_BYTES = 2_000_000
"""Of text that is scanned at a time."""


@dataclass(frozen=True)
class Rule:
    """When a document is contaminated by an item.

    Attributes:
        name: `align` (rare 5-grams of words, then the share of a component that aligns; solutions also by their shape,
            shapes.py), `gpt4` (three random
            50-character substrings of the letters and digits of the question; GPT-4 Technical Report, App. C),
            `gpt4-exhaustive` (any 50 characters of it), `ngram` (any n words of a component; GPT-3 with n = 13).
        n: words of an n-gram, for `ngram`.
        drop: score from which a document is dropped. Other rules than `align` know 0 and 1 only.
        report: score from which a match is reported.
    """

    name: str = "align"
    n: int = 13
    drop: float = 0.5
    report: float = 0.3

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise UserError(f"unknown decontamination rule '{self.name}'; known are {', '.join(RULES)}")
        if not 0 < self.report <= self.drop <= 1:
            raise UserError(
                f"decontamination thresholds report {self.report} and drop {self.drop} must be 0 < report <= drop <= 1"
            )
        if not 1 <= self.n <= LONGEST:
            raise UserError(f"decontamination by n-grams of {self.n} words finds nothing; n must be 1 to {LONGEST:,}")


@dataclass(frozen=True)
class Match:
    """One item met in one document.

    Attributes:
        benchmark, item: which.
        component: the part of the item that scored highest (components.py).
        score: 0..1, the share of the component that was found; 1 for the rules that say yes or no.
        document: its id.
        evidence: at most 200 characters around the place, of the document or, where only that matched, of what it is
            read as (rendered.py).
        drop: whether this match drops the document.
    """

    benchmark: str
    item: str
    component: str
    score: float
    document: str
    evidence: str
    drop: bool


def scan(index: Index, rule: Rule, documents: Sequence[Document]) -> list[Match]:
    """All matches at or above `rule.report`, the best one per document and item, in the order of both."""
    texts = [(document.text, number) for number, document in enumerate(documents)]
    texts += [(read, number) for number, document in enumerate(documents) for read in readings(document.text)]
    buffer, owner = join(text for text, _ in texts), [number for _, number in texts]
    return _strongest(
        (
            (owner[hit.document], hit.entry.item),
            _match(index, buffer, hit, name, documents[owner[hit.document]].id, drop),
        )
        for hit, name, drop in _judged(_hits(index, rule, buffer), rule, buffer)
    )


def scanned(
    index: Index, rule: Rule, documents: Iterable[Document]
) -> Iterator[tuple[list[Document], list[Match], set[str]]]:
    """Batches of any number of documents, each with what `scan` finds in it and the ids of those to be dropped."""
    for batch in batches(documents, SCAN_BYTES):
        matches = scan(index, rule, batch)
        yield batch, matches, {match.document for match in matches if match.drop}


def _judged(hits: Iterable[Hit], rule: Rule, buffer: Buffer) -> Iterator[tuple[Hit, str, bool]]:
    """The hits that count, each with the name of what matched and whether it drops the document."""
    asked: dict[tuple[int, Entry], list[Hit]] = {}
    for hit in hits:
        if hit.score < rule.report:
            continue
        drop, alone = hit.score >= rule.drop, hit.words >= hit.entry.alone
        yield hit, hit.entry.name, drop and alone
        if drop and not alone and hit.entry.answers:
            asked.setdefault((hit.document, hit.entry), []).append(hit)
    for places in asked.values():
        if (answered := _answered(buffer, places)) is not None:
            yield answered, f"{answered.entry.name}+answer", True


def best(matches: Iterable[Match]) -> list[Match]:
    """The strongest match of every item: one that drops before one that does not, then by score, then by document id.

    Sorted by benchmark and item. Shards can be merged in any order: `best(best(a) + best(b))` is `best(a + b)`.
    """
    return _strongest(((match.benchmark, match.item), match) for match in matches)


def _strongest(matches: Iterable[tuple[tuple[Any, Any], Match]]) -> list[Match]:
    """Of the matches of every key the strongest, in the order of the keys."""
    strongest: dict[tuple[Any, Any], Match] = {}
    for key, match in matches:
        if key not in strongest or _rank(match) < _rank(strongest[key]):
            strongest[key] = match
    return [strongest[key] for key in sorted(strongest)]


def _rank(match: Match) -> tuple[bool, float, str, str, str]:
    return (not match.drop, -match.score, match.document, match.component, match.evidence)


def _hits(index: Index, rule: Rule, buffer: Buffer) -> Iterator[Hit]:
    # Here and not above: these import numba, and a plan that only names a rule should not wait for it.
    from mixtures.decontaminate import lookup, shapes

    yield from lookup.hits(index, buffer, rule.name, rule.n, rule.report)
    if rule.name == "align":
        yield from shapes.hits(index, buffer)


def _match(index: Index, buffer: Buffer, hit: Hit, component: str, document: str, drop: bool) -> Match:
    evidence = _around(buffer, hit, 200, 0)[-50:] + _around(buffer, hit, 0, 600)[:150]
    benchmark, item = index.items[hit.entry.item]
    return Match(benchmark, item, component, hit.score, document, evidence, drop)


def _answered(buffer: Buffer, hits: Sequence[Hit]) -> Hit | None:
    """The first of the places of one question in one document that an answer stands near."""
    reaches = [(hit, FAR_BYTES if hit.score == 1 else NEAR_BYTES) for hit in hits]
    reaches.sort(key=lambda pair: pair[0].place - pair[1])
    while reaches:  # places whose surroundings overlap are looked at together, or a list of questions takes forever
        first, stop, number = reaches[0][0], reaches[0][0].place + reaches[0][1], 1
        while number < len(reaches) and reaches[number][0].place - reaches[number][1] <= stop:
            stop, number = max(stop, reaches[number][0].place + reaches[number][1]), number + 1
        if _holds(first.entry, _around(buffer, first, reaches[0][1], stop - first.place)):
            return first
        reaches = reaches[number:]
    return None


def _holds(entry: Entry, text: str) -> bool:
    words = f" {' '.join(words_of(text))} "
    return any(
        re.search(rf"(?<!\w){re.escape(answer[:-1])}\s*\(", text) if answer.endswith("(") else f" {answer} " in words
        for answer in entry.answers
    )


def _around(buffer: Buffer, hit: Hit, before: int, after: int) -> str:
    start, stop = buffer.first_D[hit.document : hit.document + 2].tolist()
    around = buffer.text[max(start, hit.place - before) : min(stop - 1, hit.place + after)]
    return around.tobytes().decode(errors="ignore")
