"""Scoring checkpoints: token likelihoods in a few compiled shapes, and greedy answers.

Every context begins with `<eod>`. A text longer than the model's window is scored in consecutive windows, as it
would be trained on; a context too long for its continuation loses its oldest tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

from analysis.evals.questions import Question, exact_match
from mixtures.tokenizer import eod_id
from models import decode
from models.config import ModelConfig
from models.transformer import Params

LENGTHS = (32, 64, 96, 128, 192, 256)
"""Lengths that rows are padded to, and their doubles: the number of compiled shapes is bounded."""
BATCH_TOKENS = 4096
FEW = 4
"""A batch in which no more than a quarter of the tokens is scored sends only so many through the output head."""
NEW_TOKENS = 10
"""Generated per question: longer than nearly all accepted answers."""

T = TypeVar("T")


@dataclass(frozen=True)
class Span:
    """One row to score: S+1 tokens, and the targets [first, first + count) that belong to a candidate."""

    candidate: int
    ids: tuple[int, ...]
    first: int
    count: int


@dataclass(frozen=True)
class Encoded:
    """Questions ready to score on any checkpoint of one tokenizer.

    Attributes:
        questions: what was asked.
        spans: rows of all candidates of all questions, candidates numbered through.
        prompts: token ids of the questions that are answered by generation.
    """

    questions: tuple[Question, ...]
    spans: tuple[Span, ...]
    prompts: tuple[tuple[int, ...], ...]

    @property
    def tokens(self) -> int:
        """Tokens that go through the model, generation included."""
        return sum(len(span.ids) for span in self.spans) + NEW_TOKENS * sum(len(prompt) for prompt in self.prompts)


def encode(tokenizer: Tokenizer, questions: Sequence[Question], sequence: int) -> Encoded:
    """Tokenise questions for a model with windows of `sequence` tokens."""
    spans: list[Span] = []
    number = 0
    for question in questions:
        for context, continuation in question.candidates:
            spans.extend(_spans(tokenizer, context, continuation, sequence, number))
            number += 1
    prompts = tuple(
        (eod_id(tokenizer), *_ids(tokenizer, question.candidates[0][0]))[-(sequence - NEW_TOKENS) :]
        for question in questions
        if question.answers
    )
    return Encoded(tuple(questions), tuple(spans), prompts)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def _spans(tokenizer: Tokenizer, context: str, continuation: str, sequence: int, candidate: int) -> list[Span]:
    """Context and continuation are encoded as one text and cut where the context ends, as the harness does."""
    whole = (eod_id(tokenizer), *_ids(tokenizer, context + continuation))
    start = len(whole) - max(1, len(whole) - 1 - len(_ids(tokenizer, context)))
    if len(whole) - start <= sequence:  # the continuation fits, so only context is cut
        cut = max(0, len(whole) - (sequence + 1))
        return [Span(candidate, whole[cut:], start - cut - 1, len(whole) - start)]
    rows = []
    for left in range(0, len(whole) - 1, sequence):
        ids = whole[left : left + sequence + 1]
        first = max(0, start - left - 1)
        if first < len(ids) - 1:
            rows.append(Span(candidate, ids, first, len(ids) - 1 - first))
    return rows


def score(
    config: ModelConfig, params: Params, tasks: Sequence[Encoded], tokenizer: Tokenizer
) -> list[list[dict[str, Any]]]:
    """Per task and item: "nats" and "bytes" of the gold continuation, and "correct" where there is a right answer.

    All tasks go through together, so that batches are full; no score depends on what else is in its batch.
    """
    rows = [(task, span) for task, encoded in enumerate(tasks) for span in encoded.spans]
    nats = _nats(config, params, rows)
    said = _generate(config, params, [prompt for encoded in tasks for prompt in encoded.prompts], tokenizer)
    answers = iter(said)
    return [_items(encoded, nats, task, answers) for task, encoded in enumerate(tasks)]


def _items(
    encoded: Encoded, nats: Mapping[tuple[int, int], float], task: int, answers: Iterator[str]
) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    number = 0
    for question in encoded.questions:
        values = [nats[task, number + i] for i in range(len(question.candidates))]
        number += len(values)
        gold_bytes = len(question.candidates[question.gold][1].encode())
        item: dict[str, Any] = {"id": question.id, "nats": values[question.gold], "bytes": gold_bytes}
        if len(values) > 1:
            item["correct"] = int(int(np.argmin(values)) == question.gold)
        if question.answers:
            said = next(answers)
            item |= {"correct": int(exact_match(said, question.answers)), "said": said}
        items.append(item)
    return items


def _nats(config: ModelConfig, params: Params, rows: Sequence[tuple[int, Span]]) -> dict[tuple[int, int], float]:
    """Negative log-likelihood of every candidate, by (task, candidate)."""
    totals: dict[tuple[int, int], float] = {}
    scorer = decode.score(config, params)
    for length, batch in _batches(rows, [len(span.ids) - 1 for _, span in rows]):
        tokens_BxS = np.zeros((_rows(length), length + 1), np.int32)  # padding follows what is scored
        places: list[int] = []
        for row, (_, span) in enumerate(batch):
            tokens_BxS[row, : len(span.ids)] = span.ids
            places.extend(range(row * length + span.first, row * length + span.first + span.count))
        most = _rows(length) * length
        places_N = np.zeros(most // FEW if len(places) <= most // FEW else most, np.int32)
        places_N[: len(places)] = places
        nats_N = np.asarray(scorer(jnp.asarray(tokens_BxS), jnp.asarray(places_N)), np.float64)
        at = 0
        for task, span in batch:
            part = float(nats_N[at : at + span.count].sum())
            totals[task, span.candidate] = totals.get((task, span.candidate), 0.0) + part
            at += span.count
    return totals


def _generate(
    config: ModelConfig, params: Params, prompts: Sequence[tuple[int, ...]], tokenizer: Tokenizer
) -> list[str]:
    """The greedy continuation of every prompt, up to a blank line."""
    said = [""] * len(prompts)
    for length, batch in _batches(range(len(prompts)), [len(prompt) + NEW_TOKENS for prompt in prompts]):
        prompts_BxP = np.zeros((_rows(length), length - NEW_TOKENS), np.int32)
        lengths_B = np.ones(len(prompts_BxP), np.int32)
        for row, i in enumerate(batch):
            lengths_B[row] = len(prompts[i])
            prompts_BxP[row, : lengths_B[row]] = prompts[i]
        new_BxN = np.asarray(
            decode.greedy(config, params, jnp.asarray(prompts_BxP), jnp.asarray(lengths_B), NEW_TOKENS)
        )
        for i, ids in zip(batch, new_BxN, strict=False):
            said[i] = tokenizer.decode(_until(eod_id(tokenizer), ids.tolist())).split("\n\n")[0].strip()[:200]
    return said


def _rows(length: int) -> int:
    return max(1, BATCH_TOKENS // length)


def _batches(rows: Sequence[T], sizes: Sequence[int]) -> Iterator[tuple[int, list[T]]]:
    """(padded length, rows) in batches of as many rows as `_rows` says, the last of a length not full."""
    lengths = list(LENGTHS)
    while sizes and lengths[-1] < max(sizes):
        lengths.append(2 * lengths[-1])
    order = sorted(range(len(rows)), key=lambda i: sizes[i])
    at = 0
    for length in lengths:
        bucket = [rows[i] for i in order[at:] if sizes[i] <= length]
        at += len(bucket)
        for start in range(0, len(bucket), _rows(length)):
            yield length, bucket[start : start + _rows(length)]


def _until(end: int, ids: list[int]) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids
