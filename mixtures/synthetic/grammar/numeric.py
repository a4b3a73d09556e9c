# ruff: noqa: E501 (a table: a row reads best whole)
"""Streams from lists of numbers, from one whole number, and from dynamic programming."""

from random import Random

from mixtures.synthetic.grammar.streams import Arguments, Stream, integers, upto

XS = (("xs", "list[int]"),)


def _numbers(rng: Random, size: int) -> Arguments:
    return (integers(rng, size),)


def _list(name: str, noun: str, tag: str, code: str, other: str, small: bool = True, given: str = "") -> Stream:
    return Stream(f"lists-{name}", "int", XS, given, noun, tag, code, other, _numbers, small=small)


def plain(rng: Random) -> Stream:
    return _list("items", "the numbers in `$xs`", "numbers", "items = $xs", "items = list($xs)")


def neighbours(rng: Random) -> Stream:
    words, code, other = rng.choice(
        (
            ("the difference of the later and the earlier one", "b - a", "$xs[i] - $xs[i - 1]"),
            ("their sum", "a + b", "sum($xs[i - 1:i + 1])"),
            ("their distance", "abs(a - b)", "max($xs[i - 1:i + 1]) - min($xs[i - 1:i + 1])"),
            ("the larger one", "max(a, b)", "sorted($xs[i - 1:i + 1])[1]"),
            ("their product", "a * b", "math.prod($xs[i - 1:i + 1])"),
        )
    )
    return _list(
        "neighbours", f"for every two neighbours in `$xs`, {words}", "neighbours",
        f"items = [{code} for a, b in zip($xs, $xs[1:])]", f"items = [{other} for i in range(1, len($xs))]", "*" not in code,
    )  # fmt: skip


def windows(rng: Random) -> Stream:
    k = rng.randint(2, 4)
    return _list(
        "windows", f"the sums of all windows of {k} neighbouring numbers of `$xs`, from left to right", "window_sums", f"""
items = []
total = 0
for place, amount in enumerate($xs):
    total += amount
    if place >= {k}:
        total -= $xs[place - {k}]
    if place >= {k - 1}:
        items.append(total)""", f"items = [sum($xs[i:i + {k}]) for i in range(len($xs) - {k - 1})]")  # fmt: skip


def _whole(name: str, high: int, low: int, noun: str, tag: str, code: str, other: str, small: bool = True) -> Stream:
    given = f"`$n` is a whole number from {low} to {high}."
    return Stream(
        f"numbers-{name}", "int", (("n", "int"),), given, noun, tag, code, other, None, upto(high, low), small
    )


def digits(rng: Random) -> Stream:
    base = rng.choice((2, 3, 4, 5, 6, 7, 8, 9, 10))
    return _whole(
        "digits", rng.randint(90, 200), 0, f"the digits of `$n` in base {base}, the lowest first (0 has one digit)", "digits", f"""
items = [$n % {base}]
rest = $n // {base}
while rest > 0:
    items.append(rest % {base})
    rest //= {base}""", f"""
def written(number):
    return [number] if number < {base} else [*written(number // {base}), number - number // {base} * {base}]
items = written($n)[::-1]""")  # fmt: skip


def factors(rng: Random) -> Stream:
    return _whole("factors", rng.randint(90, 200), 1, "the prime factors of `$n` in ascending order, each as often as it "
                  "divides (1 has none)", "prime_factors", """
items, rest, divisor = [], $n, 2
while rest > 1:
    while rest % divisor == 0:
        items.append(divisor)
        rest //= divisor
    divisor += 1""", """
items = []
for p in filter(is_prime_, range($n + 1)):
    items += [p] * max(e for e in range(9) if $n % p ** e == 0)""")  # fmt: skip


def recurrence(rng: Random) -> Stream:
    """The first terms of a random linear recurrence modulo a number."""
    order, m = rng.choice((1, 2, 2, 3)), rng.choice((7, 10, 11, 13, 17, 19, 23, 29, 31, 50, 64, 97, 100))
    scales = [rng.randint(1, 5) for _ in range(order)]
    start = [rng.randint(0, 6) for _ in range(order)]
    c = rng.randint(0, 4)
    terms = [f"{scale} * items[-{i}]".removeprefix("1 * ") for i, scale in enumerate(scales, 1)]
    told = " + ".join(f"{scale} * f(i - {i})".removeprefix("1 * ") for i, scale in enumerate(scales, 1))
    extra = f" + {c} * i" if c else ""
    return _whole(
        "recurrence", rng.randint(18, 40), 1, f"the first `$n` terms f(0), f(1), ... of the sequence that starts with "
        f"{', '.join(map(str, start))} and goes on with f(i) = ({told}{extra}) modulo {m}", "terms", f"""
items = {start}
for i in range({order}, $n):
    items.append(({' + '.join(terms)}{extra}) % {m})
items = items[:$n]""", f"""
@functools.cache
def f(i):
    if i < {order}:
        return {start}[i]
    return (sum(s * f(i - j) for j, s in enumerate({scales}, 1)) + {c} * i) % {m}
items = [f(i) for i in range($n)]""")  # fmt: skip


