"""Templates over dictionaries and graphs."""

from random import Random

from mixtures.synthetic.draws import WORDS, integers, lists_of_integers, pick, predicate, sentences, singles
from mixtures.synthetic.problem import Draft, Template, code


def _stock(rng: Random, count: int, low: int = 0, high: int = 20) -> dict[str, int]:
    return {word: rng.randint(low, high) for word in rng.sample(WORDS, count)}


def _group_numbers(rng: Random) -> Draft:
    m = rng.randint(2, 9)
    key, words = rng.choice([(f"x % {m}", f"remainder modulo {m}"), (f"x // {m}", f"quotient by {m}, rounded down")])
    reduce, told = rng.choice(
        [
            ("sum", "sum"),
            ("max", "largest number"),
            ("min", "smallest number"),
            ("len", "size"),
            ("sorted", "sorted list"),
        ]
    )
    return Draft(
        pick(rng, "group_numbers", "by_class", "collect_groups"),
        "numbers: list[int]",
        "dict[int, list[int]]" if reduce == "sorted" else "dict[int, int]",
        f"Group the numbers by their {words} and return a dictionary from each of these to the {told} of its group, "
        "with its keys in increasing order.",
        code(f"""
            groups = {{}}
            for x in numbers:
                groups.setdefault({key}, []).append(x)
            return {{k: {reduce}(groups[k]) for k in sorted(groups)}}
        """),
        code(f"""
            keys = sorted({{{key} for x in numbers}})
            return {{k: {reduce}([x for x in numbers if {key} == k]) for k in keys}}
        """),
        singles(lists_of_integers(rng, 6, -20, 40)),
    )


def _word_histogram(rng: Random) -> Draft:
    key, words = rng.choice([("len(word)", "length"), ("word[0]", "first letter"), ("word[-1]", "last letter")])
    least = rng.randint(1, 3)
    first = rng.choice(["most frequent", "smallest"])
    order = "(-counts[k], k)" if first == "most frequent" else "k"
    only = f" that occur at least {least} times" if least > 1 else ""
    said = ", the most frequent first and equally frequent ones in order" if order != "k" else ", in order"
    return Draft(
        pick(rng, "word_histogram", "tally_words", "count_by"),
        "text: str",
        "list[tuple[int, int]]" if key == "len(word)" else "list[tuple[str, int]]",
        f"Count the words of a text by their {words} and return the pairs of {words} and count{only}{said}.",
        code(f"""
            counts = {{}}
            for word in text.split():
                counts[{key}] = counts.get({key}, 0) + 1
            kept = [k for k in counts if counts[k] >= {least}]
            return [(k, counts[k]) for k in sorted(kept, key=lambda k: {order})]
        """),
        code(f"""
            keys = [{key} for word in text.split()]
            pairs = [(k, keys.count(k)) for k in sorted(set(keys)) if keys.count(k) >= {least}]
            return {"sorted(pairs, key=lambda pair: -pair[1])" if order != "k" else "pairs"}
        """),
        singles([*sentences(rng, 6), "ant ant bee bat cow ant"]),
    )


def _invert(rng: Random) -> Draft:
    policy, told = rng.choice(
        [("min", "the first in alphabetical order"), ("max", "the last in alphabetical order"), ("list", "all, sorted")]
    )
    low = rng.randint(0, 4)
    made = f"{'sorted' if policy == 'list' else policy}(k for k in ages if ages[k] == v)"
    update = {
        "list": "inverse[v] = sorted(inverse.get(v, []) + [k])",
        "min": "inverse[v] = min(inverse.get(v, k), k)",
        "max": "inverse[v] = max(inverse.get(v, k), k)",
    }[policy]
    return Draft(
        pick(rng, "invert", "names_by_age", "swap_keys_and_values"),
        "ages: dict[str, int]",
        "dict[int, list[str]]" if policy == "list" else "dict[int, str]",
        f"Turn a dictionary from names to ages into one from ages to names. Of the names that share an age keep "
        f"{told}. Leave out ages below {low}, and list the ages in increasing order.",
        code(f"""
            inverse = {{}}
            for k, v in ages.items():
                if v >= {low}:
                    {update}
            return {{v: inverse[v] for v in sorted(inverse)}}
        """),
        f"return {{v: {made} for v in sorted(set(ages.values())) if v >= {low}}}",
        singles([{}, _stock(rng, 1), *(_stock(rng, n, 0, 7) for n in (3, 4, 5, 6))]),
    )


