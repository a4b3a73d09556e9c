"""How varied a set of problems is: grammars repeat themselves, so the figures are published with the data."""

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixtures.synthetic.problem import Problem, shape


@dataclass
class Diversity:
    """Counts that add up over shards; `packed` and `raw` are bytes of programs and statements with and without zlib."""

    families: Counter[str] = field(default_factory=Counter)
    skeletons: Counter[str] = field(default_factory=Counter)
    raw: tuple[int, int] = (0, 0)
    packed: tuple[int, int] = (0, 0)


def measure(problems: Sequence[Problem]) -> Diversity:
    """Of problems with distinct programs; a skeleton is a program's shape without its constants."""
    programs = "\n".join(problem.code for problem in problems).encode()
    statements = "\n".join(problem.statement for problem in problems).encode()
    return Diversity(
        Counter(problem.family for problem in problems),
        Counter(shape(problem.code, constants=False)[:16] for problem in problems),
        (len(programs), len(statements)),
        (len(zlib.compress(programs, 6)), len(zlib.compress(statements, 6))),
    )


def summary(parts: Iterable[Diversity]) -> dict[str, Any]:
    """Counts, entropies in bits, and compression ratios (raw over packed; a repetitive source has a high one)."""
    total = Diversity()
    for part in parts:
        total.families += part.families
        total.skeletons += part.skeletons
        total.raw = (total.raw[0] + part.raw[0], total.raw[1] + part.raw[1])
        total.packed = (total.packed[0] + part.packed[0], total.packed[1] + part.packed[1])
    return {
        "unique_programs": total.families.total(),
        "unique_skeletons": len(total.skeletons),
        "families": dict(sorted(total.families.items())),
        "family_entropy_bits": entropy(total.families),
        "skeleton_entropy_bits": entropy(total.skeletons),
        "program_compression": round(total.raw[0] / max(1, total.packed[0]), 3),
        "statement_compression": round(total.raw[1] / max(1, total.packed[1]), 3),
    }


def entropy(counts: Counter[str]) -> float:
    total = counts.total()
    return round(sum(n / total * math.log2(total / n) for n in counts.values()), 3)
