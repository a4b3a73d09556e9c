"""A paper's claims beside a study's own records: the same direction or not, with the interval, or what is missing.

The direction of a claim is which model it has ahead, so a metric of which less is better may be asked too: at a size
where accuracies are at chance, bits per byte of the right answers say more. Every claim stands by itself: no interval
is corrected for the number of claims.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.claims.published import BEFORE, COOLED, COOLED_WITHOUT, LARGE, RESULTS, Model
from analysis.claims.recompute import JUDGED, LEAD, PUBLISHED, RATIO, VALUE, Claim, check, joined
from analysis.compare import Comparison, compare, contrast
from analysis.metrics import signed
from analysis.records import StudyRecord
from analysis.scores import BEFORE as BEFORE_COOLDOWN
from analysis.scores import FINAL
from analysis.statistics import ALPHA, Interval
from analysis.verdict import BETTER, CANNOT_TELL, WORSE, side_of
from analysis.winrates import win_rates

METRICS: Mapping[str, tuple[str, ...]] = {
    "reasoning": ("reasoning/acc", "reasoning/gold_bpb"),
    "knowledge": ("knowledge/exact_match", "knowledge/gold_bpb"),
    "nl": ("nl/acc", "nl/gold_bpb"),
    "code": ("humaneval_exec/pass@1", "mbpp_exec/pass@1", "humaneval/gold_bpb", "mbpp/gold_bpb"),
}
"""What stands for the paper's measures: its own metric, and likelihood, which is not at chance at small sizes. The two
benchmarks of code stay apart, since which of their programs run here is not the same."""
WIN_LOSS = "win − loss"

SAME, OTHER, NOT_RUN = "same", "other", "not run"
DIRECTIONS = (SAME, OTHER, CANNOT_TELL, NOT_RUN)

Place = tuple[str, str]
"""(arm, point)"""


def check_study(store: Path, study: str, claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Rows of `analysis.claims.recompute.check`, each with "ours": one of `_found` for every metric that stands for the
    claim; none where it contrasts no two models in one measure.

    Raises:
        UserError: the study was never run in this store, or nothing of it is evaluated.
        Failure: a record is corrupt.
    """
    comparison, judges = compare(store, study), None
    rows = []
    for claim in claims:
        found: list[dict[str, Any]] = []
        pair = contrasted(claim)
        if pair is not None and pair[2] in METRICS:
            found = list(_measured(comparison, claim, *pair))
        elif pair is not None:
            judges = win_rates(store, comparison.study) if judges is None else judges
            found = list(_judged(comparison.study, judges, claim, *pair[:2]))
        rows.append(check(claim) | {"ours": found})
    return rows


def contrasted(claim: Claim) -> tuple[Model, Model, str] | None:
    """The two models that a claim sets side by side, and in which measure; "win" of all judged ones."""
    formula = claim.formula
    if formula is None or claim.within:
        return None
    of = formula.of
    if formula.kind == VALUE and of.measure in JUDGED and of.against is not None:
        return of.model, of.against, "win"
    if len(formula.others) == 1 and of.measure in METRICS:
        return of.model, formula.others[0].model, of.measure
    return None


def written_side(claim: Claim) -> str:
    """Which side the claim has its first model on: better, worse, or "" where it has them equal."""
    formula = claim.formula
    assert formula is not None
    if formula.kind == LEAD:
        return BETTER
    if formula.of.measure in JUDGED:  # what is written is a share of wins, say, and does not tell by itself
        of = formula.of
        won, lost = (PUBLISHED[of.model, measure, of.against].value for measure in ("win", "loss"))
        return BETTER if won > lost else WORSE
    ahead = float(claim.figure) - (1 if formula.kind == RATIO else 0)
    return "" if ahead == 0 else side_of(ahead, higher_is_better=True)


def places(study: StudyRecord, model: Model) -> list[Place]:
    """Where a study has a model of the paper: arm and point, the nearest stand-in first."""
    return [place for name in model.ours for place in _places(study, name, model)]


def _places(study: StudyRecord, name: str, model: Model) -> Iterator[Place]:
    cooled = {run.arm for run in study.runs if "cooldown" in run.kinds[1:]}

    def arms(label: str) -> Iterator[str]:
        # A large arm's name ends with its size, whatever a scale calls large.
        ending = r"-\d+(\.\d+)?[mb]" if model.size == LARGE else ""
        return (arm for arm in study.arms if re.fullmatch(re.escape(label) + ending, arm))

    if model.point == COOLED_WITHOUT:
        yield from ((arm, FINAL) for arm in arms(f"{name}-to-cooldown-without-code"))
    elif model.point == COOLED:
        yield from ((arm, FINAL) for arm in arms(f"{name}-to-cooldown"))
        yield from ((arm, FINAL) for arm in arms(name) if arm in cooled)
    elif model.point == BEFORE:
        yield from ((arm, BEFORE_COOLDOWN if arm in cooled else FINAL) for arm in arms(name))
        yield from ((arm, BEFORE_COOLDOWN) for arm in arms(f"{name}-to-cooldown") if arm in cooled)
    else:
        yield from ((arm, FINAL) for arm in arms(name) if arm not in cooled)


