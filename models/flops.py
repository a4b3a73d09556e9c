"""Analytic floating-point operations (a multiply-add is two). Compilers' own counts see a scanned loop body once.

Per trained token: 6·N_nonemb + 6·V·d for the head + 6·L·d·S for causal attention, which is half of the
square's 12·L·d·S (Chowdhery et al. 2022, appendix B, with the causal half). Recomputation is not counted.
"""

from models.config import ModelConfig, parameters


def forward_flops_per_token(config: ModelConfig, sequence: int) -> int:
    """FLOPs of one token's forward pass, head included, averaged over a causal sequence of `sequence` tokens."""
    matrices = 2 * parameters(config).non_embedding
    head = 2 * config.vocabulary * config.width
    attention = 2 * config.layers * config.width * sequence
    return matrices + head + attention


def train_flops_per_token(config: ModelConfig, sequence: int) -> int:
    """FLOPs of one token's forward and backward pass; the backward pass costs two forward ones."""
    return 3 * forward_flops_per_token(config, sequence)
