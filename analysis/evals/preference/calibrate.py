"""How far a judge agrees with people, on a file of pairs that people have labelled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.evals.preference.estimates import Share, share
from analysis.evals.preference.prompts import LABELS
from analysis.evals.preference.verdicts import Judged, Outcome, Pair
from store.errors import Failure


@dataclass(frozen=True)
class Calibration:
    """A judge against people.

    Attributes:
        agreement: equal among win, tie and loss.
        decided: equal among the pairs on which neither the judge nor the person says tie; None when there are none.
        longer: how often, among the person's decided pairs, the longer answer is the preferred one: what a judge that
            only counts letters would reach. None when there are none.
        confusion: for (person, judge) the number of pairs, a win being answer a's.
        orders: how often the judge's two orders agree; None from a judge that sees no order.
        invalid, gaps: pairs left out.
    """

    agreement: Share
    decided: Share | None
    longer: Share | None
    confusion: dict[tuple[str, str], int]
    orders: Share | None
    invalid: int
    gaps: int


def calibrate(
    labelled: Sequence[tuple[Pair, Outcome]], judge: Callable[[Sequence[Pair]], Sequence[Judged]]
) -> Calibration:
    """Have `judge` judge the pairs, and compare with what people say of them. Intervals are by prompt.

    Raises:
        Failure: no pair has a verdict.
    """
    judged = judge([pair for pair, _ in labelled])
    outcomes = [j.outcome for j in judged]
    pairs = [
        (pair, j, label)
        for (pair, label), j in zip(labelled, judged, strict=True)
        if j.outcome not in ("invalid", "gap")
    ]
    if not pairs:
        raise Failure(f"the judge gave no verdict on any of {len(labelled)} labelled pairs; look at its replies")
    decided = [(pair, j, label) for pair, j, label in pairs if label != "tie"]
    return Calibration(
        agreement=share([pair.id for pair, _, _ in pairs], np.array([j.outcome == label for _, j, label in pairs])),
        decided=_share([(pair.id, j.outcome == label) for pair, j, label in decided if j.outcome != "tie"]),
        longer=_share([(pair.id, _longer(pair, label)) for pair, _, label in decided]),
        confusion={
            (person, said): sum(label == person and j.outcome == said for _, j, label in pairs)
            for person in LABELS.values()
            for said in LABELS.values()
        },
        orders=_share([(pair.id, len(set(j.verdicts)) == 1) for pair, j, _ in pairs if len(j.verdicts) == 2]),
        invalid=outcomes.count("invalid"),
        gaps=outcomes.count("gap"),
    )


def _share(hits: Sequence[tuple[str, float]]) -> Share | None:
    """Of (prompt, hit) rows; None without rows."""
    return share([prompt for prompt, _ in hits], np.array([hit for _, hit in hits])) if hits else None


def _longer(pair: Pair, label: Outcome) -> float:
    """1 when the preferred answer is the longer one, a half when they are equally long."""
    difference = len(pair.arm) - len(pair.baseline)
    return 0.5 if difference == 0 else float((difference > 0) == (label == "win"))