def published_at(study: StudyRecord, at: str) -> dict[Place, float]:
    """The paper's values of the arms that a study has at a point, by (arm, metric), as shares of items."""
    found: dict[Place, float] = {}
    for each in RESULTS:
        name = METRICS[each.measure][0] if each.measure in ("reasoning", "knowledge") else ""
        for arm, point in places(study, each.model)[:1] if name else []:
            if point == at:
                found.setdefault((arm, name), float(each.value) / 100)
    return found


def _found(
    arm: str, baseline: str, metric: str, at: str, direction: str, why: str, effect: Interval | None = None,
    relative: bool = False, n_seeds: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """`effect` is a relative change where "relative" says so, else a difference; an endless interval is None."""
    ends = (effect.low, effect.high) if effect is not None else (math.inf, math.inf)
    return {
        **{"arm": arm, "baseline": baseline, "metric": metric, "at": at, "direction": direction},
        **{"effect": effect.centre if effect is not None else None},
        **{"interval": list(ends) if all(map(math.isfinite, ends)) else None},
        **{"relative": relative, "n_seeds": n_seeds, "why": why},
    }


def _pair(study: StudyRecord, model: Model, other: Model) -> tuple[str, str, str, str]:
    """Arm, baseline, point, and what is to be known of them; the point is "" where they are not to be had."""
    ours, theirs = places(study, model), places(study, other)
    for arm, at in ours:
        for baseline, point in theirs:
            if point == at and arm != baseline:
                return arm, baseline, at, _stand_ins((model, arm), (other, baseline))
    missing = [
        f"the study has no {each.ours[0]} ({each.point}, {each.size})"
        for each, there in ((model, ours), (other, theirs))
        if not there
    ]
    arm, baseline = (there[0][0] if there else each.ours[0] for each, there in ((model, ours), (other, theirs)))
    return arm, baseline, "", "; ".join(missing) or "it has the two at different points of their runs only"


def _stand_ins(*chosen: tuple[Model, str]) -> str:
    """Those arms that are not the nearest to the paper's model."""
    return "; ".join(
        f"{arm} stands for the paper's {model.name}"
        + (", without synthetic problems" if "+synth" in model.ours[0] else "")
        for model, arm in chosen
        if re.fullmatch(re.escape(model.ours[0]) + r"(-to-cooldown.*|-\d.*)?", arm) is None
    )


def _measured(
    comparison: Comparison, claim: Claim, model: Model, other: Model, measure: str
) -> Iterator[dict[str, Any]]:
    arm, baseline, at, note = _pair(comparison.study, model, other)
    known = {metric.name: metric for metric in comparison.metrics}
    if not at:
        yield _found(arm, baseline, METRICS[measure][0], at, NOT_RUN, note)
        return
    scored = [known[name] for name in METRICS[measure] if name in known]
    rows = [row for metric in scored if (row := contrast(comparison, arm, baseline, metric, at)) is not None]
    if not rows:
        why = f"none of {', '.join(METRICS[measure])} was scored of both with a seed in common"
        yield _found(arm, baseline, METRICS[measure][0], at, NOT_RUN, joined(note, why))
    for row in rows:
        judged, relative = row.judged, row.estimate.relative
        yield _found(
            arm, baseline, row.metric.name, at, _direction(claim, judged.side if judged.told_apart else ""),
            joined(note, *judged.why), relative or row.estimate.difference,
            relative is not None, row.n_seeds,
        )  # fmt: skip


def _direction(claim: Claim, told: str) -> str:
    """`told` is which side the arm is on, "" where that cannot be told. That none is seen shows no equality."""
    if not told:
        return CANNOT_TELL
    return SAME if told == written_side(claim) else OTHER


def _judged(
    study: StudyRecord, judges: Sequence[Mapping[str, Any]], claim: Claim, model: Model, other: Model
) -> Iterator[dict[str, Any]]:
    """By the answers at the end of the runs, which are what judges are shown."""
    arm, baseline, at, note = _pair(study, model, other)
    if at != FINAL:
        yield _found(arm, baseline, WIN_LOSS, at, NOT_RUN, note if not at else "judges see the end of a run alone")
        return
    rows = [
        (document["judge"], row)
        for document in judges
        if document["baseline"] == baseline
        for row in document["arms"]
        if row["arm"] == arm
    ]
    if not rows:
        yield _found(arm, baseline, WIN_LOSS, at, NOT_RUN, joined(note, f"not judged against {baseline}"))
    for judge, row in rows:
        effect = Interval(**row["difference"])
        told = side_of(effect.centre, higher_is_better=True) if effect.p <= ALPHA else ""
        yield _found(
            arm, baseline, WIN_LOSS, at, _direction(claim, told), joined(note, f"judge: {judge}"), effect,
            n_seeds=len(row["seeds"]),
        )  # fmt: skip


def counted(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many comparisons go which way, in words."""
    found = Counter(one["direction"] for row in rows for one in row["ours"])
    return ", ".join(f"{found[direction]} {direction}" for direction in DIRECTIONS)


def effect_text(one: Mapping[str, Any]) -> str:
    """ "+3.1 % [+2.0, +4.2]", or a difference in the metric's unit."""
    if one["effect"] is None:
        return ""
    scale, digits, unit = (100, 1, " %") if one["relative"] else (1, 3, "")
    interval = [signed(scale * end, digits) for end in one["interval"] or ()]
    return f"{signed(scale * one['effect'], digits)}{unit} [{', '.join(interval) or 'no interval'}]"
