"""Which recipe is best once all have cooled down? (arXiv:2408.10914, section 3.6, Table 2 and Fig. 8)

The four recipes of Table 2 to their end: 400B tokens of the paper, then 40B of cooldown with 20 % code, the same for
all.

Hypothesis: the cooldown narrows what the recipes differ by. The paper, after it: reasoning 54.1, 53.2, 54.9, 52.1;
knowledge 11.1, 11.1, 10.9, 10.3; code 4.4, 8.4, 5.8, 7.5 for text-only, balanced-only, balanced→text, code→text. Of its
8.2 % gain in reasoning before the cooldown 1.5 % are left; judged win rates against text-only are no better than chance
with 199 prompts (p = 0.67).
Cost at laptop scale: three seeds of 9.8 units of 194,560 tokens, about 7 minutes on two cores. Command:
`ablate run recipes`. Fig. 8 is the same by a judge: `ablate judge run recipes --judge smollm`.
"""

from experiments.runs import run
from experiments.scales import Scale, ask
from experiments.study import Expected, Study

NAMES = ("text-only", "balanced-only", "balanced+synth-to-text", "code+synth-to-text")


def study(scale: Scale) -> Study:
    arms = tuple(run(name, scale, cooled="cooldown+code", origin="Table 2, Fig. 8") for name in NAMES)
    return ask(
        scale,
        name="recipes",
        question="Which recipe is best after a cooldown that is the same for all?",
        hypothesis="After it the arms model text alike; those that read code before still model code better.",
        baseline=arms[0].name,
        arms=arms,
        expected=tuple(
            Expected(arm.name, "heldout/code/bpb", "lower", f"Table 2: code {code} against 4.4")
            for arm, code in zip(arms[1:], ("8.4", "5.8", "7.5"), strict=True)
        ),
    )
