"""Problems per second and core, and diversity: python benchmarks/synthetic.py [PROBLEMS] [SEED]

Draws PROBLEMS (default 4096) in one process after another, so that one core works at a time, and prints the fully gated
problems per second of processor time (parent and workers) and of wall time, drops by reason, levels, and diversity.
"""

import os
import sys
import time
from collections import Counter

from mixtures.synthetic import forms
from mixtures.synthetic.diversity import measure, summary
from mixtures.synthetic.generate import BATCH, distinct, outcomes, verified
from mixtures.synthetic.problem import Problem


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    problems: list[Problem] = []
    drops, seen, size = Counter[str](), set[str](), 0
    started, before = time.perf_counter(), os.times()
    for start in range(0, wanted, BATCH):
        rows, dropped = distinct(outcomes(seed, range(start, min(wanted, start + BATCH))), seen)
        drops += dropped
        problems += [verified(row, seed) for row in rows]
        size += sum(len(forms.mixed(problem).encode()) for problem in problems[-len(rows) :])
    wall, after = time.perf_counter() - started, os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    print(f"{wanted:,} drawn, {len(problems):,} passed all gates ({size / 1e6:.2f} MB as text)")
    print(f"{len(problems) / cpu:.1f} problems /s of processor time, {len(problems) / wall:.1f} /s of wall time")
    print("dropped:", dict(drops.most_common()))
    print("levels:", dict(Counter(problem.level.partition("(")[0] for problem in problems).most_common()))
    scores = [problem.mutation_score for problem in problems]
    print(f"mutation score: mean {sum(scores) / len(scores):.3f}, least {min(scores):.3f}")
    for name, value in summary([measure(problems)]).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
