"""The names of executed tasks: a benchmark's programs, as a study draws them, under a preset, or with a hole to fill.

"humaneval_exec" is drawn with the study's number of samples, "humaneval_exec:phind" under that preset of decoding.py.
"humaneval_infilling_exec:single-line" has a hole of that kind in every solution (code/infilling.py), and in
"humaneval_infilling_exec:single-line-spm" what follows the hole is shown first. So for every task of programs.
"""

from dataclasses import dataclass

from analysis.evals.benchmarks import EXECUTED, TASKS
from analysis.evals.code.executed import VERSION
from analysis.evals.code.infilling import HOLES, INFILLING_VERSION
from analysis.evals.decoding import PRESETS, Decoding
from store.errors import UserError

_FILLED, _SPM = "_infilling_exec", "-spm"


@dataclass(frozen=True)
class ExecutedTask:
    """What a name means.

    Attributes:
        task: in `analysis.evals.benchmarks.TASKS`.
        preset: how completions are drawn; None: as the study has it.
        holes: which kind, for infilling; "" for whole completions.
        suffix_first: whether the text after a hole is shown before the one in front of it.
    """

    task: str
    preset: Decoding | None = None
    holes: str = ""
    suffix_first: bool = False

    @property
    def version(self) -> int:
        return 100 * INFILLING_VERSION + VERSION if self.holes else VERSION

    @property
    def form(self) -> str:
        """For people, after the benchmark's title; "exec" as it always was."""
        if self.holes:
            return f"{self.holes} infilling{', suffix first' if self.suffix_first else ''}"
        return f"{self.preset.name} decoding" if self.preset else "exec"


def is_executed(name: object) -> bool:
    """Whether a task is one of programs, in any way."""
    return isinstance(name, str) and _of_programs(_whole(name.partition(":")[0]))


def _whole(task: str) -> str:
    """The task whose solutions have the holes."""
    return f"{task.removesuffix(_FILLED)}_exec" if task.endswith(_FILLED) else task


def _of_programs(task: str) -> bool:
    return task in TASKS and TASKS[task].problem is not None


def executed_task(name: str) -> ExecutedTask:
    """What the name of an executed task means.

    Raises:
        UserError: there is no such task, preset or kind of hole.
    """
    task, _, variant = name.partition(":")
    if _of_programs(task):
        if variant and variant not in PRESETS:
            raise UserError(f"code task '{name}' is drawn in no known way; known are {', '.join(PRESETS)}")
        return ExecutedTask(task, PRESETS.get(variant))
    if not is_executed(name):
        raise UserError(f"code task '{name}' is unknown; known are {', '.join(EXECUTED)}")
    holes = variant.removesuffix(_SPM)
    if holes not in HOLES:
        known = ", ".join(f"{task}:{kind}" for kind in HOLES)
        raise UserError(f"code task '{name}' has no known kind of hole; known are {known}, each also with {_SPM}")
    return ExecutedTask(_whole(task), None, holes, variant != holes)


def row_of(task: str, item: str) -> str:
    """The id of the benchmark's row that an item of a task is of: a hole's problem, else the item itself."""
    return item.rpartition("/")[0] if is_executed(task) and executed_task(task).holes else item
