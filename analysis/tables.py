"""The tables of a report as plain values, the words for them that its template uses, and CSV text."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.compare import Comparison
from analysis.components import COMPONENTS, sd_text
from analysis.metrics import HELDOUT_KINDS, Metric, percent_text
from analysis.records import StageRecord, StepRecord, StudyRecord
from analysis.scores import BEFORE, FINAL
from analysis.statistics import Interval, share_interval
from mixtures.tokens.manifest import in_common
from store.files import read_sealed
from store.layout import PREPARED, Prepared

HEADLINE = (
    *(f"heldout/{kind}/bpb" for kind in HELDOUT_KINDS),
    "humaneval/gold_bpb",
    "mbpp/gold_bpb",
    "humaneval_exec/pass@1",
    "mbpp_exec/pass@1",
    "nl/gold_bpb",
    "reasoning/acc",
    "knowledge/exact_match",
)

Ledgers = Mapping[str, tuple[StageRecord, Sequence[StepRecord]]]
"""Stage folder to its record and steps, in the order of the runs; a stage that arms share is there once."""


def p_text(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count_text(count: float) -> str:
    """A count of tokens or the like with three digits: 812, 51.2k, 1.05M, 3.40B."""
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= 0.9995 * size:
            digits = 2 if abs(count) < 9.995 * size else 1 if abs(count) < 99.95 * size else 0
            return f"{count / size:.{digits}f}{suffix}"
    return f"{count:g}"


def duration_text(seconds: float) -> str:
    """120 s, 14.2 min or 3.4 h, by size."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3 * 3600 else f"{seconds / 3600:.1f} h"


def percents_text(interval: Interval | None) -> str:
    return f"[{percent_text(interval.low)}, {percent_text(interval.high)}]" if interval else "–"


WORDS = {
    **{"p": p_text, "count": count_text, "flops": "{:.2e}".format, "duration": duration_text, "whole": "{:,}".format},
    **{"percent": percent_text, "percents": percents_text, "in_common": in_common},
}
"""The template's filters."""


