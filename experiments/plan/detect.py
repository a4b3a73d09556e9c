"""The smallest difference that a planned study can find: by the noise that a finished one showed. Loads no jax."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.spread import smallest, spreads
from analysis.statistics import Spread
from experiments.scales import SCALES
from experiments.study import Study
from store import layout
from store.errors import UserError

MEASURED = {
    "heldout/text/bpb": Spread(seeds=0.0120**2 / 3, items=0.0, both=0.0, n_seeds=3, freedom=12.5),
    "heldout/code/bpb": Spread(seeds=0.0305**2 / 3, items=0.0, both=0.0, n_seeds=3, freedom=3.95),
}
"""Where the store has no run: the median over 24 comparisons of `paper --scale laptop` (benchmarks/laptop.md), whose
held-out text has too few groups to tell the noise of documents from that of seeds."""
MEASURED_ON = "the noise of three seeds of paper-laptop, 2026-11-29"


def comparisons(study: Study, store: Path) -> list[dict[str, Any]]:
    """A row for every planned comparison: `{"arm", "baseline", "metric", "seeds", "detectable", "basis"}`.

    `detectable` is in the metric's unit, at the seeds of the plan and after Holm's correction for the family; None
    where nobody has measured the noise, or with one seed.
    """
    pairs = [(arm.name, study.baseline_of(arm.name)) for arm in study.arms]
    pairs = [(arm, baseline) for arm, baseline in pairs if arm != baseline]
    size = len(pairs) * len(study.primary)
    noise, basis = _known(study, store)
    rows = []
    for arm, baseline in pairs:
        for metric in study.primary:
            spread, source = noise.get(metric, {}).get(_sizeless(arm, study.scale)), basis
            if spread is None:
                spread, source = MEASURED.get(metric), MEASURED_ON
            found = smallest(spread, len(study.seeds), size) if spread else None
            head = {"arm": arm, "baseline": baseline, "metric": metric, "seeds": len(study.seeds)}
            rows.append({**head, "detectable": found, "basis": "unknown" if found is None else source})
    return rows


def _known(study: Study, store: Path) -> tuple[Mapping[str, Mapping[str, Spread]], str]:
    """By metric and arm, of the largest scale up to the study's own that was run in the store, and what that is."""
    names = list(SCALES)
    smaller = names[: names.index(study.scale) + 1] if study.scale in names else []
    for key in [f"{study.name}-{scale}" for scale in reversed(smaller)] or [study.key]:
        if (store / layout.STUDIES / key / layout.STUDY).exists():
            try:
                found = spreads(store, key)
            except UserError:  # it was begun, and nothing of it is scored yet
                continue
            scale = key.removeprefix(f"{study.name}-")
            by_arm = {metric: {_sizeless(arm, scale): its for arm, its in of.items()} for metric, of in found.items()}
            return by_arm, f"the noise of {key} in this store"
    return {}, ""


def _sizeless(arm: str, scale: str) -> str:
    """The arm's name with the word "large" for the large model's, which is another at every scale."""
    ending = f"-{SCALES[scale].large.name}" if scale in SCALES else ""
    return f"{arm.removesuffix(ending)}-large" if ending and arm.endswith(ending) else arm
