"""Problems per second and core, and diversity: python benchmarks/synthetic.py [PROBLEMS] [SEED]

Draws PROBLEMS (default 4096) in one process after another, so that one core works at a time, and prints the fully gated
problems per second of processor time (parent and workers) and of wall time, drops by reason, levels, and diversity:
grammars repeat themselves, so a skeleton is a program without its constants, and what zlib makes of the texts is told.
"""

import ast
import os
import sys
import time
import zlib
from collections import Counter

from scipy.stats import entropy

from mixtures.synthetic import forms
from mixtures.synthetic.generate import BATCH, distinct, outcomes, problem
from mixtures.synthetic.problem import shape


def skeleton(code: str) -> str:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = type(node.value).__name__
    return shape(ast.unparse(tree))


def main(wanted: int = 4096, seed: int = 0) -> None:
    drops, seen, rows, size = Counter[str](), set[str](), [], 0
    started, before = time.perf_counter(), os.times()
    for start in range(0, wanted, BATCH):
        found = outcomes(seed, range(start, min(wanted, start + BATCH)))
        drops.update(outcome.verdict.reason or "duplicate" for outcome in found)
        new = distinct(found, seen)
        drops["duplicate"] -= len(new)
        size += sum(len(forms.mixed(problem(row, seed)).encode()) for row in new)
        rows += new
    wall, after = time.perf_counter() - started, os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    problems = [problem(row, seed) for row in rows]
    print(f"{wanted:,} drawn, {len(rows):,} passed all gates ({size / 1e6:.2f} MB as text)")
    print(f"{len(rows) / cpu:.1f} problems /s of processor time, {len(rows) / wall:.1f} /s of wall time")
    print("dropped:", dict(drops.most_common()))
    print("levels:", dict(Counter(row.level.partition("(")[0] for row in problems).most_common()))
    scores = [row.verdict.mutation_score for row in rows]
    print(f"mutation score: mean {sum(scores) / len(scores):.3f}, least {min(scores):.3f}")
    families = Counter(row.family for row in problems)
    print(f"skeletons: {len({skeleton(row.code) for row in problems}):,}")
    bits = entropy([*families.values()], base=2)
    print(f"families: {len(families)}, {bits:.2f} bits, {dict(sorted(families.items()))}")
    for name in ("code", "statement"):
        text = "\n".join(getattr(row, name) for row in problems).encode()
        print(f"zlib makes {name} {len(text) / len(zlib.compress(text, 6)):.1f} times smaller")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