def _inventory(rng: Random) -> Draft:
    floor, ceiling = rng.randint(0, 3), rng.randint(10, 40)
    drop = rng.random() < 0.5
    end = f" At the end leave out the items that stand at {floor}." if drop else ""

    def orders(count: int) -> list[tuple[str, int]]:
        names = rng.sample(WORDS, 3)
        return [(rng.choice(names), rng.randint(-12, 15)) for _ in range(count)]

    return Draft(
        pick(rng, "apply_orders", "update_stock", "inventory_after"),
        "orders: list[tuple[str, int]]",
        "dict[str, int]",
        f"Apply changes to an inventory in which every item starts at {floor}. An amount never falls below {floor} and "
        f"never rises above {ceiling}; it stops there.{end} Items are listed in the order in which they first appear.",
        code(f"""
            stock = {{}}
            for name, change in orders:
                amount = stock.get(name, {floor}) + change
                stock[name] = min(max(amount, {floor}), {ceiling})
            return {f"{{k: v for k, v in stock.items() if v != {floor}}}" if drop else "stock"}
        """),
        code(f"""
            result = {{}}
            for item in dict.fromkeys(name for name, _ in orders):
                amount = {floor}
                for change in [c for name, c in orders if name == item]:
                    amount = sorted([{floor}, amount + change, {ceiling}])[1]
                if {f"amount != {floor}" if drop else "True"}:
                    result[item] = amount
            return result
        """),
        singles([[], orders(1), [("oak", ceiling + 5)], [("oak", -5)], *(orders(rng.randint(3, 6)) for _ in range(3))]),
    )


def _combine(rng: Random) -> Draft:
    operation, words = rng.choice(
        [
            ("a + b", "the sum"),
            ("a * b", "the product"),
            ("a - b", "the difference, first minus second,"),
            ("max(a, b)", "the larger"),
            ("min(a, b)", "the smaller"),
        ]
    )
    default = rng.randint(0, 3)
    keep = predicate(rng)
    return Draft(
        pick(rng, "combine", "merge_counts", "join_tables"),
        "left: dict[str, int], right: dict[str, int]",
        "dict[str, int]",
        f"Combine two dictionaries: every key of either gets {words} of its two values, a missing value counting as "
        f"{default}. Keep only the results that {keep.words}, with the keys in alphabetical order.",
        code(f"""
            result = {{}}
            for key in sorted(set(left) | set(right)):
                a, b = left.get(key, {default}), right.get(key, {default})
                x = {operation}
                if {keep.expression}:
                    result[key] = x
            return result
        """),
        code(f"""
            rows = [(key, left.get(key, {default}), right.get(key, {default})) for key in {{**left, **right}}]
            values = {{key: {operation} for key, a, b in rows}}
            return dict(sorted((key, x) for key, x in values.items() if {keep.expression}))
        """),
        (({}, {}), ({"oak": 2}, {}), *(_overlapping(rng) for _ in range(5))),
    )


def _overlapping(rng: Random) -> tuple[dict[str, int], dict[str, int]]:
    names = rng.sample(WORDS, 4)
    return {n: rng.randint(0, 12) for n in names[:3]}, {n: rng.randint(0, 12) for n in names[1:]}


