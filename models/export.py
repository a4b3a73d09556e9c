"""To and from Hugging Face: a folder that transformers, vLLM and the rest open as CohereForCausalLM.

Both sides turn dimensions 2i and 2i+1 as a pair and tie the embedding, so a parameter becomes a tensor of the same
numbers; matrices are transposed, since [in, out] here is [out, in] there. A round trip is bit-equal.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from models.cohere import ARCHITECTURE, CONFIG, FIXED, INDEX, SHAPE, WEIGHTS, read_config
from models.config import ModelConfig, parameters
from models.transformer import Params, shapes
from store.errors import Failure, UserError

_TOKENIZER = "tokenizer.json"
PART_BYTES = 5_000_000_000
"""Of a file of weights at most, as transformers and the hub long had it."""

_BLOCK = {
    "norm.scale": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


def export(
    config: ModelConfig,
    params: Callable[[Sequence[str]], Params],
    tokenizer_json: Path,
    out: Path,
    *,
    eod: int,
    sequence: int,
    part_bytes: int = PART_BYTES,
) -> None:
    """Write the folder `out`: configuration, float32 weights and tokenizer, whole or not at all.

    The weights are one file, or several of at most `part_bytes` with an index; memory holds those of one.

    The token `eod` closes a document, stands for its beginning, since a scoring context starts with it, and pads.
    `sequence` is the context in tokens that the model was trained at.

    Args:
        params: the parameters of some names; asked once for each.

    Raises:
        UserError: `out` holds files already, the parameters are of another model, or the tokenizer has ids beyond the
            model's vocabulary or no token `eod`.
        Failure: the tokenizer cannot be read or the folder cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"export folder {out} is not empty; remove it or choose another")
    tokenizer, settings = _tokenizer(config, tokenizer_json, eod, sequence)
    ids = {"bos_token_id": eod, "eos_token_id": eod, "pad_token_id": eod}
    with _whole_folder(out) as folder:
        _write(folder / CONFIG, _configuration(config, sequence) | ids)
        _write(folder / "generation_config.json", ids)
        _write(folder / "tokenizer_config.json", settings)
        (folder / _TOKENIZER).write_text(tokenizer, encoding="utf-8")
        _write_weights(folder, config, params, part_bytes)


def _write_weights(
    folder: Path, config: ModelConfig, params: Callable[[Sequence[str]], Params], part_bytes: int
) -> None:
    names, parts = _names(config), _parts(config, part_bytes)
    files = [WEIGHTS]
    if len(parts) > 1:
        files = [f"model-{n:05}-of-{len(parts):05}.safetensors" for n in range(1, len(parts) + 1)]
        where = {names[ours]: file for file, part in zip(files, parts, strict=True) for ours in part}
        total = 4 * parameters(config).total
        _write(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))})
    for file, part in zip(files, parts, strict=True):
        save_file(_tensors(config, part, params), folder / file, metadata={"format": "pt"})
        # The writer of weights leaves them to their owner alone.
        (folder / file).chmod((folder / CONFIG).stat().st_mode)


def _parts(config: ModelConfig, part_bytes: int) -> list[list[str]]:
    """Names of parameters, in their order, by the file they go to; one that is larger has its own."""
    expected, free = shapes(config), 0
    parts: list[list[str]] = []
    for name in _names(config):
        size = 4 * expected[name].size
        if size > free:
            parts.append([])
            free = part_bytes
        parts[-1].append(name)
        free -= size
    return parts


def _tensors(
    config: ModelConfig, part: Sequence[str], params: Callable[[Sequence[str]], Params]
) -> dict[str, np.ndarray]:
    expected, names, found = shapes(config), _names(config), dict(params(part))
    tensors = {}
    for ours in part:
        array = found.pop(ours, None)
        if array is None or array.shape != expected[ours].shape:
            raise UserError(f"the parameters are not those of model '{config.name}'; export them with their own model")
        tensors[names[ours]] = _turned(ours, np.asarray(array, np.float32))
    return tensors


def read(folder: Path) -> tuple[ModelConfig, dict[str, np.ndarray], Path]:
    """The model in `folder`, exported here or published by anyone: its float32 parameters, on no device yet, and its
    tokenizer.json.

    Two things that this project's model has not are worked into the parameters, at equal logits: heads that share keys
    and values get copies of them, and a scale of the logits goes into the final norm.

    Raises:
        UserError: there is no such folder, or it holds another architecture or a variant that this project has not.
        Failure: a file is missing or damaged, or a tensor is missing, superfluous or of a wrong shape.
    """
    described = read_config(folder)
    config, kv_heads, logit_scale = described.config, described.kv_heads, described.logit_scale
    if not (folder / _TOKENIZER).is_file():
        raise Failure(f"{folder} has no {_TOKENIZER}; copy the model's own there")
    tensors, names = _read_tensors(folder), _names(config)
    params: dict[str, np.ndarray] = {}
    for ours, expected in shapes(config).items():
        shared = kv_heads < config.heads and ours.endswith((".key", ".value"))
        shape = (config.width, kv_heads * config.head_width) if shared else expected.shape
        array = _turned(ours, _taken(folder, tensors, names[ours], shape if ours == "embedding" else shape[::-1]))
        if shared:
            array = _copied(array, kv_heads, config)
        if ours == "norm.scale":
            array = array * np.float32(logit_scale)
        params[ours] = array
    if surplus := sorted(tensors.keys() - {"lm_head.weight"}):  # The head is the tied embedding.
        raise Failure(f"{folder} has tensor {surplus[0]}, which its {CONFIG} does not account for; fetch it again")
    return config, params, folder / _TOKENIZER


