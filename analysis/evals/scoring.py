"""What the engine found of a question, as one item of an evaluation record. Pure Python.

    id             of the item
    source         of a held-out document
    nats, bytes    negative log-likelihood of the gold continuation, and its UTF-8 bytes
    gold           the number of the right candidate, where there is more than one
    choice_nats    nats of every one of them; choice_bytes their UTF-8 bytes, and
    choice_chars   their characters without the blank that parts them from the context, by which the harness
                   normalises (lm-evaluation-harness 0.4.13, acc_norm)
    correct        1 if the likeliest candidate is the gold one, or what was said is an accepted answer, else 0
    said           the beginning of what the model said

Everything else (normalised accuracy, margins, bits per byte) is made from these in analysis/metrics.py.
"""

from collections.abc import Sequence
from typing import Any

from analysis.evals.questions import Question, exact_match

SAID = 200
"""Characters that are kept of what a model says."""


def item(question: Question, nats: Sequence[float], said: str | None) -> dict[str, Any]:
    """The record's item of a question.

    Args:
        question: what was asked.
        nats: negative log-likelihood of every candidate.
        said: what the model said, for a question with accepted answers, else None.
    """
    texts = [continuation for _, continuation in question.candidates]
    found: dict[str, Any] = {"id": question.id, "source": question.source} if question.source else {"id": question.id}
    found |= {"nats": nats[question.gold], "bytes": _bytes(texts[question.gold])}
    if len(texts) > 1:
        found |= {
            "correct": int(min(range(len(nats)), key=nats.__getitem__) == question.gold),
            "gold": question.gold,
            "choice_nats": list(nats),
            "choice_bytes": [_bytes(text) for text in texts],
            "choice_chars": [len(text.removeprefix(" ")) for text in texts],
        }
    if said is not None:
        found |= {"correct": int(exact_match(said, question.answers, question.match)), "said": said.strip()[:SAID]}
    return found


def _bytes(text: str) -> int:
    return len(text.encode())
