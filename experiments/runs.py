"""The stages and runs of arXiv:2408.10914, declared once, at any scale. Studies take their arms from here.

What the paper leaves open is chosen here, for all arms alike: peak and end of the cosine, that every stage warms up
again, and the rate at which a cooldown starts. A model's peak is that of its size (`models/config.py`).
"""

from collections.abc import Mapping
from fractions import Fraction

from experiments.pieces import followed
from experiments.scales import Scale
from experiments.study import Arm, Stage
from mixtures import paper
from mixtures.curriculum import stage_steps
from mixtures.mixture import Mixture
from models.config import PEAK_LEARNING_RATES, ModelConfig

END_OF_COSINE = Fraction(1, 10)
"""Of the peak."""
START_OF_COOLDOWN = Fraction(3, 10)
"""Of the peak: re-warmed to three times where the cosine ended, since the anneal has to have something to take back."""
END_OF_COOLDOWN = 1e-6
"""Section 3.5."""


def warmup_steps(scale: Scale) -> int:
    """Of every stage that warms up, however long it is: the paper has 1,325 for all."""
    if isinstance(scale.warmup, int):
        return scale.warmup
    return int(scale.warmup * stage_steps(scale.unit, scale.batch, scale.sequence))


def pretrain(scale: Scale, mix: Mixture, units: int = 1, model: ModelConfig | None = None) -> Stage:
    """A first stage: 200B tokens of the paper for a unit."""
    return _cosine("pretrain", scale, mix, units, model)


def text_alone(scale: Scale) -> tuple[Stage, ...]:
    """A first stage of text alone, which arms with code are compared with: followed, so that what they are worth can be
    said in tokens, and in the same pieces in all studies, so that it is trained once."""
    return followed(pretrain(scale, paper.mixtures(scale.parts)["text"]))


def continued(scale: Scale, mix: Mixture, model: ModelConfig | None = None) -> Stage:
    """A second stage of one unit. It warms up again: what the paper does at this boundary is not stated."""
    return _cosine("continue", scale, mix, 1, model)


def cooldown(scale: Scale, mix: Mixture, model: ModelConfig | None = None) -> Stage:
    """40B tokens of the paper, linear to 1e-6 (section 3.5)."""
    start = float(START_OF_COOLDOWN * _peak(scale, model))
    return Stage("cooldown", mix, scale.unit // 5, "linear", start, END_OF_COOLDOWN, warmup=0)


def _cosine(kind: str, scale: Scale, mix: Mixture, units: int, model: ModelConfig | None) -> Stage:
    peak = _peak(scale, model)
    return Stage(kind, mix, units * scale.unit, "cosine", float(peak), float(END_OF_COSINE * peak), warmup_steps(scale))


def _peak(scale: Scale, model: ModelConfig | None) -> Fraction:
    return Fraction(str(PEAK_LEARNING_RATES[(model or scale.small).name]))


_SYNTH = "what Fig. 2, 3, 6 and Table 2 call {} has its figures (Fig. 5): 10 % of its first code is synthetic"
ORIGINS: Mapping[str, str] = {
    "text-only": "Fig. 2, Table 2",
    "balanced-only": "Fig. 2, Table 2",
    "balanced+synth-to-text": "Fig. 2, 5b, Table 2; " + _SYNTH.format("balanced→text (53.0 / 4.8)"),
    "code+synth-to-text": "Fig. 2, Table 2; " + _SYNTH.format("code→text (44.7 / 15.5 at its start)"),
    "balanced-to-text": "Fig. 5b (52.0 / 3.4): without synthetic data",
    "code-to-text": "ours: the code model as section 3.1 describes it, 80 % code and 20 % markup (41.0 / 10.7)",
    "balanced": "Table 2 at its start, Fig. 4",
    "balanced+synth": "Table 2, at its start",
    "code+synth": "Fig. 5a, Table 2",
    "code": "Fig. 5a",
    "code+markup": "Fig. 5a; the 100 % of Fig. 4",
    "code+adjacent-issues": "Fig. 5a, with the names of section 3.4",
    "code+adjacent-commits": "ours: the other reading, with commits as section 2.1 has them",
}
"""By run, where the paper has it."""

_DESCRIBED: Mapping[str, str] = {
    "text-only": "text all along",
    "balanced-only": "half text and half code all along",
    "balanced-to-text": "half text and half code, then 90 % text and 10 % code",
    "balanced+synth-to-text": "half text and half code with synthetic problems, then 90 % text and 10 % code",
    "code-to-text": "code and markup, then 90 % text and 10 % code",
    "code+synth-to-text": "code with synthetic problems, then 90 % text and 10 % code",
}


def run(
    name: str,
    scale: Scale,
    model: ModelConfig | None = None,
    cooled: str | None = None,
    against: str | None = None,
    origin: str | None = None,
) -> Arm:
    """A run of the paper, before its cooldown or with one.

    Args:
        name: a key of ORIGINS. Runs to text are two units long, and so are text-only and balanced-only; a mixture's
            name is one unit of it.
        scale: how large.
        model: if not the scale's small one; the arm's name then ends with its size.
        cooled: the mixture of a cooldown, "cooldown+code" or "cooldown-without-code".
        against, origin: as of an arm.
    """
    mix = paper.mixtures(scale.parts)
    if name in ("text-only", "balanced-only"):
        stages: tuple[Stage, ...] = (pretrain(scale, mix[name.removesuffix("-only")], 2, model),)
    elif name.endswith("-to-text"):
        first = {"code": "code+markup"}.get(name.removesuffix("-to-text"), name.removesuffix("-to-text"))
        stages = (pretrain(scale, mix[first], 1, model), continued(scale, mix["text90"], model))
    elif name == "text" and model is None:
        stages = text_alone(scale)
    else:
        stages = (pretrain(scale, mix[name], 1, model),)
    label, described = name, _DESCRIBED.get(name, f"{name}, once")
    if cooled:
        stages = (*stages, cooldown(scale, mix[cooled], model))
        label += "-to-" + cooled.replace("+code", "")
        described += ", then a cooldown " + ("without code" if "without" in cooled else "with 20 % code")
    if model is not None and model != scale.small:
        label, described = f"{label}-{model.name}", f"{described}, {model.name}"
    return Arm(label, described, stages, model if model != scale.small else None, against, origin or ORIGINS[name])
