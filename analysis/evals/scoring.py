"""What the engine found of a question, as one item of an evaluation record. Pure Python.

Everything else (normalised accuracy, margins, bits per byte) is made from these in analysis/scores.py.
"""

from collections.abc import Sequence

from analysis.evals.questions import Question, exact_match
from analysis.records import Item

SAID = 200
"""Characters that are kept of what a model says."""


def item(question: Question, nats: Sequence[float], said: str | None, cut: bool = False) -> Item:
    """The record's item of a question.

    Args:
        question: what was asked.
        nats: negative log-likelihood of every candidate.
        said: what the model said, for a question with accepted answers, else None.
        cut: whether a context lost its beginning.
    """
    texts = [continuation.removeprefix(question.delimiter) for _, continuation in question.candidates]
    found: Item = {"id": question.id}
    if question.source:
        found["source"] = question.source
    if question.cluster:
        found["cluster"] = question.cluster
    found |= {"nats": nats[question.gold], "bytes": _bytes(texts[question.gold])}
    if cut:
        found["cut"] = 1
    if len(texts) > 1:
        found |= {
            "correct": credit(nats, question.gold),
            "gold": question.gold,
            "choice_nats": list(nats),
            "choice_bytes": [_bytes(text) for text in texts],
            "choice_chars": [len(text) for text in texts],
        }
        if len(set(question.candidates)) < len(texts):
            found["alike"] = 1
    if said is not None:
        found |= {"correct": int(exact_match(said, question.answers, question.match)), "said": said.strip()[:SAID]}
    return found


def credit(costs: Sequence[float], gold: int) -> float:
    """1 if the gold choice alone costs least, 0 if another costs less, 1/k if k cost the same: what guessing gets."""
    least = min(costs)
    return 1 / costs.count(least) if costs[gold] == least else 0


def _bytes(text: str) -> int:
    return len(text.encode())
