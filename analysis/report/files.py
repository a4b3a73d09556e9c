"""The numbers of a report as CSV files beside it."""

from analysis.compare import Comparison
from analysis.ledgers import Ledgers, by_source, costs
from analysis.records import StudyRecord
from analysis.tabular import csv_text, ends


def comparison_csv(comparison: Comparison) -> str:
    header = (
        *("arm", "metric", "at", "n_items", "n_seeds", "value", "baseline_value", "difference", "low", "high"),
        *("relative", "relative_low", "relative_high", "p", "p_adjusted", "adjustment", "sd"),
        *("higher_is_better", "interval_kind", "verdict", "side", "strength", "why", "n_declared"),
        *("items_low", "items_high", "variance_of_seeds", "variance_of_items", "variance_of_both"),
        *("margin", "p_equivalent", "baseline"),
    )
    rows = (
        {
            **row.flat,
            **row.flat["verdict"],
            "verdict": row.judged.text,
            **ends("", row.estimate.difference),
            **ends("relative_", row.estimate.relative),
            **ends("items_", row.estimate.these_items),
            **{f"variance_of_{name}": value for name, value in vars(row.estimate.spread).items()},
        }
        for row in comparison.rows
    )
    return csv_text(header, rows)


def scores_csv(comparison: Comparison) -> str:
    """Every metric of every checkpoint, with what it is from."""
    header = ("arm", "seed", "at", "metric", "n_items", "value", "stage", "fingerprint", "step")
    found = (
        {
            **{"arm": arm, "seed": seed, "at": at, "metric": metric.name, "value": values[metric.name]},
            "n_items": sum(len(of[task].ids) for task, _ in metric.parts),
            **{"stage": stage.id, "fingerprint": stage.fingerprint, "step": stage.steps},
        }
        for (arm, seed, at), of in comparison.evaluated.scores.items()
        for values, stage in ((comparison.values[arm, seed, at], comparison.evaluated.stages[arm, seed, at]),)
        for metric in comparison.metrics
        if metric.name in values
    )
    return csv_text(header, found)


def losses_csv(study: StudyRecord, ledgers: Ledgers) -> str:
    header = ("arm", "seed", "stage", "kind", "step", "lineage_tokens", "loss", "grad_norm", "learning_rate")
    rows = (
        {
            **vars(step),
            **{"arm": run.arm, "seed": run.seed, "stage": stage.id, "kind": stage.kind},
            "lineage_tokens": stage.tokens_before + step.tokens,
        }
        for run in study.runs
        for folder in run.stages
        if folder in ledgers
        for stage, steps in (ledgers[folder],)
        for step in steps
    )
    return csv_text(header, rows)


def cost_csv(study: StudyRecord, ledgers: Ledgers) -> str:
    header = ("stage", "kind", "fingerprint", "arms", "model", "steps", "planned_steps", "tokens", "flops", "seconds")
    return csv_text(header, costs(study, ledgers))


def tokens_csv(ledgers: Ledgers) -> str:
    header = ("stage", "fingerprint", "kind", "seed", "source", "declared", "realised", "epochs")
    return csv_text(header, by_source(ledgers))
