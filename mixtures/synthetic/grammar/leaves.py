# ruff: noqa: E501 (a table: a row reads best whole)
"""The smallest pieces of the grammar: conditions on a value and changes of it, each written two ways.

A row is (words, code, the same written another way); $x stands for the value, other $names for constants that
`constants` draws. Names that end in "_" are those of `prelude.py`; other functions are the HELPERS below.
"""

import re
from dataclasses import dataclass
from random import Random
from typing import Literal

from mixtures.synthetic.problem import fill


@dataclass(frozen=True)
class Leaf:
    """One drawn row: a condition ("is even", as said of one value) or a change ("its square")."""

    words: str
    code: str
    other: str


HELPERS = """
def digit_sum(number):
    total = 0
    number = abs(number)
    while number > 0:
        total += number % 10
        number //= 10
    return total

def digit_count(number):
    count = 1
    number = abs(number)
    while number >= 10:
        number //= 10
        count += 1
    return count

def reversed_digits(number):
    rest, result = abs(number), 0
    while rest > 0:
        result = result * 10 + rest % 10
        rest //= 10
    return -result if number < 0 else result

def is_prime(number):
    if number < 2:
        return False
    divisor = 2
    while divisor * divisor <= number:
        if number % divisor == 0:
            return False
        divisor += 1
    return True

def divisor_count(number):
    number = abs(number)
    count = 0
    divisor = 1
    while divisor * divisor <= number:
        if number % divisor == 0:
            count += 1 if divisor * divisor == number else 2
        divisor += 1
    return count

def halving_steps(number):
    steps = 0
    while number != 1:
        number = 3 * number + 1 if number % 2 == 1 else number // 2
        steps += 1
    return steps

def digital_root(number):
    number = abs(number)
    return 0 if number == 0 else 1 + (number - 1) % 9

def greatest_common_divisor(a, b):
    while b != 0:
        a, b = b, a % b
    return abs(a)

def whole_root(number):
    root = 0
    while (root + 1) * (root + 1) <= number:
        root += 1
    return root

def is_palindrome(text):
    left, right = 0, len(text) - 1
    while left < right:
        if text[left] != text[right]:
            return False
        left += 1
        right -= 1
    return True

def shifted(text, step):
    result = ""
    for letter in text:
        if "a" <= letter <= "z":
            letter = chr((ord(letter) - ord("a") + step) % 26 + ord("a"))
        result += letter
    return result

def squeezed(text):
    result = ""
    for letter in text:
        if result == "" or result[-1] != letter:
            result += letter
    return result
"""
"""What conditions and changes may call."""

SLOW = ("is_prime", "divisor_count", "halving_steps", "whole_root")
"""Helpers that want a small argument: they stand first in a chain or not at all."""

Row = tuple[str, str, str]
Values = Literal["tiny", "middling", "large"]
"""What is known of the values: a few units, up to some hundreds, or nothing."""

