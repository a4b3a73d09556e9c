"""Rows of packed examples, and an oracle in numpy of what they give, by loops and in float64."""

from collections.abc import Iterator

import numpy as np

from models.config import ModelConfig
from models.objectives import Ranked, Rows
from models.recipe import Ranking
from models.transformer import Params
from tests.models.reference import logits

SEQUENCE, ANSWERS = 64, 9
"""Of a row, with room for the most that is drawn."""
_END = 0


def packed(batch: int, vocabulary: int, seed: int = 0) -> Rows:
    """Sets of one to three answers to a prompt, drawn; the fuller a row, the later it stands, and the first has none.

    As mixtures/ packs them: every example is closed by an end, and attends from the end before it. Weights are those
    of answers and their ends, times a whole number of the answer.
    """
    random = np.random.default_rng(seed)
    tokens_BxS1 = np.full((batch, SEQUENCE + 1), _END, np.int32)
    segments_BxS, answer_BxS = np.zeros((2, batch, SEQUENCE), np.int32)
    set_BxE, score_BxE = np.zeros((2, batch, ANSWERS), np.int32)
    weights_BxS = np.zeros((batch, SEQUENCE), np.float32)
    for row in range(batch):
        at, number = 0, 0
        for its_set in range(1, 4 * row // batch + 1):
            prompt = random.integers(1, vocabulary, random.integers(1, 3))
            for _ in range(random.integers(1, 4)):
                said = random.integers(1, vocabulary, random.integers(1, 5))
                answer, start = at + 1 + len(prompt), at
                at = answer + len(said)
                tokens_BxS1[row, start + 1 : at] = *prompt, *said
                number += 1
                segments_BxS[row, start:] = number
                answer_BxS[row, answer - 1 : at] = number
                weights_BxS[row, answer - 1 : at] = random.integers(1, 5)
                set_BxE[row, number - 1], score_BxE[row, number - 1] = its_set, random.integers(0, 4)
        segments_BxS[row, at:] = number + 1
    return Rows(tokens_BxS1, segments_BxS, weights_BxS, Ranked(answer_BxS, set_BxE, score_BxE))


def nats(config: ModelConfig, params: Params, rows: Rows) -> np.ndarray:
    """Of every target, [B, S]: each document goes through the model alone."""
    out = np.zeros(rows.segments_BxS.shape)
    for row, segments_S in enumerate(np.asarray(rows.segments_BxS)):
        for segment in np.unique(segments_S):
            (at,) = np.nonzero(segments_S == segment)
            logits_TxV = logits(config, params, rows.tokens_BxS1[row, at])
            normaliser_T = np.log(np.exp(logits_TxV).sum(1))
            out[row, at] = normaliser_T - logits_TxV[range(len(at)), rows.tokens_BxS1[row, at + 1]]
    return out


def _sets(ranked: Ranked) -> Iterator[tuple[int, list[int]]]:
    """Row, and numbers of the answers in it, of every set."""
    for row, set_E in enumerate(ranked.set_BxE):
        for its_set in sorted({*set_E.tolist()} - {0}):
            yield row, [number for number, of in enumerate(set_E, start=1) if of == its_set]


def ranked_loss(objective: Ranking, nats_BxS: np.ndarray, ranked: Ranked) -> float:
    """By the formulas of arXiv:2307.14936, section 3, for any number of answers; mean over sets."""
    values = []
    for row, answers in _sets(ranked):
        its = {n: -nats_BxS[row, ranked.answer_BxS[row] == n] for n in answers}
        score = {n: int(ranked.score_BxE[row, n - 1]) for n in answers}
        rank = -sum(
            (score[tea] - score[stu]) * min(0.0, its[tea].mean() - its[stu].mean())
            for tea in answers
            for stu in answers
            if score[tea] > score[stu]
        )
        best = its[max(answers, key=lambda n: score[n])]  # max takes the first of several
        tuned = -(best.sum() if objective.reduction == "sum" else best.mean())
        values.append(objective.rank * rank + objective.tuning * tuned)
    return float(np.mean(values))
