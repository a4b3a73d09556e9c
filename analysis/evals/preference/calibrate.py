"""How far a judge agrees with people, on a file of pairs that people have labelled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.evals.preference.estimates import Share, share
from analysis.evals.preference.prompts import LabelledPair
from analysis.evals.preference.verdicts import Judged, Pair
from store.errors import Failure

_LABELS = {"a": "win", "b": "loss", "tie": "tie"}


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


def calibrate(labelled: Sequence[LabelledPair], judge: Callable[[Sequence[Pair]], Sequence[Judged]]) -> Calibration:
    """Have `judge` judge the pairs (as arm and baseline), and compare. Intervals are by prompt.

    Raises:
        Failure: no pair has a verdict.
    """
    judged = judge([Pair(row.prompt, row.prompt, row.answer_a, row.answer_b) for row in labelled])
    outcomes = [j.outcome for j in judged]
    pairs = [
        (row, j, _LABELS[row.preferred])
        for row, j in zip(labelled, judged, strict=True)
        if j.outcome not in ("invalid", "gap")
    ]
    if not pairs:
        raise Failure(f"the judge gave no verdict on any of {len(labelled)} labelled pairs; look at its replies")
    people_decided = [(row, j, label) for row, j, label in pairs if label != "tie"]
    return Calibration(
        agreement=share([row.prompt for row, _, _ in pairs], np.array([j.outcome == label for _, j, label in pairs])),
        decided=_share([(row.prompt, j.outcome == label) for row, j, label in people_decided if j.outcome != "tie"]),
        longer=_share([(row.prompt, _longer(row, label)) for row, _, label in people_decided]),
        confusion={
            (person, said): sum(label == person and j.outcome == said for _, j, label in pairs)
            for person in _LABELS.values()
            for said in _LABELS.values()
        },
        orders=_share([(row.prompt, len(set(j.verdicts)) == 1) for row, j, _ in pairs if len(j.verdicts) == 2]),
        invalid=outcomes.count("invalid"),
        gaps=outcomes.count("gap"),
    )


def _share(hits: Sequence[tuple[str, float]]) -> Share | None:
    """Of (prompt, hit) rows; None without rows."""
    return share([prompt for prompt, _ in hits], np.array([hit for _, hit in hits])) if hits else None


def _longer(row: LabelledPair, label: str) -> float:
    """1 when the preferred answer is the longer one, a half when they are equally long."""
    difference = len(row.answer_a) - len(row.answer_b)
    return 0.5 if difference == 0 else float((difference > 0) == (label == "win"))
