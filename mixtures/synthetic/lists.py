"""Templates over lists of integers."""

from random import Random

from mixtures.synthetic.draws import integers, lists_of_integers, pick, predicate, singles
from mixtures.synthetic.problem import Draft, Template, code


def _filter_map_reduce(rng: Random) -> Draft:
    keep = predicate(rng)
    k = rng.randint(2, 9)
    expression, mapped = rng.choice(
        [
            ("x * x", "their squares"),
            (f"{k} * x", f"{k} times each of them"),
            ("abs(x)", "their absolute values"),
            (f"x % {k}", f"their remainders modulo {k}"),
            (f"x + {k}", f"each of them plus {k}"),
        ]
    )
    reduce, words, start, step = rng.choice(
        [
            ("sum", "the sum of", "0", "result += value"),
            ("max", "the largest of", "0", "result = max(result, value)"),
            ("len(set", "the number of different values among", "set()", "result.add(value)"),
        ]
    )
    values = f"{expression} for x in numbers if {keep.expression}"
    short = {"sum": f"sum({values})", "max": f"max([0] + [{values}])", "len(set": f"len({{{values}}})"}[reduce]
    final = "len(result)" if start == "set()" else "result"
    note = " Start from 0, so that the result is never negative." if reduce == "max" else ""
    return Draft(
        pick(rng, "summarise", "select_and_combine", "fold_numbers", "pick_and_reduce"),
        "numbers: list[int]",
        "int",
        f"Take the numbers that {keep.words}, compute {mapped}, and return {words} the results.{note}",
        code(f"""
            result = {start}
            for x in numbers:
                if {keep.expression}:
                    value = {expression}
                    {step}
            return {final}
        """),
        f"return {short}",
        singles(lists_of_integers(rng, 7)),
    )


def _longest_run(rng: Random) -> Draft:
    keep = predicate(rng)
    return Draft(
        pick(rng, "longest_run", "longest_streak", "max_run_length"),
        "numbers: list[int]",
        "int",
        f"Return the length of the longest run of neighbouring numbers that all {keep.words}.",
        code(f"""
            best = current = 0
            for x in numbers:
                current = current + 1 if {keep.expression} else 0
                best = max(best, current)
            return best
        """),
        code(f"""
            marks = "".join("#" if {keep.expression} else " " for x in numbers)
            return max((len(run) for run in marks.split()), default=0)
        """),
        singles(lists_of_integers(rng, 7)),
    )


def _window_extreme(rng: Random) -> Draft:
    k = rng.randint(2, 5)
    which, words = rng.choice([("max", "largest"), ("min", "smallest")])
    factor = rng.randint(1, 5)
    scaled = f"{factor} times the" if factor > 1 else "the"
    times = f"{factor} * " if factor > 1 else ""
    return Draft(
        f"{which}_window_sum",
        "numbers: list[int]",
        "int",
        f"Return {scaled} {words} sum of {k} neighbouring numbers, or 0 when there are fewer than {k} numbers.",
        code(f"""
            if len(numbers) < {k}:
                return 0
            window = best = sum(numbers[:{k}])
            for i in range({k}, len(numbers)):
                window += numbers[i] - numbers[i - {k}]
                best = {which}(best, window)
            return {times}best
        """),
        code(f"""
            sums = [sum(numbers[i:i + {k}]) for i in range(len(numbers) - {k} + 1)]
            return {times}{which}(sums) if sums else 0
        """),
        singles([*lists_of_integers(rng, 6), integers(rng, k)]),
    )


def _chunk_reduce(rng: Random) -> Draft:
    k = rng.randint(2, 6)
    reduce, words = rng.choice(
        [("sum", "sum"), ("max", "largest number"), ("min", "smallest number"), ("len", "length")]
    )
    order = rng.choice(["", "[::-1]"])
    told = " Return them from the last piece to the first." if order else ""
    return Draft(
        pick(rng, "chunk_summary", "summarise_pieces", "reduce_chunks"),
        "numbers: list[int]",
        "list[int]",
        f"Cut the list into consecutive pieces of {k} numbers, the last piece being shorter if need be, and return the "
        f"{words} of every piece.{told}",
        code(f"""
            pieces = [numbers[i:i + {k}] for i in range(0, len(numbers), {k})]
            return [{reduce}(piece) for piece in pieces]{order}
        """),
        code(f"""
            results, rest = [], list(numbers)
            while rest:
                results.append({reduce}(rest[:{k}]))
                rest = rest[{k}:]
            return {"list(reversed(results))" if order else "results"}
        """),
        singles([*lists_of_integers(rng, 6), integers(rng, 2 * k)]),
    )


