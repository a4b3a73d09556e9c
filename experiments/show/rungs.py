"""A study at two scales, held beside each other, as JSON and as tables.

Its JSON: "study", "from", "to" (the rungs, as the store calls them), "arms" (that both have), "notes" (lines), and

    metrics      of each: metric, unit, primary, headline, pairs, accuracy, accuracy_interval, told_apart,
                 accuracy_told, right, cannot_tell, wrong, tau, tau_interval, why, published (of others: per cent by
                 rung)
    conclusions  how many effects hold, are wrong, not confirmed, missed, or are told by neither
    effects      of every arm and metric: arm, baseline, metric, primary, from, to, conclusion; "from" and "to" have
                 difference, interval, relative, n_seeds, verdict
    multipliers  of every arm and headline metric in bits: arm, baseline, metric, from, to, ratio, ratio_interval,
                 found; "from" and "to" have multiplier, interval, extrapolated, flops, points, n_seeds, n_declared,
                 interval_kind, why; one is null where nothing is compared
    published    of others: decision_accuracy and multiplier, each with its source

An end that is open is null.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.compare import Row as CompareRow
from analysis.metrics import COMPOSITE, SCORES, Metric, signed
from analysis.report.values import shown
from analysis.rungs import elsewhere
from analysis.rungs.multiplier import CANNOT_TELL, Multiplier, held, multipliers, scored_along
from analysis.rungs.transfer import WRONG, Decisions, transfer
from analysis.statistics import Interval
from analysis.tabular import few
from experiments.show.table import Column, Row, Value, say, table

SHOWN = 12
"""Wrong conclusions, and notes, on a terminal."""
FEW = 3
"""Names in a line."""
RUNGS = ("from", "to")


def rungs_json(store: Path, study: str, small: str, large: str) -> dict[str, Any]:
    """As the module's head has it.

    Raises:
        UserError, Failure: as `analysis.rungs.transfer.transfer`.
    """
    found = transfer(store, small, large)
    primary = set(found.large.study.primary)
    headline = [metric for metric in shown(found.large) if any(metric == each.metric for each in found.decisions)]
    rungs = []
    for rung in (found.small, found.large):
        along = scored_along(store, rung.study)
        rungs.append({(each.arm, each.baseline, each.metric): each for each in multipliers(rung, along, headline)})
    keys = dict.fromkeys(key for rung in rungs for key in rung if key[0] in found.arms and key[1] in found.arms)
    return {
        **{"study": study, "from": small, "to": large, "arms": list(found.arms), "notes": list(found.notes)},
        "metrics": [
            _decisions(each) | {"primary": each.metric.name in primary, "headline": each.metric in headline}
            for each in found.decisions
        ],
        "conclusions": dict(found.counts),
        "effects": [
            {
                **{"arm": each.large.arm, "baseline": each.large.baseline, "metric": each.large.metric.name},
                "primary": each.large.metric.name in primary,
                **{"from": _effect(each.small), "to": _effect(each.large), "conclusion": each.conclusion},
            }
            for each in found.effects
        ],
        "multipliers": [_multipliers(key, *(rung.get(key) for rung in rungs)) for key in keys],
        "published": {
            "decision_accuracy": {"source": elsewhere.SOURCE, "to": elsewhere.TARGET, "overall": elsewhere.OVERALL},
            "multiplier": asdict(elsewhere.MULTIPLIER),
        },
    }


def _decisions(each: Decisions) -> dict[str, Any]:
    return {
        **{"metric": each.metric.name, "unit": each.metric.score.unit, "pairs": each.pairs},
        **{"accuracy": each.accuracy, "accuracy_interval": _ends(each.accuracy_interval)},
        **{"told_apart": each.told, "accuracy_told": each.accuracy_told},
        **{"right": each.right, "cannot_tell": each.untold, "wrong": each.wrong},
        **{"tau": each.tau, "tau_interval": _ends(each.tau_interval), "why": each.why},
        "published": elsewhere.decision_accuracy(each.metric),
    }


def _effect(row: CompareRow) -> dict[str, Any]:
    found = row.estimate
    return {
        **{"difference": found.difference.centre, "interval": _ends((found.difference.low, found.difference.high))},
        "relative": found.relative.centre if found.relative else None,
        **{"n_seeds": row.n_seeds, "verdict": row.judged.text},
    }


def _multipliers(key: tuple[str, str, Metric], small: Multiplier | None, large: Multiplier | None) -> dict[str, Any]:
    both = held(small, large) if small and large else None
    ratio = both.ratio if both else None
    arm, baseline, metric = key
    return {
        **{"arm": arm, "baseline": baseline, "metric": metric.name},
        **{"from": _multiplier(small), "to": _multiplier(large)},
        **{"ratio": ratio.centre if ratio else None, "ratio_interval": _open_ends(ratio)},
        "found": both.found if both else CANNOT_TELL,
    }


def _multiplier(each: Multiplier | None) -> dict[str, Any] | None:
    if each is None:
        return None
    times = each.times
    return {
        "multiplier": times.centre if times else None,
        "interval": _open_ends(times),
        **{"extrapolated": each.extrapolated, "flops": each.flops, "points": each.points, "n_seeds": each.n_seeds},
        **{"n_declared": each.n_declared, "interval_kind": each.kind, "why": each.why},
    }


def _ends(interval: tuple[float, float] | None) -> list[float | None] | None:
    return None if interval is None else [end if math.isfinite(end) else None for end in interval]


def _open_ends(times: Interval | None) -> list[float | None] | None:
    """Of a multiplier, of which 0 is an open end, too."""
    return None if times is None else [times.low or None, times.high if math.isfinite(times.high) else None]


def print_rungs(document: dict[str, Any], console: Console) -> None:
    small, large = document["from"], document["to"]
    metrics = [row for row in document["metrics"] if row["headline"]] or document["metrics"]
    console.print(table(f"Pairs of {len(document['arms'])} arms: what {small} says of {large}", metrics, _DECISIONS))
    say(
        console,
        f"Decision accuracy: pairs that {small} orders as {large} does. Told apart: pairs of which the 95 % interval "
        f"of {large} leaves out 0; of these {small} tells apart rightly / cannot tell / tells apart wrongly.",
        *dict.fromkeys(row["why"] for row in metrics if row["why"]),
    )
    if more := len(document["metrics"]) - len(metrics):
        say(console, f"{more} more metrics: --json")
    if any(row["published"] for row in document["metrics"]):
        _say_published(document, console)
    told = ", ".join(f"{word} {count}" for word, count in document["conclusions"].items())
    say(console, f"Conclusions of {small}, by {large}: {told}.")
    effects = _columns(small, large, _difference) | {"conclusion": "conclusion"}
    wrong = [row for row in document["effects"] if row["conclusion"] == WRONG]
    wrong.sort(key=lambda row: not row["primary"])  # those first
    if wrong:
        console.print(table("Conclusions that would have been wrong", wrong[:SHOWN], effects))
    if len(wrong) > SHOWN:
        say(console, f"{len(wrong) - SHOWN} more: --json")
    if own := [row for row in document["effects"] if row["primary"]]:
        console.print(table("Effects on the primary metrics", own, effects))
    if document["multipliers"]:
        _print_multipliers(document, console)
    notes = document["notes"]
    say(console, *notes[:SHOWN], *([f"and {len(notes) - SHOWN} notes more: --json"] if len(notes) > SHOWN else []))


def _print_multipliers(document: dict[str, Any], console: Console) -> None:
    columns = _columns(document["from"], document["to"], _times) | {"ratio": _ratio}
    title = "What an arm's end is worth: the tokens that its baseline would need for it / the tokens of the arm"
    told = [row for row in document["multipliers"] if any((row[rung] or {}).get("multiplier") for rung in RUNGS)]
    if told:
        console.print(table(title, told, columns))
        kinds = dict.fromkeys(row[rung]["interval_kind"] for row in told for rung in RUNGS if row[rung])
        say(console, f"Intervals: {'; '.join(filter(None, kinds))}.")
    untold: dict[str, list[str]] = {}
    for row in (row for row in document["multipliers"] if row not in told):
        why = "; ".join(dict.fromkeys(row[rung]["why"] for rung in RUNGS if row[rung]))
        untold.setdefault(why, []).append(f"{row['arm']} in {row['metric']}")
    say(console, *(f"Worth in tokens, cannot tell: {why}: {few(names, FEW)}." for why, names in untold.items()))
    of = document["published"]["multiplier"]
    say(
        console,
        f"Ratio: in {document['to']} / in {document['from']}. † beyond the last scored point of the baseline: an "
        "extrapolation.",
        f"Elsewhere {of['predicted']:.2f}x was predicted at width {of['width']:,} and {of['measured']:.2f}x measured "
        f"at {of['measured_width']:,} ({of['source']}).",
    )


def _say_published(document: dict[str, Any], console: Console) -> None:
    of = document["published"]["decision_accuracy"]
    by_task = {row["metric"].split("/")[0]: row["published"] for row in document["metrics"] if row["published"]}
    rungs = ", ".join(next(iter(by_task.values())))
    told = "; ".join(f"{task} {'/'.join(map(str, found.values()))}" for task, found in by_task.items())
    say(console, f"Elsewhere, at {rungs} against {of['to']}, in %: {told} ({of['source']}); {of['overall']}.")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _accuracy(row: Row) -> str:
    ends = row["accuracy_interval"]
    return _percent(row["accuracy"]) + (f" [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]" if ends else " [cannot tell]")


def _tau(row: Row) -> str:
    ends = row["tau_interval"]
    if row["tau"] is None:
        return "–"
    return f"{signed(row['tau'], 2)} [{signed(ends[0], 2)}, {signed(ends[1], 2)}]" if ends else signed(row["tau"], 2)


def _times(rung: str) -> Value:
    def text(row: Row) -> str:
        each = row[rung]
        if each is None or each["multiplier"] is None:
            return f"cannot tell: {each['why'] if each else 'not scored'}"
        return f"{each['multiplier']:.2f}x {_open(each['interval'])}{' †' if each['extrapolated'] else ''}"

    return text


def _open(ends: Sequence[float | None]) -> str:
    low, high = ("open" if end is None else f"{end:.2f}" for end in ends)
    return f"[{low}, {high}]"


def _ratio(row: Row) -> str:
    return "–" if row["ratio"] is None else f"{row['ratio']:.2f} {_open(row['ratio_interval'])}: {row['found']}"


def _difference(rung: str) -> Value:
    def text(row: Row) -> str:
        kind = "lead" if row["metric"] == COMPOSITE else row["metric"].rpartition("/")[2]
        score, each = SCORES[kind], row[rung]
        low, high = (
            open_ if end is None else end for end, open_ in zip(each["interval"], (-math.inf, math.inf), strict=True)
        )
        found = Interval(each["difference"], low, high, math.nan)
        return f"{score.difference_text(found.centre)} {score.interval_text(found)}: {each['verdict']}"

    return text


def _of(row: Row) -> str:
    return f"{row['arm']} against {row['baseline']}"


_DECISIONS: Mapping[str, Column] = {
    "metric": "metric",
    "decision accuracy": _accuracy,
    "pairs": "pairs",
    "told apart": "told_apart",
    "accuracy of those": lambda row: _percent(row["accuracy_told"]),
    "right / cannot tell / wrong": lambda row: f"{row['right']} / {row['cannot_tell']} / {row['wrong']}",
    "Kendall's tau-b": _tau,
}


def _columns(small: str, large: str, cell: Callable[[str], Value]) -> dict[str, Column]:
    return {"metric": "metric", "arm": _of, f"in {small}": cell("from"), f"in {large}": cell("to")}