INT_CONDITIONS: tuple[Row, ...] = (
    ("is even", "$x % 2 == 0", "not $x & 1"),
    ("is odd", "$x % 2 == 1", "$x & 1 > 0"),
    ("is divisible by $k", "$x % $k == 0", "$x // $k * $k == $x"),
    ("is not a multiple of $k", "$x % $k != 0", "$x // $k * $k < $x"),
    ("leaves remainder $r on division by $k", "$x % $k == $r", "$x - $x // $k * $k - $r == 0"),
    ("leaves a remainder above $r on division by $k", "$x % $k > $r", "$x - $x // $k * $k - $r >= 1"),
    ("is greater than $c", "$x > $c", "max($x, $c) != $c"),
    ("is less than $c", "$x < $c", "min($x, $c) != $c"),
    ("is at least $c", "$x >= $c", "max($x, $c) == $x"),
    ("is at most $c", "$x <= $c", "min($x, $c) == $x"),
    ("lies between $a and $b inclusive", "$a <= $x <= $b", "$x in range($a, $b + 1)"),
    ("lies outside the range from $a to $b", "$x < $a or $x > $b", "$x not in range($a, $b + 1)"),
    ("has an absolute value of at least $d", "abs($x) >= $d", "$x * $x >= $d ** 2"),
    ("differs from $c by at most $d", "abs($x - $c) <= $d", "$x in range($c - $d, $c + $d + 1)"),
    ("has $g as its last decimal digit", "abs($x) % 10 == $g", "str($x)[-1] == '$g'"),
    ("has the digit $g somewhere in its decimal form", 'str($g) in str($x)', "$g in digits_($x)"),
    ("has an even digit sum", "digit_sum($x) % 2 == 0", "sum(digits_($x)) in range(0, 999, 2)"),
    ("has a digit sum above $d", "digit_sum($x) > $d", "max(sum(digits_($x)), $d) != $d"),
    ("has a digit sum divisible by $k", "digit_sum($x) % $k == 0", "sum(digits_($x)) in range(0, 999, $k)"),
    ("is prime", "is_prime($x)", "is_prime_($x)"),
    ("is not a prime number", "not is_prime($x)", "is_prime_($x) is False"),
    ("has an odd number of ones in the binary form of its absolute value", 'bin(abs($x)).count("1") % 2 == 1',
     'sum(map(int, f"{abs($x):b}")) & 1 == 1'),
    ("has at most $k divisors (of its absolute value)", "divisor_count($x) <= $k", "divisors_($x) in range($k + 1)"),
    ("reads the same with its digits reversed", "reversed_digits($x) == $x", "reverse_($x) - $x == 0"),
)  # fmt: skip

INT_CHANGES: tuple[Row, ...] = (
    ("its square", "$x * $x", "$x ** 2"),
    ("$k times it", "$k * $x", "sum([$x] * $k)"),
    ("$k times it plus $d", "$k * $x + $d", "sum([$x] * $k, $d)"),
    ("$k times it minus $d", "$k * $x - $d", "sum([$x] * $k, -$d)"),
    ("$d minus it", "$d - $x", "-($x - $d)"),
    ("it plus $d", "$x + $d", "$d - -$x"),
    ("its absolute value", "abs($x)", "max($x, -$x)"),
    ("its remainder modulo $k", "$x % $k", "$x - $x // $k * $k"),
    ("its quotient by $k, rounded down", "$x // $k", "($x - $x % $k) // $k"),
    ("the sum of its decimal digits, its sign ignored", "digit_sum($x)", "sum(digits_($x))"),
    ("the number of its decimal digits", "digit_count($x)", "len(digits_($x))"),
    ("the largest of its decimal digits", "max(int(digit) for digit in str(abs($x)))", "sorted(digits_($x))[-1]"),
    ("it with its decimal digits reversed and its sign kept", "reversed_digits($x)", "reverse_($x)"),
    ("the digital root of its absolute value", "digital_root($x)", "root_(abs($x))"),
    ("the number of ones in the binary form of its absolute value", 'bin(abs($x)).count("1")',
     'sum(map(int, f"{abs($x):b}"))'),
    ("it clamped to the range from $a to $b", "max($a, min($b, $x))", "sorted(($a, $x, $b))[1]"),
    ("its distance to $c", "abs($x - $c)", "max($x, $c) - min($x, $c)"),
    ("the smallest multiple of $k that is not below it", "-(-$x // $k) * $k", "$x + (-$x) % $k"),
    ("the whole part of the square root of its absolute value", "whole_root(abs($x))", "math.isqrt(abs($x))"),
    ("the number of divisors of its absolute value", "divisor_count($x)", "divisors_($x)"),
    ("its greatest common divisor with $q", "greatest_common_divisor($x, $q)", "math.gcd($x, $q)"),
    ("half the product of it and its successor", "$x * ($x + 1) // 2", "($x ** 2 + $x) // 2"),
    ("it with its lowest binary digit flipped", "$x ^ 1", "$x + 1 - 2 * ($x % 2)"),
    ("its sign (-1, 0 or 1)", "($x > 0) - ($x < 0)", "$x // max(abs($x), 1)"),
    ("its square modulo $m", "$x * $x % $m", "pow($x, 2, $m)"),
    ("the number of steps to reach 1 from its absolute value plus 1, where an odd number n steps to 3 * n + 1 and an "
     "even one to n // 2", "halving_steps(abs($x) + 1)", "collatz_(abs($x) + 1)"),
    ("its product with the number $d larger", "$x * ($x + $d)", "$x ** 2 + $d * $x"),
)  # fmt: skip