def circle(rng: Random) -> Stream:
    k = rng.randint(2, 6)
    return _whole(
        "circle", rng.randint(20, 32), 1, f"the order in which the numbers 1 to `$n`, placed in a circle, are taken out when one "
        f"counts from 1 and takes out every {k}{'nd' if k == 2 else 'rd' if k == 3 else 'th'} of those still there",
        "circle_order", f"""
items, circle, place = [], list(range(1, $n + 1)), 0
while circle:
    place = (place + {k - 1}) % len(circle)
    items.append(circle.pop(place))""", f"""
ring, items = collections.deque(range(1, $n + 1)), []
while ring:
    ring.rotate(-{k - 1})
    items.append(ring.popleft())""")  # fmt: skip


def coin_ways(rng: Random) -> Stream:
    coins = sorted(rng.sample(range(1, 10), rng.randint(2, 4)))
    ordered = rng.random() < 0.5
    loops = ["amount in range(1, $n + 1)", "coin in coins"]
    other = "sum(ways(amount - coin) for coin in coins)"
    if not ordered:
        loops.reverse()
        other = "ways(amount - coins[0], coins) + ways(amount, coins[1:])"
    return _whole(
        "coins", rng.randint(18, 30), 0, f"for each amount from 0 to `$n`, the number of ways to pay it with coins of "
        f"{', '.join(map(str, coins))}, {'orders counted apart' if ordered else 'the order not mattering'}", "ways_to_pay", f"""
coins = {coins}
items = [1] + [0] * $n
for {loops[0]}:
    for {loops[1]}:
        if coin <= amount:
            items[amount] += items[amount - coin]""", f"""
@functools.cache
def ways(amount, coins=({', '.join(map(str, coins))})):
    if amount <= 0 or not coins:
        return int(amount == 0)
    return {other}
items = [ways(amount) for amount in range($n + 1)]""", small=False)  # fmt: skip


def subsequences(rng: Random) -> Stream:
    words, code = rng.choice(
        (("each number is greater than the one before", "$xs[before] < $xs[place]"),
         ("no number is less than the one before", "$xs[before] <= $xs[place]"),
         ("each number is less than the one before", "$xs[before] > $xs[place]"),
         ("neighbours differ by an even amount", "($xs[before] - $xs[place]) % 2 == 0"),
         ("neighbours differ by at most 5", "abs($xs[before] - $xs[place]) <= 5"),
         ("the sum of neighbours is divisible by 3", "($xs[before] + $xs[place]) % 3 == 0"))
    )  # fmt: skip
    return _list(
        "subsequences", f"for each place of `$xs`, the length of the longest subsequence that ends there and in which {words}",
        "subsequence_lengths", f"""
items = []
for place in range(len($xs)):
    length = 1
    for before in range(place):
        if {code}:
            length = max(length, items[before] + 1)
    items.append(length)""", f"""
@functools.cache
def ends(place):
    return 1 + max((ends(before) for before in range(place) if {code}), default=0)
items = [ends(place) for place in range(len($xs))]""")  # fmt: skip


def knapsack(rng: Random) -> Stream:
    def inputs(rng: Random, size: int) -> Arguments:
        return [(rng.randint(1, 6), rng.randint(0, 12)) for _ in range(min(size, 6))], rng.randint(0, 10)

    again = rng.random() < 0.5
    order = "range(weight, $n + 1)" if again else "range($n, weight - 1, -1)"
    return Stream(
        "dp-knapsack", "int", (("spans", "list[tuple[int, int]]"), ("n", "int")),
        "`$spans` lists things by weight (at least 1) and worth; each may be taken "
        + ("any number of times." if again else "once at most."),
        "for each capacity from 0 to `$n`, the largest total worth of things whose weights do not exceed it", "best_loads", f"""
items = [0] * ($n + 1)
for weight, worth in $spans:
    for capacity in {order}:
        items[capacity] = max(items[capacity], items[capacity - weight] + worth)""", f"""
@functools.cache
def best(capacity, i):
    if i == len($spans):
        return 0
    weight, worth = $spans[i]
    taken = best(capacity - weight, {'i' if again else 'i + 1'}) + worth if weight <= capacity else 0
    return max(taken, best(capacity, i + 1))
items = [best(capacity, 0) for capacity in range($n + 1)]""", inputs)  # fmt: skip


STREAMS = (
    *(plain, neighbours, windows, digits, factors, recurrence, recurrence, circle, coin_ways, subsequences, knapsack),
)
