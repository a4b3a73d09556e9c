import itertools

import jax
import numpy as np

from models.attention import causal_attention, splash
from models.transformer import bind, initial
from tests.models.tiny import TINY, tokens


def _qkv(sequence: int, heads: int = 2, width: int = 16) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((3, 1, sequence, heads, width), np.float32)


def test_a_document_mask_gives_what_each_document_gives_alone() -> None:
    q, k, v = _qkv(150)
    edges = [0, 1, 63, 64, 100, 150]
    segments = np.repeat(np.arange(5, dtype=np.int32), np.diff(edges))[None]
    alone = [causal_attention(*(x[:, a:b] for x in (q, k, v))) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(causal_attention(q, k, v, segments), np.concatenate(alone, axis=1), atol=2e-6)


def test_a_masked_document_is_read_by_the_model_as_if_it_stood_alone() -> None:
    # Rotary positions are relative, so that a document's place in the row does not matter.
    params, row = initial(TINY, 0), tokens(1, 40)
    segments = np.repeat(np.arange(2, dtype=np.int32), [17, 23])[None]
    hidden = jax.jit(lambda *arguments: bind(TINY, params).hidden(*arguments))
    second = hidden(row, segments)[:, 17:]
    np.testing.assert_allclose(second, hidden(row[:, 17:]), atol=1e-5)
    assert np.abs(second - hidden(row)[:, 17:]).max() > 1e-3


def test_the_tpu_kernel_computes_the_same() -> None:
    """In the blocks of long sequences, by an interpreter; that it compiles for a TPU is tests/models/test_fit.py's."""
    q, k, v = _qkv(1_024, heads=1)
    segments = np.repeat(np.arange(3, dtype=np.int32), [400, 112, 512])[None]
    cotangent = np.random.default_rng(1).standard_normal(q.shape, np.float32)
    ours, reference = (
        jax.vjp(jax.jit(form), q, k, v)
        for form in (
            lambda q, k, v: splash(q * q.shape[-1] ** -0.5, k, v, segments, interpret=True),
            lambda q, k, v: causal_attention(q, k, v, segments),
        )
    )
    np.testing.assert_allclose(ours[0], reference[0], atol=1e-5)
    for found, expected in zip(ours[1](cotangent), reference[1](cotangent), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
