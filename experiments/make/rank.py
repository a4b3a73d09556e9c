"""From answers with levels to documents: rules that drop problems, each with its count, and the order within a set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.evals.code.executed import Problem
from experiments.make.answers import Answer
from experiments.make.levels import LEVELS, PASSES, Levels

NOT_RUN, WEAK = "its tests do not run here", "its tests run within a program's reach"
UNANSWERED, NO_TEACHER = "no answer that could be executed", "no answer of a teacher"
WORSE_TEACHER, LEVEL = "the student is better than every teacher", "all answers are at one level"
NONE_PASSES = "no answer passes"
KEPT = "kept"

Row = Mapping[str, str | int]


@dataclass(frozen=True)
class Rules:
    """As of a `study.Made`; `teachers` is how many there are."""

    keep: Literal["ranked", "passed"]
    drop_worse_teacher: bool
    teachers: int


@dataclass(frozen=True)
class Answered:
    """A problem, whether its tests run here, and what was said to it: the student's answers first."""

    problem: Problem
    runs: bool
    answers: tuple[Answer, ...]

    @property
    def judged(self) -> bool:
        """Whether its answers are executed: a verdict that a program could have reached itself would rank nothing."""
        return self.runs and not self.problem.check.weak

    @property
    def texts(self) -> tuple[str, ...]:
        """What is executed, each once."""
        sound = (answer.text for answer in self.answers if not answer.fault)
        return tuple(dict.fromkeys(sound)) if self.judged else ()


def documents(answered: Sequence[Answered], levels: Levels, rules: Rules) -> tuple[list[Row], Counter[str]]:
    """The rows to be read, and of every rule how many problems it dropped, with those that are kept under `KEPT`.

    "ranked": all distinct answers to a problem as one set, best first, their levels as scores. Within a level a
    teacher's stand before the student's, so that of several best answers a teacher's is the one that tuning learns;
    answers of one level are not pulled apart. "passed": the first answer that passes, in the order in which they were
    drawn, as Code Llama's self-instruct keeps it (arXiv:2308.12950, section 2.5).
    """
    rows: list[Row] = []
    counts: Counter[str] = Counter()
    for each in answered:
        why, chosen = _chosen(each, levels, rules)
        counts[why or KEPT] += 1
        rows += [] if why else _rows(each.problem, chosen, levels, rules)
    return rows, counts


def _chosen(each: Answered, levels: Levels, rules: Rules) -> tuple[str, list[Answer]]:
    """Why a problem is dropped, or "" and what is kept of it."""
    if not each.judged:
        return WEAK if each.runs else NOT_RUN, []
    sound = [answer for answer in each.answers if not answer.fault]
    if not sound:
        return UNANSWERED, []
    at = {answer: levels[each.problem.id, answer.text] for answer in sound}
    if rules.keep == "passed":
        passing = [answer for answer in sound if at[answer] == PASSES]
        return ("", passing[:1]) if passing else (NONE_PASSES, [])
    if rules.drop_worse_teacher and rules.teachers:
        taught = [at[answer] for answer in sound if answer.who]
        if not taught:
            return NO_TEACHER, []
        if max((at[answer] for answer in sound if not answer.who), default=-1) > max(taught):
            return WORSE_TEACHER, []
    if len(set(at.values())) == 1:
        return LEVEL, []
    best_first = sorted(sound, key=lambda answer: (-at[answer], not answer.who, answer.who, answer.sample))
    once: dict[str, Answer] = {}
    for answer in best_first:
        once.setdefault(answer.text, answer)
    return "", list(once.values())


def _rows(problem: Problem, chosen: Sequence[Answer], levels: Levels, rules: Rules) -> list[Row]:
    ranked = rules.keep == "ranked"
    return [
        {
            "id": f"{problem.id}/{number}",
            "group": problem.id,
            "prompt": problem.prompt,
            "answer": answer.text,
            "set": problem.id if ranked else "",
            "score": levels[problem.id, answer.text] if ranked else 0,
        }
        for number, answer in enumerate(chosen)
    ]


def of_answers(answered: Sequence[Answered], levels: Levels, who: int) -> dict[str, int]:
    """How many answers of one who answers got to each level, and why the others were not executed."""
    counts = dict.fromkeys(LEVELS, 0)
    for each in answered:
        for answer in each.answers:
            if answer.who == who:
                why = answer.fault or (LEVELS[levels[each.problem.id, answer.text]] if each.judged else "not executed")
                counts[why] = counts.get(why, 0) + 1
    return counts
