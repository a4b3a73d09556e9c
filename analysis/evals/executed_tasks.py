"""The names of executed tasks: a benchmark's programs, as a study draws them, under a preset, or with a hole to fill.

humaneval_exec                            with the study's number of samples
humaneval_exec:phind                      under a preset of `analysis.evals.decoding`
humaneval_infilling_exec:single-line      a hole of a kind of `analysis.evals.code.infilling` in every solution
humaneval_infilling_exec:single-line-spm  asked suffix first
"""

import re
from dataclasses import dataclass

from analysis.evals.benchmarks import EXECUTED
from analysis.evals.code.executed import VERSION
from analysis.evals.code.infilling import HOLES, INFILLING_VERSION
from analysis.evals.decoding import PRESETS, Decoding
from store.errors import UserError

_NAME = re.compile(r"(?P<rows>\w+?)(?P<infilling>_infilling)?_exec(:(?P<variant>[\w-]+))?")
_SPM = "-spm"


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
    return isinstance(name, str) and _base(name.partition(":")[0]) in EXECUTED


def _base(task: str) -> str:
    return task.replace("_infilling_exec", "_exec")


def executed_task(name: str) -> ExecutedTask:
    """What the name of an executed task means.

    Raises:
        UserError: there is no such task, preset or kind of hole.
    """
    found = _NAME.fullmatch(name)
    if found is None or not is_executed(name):
        raise UserError(f"code task '{name}' is unknown; known are {', '.join(EXECUTED)}")
    task, variant = f"{found['rows']}_exec", found["variant"] or ""
    if not found["infilling"]:
        if variant and variant not in PRESETS:
            raise UserError(f"code task '{name}' is drawn in no known way; known are {', '.join(PRESETS)}")
        return ExecutedTask(task, PRESETS.get(variant))
    holes = variant.removesuffix(_SPM)
    if holes not in HOLES:
        kinds = ", ".join(f"{task.replace('_exec', '_infilling_exec')}:{kind}" for kind in HOLES)
        raise UserError(f"code task '{name}' has no known kind of hole; known are {kinds}, each also with {_SPM}")
    return ExecutedTask(task, None, holes, variant != holes)


def row_of(task: str, item: str) -> str:
    """The id of the benchmark's row that an item of a task is of: a hole's problem, else the item itself."""
    return item.rpartition("/")[0] if is_executed(task) and executed_task(task).holes else item