def _count_pairs(rng: Random) -> Draft:
    relation, partner, words = rng.choice(
        [
            ("a + b == target", "target - b", "whose sum is the target"),
            ("b - a == target", "b - target", "in which the later number exceeds the earlier one by the target"),
            ("a ^ b == target", "b ^ target", "whose bitwise exclusive or is the target"),
        ]
    )
    low = rng.randint(0, 2)
    condition = f"{relation} and j - i > {low}" if low else relation
    gap = f" and that stand more than {low} {'place' if low == 1 else 'places'} apart" if low else ""
    return Draft(
        pick(rng, "count_pairs", "matching_pairs", "pair_tally"),
        "numbers: list[int], target: int",
        "int",
        f"Count the pairs of positions i < j with numbers {words}{gap}.",
        code(f"""
            count = 0
            for j, b in enumerate(numbers):
                for i, a in enumerate(numbers[:j]):
                    if {condition}:
                        count += 1
            return count
        """),
        code(f"""
            count, seen = 0, {{}}
            for j, b in enumerate(numbers):
                if j > {low}:
                    early = numbers[j - {low + 1}]
                    seen[early] = seen.get(early, 0) + 1
                count += seen.get({partner}, 0)
            return count
        """),
        (
            *(([], 0), ([4], 4), ([3, 3, 3, 3, 3], 6), ([3, 3, 3, 3, 3], 0)),
            *((integers(rng, rng.randint(6, 12), 0, 9), rng.randint(1, 8)) for _ in range(4)),
        ),
    )


def _merge_intervals(rng: Random) -> Draft:
    gap = rng.randint(0, 5)
    joined = "overlap or touch" if gap == 0 else f"overlap or lie at most {gap} apart"

    def intervals(count: int) -> list[list[int]]:
        return [[a, a + rng.randint(1, 8)] for a in integers(rng, count, 0, 40)]

    return Draft(
        pick(rng, "merge_intervals", "join_ranges", "coalesce_spans"),
        "intervals: list[list[int]]",
        "list[list[int]]",
        f"Join all closed intervals that {joined} and return the joined intervals in increasing order.",
        code(f"""
            merged = []
            for start, end in sorted(intervals):
                if merged and start - merged[-1][1] <= {gap}:
                    merged[-1][1] = max(merged[-1][1], end)
                else:
                    merged.append([start, end])
            return merged
        """),
        code(f"""
            spans = [list(span) for span in intervals]
            changed = True
            while changed:
                changed = False
                for one in spans:
                    for two in spans:
                        if one is not two and one[0] <= two[1] + {gap} and two[0] <= one[1] + {gap}:
                            one[:] = [min(one[0], two[0]), max(one[1], two[1])]
                            spans = [span for span in spans if span is not two]
                            changed = True
                            break
                    if changed:
                        break
            return sorted(spans)
        """),
        singles(
            [[], [[1, 2]], [[5, 6], [1, 2]], [[1, 3], [3 + gap, 9]], *(intervals(rng.randint(3, 7)) for _ in range(3))]
        ),
    )


def _running_total(rng: Random) -> Draft:
    limit, reset = rng.randint(15, 60), rng.randint(0, 9)
    return Draft(
        pick(rng, "running_total", "resetting_sum", "cumulative_with_limit"),
        "numbers: list[int]",
        "list[int]",
        f"Return the running totals of the numbers. Whenever a total would exceed {limit}, it is set to {reset} "
        "instead, and the sum goes on from there.",
        code(f"""
            totals, total = [], 0
            for x in numbers:
                total += x
                if total > {limit}:
                    total = {reset}
                totals.append(total)
            return totals
        """),
        code(f"""
            totals = [0]
            for x in numbers:
                raw = totals[-1] + x
                totals.append({reset} if raw > {limit} else raw)
            return totals[1:]
        """),
        singles([*lists_of_integers(rng, 6, -10, 30), [limit, 1], [limit + 1]]),
    )


