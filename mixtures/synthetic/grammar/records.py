# ruff: noqa: E501 (a table: a row reads best whole)
"""Streams from dicts, records and intervals."""

from random import Random

from mixtures.synthetic.grammar.streams import WORDS, Arguments, Stream, integers

SPANS = (("spans", "list[tuple[int, int]]"),)
HALF_OPEN = (
    "`$spans` holds pairs (start, end) with start < end; a pair covers the whole numbers from start up to end - 1."
)


def _table(rng: Random, size: int) -> dict[str, int]:
    return dict(zip(rng.sample(WORDS[:20], size), integers(rng, size), strict=True))


def _records(rng: Random, size: int) -> Arguments:
    names = rng.sample(WORDS, rng.randint(1, 4))
    return ([(rng.choice(names), n) for n in integers(rng, size)],)


def _spans(rng: Random, size: int) -> list[tuple[int, int]]:
    starts = [rng.randint(0, 18) for _ in range(min(size, 7))]
    return [(start, start + rng.randint(1, 6)) for start in starts]


def dict_values(rng: Random) -> Stream:
    by_key = rng.random() < 0.5
    return Stream(
        "dicts-values", "int", (("table", "dict[str, int]"),), "",
        "the values of `$table`, " + ("keys in dictionary order" if by_key else "in the order of the dict"), "table_values",
        "items = [$table[key] for key in sorted($table)]" if by_key else "items = $table.values()",
        "items = [v for _, v in sorted($table.items())]" if by_key else "items = [$table[k] for k in $table]",
        lambda rng, size: (_table(rng, size),))  # fmt: skip


def totals(rng: Random) -> Stream:
    words, update, other = rng.choice(
        (("sum", "held + amount", "sum({})"), ("largest amount", "max(held, amount)", "sorted({})[-1]"),
         ("smallest amount", "min(held, amount)", "sorted({})[0]"), ("last amount", "amount", "{}[-1]"),
         ("sum of twice each earlier result and the next amount", "2 * held + amount",
          "functools.reduce(lambda a, b: a * 2 + b, {})"))
    )  # fmt: skip
    return Stream(
        "dicts-totals", "int", (("records", "list[tuple[str, int]]"),), "`$records` holds pairs of a name and an amount.",
        f"for each name, in dictionary order, the {words} of its amounts" if "twice" not in words else
        "for each name, in dictionary order, the number that its amounts give when the first one is doubled and the next one "
        "added, again and again (a single amount stays as it is)", "totals", f"""
held_by_name = {{}}
for name, amount in $records:
    if name in held_by_name:
        held = held_by_name[name]
        held_by_name[name] = {update}
    else:
        held_by_name[name] = amount
items = [held_by_name[name] for name in sorted(held_by_name)]""",
        f"items = [{other.format('[a for n, a in $records if n == name]')} for name in sorted({{n for n, _ in $records}})]",
        _records)  # fmt: skip


def names_by_total(rng: Random) -> Stream:
    least = rng.randint(0, 30)
    return Stream(
        "dicts-names", "str", (("records", "list[tuple[str, int]]"),), "`$records` holds pairs of a name and an amount.",
        f"the names whose amounts sum to at least {least}, in the order in which they first occur", "big_names", f"""
sums = {{}}
for name, amount in $records:
    sums[name] = sums.get(name, 0) + amount
items = [name for name, total in sums.items() if total >= {least}]""", f"""
items = [n for i, (n, _) in enumerate($records) if n not in [m for m, _ in $records[:i]]]
items = [n for n in items if sum(a for m, a in $records if m == n) >= {least}]""", _records)  # fmt: skip


def merged_tables(rng: Random) -> Stream:
    words, code, other = rng.choice(
        (("the sum of both values", "$table[key] + amount", "sum(both)"), ("the larger value", "max($table[key], amount)", "max(both)"),
         ("the value of `$table` minus the other one", "$table[key] - amount", "both[0] - both[1]"),
         ("the smaller value", "min($table[key], amount)", "min(both)"), ("the product of both values", "$table[key] * amount", "math.prod(both)"))
    )  # fmt: skip
    return Stream(
        "dicts-merged", "int", (("table", "dict[str, int]"), ("more", "dict[str, int]")),
        f"The two dicts are merged; a key that is in both gets {words}.", "the values of the merged dict, keys in dictionary order",
        "merged_values", f"""
merged = dict($table)
for key, amount in $more.items():
    if key in merged:
        merged[key] = {code}
    else:
        merged[key] = amount
items = [merged[key] for key in sorted(merged)]""", f"""
items = []
for key in sorted({{*$table, *$more}}):
    both = [t[key] for t in ($table, $more) if key in t]
    items.append({other} if len(both) == 2 else both[0])""",
        lambda rng, size: (_table(rng, size), _table(rng, rng.randint(0, min(size, 6)))), small="product" not in words)  # fmt: skip


