"""Templates over integers."""

from random import Random

from mixtures.synthetic.draws import pick, predicate, singles
from mixtures.synthetic.problem import Draft, Template, code


def _sum_of_multiples(rng: Random) -> Draft:
    a, b = sorted(rng.sample(range(2, 16), 2))
    name = pick(rng, "sum_of_multiples", "multiples_total", "add_multiples")
    return Draft(
        f"{name}_{a}_{b}",
        "n: int",
        "int",
        f"{pick(rng, 'Return the sum of', 'Add up')} all positive integers below n that are divisible by {a} or by "
        f"{b}, counting each number once.",
        code(f"""
            total = 0
            for x in range(1, n):
                if x % {a} == 0 or x % {b} == 0:
                    total += x
            return total
        """),
        code(f"""
            multiples = set(range({a}, n, {a})) | set(range({b}, n, {b}))
            return sum(multiples)
        """),
        singles([0, 1, a + 1, b, b + 1, a * b + 1, rng.randint(30, 200)]),
    )


def _digit_filter(rng: Random) -> Draft:
    base = rng.choice([2, 3, 5, 7, 8, 10, 10, 16])
    condition, words = rng.choice(
        [
            ("digit % 2 == 0", "even digits"),
            ("digit % 2 == 1", "odd digits"),
            (f"digit >= {max(1, base // 2)}", f"digits that are at least {max(1, base // 2)}"),
            ("digit != 0", "digits other than zero"),
        ]
    )
    what, step = rng.choice([("sum", "result += digit"), ("number", "result += 1")])
    value = "digit" if what == "sum" else "1"
    return Draft(
        pick(rng, "digit_score", "scan_digits", f"digits_base_{base}"),
        "n: int",
        "int",
        f"Return the {what} of the {words} in the base {base} representation of the non-negative integer n.",
        code(f"""
            result = 0
            while n > 0:
                n, digit = divmod(n, {base})
                if {condition}:
                    {step}
            return result
        """),
        code(f"""
            digits = []
            while n:
                digits.append(n % {base})
                n //= {base}
            return sum({value} for digit in digits if {condition})
        """),
        singles([0, 1, base - 1, base, base * base + 1, rng.randint(100, 999), rng.randint(1000, 99999)]),
    )


def _count_divisors(rng: Random) -> Draft:
    k = rng.randint(2, 12)
    condition, words = rng.choice(
        [
            (f"d >= {k}", f"that are at least {k}"),
            (f"d % {k} == 0", f"that are divisible by {k}"),
            (f"d % {k} != 0", f"that are not divisible by {k}"),
            (f"d <= {k}", f"that are at most {k}"),
        ]
    )
    return Draft(
        pick(rng, "count_divisors", "divisor_count", "how_many_divisors"),
        "n: int",
        "int",
        f"Return how many positive divisors of n {words} there are. The number n is positive.",
        code(f"""
            count = 0
            for d in range(1, n + 1):
                if n % d == 0 and {condition}:
                    count += 1
            return count
        """),
        code(f"""
            divisors = set()
            d = 1
            while d * d <= n:
                if n % d == 0:
                    divisors |= {{d, n // d}}
                d += 1
            return len([d for d in divisors if {condition}])
        """),
        singles([1, k, k * k, 2 * 3 * k, 60, rng.randint(50, 400), rng.randint(50, 400)]),
    )


def _iterate_rule(rng: Random) -> Draft:
    m, a, b, c = rng.randint(2, 4), rng.randint(2, 5), rng.randint(1, 9), rng.randint(50, 500)
    name = pick(rng, "iterate_rule", "apply_steps", "run_rule")
    return Draft(
        name,
        "x: int, steps: int",
        "int",
        f"Apply a rule to x the given number of times and return the result. If x is divisible by {m} it becomes "
        f"x divided by {m}; otherwise it becomes {a} times x plus {b}, reduced modulo {c}.",
        code(f"""
            for _ in range(steps):
                if x % {m} == 0:
                    x //= {m}
                else:
                    x = ({a} * x + {b}) % {c}
            return x
        """),
        code(f"""
            if steps <= 0:
                return x
            following = x // {m} if x % {m} == 0 else ({a} * x + {b}) % {c}
            return {name}(following, steps - 1)
        """),
        ((0, 3), (1, 0), (1, 1), *((rng.randint(2, 300), rng.randint(2, 20)) for _ in range(4))),
    )


def _to_base(rng: Random) -> Draft:
    base = rng.randint(2, 15)
    width = rng.randint(1, 6)
    return Draft(
        f"to_base_{base}",
        "n: int",
        "str",
        f"Write the non-negative integer n in base {base}, with the letters a to f for digits from ten on, "
        f"padded with zeros on the left to at least {width} {'place' if width == 1 else 'places'}.",
        code(f"""
            digits = ""
            while n > 0:
                digits = "0123456789abcdef"[n % {base}] + digits
                n //= {base}
            return digits.rjust({width}, "0")
        """),
        code(f"""
            places = {width}
            while {base} ** places <= n:
                places += 1
            powers = [{base} ** place for place in reversed(range(places))]
            return "".join("0123456789abcdef"[n // power % {base}] for power in powers)
        """),
        singles([0, 1, base - 1, base, base**width, rng.randint(20, 999), rng.randint(1000, 99999)]),
    )


