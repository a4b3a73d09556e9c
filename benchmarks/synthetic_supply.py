"""How many different programs the seeds of `synthetic-python` hold: python benchmarks/synthetic_supply.py [STREAMS]

A draft's stream of values is drawn evenly, and programs of two streams differ, so that a stream's part of all drafts
can be drawn alone: for STREAMS of them (default 8, chosen by hash) as many drafts as 800 seeds try, and of the programs
those that differ by shape, with their constants and without. Some two minutes a stream on an idle core.
"""

import sys
from random import Random

from mixtures.catalogue.paper_scale import SYNTHETIC_SHARDS
from mixtures.documents.document import hash64
from mixtures.synthetic.grammar import compose
from mixtures.synthetic.problem import shape

DRAFTS_OF_A_SEED = 14_600
"""Tried until 16 MB of problems have passed the gates, three in four."""


def main() -> None:
    streams = compose.STREAMS
    sample = sorted(range(len(streams)), key=lambda number: hash64(f"stream {number}"))
    # The code is drawn before inputs and statement, which take most of the time and decide nothing of it.
    vars(compose).update(_inputs=lambda rng, stream: ((), 0, 0), _statement=lambda *drawn: "")
    drafts = DRAFTS_OF_A_SEED * SYNTHETIC_SHARDS // len(streams)
    for number in sample[: int(sys.argv[1]) if len(sys.argv) > 1 else 8]:
        vars(compose).update(STREAMS=(streams[number],))
        programs, skeletons, family = set[str](), set[str](), ""
        print(f"stream {number}", end="", flush=True)
        for index in range(1, drafts + 1):
            draft = compose.draft(Random(f"supply/{number}/{index}"))
            programs.add(shape(draft.code)[:16])
            skeletons.add(shape(draft.code, constants=False)[:16])
            family = draft.family
            if index in [drafts // share for share in (100, 10, 1)]:
                counts = f"{len(programs) / index:.1%} differ, {len(skeletons) / index:.1%} without constants"
                print(f"; {index:,} drafts: {counts}", end="", flush=True)
        print(f" ({family})")


if __name__ == "__main__":
    main()