def _reachable(rng: Random) -> Draft:
    steps = rng.randint(1, 4)
    directed = rng.random() < 0.5
    told = "from a to b" if directed else "in both directions"

    def edges(count: int) -> list[tuple[int, int]]:
        return [(rng.randint(0, 7), rng.randint(0, 7)) for _ in range(count)]

    both = "" if directed else "\n                graph.setdefault(b, []).append(a)"
    return Draft(
        pick(rng, "reachable", "nodes_within", "neighbourhood"),
        "edges: list[tuple[int, int]], start: int",
        "list[int]",
        f"The edges of a graph are pairs (a, b) that can be walked {told}. Return, in increasing order, the nodes that "
        f"can be reached from start in at most {steps} {'step' if steps == 1 else 'steps'}, start among them.",
        code(f"""
            graph = {{}}
            for a, b in edges:
                graph.setdefault(a, []).append(b){both}
            seen, frontier = {{start}}, [start]
            for _ in range({steps}):
                frontier = [n for node in frontier for n in graph.get(node, []) if n not in seen]
                seen.update(frontier)
            return sorted(seen)
        """),
        code(f"""
            walks = edges{"" if directed else " + [(b, a) for a, b in edges]"}
            seen = {{start}}
            for _ in range({steps}):
                seen = seen | {{b for a, b in walks if a in seen}}
            return sorted(seen)
        """),
        (([], 0), ([(0, 1)], 0), ([(0, 1)], 1), *((edges(rng.randint(4, 9)), rng.randint(0, 7)) for _ in range(4))),
    )


def _look_up_path(rng: Random) -> Draft:
    mark = rng.choice("./:>")
    fallback = rng.choice([-1, 0, 404])
    scale = rng.randint(2, 9)

    def tree() -> dict[str, object]:
        a, b, c, d = rng.sample(WORDS, 4)
        return {a: {b: rng.randint(0, 30), c: {d: rng.randint(0, 30)}}, d: rng.randint(0, 30)}

    def paths(of: dict[str, object]) -> list[str]:
        branch, leaf = of
        inner = of[branch]
        assert isinstance(inner, dict)
        low, deep = inner
        return [leaf, f"{branch}{mark}{low}", f"{branch}{mark}{deep}{mark}{leaf}", f"{leaf}{mark}{low}", branch]

    trees = [tree(), tree()]
    return Draft(
        pick(rng, "look_up", "value_at", "find_setting"),
        "tree: dict, path: str",
        "int",
        f"Follow a path of keys, separated by '{mark}', through nested dictionaries. Return {scale} times the number "
        f"at its end, or {fallback} when there is none.",
        code(f"""
            node = tree
            for key in path.split('{mark}'):
                if not isinstance(node, dict) or key not in node:
                    return {fallback}
                node = node[key]
            return {fallback} if isinstance(node, dict) else {scale} * node
        """),
        code(f"""
            def flatten(node, prefix):
                if not isinstance(node, dict):
                    return {{prefix: node}}
                found = {{}}
                for key, child in node.items():
                    found.update(flatten(child, f'{{prefix}}{mark}{{key}}'))
                return found
            leaves = flatten(tree, '')
            full = '{mark}' + path
            return {scale} * leaves[full] if full in leaves else {fallback}
        """),
        (({}, "oak"), *((t, path) for t in trees for path in paths(t)[: rng.randint(3, 5)])),
    )


def _majority(rng: Random) -> Draft:
    share = rng.randint(2, 5)
    part = ("half", "a third", "a quarter", "a fifth")[share - 2]
    fallback = rng.choice([-1, 0, -100])

    def votes() -> list[int]:
        favourite = rng.randint(0, 9)
        drawn = [*([favourite] * rng.randint(2, 5)), *integers(rng, rng.randint(1, 5), 0, 9)]
        rng.shuffle(drawn)
        return drawn

    return Draft(
        pick(rng, "leader", "frequent_value", "dominant"),
        "votes: list[int]",
        "int",
        f"Return the value that makes up more than {part} of the list; the "
        f"smallest one if there are several, and {fallback} if there is none.",
        code(f"""
            counts = {{}}
            for vote in votes:
                counts[vote] = counts.get(vote, 0) + 1
            winners = [vote for vote in counts if {share} * counts[vote] > len(votes)]
            return min(winners, default={fallback})
        """),
        code(f"""
            for vote in sorted(votes):
                if votes.count(vote) * {share} > len(votes):
                    return vote
            return {fallback}
        """),
        singles([[], [rng.randint(1, 9)], [1, 2], [3, 3, 1, 1], *(votes() for _ in range(4))]),
    )


TEMPLATES = (
    Template("group-numbers", _group_numbers),
    Template("word-histogram", _word_histogram),
    Template("invert-mapping", _invert),
    Template("inventory", _inventory),
    Template("combine-mappings", _combine),
    Template("reachable", _reachable),
    Template("look-up-path", _look_up_path),
    Template("majority", _majority),
)
