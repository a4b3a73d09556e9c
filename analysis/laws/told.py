"""What laws say of the metrics of a sweep: as data for files, and as sentences for people."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.compare import Comparison
from analysis.laws.optimum import ANY, SAME, Optimum, find
from analysis.laws.points import SEEDS, of_paper, points
from analysis.metrics import NAMES, SCORES, Metric, Score
from analysis.statistics import ALPHA, holm
from store.errors import UserError

PAPER = "arXiv:2408.10914, Fig. 4"
NO_SWEEP = (
    "is no sweep over a share: it takes four arms or more of one stage and equal length, each with another share of "
    "what is not text, as study 'proportion' has"
)


OF_FIGURE = (
    ("nl", "acc", ("reasoning", "knowledge")),  # of which the paper says that 25 % of code are best
    ("reasoning", "acc", ("reasoning",)),
    ("knowledge", "exact_match", ("knowledge",)),
    ("code", "pass@1", ("code",)),
)


@dataclass(frozen=True, eq=False)
class Told:
    """A metric, and what the laws say of it; p is corrected for the metrics that were asked beside it (Holm)."""

    name: str
    label: str
    score: Score
    optimum: Optimum
    p_adjusted: float
    why: str
    """What keeps its best share from being told; "" where it is told."""

    @property
    def sentence(self) -> str:
        found = self.optimum
        ends = dict.fromkeys((_percent(found.low), _percent(found.high)))
        between = f"{' to '.join(ends)} %"
        if self.why:
            also = f" ({between})" if self.why == ANY else ""
            return f"{self.label}: cannot tell which share is best; {self.why}{also}."
        share = _percent(found.share or 0.0)
        noise = "" if self.optimum.points.source == SEEDS else f"; {self.optimum.points.source}"
        misses = "" if any(law.fits for law in found.laws) else ", though every law misses the arms by more than noise"
        by = f"by the {found.best.law.name} law{misses}"
        return f"{self.label}: best at {share} % (95 % interval {between}{noise}), {by}."


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"


@dataclass(frozen=True, eq=False)
class Laws:
    """Of a sweep; `gaps` are what is missing, a line each."""

    of: str
    metrics: tuple[Told, ...]
    gaps: tuple[str, ...] = ()


def of_sweep(comparison: Comparison, metrics: Sequence[Metric], shares: Mapping[str, float]) -> Laws:
    """The laws of a study's metrics at the end of its runs, over shares by arm (`analysis.ledgers.sweep`)."""
    found, gaps = [], []
    for metric in metrics:
        its, missing = points(comparison, [(1.0, metric)], shares)
        gaps += missing
        if its:
            found.append((metric.name, metric.label, metric.score, find(its)))
    return Laws(comparison.study.name, _corrected(found), tuple(dict.fromkeys(gaps)))


def of_figure() -> Laws:
    """The laws of the paper's figure 4."""
    found = [
        (f"{name}/{score}", f"{NAMES.get(name, 'Code')}, {SCORES[score].unit}", SCORES[score], find(of_paper(of)))
        for name, score, of in OF_FIGURE
    ]
    return Laws(PAPER, _corrected(found))


def _corrected(found: Sequence[tuple[str, str, Score, Optimum]]) -> tuple[Told, ...]:
    adjusted = holm([optimum.p for *_, optimum in found]) if found else []
    return tuple(Told(*each, p, SAME if p > ALPHA else each[3].why) for each, p in zip(found, adjusted, strict=True))


def metrics_named(comparison: Comparison, names: Sequence[str]) -> list[Metric]:
    """Raises UserError for a name that is no metric of the study."""
    there = {metric.name: metric for metric in comparison.metrics}
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(list(there)[:8])}, ..."
            raise UserError(f"metric '{name}' was not scored in study '{comparison.study.name}'; {hint}")
    return [there[name] for name in dict.fromkeys(names)]


def to_json(laws: Laws) -> dict[str, Any]:
    """Plain values.

    Returns:
        "of", "gaps", and "metrics", of each of which "metric", "label", "higher_is_better", "arms" ("arm", "share",
        "value"), "laws" ("law", "parameters", "error", "misfit" in variances of one mean, "refuted", "interval"),
        "noise" of one mean, "noise_of", "best", "p", "p_adjusted", "optimum" and "interval" (null where it cannot be
        told), "why" and "finding".
    """
    return {"of": laws.of, "metrics": [_metric(each) for each in laws.metrics], "gaps": list(laws.gaps)}


def _metric(told: Told) -> dict[str, Any]:
    found = told.optimum
    its = found.points
    values_A = its.link.back(its.mean_A)
    return {
        **{"metric": told.name, "label": told.label, "higher_is_better": its.higher_is_better},
        "arms": [
            {"arm": arm, "share": float(share), "value": float(value)}
            for arm, share, value in zip(its.arms, its.share_A, values_A, strict=True)
        ],
        "laws": [
            {
                **{"law": each.law.name, "parameters": dict(each.fitted.parameters), "error": finite(each.error)},
                "misfit": finite(each.misfit / its.variance) if its.variance > 0 else None,
                **{"refuted": each.refuted, "interval": list(each.interval)},
            }
            for each in found.laws
        ],
        **{"noise": its.noise, "noise_of": its.source, "best": found.best.law.name},
        **{"p": found.p, "p_adjusted": told.p_adjusted},
        "optimum": None if told.why else found.share,
        "interval": None if told.why else [found.low, found.high],
        **{"why": told.why, "finding": told.sentence},
    }


def finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
