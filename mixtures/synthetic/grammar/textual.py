# ruff: noqa: E501 (a table: a row reads best whole)
"""Streams from text: its characters, words and runs, and small languages that have to be parsed."""

import textwrap
from random import Random

from mixtures.synthetic.grammar.streams import WORDS, Arguments, Stream, word, words

TEXT = (("text", "str"),)


def _letters(rng: Random, size: int) -> Arguments:
    return (word(rng, size, rng.choice(("ab", "abc", "aeno", "abcdenot"))),)


def plain_words(rng: Random) -> Stream:
    return Stream("strings-words", "str", (("words", "list[str]"),), "", "the strings in `$words`", "words",
                  "items = $words", "items = list($words)", lambda rng, size: (words(rng, min(size, 7)),))  # fmt: skip


def substrings(rng: Random) -> Stream:
    k = rng.randint(2, 4)
    return Stream(
        "strings-substrings", "str", TEXT, "", f"all substrings of `$text` that have {k} characters, from left to right",
        "substrings", f"items = [$text[i:i + {k}] for i in range(len($text) - {k - 1})]",
        f"items = list(map(''.join, zip(*($text[i:] for i in range({k})))))", _letters)  # fmt: skip


def letter_runs(rng: Random) -> Stream:
    lengths = rng.random() < 0.5
    what = "the lengths of the runs" if lengths else "the runs"
    return Stream(
        "strings-runs", "int" if lengths else "str", TEXT, "", f"{what} of equal characters in `$text` (each as long as can be), "
        "from left to right", "runs", f"""
items = []
for place, letter in enumerate($text):
    if place > 0 and $text[place - 1] == letter:
        items[-1] += {'1' if lengths else 'letter'}
    else:
        items.append({'1' if lengths else 'letter'})""",
        f"items = [{'len(list(g))' if lengths else 'str().join(g)'} for _, g in itertools.groupby($text)]", _letters)  # fmt: skip


def embedded(rng: Random) -> Stream:
    return Stream(
        "strings-numbers", "int", TEXT, "", "the whole numbers written in `$text` as runs of digits (each as long as can be)",
        "embedded_numbers", """
items, number = [], None
for character in $text:
    if "0" <= character <= "9":
        number = (number or 0) * 10 + int(character)
    elif number is not None:
        items.append(number)
        number = None
if number is not None:
    items.append(number)""", "items = list(map(int, re.findall('[0-9]+', $text)))",
        lambda rng, size: ("".join(rng.choice((*"abc -", str(rng.randint(0, 120)))) for _ in range(size * 2)),), small=False)  # fmt: skip


def depths(rng: Random) -> Stream:
    left, right = rng.choice(("()", "[]", "<>", "{}"))
    return Stream(
        "strings-depth", "int", TEXT, f"In `$text` every '{left}' opens a level and every '{right}' closes one if any is open.",
        "the number of open levels after each character of `$text`", "depths", f"""
items, depth = [], 0
for character in $text:
    if character == "{left}":
        depth += 1
    elif character == "{right}" and depth > 0:
        depth -= 1
    items.append(depth)""", f"""
heights = [0]
for character in $text:
    heights.append(heights[-1] + (character == '{left}') - (character == '{right}'))
items = [h - min(heights[:i + 1]) for i, h in enumerate(heights)][1:]""",
        lambda rng, size: (word(rng, size * 2, left * 3 + right * 2 + "a"),))  # fmt: skip


MEANINGS = (
    ("adds", "{a} + {b}"),
    ("subtracts the right number from the left one", "{a} - {b}"),
    ("multiplies modulo 1009", "{a} * {b} % 1009"),
    ("takes the larger number", "max({a}, {b})"),
    ("takes the smaller number", "min({a}, {b})"),
    ("takes the distance of the numbers", "abs({a} - {b})"),
    ("adds the left number and twice the right one", "{a} + 2 * {b}"),
    ("takes the left number if it is even and the right one otherwise", "{a} if {a} % 2 == 0 else {b}"),
    ("multiplies the left number by 3 and subtracts the right one", "3 * {a} - {b}"),
)


def _apply(operators: list[tuple[str, str, str]], a: str, b: str, indent: str) -> str:
    lines = [
        f'{indent}if symbol == "{s}":\n{indent}    return {code.format(a=a, b=b)}' for s, _, code in operators[:-1]
    ]
    return "\n".join([*lines, f"{indent}return {operators[-1][2].format(a=a, b=b)}"])


def _told(operators: list[tuple[str, str, str]]) -> str:
    return ", ".join(f"'{s}' {words}" for s, words, _ in operators)


