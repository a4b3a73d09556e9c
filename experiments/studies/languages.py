"""Which programming language? (arXiv:2410.06735)

A tenth of one language beside text, in place of the web code of all languages, against that and against text alone.
At laptop scale Python, C and C++, and JavaScript; with the paper's catalogue five of The Stack that have the tokens.

Hypothesis: every language helps held-out code of all, its own most. Models of single languages trained from scratch
beat text on logical inference whatever the language (arXiv:2410.06735, ten of them); fine-tuned, Python favours
natural language, and Java and Rust mathematics (arXiv:2509.21499). The paper reads 25 at once and scores Python alone.
Cost at laptop scale: three seeds of 5 units of 194,560 tokens, about 4 minutes on two cores. Command:
`ablate run languages`.
"""

from dataclasses import replace

from experiments.runs import pretrain, text_alone
from experiments.scales import Scale, ask, part_of, with_sources
from experiments.study import Arm, Expected, Study
from mixtures.catalogue.paper_scale import one_language
from mixtures.mixture import Mixture, Part, mixture, shares
from mixtures.paper import mixtures
from store.errors import UserError

SHARE = 10
OF_THE_STACK = ("python", "java", "javascript", "c", "php")
"""20B tokens of each are at most 2.2 epochs of it."""


def study(scale: Scale) -> Study:
    text, code = mixtures(scale.parts)["text"], scale.parts.code
    scale, languages = _languages(scale)
    parts: dict[str, Part] = {"all-languages": code, **{name: name for name in languages}}
    arms = [Arm("text", "text alone", text_alone(scale), origin="Fig. 4 at 0 %")]
    for name, part in parts.items():
        mix = mixture(f"text+{name}{SHARE}", {text: 100 - SHARE, part: SHARE})
        said = f"{SHARE} % code of {'all languages' if part is code else name}, the rest text"
        arms.append(Arm(name, said, (pretrain(scale, mix),), origin="arXiv:2410.06735"))
    return ask(
        scale,
        name="languages",
        question="Which programming language should the code be of?",
        hypothesis="Code of any language lowers the loss on code of all; its own most, and that of all languages best.",
        baseline="text",
        arms=tuple(arms),
        expected=tuple(
            Expected(arm.name, "heldout/code/bpb", "lower", "2410.06735: whatever the language") for arm in arms[1:]
        ),
    )


def _languages(scale: Scale) -> tuple[Scale, tuple[str, ...]]:
    """Sources of one language each, and the scale whose catalogue has them."""
    code = scale.parts.code
    if isinstance(code, Mixture):
        return scale, tuple(shares(code))
    if code != "stack-code":
        raise UserError(f"the code of scale '{scale.name}' is one source, '{code}'; give a mixture of its languages")
    sources = {source.name: source for source in map(one_language, OF_THE_STACK)}
    if scale.supply:
        supply = {name: source.expected_tokens or 0 for name, source in sources.items()}
        sources = {name: part_of(source, supply[name], scale.unit) for name, source in sources.items()}
        scale = replace(scale, supply={**scale.supply, **supply})
    return with_sources(scale, ((source, name) for name, source in sources.items())), tuple(sources)
