"""How long a stage trains between two checkpoints. Loads no jax."""

import math
import statistics
from collections.abc import Sequence

FIRST_SECONDS = 30.0
"""Before the first save of a process: nobody knows yet what one costs here."""
FAILURE_SECONDS = 54 * 86_400 / 419
"""Between two failures, 3.1 hours: those of Llama 3 (arXiv:2407.21783), 419 in 54 days on 16,384 GPUs.

A slice of ours is a hundredth of that and would fail as much less often, but may be a spot machine, which is taken back
after some hours; the interval goes by the root of it.
"""


def interval(blocked: Sequence[float]) -> float:
    """Seconds from the end of one save to the next that lose least, by Young's formula (CACM 17, 1974).

    Args:
        blocked: seconds for which each save of this process stopped training, also those of waiting for the one before.
    """
    return math.sqrt(2 * statistics.fmean(blocked) * FAILURE_SECONDS) if blocked else FIRST_SECONDS
