"""What does the learning rate do where the mixture changes?

balanced→text in four ways, of the same tokens: warmed up again, as our runs of the paper do; one cosine over both
stages; on at the low rate where the first cosine ended; and constant to the last fifth of the run, which decays
(warm-up, stable, decay). The last has a branch of the same trunk that decays as long after a fifth of the text. Text
alone is there with one cosine, as the paper's text-only, and warmed up again half-way: what a second warm-up does with
no change of mixture at all.

Hypothesis: the boundary moves text as far as code does. A re-implementation with one seed (1.4B, 30.8B tokens) has
code→text at 46.6 of 100 with one cosine and raw code, and at 48.8 with one a phase and better code, where a quarter of
code costs text alone 2.1: schedule and source matter as much as the effect. The paper does not state its schedule, and
gives text alone one stage and balanced→text two. A constant rate with a decay of a fifth does as well as a cosine
(arXiv:2405.18392).
Cost at laptop scale: three seeds of 11.4 units of 194,560 tokens, about 9 minutes on two cores. Command:
`ablate run boundary`.
"""

from dataclasses import replace

from experiments.pieces import cut, turned
from experiments.runs import continued, pretrain, run, text_alone
from experiments.scales import Scale, ask
from experiments.study import CONTINUE, Arm, Expected, Stage, Study
from mixtures.paper import mixtures

BASE = "balanced-to-text"


def study(scale: Scale) -> Study:
    mix = mixtures(scale.parts)
    first = pretrain(scale, mix["balanced"])
    low = replace(continued(scale, mix["text90"]), decay="constant", peak=CONTINUE, end=CONTINUE, warmup=0)
    short, whole = _constant_then_decay(scale, first, continued(scale, mix["text90"]))
    return ask(
        scale,
        name="boundary",
        question="How should the learning rate pass the boundary from text and code to text?",
        hypothesis=(
            "The boundary moves text as far as code in the data does: at the low rate least is learnt, and a decay at "
            "the end does as well as a cosine."
        ),
        baseline=BASE,
        arms=(
            run(BASE, scale),
            _arm("one-cosine", "one cosine over both stages", turned(_twice(first), scale.unit, mix["text90"])),
            _arm("low", "on at the rate where the first cosine ended", (first, low)),
            _arm("decay", "a constant rate, and a decay over the last fifth of the run", whole),
            replace(
                _arm("decay-early", "the same trunk, which decays as long after a fifth of the text", short),
                against=f"{BASE}-decay",
            ),
            run("text-only", scale, against="text-only"),
            Arm(
                "text-only-rewarmed",
                "text all along, warmed up again half-way",
                (*text_alone(scale), continued(scale, mix["text"])),
                against="text-only",
                origin="ours: a second warm-up without a change of mixture",
            ),
        ),
        expected=(
            Expected(f"{BASE}-low", "heldout/text/bpb", "higher", "ours: at a tenth of the peak little is learnt"),
            Expected(f"{BASE}-decay", "heldout/text/bpb", "same", "arXiv:2405.18392: as good as a cosine"),
            Expected(f"{BASE}-decay-early", "heldout/text/bpb", "higher", "ours: a fifth of the tokens less"),
        ),
    )


def _constant_then_decay(scale: Scale, first: Stage, second: Stage) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """A trunk with a constant rate over both mixtures, with a decay after one fifth and after three of the second."""
    step = scale.batch * scale.sequence
    part = second.tokens // step // 5 * step  # whole steps, so that all arms have as many
    flat = replace(first, decay="constant", end=first.peak)
    trunk = replace(second, tokens=3 * part, decay="constant", end=second.peak, warmup=0)
    early, rest = cut(trunk, part)
    decay = replace(second, tokens=second.tokens - 3 * part, decay="1-sqrt", peak=CONTINUE, warmup=0)
    return (flat, early, decay), (flat, early, rest, decay)


def _twice(stage: Stage) -> Stage:
    return replace(stage, tokens=2 * stage.tokens)


def _arm(way: str, description: str, stages: tuple[Stage, ...]) -> Arm:
    return Arm(f"{BASE}-{way}", f"balanced, then text: {description}", stages, origin="ours: the paper does not say")
