"""Score a made-up task with a made-up model: run_evaluation RECORD PORTIONS, killed after so many portions."""

import os
import signal
import sys
from pathlib import Path

from analysis.evals.questions import Question
from analysis.evals.tasks import Task
from analysis.records import EvalRecord
from experiments.score import checkpoints
from tests.analysis.language import model

CHECKPOINT = checkpoints.Checkpoint("0123456789abcdef", 7)
PORTION = 4
_TEXTS = [f"a long document about birds, number {number} " for number in range(8)]
QUESTIONS = (
    *(Question(f"t{n}", (("", text),), 0, source="made-up") for n, text in enumerate(_TEXTS)),
    *(Question(f"c{n}", ((text, " a bird"), (text, " an answer, long")), n % 2) for n, text in enumerate(_TEXTS)),
    *(Question(f"o{n}", ((text, " bird"),), 0, ("bird",), ("\n",), 6, "ours") for n, text in enumerate(_TEXTS)),
)
TASK = Task("made-up", 3, QUESTIONS)


def score(path: Path, task: Task = TASK, killed_after: float = float("inf")) -> EvalRecord:
    portions = iter(range(1_000))

    def progress(done: float) -> None:
        if next(portions) >= killed_after:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.PORTION = PORTION
    return checkpoints.score(CHECKPOINT, {path: task}, model, progress)[path]


if __name__ == "__main__":
    score(Path(sys.argv[1]), killed_after=int(sys.argv[2]))
