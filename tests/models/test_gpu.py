"""The step as it is lowered for an NVIDIA GPU, on a machine that has none; benchmarks/gpu.py runs it on one."""

import jax
import jax.numpy as jnp
import pytest

from models.config import ModelConfig
from models.devices import parallel
from models.devices.layout import Layout
from models.recipe import AdamW
from models.step import abstract_state, train_step

SIZE = ModelConfig("wide-heads", vocabulary=512, width=256, layers=2, heads=2, feed_forward=256)
SEQUENCE = 384


@pytest.mark.parametrize(("remat", "forward"), [("none", 1), ("dots", 1), ("attention", 1), ("full", 2)])
def test_attention_is_the_flash_kernel_in_both_directions(
    monkeypatch: pytest.MonkeyPatch, remat: str, forward: int
) -> None:
    """Layers are one loop, so every kernel that a layer runs is there once; no array has a square of the sequence."""
    monkeypatch.setattr(parallel, "platform", lambda mesh: "gpu")
    monkeypatch.setattr("jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version", lambda: 91_000)
    step = train_step.__wrapped__(SIZE, AdamW(), "bfloat16", Layout(1, remat, scan=True))
    tokens, rate = jax.ShapeDtypeStruct((2, SEQUENCE + 1), jnp.int32), jax.ShapeDtypeStruct((), jnp.float32)
    text = step.trace(abstract_state(SIZE, AdamW()), tokens, rate).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("@__cudnn$fmhaSoftmax(") == forward
    assert text.count("@__cudnn$fmhaSoftmaxBackward(") == 1
    assert f"{SEQUENCE}x{SEQUENCE}" not in text
