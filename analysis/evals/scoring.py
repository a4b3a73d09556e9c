"""What the engine found of a question, as one item of an evaluation record. Pure Python.

    id             of the item
    source         of a held-out document
    cluster        what makes items depend on each other: the package or work of a held-out document
    nats, bytes    negative log-likelihood of the gold continuation, and the UTF-8 bytes of the answer in it, which has
                   not the blank that parts it from the context; no bytes where the tokenizer does not keep texts
    gold           the number of the right candidate, where there is more than one
    choice_nats    nats of every one of them; choice_bytes the UTF-8 bytes of the answers, and
    choice_chars   their characters, by which the harness normalises (lm-evaluation-harness 0.4.13, acc_norm)
    cut            1 where the context was longer than the window and lost its beginning
    alike          1 where two candidates are the same, as in two rows of SciQ and five of SocialIQA
    correct        1 if the likeliest candidate is the gold one, its share if it is one of several, or 1 if what was
                   said is an accepted answer, else 0
    said           the beginning of what the model said

Everything else (normalised accuracy, margins, bits per byte) is made from these in analysis/metrics.py.
"""

from collections.abc import Sequence
from typing import Any

from analysis.evals.questions import Question, exact_match

SAID = 200
"""Characters that are kept of what a model says."""


def item(question: Question, nats: Sequence[float], said: str | None, cut: bool = False) -> dict[str, Any]:
    """The record's item of a question.

    Args:
        question: what was asked.
        nats: negative log-likelihood of every candidate.
        said: what the model said, for a question with accepted answers, else None.
        cut: whether a context lost its beginning.
    """
    texts = [continuation.removeprefix(question.delimiter) for _, continuation in question.candidates]
    found: dict[str, Any] = {"id": question.id}
    found |= {name: text for name in ("source", "cluster") if (text := getattr(question, name))}
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
