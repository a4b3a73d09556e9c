"""Analytic floating-point operations (a multiply-add is two). Compilers' own counts see a scanned loop body once.

Per trained token: 6·N_nonemb + 6·V·d for the head + 6·L·d·S for causal attention, which is half of the
square's 12·L·d·S (Chowdhery et al. 2022, appendix B, with the causal half). Recomputation is not counted.
"""

from typing import Any

from models.config import PEAK_LEARNING_RATES, SIZES, ModelConfig, parameters

_STATE_BYTES = 12
"""Of a parameter: float32 value, first and second moment of AdamW."""


def sizes(sequence: int) -> list[dict[str, Any]]:
    """Every known size, smallest first.

    `embedding` and `non_embedding` add up to `parameters`. `flops_per_token` is that of a training step at `sequence`
    tokens, `state_bytes` holds float32 parameters and AdamW's moments.
    """
    return [_size(size, sequence) for size in SIZES.values()]


def _size(config: ModelConfig, sequence: int) -> dict[str, Any]:
    counts = parameters(config)
    return {
        **{name: getattr(config, name) for name in ("name", "vocabulary", "layers", "width", "heads", "feed_forward")},
        "kv_heads": config.heads,  # Every head has keys and values of its own.
        "head_width": config.head_width,
        "parameters": counts.total,
        "embedding": counts.embedding,
        "non_embedding": counts.non_embedding,
        "sequence": sequence,
        "flops_per_token": train_flops_per_token(config, sequence),
        "state_bytes": _STATE_BYTES * counts.total,
        "peak_learning_rate": PEAK_LEARNING_RATES[config.name],
    }


def forward_flops_per_token(config: ModelConfig, sequence: int) -> int:
    """FLOPs of one token's forward pass, head included, averaged over a causal sequence of `sequence` tokens."""
    matrices = 2 * parameters(config).non_embedding
    head = 2 * config.vocabulary * config.width
    attention = 2 * config.layers * config.width * sequence
    return matrices + head + attention


def train_flops_per_token(config: ModelConfig, sequence: int) -> int:
    """FLOPs of one token's forward and backward pass; the backward pass costs two forward ones."""
    return 3 * forward_flops_per_token(config, sequence)