def _unique_by_key(rng: Random) -> Draft:
    m = rng.randint(2, 9)
    key, words = rng.choice([(f"x % {m}", f"remainder modulo {m}"), (f"x // {m}", f"quotient by {m}, rounded down")])
    first = rng.random() < 0.5
    source, final = ("numbers", "kept") if first else ("reversed(numbers)", "kept[::-1]")
    reference = (
        f"""
            keys = [{key} for x in numbers]
            return [x for i, x in enumerate(numbers) if keys[i] not in keys[:i]]
        """
        if first
        else f"""
            keys = [{key} for x in numbers]
            return [x for i, x in enumerate(numbers) if keys[i] not in keys[i + 1:]]
        """
    )
    return Draft(
        pick(rng, "unique_by_key", "one_per_class", "drop_repeats"),
        "numbers: list[int]",
        "list[int]",
        f"Of the numbers with the same {words}, keep only the {'first' if first else 'last'} one. "
        "The numbers that are kept stay in their order.",
        code(f"""
            seen, kept = set(), []
            for x in {source}:
                if {key} not in seen:
                    seen.add({key})
                    kept.append(x)
            return {final}
        """),
        code(reference),
        singles(lists_of_integers(rng, 7, -20, 40)),
    )


def _kth_distinct(rng: Random) -> Draft:
    k = rng.randint(1, 5)
    ordinal = ("first", "second", "third", "fourth", "fifth")[k - 1]
    largest = rng.random() < 0.5
    word = ("largest" if largest else "smallest") if k == 1 else f"{ordinal} {'largest' if largest else 'smallest'}"
    fallback = rng.choice([-1, 0, 99])
    return Draft(
        f"{ordinal}_{'largest' if largest else 'smallest'}",
        "numbers: list[int]",
        "int",
        f"Return the {word} of the different values in the list, or {fallback} when there are fewer than {k}.",
        code(f"""
            values = sorted(set(numbers){", reverse=True" if largest else ""})
            if len(values) < {k}:
                return {fallback}
            return values[{k - 1}]
        """),
        code(f"""
            for x in numbers:
                if len({{y for y in numbers if y {">" if largest else "<"} x}}) == {k - 1}:
                    return x
            return {fallback}
        """),
        singles([*lists_of_integers(rng, 6), integers(rng, 12, 0, 6)]),
    )


def _composite_sort(rng: Random) -> Draft:
    m = rng.randint(2, 9)
    first, words = rng.choice(
        [(f"x % {m}", f"remainder modulo {m}"), (f"abs(x - {m})", f"distance from {m}"), ("abs(x)", "absolute value")]
    )
    down = rng.random() < 0.5
    return Draft(
        pick(rng, "arrange", "sort_by_rule", "ordered_numbers"),
        "numbers: list[int]",
        "list[int]",
        f"Sort the numbers by their {words}; numbers that agree in it come in "
        f"{'decreasing' if down else 'increasing'} order.",
        f"return sorted(numbers, key=lambda x: ({first}, {'-x' if down else 'x'}))",
        code(f"""
            result = sorted(numbers{", reverse=True" if down else ""})
            result.sort(key=lambda x: {first})
            return result
        """),
        singles(lists_of_integers(rng, 7)),
    )


def _longest_subsequence(rng: Random) -> Draft:
    low = rng.randint(1, 6)
    return Draft(
        pick(rng, "longest_climb", "longest_rising_subsequence", "best_ascent"),
        "numbers: list[int]",
        "int",
        "Return the length of the longest subsequence, not necessarily of neighbours, in which every number exceeds "
        f"the one before it by at least {low}.",
        code(f"""
            best = []
            for i, x in enumerate(numbers):
                lengths = [best[j] for j in range(i) if x - numbers[j] >= {low}]
                best.append(1 + max(lengths, default=0))
            return max(best, default=0)
        """),
        code(f"""
            def extend(i, last):
                if i == len(numbers):
                    return 0
                longest = extend(i + 1, last)
                if last is None or numbers[i] - last >= {low}:
                    longest = max(longest, 1 + extend(i + 1, numbers[i]))
                return longest
            return extend(0, None)
        """),
        singles(lists_of_integers(rng, 7)),
    )


TEMPLATES = (
    Template("filter-map-reduce", _filter_map_reduce),
    Template("longest-run", _longest_run),
    Template("window-extreme", _window_extreme),
    Template("chunk-reduce", _chunk_reduce),
    Template("count-pairs", _count_pairs),
    Template("merge-intervals", _merge_intervals),
    Template("running-total", _running_total),
    Template("unique-by-key", _unique_by_key),
    Template("kth-distinct", _kth_distinct),
    Template("composite-sort", _composite_sort),
    Template("longest-subsequence", _longest_subsequence),
)
