"""What a stage is as a W&B run, out of the records alone: nothing here loads W&B's client.

Run id = fingerprint, group = study, job type = kind of stage, x-axis = tokens of the lineage. The history is the
ledger, a row a step, and after its end a row of the scores that were found there; the summary has all that is known of
the stage as a whole.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.composite import declared, metrics_of
from analysis.ledger_rows import StepRecord, last_step
from analysis.ledgers import realised
from analysis.metrics import value
from analysis.records import StudyRecord, read_stage, stage_folder
from analysis.scores import of_stage
from analysis.winrates import win_rates
from experiments.plan import status
from experiments.plan.stage import PreparedPlan, PreparedStage
from mixtures.mixture import shares
from store import layout
from store.paths import glob, stamp

Row = Mapping[str, Any]


@dataclass(frozen=True)
class StageRun:
    """A stage that has begun, as it is to be seen in W&B; `of_rows` has what the ledger adds.

    Attributes:
        id: the fingerprint.
        step: the newest of its ledger.
        checkpoint: where that of its end is, once it is there.
        seen: changes whenever anything but the ledger does: which scores and verdicts there are, and what it is called.
    """

    stage: PreparedStage
    folder: Path
    id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    config: Row
    step: int
    checkpoint: str | None
    seen: str


def stage_run(plan: PreparedPlan, stage: PreparedStage, store: Path) -> StageRun | None:
    """The run of a stage, or None where its ledger has no row yet.

    Raises:
        Failure: the record of the stage is damaged.
    """
    folder = stage_folder(store, stage.folder)
    last = last_step(folder)
    if last is None or not (folder / layout.STAGE).exists():
        return None
    config = _config(plan, stage, folder)
    tags = tuple(dict.fromkeys((*stage.arms, stage.model.name, *([plan.study.scale] if plan.study.scale else []))))
    done = status.trained(stage, store)
    checkpoint = f"{status.checkpoints(store, stage.folder)}/step-{stage.steps:08d}" if done else None
    records = glob(folder / layout.EVALS, "*.json") if done else []
    if stage.id in {chain[-1] for chain in plan.runs.values()}:
        records += glob(store / layout.STUDIES / plan.study.key / layout.JUDGED, "*/*/*.json")
    found = sorted((path.name, *stamp(path)) for path in records)
    shown = [stage.id, plan.study.key, tags, config, checkpoint, found]
    return StageRun(
        stage=stage,
        folder=folder,
        id=stage.fingerprint,
        name=stage.id,
        group=plan.study.key,
        job_type=stage.stage.kind,
        tags=tags,
        config=config,
        step=last.step,
        checkpoint=checkpoint,
        seen=hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16],
    )


def _config(plan: PreparedPlan, stage: PreparedStage, folder: Path) -> Row:
    """What can be filtered and grouped by: `config.arm`, `config.mix.sources.python`, ..."""
    fractions = shares(stage.stage.mixture)
    by_kind: dict[str, float] = {}
    for source, share in fractions.items():
        by_kind[plan.kinds[source]] = by_kind.get(plan.kinds[source], 0.0) + float(share)
    return {
        "study": plan.study.key,
        "scale": plan.study.scale,
        "arm": ", ".join(stage.arms),
        "arms": list(stage.arms),
        "kind": stage.stage.kind,
        "model_size": stage.model.name,
        "model": asdict(stage.model),
        "seed": stage.seed,
        "init_seed": stage.init_seed,
        "data_seed": stage.data_seed,
        "mix": {
            "name": stage.stage.mixture.name,
            "sources": {source: float(share) for source, share in fractions.items()},
            "kinds": by_kind,
        },
        "parent": stage.identity["parent"],
        "steps": stage.steps,
        "tokens_requested": stage.stage.tokens,
        "tokens_planned": stage.tokens,
        "tokens_before": stage.tokens_before,
        "flops": plan.flops(stage),
        "environment": dict(read_stage(folder).environment),
        "identity": dict(stage.identity),
    }


def history(run: StageRun, rows: Iterable[StepRecord], after: int = 0) -> Iterator[tuple[int, Row]]:
    """Steps later than `after` with their values; what was not finite is left out, for W&B a gap in a curve."""
    skipped = 0
    for row in rows:
        skipped += row.skipped
        if row.step <= after:
            continue
        values = {key: of for key, of in asdict(row).items() if key not in ("counts", "digest", "step", "tokens")}
        values |= {"skipped": int(row.skipped), "skipped_steps": skipped}
        values |= {"tokens": run.stage.tokens_before + row.tokens, "stage_tokens": row.tokens}
        values |= {f"tokens_in_step/{source}": n for source, n in row.counts.items()}
        yield row.step, {key: of for key, of in values.items() if of is not None}


@dataclass(frozen=True)
class Summary:
    """What is known of a stage as a whole: numbers, and tables as rows of cells by column."""

    numbers: Mapping[str, float]
    tables: Mapping[str, Sequence[Row]]


def summary(plan: PreparedPlan, run: StageRun, rows: Sequence[StepRecord], record: StudyRecord, store: Path) -> Summary:
    """Realised tokens, the scores of the stage's end and, at the end of a run, win rates where a judge was asked.

    Raises:
        Failure: a record is damaged.
    """
    stage, read = run.stage, realised(rows)
    tokens: list[Row] = [
        {
            **{"source": source, "kind": plan.kinds[source]},
            **{"declared": stage.tokens_by_source.get(source, 0), "realised": read.get(source, 0)},
            "epochs": stage.epochs.get(source),
        }
        for source in sorted({*stage.tokens_by_source, *read})
    ]
    scores, won = _evaluation(plan, stage, record, store), _win_rates(stage, record, store)
    return Summary(
        {
            **{f"realised_tokens/{source}": n for source, n in read.items()},
            **{f"eval/{row['metric']}": row["value"] for row in scores},
            **{f"win_rate/{row['judge']}": row["of_seed"] for row in reversed(won)},
        },
        {name: table for name, table in (("tokens", tokens), ("evaluation", scores), ("win_rates", won)) if table},
    )


def _evaluation(plan: PreparedPlan, stage: PreparedStage, record: StudyRecord, store: Path) -> list[Row]:
    """The metrics of a trained stage's end; means of categories only where all tasks are asked."""
    if not status.trained(stage, store):
        return []
    scores = of_stage(store, stage.folder, record.asked)
    whole = stage.stage.scored or stage.id in plan.compared
    metrics = metrics_of(declared(record), scores)
    found = [(metric, value(metric, scores)) for metric in metrics if whole or len(metric.parts) == 1]
    return [
        {
            **{"metric": metric.name, "value": number, "items": sum(len(scores[task].ids) for task, _ in metric.parts)},
            **{"tasks": len(metric.parts), "unit": metric.score.unit},
            "better": "higher" if metric.score.higher_is_better else "lower",
        }
        for metric, number in found
        if number is not None
    ]


def _win_rates(stage: PreparedStage, record: StudyRecord, store: Path) -> list[Row]:
    """Of the arms whose runs end with this stage, with 95 % intervals over all seeds of the arm."""
    ends = [run for run in record.runs if run.stages and run.stages[-1] == stage.folder]
    if not ends or not (store / layout.STUDIES / record.name / layout.JUDGED).exists():
        return []
    return [
        {
            **{"judge": document["folder"], "arm": run.arm, "baseline": document["baseline"], "seed": run.seed},
            **{"of_seed": row["seeds"][str(run.seed)], "of_all_seeds": row["half"]["value"]},
            **{"low": row["half"]["low"], "high": row["half"]["high"], "pairs": row["n"]},
        }
        for document in win_rates(store, record)
        for row in document["arms"]
        for run in ends
        if run.arm == row["arm"] and str(run.seed) in row["seeds"]
    ]
