"""What an evaluation asks of a model's devices; where those are several processes', all compute what the first asks.

The first process goes through an evaluation as if it were alone. Before each program it tells the others which one,
with its numpy arguments, and they run it too: a program of a mesh runs wherever its devices are. Weights and slots stay
on the devices. With one process nothing is sent.

A program is a function (model, slots, ...) -> (slots, what is found), of this file, by which the others know it.
"""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

from analysis.evals.model import LanguageModel
from models import decode
from models.decode import Slots
from models.devices import hosts
from models.devices.parallel import BATCH

_FEWEST = 1 << 12
"""Bytes of what is told, at the least: each power of two is a program."""
_Program = Callable[..., tuple[Slots | None, Any]]


def run(program: _Program, model: LanguageModel, slots: Slots | None, *arguments: Any) -> tuple[Any, Any]:
    """Of a program of this file its slots and what it finds, from all devices of the model."""
    if not hosts.alone():
        _tell((program, arguments))
    return program(model, slots, *arguments)


def scored(model: LanguageModel, slots: None, trees: decode.Trees) -> tuple[None, tuple[jax.Array, jax.Array]]:
    return slots, decode.scorer(model.config, model.mesh)(model.params, _placed(model, trees))


def begun(model: LanguageModel, _: Slots | None, slots: int, columns: int) -> tuple[Slots, None]:
    return decode.empty_slots(model.config, slots, columns, model.mesh), None


def widened(model: LanguageModel, slots: Slots, columns: int) -> tuple[Slots, None]:
    return decode.widen(slots, columns), None


def entered(model: LanguageModel, slots: Slots, prompts: decode.Prompts) -> tuple[Slots, None]:
    return decode.enterer(model.config, model.mesh)(model.params, slots, _placed(model, prompts)), None


def advanced(
    model: LanguageModel, slots: Slots, alive_B: np.ndarray, steps: int, draws: bool
) -> tuple[Slots, jax.Array]:
    advance = decode.advancer(model.config, steps, model.eod, draws, model.mesh)
    return advance(model.params, slots, _placed(model, alive_B))


@contextmanager
def leading(open_model: Callable[[], LanguageModel]) -> Iterator[Callable[[], LanguageModel]]:
    """In the first process: yield a function that opens the model in all of them; at the end the others are free.

    An error that leaves the block is for `hosts.ending_together` to tell them; but they are told here to end with a
    process that is told to.
    """
    if hosts.alone():
        yield open_model
        return

    def opened() -> LanguageModel:
        _tell((None, ()))
        return open_model()

    try:
        yield opened
    except Exception:
        raise
    except BaseException as error:
        _tell(str(error) or type(error).__name__)
        raise
    _tell(None)


def follow(open_model: Callable[[], LanguageModel]) -> None:
    """In every other process: compute what the first one asks for, until it ends.

    Raises:
        Interrupted: it was told to end.
    """
    model: Any = None
    slots = None
    while (told := _told()) is not None:
        if isinstance(told, str):
            raise hosts.Interrupted(f"process 0 failed: {told}")
        program, arguments = told
        if program is None:
            model = open_model()
        else:
            slots, _ = program(model, slots, *arguments)


def _placed(model: LanguageModel, rows: Any) -> Any:
    """numpy arrays that every process has whole, each device's rows on it."""
    if model.mesh is None or hosts.alone():
        return rows
    place = NamedSharding(model.mesh, BATCH)
    return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, place, lambda at: x[at]), rows)


def _tell(what: Any) -> None:
    written = np.frombuffer(pickle.dumps(what), np.uint8)
    hosts.told(len(written))
    multihost_utils.broadcast_one_to_all(np.pad(written, (0, _size(len(written)) - len(written))))


def _told() -> Any:
    length = hosts.told(0)
    return pickle.loads(multihost_utils.broadcast_one_to_all(np.zeros(_size(length), np.uint8))[:length].tobytes())


def _size(length: int) -> int:
    return max(_FEWEST, 1 << (length - 1).bit_length())
