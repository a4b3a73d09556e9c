# ruff: noqa: E501 (a table: a row reads best whole)
"""Streams from graphs. Nodes are the numbers 0, 1, ...; edges come as a list of tuples."""

from random import Random

from mixtures.synthetic.grammar.streams import Arguments, Stream

PLAIN = (("size", "int"), ("edges", "list[tuple[int, int]]"))
WEIGHTED = (("size", "int"), ("edges", "list[tuple[int, int, int]]"))


def _edges(rng: Random, size: int) -> Arguments:
    nodes = max(1, min(size, 7))
    return nodes, [
        (rng.randrange(nodes), rng.randrange(nodes)) for _ in range(rng.randint(0, nodes + 3) if size else 0)
    ]


def _weighted(rng: Random, size: int) -> Arguments:
    nodes, edges = _edges(rng, size)
    return nodes, [(*edge, rng.randint(1, 12)) for edge in edges]


def _acyclic(rng: Random, size: int) -> Arguments:
    nodes, edges = _edges(rng, size)
    rank = rng.sample(range(nodes), nodes)
    return nodes, [(a, b) if rank[a] < rank[b] else (b, a) for a, b in edges if a != b]


def _graph(name: str, directed: bool, noun: str, tag: str, code: str, other: str) -> Stream:
    kind = "a directed edge from a to b" if directed else "an undirected edge between a and b"
    given = f"A graph has the nodes 0 to `$size` - 1, and every pair (a, b) in `$edges` is {kind}."
    return Stream(f"graphs-{name}", "int", PLAIN, given, noun, tag, code, other, _edges)


def _build(directed: bool) -> tuple[str, str]:
    """An adjacency list, and the same relation as a set of pairs."""
    back = "" if directed else "\n    adjacent[b].append(a)"
    both = "" if directed else " | {(b, a) for a, b in $edges}"
    return f"adjacent = [[] for _ in range($size)]\nfor a, b in $edges:\n    adjacent[a].append(b){back}", (
        f"linked = set($edges){both}"
    )


def steps_from(rng: Random) -> Stream:
    directed, reverse = rng.random() < 0.5, rng.random() < 0.3
    build, pairs = _build(directed)
    if reverse and directed:
        build = build.replace("adjacent[a].append(b)", "adjacent[b].append(a)")
        pairs = "linked = {(b, a) for a, b in $edges}"
    words = "from it to node 0" if reverse and directed else "from node 0 to it"
    return _graph("steps", directed, f"for each node, the number of edges on a shortest way {words} (-1 if there is none)",
                  "distances", f"""
from collections import deque

{build}
items = [-1] * $size
items[0] = 0
queue = deque([0])
while queue:
    node = queue.popleft()
    for neighbour in adjacent[node]:
        if items[neighbour] < 0:
            items[neighbour] = items[node] + 1
            queue.append(neighbour)""", f"""
{pairs}
layers = [{{0}}]
while layers[-1]:
    layers.append({{b for a, b in linked if a in layers[-1]}} - set().union(*layers))
items = [next((d for d, layer in enumerate(layers) if node in layer), -1) for node in range($size)]""")  # fmt: skip


def components(rng: Random) -> Stream:
    words, measure, other = rng.choice(
        (("numbers of nodes", "len(part)", "len(part)"), ("sums of the nodes", "sum(part)", "functools.reduce(int.__add__, part)"),
         ("largest nodes", "max(part)", "sorted(part)[-1]"),
         ("numbers of edges", "sum(a in part for a, b in $edges)", "len([1 for _, b in $edges if b in part])"))
    )  # fmt: skip
    build, _ = _build(False)
    return _graph("components", False, f"the {words} of the connected components, components by their smallest node", "components", f"""
{build}
items, seen = [], set()
for start in range($size):
    if start in seen:
        continue
    seen.add(start)
    part, stack = [start], [start]
    while stack:
        for neighbour in adjacent[stack.pop()]:
            if neighbour not in seen:
                seen.add(neighbour)
                part.append(neighbour)
                stack.append(neighbour)
    items.append({measure})""", f"""
leader = list(range($size))
for a, b in $edges:
    old, new = max(leader[a], leader[b]), min(leader[a], leader[b])
    leader = [new if l == old else l for l in leader]
parts = [[m for m in range($size) if leader[m] == l] for l in sorted(set(leader))]
items = [{other} for part in parts]""")  # fmt: skip


def reachable(rng: Random) -> Stream:
    words, keep = rng.choice((("that can be reached from it along edges, itself included", "seen"),
                              ("other than itself that can be reached from it along edges", "seen - {start}")))  # fmt: skip
    what, measure = rng.choice((("the number of nodes", "len({})"), ("the sum of the nodes", "sum({})")))
    other = "[m for m in range($size) if reach[start][m]" + ("]" if keep == "seen" else " and m != start]")
    return _graph("reachable", True, f"for each node, {what} {words}", "reachable_nodes", f"""
{_build(True)[0]}
items = []
for start in range($size):
    seen, stack = {{start}}, [start]
    while stack:
        for neighbour in adjacent[stack.pop()]:
            if neighbour not in seen:
                seen.add(neighbour)
                stack.append(neighbour)
    items.append({measure.format(keep)})""", f"""
reach = [[a == b or (a, b) in $edges for b in range($size)] for a in range($size)]
for k, a, b in itertools.product(range($size), repeat=3):
    reach[a][b] = reach[a][b] or (reach[a][k] and reach[k][b])
items = [{measure.format(other)} for start in range($size)]""")  # fmt: skip


