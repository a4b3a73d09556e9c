"""Does code at the beginning help what comes after it? (arXiv:2408.10914, section 3.1, Fig. 2 and Table 2)

Arms of equal budgets, 400B tokens of the paper: text alone; half text and half code all along; half and half, then 90 %
text; code, then 90 % text. The last two with and without synthetic problems in their first code, since the paper calls
the ones with them balanced→text and code→text and says so in Fig. 5b alone. Where code arms begin is there, too.

Hypothesis: code at the beginning costs nothing once text follows. The paper's natural-language reasoning: text-only
49.0, balanced-only 51.8, balanced→text 53.0, code→text 53.3; knowledge 9.5, 8.1, 9.9, 9.5; code 0.4, 9.0, 4.8, 4.1.
Expected at every size: all arms with code model code far better than text-only, balanced-only best of those that go on
to text; text-only models text best or close to it.
Cost at laptop scale: three seeds of 13 units of 194,560 tokens, about 8 minutes on two cores. Command:
`ablate run initialisation`. Fig. 9 is the same by a judge: `ablate judge run initialisation --judge smollm`.
"""

from experiments.runs import run
from experiments.scales import Scale, ask
from experiments.study import Expected, Study


def study(scale: Scale) -> Study:
    return ask(
        scale,
        name="initialisation",
        question="Does code at the beginning of pre-training help a model that then reads mostly text?",
        hypothesis=(
            "Arms that read code model code far better than text-only, and those that go on to text lose little of it; "
            "text-only models text best or close to it."
        ),
        baseline="text-only",
        arms=(
            run("text-only", scale),
            run("balanced-only", scale),
            run("balanced-to-text", scale),
            run("balanced+synth-to-text", scale),
            run("code-to-text", scale),
            run("code+synth-to-text", scale),
            run("balanced+synth", scale, against="balanced+synth-to-text"),
            run("code+synth", scale, against="code+synth-to-text"),
        ),
        expected=(
            Expected("balanced-only", "heldout/code/bpb", "lower", "Fig. 2: code 9.0 against 0.4"),
            Expected("balanced+synth-to-text", "heldout/code/bpb", "lower", "Fig. 2: code 4.8 against 0.4"),
            Expected("code+synth-to-text", "heldout/code/bpb", "lower", "Fig. 2: code 4.1 against 0.4"),
            Expected("balanced-only", "heldout/text/bpb", "higher", "Fig. 2: knowledge 8.1 against 9.5"),
            Expected("code+synth", "heldout/text/bpb", "higher", "Table 2: reasoning 44.7, after it 53.3"),
        ),
    )
