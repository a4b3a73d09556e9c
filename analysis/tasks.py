"""The tasks that the suite knows by name: what each is called, where it counts, by which score it leads.

A leading score stands for its task in the mean of its category. Choices of many words are compared by likelihood per
character (acc_norm) where lm-evaluation-harness 0.4.13 offers that, and in QuAC, which it has not and whose spans are
as unequal; all others as a whole, as it does. The paper says "accuracy" of the one and of the other
(arXiv:2408.10914, table 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A task.

    Attributes:
        title: for people.
        category: reasoning and knowledge have means; code is scored by the reference solution, executed by tests.
        lead: the score that stands for it, a name in `analysis.metrics.SCORES`.
        chance: what a model that knows nothing scores: 1 / choices, and where the answers are the same words in every
            item the share of the commonest one, which a constant answer reaches (BoolQ: 2,033 of 3,270 are "yes"; CB:
            28 of 56 are "False").
        small: with so few items that it carries most of its category's noise.
    """

    title: str
    category: str
    lead: str
    chance: float = 0.0
    small: bool = False


TASKS: Mapping[str, Known] = {
    "humaneval": Known("HumanEval", "code", "gold_bpb"),
    "mbpp": Known("MBPP", "code", "gold_bpb"),
    "humaneval_exec": Known("HumanEval", "executed", "pass@1"),
    "mbpp_exec": Known("MBPP", "executed", "pass@1"),
    "boolq": Known("BoolQ", "reasoning", "acc", 0.622),
    "piqa": Known("PIQA", "reasoning", "acc_norm", 1 / 2),
    "sciq": Known("SciQ", "reasoning", "acc_norm", 1 / 4),
    "social_iqa": Known("SocialIQA", "reasoning", "acc", 1 / 3),
    "quac": Known("QuAC", "reasoning", "acc_norm", 1 / 4),
    "cb": Known("CB", "reasoning", "acc", 1 / 2, small=True),
    "copa": Known("COPA", "reasoning", "acc", 1 / 2, small=True),
    "storycloze_2016": Known("StoryCloze", "reasoning", "acc", 1 / 2),
    "hellaswag": Known("HellaSwag", "reasoning", "acc_norm", 1 / 4),
    "winogrande": Known("WinoGrande", "reasoning", "acc", 1 / 2),
    "arc_easy": Known("ARC-Easy", "reasoning", "acc_norm", 1 / 4),
    "triviaqa": Known("TriviaQA", "knowledge", "exact_match"),
    "nq_open": Known("NQ-Open", "knowledge", "exact_match"),
}
"""The paper's, in the order in which to show them."""


def of(category: str) -> tuple[str, ...]:
    """The names of a category's tasks."""
    return tuple(name for name, task in TASKS.items() if task.category == category)