def expressions(rng: Random) -> Stream:
    """Infix expressions over random operators: a stack of pending operators against a cut at the loosest one."""
    count = rng.randint(2, 4)
    # Symbol, what it does, code over {a} and {b}.
    operators = [(s, *m) for s, m in zip(rng.sample("+-*%&!@#^~", count), rng.sample(MEANINGS, count), strict=True)]
    levels = {s: rng.randint(1, 2) for s, _, _ in operators}
    right = rng.random() < 0.3
    order = [[s for s in levels if levels[s] == level] for level in (2, 1)]
    binding = f"{' and '.join(order[0])} before {' and '.join(order[1])}; " if all(order) else ""

    def inputs(rng: Random, size: int) -> Arguments:
        def one(depth: int) -> str:
            if depth == 0 or rng.random() < 0.2:
                return str(rng.randint(0, 30))
            inner = one(depth - 1) + rng.choice(list(levels)) + one(depth - 1)
            return f"({inner})" if rng.random() < 0.3 else inner

        return ([one(rng.randint(0, 3)) for _ in range(min(size, 5))],)

    cut = "<" if right else "<="
    return Stream(
        "parsing-expressions", "int", (("lines", "list[str]"),),
        f"Each line is an expression of whole numbers, parentheses and operators: {_told(operators)}. Operators are applied "
        f"{binding}equal ones from {'right to left' if right else 'left to right'}.", "the value of every line", "expressions", f"""
import re

def combine(symbol, a, b):
{_apply(operators, 'a', 'b', '    ')}

ranks = {levels}
items = []
for line in $lines:
    numbers_read, pending = [], []
    for token in re.findall(r"[0-9]+|[^0-9]", "(" + line + ")"):
        if token == "(":
            pending.append(token)
        elif token == ")" or token in ranks:
            while pending[-1] != "(" and (token == ")" or ranks[token] {cut} ranks[pending[-1]]):
                b = numbers_read.pop()
                a = numbers_read.pop()
                numbers_read.append(combine(pending.pop(), a, b))
            if token == ")":
                pending.pop()
            else:
                pending.append(token)
        else:
            numbers_read.append(int(token))
    items.append(numbers_read[0])""", f"""
def combine(symbol, a, b):
{_apply(operators, 'a', 'b', '    ')}
def value(text):
    if text.isdigit():
        return int(text)
    depth, best = 0, None
    for i, c in enumerate(text):
        depth += (c == '(') - (c == ')')
        if depth == 0 and c in {levels}:
            rank = {levels}[c]
            if best is None or rank < best[0] or (rank == best[0] and {not right}):
                best = (rank, i)
    if best is None:
        return value(text[1:-1])
    return combine(text[best[1]], value(text[:best[1]]), value(text[best[1] + 1:]))
items = [value(line) for line in $lines]""", inputs, small=False)  # fmt: skip


COMMANDS = (
    ("adds {k} to the register", "register += {k}", "(register + {k}, saved)"),
    ("multiplies the register by {k} modulo 997", "register = register * {k} % 997", "(register * {k} % 997, saved)"),
    ("subtracts {k} from the register", "register -= {k}", "(register - {k}, saved)"),
    ("swaps the register and the memory", "register, saved = saved, register", "(saved, register)"),
    ("copies the register to the memory", "saved = register", "(register, register)"),
    ("adds the memory to the register", "register += saved", "(register + saved, saved)"),
    ("halves the register, rounding down", "register //= 2", "(register // 2, saved)"),
    ("changes the sign of the register", "register = -register", "(-register, saved)"),
    ("sets the register to {k} if it is negative", "if register < 0:\n    register = {k}", "({k} if register < 0 else register, saved)"),
    ("raises the memory by {k}", "saved += {k}", "(register, saved + {k})"),
)  # fmt: skip


def machine(rng: Random) -> Stream:
    """A tiny machine whose commands are letters."""
    count = rng.randint(3, 5)
    letters = rng.sample("ABCDHIJMNPQRSTUX", count)
    rows = []
    for letter, row in zip(letters, rng.sample(COMMANDS, count), strict=True):
        k = rng.randint(2, 9)
        rows.append((letter, *(part.format(k=k) for part in row)))
    start = rng.randint(0, 9)
    told = ", ".join(f"{letter} {words}" for letter, words, _, _ in rows)
    branches = [f'if command == "{letter}":\n{textwrap.indent(code, "    ")}' for letter, _, code, _ in rows]
    table = ", ".join(f"'{letter}': lambda register, saved: {after}" for letter, _, _, after in rows)
    return Stream(
        "parsing-machine", "int", TEXT, f"Each character of `$text` is a command to a machine with a register and a memory, which "
        f"start at {start} and 0: {told}; other characters do nothing.", "the contents of the register after each command, "
        "characters that do nothing counted too", "register_states", f"""
items = []
register, saved = {start}, 0
for command in $text:
{textwrap.indent(f"{chr(10)}el".join(branches), "    ")}
    items.append(register)""", f"""
actions = {{{table}}}
def state(i):
    before = state(i - 1) if i else ({start}, 0)
    return actions.get($text[i], lambda *same: same)(*before)
items = [state(i)[0] for i in range(len($text))]""",
        lambda rng, size: (word(rng, size, "".join(letters) * 3 + "Z"),), small=False)  # fmt: skip


def settings(rng: Random) -> Stream:
    mark, note = rng.choice("=:"), rng.choice("#;")

    def inputs(rng: Random, size: int) -> Arguments:
        def one() -> str:
            if rng.random() < 0.2:
                return note + rng.choice(WORDS)
            return rng.choice((*WORDS[:6], "")) + rng.choice((mark, mark, mark, "")) + str(rng.randint(0, 60))

        return ([one() for _ in range(size)],)

    return Stream(
        "parsing-settings", "int", (("lines", "list[str]"),),
        f"A line 'key{mark}number' sets a key, later lines overruling earlier ones; lines that begin with '{note}', have no "
        f"'{mark}' or have nothing before it are passed over.", "the numbers of all keys, keys in dictionary order", "settings", f"""
known = {{}}
for line in $lines:
    if line.startswith("{note}"):
        continue
    key, mark, amount = line.partition("{mark}")
    if key != "" and mark != "":
        known[key] = int(amount)
items = [known[key] for key in sorted(known)]""", f"""
pairs = [re.fullmatch('([^{note}{mark}][^{mark}]*){mark}([0-9]+)', line) for line in $lines]
pairs = [m.groups() for m in pairs if m][::-1]
items = [int(next(n for k, n in pairs if k == key)) for key in sorted({{k for k, _ in pairs}})]""", inputs)  # fmt: skip


STREAMS = (
    *(plain_words, substrings, letter_runs, embedded, depths),
    *(expressions, expressions, machine, machine, settings),
)
