"""The grammar: values from a stream, zero to three filters and changes, one aggregate → a drafted problem.

The solution and the reference are written from the same draw by different rules: the solution fuses the steps into one
loop or into comprehensions; the reference works step by step, with the other form of every piece.
"""

import re
import textwrap
from dataclasses import dataclass
from random import Random

from mixtures.synthetic.grammar import dicts, numeric, textual
from mixtures.synthetic.grammar.aggregates import AGGREGATES, Aggregate
from mixtures.synthetic.grammar.leaves import Leaf, Values, change, condition, constants, helpers
from mixtures.synthetic.grammar.streams import Arguments, Stream
from mixtures.synthetic.problem import REFERENCE, Draft, fill

STREAMS = (*numeric.STREAMS, *textual.STREAMS, *dicts.STREAMS)

SHAPES = ("", "f", "f", "m", "m", "fm", "fm", "mf", "mm", "fmf")
SIZES = (0, 1, 2, 3, 5, 4, 7, 8, 6, 9, 5, 7, 8, 9, 6, 10, 7, 9, 4, 8, 10, 9, 8, 10)
"""Sizes of the inputs that may become tests; `WIDE` further ones only judge."""
WIDE = 60

TINY = frozenset(("lists-subsequences", "numbers-digits", "numbers-coins", "strings-runs", "strings-depth"))
"""Families whose values mostly lie between 0 and 6: larger constants would tell nothing apart."""

NAMES = {
    "xs": ("numbers", "readings", "scores", "prices", "heights", "samples"),
    "n": ("n", "limit", "bound"),
    "text": ("text", "line", "message", "sentence"),
    "words": ("words", "names", "labels", "terms"),
    "lines": ("lines", "inputs", "entries"),
    "table": ("table", "mapping", "stock", "ledger"),
    "more": ("more", "update", "additions"),
    "records": ("records", "rows", "sales"),
    "spans": ("spans", "intervals", "bookings", "ranges"),
}
LOOP_NAMES = {"int": ("x", "value", "number", "element"), "str": ("x", "word", "piece", "part")}

LIST = ("Find, {0}.", "Compute, {0}.", "Determine, {0}.")
START = ("Take {0}.", "Start from {0}.", "Consider {0}.", "Work with {0}.", "Look at {0}.")
FILTER = (
    "Keep only each {0} that {1}.",
    "Drop every {0} unless it {1}.",
    "Of these, retain a {0} only if it {1}.",
    "Leave out any {0} for which this does not hold: it {1}.",
)
CHANGE = ("Replace each {0} by {1}.", "Turn every {0} into {1}.", "Swap each {0} for {1}.", "For each {0} compute {1}.")
FINISH = ("Return {0}.", "Give back {0}.", "The result is {0}.", "Answer with {0}.")
LEFT = ("what is left", "the results", "the remaining {0}s", "the {0}s obtained")
FUNCTION = ("{0}_of_{1}", "{1}_{0}", "find_{0}_{1}", "compute_{0}_of_{1}", "{0}_from_{1}")


@dataclass(frozen=True)
class Step:
    """A filter ("f") or a change ("m") of values of type `item`."""

    kind: str
    item: str
    leaf: Leaf


def draft(rng: Random) -> Draft:
    """Draw one problem."""
    stream = rng.choice(STREAMS)(rng)
    steps, item, values = _steps(rng, stream)
    aggregate, drawn = _aggregate(rng, item, values)
    names = {role: rng.choice(NAMES[role]) for role, _ in stream.parameters}
    function = rng.choice(FUNCTION).format(aggregate.tag, stream.tag)
    parameters = ", ".join(f"{names[role]}: {annotation}" for role, annotation in stream.parameters)
    head = f"def {function}({parameters}) -> {aggregate.returns}:\n"
    imports, prepare = _split_imports(stream.code)
    body = _solution(rng, prepare, steps, item, aggregate, drawn)
    more_imports, body = _split_imports(body)
    code = head + textwrap.indent(fill(body, names), "    ")
    parts = ["\n".join(sorted({*imports, *more_imports})), *helpers(code), code]
    code = _tidy("\n\n\n".join(part for part in parts if part) + "\n")
    roles = {role: role for role, _ in stream.parameters}
    reference = f"def {REFERENCE}({', '.join(roles)}):\n"
    reference += textwrap.indent(fill(_reference(stream, steps, aggregate, drawn), roles), "    ") + "\n"
    inputs, shown, domain = _inputs(rng, stream)
    statement = fill(_statement(rng, stream, steps, item, aggregate, drawn), names)
    return Draft(stream.family, function, statement, code, reference, inputs, shown, domain)


