"""What is exported opens elsewhere with equal logits; what others published opens here."""

import json
import resource
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from models.config import ModelConfig
from models.export import export, read
from models.recipe import PRODUCTS, AdamW
from models.step import init_state, train_step
from models.transformer import Params, bind, initial
from store.errors import Failure, UserError
from tests.models.reference import logits as reference_logits
from tests.models.test_decode import continued
from tests.models.tiny import TINY, tokens

EOD = 0
LONG = replace(TINY, rope_theta=500_000.0, norm_epsilon=1e-6)
TEXTS = ["the quick brown fox jumps over the lazy dog", "pack my box with five dozen liquor jugs"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    specials = ["<eod>", "<fim-prefix>"]
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=61, special_tokens=specials, show_progress=False))
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def lively(config: ModelConfig) -> dict[str, jax.Array]:
    """Parameters far from their initial values, norm scales included, so that no part is nearly the identity."""
    params = initial(config, seed=3)
    keys = jax.random.split(jax.random.key(5), len(params))
    return {
        name: array + 0.2 * jax.random.normal(key, array.shape)
        for (name, array), key in zip(params.items(), keys, strict=True)
    }


@pytest.fixture(scope="module")
def trained() -> Params:
    state, step = init_state(TINY, AdamW(), 0), train_step(TINY, AdamW())
    for _ in range(60):
        state, _ = step(state, tokens(4, 17), 1e-2)
    return state.params


@pytest.fixture
def folder(tokenizer: Path, tmp_path: Path) -> Path:
    """The lively model, exported."""
    export(LONG, of(lively(LONG)), tokenizer, tmp_path / "model", eod=EOD, sequence=64)
    return tmp_path / "model"


def of(params: Params) -> Callable[[Sequence[str]], Params]:
    return lambda names: params


def our_logits(config: ModelConfig, params: Params, rows_BxS: np.ndarray) -> np.ndarray:
    with jax.default_matmul_precision(PRODUCTS["float32"]):
        return np.asarray(jax.jit(lambda p, t: bind(config, p).hidden(t) @ p["embedding"].T)(params, rows_BxS))


def raw_tensors(path: Path) -> dict[str, np.ndarray]:
    """By the format's definition: the header's length in 8 bytes, a JSON header, the numbers."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    header.pop("__metadata__")
    assert {entry["dtype"] for entry in header.values()} == {"F32"}
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
        for name, entry in header.items()
    }


def write_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header, data = {}, b""
    for name, array in tensors.items():
        kind = {"float32": "F32", "float16": "F16", "int32": "I32"}[array.dtype.name]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (len(data), len(data) + array.nbytes)}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def change(folder: Path, **values: Any) -> None:
    """Values of config.json; None takes one away."""
    found = json.loads((folder / "config.json").read_text()) | values
    (folder / "config.json").write_text(json.dumps({key: value for key, value in found.items() if value is not None}))


def test_a_round_trip_is_equal_to_the_bit(folder: Path, tokenizer: Path) -> None:
    config, params, tokenizer_json = read(folder)
    assert config == LONG
    expected = lively(LONG)
    assert {name: np.asarray(array).tobytes() for name, array in params.items()} == {
        name: np.asarray(array).tobytes() for name, array in expected.items()
    }
    assert tokenizer_json.read_bytes() == tokenizer.read_bytes()


def test_weights_in_several_files_are_asked_for_file_by_file_and_read_back(tokenizer: Path, tmp_path: Path) -> None:
    params, asked = lively(LONG), []

    def part(names: Sequence[str]) -> Params:
        asked.append(sum(params[name].nbytes for name in names))
        return {name: params[name] for name in names}

    export(LONG, part, tokenizer, tmp_path / "model", eod=EOD, sequence=64, part_bytes=8_000)
    index = json.loads((tmp_path / "model" / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in (tmp_path / "model").glob("*.safetensors"))
    assert files == [f"model-{n:05}-of-{len(files):05}.safetensors" for n in range(1, len(files) + 1)]
    assert set(index["weight_map"].values()) == set(files) and len(files) == len(asked) > 2 and max(asked) <= 8_000
    assert index["metadata"]["total_size"] == sum(asked)
    for file in files:
        assert {name for name, of in index["weight_map"].items() if of == file} == set(
            raw_tensors(tmp_path / "model" / file)
        )
    config, found, _ = read(tmp_path / "model")
    assert config == LONG
    for name, array in params.items():
        np.testing.assert_array_equal(found[name], array)


def test_the_exported_tensors_mean_what_the_architecture_says(folder: Path) -> None:
    """The file, taken apart by the format's definition and put through an independent forward pass."""
    found = raw_tensors(folder / "model.safetensors")
    params = {"embedding": found.pop("model.embed_tokens.weight"), "norm.scale": found.pop("model.norm.weight")}
    for layer in range(LONG.layers):
        attention = zip(("query", "key", "value", "output"), "qkvo", strict=True)
        theirs = {name: f"self_attn.{letter}_proj" for name, letter in attention}
        theirs |= {name: f"mlp.{name}_proj" for name in ("gate", "up", "down")} | {"norm.scale": "input_layernorm"}
        for name, tensor in theirs.items():
            params[f"blocks.{layer}.{name}"] = found.pop(f"model.layers.{layer}.{tensor}.weight").T
    assert not found
    rows_BxS = tokens(2, 20)
    expected = np.stack([reference_logits(LONG, params, row) for row in rows_BxS])
    np.testing.assert_allclose(our_logits(LONG, lively(LONG), rows_BxS), expected, rtol=1e-4, atol=1e-4)