STR_CONDITIONS: tuple[Row, ...] = (
    ("has more than $s letters", "len($x) > $s", "$x[$s:] != ''"),
    ("has at most $s letters", "len($x) <= $s", "$x[$s:] == ''"),
    ("has an even number of letters", "len($x) % 2 == 0", "not len($x) & 1"),
    ("begins with one of the letters '$lll'", '$x[:1] in tuple("$lll")', "re.match('[$lll]', $x) is not None"),
    ("ends with a letter after '$l' in the alphabet", '$x[-1:] > "$l"', "$x != '' and ord($x[-1]) > ord('$l')"),
    ("contains the letter '$v'", '"$v" in $x', "$x.count('$v') > 0"),
    ("does not contain the letter '$v'", '"$v" not in $x', "$x.count('$v') < 1"),
    ("has at least $two vowels", 'sum(letter in "aeiou" for letter in $x) >= $two',
     "len(re.findall('[aeiou]', $x)) >= $two"),
    ("reads the same in both directions", "is_palindrome($x)", "$x == $x[::-1]"),
    ("has no letter twice", "len(set($x)) == len($x)", "all($x.count(letter) == 1 for letter in $x)"),
    ("has its letters in alphabetical order", "all(a <= b for a, b in zip($x, $x[1:]))", "sorted($x) == list($x)"),
    ("has two equal letters next to each other", "any(a == b for a, b in zip($x, $x[1:]))",
     "re.search(r'(.)\\1', $x) is not None"),
    ("comes before '$l' in dictionary order", '$x < "$l"', "sorted([$x, '$l'])[0] == $x and $x != '$l'"),
)  # fmt: skip

STR_CHANGES: tuple[Row, ...] = (
    ("its reverse", "$x[::-1]", "''.join(reversed($x))"),
    ("its upper-case form", "$x.upper()", "''.join(map(str.upper, $x))"),
    ("it without its vowels", '"".join(letter for letter in $x if letter not in "aeiou")', "re.sub('[aeiou]', '', $x)"),
    ("its first $s letters", "$x[:$s]", "''.join(itertools.islice($x, $s))"),
    ("it without its first $two letters", "$x[$two:]", "''.join(itertools.islice($x, $two, None))"),
    ("its letters in alphabetical order", '"".join(sorted($x))',
     "''.join(c * $x.count(c) for c in map(chr, range(128)) if c in $x)"),
    ("it with its first $two letters moved to the end", "$x[$two:] + $x[:$two]", "re.sub('^(.{0,$two})(.*)$', r'\\2\\1', $x)"),
    ("it with every letter from a to z moved $d places on in the alphabet, z being followed by a", "shifted($x, $d)",
     "''.join(chr((ord(c) - 97 + $d) % 26 + 97) if c in 'abcdefghijklmnopqrstuvwxyz' else c for c in $x)"),
    ("it with runs of equal letters cut to one letter", "squeezed($x)", "re.sub(r'(.)\\1+', r'\\1', $x)"),
    ("it with every '$v' replaced by '$l'", '$x.replace("$v", "$l")', "'$l'.join($x.split('$v'))"),
    ("it followed by its reverse", "$x + $x[::-1]", "$x + ''.join(reversed($x))"),
    ("it with its first letter repeated $two more times in front", "$x[:1] * $two + $x",
     "''.join($x[:1] for _ in range($two)) + $x"),
    ("every second letter of it, from the first on", "$x[::2]", "''.join(c for i, c in enumerate($x) if not i & 1)"),
)  # fmt: skip