def _steps(rng: Random, stream: Stream) -> tuple[list[Step], str, Values]:
    """Filters and changes, and of what type and size the values are after them."""
    item, steps = stream.item, list[Step]()
    values: Values = "large" if not stream.small else "tiny" if stream.family in TINY else "middling"
    for kind in rng.choice(SHAPES):
        if kind == "f":
            steps.append(Step("f", item, condition(rng, item, values)))
        else:
            leaf, after = change(rng, item, values)
            steps.append(Step("m", item, leaf))
            values = "large" if after == item == "int" else "tiny"
            item = after
    return steps, item, values


def _aggregate(rng: Random, item: str, values: Values) -> tuple[Aggregate, dict[str, str]]:
    """An aggregate and its constants; of a condition "if" are the words, "if1" the code, "if2" its other; so "key"."""
    aggregate, drawn = rng.choice(AGGREGATES[item]), constants(rng, values)
    test = condition(rng, item, values)
    while True:
        key, kind = change(rng, item, values)
        if kind == "int":
            break
    drawn |= {"e": rng.choice(("0", "-1")), "sep": rng.choice((",", "-", " ", "; ", "+", "/"))}
    drawn |= {"if": test.words, "if1": test.code, "if2": test.other}
    return aggregate, drawn | {"key": key.words, "key1": key.code, "key2": key.other}


def _solution(
    rng: Random, prepare: str, steps: list[Step], item: str, aggregate: Aggregate, drawn: dict[str, str]
) -> str:
    """Body of the solution."""
    *before, last = prepare.split("\n")
    source = "items"
    if found := re.fullmatch(r"items = (.{1,50})", last):
        source = found[1]
    else:
        before.append(last)
    fused = aggregate.fold is not None and (not aggregate.code or rng.random() < 0.6)
    body = _fused if fused else _listed
    return "\n".join([*before, *body(rng, source, steps, item, aggregate, drawn)])


def _fused(
    rng: Random, source: str, steps: list[Step], item: str, aggregate: Aggregate, drawn: dict[str, str]
) -> list[str]:
    """One loop that filters, changes and accumulates."""
    assert aggregate.fold is not None
    start, update, result = (_coded(part, drawn) for part in aggregate.fold)
    names = {kind: rng.sample(LOOP_NAMES[kind], len(LOOP_NAMES[kind])) for kind in ("int", "str")}
    nested = rng.random() < 0.5
    first = steps[0].item if steps else item
    name = names[first].pop()
    names["str" if first == "int" else "int"] = [n for n in names["str" if first == "int" else "int"] if n != name]
    lines, indent = [start, f"for {name} in {source}:"], "    "
    for i, step in enumerate(steps):
        if step.kind == "f":
            test = fill(step.leaf.code, {"x": name})
            lines += [f"{indent}if {test}:"] if nested else [f"{indent}if not ({test}):", f"{indent}    continue"]
            indent += "    " if nested else ""
        else:
            after = steps[i + 1].item if i + 1 < len(steps) else item
            renamed = next(n for n in reversed(names[after]) if n != name)
            names[after].remove(renamed)
            lines.append(f"{indent}{renamed} = {fill(step.leaf.code, {'x': name})}")
            name = renamed
    lines.append(textwrap.indent(fill(update, {"x": name}), indent))
    return [*lines, "return " + result]


