# ruff: noqa: E501 (a table: a row reads best whole)
"""How a list of values becomes the answer, each way with a second algorithm.

In `code` and `other`, $values is the list; both end in a return. A row with `fold` can also be fused into a loop that
has no list: (what is set before the loop, what is done with each value $x, what is returned). $if holds a condition on
a value, $key a change of it (both drawn from `leaves.py`); the other $names are its constants.
"""

from dataclasses import dataclass

Fold = tuple[str, str, str]


@dataclass(frozen=True)
class Aggregate:
    """One row.

    Attributes:
        tag: for the function's name.
        words: what is returned; $them names the values.
        returns: annotation of the result.
        code, other, fold: see the module.
    """

    tag: str
    words: str
    returns: str
    other: str
    code: str = ""
    fold: Fold | None = None


NONE = "$e if there are none"

INTS = (
    Aggregate("sum", "the sum of $them", "int", "return functools.reduce(lambda a, b: a + b, values, 0)",
              "return sum($values)", ("total = 0", "total += $x", "total")),
    Aggregate("product", "the product of $them modulo $m (1 if there are none)", "int",
              "return math.prod(values) % $m if values else 1", "", ("product = 1", "product = product * $x % $m", "product")),
    Aggregate("largest", f"the largest of $them, or {NONE}", "int", "return sorted(values)[-1] if values else $e",
              "return max($values, default=$e)",
              ("best = None", "if best is None or $x > best:\n    best = $x", "$e if best is None else best")),
    Aggregate("smallest", f"the smallest of $them, or {NONE}", "int", "return sorted(values)[0] if values else $e",
              "return min($values, default=$e)",
              ("best = None", "if best is None or $x < best:\n    best = $x", "$e if best is None else best")),
    Aggregate("count", "the number of $them for which this holds: it $if", "int",
              "return len(list(filter(lambda x: $if2, values)))", "return sum(1 for x in $values if $if)",
              ("count = 0", "if $ifx:\n    count += 1", "count")),
    Aggregate("distinct", "how many different values there are among $them", "int",
              "return len(list(itertools.groupby(sorted(values))))", "return len(set($values))",
              ("seen = set()", "seen.add($x)", "len(seen)")),
    Aggregate("list", "the list of $them, in order", "list[int]", "return values", "",
              ("result = []", "result.append($x)", "result")),
    Aggregate("sorted", "a list of $them in ascending order", "list[int]",
              "return [x for y in sorted(set(values)) for x in [y] * values.count(y)]", "return sorted($values)"),
    Aggregate("unique", "a list of $them without repeats, each at its first place", "list[int]",
              "return [x for i, x in enumerate(values) if x not in values[:i]]", "return list(dict.fromkeys($values))",
              ("result, seen = [], set()", "if $x not in seen:\n    seen.add($x)\n    result.append($x)", "result")),
    Aggregate("median", f"the median of $them (the lower of the two middle ones if their number is even), or {NONE}",
              "int", "return next((x for x in sorted(values) if 2 * sum(y <= x for y in values) >= len(values)), $e)", """
ordered = sorted($values)
if not ordered:
    return $e
return ordered[(len(ordered) - 1) // 2]"""),
    Aggregate("most_common", f"the most frequent of $them, the smallest one on a tie, or {NONE}", "int",
              "return min(values, key=lambda x: (-values.count(x), x), default=$e)", """
counts = {}
for x in $values:
    counts[x] = counts.get(x, 0) + 1
best, most = $e, 0
for x in sorted(counts):
    if counts[x] > most:
        best, most = x, counts[x]
return best"""),
    Aggregate("rising_run", "the length of the longest strictly rising run of neighbours among $them", "int",
              "return len(longest_(values, lambda part: all(a < b for a, b in zip(part, part[1:]))))", "",
              ("best, length, last = 0, 0, None", "length = length + 1 if last is not None and $x > last else 1\n"
               "best = max(best, length)\nlast = $x", "best")),
    Aggregate("rising_subsequence", "the length of the longest strictly rising subsequence of $them", "int", """
@functools.cache
def longest(i, last):
    if i == len(values):
        return 0
    taken = 1 + longest(i + 1, i) if last < 0 or values[i] > values[last] else 0
    return max(taken, longest(i + 1, last))
return longest(0, -1)""", """
from bisect import bisect_left

tails = []
for x in $values:
    place = bisect_left(tails, x)
    tails[place:place + 1] = [x]
return len(tails)"""),
    Aggregate("inversions", "the number of pairs among $them in which the earlier one is greater than the later one by "
              "at least $two", "int", "return sum(a - b >= $two for a, b in itertools.combinations(values, 2))", """
from bisect import bisect_left, insort

count, earlier = 0, []
for x in $values:
    count += len(earlier) - bisect_left(earlier, x + $two)
    insort(earlier, x)
return count"""),
    Aggregate("best_stretch", "the largest sum of one or more neighbours among $them, or 0 if there are none", "int",
              "n = len(values)\nreturn max((sum(values[i:j]) for i in range(n) for j in range(i + 1, n + 1)), default=0)",
              "", ("best = current = None", "current = $x if current is None else max($x, current + $x)\n"
                   "best = current if best is None else max(best, current)", "best or 0")),
    Aggregate("pairs", "the number of pairs among $them, taken at two different places, whose sum is divisible by $k",
              "int", "return sum((a + b) % $k == 0 for a, b in itertools.combinations(values, 2))", "",
              ("pairs, counts = 0, [0] * $k", "pairs += counts[-$x % $k]\ncounts[$x % $k] += 1", "pairs")),
    Aggregate("counts", "a dict from each of $them to how often it occurs, with keys in the order of first occurrence",
              "dict[int, int]", "return {x: values.count(x) for x in values}", "",
              ("counts = {}", "counts[$x] = counts.get($x, 0) + 1", "counts")),
    Aggregate("grouped", "a dict that groups $them by remainder modulo $k: keys ascending, each with the list of its "
              "values in order", "dict[int, list[int]]",
              "return {r: [x for x in values if x % $k == r] for r in range($k) if any(x % $k == r for x in values)}", "",
              ("groups = {}", "groups.setdefault($x % $k, []).append($x)", "{key: groups[key] for key in sorted(groups)}")),
    Aggregate("totals_by_key", "a dict with, for each different result of computing $key from a value, the sum of those of "
              "$them that give it, keys ascending", "dict[int, int]",
              "keyed = sorted(($key2, x) for x in values)\n"
              "return {k: sum(x for _, x in g) for k, g in itertools.groupby(keyed, key=lambda pair: pair[0])}", "",
              ("totals = {}", "key = $keyx\ntotals[key] = totals.get(key, 0) + $x",
               "{key: totals[key] for key in sorted(totals)}")),
    Aggregate("ordered_by", "a list of $them sorted by $key, equal ones in their given order", "list[int]",
              "pairs = [($key2, i, x) for i, x in enumerate(values)]\nreturn [x for _, _, x in sorted(pairs)]",
              "return sorted($values, key=lambda x: $key)"),
    Aggregate("joined", "$them written in decimal and joined by '$sep'", "str",
              "text = ''\nfor i, x in enumerate(values):\n    text += ('$sep' if i else '') + f'{x}'\nreturn text",
              'return "$sep".join(str(x) for x in $values)'),
    Aggregate("all", "whether every one of $them satisfies this: it $if (True if there are none)", "bool",
              "return not [x for x in values if not ($if2)]", "return all($if for x in $values)"),
    Aggregate("any", "whether at least one of $them satisfies this: it $if", "bool",
              "return any(map(lambda x: $if2, values))", "return any($if for x in $values)",
              ("found = False", "if $ifx:\n    found = True", "found")),
    Aggregate("first", "the first of $them that satisfies this: it $if; $e if none does", "int",
              "return ([x for x in values if $if2] + [$e])[0]",
              "for x in $values:\n    if $if:\n        return x\nreturn $e"),
    Aggregate("code", "the number made from $them in order by starting from $d and, for each one, multiplying by $k, "
              "adding it and taking the result modulo $m", "int",
              "return functools.reduce(lambda a, x: (a * $k + x) % $m, values, $d)", "",
              ("code = $d", "code = (code * $k + $x) % $m", "code")),
    Aggregate("split", "a pair of lists: those of $them for which this holds: it $if; and the others, both in order",
              "tuple[list[int], list[int]]",
              "return [x for x in values if $if2], [x for x in values if not ($if2)]", "",
              ("chosen, others = [], []", "if $ifx:\n    chosen.append($x)\nelse:\n    others.append($x)",
               "(chosen, others)")),
    Aggregate("subset_sums", "how many different sums the subsets of the first $k of $them have, the empty subset "
              "included", "int", "first = values[:$k]\nparts = itertools.product(*[(0, x) for x in first])\n"
              "return len({sum(part) for part in parts})", """
sums = {0}
for x in $values[:$k]:
    sums |= {total + x for total in sums}
return len(sums)"""),
    Aggregate("longest_streak", "the length of the longest run of neighbours among $them for each of which this holds: it "
              "$if", "int", "return len(longest_(values, lambda part: all($if2 for x in part)))", "",
              ("best = length = 0", "length = length + 1 if $ifx else 0\nbest = max(best, length)", "best")),
    Aggregate("separate_sum", "the largest sum that a choice of $them can have in which no two neighbours are chosen (0 for "
              "the empty choice)", "int", """
@functools.cache
def best(i):
    return 0 if i >= len(values) else max(best(i + 1), values[i] + best(i + 2))
return best(0)""", "", ("taken = left = 0", "taken, left = left + $x, max(taken, left)", "max(taken, left)")),
)  # fmt: skip

