# ruff: noqa: E501 (a table: a row reads best whole)
"""Streams from dicts and from records that make one."""

from random import Random

from mixtures.synthetic.grammar.streams import WORDS, Arguments, Stream, integers


def _table(rng: Random, size: int) -> dict[str, int]:
    return dict(zip(rng.sample(WORDS[:20], size), integers(rng, size), strict=True))


def _records(rng: Random, size: int) -> Arguments:
    names = rng.sample(WORDS, rng.randint(1, 4))
    return ([(rng.choice(names), n) for n in integers(rng, size)],)


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


STREAMS = (dict_values, totals, totals, merged_tables)
