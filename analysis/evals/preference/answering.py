"""How a prompt is put to a base model, and where its answer ends.

A model that was never taught to follow instructions continues a document. The commonest document in which text answers
text is questions with their answers, so a prompt becomes one of those. The marks of instruction data ("### Response:",
chat turns) would favour the arms that have read such data, and a bare prompt is as likely continued by another. The
paper says neither how its base models were prompted nor how they were decoded; this is ours, and equal for all arms.

Small models ramble, so an answer is the first paragraph of what a model says before it puts a next question, within a
number of tokens that all arms share. (A blank line is no stop string: a model that begins with one would be taken to
say nothing, which was so for 8 of 400 answers of the quickstart.) Decoding is greedy: an answer is a function of the
checkpoint.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from analysis.evals.preference.client import Progress

if TYPE_CHECKING:
    from analysis.evals.model import LanguageModel

MOST_TOKENS = 256
"""Nine in ten of Dolly's own answers are shorter (900 bytes). A prompt has half of the window at least."""


@dataclass(frozen=True)
class Decoding:
    """What else decides an answer besides checkpoint and prompt."""

    max_tokens: int
    template: str = "Question: {prompt}\nAnswer:"
    stops: tuple[str, ...] = ("\nQuestion:",)
    kept: str = "first paragraph"

    @property
    def text(self) -> str:
        """For readers."""
        stops = " or ".join(repr(stop) for stop in self.stops)
        return (
            f"put as {self.template!r}; greedy answers: the {self.kept} of at most {self.max_tokens} tokens, "
            f"up to {stops}"
        )


def decoding(window: int) -> Decoding:
    """For models that read `window` tokens."""
    return Decoding(min(MOST_TOKENS, window // 2))


def digest(prompts: Mapping[str, str], how: Decoding) -> str:
    """Names the answers to `prompts` under one decoding: sha256, hexadecimal, cut to 16."""
    text = json.dumps([dict(prompts), asdict(how)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def answer(
    model: "LanguageModel", prompts: Mapping[str, str], how: Decoding, progress: Progress
) -> tuple[dict[str, str], int]:
    """The model's answers by the prompts' ids, and how many prompts were too long to be read whole.

    Of those the engine leaves out the beginning. Blanks around an answer are no part of it.
    """
    from analysis.evals.engine import Ask, generate, too_long

    ids = list(prompts)
    asks = [Ask(how.template.format(prompt=prompts[id_]), how.stops, how.max_tokens) for id_ in ids]
    said: dict[str, str] = {}
    for number, text in generate(model, asks):
        said[ids[number]] = first_paragraph(text)
        progress(len(said), len(ids))
    return {id_: said[id_] for id_ in ids}, sum(too_long(model, asks))


def first_paragraph(text: str) -> str:
    """Up to the first line without a letter or mark, blank lines before it left out."""
    return re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0].rstrip()
