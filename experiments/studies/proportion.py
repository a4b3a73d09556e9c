"""How much code? (arXiv:2408.10914, section 3.3, Fig. 4)

Six models of 200B tokens of the paper, 0 to 100 % of them code (80 % web code, 20 % markup), the rest text.

Hypothesis: code rises with its share all along; text falls with it, slowly to 75 % and steeply after. The paper, at 0,
25, 50, 75, 90, 100 %: reasoning 50.2, 51.9, 51.7, 50.9, 46.2, 41.0; knowledge 9.1, 8.8, 7.6, 6.3, 4.6, 1.3; code 0.2,
4.1, 5.8, 8.5, 9.6, 10.7 (digitised). Its rise of reasoning at 25 % is 1.5 standard errors of its items alone.
The arm without code is scored along its run, so that the report says what code is worth in tokens.
Cost at laptop scale: three seeds of 6 units of 194,560 tokens, about 5 minutes on two cores; at desktop scale under an
hour. Command: `ablate run proportion`; with both, `ablate transfer proportion --from laptop --to desktop`.
"""

from experiments.runs import pretrain, text_alone
from experiments.scales import ABOVE_CHANCE, Scale, ask
from experiments.study import Arm, Expected, Study
from mixtures.paper import PROPORTIONS, mixtures, proportion


def study(scale: Scale) -> Study:
    mix = mixtures(scale.parts)
    arms = [
        Arm(
            proportion_arm(percent),
            f"{percent} % code, {100 - percent} % text",
            (pretrain(scale, mix[proportion(percent)]),) if percent else text_alone(scale),
            origin="Fig. 4" + {50: "; Table 2 at its start", 100: ", 5a"}.get(percent, ""),
        )
        for percent in PROPORTIONS
    ]
    return ask(
        scale,
        name="proportion",
        question="How much code should the pre-training data have?",
        hypothesis="The more code the better code is modelled, and the worse text is; the last quarter costs most.",
        baseline=arms[0].name,
        composite=ABOVE_CHANCE,
        arms=tuple(arms),
        expected=(
            *(Expected(arm.name, "heldout/code/bpb", "lower", "Fig. 4: code 0.2 to 10.7") for arm in arms[1:]),
            Expected(arms[-1].name, "heldout/text/bpb", "higher", "Fig. 4: reasoning 50.2 to 41.0"),
            Expected(arms[-2].name, "heldout/text/bpb", "higher", "Fig. 4: reasoning 50.2 to 46.2"),
        ),
    )


def proportion_arm(percent: int) -> str:
    return f"proportion-{percent}"
