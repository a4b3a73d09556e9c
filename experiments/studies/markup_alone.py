"""Is markup code, text or neither?

A tenth and a quarter of markup beside text, against the same share of web code and against text alone. The paper adds
markup to code, never to text, and counts it as code in its proportions.

Hypothesis: markup helps text as little and code less than web code does. In the paper a fifth of markup in the code
brings reasoning from 39.9 to 41.0 and costs code 12.7 to 10.7 (Fig. 5a): it is nearer to text than code is.
Cost at laptop scale: three seeds of 5 units of 194,560 tokens, about 4 minutes on two cores. Command:
`ablate run markup-alone`.
"""

from experiments.runs import pretrain, text_alone
from experiments.scales import Scale, ask
from experiments.study import Arm, Expected, Study
from mixtures.mixture import Mixture, Part, mixture
from mixtures.paper import mixtures

PERCENTS = (10, 25)


def study(scale: Scale) -> Study:
    text = mixtures(scale.parts)["text"]
    parts = {"web-code": scale.parts.code, "markup": scale.parts.markup}
    arms = (
        Arm("text", "text alone", text_alone(scale), origin="Fig. 4 at 0 %"),
        *(_beside(scale, text, kind, part, percent) for kind, part in parts.items() for percent in PERCENTS),
    )
    names = [arm.name for arm in arms[1:]]
    return ask(
        scale,
        name="markup-alone",
        question="What does markup do by itself, beside text?",
        hypothesis="Markup lowers the loss on code, less than web code does, and costs text no more.",
        baseline="text",
        arms=arms,
        primary=(*scale.primary, "heldout/markup/bpb"),
        expected=(
            *(Expected(name, "heldout/code/bpb", "lower", "Fig. 5a: nearer to text than code is") for name in names),
            *(Expected(name, "heldout/markup/bpb", "lower", "ours: it is what they read") for name in names[2:]),
        ),
    )


def _beside(scale: Scale, text: Mixture, kind: str, part: Part, percent: int) -> Arm:
    stage = pretrain(scale, mixture(f"text+{kind}{percent}", {text: 100 - percent, part: percent}))
    described = f"{percent} % {kind.replace('-', ' ')}, the rest text"
    return Arm(f"{kind}-{percent}", described, (stage,), origin="ours: one kind beside text")
