"""Does code in the pre-training data help, at a size that a laptop trains in minutes?

The first experiment of arXiv:2408.10914 (section 3.1, Table 2) in miniature: four arms with equal token budgets, of
which half is spent before and half after a switch of mixture, and a tenth more on a cooldown with 20 % code.

Hypothesis: arms that read code model code far better; `text-only` models prose best; cooldown, which gives every arm
the same data, narrows both gaps. Accuracies stay near chance: the models are 470 times smaller than the paper's.
Expected: code bits per byte of `text-only` at least 0.5 above every other arm before cooldown. Cost: about 5 minutes
of training and 3 of evaluation on 2 cores. Command: `make quickstart`.
"""

from experiments.scales import ADJACENT, COMPARED, EVERY_STAGE, EXECUTED, LAPTOP_DATA, MARKUP, TEXT, WEB_CODE
from experiments.study import Arm, Evaluation, Stage, Study
from mixtures.mixture import Mixture, mixture
from models.config import config
from models.recipe import AdamW

T = 409_600
"""Tokens before cooldown: 400 steps of 4 x 256. The paper's is 400B; this is fixed, never taken from the clock."""

# Web code with markup as the paper's proportion sweep has it: 80 % code, 20 % markup (section 3.2).
CODE = mixture("code", {WEB_CODE: 80, MARKUP: 20})
BALANCED = mixture("balanced", {TEXT: 50, CODE: 50})
# The continued "text" stage keeps 10 % code to avoid a full shift of distribution (footnote 5).
TEXT_90 = mixture("text90", {TEXT: 90, CODE: 10})
# Every cooldown has 20 % code, that of text-only too (section 3.5). The paper's is of high quality, so ours takes part
# of it from verified synthetic problems and from code-adjacent data.
COOLDOWN = mixture("cooldown+synth", {TEXT: 80, WEB_CODE: 10, "synthetic-python": 5, ADJACENT: 5})

PEAK = 7e-3
"""Best of a sweep at this size and batch: see benchmarks/quickstart.md."""
LOW = PEAK / 10


def pretrain(mix: Mixture) -> Stage:
    return Stage("pretrain", mix, T // 2, "cosine", PEAK, LOW, warmup=0.05)


def continued(mix: Mixture) -> Stage:
    """Re-warmed: what the paper does at this boundary is not stated."""
    return Stage("continue", mix, T // 2, "cosine", PEAK, LOW, warmup=0.05)


def cooldown() -> Stage:
    """Linear to 1e-6 (section 3.5), from where the cosine ended times three: the start is not stated."""
    return Stage("cooldown", COOLDOWN, T // 10, "linear", 3 * LOW, 1e-6, warmup=0.0)


STUDY = Study(
    name="quickstart",
    question="What does code in the pre-training data do to a small language model, at equal token budgets?",
    hypothesis=(
        "Arms that read code model code far better than text-only, and text-only models prose best; the cooldown, "
        "which gives every arm the same data, narrows both gaps. Accuracies stay near chance at this size."
    ),
    baseline="text-only",
    arms=(
        Arm("text-only", "text, then text again", (pretrain(TEXT), continued(TEXT), cooldown())),
        Arm("balanced-only", "half text and half code, twice", (pretrain(BALANCED), continued(BALANCED), cooldown())),
        Arm(
            "balanced-to-text",
            "half text and half code, then 90 % text and 10 % code",
            (pretrain(BALANCED), continued(TEXT_90), cooldown()),
        ),
        Arm("code-to-text", "code, then 90 % text and 10 % code", (pretrain(CODE), continued(TEXT_90), cooldown())),
    ),
    seeds=(0, 1, 2),
    model=config("1m"),
    sequence=256,
    batch=4,  # small, because 400 steps of 1,024 tokens learn more than 200 of 2,048
    optimizer=AdamW(),
    data=LAPTOP_DATA,
    max_epochs=4,
    evaluation=Evaluation(
        heldout_bytes=60_000,
        every_stage=EVERY_STAGE,
        compared=COMPARED,
        items=100,
        executed=EXECUTED,  # where there is a sandbox; else a gap that says so
        problems=10,
    ),
    primary=("heldout/code/bpb", "heldout/text/bpb"),
)
