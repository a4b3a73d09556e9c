"""Does code help, or is it the text that it displaces? (Petty et al., arXiv:2409.04556)

Two designs with the same shares of code. Competitive, as the paper's: the total is fixed, so code takes the place of
text. Additive: the text is fixed, to the sequence and in the same order, and code comes on top, so that the total is
text / (1 - share). What of a competitive arm's loss in text is gone in the additive one was displaced text.

Hypothesis: text suffers where code displaces it and hardly where code is added; code gains alike. Petty et al. (374M,
five seeds): more code helps structured output (COGS, slope .147 competitive, .165 additive) and arithmetic to 40 or
50 %, and harms syntax and world knowledge. The paper has the competitive design alone: knowledge 9.1, 8.8, 7.6 at 0,
25, 50 %, which displacement would do as well.
Cost at laptop scale: three seeds of 6.3 units of 204,800 tokens, which hold every source in whole sequences, about 5
minutes on two cores; the additive arms are longer. Command: `ablate run additive`.
"""

import math
from dataclasses import replace
from fractions import Fraction

from experiments.pieces import followed
from experiments.runs import pretrain
from experiments.scales import Scale, ask
from experiments.study import Arm, Expected, Study
from mixtures.allocate import block_size
from mixtures.curriculum import additive
from mixtures.mixture import Mixture, shares
from mixtures.paper import mixtures, proportion

PERCENTS = (25, 50)


def study(scale: Scale) -> Study:
    mix = mixtures(scale.parts)
    tokens = _whole(scale, mix["text"])
    arms = [_arm(scale, "text", "text alone", mix["text"], tokens)]
    for percent in PERCENTS:
        name = f"competitive-{percent}"
        arms.append(_arm(scale, name, f"{percent} % code in place of text", mix[proportion(percent)], tokens))
    for percent in PERCENTS:
        name, on_top = f"additive-{percent}", math.ceil(tokens * Fraction(percent, 100 - percent))
        mixed = f"text+code{percent}"
        both = additive(mixed, mix["text"], tokens, {mix["code+markup"]: on_top}, scale.batch, scale.sequence)
        arms.append(_arm(scale, name, f"the same text, and code on top: {percent} % of all", *both))
    return ask(
        scale,
        name="additive",
        question="Is it the code that helps or harms, or the text whose place it takes?",
        hypothesis="Text gets worse where code takes its place, and stays where code is added; code gains either way.",
        baseline="text",
        arms=tuple(arms),
        expected=(
            *(Expected(arm.name, "heldout/code/bpb", "lower", "2409.04556: slopes .147, .165") for arm in arms[1:]),
            Expected("competitive-50", "heldout/text/bpb", "higher", "Fig. 4: knowledge 7.6 against 9.1"),
            Expected("additive-50", "heldout/text/bpb", "same", "2409.04556: text is fixed"),
        ),
    )


def _whole(scale: Scale, text: Mixture) -> int:
    """Tokens of a unit, or a few more, that hold every source of `text` in whole sequences."""
    period = math.lcm(block_size(scale.batch), *(share.denominator for share in shares(text).values()))
    return -(-scale.unit // (period * scale.sequence)) * period * scale.sequence


def _arm(scale: Scale, name: str, description: str, mix: Mixture, tokens: int) -> Arm:
    stage = replace(pretrain(scale, mix), tokens=tokens)
    return Arm(name, description, followed(stage) if name == "text" else (stage,), origin="ours; arXiv:2409.04556")
