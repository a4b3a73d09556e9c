"""The tables of a report as plain values for its template, and the same numbers as CSV text."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis import pass_at_k
from analysis.compare import Comparison, Row
from analysis.metrics import (
    HELDOUT_KINDS,
    difference_text,
    higher_is_better,
    interval_text,
    label,
    percent_text,
    value_text,
)
from analysis.records import StageRecord, StepRecord, StudyRecord
from analysis.scores import BEFORE, FINAL
from mixtures.tokens.manifest import in_common
from store.files import read_sealed

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


def flops_text(flops: float) -> str:
    return f"{flops:.2e}"


def duration_text(seconds: float) -> str:
    """120 s, 14.2 min or 3.4 h, by size."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3 * 3600 else f"{seconds / 3600:.1f} h"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with \\n line ends. Floats have ten digits, enough for any use and the same after a last-bit change.

    What is not there, or endless, is empty.
    """

    def text(cell: Any) -> Any:
        if isinstance(cell, float):
            return f"{cell:.10g}" if math.isfinite(cell) else ""
        return "" if cell is None else cell

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([text(cell) for cell in row])
    return file.getvalue()


def headline(comparison: Comparison) -> list[dict[str, Any]]:
    """Headline metrics by arms at the end of the runs: value, and difference to the baseline with its interval."""
    there = {metric.name for metric in comparison.metrics}
    rows = {(row.arm, row.metric): row for row in comparison.at(FINAL)}
    table = []
    for name in (name for name in HEADLINE if name in there):
        cells = []
        for arm in comparison.study.arms:
            seeds = comparison.by_seed(arm, name, FINAL)
            row = rows.get((arm, name))
            cells.append(
                {
                    # An arm's is of the seeds that are compared, the baseline's of all it has.
                    "value": value_text(name, row.value if row else sum(seeds.values()) / len(seeds)) if seeds else "–",
                    "difference": difference_text(name, row.difference) if row else "",
                    "interval": interval_text(name, row.interval) if row else "",
                    "verdict": row.judged if row else None,
                }
            )
        metric, unit = label(name).split(", ")
        better = "higher is better" if higher_is_better(name) else "lower is better"
        table.append(
            {"metric": metric, "unit": f"{unit}, {better}", "primary": name in comparison.study.primary, "cells": cells}
        )
    return table


def comparison_cells(row: Row) -> dict[str, Any]:
    """One row of the full comparison, written out."""
    relative = "–" if row.relative_interval is None else "[{}, {}]".format(*map(percent_text, row.relative_interval))
    seeds = f"{row.n_seeds}" if row.n_seeds == row.n_declared else f"{row.n_seeds} of {row.n_declared}"
    return {
        "at": row.at,
        "metric": label(row.metric),
        "arm": row.arm,
        "n": f"{row.n_items:,} × {seeds}",
        "value": value_text(row.metric, row.value),
        "baseline": value_text(row.metric, row.baseline_value),
        "difference": difference_text(row.metric, row.difference),
        "interval": interval_text(row.metric, row.interval),
        "these_items": interval_text(row.metric, row.these_items) if row.these_items else "–",
        "relative": percent_text(row.relative),
        "relative_interval": relative,
        "p": p_text(row.p),
        "p_corrected": f"{p_text(row.p_holm)} H" if row.p_holm is not None else p_text(row.p_bh),
        "verdict": row.judged,
    }


def executed_table(comparison: Comparison) -> list[dict[str, str]]:
    """pass@k of every arm at the end of its runs, a problem's value being the mean over seeds."""
    scores = {at: of for at, of in comparison.evaluated.scores.items() if at[2] == FINAL}
    found = []
    for metric in (metric for metric in comparison.metrics if metric.score in map("pass@{}".format, pass_at_k.KS)):
        task = metric.parts[0][0]
        for arm in comparison.study.arms:
            columns = [of[task].columns for (name, _, _), of in scores.items() if name == arm and task in of]
            columns = [each for each in columns if metric.score in each]
            if not columns:
                continue
            runs_N = np.sum([each["runs"] for each in columns], axis=0)  # of how many seeds: machines may differ
            sum_N = np.sum([each[metric.score] for each in columns], axis=0)
            values = (sum_N[runs_N > 0] / runs_N[runs_N > 0]).tolist()
            low, high = pass_at_k.interval(values)
            found.append(
                {
                    "metric": metric.name,
                    "arm": arm,
                    "value": f"{100 * math.fsum(values) / len(values):.1f} %",
                    "interval": f"[{100 * low:.1f}, {100 * high:.1f}]",
                    "problems": f"{len(values):,} of {len(runs_N):,}",
                    "weak": f"{columns[0]['weak'].sum():.0f}",
                    "seeds": f"{len(columns)}",
                }
            )
    return found


