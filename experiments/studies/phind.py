"""What does fine-tuning on instructions with answers give a base model, and what is a leak worth? (Phind, August 2023)

Phind tuned CodeLlama-34B and its Python version on some 80,000 proprietary pairs for two epochs, answers alone, after
OpenAI's search for benchmark items in them, and reported 67.6 and 69.5 on HumanEval, sampled (`humaneval_exec:phind`).
Here: the same from a base and from a Python base; whole texts in place of answers; 1, 2 and 4 epochs, which are one run
scored along the way; and half of the held-out problems planted among the pairs, with decontamination and without.

Hypothesis: tuning solves most of what the base does not; the loss on answers alone is no worse than that on whole
texts; further epochs give little; what leaks is solved by heart, which decontamination takes away.
Cost at laptop scale: three seeds, 5.2M tokens, 10 to 20 minutes on two cores (benchmarks/systems.md).
Command: `ablate run phind`.
"""

from experiments.scales import Scale, ask, with_sources
from experiments.study import Arm, Expected, Stage, Study
from experiments.systems import Systems, first, python, systems, tuned
from mixtures.catalogue.leaked import leaked
from mixtures.mixture import mixture
from models.recipe import NextToken

EPOCHS = 2
LEAK = 50
"""Per cent of the held-out problems."""
ANSWERS = NextToken("answers")


def base(of: Systems) -> tuple[Stage, ...]:
    """A quarter text: what is tuned in this study, and what `rrtf` begins with."""
    return (first(of, of.mixture("base", text=1, code=3), units=of.units),)


def study(scale: Scale) -> Study:
    of = systems(scale)
    task = of.leak
    pairs = next(source for source in of.scale.data.sources if source.name == of.pairs)
    planted, searched = leaked(pairs, task, LEAK), leaked(pairs, task, LEAK, cleaned=True)
    scale = with_sources(of.scale, [(planted, pairs.name), (searched, pairs.name)])
    begun = base(of)

    def arm(name: str, described: str, *stages: Stage, against: str | None = None) -> Arm:
        return Arm(name, described, (*begun, *stages), against=against, origin="Phind, as far as its notes go")

    def on(source: str, epochs: int = EPOCHS, objective: NextToken = ANSWERS) -> tuple[Stage, ...]:
        return tuned(of, mixture(source, {source: 1}), source, epochs, objective)

    return ask(
        scale,
        name="phind",
        question="What does fine-tuning on instructions with answers give, and what is a leak worth?",
        hypothesis="Tuning solves most of what the base does not, by answers alone; a leak is learned by heart.",
        baseline="tuned",
        arms=(
            arm("tuned", "two epochs of pairs, loss on the answers", *on(of.pairs)),
            arm("base", "text and code, no pairs"),
            arm("whole-text", "the same with loss on prompts, too", *on(of.pairs, objective=NextToken())),
            arm("one-epoch", "one epoch of pairs", *on(of.pairs, 1)),
            arm("four-epochs", "four epochs of pairs", *on(of.pairs, 4)),
            arm("python-base", "text and code, then mostly Python, no pairs", python(of), against="base"),
            arm("python-tuned", "the same, then two epochs of pairs", python(of), *on(of.pairs)),
            arm("leaked", "pairs with half of the held-out problems among them", *on(planted.name)),
            arm("leaked-cleaned", "the same after decontamination", *on(searched.name)),
        ),
        expected=(
            Expected("base", of.look, "lower", "48.8 against 67.6 (HumanEval)"),
            Expected("python-tuned", of.look, "higher", "69.5 against 67.6"),
            Expected("leaked", of.look, "higher"),
            Expected("leaked-cleaned", of.look, "same"),
        ),
    )