def merged_spans(rng: Random) -> Stream:
    gap = rng.randint(0, 2)
    touching = "overlap or touch" if gap == 0 else f"overlap, touch or lie at most {gap} apart"
    ends = rng.choice((("the lengths of", "end - start", "{1} - {0}"), ("the starts of", "start", "{0}"),
                       ("the ends of", "end", "{1}"), ("twice the middles of", "start + end", "{0} + {1}")))  # fmt: skip
    return Stream(
        "intervals-merged", "int", SPANS, HALF_OPEN, f"{ends[0]} the intervals that remain when all that {touching} have been "
        "merged, from left to right", "merged_intervals", f"""
merged = []
for start, end in sorted($spans):
    if merged and start <= merged[-1][1] + {gap}:
        merged[-1][1] = max(merged[-1][1], end)
    else:
        merged.append([start, end])
items = [{ends[1]} for start, end in merged]""", f"""
parts = list($spans)
while True:
    near = [(p, q) for p, q in itertools.combinations(parts, 2) if max(p[0], q[0]) - min(p[1], q[1]) <= {gap}]
    if not near:
        break
    p, q = near[0]
    parts.remove(p)
    parts.remove(q)
    parts.append((min(p[0], q[0]), max(p[1], q[1])))
items = [{ends[2].format('a', 'b')} for a, b in sorted(parts)]""", lambda rng, size: (_spans(rng, size),))  # fmt: skip


def free_spans(rng: Random) -> Stream:
    least = rng.randint(1, 3)
    return Stream(
        "intervals-gaps", "int", SPANS, HALF_OPEN, f"the lengths of the gaps between covered parts that are at least {least} long, "
        "from left to right", "gaps", f"""
items, reached = [], None
for start, end in sorted($spans):
    if reached is not None and start - reached >= {least}:
        items.append(start - reached)
    reached = end if reached is None else max(reached, end)""", f"""
covered = {{x for a, b in $spans for x in range(a, b)}}
line = ''.join('#' if x in covered else '.' for x in range(max(covered, default=0) + 1))
items = [len(part) for part in line.lstrip('.').split('#') if len(part) >= {least}]""", lambda rng, size: (_spans(rng, size),))  # fmt: skip


def overlap_depths(rng: Random) -> Stream:
    return Stream(
        "intervals-depth", "int", SPANS, HALF_OPEN, "how many pairs cover each whole number, from the first start up to the number "
        "before the last end", "depths", """
changes = {}
for start, end in $spans:
    changes[start] = changes.get(start, 0) + 1
    changes[end] = changes.get(end, 0) - 1
items, depth = [], 0
if $spans:
    for place in range(min(changes), max(changes)):
        depth += changes.get(place, 0)
        items.append(depth)""", """
points = range(min((a for a, _ in $spans), default=0), max((b for _, b in $spans), default=0))
items = [sum(a <= x < b for a, b in $spans) for x in points]""", lambda rng, size: (_spans(rng, size),))  # fmt: skip


def schedule(rng: Random) -> Stream:
    rest = rng.randint(0, 2)
    told = f" and {rest} more number{'s' * (rest > 1)} lie free between them" if rest else ""
    return Stream(
        "intervals-schedule", "int", SPANS, HALF_OPEN, "the starts of the pairs that are chosen by going through `$spans` by "
        f"ascending end (on a tie by ascending start) and taking every pair that covers no number of one taken before{told}",
        "schedule", f"""
items, free = [], None
for start, end in sorted($spans, key=lambda span: (span[1], span[0])):
    if free is None or start >= free:
        items.append(start)
        free = end + {rest}""", f"""
left, items = sorted((b, a) for a, b in $spans), []
while left:
    end, start = left[0]
    items.append(start)
    left = [(b, a) for b, a in left[1:] if not a < end + {rest}]""", lambda rng, size: (_spans(rng, size),))  # fmt: skip


STREAMS = (
    *(dict_values, totals, totals, names_by_total, merged_tables),
    *(merged_spans, free_spans, overlap_depths, schedule),
)
