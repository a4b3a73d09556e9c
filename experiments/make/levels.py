"""How far an answer gets in the sandbox: four levels, after PanGu-Coder2 (arXiv:2307.14936, section 3); the numbers are
ours, since the paper gives none.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.evals.code import executed
from analysis.evals.code.box import Limits, Sandbox
from analysis.evals.code.executed import Problem
from models.devices.threads import cores
from store import kept_rows

LEVELS = ("does not compile", "raises or times out", "fails tests", "passes")
"""By their numbers. What passes a part of the tests fails; what ends its process, uses up its share or returns what is
no plain value counts as raising, so that an attack gets no further than an error."""
PASSES = LEVELS.index("passes")
PORTION = 128
"""Programs between two writes to the disk."""

_NO_PYTHON = ("SyntaxError", "IndentationError", "TabError", "_IncompleteInputError")

Levels = Mapping[tuple[str, str], int]
"""By the problem's id and the answer's text."""


def level(reason: str, detail: str) -> int:
    """Of a verdict. What a program says of itself in `detail` can only make it the lowest."""
    if reason == "load":
        return 0 if detail.partition(":")[0] in _NO_PYTHON else 1
    return {"passed": PASSES, "wrong": 2}.get(reason, 1)


def executed_levels(
    sandbox: Sandbox,
    problems: Sequence[Problem],
    texts: Mapping[str, Sequence[str]],
    file: Path,
    key: Mapping[str, Any],
    progress: Callable[[int], None],
    limits: Limits | None = None,
) -> Levels:
    """The levels of answers, which are executed in the sandbox and nowhere else.

    Args:
        texts: answers by the id of their problem, distinct.
        file: of the verdicts so far (store/kept_rows.py), which are not reached again.
        progress: told how many there are.
        limits: of a program; the sandbox's own if not said.

    Raises:
        Failure: the machine gives no box any more, or the disk is full; the verdicts are kept.
    """
    kept = {(row["problem"], row["sha256"]): row for row in kept_rows.read(file, key)}
    wanted = [(problem, text) for problem in problems for text in texts[problem.id]]
    missing = [(problem, text) for problem, text in wanted if (problem.id, _digest(text)) not in kept]
    progress(len(wanted) - len(missing))
    for first in range(0, len(missing), PORTION):
        portion = missing[first : first + PORTION]
        found = executed.run(
            sandbox, [problem for problem, _ in portion], [[text] for _, text in portion], len(cores()), limits
        )
        rows = [
            {"problem": problem.id, "sha256": _digest(text), "reason": its.reason, "detail": its.detail}
            for (problem, text), (its,) in zip(portion, found, strict=True)
        ]
        kept_rows.keep(file, key, rows)
        kept |= {(row["problem"], row["sha256"]): row for row in rows}
        progress(len(wanted) - len(missing) + first + len(portion))
    found_levels = {}
    for problem, text in wanted:
        row = kept[problem.id, _digest(text)]
        found_levels[problem.id, text] = level(row["reason"], row["detail"])
    return found_levels


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
