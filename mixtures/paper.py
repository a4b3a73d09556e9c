"""The mixtures and runs of "To Code, or Not To Code?" (arXiv:2408.10914), declared once, as data.

Where the paper is silent or contradicts itself, every reading has a name of its own, and CHOICES says what was chosen
and why. tests/golden/paper.txt shows all of it in numbers, so that drift shows as a diff.
"""

from collections.abc import Mapping

from mixtures.catalogue import paper_scale as catalogue
from mixtures.curriculum import Curriculum, Reading
from mixtures.mixture import Mixture, mixture

BATCH = 512
"""Sequences in a batch; the paper says 512 and does not say of what."""
SEQUENCE = 8_192

B = 10**9

KINDS: Mapping[str, str] = {source.name: source.kind for source in catalogue.PAPER}
ADJACENT = tuple(name for name, kind in KINDS.items() if kind == "adjacent")
SUPPLY: Mapping[tuple[str, ...], int] = {
    **{(s.name,): s.expected_tokens for s in catalogue.PAPER if s.expected_tokens and s.name not in ADJACENT},
    ADJACENT: catalogue.ADJACENT_TOKENS,
    ("synthetic-python",): 3_200_000_000,
}
"""Tokens that the paper had (§2.1), code-adjacent data in one sum as there; for the cooldown what upstream counts."""

# Quality and properties of code (§3.4).
TEXT = mixture("text", {"slimpajama": 1})
CODE = mixture("code", {"stack-code": 1})
CODE_MARKUP = mixture("code+markup", {"stack-code": 80, "stack-markup": 20})
ISSUES = mixture("adjacent-issues", {"github-issues": 1, "stackexchange": 1, "jupyter": 1})
COMMITS = mixture("adjacent-commits", {"github-commits": 1, "stackexchange": 1, "jupyter": 1})
CODE_ISSUES = mixture("code+adjacent-issues", {"stack-code": 85, ISSUES: 15})
CODE_COMMITS = mixture("code+adjacent-commits", {"stack-code": 85, COMMITS: 15})
CODE_SYNTH = mixture("code+synth", {"stack-code": 90, "synthetic-python": 10})
CODE_MARKUP_SYNTH = mixture("code+markup+synth", {CODE_MARKUP: 90, "synthetic-python": 10})
# Proportions of code (Fig. 4) and initialisation (§3.1).
CODE_25 = mixture("code25", {TEXT: 75, CODE_MARKUP: 25})
BALANCED = mixture("balanced", {TEXT: 50, CODE_MARKUP: 50})
CODE_75 = mixture("code75", {TEXT: 25, CODE_MARKUP: 75})
CODE_90 = mixture("code90", {TEXT: 10, CODE_MARKUP: 90})
BALANCED_SYNTH = mixture("balanced+synth", {TEXT: 50, CODE_SYNTH: 50})
TEXT_90 = mixture("text90", {TEXT: 90, CODE_MARKUP: 10})
# Cooldown (§3.5).
WITHOUT_CODE = mixture("cooldown-without-code", {"cooldown-text": 11, "cooldown-math": 4, "cooldown-instruct": 1})
WITH_CODE = mixture("cooldown+code", {WITHOUT_CODE: 80, "cooldown-code": 20})

MIXTURES: Mapping[str, Mixture] = {
    mix.name: mix
    for mix in (
        *(TEXT, CODE, CODE_MARKUP, CODE_ISSUES, CODE_COMMITS, CODE_SYNTH, CODE_MARKUP_SYNTH),
        *(CODE_25, BALANCED, CODE_75, CODE_90, BALANCED_SYNTH, TEXT_90, WITHOUT_CODE, WITH_CODE),
    )
}


def _pretrain(name: str, mix: Mixture, tokens: int = 200 * B) -> Curriculum:
    return Curriculum(name, (Reading("pretrain", mix, tokens),))


CONTINUE = Reading("continue", TEXT_90, 200 * B)
COOLDOWN = Reading("cooldown", WITH_CODE, 40 * B)
COOLDOWN_WITHOUT = Reading("cooldown", WITHOUT_CODE, 40 * B)


def _to_text(name: str, first: Mixture, cooldown: Reading = COOLDOWN) -> Curriculum:
    return Curriculum(name, (Reading("pretrain", first, 200 * B), CONTINUE, cooldown))


RUNS: Mapping[str, Curriculum] = {
    run.name: run
    for run in (
        Curriculum("text-only", (Reading("pretrain", TEXT, 400 * B), COOLDOWN)),
        Curriculum("balanced-only", (Reading("pretrain", BALANCED, 400 * B), COOLDOWN)),
        _to_text("balanced-to-text", BALANCED),
        _to_text("balanced-to-text-cooldown-without-code", BALANCED, COOLDOWN_WITHOUT),
        _to_text("balanced+synth-to-text", BALANCED_SYNTH),
        _to_text("balanced+synth-to-text-cooldown-without-code", BALANCED_SYNTH, COOLDOWN_WITHOUT),
        _to_text("code-to-text", CODE_MARKUP),
        _to_text("code+synth-to-text", CODE_SYNTH),
        _pretrain("proportion-0", TEXT),
        _pretrain("proportion-25", CODE_25),
        _pretrain("proportion-50", BALANCED),
        _pretrain("proportion-75", CODE_75),
        _pretrain("proportion-90", CODE_90),
        _pretrain("proportion-100", CODE_MARKUP),
        *(
            _pretrain(mix.name, mix)
            for mix in (CODE, CODE_MARKUP, CODE_ISSUES, CODE_COMMITS, CODE_SYNTH, CODE_MARKUP_SYNTH)
        ),
    )
}
"""At 470M all; at 2.8B balanced-only, balanced-to-text and code-to-text, before cooldown (§3.2).

The runs without cooldown are these before their last stage.
"""

_PROPORTION = "the code part is code+markup: the 100 % point of Fig. 4 has the figures of code+markup"
_NO_SYNTH = "without synthetic data: 52.0 reasoning / 3.4 code in Fig. 5b"
_SYNTH = "what Fig. 2, 3, 6 and Table 2 call balanced-to-text (53.0 / 4.8); only Fig. 5b names its synthetic part"
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
    "balanced-to-text": _NO_SYNTH,
    "balanced-to-text-cooldown-without-code": _NO_SYNTH,
    "balanced+synth-to-text": _SYNTH,
    "balanced+synth-to-text-cooldown-without-code": f"{_SYNTH}; the ablation of Fig. 6",
    "code-to-text": "the code model as §3.1 describes it, 80/20 code and markup, whose figures are 41.0 / 10.7",
    "code+synth-to-text": "the code model that Table 2's figures of code-to-text belong to (44.7 / 15.5)",
}
"""What was chosen where the paper is silent or at odds with itself, by name of the mixture or run."""