def _listed(
    rng: Random, source: str, steps: list[Step], item: str, aggregate: Aggregate, drawn: dict[str, str]
) -> list[str]:
    """A comprehension for every filter with the change after it, then the aggregate over the list."""
    lines: list[str] = []
    target = rng.choice(("values", "kept", "results", "chosen_values"))
    rest = list(steps)
    while rest:
        test = change = ""
        name = rng.choice(LOOP_NAMES[rest[0].item])
        if rest[0].kind == "f":
            test = " if " + fill(rest.pop(0).leaf.code, {"x": name})
        if rest and rest[0].kind == "m":
            change = fill(rest.pop(0).leaf.code, {"x": name})
        lines.append(f"{target} = [{change or name} for {name} in {source}{test}]")
        source = target
    if source != target and source != "items":
        lines.append(f"{target} = list({source})")
        source = target
    code = aggregate.code
    if not code:
        assert aggregate.fold is not None
        start, update, result = aggregate.fold
        name = rng.choice(LOOP_NAMES[item])
        body = textwrap.indent(update.replace("$x", name).replace("$ifx", "$if_").replace("$keyx", "$key_"), "    ")
        body = fill(body, {"if_": fill(drawn["if1"], {"x": name}), "key_": fill(drawn["key1"], {"x": name})})
        code = f"{start}\nfor {name} in $values:\n{body}\nreturn {result}"
    return [*lines, fill(_coded(code, drawn), {"values": source, "x": "x"}).strip("\n")]


def _coded(text: str, drawn: dict[str, str]) -> str:
    """Code of an aggregate with condition, key and constants; $ifx and $keyx keep a loop's $x, $if and $key use x."""
    plain = {"if": fill(drawn["if1"], {"x": "x"}), "key": fill(drawn["key1"], {"x": "x"})}
    return fill(text, drawn | plain | {"ifx": drawn["if1"], "keyx": drawn["key1"]})


def _reference(stream: Stream, steps: list[Step], aggregate: Aggregate, drawn: dict[str, str]) -> str:
    lines = [stream.other.strip("\n")]
    for step in steps:
        other = fill(step.leaf.other, {"x": "x"})
        lines.append(
            f"items = [x for x in items if {other}]" if step.kind == "f" else f"items = [{other} for x in items]"
        )
    last = fill(fill(aggregate.other, drawn), {"x": "x"}).strip("\n")
    return "\n".join([*lines, "values = list(items)", last])


def _split_imports(code: str) -> tuple[list[str], str]:
    lines = code.strip("\n").split("\n")
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    return imports, "\n".join(line for line in lines if line and line not in imports)


def _tidy(code: str) -> str:
    """As one would write it: no "- -2"."""
    return re.sub(r"- -(\d)", r"+ \1", re.sub(r"\+ -(\d)", r"- \1", code))


def _statement(
    rng: Random, stream: Stream, steps: list[Step], item: str, aggregate: Aggregate, drawn: dict[str, str]
) -> str:
    called = {"int": rng.choice(("value", "number")), "str": rng.choice(("string", "piece"))}
    sentences = [stream.given] if stream.given else []
    start = rng.choice(LIST if stream.noun.startswith("for ") else START).format(stream.noun)
    if not steps and stream.noun.startswith("for "):
        sentences.append(start)
        left = f"these {called[item]}s"
    elif not steps:
        left = stream.noun
    elif len(steps) == 1 and rng.random() < 0.4:
        words = steps[0].leaf.words
        kept = f"each one kept only if it {words}" if steps[0].kind == "f" else f"each one replaced by {words}"
        sentences.append(f"{start[:-1]}, {kept}.")
        left = "the results"
    else:
        sentences.append(start)
        for step in steps:
            forms = FILTER if step.kind == "f" else CHANGE
            sentences.append(rng.choice(forms).format(called[step.item], step.leaf.words))
        left = rng.choice(LEFT).format(called[item])
    words = fill(fill(aggregate.words, {"them": left}), drawn)
    return " ".join([*sentences, rng.choice(FINISH).format(words)])


def _inputs(rng: Random, stream: Stream) -> tuple[tuple[Arguments, ...], int, int]:
    """Inputs, how many of them may be shown, and the size of the domain when they hold all of it."""
    if stream.domain:
        inner = rng.sample(stream.domain[3:], min(len(SIZES) - 3, len(stream.domain) - 3))
        first = (*stream.domain[:3], *sorted(inner))
        return (*first, *(a for a in stream.domain if a not in first)), len(first), len(stream.domain)
    assert stream.inputs is not None
    shown = [stream.inputs(rng, size) for size in SIZES]
    distinct = [a for i, a in enumerate(shown) if a not in shown[:i]]
    wide = [stream.inputs(rng, rng.randint(0, 10)) for _ in range(WIDE)]
    return (*distinct, *wide), len(distinct), 0
