"""What a mixture is to be good at, as people write it: "mean(reasoning, knowledge), heldout/code/bpb <= 1.4".

    objective   = sum {"," name (">=" | "<=") number}
    sum         = "mean(" name {"," name} ")" | [number "*"] name {"+" [number "*"] name}

A name is a metric's, or one of SHORT, or a task's for its leading score. Bits per byte are made small and all else
large; what a sum adds up has to be better the same way.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.evals.benchmarks import TASKS
from analysis.metrics import COMPOSITE, HELDOUT_KINDS, Metric
from store.errors import UserError

SHORT: Mapping[str, str] = {
    "reasoning": "reasoning/acc",
    "knowledge": "knowledge/exact_match",
    "nl": "nl/acc",
    "composite": COMPOSITE,
    **{kind: f"heldout/{kind}/bpb" for kind in HELDOUT_KINDS},
}
"""Metrics of a word."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z_][\w./@:-]*)|(?P<sign>>=|<=|[(),*+]))"
)


@dataclass(frozen=True)
class Constraint:
    """`metric` is to be at least `bound`, or at most."""

    metric: Metric
    least: bool
    bound: float

    @property
    def text(self) -> str:
        return f"{self.metric.name} {'>=' if self.least else '<='} {self.bound:g}"


@dataclass(frozen=True)
class Objective:
    """A weighted sum of metrics, and constraints."""

    text: str
    weighed: tuple[tuple[float, Metric], ...]
    constraints: tuple[Constraint, ...]

    @property
    def higher_is_better(self) -> bool:
        return self.weighed[0][1].score.higher_is_better


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int


class _Reader:
    """The tokens of a text, one after the other."""

    def __init__(self, text: str, metrics: Mapping[str, Metric]) -> None:
        self.metrics, self.tokens, at = metrics, [], 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                column = at + len(text[at:]) - len(text[at:].lstrip()) + 1
                raise slip(column, f"{text[column - 1]!r} is no name, number or sign")
            self.tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup) + 1))
            at = found.end()
        self.tokens.append(_Token("end", "", len(text) + 1))

    def is_next(self, *texts: str) -> bool:
        return self.tokens[0].kind == "sign" and self.tokens[0].text in texts

    def take(self, kind: str, wanted: str, *texts: str) -> _Token:
        token = self.tokens[0]
        if token.kind != kind or (texts and token.text not in texts):
            raise slip(
                token.column, f"{wanted} is expected, and not {token.text!r}" if token.text else f"{wanted} is missing"
            )
        return self.tokens.pop(0)

    def metric(self) -> Metric:
        token = self.take("name", "the name of a metric")
        name = SHORT.get(token.text, token.text)
        name = name if name in self.metrics or name not in TASKS else f"{name}/{TASKS[name].lead}"
        if name not in self.metrics:
            near = difflib.get_close_matches(name, [*self.metrics, *SHORT], n=1)
            known = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(list(self.metrics)[:6])}, ..."
            raise slip(token.column, f"metric '{token.text}' was not scored; {known}")
        return self.metrics[name]


def slip(column: int, what: str) -> UserError:
    return UserError(f'objective, column {column}: {what}; write one such as "mean(reasoning, knowledge), code <= 1.4"')


def parse(text: str, metrics: Sequence[Metric]) -> Objective:
    """The objective that `text` says, of metrics that were scored.

    Raises:
        UserError: it is none; the column of the slip is named.
    """
    reader = _Reader(text, {metric.name: metric for metric in metrics})
    start = reader.tokens[0].column
    weighed = _mean(reader) if [t.text for t in reader.tokens[:2]] == ["mean", "("] else _sum(reader)
    if len({metric.score.higher_is_better for _, metric in weighed}) > 1:
        raise slip(start, "bits per byte are better when lower and the others when higher, so their sum means nothing")
    if len({metric for _, metric in weighed}) < len(weighed):
        raise slip(start, "a metric stands twice")
    constraints = []
    while reader.tokens[0].kind != "end":
        reader.take("sign", "',' before a constraint", ",")
        constraints.append(_constraint(reader))
    return Objective(text.strip(), tuple(weighed), tuple(constraints))


def _mean(reader: _Reader) -> list[tuple[float, Metric]]:
    del reader.tokens[:2]
    found = [reader.metric()]
    while not reader.is_next(")"):
        reader.take("sign", "',' or ')'", ",")
        found.append(reader.metric())
    del reader.tokens[0]
    return [(1 / len(found), metric) for metric in found]


def _sum(reader: _Reader) -> list[tuple[float, Metric]]:
    found = [_term(reader)]
    while reader.is_next("+"):
        del reader.tokens[0]
        found.append(_term(reader))
    return found


def _term(reader: _Reader) -> tuple[float, Metric]:
    if reader.tokens[0].kind != "number":
        return 1.0, reader.metric()
    weight = reader.tokens.pop(0)
    reader.take("sign", "'*' after a weight", "*")
    if not float(weight.text) > 0:
        raise slip(weight.column, "a weight is above 0")
    return float(weight.text), reader.metric()


def _constraint(reader: _Reader) -> Constraint:
    metric = reader.metric()
    sign = reader.take("sign", "'>=' or '<='", ">=", "<=")
    number = reader.take("number", "a number")
    bound = float(number.text)
    if metric.score.share and bound > 1:
        raise slip(number.column, f"{metric.name} is a share between 0 and 1, and never {number.text}")
    return Constraint(metric, sign.text == ">=", bound)
