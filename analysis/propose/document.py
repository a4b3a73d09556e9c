"""A proposal as data for files and programs, and in a sentence."""

from collections.abc import Sequence
from typing import Any

from analysis.compare import Comparison, contrasts
from analysis.laws.points import SEEDS
from analysis.propose.parts import Tried, distance
from analysis.propose.search import Foretold, Proposal, Shares
from analysis.scores import FINAL
from analysis.spread import smallest
from analysis.statistics import EQUAL_SEEDS


def name_of(tried: Tried, mix: Shares) -> str:
    return next(arm for arm, shares in tried.shares.items() if shares == mix)


def found_by_as_many(comparison: Comparison, tried: Tried, proposal: Proposal) -> float | None:
    """The smallest difference to the best arm that as many seeds find four times in five, in the objective's unit.

    By how the best arm and the other one that is most like the proposal scatter. None of a sum of metrics, where
    nothing is proposed, and where they say nothing of other seeds.
    """
    if proposal.proposed is None or proposal.arm is None or len(proposal.objective.weighed) > 1:
        return None
    ((weight, metric),) = proposal.objective.weighed
    best = name_of(tried, proposal.arm)
    others = {arm: distance(mix, proposal.proposed) for arm, mix in tried.shares.items() if arm != best}
    (row,) = contrasts(comparison, [(min(others, key=lambda arm: others[arm]), best)], metric, FINAL)
    if row is None or row.estimate.kind == EQUAL_SEEDS:
        return None
    found = smallest(row.estimate.spread, row.n_seeds, 1)
    return None if found is None else abs(weight) * found


def finding(proposal: Proposal, tried: Tried, least: float | None = None) -> str:
    """What is proposed, or why nothing is; `least` as of `found_by_as_many`."""
    sources = {law.points.source for law in proposal.laws} - {SEEDS}
    noise = f", by {', '.join(sorted(sources))}" if sources else ""
    so_far = f"; the best so far is {name_of(tried, proposal.arm)}" if proposal.arm else ""
    if proposal.proposed is None:
        return f"cannot tell what would be better: {proposal.why}{so_far}{noise}."
    if proposal.gain is None or proposal.arm is None:
        return "no arm that was tried meets the constraints; the proposed mixture is foretold to."
    gain, low, high = (f"{each:+.4g}" for each in proposal.gain)
    arm = name_of(tried, proposal.arm)
    too_little = ""
    if least is not None and proposal.gain[0] < least:
        too_little = f" As many seeds find {least:.2g} four times in five: give its test more."
    return f"the proposed mixture is foretold to be better than {arm} by {gain} [{low}, {high}]{noise}.{too_little}"


def to_json(
    comparison: Comparison, tried: Tried, proposal: Proposal, near: float, swarm: tuple[Sequence[Shares], int]
) -> dict[str, Any]:
    """Plain values.

    Returns:
        "study", "objective", "near"; the objective's "metrics" with their weights, and whether "higher_is_better";
        "parts" ("part", and of its "sources" the share of it); "laws" of the objective and of constraints ("of", "law",
        "error" of leave-one-arm-out, "of_constant", "noise" of one mean); "best_arm", "proposed" and "control" (null,
        or "arm", "parts", "shares" by source, "foretold", "distance" to the nearest arm, "epochs" by source that was
        read before); "over", the arm that it would be tested against; "gain" over the best arm and its "interval",
        better above 0; the difference that is "detectable" with as many seeds, or null; "why" nothing is proposed;
        "finding"; "swarm", mixtures by source, and how many drawn ones were "merged".
    """

    def mixture(mix: Shares | None, name: str) -> dict[str, Any] | None:
        if mix is None:
            return None
        return {
            "arm": name_of(tried, mix) if mix in tried.shares.values() else name,
            "parts": [float(share) for share in mix],
            "shares": {source: str(share) for source, share in tried.of_sources(mix).items()},
            "foretold": proposal.values.get("arm" if mix == proposal.arm else name),
            "distance": tried.nearest(mix)[1],
            "epochs": tried.epochs(mix),
        }

    over = name_of(tried, proposal.arm) if proposal.arm else None
    if proposal.proposed and not over:
        over = tried.nearest(proposal.proposed)[0]
    least = found_by_as_many(comparison, tried, proposal)
    return {
        **{"study": comparison.study.name, "objective": proposal.objective.text, "near": near},
        "metrics": {metric.name: weight for weight, metric in proposal.objective.weighed},
        "higher_is_better": proposal.objective.higher_is_better,
        "parts": [
            {"part": part.name, "sources": {source: str(share) for source, share in part.sources.items()}}
            for part in tried.parts
        ],
        "laws": [_law(law) for law in proposal.laws],
        "best_arm": mixture(proposal.arm, "arm"),
        "proposed": mixture(proposal.proposed, "proposed"),
        "control": mixture(proposal.control, "control"),
        "over": over,
        "gain": proposal.gain[0] if proposal.gain else None,
        "interval": list(proposal.gain[1:]) if proposal.gain else None,
        "detectable": least,
        **{"why": proposal.why, "finding": finding(proposal, tried, least)},
        "swarm": [{source: str(share) for source, share in tried.of_sources(mix).items()} for mix in swarm[0]],
        "merged": swarm[1],
    }


def _law(law: Foretold) -> dict[str, Any]:
    found = {"of": law.name, "law": law.best.law.name, "error": law.best.error}
    return found | {"of_constant": law.laws[0].error, "noise": law.points.noise}
