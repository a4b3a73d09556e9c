"""Asking a model: likelihoods of continuations, which may be whole texts, and what it writes itself.

Requests in any order, results as they come, each with the number of its request; none depends on what else is asked.
Every context begins with `<eod>`. A context too long for what follows loses its oldest tokens; what is itself longer
than the window is scored in consecutive windows, the last one filled up with context.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
import numpy.typing as npt

from analysis.evals import together
from analysis.evals.model import LanguageModel
from analysis.evals.packing import Span, batches, row_length, trees
from analysis.evals.writing import Ask, too_long, write
from models import decode
from models.devices import scoring
from models.devices.parallel import platform

__all__ = ["Ask", "Likelihood", "generate", "likelihoods", "token_nats", "too_long"]

_BATCH_TOKENS = 4_096
"""That go through the model at once on CPU, where more gain nothing."""


@dataclass(frozen=True)
class Likelihood:
    """Of a continuation.

    Attributes:
        nats: negative log-likelihood.
        greedy: whether the model, asked for its most likely tokens, would say just this.
        cut: whether its context lost its beginning, because both together are longer than the window.
    """

    nats: float
    greedy: bool
    cut: bool = False


def likelihoods(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[int, Likelihood]]:
    """Of the continuation of every (context, continuation), with the number of the pair. What is equal is done once.

    Blanks at the end of a context count as part of the continuation, and both are encoded as one text, as
    lm-evaluation-harness does. An empty continuation has 0 nats; a text as a whole is one that nothing stands before.
    """
    wanted = _numbers(pairs)
    unique = list(wanted)
    spans, cut = _pair_spans(model, unique)
    for number, found in _scored(model, spans):
        for index in wanted[unique[number]]:
            yield index, replace(found, cut=cut[number])


def token_nats(
    model: LanguageModel, sequences: Sequence[tuple[Sequence[int], int]]
) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Of every (ids, start) the nats of each token from `start` (1 or more) on, with its number: no `<eod>` is put
    before them, and they are at most the window and one more."""
    spans = [Span(number, tuple(ids), start) for number, (ids, start) in enumerate(sequences)]
    for parts in _parts(model, spans):
        yield from ((owner, nats_E) for owner, nats_E, _ in parts)


def generate(model: LanguageModel, asks: Sequence[Ask]) -> Iterator[tuple[int, str]]:
    """What the model answers to every ask, with its number. What is equal is written once."""
    wanted = _numbers(asks)
    unique = list(wanted)
    for number, text in write(model, unique):
        yield from ((index, text) for index in wanted[unique[number]])


def _numbers(requests: Iterable) -> dict:
    """The requests that differ, each with the numbers of those like it."""
    numbers: dict = {}
    for number, request in enumerate(requests):
        numbers.setdefault(request, []).append(number)
    return numbers


def _pair_spans(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> tuple[list[list[Span]], list[bool]]:
    """The spans of every pair, and whether its context is too long for them."""
    heads = [context.rstrip() for context, _ in pairs]
    contexts = list(dict.fromkeys(heads))
    sizes = dict(zip(contexts, map(len, model.encoded(contexts)), strict=True))
    whole = model.encoded((context + continuation for context, continuation in pairs))
    spans: list[list[Span]] = []
    for number, (head, pair, ids) in enumerate(zip(heads, pairs, whole, strict=True)):
        # A continuation that melts into the last token of its context is scored with it.
        start = min(1 + sizes[head], len(ids)) if pair[1] else 1 + len(ids)
        spans.append(list(_windows(number, (model.eod, *ids), start, model.window)) if ids else [])
    return spans, [head != "" and len(ids) > model.window for head, ids in zip(heads, whole, strict=True)]


def _windows(owner: int, ids: tuple[int, ...], start: int, window: int) -> Iterator[Span]:
    """Spans of at most `window` + 1 tokens that score those from `start` on, each once."""
    end = len(ids)
    if end - start <= window:  # One is enough, and only context is cut.
        cut = max(0, end - window - 1)
        if start < end:
            yield Span(owner, ids[cut:], start - cut)
        return
    for first in range(start, end, window):
        last = min(first + window, end)
        left = max(0, last - window - 1)
        yield Span(owner, ids[left:last], first - left)


def _scored(model: LanguageModel, spans: Sequence[Sequence[Span]]) -> Iterator[tuple[int, Likelihood]]:
    """Of every request, given its spans, as soon as the last of them is scored."""
    left = [len(own) for own in spans]
    sums = [Likelihood(0.0, True)] * len(spans)
    yield from ((owner, sums[owner]) for owner, own in enumerate(spans) if not own)
    for parts in _parts(model, [span for own in spans for span in own]):
        for owner, nats_E, greedy_E in parts:
            sums[owner] = Likelihood(
                sums[owner].nats + float(nats_E.sum()), sums[owner].greedy and bool(greedy_E.all())
            )
            left[owner] -= 1
            if not left[owner]:
                yield owner, sums[owner]


def _parts(model: LanguageModel, spans: Sequence[Span]) -> Iterator[Iterator[tuple[int, np.ndarray, np.ndarray]]]:
    """Batch by batch, (owner, nats and greediness of its scored tokens) of every span."""
    tokens = _BATCH_TOKENS if platform(model.mesh) == "cpu" else scoring.TOKENS[model.mesh is not None]
    running: list[tuple] = []
    for batch in batches(list(trees(spans, max(model.window, row_length(1)))), tokens, decode.devices(model.mesh)):
        _, found = together.run(together.scored, model, None, batch.trees)
        running.append((batch.owners, *found))
        if len(running) > 1:  # The next one runs while this one's results are taken apart.
            yield _taken_apart(*running.pop(0))
    for last in running:
        yield _taken_apart(*last)


def _taken_apart(
    owners: Sequence[tuple[int, list[int]]], nats_E: jax.Array, greedy_E: jax.Array
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    nats, greedy = np.asarray(nats_E, np.float64), np.asarray(greedy_E)
    return ((owner, nats[edges], greedy[edges]) for owner, edges in owners)