STR_MEASURES: tuple[Row, ...] = (
    ("its length", "len($x)", "sum(1 for _ in $x)"),
    ("the number of its vowels", 'sum(letter in "aeiou" for letter in $x)', "len(re.findall('[aeiou]', $x))"),
    ("the number of different letters in it", "len(set($x))", "sum($x.find(c) == i for i, c in enumerate($x))"),
    ("how often it contains '$v'", '$x.count("$v")', "len($x.split('$v')) - 1"),
    ("the sum of its letters' character codes modulo $m", "sum(ord(letter) for letter in $x) % $m",
     "functools.reduce(lambda a, c: (a + ord(c)) % $m, $x, 0)"),
    ("the number of its letters that come after '$l' in the alphabet", 'sum(letter > "$l" for letter in $x)',
     "len([c for c in $x if ord(c) > ord('$l')])"),
    ("the number of places where neighbouring letters differ", "sum(a != b for a, b in zip($x, $x[1:]))",
     "max(0, len(list(itertools.groupby($x))) - 1)"),
)  # fmt: skip

CONDITIONS = {"int": INT_CONDITIONS, "str": STR_CONDITIONS}


def constants(rng: Random, values: Values) -> dict[str, str]:
    """Constants that fit values of that size."""
    tiny = values == "tiny"
    k, a = rng.randint(2, 4 if tiny else 9), rng.randint(0, 2) if tiny else rng.randint(-6, 6)
    letters = rng.sample("abcdefghijklmnopqrstuvwxyz", 4)
    drawn = {
        **{"k": k, "r": rng.randrange(k), "a": a, "b": a + rng.randint(1, 3) if tiny else a + rng.randint(3, 14)},
        **{"c": rng.randint(1, 3) if tiny else rng.randint(-5, 15) or 16, "d": rng.randint(1, 2 if tiny else 12)},
        **{"g": rng.randint(0, 3 if tiny else 9), "m": rng.choice((5, 7, 10, 11, 13, 17, 97, 100, 1000))},
        **{"q": rng.choice((6, 8, 9, 12, 18, 20, 24, 30, 36, 60)), "s": rng.randint(2, 5), "two": rng.randint(1, 2)},
        **{"l": rng.choice("fghijklmnopqr"), "lll": "".join(sorted(letters[:3])), "v": rng.choice("aeioulnrst")},
    }
    return {name: str(value) for name, value in drawn.items()}


def draw(rng: Random, rows: tuple[Row, ...], values: Values) -> Leaf:
    """One row with its constants; for large values none that needs a small argument."""
    while True:
        words, code, other = rng.choice(rows)
        if values != "large" or not any(name in code for name in SLOW):
            drawn = constants(rng, values)
            return Leaf(fill(words, drawn), fill(code, drawn), fill(other, drawn))


def condition(rng: Random, item: str, values: Values) -> Leaf:
    """A condition, now and then two joined by "and" or "or"."""
    one = draw(rng, CONDITIONS[item], values)
    if rng.random() < 0.75:
        return one
    two = draw(rng, CONDITIONS[item], values)
    word = rng.choice(("and", "or"))
    return Leaf(f"{one.words} {word} {two.words}", *(f"({a}) {word} ({b})" for a, b in _pairs(one, two)))


def change(rng: Random, item: str, values: Values) -> tuple[Leaf, str]:
    """A change and the type that it gives; numbers are now and then changed one way or another by a condition."""
    if item == "str":
        measure = rng.random() < 0.4
        return draw(rng, STR_MEASURES if measure else STR_CHANGES, values), "int" if measure else "str"
    one = draw(rng, INT_CHANGES, values)
    if rng.random() < 0.75:
        return one, "int"
    test, two = draw(rng, INT_CONDITIONS, values), draw(rng, INT_CHANGES, values)
    code, other = ((a, b, c) for (a, b), c in zip(_pairs(one, test), (two.code, two.other), strict=True))
    return Leaf(
        f"{one.words} if it {test.words}, otherwise {two.words}",
        f"{code[0]} if {code[1]} else {code[2]}",
        f"({other[2]}, {other[0]})[bool({other[1]})]",
    ), "int"


def _pairs(one: Leaf, two: Leaf) -> tuple[tuple[str, str], tuple[str, str]]:
    return (one.code, two.code), (one.other, two.other)


def helpers(code: str) -> list[str]:
    """Definitions of the helpers that `code` calls."""
    called = set(re.findall(r"\w+(?=\()", code))
    return [text for text in HELPERS.strip().split("\n\n") if text[4 : text.index("(")] in called]
