"""A process that has a stage answer problems: python -m experiments.make.sampling, with its order on standard input.

It ends when all is answered, and soon after the process that started it is gone. On a CPU it computes with one thread,
so that no number of cores decides an answer.
"""

import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.evals.code import executed
from analysis.evals.code.executed import Problem
from analysis.records import stage_folder
from experiments.workers.child import told
from mixtures.documents.document import hash64
from models.devices.threads import one_thread
from store import kept_rows
from store.errors import Failure, UserError

if TYPE_CHECKING:
    from analysis.evals.engine import Ask
    from analysis.evals.model import LanguageModel

Portion = tuple[tuple[Problem, int], ...]
"""Problems with the numbers of their draws, that are asked together and kept together."""


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn: `samples` of each problem, at the temperatures in turn."""

    samples: int
    temperatures: tuple[float, ...]
    top_p: float

    def temperature(self, sample: int) -> float:
        return self.temperatures[sample % len(self.temperatures)]


@dataclass(frozen=True)
class Order:
    """What a process is to do.

    Attributes:
        store, stage, step: the checkpoint: root, folder under stages/, and None for its end.
        task, portions: whose problems, and which.
        key, file: of the rows that it keeps.
    """

    store: Path
    stage: str
    step: int | None
    task: str
    portions: tuple[Portion, ...]
    drawing: Drawing
    key: dict[str, Any]
    file: Path


def sample(order: Order) -> None:
    """Answer the portions of an order, and keep the answers.

    Raises:
        UserError: the stage is not finished.
        Failure: a checkpoint is damaged or missing, or the disk is full.
    """
    from analysis.evals.engine import generate

    model = _opened(order)
    for portion in order.portions:
        texts = dict(generate(model, [_ask(model, order, problem, draw) for problem, draw in portion]))
        rows = [
            {"problem": problem.id, "sample": draw, "text": executed.extract(problem, texts[at])}
            for at, (problem, draw) in enumerate(portion)
        ]
        kept_rows.keep(order.file, order.key, rows)


def _opened(order: Order) -> "LanguageModel":
    from experiments.plan.status import checkpoints
    from experiments.run.trained import open_stage
    from models import checkpoint

    model = open_stage(stage_folder(order.store, order.stage), order.store)
    if order.step is None:
        return model
    folder = checkpoints(order.store, order.stage)
    return replace(model, params=checkpoint.restore_params(folder, order.step, model.params))


def _ask(model: "LanguageModel", order: Order, problem: Problem, draw: int) -> "Ask":
    """An answer gets what the window leaves, and a quarter of it at least; its seed is its own."""
    from analysis.evals.engine import Ask

    prompt_tokens = 1 + len(model.tokenizer.encode(problem.prompt, add_special_tokens=False).ids)
    room = max(model.window // 4, min(executed.NEW_TOKENS, model.window - prompt_tokens))
    seed = hash64(f"made {order.task} {problem.id} {draw}") % 2**31
    drawing = order.drawing
    return Ask(problem.prompt, problem.stops, room, drawing.temperature(draw), drawing.top_p, seed)


def main() -> None:
    order = told(1, signal.SIGKILL)  # whole portions are on the disk, and the others are asked again
    one_thread()
    try:
        sample(order)
    except (UserError, Failure) as error:
        print(f"ablate: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
