"""All of "To Code, or Not To Code?" (arXiv:2408.10914): its six questions in one.

The union of `initialisation`, `scale`, `proportion`, `quality`, `cooldown` and `recipes`; what several of them need is
trained once. Every arm's `origin` says where the paper has it; those that begin with "ours" are added, and say why. The
paper speaks of 64 models and names 25; this has 29 arms and sizes where the catalogue has all sources, times three
seeds, which the paper lacks. tests/golden/studies.txt lists them.

Hypothesis: that of the six. Cost at laptop scale: about half an hour on two cores; at paper scale `ablate plan paper
--scale paper` says. Command: `ablate run paper --scale laptop`.
"""

from experiments.scales import ABOVE_CHANCE, Scale, union
from experiments.studies import cooldown, initialisation, proportion, quality, recipes, scale
from experiments.study import Study

PARTS = (initialisation, scale, proportion, quality, cooldown, recipes)


def study(at: Scale) -> Study:
    return union(
        at,
        name="paper",
        question="To code, or not to code? What code in the pre-training data does, in the paper's six questions.",
        hypothesis="Those of the six: code helps code at any share and place, text recovers, cooldown narrows both.",
        parts=tuple(part.study(at) for part in PARTS),
        composite=ABOVE_CHANCE,
    )
