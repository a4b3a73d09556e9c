"""How much of a difference is the seed of the weights, and how much the order of the data?

Three seeds of the weights crossed with three of the data, for half text and half code and for text alone, one stage
each. The result is not a difference of arms but the parts of its variance (`analysis/components.py`): they say which
seed to buy next. An effect below them is none; the paper has one run of everything.

Hypothesis: the two are of one size, and the items weigh more than both where they are few. PolyPythias
(arXiv:2503.09543) trained ten seeds of five sizes with both seeds set apart, and found runs of a size alike, with rare
outliers. Readers of the paper ask for three to five seeds, since effects of 2 to 8 % lie close to what seeds do.
Cost at laptop scale: nine runs of 2 units of 194,560 tokens, about 5 minutes on two cores. Command: `ablate run seeds`.
"""

from experiments.runs import run
from experiments.scales import ABOVE_CHANCE, Scale, ask
from experiments.study import Expected, Study

INITS, DATAS = 3, 3


def study(scale: Scale) -> Study:
    seeds = tuple(range(INITS * DATAS))
    return ask(
        scale,
        name="seeds",
        question="How far do runs differ that differ in nothing but the seed of the weights, or of the data?",
        hypothesis="The weights and the order of the data move a run about as far as each other, and less than code.",
        baseline="text",
        composite=ABOVE_CHANCE,
        arms=(
            run("text", scale, origin="ours, crossed; Fig. 4 at 0 %"),
            run("balanced", scale, origin="ours, crossed; Fig. 4 at 50 %"),
        ),
        seeds=seeds,
        init_seeds={seed: seed // DATAS for seed in seeds},
        data_seeds={seed: seed % DATAS for seed in seeds},
        expected=(Expected("balanced", "heldout/code/bpb", "lower", "Fig. 4: code 5.8 against 0.2"),),
    )
