"""A study small enough to train in a test: made-up text, a made-up language of code, and no network."""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from experiments.study import Arm, Evaluation, Stage, Study
from mixtures.catalogue.source import Source, one_shard
from mixtures.documents.document import Document
from mixtures.mixture import Mixture, mixture
from mixtures.prepare import DataSpec
from models.config import ModelConfig
from models.recipe import AdamW

_WORDS = {
    "prose": "the a of river stone walked slowly under cold morning light and every bird silent before rain".split(),
    "program": "def return x y if else for in range ( ) : = + * [ ] print import self None".split(),
}


def _read(kind: str, shard: str, downloads: Path) -> Iterator[Document]:
    rng = random.Random(kind)
    for number in range(60):
        words = (rng.choice(_WORDS[kind]) for _ in range(rng.randint(80, 200)))
        yield Document(f"{kind}/{number}", f"{kind}-{number % 20}", " ".join(words) + f" {number}.")


def source(name: str, kind: str) -> Source:
    return Source(name, kind, "made up", partial(_read, name), one_shard, max_bytes=40_000)


TEXT, CODE = mixture("text", {"prose": 1}), mixture("code", {"program": 1})
HALF = mixture("half", {TEXT: 1, CODE: 1})


def stage(kind: str, mix: Mixture, steps: int) -> Stage:
    decay, peak, end = ("linear", 1e-3, 1e-6) if kind == "cooldown" else ("cosine", 3e-3, 3e-4)
    return Stage(kind, mix, steps * 8 * 32, decay, peak, end, warmup=0.0 if kind == "cooldown" else 0.1)


STEPS = 60
"""Of a first stage: long enough to be killed in the middle of it."""


def study(steps: int = STEPS, **changes: object) -> Study:
    arms = (
        Arm("text-only", "text", (stage("pretrain", TEXT, steps), stage("cooldown", HALF, 4))),
        Arm("half-only", "half", (stage("pretrain", HALF, steps), stage("cooldown", HALF, 4))),
        Arm("half-to-text", "half, then text", (stage("pretrain", HALF, steps), stage("cooldown", TEXT, 4))),
    )
    fields: dict[str, object] = {
        "name": "tiny",
        "question": "Does it run?",
        "hypothesis": "It does.",
        "baseline": "text-only",
        "arms": arms,
        "seeds": (0, 1),
        "model": ModelConfig("tiny", vocabulary=320, width=16, layers=2, heads=2, feed_forward=32),
        "sequence": 32,
        "batch": 8,
        "optimizer": AdamW(),
        "data": DataSpec((source("prose", "text"), source("program", "code")), 320, 0.05, 20_000),
        "max_epochs": 50,
        "evaluation": Evaluation(heldout_bytes=2_000, every_stage=(), compared=(), items=0),
        "primary": ("heldout/code/bpb",),
    }
    return Study(**(fields | changes))  # type: ignore[arg-type]


STUDY = study()
