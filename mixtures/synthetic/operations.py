"""What a one-operation program does: the table of operations, each for one type of argument and with one constant.

A row is a solution, another way to the same results, and the words for both. The words hold the constant as the code
does, in digits or as a letter in quotes, so that a model has to copy it and not to know it.
"""

from dataclasses import dataclass
from functools import partial

TYPES = {"int": "int", "str": "str", "list": "list[int]", "words": "list[str]"}
"""What the argument is, and how it is annotated."""

VALUES = tuple(map(str, range(2, 21)))
COUNTS = tuple(map(str, range(2, 10)))
WIDTHS = tuple(map(str, range(5, 13)))
LETTERS = tuple("abcdefghilmnoprstuw")
"""Constants. Those that count positions are small, so that some inputs are longer and some shorter."""


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: what it is called; operations of one name do the same with arguments of other types.
        type: one of TYPES.
        returns: annotation of the result.
        code: an expression of $x, the argument, and $c, the constant.
        other: another one that has the same value, for the reference; it may use `prelude.py`.
        phrases: what the result is, in two ways; $c is the constant.
        constants: that it is asked with.
        function: names of the function, without the constant.
    """

    name: str
    type: str
    returns: str
    code: str
    other: str
    phrases: tuple[str, str]
    constants: tuple[str, ...]
    function: tuple[str, str, str]


def _row(
    type: str, name: str, code: str, other: str, one: str, two: str, *function: str, returns: str,
    constants: tuple[str, ...]
) -> Operation:  # fmt: skip
    first, second, third = function
    return Operation(name, type, returns, code, other, (one, two), constants, (first, second, third))


def _stretches(
    type: str, returns: str, whole: str, part: str, kept: str, head: str, tail: str
) -> tuple[Operation, ...]:
    """What is left of a text or list by the places of its parts; `kept` has {} for the condition on a place i."""
    row, parts = partial(_row, type, returns=returns, constants=COUNTS), f"{part}s"
    return (
        row("first", "$x[:$c]", kept.format("i < $c"),
            f"the first $c {parts} of the {whole}", f"the {whole} up to {part} $c", "first", "start_of", head),
        row("last", "$x[-$c:]", kept.format("i >= len($x) - $c"),
            f"the last $c {parts} of the {whole}", f"the $c {parts} at the end of the {whole}", "last", "end_of", tail),
        row("without first", "$x[$c:]", kept.format("i >= $c"),
            f"the {whole} without its first $c {parts}", f"what follows the first $c {parts} of the {whole}",
            "without_first", "skip", "rest_of"),
        row("without last", "$x[:-$c]", kept.format("i < len($x) - $c"),
            f"the {whole} without its last $c {parts}", f"what stands before the last $c {parts} of the {whole}",
            "without_last", "cut_end", "shorten"),
        row("every", "$x[::$c]", kept.format("i % $c == 0"),
            f"one of every $c {parts} of the {whole}, beginning with the first",
            f"the {parts} of the {whole} in steps of $c", "every", "steps", "thinned"),
    )  # fmt: skip


def _numbers() -> tuple[Operation, ...]:
    row = partial(_row, "int", returns="int", constants=VALUES)
    return (
        row("plus", "$x + $c", "sum([$x, $c])",
            "the number plus $c", "the sum of the number and $c", "plus", "add_to", "increased"),
        row("minus", "$x - $c", "sum([$x, -$c])",
            "the number minus $c", "the number reduced by $c", "minus", "subtract", "decreased"),
        row("times", "$x * $c", "sum([$x] * $c)",
            "the number times $c", "the product of the number and $c", "times", "multiply", "scaled"),
        row("from", "$c - $x", "-sum([$x, -$c])",
            "$c minus the number", "what is left of $c without the number", "rest", "subtract_from", "left_of"),
        row("quotient", "$x // $c", "divmod($x, $c)[0]",
            "the number divided by $c, rounded down", "how often $c goes into the number", "divide", "parts", "share"),
        row("remainder", "$x % $c", "divmod($x, $c)[1]",
            "the remainder of the number divided by $c", "what a division of the number by $c leaves",
            "remainder", "modulo", "left_over"),
        row("larger", "max($x, $c)", "sorted([$x, $c])[1]",
            "the larger one of the number and $c", "the number, but at least $c", "larger", "at_least", "raised"),
        row("smaller", "min($x, $c)", "sorted([$x, $c])[0]",
            "the smaller one of the number and $c", "the number, but at most $c", "smaller", "at_most", "capped"),
        row("distance", "abs($x - $c)", "max($x, $c) - min($x, $c)",
            "the distance between the number and $c", "how far the number is from $c", "distance", "far_from", "gap"),
        row("square", "$x * $x + $c", "$x ** 2 - -$c",
            "the square of the number, plus $c", "the number times itself, plus $c", "square", "squared", "grown"),
        row("above", "$x > $c", "max($x, $c) != $c",
            "whether the number is larger than $c", "whether the number is above $c",
            "above", "is_larger", "exceeds", returns="bool"),
        row("below", "$x < $c", "min($x, $c) != $c",
            "whether the number is smaller than $c", "whether the number is below $c",
            "below", "is_smaller", "falls_short", returns="bool"),
        row("multiple", "$x % $c == 0", "divmod($x, $c)[1] in (0,)",
            "whether the number is a multiple of $c", "whether $c divides the number",
            "multiple", "is_multiple", "divides", returns="bool"),
        row("upward", "list(range($c, $x))", "sorted({$c + i for i in range($x - $c)})",
            "the list of the numbers from $c up to the number, which is left out",
            "the list of all numbers that are at least $c and below the number",
            "upward", "count_up", "numbers_to", returns="list[int]"),
        row("multiples", "[$x * i for i in range($c)]", "list(itertools.accumulate([0] + [$x] * ($c - 1)))",
            "the list of the first $c multiples of the number, from 0 on",
            "a list of $c multiples of the number, 0 first",
            "multiples", "table_of", "list_multiples", returns="list[int]"),
    )  # fmt: skip


def _texts() -> tuple[Operation, ...]:
    row = partial(_row, "str", returns="str", constants=COUNTS)
    return (
        row("repeat", "$x * $c", "''.join([$x] * $c)",
            "the text repeated $c times", "$c copies of the text in a row", "repeat", "copies", "repeat_text"),
        *_stretches("str", "str", "text", "character", "''.join(a for i, a in enumerate($x) if {})",
                    "prefix", "suffix"),
        row("longer", "len($x) > $c", "bool($x[$c:])",
            "whether the text has more than $c characters", "whether the text is longer than $c",
            "longer", "is_longer", "too_long", returns="bool"),
        row("shorter", "len($x) < $c", "not $x[$c - 1:]",
            "whether the text has fewer than $c characters", "whether the text is shorter than $c",
            "shorter", "is_shorter", "too_short", returns="bool"),
        row("length plus", "len($x) + $c", "sum(1 for _ in $x) - -$c",
            "the length of the text plus $c", "$c more than the text has characters",
            "length_plus", "padded_length", "size_with", returns="int"),
        row("pad left", "$x.rjust($c)", "' ' * ($c - len($x)) + $x",
            "the text with blanks before it up to a width of $c", "the text at the right of a field of $c characters",
            "pad_left", "to_right", "right_aligned", constants=WIDTHS),
        row("pad right", "$x.ljust($c)", "$x + ' ' * ($c - len($x))",
            "the text with blanks behind it up to a width of $c", "the text at the left of a field of $c characters",
            "pad_right", "to_left", "left_aligned", constants=WIDTHS),
        row("count", '$x.count("$c")', "sum(a == '$c' for a in $x)",
            "how often the text has the letter '$c'", "the number of letters '$c' in the text",
            "count", "count_letter", "occurrences", returns="int", constants=LETTERS),
        row("remove", '$x.replace("$c", "")', "''.join(a for a in $x if a != '$c')",
            "the text without the letter '$c'", "what the text is when every '$c' is removed",
            "remove", "drop_letter", "without", constants=LETTERS),
        row("starts", '$x.startswith("$c")', "$x[:1] == '$c'",
            "whether the text begins with the letter '$c'", "whether '$c' is the first letter of the text",
            "starts", "begins", "has_prefix", returns="bool", constants=LETTERS),
        row("ends", '$x.endswith("$c")', "$x[-1:] == '$c'",
            "whether the text ends with the letter '$c'", "whether '$c' is the last letter of the text",
            "ends", "finishes", "has_suffix", returns="bool", constants=LETTERS),
        row("split", '$x.split("$c")', "re.split('$c', $x)",
            "the parts of the text between the letters '$c'", "the text split at every '$c'",
            "split", "pieces", "cut_at", returns="list[str]", constants=LETTERS),
        row("append", '$x + "$c"', "''.join([*$x, '$c'])",
            "the text followed by the letter '$c'", "the text with '$c' added at its end",
            "append", "with_end", "followed", constants=LETTERS),
    )  # fmt: skip


def _lists() -> tuple[Operation, ...]:
    row = partial(_row, "list", returns="list[int]", constants=VALUES)
    return (
        *_stretches("list", "list[int]", "list", "value", "[v for i, v in enumerate($x) if {}]", "head", "tail"),
        row("repeat", "$x * $c", "[v for _ in range($c) for v in $x]",
            "the list repeated $c times", "$c copies of the list in a row", "repeat", "copies", "repeat_list",
            constants=COUNTS),
        row("longer", "len($x) > $c", "bool($x[$c:])",
            "whether the list has more than $c values", "whether the list is longer than $c",
            "longer", "is_longer", "too_long", returns="bool", constants=COUNTS),
        row("smallest", "sorted($x)[:$c]", "[v for i, v in enumerate(sorted($x)) if i < $c]",
            "the $c smallest values of the list, in order", "the first $c values of the sorted list",
            "smallest", "lowest", "least", constants=COUNTS),
        row("plus", "[v + $c for v in $x]", "list(map($c .__add__, $x))",
            "the list with $c added to every value", "every value of the list plus $c",
            "plus", "add_to", "increased"),
        row("minus", "[v - $c for v in $x]", "list(map((-$c).__add__, $x))",
            "the list with $c taken from every value", "every value of the list minus $c",
            "minus", "subtract", "decreased"),
        row("times", "[v * $c for v in $x]", "list(map($c .__mul__, $x))",
            "the list with every value multiplied by $c", "every value of the list times $c",
            "times", "multiply", "scaled"),
        row("remainder", "[v % $c for v in $x]", "[divmod(v, $c)[1] for v in $x]",
            "the remainders of the values of the list divided by $c", "what a division by $c leaves of every value",
            "remainders", "modulo", "left_over"),
        row("above", "[v for v in $x if v > $c]", "list(filter(lambda v: max(v, $c) != $c, $x))",
            "the values of the list that are larger than $c", "all values above $c in the list",
            "above", "keep_larger", "exceeding"),
        row("below", "[v for v in $x if v < $c]", "list(filter(lambda v: min(v, $c) != $c, $x))",
            "the values of the list that are smaller than $c", "all values below $c in the list",
            "below", "keep_smaller", "under"),
        row("multiple", "[v for v in $x if v % $c == 0]", "list(filter(lambda v: not divmod(v, $c)[1], $x))",
            "the values of the list that are multiples of $c", "all values that $c divides in the list",
            "multiple", "keep_multiples", "divisible"),
        row("without", "[v for v in $x if v != $c]", "list(filter(lambda v: v - $c, $x))",
            "the list without the value $c", "all values of the list but $c", "without", "drop_value", "except_for"),
        row("count", "$x.count($c)", "sum(v == $c for v in $x)",
            "how often the list has the value $c", "how many values of the list equal $c",
            "count", "count_value", "occurrences", returns="int"),
        row("count above", "sum(v > $c for v in $x)", "len([v for v in $x if max(v, $c) != $c])",
            "how many values of the list are larger than $c", "the number of values above $c in the list",
            "count_above", "how_many_larger", "number_over", returns="int"),
        row("contains", "$c in $x", "any(v == $c for v in $x)",
            "whether the list has the value $c", "whether $c is in the list",
            "contains", "has_value", "includes", returns="bool"),
        row("any above", "any(v > $c for v in $x)", "max($x, default=$c) > $c",
            "whether any value of the list is larger than $c", "whether the list has a value above $c",
            "any_above", "has_larger", "some_over", returns="bool"),
        row("all below", "all(v < $c for v in $x)", "max($x, default=$c - 1) < $c",
            "whether all values of the list are smaller than $c", "whether the list has no value that is $c or more",
            "all_below", "none_reaches", "all_under", returns="bool"),
        row("append", "$x + [$c]", "[*$x, $c]",
            "the list followed by the value $c", "the list with $c added at its end",
            "append", "with_end", "followed"),
        row("prepend", "[$c] + $x", "[$c, *$x]",
            "the list with the value $c before it", "the list with $c added at its beginning",
            "prepend", "with_start", "preceded"),
        row("sum plus", "sum($x) + $c", "functools.reduce(int.__add__, $x, $c)",
            "the sum of the list plus $c", "$c more than the sum of the list",
            "sum_plus", "total_plus", "total_with", returns="int"),
        row("sum times", "sum($x) * $c", "sum(v * $c for v in $x)",
            "the sum of the list times $c", "the sum of the list multiplied by $c",
            "sum_times", "total_times", "scaled_total", returns="int"),
        row("largest", "max($x + [$c])", "max($x, default=$c) if max($x, default=$c) > $c else $c",
            "the largest one of $c and the values of the list", "the largest value of the list, but at least $c",
            "largest", "maximum", "highest", returns="int"),
    )  # fmt: skip


def _words() -> tuple[Operation, ...]:
    row = partial(_row, "words", returns="list[str]", constants=COUNTS)
    return (
        *_stretches("words", "list[str]", "list", "word", "[w for i, w in enumerate($x) if {}]", "head", "tail")[:3],
        row("long", "[w for w in $x if len(w) > $c]", "[w for w in $x if w[$c:]]",
            "the words of the list with more than $c letters", "all words that are longer than $c",
            "long_words", "keep_longer", "exceeding"),
        row("short", "[w for w in $x if len(w) < $c]", "[w for w in $x if not w[$c - 1:]]",
            "the words of the list with fewer than $c letters", "all words that are shorter than $c",
            "short_words", "keep_shorter", "under"),
        row("heads", "[w[:$c] for w in $x]", "[''.join(a for a, _ in zip(w, range($c))) for w in $x]",
            "the first $c letters of every word of the list", "every word of the list cut after $c letters",
            "heads", "prefixes", "cut_words"),
        row("repeats", "[w * $c for w in $x]", "[''.join([w] * $c) for w in $x]",
            "every word of the list repeated $c times", "the list with $c copies of each word in its place",
            "repeats", "repeat_words", "multiplied"),
        row("count long", "sum(len(w) > $c for w in $x)", "len([w for w in $x if w[$c:]])",
            "how many words of the list have more than $c letters", "the number of words longer than $c in the list",
            "count_long", "how_many_longer", "number_long", returns="int"),
        row("join", '"$c".join($x)', "functools.reduce(lambda a, b: a + '$c' + b, $x) if $x else ''",
            "the words of the list joined by the letter '$c'", "one text of all words with '$c' between them",
            "join", "joined", "connect", returns="str", constants=LETTERS),
        row("starting", '[w for w in $x if w.startswith("$c")]', "[w for w in $x if w[:1] == '$c']",
            "the words of the list that begin with '$c'", "all words with '$c' as their first letter",
            "starting", "keep_starting", "beginning_with", constants=LETTERS),
        row("having", '[w for w in $x if "$c" in w]', "[w for w in $x if set(w) & {'$c'}]",
            "the words of the list that have the letter '$c'", "all words with '$c' in them",
            "having", "keep_having", "words_with", constants=LETTERS),
    )  # fmt: skip


OPERATIONS = (*_numbers(), *_texts(), *_lists(), *_words())
