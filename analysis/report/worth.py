"""What the arms' ends are worth in tokens of their baselines, as a table of the report."""

import math
from collections.abc import Sequence

from analysis.catching_up import FEWEST_POINTS
from analysis.report.blocks import Block, Heading, Table, Text, grouped
from analysis.rungs.multiplier import FARTHEST, Multiplier
from analysis.verdict import REACH

SAID = (
    "The tokens at which the curve of the baseline is where the arm ends, over the tokens of the arm: at 2x the "
    "baseline would need twice as many. Between two of its scored points the curve is a straight line over log tokens. "
    f"† beyond the last one it is E + B / tokens^β, fitted to them, up to {FARTHEST:g}x its tokens: an extrapolation. "
    "It is of one run under one schedule: a run that was meant to end sooner would have been better there. Intervals "
    "are for other seeds and items where nothing else is said; open is an end that the curve does not reach."
)

OTHER_SIZES = "sizes differ, so it is no multiplier of FLOPs"


def in_tokens(found: Sequence[Multiplier]) -> list[Block]:
    """Of the arms whose baselines were scored along their runs."""
    rows = [each for each in found if each.points >= FEWEST_POINTS]
    if not rows:
        return []
    body = [
        (
            *(each.metric.label, each.arm, each.baseline),
            *_told(each),
            f"{each.n_seeds}{f' of {each.n_declared}' if each.n_declared != each.n_seeds else ''}",
            each.why or "; ".join(filter(None, (REACH.get(each.kind, ""), "" if each.flops else OTHER_SIZES))),
        )
        for each in rows
    ]
    head = ("metric", "arm", "baseline", "worth", "95 % interval", "seeds", "note")
    table = Table("", head, grouped(body), words=3, prose=(len(head) - 1,))
    return [Heading("What the arms are worth in tokens"), Text(SAID), table]


def _told(each: Multiplier) -> tuple[str, str]:
    times = each.times
    if times is None:
        return "cannot tell", "–"
    low, high = (f"{end:.2f}" if 0 < end < math.inf else "open" for end in (times.low, times.high))
    return f"{times.centre:.2f}x{' †' if each.extrapolated else ''}", f"[{low}, {high}]"
