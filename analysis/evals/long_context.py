"""Asking a model what analysis/evals/lengths.py has: it reads windows of the task's length, whatever its own is."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from analysis.evals.engine import Ask, generate, likelihoods, token_nats
from analysis.evals.lengths import QUESTION, Key, LongTask, Passage, filler, place, places, sentence
from analysis.evals.model import LanguageModel
from analysis.evals.questions import Question
from analysis.evals.scoring import SAID, item
from analysis.records import Item
from mixtures.tokens.tokenizer import canonical, loss

_ANSWER = 16
"""Tokens that an answer may take."""


def score(model: LanguageModel, task: LongTask) -> list[Item]:
    """The record's items: the passages' places, or the keys."""
    long = replace(model, window=task.tokens)
    return _read(long, task.passages) if task.passages else _found(long, task.keys)


def _read(model: LanguageModel, passages: Sequence[Passage]) -> list[Item]:
    """Of every passage and place the nats of its tokens, but for `<eod>`, and their bytes. A passage that turns out too
    short to fill the window has no items for the places that it does not reach."""
    windows = [_window(model, passage) for passage in passages]
    keeps = not loss(model.tokenizer, form=canonical)
    items: list[Item] = []
    for number, nats_T in sorted(token_nats(model, [(ids, 1) for ids, _ in windows])):
        passage, (_, sizes) = passages[number], windows[number]
        for ends in places(model.window):
            here = [at for at in range(ends[0], min(ends[1], len(nats_T))) if sizes[at + 1] is not None]
            if not here:
                continue
            found: Item = {"id": f"{passage.id} {place(ends)}", "source": place(ends), "cluster": passage.cluster}
            found["nats"] = float(sum(nats_T[at] for at in here))
            items.append(found | {"bytes": sum(sizes[at + 1] or 0 for at in here)} if keeps else found)
    return items


def _window(model: LanguageModel, passage: Passage) -> tuple[list[int], list[int | None]]:
    """A window's tokens at most and the one after them, and the bytes of text that each stands for; None of `<eod>`.

    Of a character that is several tokens the last has the bytes.
    """
    ids: list[int] = []
    sizes: list[int | None] = []
    for text in passage.texts:
        found = model.tokenizer.encode(text, add_special_tokens=False)
        starts = [0, *(start for start, _ in found.offsets[1:]), len(text)]
        ids += [model.eod, *found.ids]
        sizes += [None, *(len(text[start:end].encode()) for start, end in pairwise(starts))]
    return ids[: model.window + 1], sizes[: model.window + 1]


def _found(model: LanguageModel, keys: Sequence[Key]) -> list[Item]:
    contexts = [_context(model, key) for key in keys]
    pairs = [(context, f" {choice}") for key, context in zip(keys, contexts, strict=True) for choice in key.keys]
    nats = {number: found.nats for number, found in likelihoods(model, pairs)}
    said = dict(generate(model, [Ask(context, (".", "\n"), _ANSWER) for context in contexts]))
    items: list[Item] = []
    first = 0
    for number, (key, context) in enumerate(zip(keys, contexts, strict=True)):
        candidates = tuple((context, f" {choice}") for choice in key.keys)
        question = Question(key.id, candidates, key.gold, source=str(key.length))
        found = item(question, [nats[first + choice] for choice in range(len(candidates))], None)
        exact = float(said[number].strip() == key.keys[key.gold])
        items.append(found | {"depth": key.depth, "exact": exact, "said": said[number].strip()[:SAID]})
        first += len(candidates)
    return items


def _context(model: LanguageModel, key: Key) -> str:
    """As many sentences as leave room for the answer, and the key between those before its depth and the others."""
    hidden = sentence(key.keys[key.gold])
    sentences: list[str] = []
    left = key.length - 1 - _ANSWER - len(model.encoded([f" {hidden}{QUESTION}"])[0])
    while (left := left - len(model.encoded([f" {filler(key, len(sentences))}"])[0])) >= 0:
        sentences.append(filler(key, len(sentences)))
    before = round(key.depth * len(sentences))
    return " ".join([*sentences[:before], hidden, *sentences[before:]]) + QUESTION