def costs(rng: Random) -> Stream:
    directed = rng.random() < 0.5
    widest = rng.random() < 0.3
    cost, words = ("max(cost, weight)", "largest weight on a way to it from node 0, made as small as can be") if widest else (
        "cost + weight", "total weight of a cheapest way to it from node 0")  # fmt: skip
    back = "" if directed else "\n    adjacent[b].append((a, weight))"
    both = "$edges" if directed else "[*$edges, *((b, a, weight) for a, b, weight in $edges)]"
    return Stream(
        "graphs-costs", "int", WEIGHTED,
        "A graph has the nodes 0 to `$size` - 1, and every triple (a, b, weight) in `$edges` is "
        + ("a directed edge from a to b." if directed else "an undirected edge between a and b."),
        f"for each node, the {words} (-1 if there is none; 0 for node 0)", "costs", f"""
from heapq import heappop, heappush

adjacent = [[] for _ in range($size)]
for a, b, weight in $edges:
    adjacent[a].append((b, weight)){back}
items, heap = [-1] * $size, [(0, 0)]
while heap:
    cost, node = heappop(heap)
    if items[node] >= 0:
        continue
    items[node] = cost
    for neighbour, weight in adjacent[node]:
        if items[neighbour] < 0:
            heappush(heap, ({cost}, neighbour))""", f"""
best = [0] + [9999] * ($size - 1)
for _ in range($size):
    for a, b, weight in {both}:
        cost = best[a]
        best[b] = min(best[b], {cost})
items = [-1 if cost >= 9999 else cost for cost in best]""", _weighted)  # fmt: skip


def spanning(rng: Random) -> Stream:
    return Stream(
        "graphs-spanning", "int", WEIGHTED,
        "A graph has the nodes 0 to `$size` - 1, and every triple (a, b, weight) in `$edges` is an undirected edge.",
        "the weights of a cheapest choice of edges that keeps connected all that is connected, in ascending order", "tree_weights", """
parent = list(range($size))
items = []
for weight, a, b in sorted((weight, a, b) for a, b, weight in $edges):
    while parent[a] != a:
        a = parent[a]
    while parent[b] != b:
        b = parent[b]
    if a != b:
        parent[a] = b
        items.append(weight)""", """
items, left = [], set(range($size))
while left:
    tree = {left.pop()}
    while True:
        crossing = [(w, a, b) for a, b, w in $edges if (a in tree) != (b in tree)]
        if not crossing:
            break
        weight, a, b = min(crossing)
        tree |= {a, b}
        items.append(weight)
    left -= tree
items.sort()""", _weighted)  # fmt: skip


def levels(rng: Random) -> Stream:
    order = rng.random() < 0.5
    stream = (
        "the nodes in the order in which they are taken when always the smallest node is taken next that no edge reaches from a "
        "node not yet taken" if order else "for each node, the number of edges on a longest way that ends in it"
    )  # fmt: skip
    build = _build(True)[0] + "\nwaiting = [0] * $size\nfor a, b in $edges:\n    waiting[b] += 1"
    code = """
from heapq import heapify, heappop, heappush

{build}
items, ready = [], [node for node in range($size) if waiting[node] == 0]
heapify(ready)
while ready:
    node = heappop(ready)
    items.append(node)
    for neighbour in adjacent[node]:
        waiting[neighbour] -= 1
        if waiting[neighbour] == 0:
            heappush(ready, neighbour)""" if order else """
{build}
items = [0] * $size
ready = [node for node in range($size) if waiting[node] == 0]
while ready:
    node = ready.pop()
    for neighbour in adjacent[node]:
        items[neighbour] = max(items[neighbour], items[node] + 1)
        waiting[neighbour] -= 1
        if waiting[neighbour] == 0:
            ready.append(neighbour)"""  # fmt: skip
    other = """
items = []
while len(items) < $size:
    free = [m for m in range($size) if m not in items and all(a in items for a, b in $edges if b == m)]
    items.append(min(free))""" if order else """
@functools.cache
def level(m):
    return max((level(a) + 1 for a, b in $edges if b == m), default=0)
items = [level(m) for m in range($size)]"""  # fmt: skip
    return Stream("graphs-order" if order else "graphs-levels", "int", PLAIN,
                  "A graph without cycles has the nodes 0 to `$size` - 1, and every pair (a, b) in `$edges` is a directed edge from a "
                  "to b.", stream, "order" if order else "levels", code.replace("{build}", build), other, _acyclic)  # fmt: skip


STREAMS = (steps_from, steps_from, components, components, reachable, costs, spanning, levels, levels)
