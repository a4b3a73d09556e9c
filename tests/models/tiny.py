"""A model small enough for a test, and the arrays that go with it."""

import numpy as np

from models.config import ModelConfig

TINY = ModelConfig("tiny", vocabulary=61, width=24, layers=2, heads=3, feed_forward=40)


def tokens(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, TINY.vocabulary, (rows, columns), dtype=np.int32)
