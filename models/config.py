"""Model sizes by name, with their exact parameter counts. Pure Python: planning reads it without jax."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from store.errors import UserError, require_known


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a decoder-only Transformer with the architecture of CohereForCausalLM.

    The paper gives the block (parallel, SwiGLU, no biases) and the totals 470M and 2.8B, and no widths or depths
    (arXiv:2408.10914, section 3.1); everything else here is our choice. No parameter depends on `rope_theta`, so a
    stage of longer context may train on with `dataclasses.replace(config, rope_theta=...)`; the context itself is the
    stage's sequence and no property of the model.

    Raises:
        UserError: a value is not positive, or the heads do not divide the width into even parts.
    """

    name: str
    vocabulary: int
    width: int
    layers: int
    heads: int
    feed_forward: int
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for field in ("vocabulary", "width", "layers", "heads", "feed_forward"):
            if type(getattr(self, field)) is not int or getattr(self, field) < 1:
                raise UserError(
                    f"model '{self.name}' has {field} {getattr(self, field)!r}; it must be a whole number, at least 1"
                )
        for field in ("rope_theta", "norm_epsilon"):
            if not isinstance(getattr(self, field), int | float) or not 0 < getattr(self, field) < math.inf:
                raise UserError(
                    f"model '{self.name}' has {field} {getattr(self, field)!r}; it must be above 0 and finite"
                )
        if self.width % (2 * self.heads):
            raise UserError(
                f"model '{self.name}' has width {self.width} and {self.heads} heads; "
                f"rotary positions need an even width per head, so choose a width that {2 * self.heads} divides"
            )

    @property
    def head_width(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class Parameters:
    """Parameter counts; the embedding is tied, so it counts once."""

    total: int
    embedding: int
    non_embedding: int


# A name is the total with the tied embedding, to the digits it shows. Feed-forward is 2.6 to 3.3 times the width: three
# matrices then cost about what the two of a plain 4x feed-forward do. From 150m up, widths and feed-forwards are
# multiples of 128 (TPU tiles).
#
# The rate of the 1m is swept at the quickstart's batch and budget (benchmarks/quickstart.md); the others follow
# DeepSeek LLM's fit (arXiv:2401.02954, section 3.1), 0.3118 * C^-0.125 to one digit, where C = tokens * (6 *
# non-embedding parameters + 12 * layers * width * sequence), for 20 tokens a parameter up to 60m and 240m (sequences of
# 256, 1,024 and 2,048) and the paper's 200B tokens at 8,192 for the others. For the 1m it would say 1e-2. It belongs to
# the batch of the same fit, 0.292 * C^0.3271 tokens: 1.8M for the 470m; the paper's 4.2M is 2.3 times that. All arms of
# a study share one rate: tuned ones would differ by more than the mixture.
_SIZES = (
    (ModelConfig("1m", vocabulary=8_192, width=96, layers=2, heads=3, feed_forward=256), 7e-3),
    (ModelConfig("2m", vocabulary=8_192, width=128, layers=4, heads=4, feed_forward=384), 5e-3),
    (ModelConfig("4m", vocabulary=8_192, width=192, layers=6, heads=6, feed_forward=512), 4e-3),
    (ModelConfig("15m", vocabulary=32_768, width=256, layers=8, heads=4, feed_forward=704), 3e-3),
    (ModelConfig("60m", vocabulary=32_768, width=512, layers=12, heads=8, feed_forward=1_664), 2e-3),
    (ModelConfig("150m", vocabulary=256_000, width=512, layers=6, heads=8, feed_forward=1_408), 1e-3),
    (ModelConfig("240m", vocabulary=32_768, width=1_024, layers=16, heads=8, feed_forward=2_816), 1e-3),
    (ModelConfig("470m", vocabulary=256_000, width=1_024, layers=16, heads=8, feed_forward=2_816), 8e-4),
    (ModelConfig("1b", vocabulary=256_000, width=1_536, layers=20, heads=12, feed_forward=4_480), 7e-4),
    (ModelConfig("2.8b", vocabulary=256_000, width=2_560, layers=28, heads=20, feed_forward=6_656), 6e-4),
)
SIZES = {size.name: size for size, _ in _SIZES}
"""By name, smallest first."""
PEAK_LEARNING_RATES: Mapping[str, float] = {size.name: rate for size, rate in _SIZES}
"""Highest learning rate of a first stage, by size."""


def config(name: str) -> ModelConfig:
    """The size called `name`.

    Raises:
        UserError: there is no such size.
    """
    require_known("model", name, SIZES)
    return SIZES[name]


def parameters(config: ModelConfig) -> Parameters:
    """Exact counts: per block one norm, four attention matrices and three feed-forward ones; then the final norm."""
    block = config.width + 4 * config.width**2 + 3 * config.width * config.feed_forward
    embedding = config.vocabulary * config.width
    non_embedding = config.layers * block + config.width
    return Parameters(embedding + non_embedding, embedding, non_embedding)
