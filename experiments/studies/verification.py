"""Does it matter that synthetic code is verified?

A tenth of synthetic problems beside web code, as the paper's code+synth: verified; with the ones that a gate would
drop; and wrong, each with a mutant that fails its tests in the solution's place. All three have the same problems, so
nothing but truth differs. Verified problems are what the others, and code without any, are compared with.

Hypothesis: synthetic problems help by their form, and truth adds a little that likelihood hardly sees. The paper's
"formally verified" problems bring reasoning from 39.9 to 44.7 and code from 12.7 to 15.5 (Fig. 5a), and it has no
unverified ones: how much of that is the verification it cannot say.
Cost at laptop scale: three seeds of 4 units of 194,560 tokens, about 4 minutes on two cores. Command:
`ablate run verification`.
"""

from experiments.runs import pretrain, run
from experiments.scales import Scale, ask, with_sources
from experiments.study import Arm, Expected, Study
from mixtures.catalogue.own import control
from mixtures.mixture import mixture
from mixtures.synthetic.forms import VARIANTS

CONTROLS = tuple(variant for variant in VARIANTS if variant != "verified")


def study(scale: Scale) -> Study:
    verified = next(source for source in scale.data.sources if source.name == scale.parts.synthetic)
    held_out = f"heldout/synthetic/{verified.name}/bpb"
    return ask(
        with_sources(scale, ((control(verified, variant), verified.name) for variant in CONTROLS)),
        name="verification",
        question="Do synthetic problems help because they are verified?",
        hypothesis="Most of the help is in the form: unverified problems do as well, and wrong ones a little worse.",
        baseline="code+synth",
        arms=(run("code+synth", scale), run("code", scale), *(_control(name, scale) for name in CONTROLS)),
        primary=(*scale.primary, held_out),
        expected=(
            Expected("code", held_out, "higher", "Fig. 5a: code 12.7 against 15.5"),
            Expected("code+synth-wrong", held_out, "higher", "ours: it read the same problems, and no solutions"),
        ),
    )


def _control(variant: str, scale: Scale) -> Arm:
    name = f"code+synth-{variant}"
    stage = pretrain(scale, mixture(name, {scale.parts.code: 90, f"{scale.parts.synthetic}-{variant}": 10}))
    return Arm(name, f"code with {variant} problems, once", (stage,), origin="ours: a control of Fig. 5a")
