"""Weights in fewer bits, against NumPy's; and a model of them, against a float32 model of the weights that they are."""

import jax
import numpy as np
import pytest

from models import decode
from models.config import ModelConfig
from models.quantise import Quantised, quantise, stored_bytes
from models.transformer import Params, initial
from tests.models.reference import logits
from tests.models.test_decode import continued
from tests.models.tiny import TINY, tokens

WIDE = ModelConfig("wide", vocabulary=10, width=128, layers=1, heads=2, feed_forward=192)
"""Of two groups of inputs, and of three."""
SCALED = {"int8": 127, "int4": 7}


@pytest.fixture(scope="module")
def params() -> Params:
    """With weights large enough to prefer some tokens clearly."""
    return {name: array * (1 if name.endswith("scale") else 3) for name, array in initial(TINY, 0).items()}


def oracle(matrix: np.ndarray, axis: int, group: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrix as it comes back, and the scale of each of its elements, one line of inputs after the other."""
    back, scales = np.zeros_like(matrix), np.zeros_like(matrix)
    lines, backs, spread = (np.moveaxis(x, axis, 0) for x in (matrix, back, scales))
    for column in range(lines.shape[1]):
        for first in range(0, len(lines), group):
            part = lines[first : first + group, column]
            scale = np.abs(part).max() / np.float32(most)
            spread[first : first + group, column] = scale
            if scale:
                backs[first : first + group, column] = np.round(part / scale) * scale
    return back, scales


def whole(params: Params) -> Params:
    """The float32 parameters that quantised ones are."""
    return {
        name: jax.jit(Quantised.matrix)(of) if isinstance(of, Quantised) else of.astype("float32")
        for name, of in params.items()
    }


@pytest.mark.parametrize("inference", SCALED)
def test_no_weight_moves_by_more_than_half_a_scale_of_its_group(inference: str) -> None:
    weights = {**initial(WIDE, 0)}
    weights["blocks.0.query"] = weights["blocks.0.query"].at[:64, 3].set(0).at[70, 5].set(9)  # none, and an outlier
    found = whole(quantise(weights, inference))
    for name, array in weights.items():
        matrix, axis = np.asarray(array), 1 if name == "embedding" else 0
        if matrix.ndim == 1:
            np.testing.assert_array_equal(found[name], matrix)
            continue
        group = matrix.shape[axis] if inference == "int8" else 64
        back, scales = oracle(matrix, axis, group, SCALED[inference])
        np.testing.assert_allclose(found[name], back, rtol=1e-6, err_msg=name)
        assert (np.abs(np.asarray(found[name]) - matrix) <= scales * 0.5001).all(), name
    assert not np.asarray(found["blocks.0.query"])[:64, 3].any()


def test_bytes_are_those_of_the_bits() -> None:
    matrices = {name: array for name, array in initial(WIDE, 0).items() if array.ndim == 2}
    n = sum(array.size for array in matrices.values())
    outputs = sum(array.size // array.shape[name == "embedding"] for name, array in matrices.items())
    found = {inference: stored_bytes(quantise(matrices, inference)) for inference in ("float32", "bfloat16", *SCALED)}
    assert found == {"float32": 4 * n, "bfloat16": 2 * n, "int8": n + 4 * outputs, "int4": n // 2 + 4 * n // 64}


def scored(params: Params) -> np.ndarray:
    """Of a row of text, the nats of each token."""
    row = tokens(1, 24)
    trees = decode.Trees(
        row,
        np.arange(24, dtype=np.int32)[None],
        np.full((1, 24), 24, np.int32),
        np.arange(23),
        row[0, 1:],
        np.array([23]),
    )
    return np.asarray(decode.scorer(TINY)(params, trees)[0])


def nats(params: Params) -> np.ndarray:
    """The same by the reference, in float64."""
    row = tokens(1, 24)[0]
    found = logits(TINY, params, row)[:-1]
    return np.log(np.exp(found).sum(-1)) - found[np.arange(23), row[1:]]


@pytest.mark.parametrize(("inference", "near"), [("float32", 1e-4), ("int8", 1e-4), ("int4", 1e-4), ("bfloat16", 0.3)])
def test_a_model_in_fewer_bits_scores_as_the_weights_that_they_are(params: Params, inference: str, near: float) -> None:
    """bfloat16 rounds what goes through the model, too."""
    found = quantise(params, inference)
    np.testing.assert_allclose(scored(found), nats(whole(found)), atol=near)


def test_fewer_bits_move_scores_the_more_the_fewer_they_are(params: Params) -> None:
    exact = nats(params)
    moved = {each: np.abs(scored(quantise(params, each)) - exact).mean() for each in ("float32", *SCALED)}
    assert moved["float32"] < 1e-5 < moved["int8"] < 0.02 and 3 * moved["int8"] < moved["int4"] < 0.2


@pytest.mark.parametrize("inference", ["bfloat16", "int4"])
def test_a_text_alone_is_written_as_beside_others(params: Params, inference: str) -> None:
    """Weights are made again for each token of the one, and once for those of several."""
    found, prompts = quantise(params, inference), [tokens(1, 5, seed)[0] for seed in range(2)]
    together = continued(TINY, found, prompts, 12)
    assert continued(TINY, found, prompts[:1], 12) == together[:1]
    if inference != "bfloat16":
        assert continued(TINY, whole(found), prompts, 12) == together