def csv_text(header: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV with \\n line ends. Floats have ten digits, enough for any use and the same after a last-bit change.

    What is not there, or endless, is empty.
    """

    def text(cell: Any) -> Any:
        if isinstance(cell, float):
            return f"{cell:.10g}" if math.isfinite(cell) else ""
        return cell

    file = io.StringIO()
    writer = csv.DictWriter(file, header, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: text(cell) for name, cell in row.items()} for row in rows)
    return file.getvalue()


def ends(prefix: str, interval: Interval | None) -> dict[str, float | None]:
    """The two columns of an interval."""
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {f"{prefix}low": low, f"{prefix}high": high}


def headline(comparison: Comparison) -> list[dict[str, Any]]:
    """Headline metrics by arms at the end of the runs: the value, and the row that compares it with its baseline."""
    rows = {(row.arm, row.metric): row for row in comparison.at(FINAL)}
    table = []
    for metric in shown(comparison):
        cells = []
        for arm in comparison.study.arms:
            seeds, row = comparison.by_seed(arm, metric.name, FINAL), rows.get((arm, metric))
            # An arm's is of the seeds that are compared, that of one compared with none of all it has.
            value = row.estimate.value if row else sum(seeds.values()) / len(seeds) if seeds else None
            cells.append({"value": value, "row": row})
        table.append({"metric": metric, "primary": metric.name in comparison.study.primary, "cells": cells})
    return table


def shown(comparison: Comparison) -> list[Metric]:
    """The headline metrics that are there."""
    there = {metric.name: metric for metric in comparison.metrics}
    return [there[name] for name in HEADLINE if name in there]


def components_table(comparison: Comparison) -> list[dict[str, Any]]:
    """The components of headline and primary metrics at the end, as standard deviations with their intervals."""
    wanted = {*(metric.name for metric in shown(comparison)), *comparison.study.primary}
    table = []
    for each in (each for each in comparison.components if each.at == FINAL and each.metric.name in wanted):
        score, parts = each.metric.score, {part.name: part for part in each.parts}
        cells = [
            f"{sd_text(score, part.variance)} [{sd_text(score, part.low)}, {sd_text(score, part.high)}]"
            if part
            else "–"
            for part in map(parts.get, COMPONENTS)
        ]
        table.append({"components": each, "cells": cells})
    return table


def executed_table(comparison: Comparison) -> list[dict[str, Any]]:
    """pass@k of every arm at the end of its runs, a problem's value being the mean over seeds."""
    scores, found = comparison.evaluated.scores, []
    for metric in (metric for metric in comparison.metrics if metric.score.name.startswith("pass@")):
        task, column = metric.parts[0][0], metric.score.column
        for arm in comparison.study.arms:
            seeds = (of.get(task) for (name, _, at), of in scores.items() if (name, at) == (arm, FINAL))
            columns = [each.columns for each in seeds if each and column in each.columns]
            if not columns:
                continue
            runs_N = np.sum([each["runs"] for each in columns], axis=0)  # of how many seeds: machines may differ
            sum_N = np.sum([each[column] for each in columns], axis=0)
            values = (sum_N[runs_N > 0] / runs_N[runs_N > 0]).tolist()
            low, high = share_interval(values)
            found.append(
                {
                    "metric": metric.name,
                    "arm": arm,
                    "value": f"{100 * math.fsum(values) / len(values):.1f} %",
                    "interval": f"[{100 * low:.1f}, {100 * high:.1f}]",
                    "problems": f"{len(values):,} of {len(runs_N):,}",
                    "weak": f"{columns[0]['weak'].sum():.0f}",
                    "seeds": len(columns),
                }
            )
    return found


def cooldown_table(comparison: Comparison) -> list[dict[str, Any]]:
    """Headline metrics before and after the cooldown by arm, over the seeds that have both."""
    table = []
    for metric in shown(comparison):
        cells: list[tuple[float, ...] | None] = []
        for arm in comparison.study.arms:
            before, after = (comparison.by_seed(arm, metric.name, at) for at in (BEFORE, FINAL))
            seeds = sorted(before.keys() & after.keys())
            means = (sum(scores[seed] for seed in seeds) / len(seeds) for scores in (before, after))
            cells.append(tuple(means) if seeds else None)
        if any(cells):
            table.append({"metric": metric, "cells": cells})
    return table


def realised(steps: Sequence[StepRecord]) -> dict[str, int]:
    """Tokens per source, summed over the batches that were fed."""
    total: Counter[str] = Counter()
    for step in steps:
        total.update(step.counts)
    return dict(total)


def skipped_steps(ledgers: Ledgers) -> list[tuple[StageRecord, int, list[int]]]:
    """Every stage in which loss or gradient was not finite at some step, its steps, and those."""
    found = [(stage, len(steps), [step.step for step in steps if step.skipped]) for stage, steps in ledgers.values()]
    return [each for each in found if each[2]]


def _by_source(ledgers: Ledgers) -> Iterator[dict[str, Any]]:
    """Declared and realised tokens of every stage and source."""
    for stage, steps in ledgers.values():
        fed = realised(steps)
        for source in sorted({*stage.tokens_by_source, *fed}):
            yield {
                **{"stage": stage.id, "fingerprint": stage.fingerprint, "kind": stage.kind, "seed": stage.seed},
                **{"source": source, "declared": stage.tokens_by_source.get(source, 0), "realised": fed.get(source, 0)},
                "epochs": stage.epochs_by_source.get(source),
            }


def tokens_table(ledgers: Ledgers) -> list[dict[str, Any]]:
    """Declared and realised tokens, a row for each stage and source; seeds with equal numbers share a row."""
    grouped: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _by_source(ledgers):
        row["stage"] = re.sub(rf"-s{row['seed']}$", "", row["stage"])
        key = tuple(row[name] for name in ("stage", "kind", "source", "declared", "realised", "epochs"))
        grouped.setdefault(key, {**row, "seeds": []})["seeds"].append(row["seed"])
    return [row for row in grouped.values() if row["declared"] or row["realised"]]


def read_manifest(store: Path, study: StudyRecord) -> dict[str, Any] | None:
    """manifest.json of the prepared data, or None where there is none.

    Raises:
        Failure: the manifest cannot be read.
    """
    path = Prepared(store / PREPARED / study.prepared).manifest
    if not path.exists():
        return None
    return read_sealed(path, f"manifest of the prepared data {study.prepared}")


def fertility(manifest: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Bytes per token of every kind of text."""
    by_kind: dict[str, list[int]] = {}
    for source in manifest["sources"].values():
        sums = by_kind.setdefault(source["kind"], [0, 0])
        sums[0] += source["bytes"]
        sums[1] += source["tokens"]
    return [(kind, size / tokens) for kind, (size, tokens) in by_kind.items() if tokens]


def cost(study: StudyRecord, ledgers: Ledgers) -> list[dict[str, Any]]:
    """Tokens, analytic FLOPs and measured training time of what was run, a row a stage and last their sum; a stage that
    arms share counts once."""
    rows: list[dict[str, Any]] = []
    for folder, (stage, steps) in ledgers.items():
        arms = [run.arm for run in study.runs if folder in run.stages]
        rows.append(
            {
                **{"stage": stage, "arms": ", ".join(dict.fromkeys(arms)), "steps": len(steps)},
                **{"tokens": steps[-1].tokens if steps else 0, "flops": stage.flops * len(steps) / stage.steps},
                "seconds": sum(step.seconds for step in steps),
            }
        )
    return [*rows, {name: sum(row[name] for row in rows) for name in ("tokens", "flops", "seconds")}]


def comparison_csv(comparison: Comparison) -> str:
    header = (
        *("arm", "metric", "at", "n_items", "n_seeds", "value", "baseline_value", "difference", "low", "high"),
        *("relative", "relative_low", "relative_high", "p", "p_holm", "sd"),
        *("higher_is_better", "interval_kind", "verdict", "what", "strength", "why", "n_declared"),
        *("these_low", "these_high", "p_bh", "variance_of_seeds", "variance_of_items", "variance_of_both"),
        "baseline",
    )
    rows = (
        {
            **row.flat,
            **ends("", row.estimate.difference),
            **ends("relative_", row.estimate.relative),
            **ends("these_", row.estimate.these_items),
            **{f"variance_of_{name}": value for name, value in vars(row.estimate.spread).items()},
        }
        for row in comparison.rows
    )
    return csv_text(header, rows)


def scores_csv(comparison: Comparison) -> str:
    header = ("arm", "seed", "at", "metric", "n_items", "value")
    found = (
        (*point, metric.name, sum(len(of[task].ids) for task, _ in metric.parts), comparison.values[point][metric.name])
        for point, of in comparison.evaluated.scores.items()
        for metric in comparison.metrics
        if metric.name in comparison.values[point]
    )
    return csv_text(header, (dict(zip(header, row, strict=True)) for row in found))


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


def tokens_csv(ledgers: Ledgers) -> str:
    header = ("stage", "fingerprint", "kind", "seed", "source", "declared", "realised", "epochs")
    return csv_text(header, _by_source(ledgers))
