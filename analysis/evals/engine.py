"""Scoring checkpoints: token likelihoods in a few compiled shapes, and greedy answers.

Every context begins with `<eod>`. A text longer than the model's window is scored in consecutive windows, as it
would be trained on; a context too long for its continuation loses its oldest tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

from analysis.evals.questions import Question, exact_match
from mixtures.tokenizer import EOD_ID
from models import decode
from models.config import ModelConfig
from models.transformer import Params

LENGTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Lengths that rows are padded to, so that the number of compiled shapes is bounded."""
BATCH_TOKENS = 4096
NEW_TOKENS = 12
"""Generated per question: longer than nearly all accepted answers."""


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


def encode(tokenizer: Tokenizer, questions: Sequence[Question], sequence: int) -> Encoded:
    """Tokenise questions for a model with windows of `sequence` tokens."""
    spans: list[Span] = []
    number = 0
    for question in questions:
        for context, continuation in question.candidates:
            spans.extend(_spans(tokenizer, context, continuation, sequence, number))
            number += 1
    prompts = tuple(
        (EOD_ID, *_ids(tokenizer, question.candidates[0][0]))[-(sequence - NEW_TOKENS) :]
        for question in questions
        if question.answers
    )
    return Encoded(tuple(questions), tuple(spans), prompts)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def _spans(tokenizer: Tokenizer, context: str, continuation: str, sequence: int, candidate: int) -> list[Span]:
    """Context and continuation are encoded as one text and cut where the context ends, as the harness does."""
    whole = (EOD_ID, *_ids(tokenizer, context + continuation))
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


def score(config: ModelConfig, params: Params, encoded: Encoded, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Per-item scores: "nats" and "bytes" of the gold continuation, and "correct" where there is a right answer."""
    nats = _candidate_nats(config, params, encoded.spans)
    answers = iter(_generate(config, params, encoded.prompts, tokenizer))
    items: list[dict[str, Any]] = []
    number = 0
    for question in encoded.questions:
        values = [nats[number + i] for i in range(len(question.candidates))]
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


def _candidate_nats(config: ModelConfig, params: Params, spans: Sequence[Span]) -> Mapping[int, float]:
    totals: dict[int, float] = {}
    scorer = decode.score(config, params)
    for length in LENGTHS:
        shorter = LENGTHS[LENGTHS.index(length) - 1] if length != LENGTHS[0] else 0
        bucket = [span for span in spans if shorter < len(span.ids) - 1 <= length]
        size = max(1, BATCH_TOKENS // length)
        for at in range(0, len(bucket), size):
            rows = bucket[at : at + size]
            tokens_BxS = np.full((size, length + 1), EOD_ID, np.int32)
            for row, span in enumerate(rows):
                tokens_BxS[row, : len(span.ids)] = span.ids
            nats_BxS = np.asarray(scorer(jnp.asarray(tokens_BxS)).nats_BxS, np.float64)
            for row, span in enumerate(rows):
                part = float(nats_BxS[row, span.first : span.first + span.count].sum())
                totals[span.candidate] = totals.get(span.candidate, 0.0) + part
    return totals


def _generate(
    config: ModelConfig, params: Params, prompts: Sequence[tuple[int, ...]], tokenizer: Tokenizer
) -> list[str]:
    said = [""] * len(prompts)
    for length in LENGTHS:
        shorter = LENGTHS[LENGTHS.index(length) - 1] if length != LENGTHS[0] else 0
        bucket = [i for i, prompt in enumerate(prompts) if shorter < len(prompt) + NEW_TOKENS <= length]
        size = max(1, BATCH_TOKENS // length)
        for at in range(0, len(bucket), size):
            rows = bucket[at : at + size]
            prompts_BxP = np.full((size, length - NEW_TOKENS), EOD_ID, np.int32)
            lengths_B = np.ones(size, np.int32)
            for row, i in enumerate(rows):
                lengths_B[row] = len(prompts[i])
                prompts_BxP[row, : lengths_B[row]] = prompts[i]
            new_BxN = np.asarray(
                decode.greedy(config, params, jnp.asarray(prompts_BxP), jnp.asarray(lengths_B), NEW_TOKENS)
            )
            for i, ids in zip(rows, new_BxN, strict=False):
                said[i] = tokenizer.decode(_until_eod(ids.tolist())).split("\n\n")[0].strip()[:200]
    return said


def _until_eod(ids: list[int]) -> list[int]:
    return ids[: ids.index(EOD_ID)] if EOD_ID in ids else ids
