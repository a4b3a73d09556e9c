"""A study whose records have the paper's published shares: as many items right as its tables and figures print."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from analysis.claims.published import COOLED, COOLED_WITHOUT, LARGE, RESULTS, Model
from analysis.records import EndRecord, EvalRecord, RunRecord, StageRecord, StudyRecord, eval_path, write

N = 1_000
TASK = {"reasoning": "hellaswag", "knowledge": "triviaqa", "code": "humaneval_exec"}
"""One of each measure, so that its mean is the share itself."""


def arm_of(model: Model) -> str:
    cooled = {COOLED: "-to-cooldown", COOLED_WITHOUT: "-to-cooldown-without-code"}.get(model.point, "")
    return model.ours[0] + cooled + ("-2m" if model.size == LARGE else "")


def published() -> dict[str, dict[str, Fraction]]:
    """Shares in per cent by arm and measure; those with more than one decimal are rounded."""
    found: dict[str, dict[str, Fraction]] = {}
    for one in reversed(RESULTS):
        if one.measure in TASK:
            found.setdefault(arm_of(one.model), {})[one.measure] = round(one.value, 1)
    return found


def item(task: str, number: int, right: bool) -> dict[str, Any]:
    head: dict[str, Any] = {"id": f"{number:04}"}
    if task == "humaneval_exec":
        return head | {"samples": 1, "passed": int(right), "runs": True, "weak": False, "reasons": {}}
    return head | {"nats": 2.0, "bytes": 4, "correct": int(right)}


def write_study(
    store: Path,
    arms: Mapping[str, Mapping[str, Fraction]],
    name: str = "published",
    kinds: Sequence[str] = ("pretrain",),
    baseline: str = "text-only",
) -> None:
    """Every arm with one seed; its shares are those of its last stage."""
    runs = []
    for arm, shares in arms.items():
        folders = []
        for number, kind in enumerate(kinds):
            fingerprint = f"{arm}{number}".encode().hex()
            folders.append(f"{arm}-{kind}-{fingerprint}")
            stage = StageRecord(
                id=f"{arm}-{kind}", fingerprint=fingerprint, kind=kind, model="1m", parent=None, seed=0, steps=1,
                tokens=1, tokens_by_source={}, tokens_by_kind={}, epochs_by_source={},
                flops=1.0, tokens_before=0, identity={},
            )  # fmt: skip
            path = store / "stages" / folders[-1]
            write(path / "stage.json", stage)
            write(path / "done.json", EndRecord(1, 1, 1.0, 1.0))
        for measure, share in shares.items():
            task, right = TASK[measure], share * N / 100
            assert right.denominator == 1
            items = tuple(item(task, i, i < right) for i in range(N))
            write(eval_path(path, task, 1, 1), EvalRecord(task, 1, f"hash of {task}", fingerprint, 1, items))
        runs.append(RunRecord(arm, 0, tuple(folders), tuple(kinds)))
    record = StudyRecord(name, "", "", baseline, dict.fromkeys(arms, ""), tuple(runs), (), "", "data")
    write(store / "studies" / name / "study.json", record)
