"""What config.json of a Hugging Face folder says of the model in it. Loads no jax."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.config import ModelConfig
from store.errors import Failure, UserError

ARCHITECTURE = "CohereForCausalLM"
CONFIG = "config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

SHAPE = {
    "vocabulary": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "feed_forward": "intermediate_size",
}
FIXED = {"hidden_act": "silu", "attention_bias": False, "use_qk_norm": False, "tie_word_embeddings": True}
"""What the architecture leaves open and this project's model has decided; also its defaults."""


@dataclass(frozen=True)
class Described:
    """The model that a folder holds, its number of heads with keys and values, and its scale of the logits."""

    config: ModelConfig
    kv_heads: int
    logit_scale: float


def read_config(folder: Path) -> Described:
    """What `folder` says that it holds.

    Raises:
        UserError: there is no such folder, or it holds another architecture or a variant that this project has not.
        Failure: config.json is damaged.
    """
    path, found = folder / CONFIG, _configuration(folder)
    rope = found.get("rope_parameters") or found.get("rope_scaling") or {}
    try:
        if rope.get("rope_type", rope.get("type", "default")) != "default":
            raise UserError(f"{path} scales its rotary positions ({rope}); this project's model has plain ones")
        config = ModelConfig(
            name=str(found.get("name", folder.resolve().name)),
            **{ours: int(found[theirs]) for ours, theirs in SHAPE.items()},
            rope_theta=float(rope["rope_theta"] if "rope_theta" in rope else found["rope_theta"]),
            norm_epsilon=float(found.get("layer_norm_eps", 1e-5)),
        )
        kv_heads, logit_scale = int(found.get("num_key_value_heads") or config.heads), float(found["logit_scale"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Failure(f"{path} lacks a value or has a bad one ({error!r}); fetch or export the model again") from error
    if found.get("head_dim", config.head_width) != config.head_width or config.heads % kv_heads:
        raise UserError(
            f"{path} has {config.heads} heads, head_dim {found.get('head_dim')} and {kv_heads} heads of keys; this "
            f"project's heads are {config.head_width} wide there, and a number of them that divides may share keys"
        )
    return Described(config, kv_heads, logit_scale)


def _configuration(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder} is no exported model, it has no {CONFIG}; name the folder that holds one")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be read ({error}); fetch or export the model again") from error
    architectures = found.get("architectures") if isinstance(found, dict) else None
    if architectures != [ARCHITECTURE]:
        raise UserError(f"{path} is of architecture {architectures}; only {ARCHITECTURE} can be read")
    for key, value in FIXED.items():
        if found.get(key, value) != value:
            raise UserError(f"{path} has {key} {found[key]!r}; this project's model has only {value!r}")
    return found
