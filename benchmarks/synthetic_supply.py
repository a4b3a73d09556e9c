"""How many different programs the seeds of `synthetic-python` hold: python benchmarks/synthetic_supply.py [SEEDS]

A draft's stream of values is drawn evenly, and programs of two streams differ, so that a stream's part of all drafts
can be drawn alone: of every stream as many drafts as SEEDS try (default: those of the catalogue), and of the programs
those that differ in more than names. They are compared as texts with numbered names, a tenth of the time that their
syntax trees take; the first drafts of every stream are compared both ways. Some 20 minutes on an idle core.
"""

import re
import sys
from collections import Counter
from random import Random

from mixtures.catalogue.paper_scale import SYNTHETIC_SHARDS
from mixtures.synthetic.grammar import compose
from mixtures.synthetic.problem import Draft, shape

DRAFTS_OF_A_SEED = 16_400
"""Tried until 16 MB of problems have passed the gates, nearly four in five, and differ from those of the seed."""
BOTH_WAYS = 2_000
OWN_NAMES = {name for names in (compose.NAMES | compose.LOOP_NAMES).values() for name in names}
OWN_NAMES |= {"values", "kept", "results", "chosen_values"}


def numbered(draft: Draft) -> str:
    """The solution with its names numbered in order of appearance."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        name = found[0]
        own = name in OWN_NAMES or name == draft.function
        return numbers.setdefault(name, f"v{len(numbers)}") if own else name

    return re.sub(r"[A-Za-z_]\w*", number, draft.code)


def main(seeds: int = SYNTHETIC_SHARDS) -> None:
    # The code is drawn before inputs and statement, which take most of the time and decide nothing of it.
    vars(compose).update(_inputs=lambda rng, stream: ((), 0, 0), _statement=lambda *drawn: "")
    slots = Counter(compose.STREAMS)
    every, total = len(compose.STREAMS), Counter[int]()
    for stream, count in slots.items():
        vars(compose).update(STREAMS=(stream,))
        drafts = DRAFTS_OF_A_SEED * seeds * count // every
        checked = {drafts // share: share for share in (32, 4, 2, 1)}
        programs, shapes, said = set[int](), set[str](), []
        for index in range(1, drafts + 1):
            draft = compose.draft(Random(f"supply/{stream.__name__}/{index}"))
            programs.add(hash(numbered(draft)))
            if index <= BOTH_WAYS:
                shapes.add(shape(draft.code))
                assert len(shapes) == len(programs), draft.code
            if index in checked:
                total[checked[index]] += len(programs)
                said.append(f"{len(programs) / index:.1%} of {index:,}")
        print(f"{stream.__name__}: {'; '.join(said)}", flush=True)
    for share, differ in sorted(total.items(), reverse=True):
        print(f"{seeds / share:g} seeds: {differ:,} differ, {differ * share / (DRAFTS_OF_A_SEED * seeds):.1%}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