STRS = (
    Aggregate("joined", "$them joined by '$sep'", "str", "text = ''\nfor i, x in enumerate(values):\n"
              "    text += ('$sep' if i else '') + x\nreturn text", 'return "$sep".join($values)'),
    Aggregate("longest", "the first of the longest among $them, or an empty string if there are none", "str",
              "return sorted(values, key=len, reverse=True)[0] if values else ''", "",
              ('best = ""', "if len($x) > len(best):\n    best = $x", "best")),
    Aggregate("commonest", "the most frequent among $them, the first in dictionary order on a tie, or an empty string if "
              "there are none", "str", "return min(values, key=lambda x: (-values.count(x), x), default='')", """
counts = {}
for x in $values:
    counts[x] = counts.get(x, 0) + 1
best = ""
for x in sorted(counts):
    if counts[x] > counts.get(best, 0):
        best = x
return best"""),
    Aggregate("sorted", "a list of $them, sorted by length and then in dictionary order", "list[str]",
              "return [x for n in sorted({len(x) for x in values}) for x in sorted(values) if len(x) == n]",
              "return sorted($values, key=lambda x: (len(x), x))"),
    Aggregate("unique", "a list of $them without repeats, each at its first place", "list[str]",
              "return list(dict.fromkeys(values))", "",
              ("result = []", "if $x not in result:\n    result.append($x)", "result")),
    Aggregate("list", "the list of $them, in order", "list[str]", "return values", "",
              ("result = []", "result.append($x)", "result")),
    Aggregate("counts", "a dict from each of $them to how often it occurs, with keys in the order of first occurrence",
              "dict[str, int]", "return {x: values.count(x) for x in values}", "",
              ("counts = {}", "counts[$x] = counts.get($x, 0) + 1", "counts")),
    Aggregate("by_length", "a dict that groups $them by length: keys ascending, each with the list of its strings in order",
              "dict[int, list[str]]", "return {n: [x for x in values if len(x) == n] for n in sorted(map(len, values))}",
              "", ("groups = {}", "groups.setdefault(len($x), []).append($x)", "{key: groups[key] for key in sorted(groups)}")),
    Aggregate("ordered_by", "a list of $them sorted by $key, equal ones in their given order", "list[str]",
              "pairs = [($key2, i, x) for i, x in enumerate(values)]\nreturn [x for _, _, x in sorted(pairs)]",
              "return sorted($values, key=lambda x: $key)"),
    Aggregate("count", "the number of $them for which this holds: it $if", "int",
              "return len([x for x in values if $if2])", "return sum(1 for x in $values if $if)",
              ("count = 0", "if $ifx:\n    count += 1", "count")),
    Aggregate("all", "whether every one of $them satisfies this: it $if (True if there are none)", "bool",
              "return not [x for x in values if not ($if2)]", "return all($if for x in $values)"),
    Aggregate("interleaved", "the string made by taking the first character of each of $them in order, then the second of "
              "each, and so on, passing over those that have run out", "str",
              "return ''.join(c for column in itertools.zip_longest(*values, fillvalue='') for c in column)", """
result = ""
for place in range(max((len(x) for x in $values), default=0)):
    for x in $values:
        if place < len(x):
            result += x[place]
return result"""),
)  # fmt: skip

AGGREGATES = {"int": INTS, "str": STRS}