def _piecewise(rng: Random) -> Draft:
    low, high = sorted(rng.sample(range(-20, 60), 2))
    scale, shift = rng.randint(2, 9), rng.randint(-9, 9)
    sign = f"+ {shift}" if shift >= 0 else f"- {-shift}"
    words = f"plus {shift}" if shift >= 0 else f"minus {-shift}"
    return Draft(
        pick(rng, "clamp_and_scale", "limited_value", "bounded_response"),
        "x: int",
        "int",
        f"Limit x to the range from {low} to {high} inclusive, then return {scale} times the limited value {words}.",
        code(f"""
            if x < {low}:
                x = {low}
            elif x > {high}:
                x = {high}
            return {scale} * x {sign}
        """),
        code(f"""
            limited = sorted([{low}, x, {high}])[1]
            return limited * {scale} {sign}
        """),
        singles([low - 1, low, low + 1, high - 1, high, high + 1, 0, rng.randint(-99, 99)]),
    )


def _recurrence(rng: Random) -> Draft:
    first, second, p, q = rng.randint(0, 5), rng.randint(1, 7), rng.randint(1, 4), rng.randint(1, 4)
    m = rng.randint(50, 1000)
    return Draft(
        pick(rng, "recurrence", "nth_term", "sequence_term"),
        "n: int",
        "int",
        f"Return term n of the sequence that starts with {first} (term 0) and {second} (term 1) and in which every "
        f"later term is {p} times the term before it plus {q} times the term before that, modulo {m}.",
        code(f"""
            a, b = {first}, {second}
            for _ in range(n):
                a, b = b, ({p} * b + {q} * a) % {m}
            return a
        """),
        code(f"""
            terms = [{first}, {second}]
            while len(terms) <= n:
                terms.append(({p} * terms[-1] + {q} * terms[-2]) % {m})
            return terms[n]
        """),
        singles([0, 1, 2, 3, rng.randint(4, 9), rng.randint(10, 40)]),
    )


def _count_primes(rng: Random) -> Draft:
    m = rng.randint(2, 12)
    r = rng.randrange(m)
    return Draft(
        pick(rng, "count_primes", "primes_in_class", "prime_tally"),
        "limit: int",
        "int",
        f"Count the prime numbers up to and including limit that leave remainder {r} when divided by {m}.",
        code(f"""
            count = 0
            for n in range(2, limit + 1):
                if n % {m} == {r} and all(n % d for d in range(2, int(n ** 0.5) + 1)):
                    count += 1
            return count
        """),
        code(f"""
            composite = [False] * (limit + 1)
            count = 0
            for n in range(2, limit + 1):
                if composite[n]:
                    continue
                count += n % {m} == {r}
                for multiple in range(n * n, limit + 1, n):
                    composite[multiple] = True
            return count
        """),
        singles([0, 1, 2, 3, r + m, rng.randint(20, 60), rng.randint(100, 300)]),
    )


def _ways_to_climb(rng: Random) -> Draft:
    steps = sorted(rng.sample(range(1, 8), rng.randint(2, 4)))
    listed = ", ".join(map(str, steps[:-1])) + f" or {steps[-1]}"
    name = pick(rng, "ways_to_climb", "count_climbs", "staircase_ways")
    return Draft(
        name,
        "n: int",
        "int",
        f"Count the ways to climb a staircase of n steps when every move takes {listed} steps. The order of the moves "
        "matters, and there is one way to climb no steps.",
        code(f"""
            ways = [1] + [0] * n
            for height in range(1, n + 1):
                for step in {steps}:
                    if step <= height:
                        ways[height] += ways[height - step]
            return ways[n]
        """),
        code(f"""
            if n <= 0:
                return int(n == 0)
            return sum({name}(n - step) for step in {steps})
        """),
        singles([0, 1, 2, 3, steps[-1], rng.randint(6, 9), rng.randint(10, 14)]),
    )


def _count_in_range(rng: Random) -> Draft:
    one, two = predicate(rng), predicate(rng)
    return Draft(
        pick(rng, "count_matching", "numbers_between", "matches_in_range"),
        "start: int, stop: int",
        "int",
        f"Count the integers from start up to but not including stop that {one.words} and also {two.words}.",
        code(f"""
            count = 0
            for x in range(start, stop):
                if {one.expression} and {two.expression}:
                    count += 1
            return count
        """),
        code(f"""
            kept = [x for x in range(start, stop) if {one.expression}]
            return len(list(filter(lambda x: {two.expression}, kept)))
        """),
        ((0, 0), (5, 2), (-10, 0), (-40, 60), *((a, a + rng.randint(5, 80)) for a in rng.sample(range(-40, 40), 3))),
    )


TEMPLATES = (
    Template("sum-of-multiples", _sum_of_multiples),
    Template("digit-filter", _digit_filter),
    Template("count-divisors", _count_divisors),
    Template("iterate-rule", _iterate_rule),
    Template("to-base", _to_base),
    Template("piecewise", _piecewise),
    Template("recurrence", _recurrence),
    Template("count-primes", _count_primes),
    Template("ways-to-climb", _ways_to_climb),
    Template("count-in-range", _count_in_range),
)
