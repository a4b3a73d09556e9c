"""An independent forward pass in numpy, float64, written from the architecture's definition."""

import numpy as np

from models.config import ModelConfig
from models.transformer import Params


def _norm(x: np.ndarray, scale: np.ndarray, epsilon: float) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon) * scale


def _turn(x: np.ndarray, theta: float) -> np.ndarray:
    """Interleaved rotary of one head [S, K]: dimensions 2i and 2i + 1 as one complex number."""
    positions, frequencies = np.arange(len(x))[:, None], theta ** (-np.arange(0, x.shape[1], 2) / x.shape[1])
    turned = (x[:, ::2] + 1j * x[:, 1::2]) * np.exp(1j * positions * frequencies)
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)


def _attend(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Causal attention of one head, position by position."""
    out = np.zeros_like(v)
    for position in range(len(q)):
        scores = k[: position + 1] @ q[position] / np.sqrt(q.shape[1])
        weights = np.exp(scores - scores.max())
        out[position] = weights @ v[: position + 1] / weights.sum()
    return out


def logits(config: ModelConfig, params: Params, row: np.ndarray) -> np.ndarray:
    """[S, V] in float64."""
    w = {name: np.asarray(array, np.float64) for name, array in params.items()}
    x = w["embedding"][row]
    for layer in range(config.layers):
        b = {
            name.removeprefix(f"blocks.{layer}."): array
            for name, array in w.items()
            if name.startswith(f"blocks.{layer}.")
        }
        y = _norm(x, b["norm.scale"], config.norm_epsilon)
        heads = []
        for head in range(config.heads):
            part = slice(head * config.head_width, (head + 1) * config.head_width)
            q, k, v = (y @ b[name][:, part] for name in ("query", "key", "value"))
            heads.append(_attend(_turn(q, config.rope_theta), _turn(k, config.rope_theta), v))
        gate = y @ b["gate"]
        x = x + np.concatenate(heads, axis=1) @ b["output"] + (gate / (1 + np.exp(-gate)) * (y @ b["up"])) @ b["down"]
    return _norm(x, w["norm.scale"], config.norm_epsilon) @ w["embedding"].T
