"""Does code help by itself, or code beside natural language? (arXiv:2605.19762)

A tenth beside text: code with no word about it, its comments and docstrings taken out; web code as it was written; and
code among prose: notebooks, questions with answers, commits. All against text alone.

Hypothesis: as arXiv:2605.19762 has it, against the paper: pure executable code helps programming and not reasoning,
and what helps beyond is code beside natural language. In the paper 15 % of code-adjacent data bring reasoning from 39.9
to 42.4 and cost code 12.7 to 11.5 (Fig. 5a), which fits both.
Cost at laptop scale: three seeds of 4 units of 194,560 tokens, about 4 minutes on two cores, after some minutes of
preparation for three derived sources. Command: `ablate run executable`.
"""

from experiments.runs import pretrain, text_alone
from experiments.scales import Scale, ask, with_sources
from experiments.study import Arm, Expected, Study
from mixtures.catalogue.derived import derived, derived_part
from mixtures.mixture import Part, mixture, shares
from mixtures.paper import mixtures
from store.errors import UserError

SHARE = 10
WITH_PROSE = ("notebooks", "commits", "qa", "jupyter", "stackexchange")
"""Sources whose documents have code and sentences about it."""


def study(scale: Scale) -> Study:
    mix = mixtures(scale.parts)
    text, code = mix["text"], mix["code"]
    sources = [source for source in scale.data.sources if source.name in shares(code)]
    prose = [source.name for source in scale.data.sources if source.name in WITH_PROSE]
    if not prose:
        raise UserError(
            f"the catalogue of scale '{scale.name}' has no code beside prose; add one of {', '.join(WITH_PROSE)}"
        )
    parts: dict[str, tuple[str, Part]] = {
        "executable": ("code without comments and docstrings", derived_part(code, "bare")),
        "web-code": ("code as it was written", code),
        "code-with-prose": ("code among prose", mixture("code-with-prose", dict.fromkeys(prose, 1))),
    }
    arms = [Arm("text", "text alone", text_alone(scale), origin="Fig. 4 at 0 %")]
    for name, (described, part) in parts.items():
        stage = pretrain(scale, mixture(f"text+{name}{SHARE}", {text: 100 - SHARE, part: SHARE}))
        arms.append(Arm(name, f"{SHARE} % {described}, the rest text", (stage,), origin="arXiv:2605.19762"))
    return ask(
        with_sources(scale, ((derived(source, "bare"), source.name) for source in sources)),
        name="executable",
        question="Is it executable code that helps, or code beside natural language?",
        hypothesis="Executable code helps code and does nothing for text; code among prose costs it least.",
        baseline="text",
        arms=tuple(arms),
        expected=(
            *(Expected(arm.name, "heldout/code/bpb", "lower", "2605.19762: it helps programming") for arm in arms[1:]),
            Expected("executable", "heldout/text/bpb", "higher", "2605.19762: no help beyond programming"),
        ),
    )