def cooldown_table(comparison: Comparison) -> list[dict[str, Any]]:
    """Headline metrics before and after the cooldown by arm, over the seeds that have both."""
    there = {metric.name for metric in comparison.metrics}
    table = []
    for name in (name for name in HEADLINE if name in there):
        cells = [_around_cooldown(comparison, arm, name) for arm in comparison.study.arms]
        if any(cells):
            table.append({"metric": name, "label": label(name), "cells": cells})
    return table


def _around_cooldown(comparison: Comparison, arm: str, name: str) -> dict[str, str] | None:
    before, after = (comparison.by_seed(arm, name, at) for at in (BEFORE, FINAL))
    seeds = sorted(set(before) & set(after))
    if not seeds:
        return None
    b, a = (sum(scores[seed] for seed in seeds) / len(seeds) for scores in (before, after))
    return {"before": value_text(name, b), "after": value_text(name, a), "change": difference_text(name, a - b)}


def realised(steps: Sequence[StepRecord]) -> dict[str, int]:
    """Tokens per source, summed over the batches that were fed."""
    total: dict[str, int] = {}
    for step in steps:
        for source, count in step.counts.items():
            total[source] = total.get(source, 0) + count
    return total


def skipped_steps(ledgers: Ledgers) -> list[str]:
    """A line for every stage in which loss or gradient was not finite at some step."""
    found = []
    for stage, steps in ledgers.values():
        skipped = [step.step for step in steps if step.skipped]
        if skipped:
            which = ", ".join(f"{step:,}" for step in skipped[:5]) + (", …" if len(skipped) > 5 else "")
            found.append(f"{stage.id}: {len(skipped):,} of {len(steps):,} steps ({which})")
    return found


def tokens_table(ledgers: Ledgers) -> list[dict[str, Any]]:
    """Declared and realised tokens, a row for each stage and source; seeds with equal numbers share a row."""
    grouped: dict[tuple[Any, ...], list[int]] = {}
    for stage, steps in ledgers.values():
        fed = realised(steps)
        for source in sorted({*stage.tokens_by_source, *fed}):
            name = re.sub(rf"-s{stage.seed}$", "", stage.id)
            declared, read = stage.tokens_by_source.get(source, 0), fed.get(source, 0)
            epochs = stage.epochs_by_source.get(source)
            grouped.setdefault((name, stage.kind, source, declared, read, epochs), []).append(stage.seed)
    rows = []
    last = None
    for (name, kind, source, declared, read, epochs), seeds in grouped.items():
        if not declared and not read:
            continue
        rows.append(
            {
                "stage": name,
                "first": name != last,
                "kind": kind,
                "seeds": ", ".join(map(str, sorted(seeds))),
                "source": source,
                "declared": f"{declared:,}",
                "realised": f"{read:,}",
                "equal": declared == read,
                "epochs": "–" if epochs is None else f"{epochs:.3f}",
            }
        )
        last = name
    return rows


def read_manifest(store: Path, study: StudyRecord) -> dict[str, Any] | None:
    """manifest.json of the prepared data, or None where there is none.

    Raises:
        Failure: the manifest cannot be read.
    """
    path = store / "prepared" / study.prepared / "manifest.json"
    if not path.exists():
        return None
    return read_sealed(path, f"manifest of the prepared data {study.prepared}")


def provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Where the data come from, by the manifest of the prepared data."""
    sources = []
    by_kind: dict[str, list[int]] = {}
    for name, source in manifest["sources"].items():
        sums = by_kind.setdefault(source["kind"], [0, 0])
        sums[0] += source["bytes"]
        sums[1] += source["tokens"]
        tokens = source["tokens"]
        sources.append(
            {
                "name": name,
                "kind": source["kind"],
                "packages": source["packages"],
                "documents": f"{source['documents']:,}",
                "tokens": count_text(tokens),
                "bytes_per_token": f"{source['bytes'] / tokens:.2f}" if tokens else "–",
                "heldout": f"{source['heldout_documents']:,} ({count_text(source['heldout_bytes'])}B)",
                "dropped": [(reason, f"{n:,}") for reason, n in source["dropped"].items() if n],
                "in_common": in_common(name, source["duplicates"], source["shared"]),
                "digest": source["digest"],
            }
        )
    fertility = [(kind, f"{size / tokens:.2f}") for kind, (size, tokens) in by_kind.items() if tokens]
    return {"tokenizer": manifest["tokenizer"], "bytes_per_token": fertility, "sources": sources}


def cost(study: StudyRecord, ledgers: Ledgers, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens, analytic FLOPs and measured training time of what was run; a stage that arms share counts once."""
    rows = []
    for folder, (stage, steps) in ledgers.items():
        arms = [run.arm for run in study.runs if folder in run.stages]
        seconds = sum(step.seconds for step in steps)
        rows.append(
            {
                "stage": stage.id,
                "arms": ", ".join(dict.fromkeys(arms)),
                "kind": stage.kind,
                "model": stage.model,
                "steps": f"{len(steps):,} of {stage.steps:,}",
                "tokens": count_text(steps[-1].tokens if steps else 0),
                "flops": flops_text(stage.flops * len(steps) / stage.steps),
                "time": duration_text(seconds),
                "rate": flops_text(stage.flops * len(steps) / stage.steps / seconds) if seconds else "–",
            }
        )
    done = [(stage.flops * len(steps) / stage.steps, steps) for stage, steps in ledgers.values()]
    seconds = sum(step.seconds for _, steps in done for step in steps)
    flops = sum(f for f, _ in done)
    totals = plan.get("totals", {})
    return {
        "rows": rows,
        "tokens": count_text(sum(steps[-1].tokens for _, steps in done if steps)),
        "flops": flops_text(flops),
        "time": duration_text(seconds),
        "rate": flops_text(flops / seconds) if seconds else "–",
        "unshared": count_text(totals["tokens_without_sharing"]) if "tokens_without_sharing" in totals else None,
        "planned_time": duration_text(3600 * totals["hours"]) if totals.get("hours") is not None else None,
    }


def comparison_csv(comparison: Comparison) -> str:
    header = (
        *("arm", "metric", "at", "n_items", "n_seeds", "value", "baseline_value", "difference", "low", "high"),
        *("relative", "relative_low", "relative_high", "p", "p_holm", "sd"),
        *("higher_is_better", "interval_kind", "verdict", "what", "strength", "why", "n_declared"),
        *("these_low", "these_high", "p_bh", "variance_of_seeds", "variance_of_items", "variance_of_both"),
    )
    rows = (
        (
            *(r.arm, r.metric, r.at, r.n_items, r.n_seeds, r.value, r.baseline_value, r.difference, *r.interval),
            *(r.relative, *(r.relative_interval or (None, None)), r.p, r.p_holm, r.sd),
            *(
                r.higher_is_better,
                r.interval_kind,
                r.verdict,
                r.judged.what,
                r.judged.strength,
                r.judged.why,
                r.n_declared,
            ),
            *(*(r.these_items or (None, None)), r.p_bh, r.spread.seeds, r.spread.items, r.spread.both),
        )
        for r in comparison.rows
    )
    return csv_text(header, rows)


def scores_csv(comparison: Comparison) -> str:
    rows = ((s.arm, s.seed, s.at, s.metric, s.n_items, s.value) for s in comparison.scores)
    return csv_text(("arm", "seed", "at", "metric", "n_items", "value"), rows)


def losses_csv(study: StudyRecord, ledgers: Ledgers) -> str:
    header = ("arm", "seed", "stage", "kind", "step", "lineage_tokens", "loss", "grad_norm", "learning_rate")
    rows = (
        (
            run.arm,
            run.seed,
            stage.id,
            stage.kind,
            s.step,
            stage.tokens_before + s.tokens,
            s.loss,
            s.grad_norm,
            s.learning_rate,
        )
        for run in study.runs
        for folder in run.stages
        if folder in ledgers
        for stage, steps in (ledgers[folder],)
        for s in steps
    )
    return csv_text(header, rows)


def tokens_csv(ledgers: Ledgers) -> str:
    header = ("stage", "fingerprint", "kind", "seed", "source", "declared", "realised", "epochs")
    rows = (
        (stage.id, stage.fingerprint, stage.kind, stage.seed, source, stage.tokens_by_source.get(source, 0),
         fed.get(source, 0), stage.epochs_by_source.get(source))
        for stage, steps in ledgers.values()
        for fed in (realised(steps),)
        for source in sorted({*stage.tokens_by_source, *fed})
    )  # fmt: skip
    return csv_text(header, rows)
