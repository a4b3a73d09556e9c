"""The mixtures of "To Code, or Not To Code?" (arXiv:2408.10914), declared once, for any catalogue.

A catalogue says which of its sources are text, web code, markup and so on (`Parts`), and gets the paper's mixtures of
them under the paper's names (`mixtures`). Where the paper is silent or contradicts itself, every reading has a name of
its own, and CHOICES says what was chosen and why. The runs that read them are in `experiments/runs.py`;
tests/golden/paper.txt shows all of it in numbers, so that drift shows as a diff.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mixtures.catalogue import paper_scale as catalogue
from mixtures.mixture import Mixture, Part, mixture

B = 10**9

KINDS: Mapping[str, str] = {source.name: source.kind for source in catalogue.PAPER}
ADJACENT = tuple(name for name, kind in KINDS.items() if kind == "adjacent")
SUPPLY: Mapping[tuple[str, ...], int] = {
    **{(s.name,): s.expected_tokens for s in catalogue.PAPER if s.expected_tokens and s.name not in ADJACENT},
    ADJACENT: catalogue.ADJACENT_TOKENS,
    ("synthetic-python",): 3_200_000_000,
}
"""Tokens that the paper had (§2.1), code-adjacent data in one sum as there; for the cooldown what upstream counts."""


@dataclass(frozen=True)
class Parts:
    """What the paper's mixtures are made of, as a catalogue has it.

    Attributes:
        text, code, markup, synthetic: the paper's four large sources (§2.1); code is web code.
        adjacent: code-adjacent data, by the reading: "issues" as §3.4 names them, "commits" as §2.1 does.
        cooldown: what a cooldown reads besides code (§3.5): text, math, instruct-style data.
        cooldown_code: its code.
    """

    text: Part
    code: Part
    markup: Part
    synthetic: Part
    adjacent: Mapping[str, Part]
    cooldown: Part
    cooldown_code: Part


PAPER = Parts(
    text="slimpajama",
    code="stack-code",
    markup="stack-markup",
    synthetic="synthetic-python",
    adjacent={
        "issues": mixture("adjacent-issues", {"github-issues": 1, "stackexchange": 1, "jupyter": 1}),
        "commits": mixture("adjacent-commits", {"github-commits": 1, "stackexchange": 1, "jupyter": 1}),
    },
    cooldown=mixture("cooldown-rest", {"cooldown-text": 11, "cooldown-math": 4, "cooldown-instruct": 1}),
    cooldown_code="cooldown-code",
)

PROPORTIONS = (0, 25, 50, 75, 90, 100)
"""Percent of code of the sweep (Fig. 4)."""


def mixtures(parts: Parts) -> dict[str, Mixture]:
    """The paper's mixtures of `parts`, by name."""
    text = mixture("text", {parts.text: 1})
    # Quality and properties of code (§3.4).
    code = mixture("code", {parts.code: 1})
    code_markup = mixture("code+markup", {parts.code: 80, parts.markup: 20})
    code_synth = mixture("code+synth", {parts.code: 90, parts.synthetic: 10})
    found = [
        *(text, code, code_markup, code_synth),
        mixture("code+markup+synth", {code_markup: 90, parts.synthetic: 10}),
        *(mixture(f"code+adjacent-{name}", {parts.code: 85, part: 15}) for name, part in parts.adjacent.items()),
        # Proportions of code (Fig. 4); half and half is also what balanced runs start with (§3.1).
        *(
            mixture("balanced" if percent == 50 else f"code{percent}", {text: 100 - percent, code_markup: percent})
            for percent in PROPORTIONS
            if 0 < percent < 100
        ),
        mixture("balanced+synth", {text: 50, code_synth: 50}),
        # A continued "text" stage keeps some code (footnote 5).
        mixture("text90", {text: 90, code_markup: 10}),
        # Cooldown (§3.5).
        mixture("cooldown-without-code", {parts.cooldown: 1}),
        mixture("cooldown+code", {parts.cooldown: 80, parts.cooldown_code: 20}),
    ]
    return {mix.name: mix for mix in found}


def proportion(percent: int) -> str:
    """The name of the mixture with `percent` of code."""
    return {0: "text", 50: "balanced", 100: "code+markup"}.get(percent, f"code{percent}")


_PROPORTION = "the code part is code+markup: the 100 % point of Fig. 4 has the figures of code+markup"
CHOICES: Mapping[str, str] = {
    "code+adjacent-issues": "§3.4 gives these weights and names issues, where §2.1 names commits",
    "code+adjacent-commits": "§2.1 names commits, where §3.4, which gives the weights, names issues",
    "code+synth": (
        "the 90 % is web code alone, so that nothing but the synthetic part differs from code; the epochs shown are of "
        f"the paper's proprietary set, ours has {catalogue.SYNTHETIC_TOKENS / B:.1f}B tokens of programs that differ"
    ),
    "code+markup+synth": "the other reading of 'proportions kept the same': a fifth of the web part is markup",
    "code25": _PROPORTION,
    "balanced": _PROPORTION,
    "code75": _PROPORTION,
    "code90": _PROPORTION,
    "balanced+synth": "the code part is code+synth, as §3.4 says: it differs from balanced in markup, too",
    "text90": "which code is in the 10 % is not stated: code+markup for all, so that runs differ in their first stage",
    "cooldown-without-code": (
        "what takes the place of code is not stated: the rest in proportion, so that nothing but code differs. "
        "The split of the rest is ours: mostly text, as the stage before, and least instruct, whose open sets are small"
    ),
    "cooldown+code": "the split of the 80 % is not stated: that of cooldown-without-code",
}
"""What was chosen where the paper is silent or at odds with itself, by name of the mixture."""
