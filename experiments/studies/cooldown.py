"""Does a cooldown need code? (arXiv:2408.10914, section 3.5, Fig. 6 and 7)

Two models before and after a cooldown of 40B tokens of the paper, with 20 % code and without: balanced→text, as the
paper has it (the one with synthetic problems), and text-only, of which it has the cooldown with code alone. Every
cooldown is compared with the same model before it.

Hypothesis: a cooldown helps everything that it reads, and code only if it reads code. The paper, for none, without and
with code: reasoning 53.0, 52.9, 54.9; knowledge 9.9, 10.2, 10.9; code 4.8, 4.8, 5.8; a judge prefers both to none
(48.2 and 52.3 % wins against 22.1 and 18.6).
Cost at laptop scale: three seeds of 4.8 units of 194,560 tokens, about 4 minutes on two cores. Command:
`ablate run cooldown`.
"""

from experiments.runs import run
from experiments.scales import Scale, ask
from experiments.study import Arm, Expected, Study

WITH, WITHOUT = "cooldown+code", "cooldown-without-code"
FIRST = ("balanced+synth-to-text", "text-only")
_OURS = "ours: the fourth cell of the 2 x 2, which the paper lacks"
_ORIGINS = {
    ("balanced+synth-to-text", WITH): "Fig. 6, 7, Table 2",
    ("balanced+synth-to-text", WITHOUT): "Fig. 6, 7",
    ("text-only", WITH): "Table 2",
    ("text-only", WITHOUT): _OURS,
}


def study(scale: Scale) -> Study:
    arms = tuple(arm for name in FIRST for arm in _three(name, scale))
    cooled = {mix: [arm.name for arm in arms if arm.stages[-1].mixture.name == mix] for mix in (WITH, WITHOUT)}
    return ask(
        scale,
        name="cooldown",
        question="What does code in the cooldown do, after text alone and after text and code?",
        hypothesis="Any cooldown helps text; one with code helps code, and one without loses some of it.",
        baseline=FIRST[0],
        arms=arms,
        expected=(
            *(Expected(arm, "heldout/code/bpb", "lower", "Fig. 6: code 5.8 against 4.8") for arm in cooled[WITH]),
            *(
                Expected(arm, "heldout/text/bpb", "lower", "Fig. 6: knowledge 10.2 to 10.9 against 9.9")
                for names in cooled.values()
                for arm in names
            ),
        ),
    )


def _three(name: str, scale: Scale) -> tuple[Arm, ...]:
    """A run before its cooldown, and after each of two."""
    cooled = (run(name, scale, cooled=mix, against=name, origin=_ORIGINS[name, mix]) for mix in (WITH, WITHOUT))
    return (run(name, scale, against=name), *cooled)
