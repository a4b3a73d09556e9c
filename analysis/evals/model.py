"""A model as evaluations see it: what it computes with, and the tokenizer and window it was trained with."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.sharding import Mesh
from tokenizers import Tokenizer

from mixtures.tokens.tokenizer import eod_id, load, size
from models.config import ModelConfig
from models.devices.parallel import shardings
from models.export import read
from models.transformer import Params
from store.errors import Failure


@dataclass(frozen=True)
class LanguageModel:
    """A checkpoint ready to be asked.

    Attributes:
        eod: the token that closes a document and begins every context.
        window: the longest context, in tokens, that it scores or writes with.
        mesh: devices that share the work, and hold the parameters as models/devices/parallel.py places them; None: one.
    """

    config: ModelConfig
    params: Params
    tokenizer: Tokenizer
    eod: int
    window: int
    mesh: Mesh | None = None

    def encoded(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of texts, with no token before or after them."""
        return [found.ids for found in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def opened(folder: Path, mesh_for: Callable[[ModelConfig], Mesh | None] = lambda config: None) -> LanguageModel:
    """The model in a folder of `models.export`, or any of that architecture, on the mesh that is for it; its window is
    what the folder says.

    Raises:
        UserError, Failure: as `models.export.read`; or the folder does not say its window, or which token ends a text,
            or its tokenizer is of another model.
    """
    config, params, tokenizer = read(folder)
    said, theirs = json.loads((folder / "config.json").read_text(encoding="utf-8")), load(tokenizer)
    window, eod = said.get("max_position_embeddings"), said.get("eos_token_id")
    if not isinstance(window, int) or window < 1:
        raise Failure(f"{folder}/config.json has max_position_embeddings {window!r}; write there the context it takes")
    if size(theirs) > config.vocabulary:
        raise Failure(
            f"{tokenizer} has {size(theirs):,} ids and the model a vocabulary of {config.vocabulary:,}; fetch its own"
        )
    if not isinstance(eod, int) or theirs.id_to_token(eod) is None:
        eod = eod_id(theirs)
    mesh = mesh_for(config)
    placed = jax.device_put(params, None if mesh is None else shardings(mesh, params))
    return LanguageModel(config, placed, theirs, eod, window, mesh)
