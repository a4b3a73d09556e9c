"""Print what a few steps made of a model whose products XLA divides among threads: digest [THREADS].

THREADS are given to jax's CPU client, to see that their number matters; else the suite decides it.
"""

import hashlib
import os
import sys

import jax
import numpy as np

from models.config import ModelConfig
from models.recipe import AdamW
from models.step import init_state, train_step

MODEL = ModelConfig("wide", vocabulary=4_096, width=96, layers=1, heads=2, feed_forward=192)


def digest() -> str:
    """SHA-256 of parameters and optimizer."""
    state, step = init_state(MODEL, AdamW(), 0), train_step(MODEL, AdamW())
    tokens_BxS1 = np.arange(4 * 257, dtype=np.int32).reshape(4, 257) ** 2 % MODEL.vocabulary
    for _ in range(3):
        state, _ = step(state, tokens_BxS1, 1e-3)
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state))).hexdigest()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["NPROC"] = sys.argv[1]
    print(digest())