def test_the_folder_says_what_serving_needs(folder: Path) -> None:
    config, generation, tokenizer = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("config", "generation_config", "tokenizer_config")
    )
    assert config["architectures"] == ["CohereForCausalLM"]
    assert config["max_position_embeddings"] == tokenizer["model_max_length"] == 64
    for ids in (config, generation):
        assert ids["bos_token_id"] == ids["eos_token_id"] == ids["pad_token_id"] == EOD
    assert tokenizer["bos_token"] == tokenizer["eos_token"] == "<eod>"
    assert tokenizer["additional_special_tokens"] == ["<fim-prefix>"] and tokenizer["split_special_tokens"] is True
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        (folder / "config.json").stat().st_mode & 0o777
    }


@pytest.fixture(scope="module")
def foreign(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer as others publish one: a mark in front, texts cut and filled up, merges drawn, an end like text."""
    found = json.loads(tokenizer.read_text())
    found["added_tokens"][0]["special"] = False
    found["model"]["dropout"] = 0.5
    made = Tokenizer.from_str(json.dumps(found))
    made.post_processor = processors.TemplateProcessing(
        single="<fim-prefix> $A", special_tokens=[("<fim-prefix>", made.token_to_id("<fim-prefix>"))]
    )
    made.enable_truncation(4)
    made.enable_padding(length=50)
    path = tmp_path_factory.mktemp("foreign") / "tokenizer.json"
    made.save(str(path))
    return path


SPELT = "  the  dog<eod> , <fim-prefix>the fox."


def as_trained(tokenizer: Path) -> list[list[int]]:
    plain = Tokenizer.from_file(str(tokenizer))
    plain.encode_special_tokens = True
    return [plain.encode(text, add_special_tokens=False).ids for text in (*TEXTS, SPELT)]


def test_an_exported_tokenizer_is_the_one_of_training(foreign: Path, tokenizer: Path, tmp_path: Path) -> None:
    """Opened by `tokenizers`, with what the settings say, and asked as people ask: with special tokens added."""
    export(TINY, of(lively(TINY)), foreign, tmp_path / "model", eod=EOD, sequence=64)
    settings = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    opened = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    opened.encode_special_tokens = settings["split_special_tokens"]
    assert [opened.encode(text).ids for text in (*TEXTS, SPELT)] == as_trained(tokenizer)


def test_a_full_disk_leaves_nothing_and_a_killed_export_does_not_hinder(tokenizer: Path, tmp_path: Path) -> None:
    params = lively(TINY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # Room for every file but the weights.
    try:
        with pytest.raises(Failure, match=r"cannot write .*model"):
            export(TINY, of(params), tokenizer, tmp_path / "model", eod=EOD, sequence=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
    (tmp_path / ".model.part").mkdir()
    (tmp_path / ".model.part" / "stale.json").touch()
    export(TINY, of(params), tokenizer, tmp_path / "model", eod=EOD, sequence=64)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert "stale.json" not in {path.name for path in (tmp_path / "model").iterdir()}


def test_an_export_that_cannot_be_right_is_refused(tokenizer: Path, folder: Path) -> None:
    def attempt(config: ModelConfig, out: Path, path: Path = tokenizer, eod: int = EOD) -> None:
        export(config, of(lively(TINY)), path, out, eod=eod, sequence=64)

    new = folder.parent / "new"
    with pytest.raises(UserError, match="is not empty; remove it"):
        attempt(TINY, folder)
    with pytest.raises(UserError, match="not those of model 'tiny'"):
        attempt(replace(TINY, feed_forward=48), new)
    with pytest.raises(UserError, match="has no token 900"):
        attempt(TINY, new, eod=900)
    with pytest.raises(Failure, match=r"tokenizer .* cannot be read"):
        attempt(TINY, new, path=folder / "config.json")
    few = replace(TINY, vocabulary=30)
    with pytest.raises(UserError, match=r"has ids up to \d+ and model 'tiny' a vocabulary of 30"):
        export(few, of(lively(few)), tokenizer, new, eod=EOD, sequence=64)
    assert not new.exists()


def _drop(folder: Path, name: str) -> None:
    tensors = raw_tensors(folder / "model.safetensors")
    del tensors[name]
    write_tensors(folder / "model.safetensors", tensors)


def _replace_tensor(folder: Path, name: str, array: np.ndarray) -> None:
    write_tensors(folder / "model.safetensors", raw_tensors(folder / "model.safetensors") | {name: array})


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


QUERY = "model.layers.1.self_attn.q_proj.weight"
DAMAGES: dict[str, tuple[Callable[[Path], None], type[Exception], str]] = {
    "another architecture": (
        lambda f: change(f, architectures=["LlamaForCausalLM"]),
        UserError,
        "only CohereForCausalLM",
    ),
    "no configuration": (lambda f: (f / "config.json").unlink(), UserError, "is no exported model"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), Failure, "cannot be read"),
    "not an object": (lambda f: (f / "config.json").write_text("[]"), UserError, "architecture None"),
    "no width": (lambda f: change(f, hidden_size=None), Failure, "hidden_size"),
    "a width of words": (lambda f: change(f, hidden_size="wide"), Failure, "wide"),
    "no rotary base": (lambda f: change(f, rope_theta=None, rope_parameters=None), Failure, "rope_theta"),
    "scaled positions": (lambda f: change(f, rope_parameters={"rope_type": "yarn"}), UserError, "scales its rotary"),
    "norms of queries": (lambda f: change(f, use_qk_norm=True), UserError, "has use_qk_norm True"),
    "another activation": (lambda f: change(f, hidden_act="gelu"), UserError, "has hidden_act 'gelu'"),
    "odd sharing of keys": (lambda f: change(f, num_key_value_heads=2), UserError, "3 heads, .* 2 heads of keys"),
    "wide heads": (lambda f: change(f, head_dim=16), UserError, "head_dim 16"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), Failure, "no tokenizer.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), Failure, "is missing or damaged"),
    "truncated": (lambda f: _truncate(f / "model.safetensors"), Failure, "model.safetensors is missing or damaged"),
    "a tensor missing": (lambda f: _drop(f, QUERY), Failure, f"no tensor {QUERY}"),
    "a wrong shape": (
        lambda f: _replace_tensor(f, QUERY, np.zeros((24, 23), np.float32)),
        Failure,
        r"q_proj.weight of .* has shape \(24, 23\), .* asks for \(24, 24\)",
    ),
    "integers": (lambda f: _replace_tensor(f, QUERY, np.zeros((24, 24), np.int32)), UserError, "is of int32"),
    "a layer too many": (lambda f: change(f, num_hidden_layers=1), Failure, "has tensor model.layers.1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_folder_that_cannot_be_read_says_why_in_one_line(damage: str, folder: Path) -> None:
    harm, kind, named = DAMAGES[damage]
    harm(folder)
    with pytest.raises(kind, match=named) as raised:
        read(folder)
    assert "\n" not in str(raised.value)


def test_shared_keys_a_scale_of_logits_half_precision_and_parts_are_read(folder: Path) -> None:
    """As published models have them: one head of keys and values for all queries, logits scaled, two files."""
    expected = {name: np.asarray(array) for name, array in lively(LONG).items()}
    tensors = {name: array.astype(np.float16) for name, array in raw_tensors(folder / "model.safetensors").items()}
    for layer in range(LONG.layers):
        for ours, theirs in (("key", "k_proj"), ("value", "v_proj")):
            name = f"model.layers.{layer}.self_attn.{theirs}.weight"
            tensors[name] = tensors[name][: LONG.head_width]
            one = expected[f"blocks.{layer}.{ours}"][:, : LONG.head_width]
            expected[f"blocks.{layer}.{ours}"] = np.concatenate([one] * LONG.heads, axis=1)
    (folder / "model.safetensors").unlink()
    parts = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(tensors)}
    for part in set(parts.values()):
        write_tensors(folder / part, {name: tensors[name] for name in tensors if parts[name] == part})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    change(folder, num_key_value_heads=1, logit_scale=0.0625, name=None, rope_parameters=None)

    config, params, _ = read(folder)
    assert config == replace(LONG, name="model")
    halved = {name: array.astype(np.float16).astype(np.float32) for name, array in expected.items()}
    row = tokens(1, 20)
    np.testing.assert_allclose(
        our_logits(config, params, row)[0], 0.0625 * reference_logits(LONG, halved, row[0]), rtol=1e-4, atol=1e-4
    )


# --- Parity with transformers, where it is installed together with torch.


@pytest.fixture(scope="module")
def transformers() -> Any:
    pytest.importorskip("torch", reason="install torch and transformers to compare with them")
    return pytest.importorskip("transformers", reason="install torch and transformers to compare with them")


def their_logits(model: Any, rows_BxS: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(rows_BxS.astype(np.int64))).logits.numpy()


@pytest.mark.parametrize("which", ["random", "lively", "trained"])
def test_logits_and_generation_are_those_of_transformers(
    which: str, transformers: Any, trained: Params, tokenizer: Path, tmp_path: Path
) -> None:
    import torch

    config, params = {
        "random": (TINY, initial(TINY, 1)),
        "lively": (LONG, lively(LONG)),
        "trained": (TINY, trained),
    }[which]
    export(config, of(params), tokenizer, tmp_path / "model", eod=EOD, sequence=128)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(model).__name__ == "CohereForCausalLM"
    assert model.dtype == torch.float32
    rows_BxS = np.concatenate([tokens(2, 100), np.resize(tokens(4, 17)[0], (1, 100))])
    np.testing.assert_allclose(our_logits(config, params, rows_BxS), their_logits(model, rows_BxS), rtol=0, atol=1e-4)
    for prompt in (rows_BxS[:1, :5], rows_BxS[2:, :1], rows_BxS[2:, :9]):
        attention = torch.ones(prompt.shape, dtype=torch.int64)
        theirs = model.generate(torch.from_numpy(prompt.astype(np.int64)), attention_mask=attention, max_new_tokens=20)
        theirs = theirs[0, prompt.shape[1] :].tolist()
        (ours,) = continued(config, params, [prompt[0]], 20)
        assert len(theirs) == 20 or theirs[-1] == EOD  # Theirs stops at the end of a document.
        assert theirs == ours[: len(theirs)]


def test_the_tokenizer_opens_in_transformers_with_equal_ids(transformers: Any, folder: Path) -> None:
    theirs, ours = (
        transformers.AutoTokenizer.from_pretrained(folder),
        Tokenizer.from_file(str(folder / "tokenizer.json")),
    )
    assert theirs.bos_token_id == theirs.eos_token_id == theirs.pad_token_id == EOD
    ours.encode_special_tokens = True  # as it is trained with
    for text in (*TEXTS, "  the  dog , the fox.", "<fim-prefix>the box<eod>"):
        assert theirs(text)["input_ids"] == ours.encode(text).ids
        assert EOD not in theirs(text)["input_ids"]
    ids = ours.encode(TEXTS[0]).ids
    assert theirs.decode([*ids, EOD], skip_special_tokens=True) == TEXTS[0]
    assert theirs.decode(theirs(" a , b")["input_ids"]) == ours.decode(ours.encode(" a , b").ids)


def test_a_foreign_tokenizer_opens_in_transformers_as_it_was_trained_with(
    transformers: Any, foreign: Path, tokenizer: Path, tmp_path: Path
) -> None:
    export(TINY, of(lively(TINY)), foreign, tmp_path / "model", eod=EOD, sequence=64)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert [theirs(text)["input_ids"] for text in (*TEXTS, SPELT)] == as_trained(tokenizer)


def test_a_model_that_transformers_wrote_is_read_with_equal_logits(
    transformers: Any, tokenizer: Path, tmp_path: Path
) -> None:
    import torch

    torch.manual_seed(0)
    config = transformers.CohereConfig(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        rope_parameters={"rope_type": "default", "rope_theta": 8e6},
    )
    assert config.logit_scale == 0.0625
    model = transformers.CohereForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 1
    (tmp_path / "model" / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    read_config, params, _ = read(tmp_path / "model")
    rows_BxS = tokens(2, 40)
    expected = their_logits(model.float(), rows_BxS)
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(our_logits(read_config, params, rows_BxS), expected, rtol=0, atol=1e-4)
