"""The records of study `proportion`, or of one like it, as if it had been run: with the scores of a known truth."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from analysis.ledger_rows import StepRecord, ledger_line
from analysis.records import EndRecord, EvalRecord, RunRecord, StageRecord, StudyRecord, eval_path, write
from experiments.plan.find import find_study
from experiments.plan.make import make_plan
from experiments.plan.stage import Plan, PlannedStage
from experiments.study import Study
from mixtures.mixture import shares

Truth = Callable[[Mapping[str, float]], Mapping[str, float]]
"""From the share of every kind to bits per byte by task."""
ITEMS = 40


def write_run(store: Path, truth: Truth, sd: float, study: Study | None = None, seed: int = 0) -> Study:
    """One mixture a run; what a seed does to all arms alike is as large as what it does to one."""
    study = study or find_study("proportion", "laptop")
    plan, runs, rng = make_plan(study, store), [], np.random.default_rng(seed)
    hardness_N = rng.lognormal(0, 0.3, ITEMS)
    of_seed = {run: rng.normal(0, sd) for run in study.seeds}
    for arm in study.arms:
        for number in study.seeds:
            chain = [plan.stage(id) for id in plan.runs[arm.name, number]]  # one stage, perhaps in pieces
            folders = []
            for stage in chain:
                fingerprint = sha256(f"{study.key} {arm.name} {number} {stage.id}".encode()).hexdigest()[:16]
                folders.append(f"{stage.id}-{fingerprint}")
                _write_stage(store / "stages" / folders[-1], plan, stage, fingerprint, number)
            kinds = plan.tokens_by_kind(chain[-1])
            share = {kind: tokens / chain[-1].tokens for kind, tokens in kinds.items()}
            for task, bits in truth(share).items():
                level = bits * np.exp(rng.normal(0, sd) + of_seed[number])
                rows = tuple(
                    {"id": f"{task}-{i}", "nats": float(level * np.log(2) * 100 * hard), "bytes": 100}
                    for i, hard in enumerate(hardness_N / hardness_N.mean())
                )
                path = store / "stages" / folders[-1]
                write(eval_path(path, task, 1, 1), EvalRecord(task, 1, "hash", fingerprint, 1, rows))
            runs.append(RunRecord(arm.name, number, tuple(folders), tuple("pretrain" for _ in folders)))
    write(store / "studies" / study.key / "study.json", _record(study, runs))
    return study


def _write_stage(path: Path, plan: Plan, stage: PlannedStage, fingerprint: str, seed: int) -> None:
    mix = [[source, str(share)] for source, share in shares(stage.stage.mixture).items()]
    before = stage.tokens_before / stage.tokens
    epochs = {source: (1 + before) * tokens / 50_000 for source, tokens in stage.tokens_by_source.items()}
    record = StageRecord(
        stage.id, fingerprint, "pretrain", stage.model.name, None, seed, 1, stage.tokens,
        stage.tokens_by_source, plan.tokens_by_kind(stage), epochs, 1.0, stage.tokens_before, {"mixture": mix},
    )  # fmt: skip
    write(path / "stage.json", record)
    step = StepRecord(1, stage.tokens, 3.0, 1.0, 1e-3, stage.tokens_by_source, "d", 0.1)
    (path / "ledger.jsonl").write_bytes(ledger_line(step))
    write(path / "done.json", EndRecord(1, stage.tokens, 3.0, 1.0))


def _record(study: Study, runs: Sequence[RunRecord]) -> StudyRecord:
    arms = {arm.name: arm.description for arm in study.arms}
    return StudyRecord(
        study.key, study.question, study.hypothesis, study.baseline, arms, tuple(runs), study.primary, "", "none"
    )