def _names(config: ModelConfig) -> dict[str, str]:
    """Names of the tensors by names of the parameters."""
    names = {"embedding": "model.embed_tokens.weight", "norm.scale": "model.norm.weight"}
    for layer in range(config.layers):
        names |= {f"blocks.{layer}.{a}": f"model.layers.{layer}.{b}.weight" for a, b in _BLOCK.items()}
    return names


def _turned(ours: str, array: np.ndarray) -> np.ndarray:
    """From one layout to the other, in memory's order: the writer of weights does not look at strides."""
    return array if ours == "embedding" else np.ascontiguousarray(array.T)


def _copied(array_DxG: np.ndarray, kv_heads: int, config: ModelConfig) -> np.ndarray:
    """Keys or values of `kv_heads` heads, once for each of the query heads that share them: [D, D]."""
    heads_DxGxK = array_DxG.reshape(config.width, kv_heads, config.head_width)
    return heads_DxGxK.repeat(config.heads // kv_heads, axis=1).reshape(config.width, config.width)


def _configuration(config: ModelConfig, sequence: int) -> dict[str, Any]:
    """What config.json says; `name` is ours, so that a folder reads back as the same model."""
    return {
        "architectures": [ARCHITECTURE],
        "model_type": "cohere",
        "name": config.name,
        **{theirs: getattr(config, ours) for ours, theirs in SHAPE.items()},
        "num_key_value_heads": config.heads,
        "max_position_embeddings": sequence,
        "layer_norm_eps": config.norm_epsilon,
        "logit_scale": 1.0,
        # The two places where versions of transformers look for it.
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        **FIXED,
        "torch_dtype": "float32",
    }


def _tokenizer(config: ModelConfig, path: Path, eod: int, sequence: int) -> tuple[str, dict[str, Any]]:
    """The tokenizer.json as training used it, and its settings: nothing is put in front of a text, cut off or drawn at
    random, and a text that spells a special token is text."""
    try:
        text = path.read_text(encoding="utf-8")
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises bare Exception
        raise Failure(f"tokenizer {path} cannot be read ({error}); prepare the data again") from error
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if highest >= config.vocabulary:
        raise UserError(
            f"tokenizer {path} has ids up to {highest} and model '{config.name}' a vocabulary of {config.vocabulary}; "
            "export the model with the tokenizer it was trained with"
        )
    name = tokenizer.id_to_token(eod)
    if name is None:
        raise UserError(f"tokenizer {path} has no token {eod} to close a document; give the id of one that it has")
    specials = [token.content for _, token in sorted(tokenizer.get_added_tokens_decoder().items()) if token.special]
    return _as_trained(text, name), {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": name,
        "eos_token": name,
        "pad_token": name,
        "additional_special_tokens": [special for special in specials if special != name],
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
        "model_max_length": sequence,
    }


def _as_trained(text: str, end: str) -> str:
    found = json.loads(text)
    used = found | {"truncation": None, "padding": None, "post_processor": None}
    used["added_tokens"] = [
        token | {"special": token["special"] or token["content"] == end} for token in found["added_tokens"]
    ]
    if "dropout" in found["model"]:
        used["model"] = found["model"] | {"dropout": None}
    return text if used == found else json.dumps(used, ensure_ascii=False)


def _read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of model.safetensors, or of the parts that an index names when there are several."""
    path = index = folder / INDEX
    try:
        parts = [WEIGHTS]
        if index.is_file():
            parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        tensors: dict[str, np.ndarray] = {}
        for part in parts:
            path = folder / part
            with safe_open(path, framework="numpy") as file:
                tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise Failure(f"{path} is missing or damaged ({error}); fetch or export the model again") from error
    return tensors


def _taken(folder: Path, tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor called `name`, out of `tensors`, in float32, which holds float16 and bfloat16 exactly."""
    if name not in tensors:
        raise Failure(f"{folder} has no tensor {name}; fetch or export the model again")
    tensor = tensors.pop(name)
    if tensor.shape != shape:
        raise Failure(f"tensor {name} of {folder} has shape {tensor.shape}, and its {CONFIG} asks for {shape}")
    if tensor.dtype.name not in ("float32", "float16", "bfloat16"):
        raise UserError(f"tensor {name} of {folder} is of {tensor.dtype}; only float32, float16 and bfloat16 are read")
    return np.asarray(tensor, np.float32)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out`; it becomes `out` when the block ends without an error."""
    out = out.resolve()
    unfinished = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)  # What a killed export left.
        unfinished.mkdir(parents=True)
        yield unfinished
        for file in unfinished.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        unfinished.rename(out)
    except (OSError, SafetensorError) as error:
        raise Failure(f"cannot write {out} ({error}); free some space or choose another folder") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
