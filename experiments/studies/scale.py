"""Do the runs keep their order in a larger model? (arXiv:2408.10914, section 3.2, Fig. 3)

The paper's runs before cooldown at both sizes, and text-only at the large one, which the paper lacks. Large arms
are compared with the large text-only, small ones with the small.

Hypothesis: the order of the arms is that of the small model, and the trade of text against code widens. The paper at
2.8B: reasoning 54.5, 55.8, 57.9, knowledge 23.6, 27.1, 25.6, code 21.8, 12.4, 11.7 for balanced-only, balanced→text,
code→text; at 470M 51.8, 53.0, 53.3, 8.1, 9.9, 9.5, 9.0, 4.8, 4.1.
Cost at laptop scale: three seeds of 10 small and 8 large units of 194,560 tokens, about 16 minutes on two cores.
Command: `ablate run scale`.
"""

from experiments.runs import run
from experiments.scales import Scale, ask
from experiments.study import Arm, Expected, Study

NAMES = ("balanced-only", "balanced+synth-to-text", "code+synth-to-text")


def study(scale: Scale) -> Study:
    base = run("text-only", scale, scale.large, origin="ours: the paper has no text-only model at 2.8B").name
    return ask(
        scale,
        name="scale",
        question="Do the effects of code hold, shrink or grow when the model is larger?",
        hypothesis="Large arms stand in the order of the small ones: code helps code, and text after it recovers text.",
        baseline="text-only",
        arms=(
            *(run(name, scale) for name in ("text-only", *NAMES)),
            run("text-only", scale, scale.large, against=base, origin="ours: the paper has no text-only model at 2.8B"),
            *(_large(name, scale, base) for name in NAMES),
            *(_large(name, scale, f"{name}-to-text-{scale.large.name}") for name in ("balanced+synth", "code+synth")),
        ),
        expected=tuple(
            Expected(_large(name, scale, base).name, "heldout/code/bpb", "lower", f"Fig. 3: code {code}")
            for name, code in zip(NAMES, ("21.8", "12.4", "11.7"), strict=True)
        ),
    )


def _large(name: str, scale: Scale, against: str) -> Arm:
    return run(name, scale, scale.large, against=against, origin="Fig. 3")
