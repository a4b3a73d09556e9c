# ruff: noqa: E501 (a table: a row reads best whole)
"""Streams from rectangular grids of whole numbers."""

from collections.abc import Callable
from random import Random

from mixtures.synthetic.grammar.streams import Arguments, Stream

GRID = (("grid", "list[list[int]]"),)
FOUR = ((-1, 0), (0, -1), (0, 1), (1, 0))
EIGHT = tuple((r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if r or c)
NEIGHBOURHOODS = (
    ("its up to four neighbours above, below, left and right", FOUR),
    ("its up to eight neighbours, diagonal ones included", EIGHT),
    ("its up to four diagonal neighbours", ((-1, -1), (-1, 1), (1, -1), (1, 1))),
    ("its neighbours to the right and below", ((0, 1), (1, 0))),
    ("its neighbours to the left and right", ((0, -1), (0, 1))),
)
ROWS_FIRST = "row by row"


def _cells(low: int, high: int) -> Callable[[Random, int], Arguments]:
    def inputs(rng: Random, size: int) -> Arguments:
        rows, columns = (size, rng.randint(1, 5)) if size < 2 else (rng.randint(1, 5), rng.randint(1, 5))
        return ([rng.choices(range(low, high + 1), k=columns) for _ in range(rows)],)

    return inputs


def _grid(
    name: str, noun: str, tag: str, code: str, other: str, low: int = -9, high: int = 20, small: bool = True, given: str = ""
) -> Stream:  # fmt: skip
    given = f"`$grid` is a list of rows of equal length. {given}".strip()
    return Stream(f"grids-{name}", "int", GRID, given, noun, tag, code, other, _cells(low, high), small=small)


def lines(rng: Random) -> Stream:
    rows = rng.random() < 0.5
    words, code, other = rng.choice(
        (("sum", "sum({})", "functools.reduce(lambda a, b: a + b, {})"), ("largest number", "max({})", "sorted({})[-1]"),
         ("smallest number", "min({})", "sorted({})[0]"), ("spread (largest minus smallest number)", "max({0}) - min({0})",
         "max(a - b for a in {0} for b in {0})"), ("number of different values", "len(set({}))", "len(list(itertools.groupby(sorted({}))))"))
    )  # fmt: skip
    if rows:
        return _grid("rows", f"the {words} of each row of `$grid`, from top to bottom", "rows",
                     f"items = [{code.format('row')} for row in $grid]",
                     f"items = [{other.format('[row[j] for j in range(len(row))]')} for row in $grid]")  # fmt: skip
    return _grid("columns", f"the {words} of each column of `$grid`, from left to right", "columns",
                 f"items = [{code.format('column')} for column in zip(*$grid)]",
                 f"items = [{other.format('[row[j] for row in $grid]')} for j in range(len($grid[0]) if $grid else 0)]")  # fmt: skip


def around(rng: Random) -> Stream:
    where, offsets = rng.choice(NEIGHBOURHOODS)
    words, code, other = rng.choice(
        (("the sum of {}", "sum(near)", "sum(near)"), ("the largest number among {} (0 if there are none)", "max(near, default=0)",
         "sorted(near)[-1] if near else 0"), ("how many of {} hold a greater number", "sum(y > $grid[i][j] for y in near)",
         "len([y for y in near if y > cells[i, j]])"), ("how many of {} hold an equal number", "near.count($grid[i][j])",
         "sum(y == cells[i, j] for y in near)"), ("its number minus the sum of {}", "$grid[i][j] - sum(near)",
         "cells[i, j] - sum(near)"))
    )  # fmt: skip
    return _grid("around", f"for each cell of `$grid`, {words.format(where)}; cells {ROWS_FIRST}", "neighbourhoods", f"""
items = []
for i in range(len($grid)):
    for j in range(len($grid[i])):
        near = []
        for down, right in {offsets}:
            if 0 <= i + down < len($grid) and 0 <= j + right < len($grid[i]):
                near.append($grid[i + down][j + right])
        items.append({code})""", f"""
cells = {{(i, j): cell for i, row in enumerate($grid) for j, cell in enumerate(row)}}
items = []
for i, j in cells:
    near = [cells[p, q] for p, q in cells if (p - i, q - j) in {offsets}]
    items.append({other})""", low=rng.choice((-9, 0)), high=rng.choice((2, 9)))  # fmt: skip


def regions(rng: Random) -> Stream:
    offsets, told = rng.choice(((FOUR, "sides"), (EIGHT, "sides or corners")))
    bound = rng.randint(1, 2)
    words, test = rng.choice(
        ((f"at least {bound}", f">= {bound}"), (f"not equal to {bound}", f"!= {bound}"), ("equal to 0", "== 0"))
    )
    what, start, add, measure = rng.choice(
        (("sizes", "0", "1", "len(part)"), ("sums", "0", "$grid[i][j]", "sum(cells[x] for x in part)"))
    )
    return _grid("regions", f"the {what} of the regions of cells that hold a number {words}, in the order in which a "
                 f"walk {ROWS_FIRST} first meets them; cells that touch by their {told} belong together", "regions", f"""
items, seen = [], set()
for top, row in enumerate($grid):
    for left, cell in enumerate(row):
        if not cell {test} or (top, left) in seen:
            continue
        seen.add((top, left))
        measure, stack = {start}, [(top, left)]
        while stack:
            i, j = stack.pop()
            measure += {add}
            for down, right in {offsets}:
                p, q = i + down, j + right
                if 0 <= p < len($grid) and 0 <= q < len(row) and (p, q) not in seen and $grid[p][q] {test}:
                    seen.add((p, q))
                    stack.append((p, q))
        items.append(measure)""", f"""
cells = {{(i, j): cell for i, row in enumerate($grid) for j, cell in enumerate(row) if cell {test}}}
label = {{cell: cell for cell in cells}}
while True:
    lower = {{(i, j): min(label.get((i + p, j + q), label[i, j]) for p, q in (*{offsets}, (0, 0))) for i, j in cells}}
    if lower == label:
        break
    label = lower
parts = [[x for x in cells if label[x] == name] for name in sorted(set(label.values()))]
items = [{measure} for part in parts]""", low=0, high=rng.choice((1, 2, 3)))  # fmt: skip


def life(rng: Random) -> Stream:
    where, offsets = rng.choice(NEIGHBOURHOODS[:3])
    most = len(offsets)
    born = sorted(rng.sample(range(1, most + 1), rng.randint(1, 2)))
    stay = sorted(rng.sample(range(most + 1), rng.randint(1, 3)))
    turns = rng.randint(1, 3)
    return _grid(
        "life", f"the numbers of cells that are 1 in each row of `$grid` after {turns} turn{'s' * (turns > 1)}", "living_cells", f"""
cells = $grid
for _ in range({turns}):
    following = []
    for i, row in enumerate(cells):
        following.append([])
        for j, cell in enumerate(row):
            near = 0
            for down, right in {offsets}:
                if 0 <= i + down < len(cells) and 0 <= j + right < len(row):
                    near += cells[i + down][j + right]
            following[i].append(1 if near in ({stay} if cell == 1 else {born}) else 0)
    cells = following
items = [sum(row) for row in cells]""", f"""
alive = {{(i, j) for i, row in enumerate($grid) for j, cell in enumerate(row) if cell}}
inside = {{(i, j) for i, row in enumerate($grid) for j in range(len(row))}}
for _ in range({turns}):
    touched = collections.Counter((i + p, j + q) for i, j in alive for p, q in {offsets})
    alive = {{x for x in inside if touched[x] in ({stay} if x in alive else {born})}}
items = [len([1 for x in alive if x[0] == i]) for i in range(len($grid))]""", low=0, high=1,
        given=f"Cells hold 0 or 1. In a turn all cells change at once: a 0 becomes 1 if the number of ones among {where} is "
        f"{' or '.join(map(str, born))}; a 1 stays 1 if that number is {' or '.join(map(str, stay))}; all others become 0.")  # fmt: skip


def spiral(rng: Random) -> Stream:
    inward = rng.random() < 0.6
    return _grid(
        "spiral", "the numbers of `$grid` along a clockwise spiral " + ("from the top left corner inwards" if inward else
        "that ends in the top left corner, read from the inside outwards"), "spiral", f"""
items = []
top, bottom, left, right = 0, len($grid), 0, len($grid[0]) if $grid else 0
while top < bottom and left < right:
    items.extend($grid[top][left:right])
    for i in range(top + 1, bottom):
        items.append($grid[i][right - 1])
    if top + 1 < bottom:
        for j in range(right - 2, left - 1, -1):
            items.append($grid[bottom - 1][j])
        if left + 1 < right:
            for i in range(bottom - 2, top, -1):
                items.append($grid[i][left])
    top, bottom, left, right = top + 1, bottom - 1, left + 1, right - 1
{'' if inward else 'items = items[::-1]'}""".rstrip(), f"""
rest, items = [list(row) for row in $grid], []
while rest:
    items += rest[0]
    rest = [list(column) for column in zip(*rest[1:])][::-1]
items = items[::{1 if inward else -1}]""")  # fmt: skip


def distances(rng: Random) -> Stream:
    return _grid(
        "distances", f"for each cell of `$grid`, {ROWS_FIRST}, the fewest moves up, down, left or right from it to a cell with a 1 "
        "without entering a cell with a 2 (-1 if that cannot be done, also for the cells with a 2)", "distances", f"""
from collections import deque

distance = {{(i, j): 0 for i, row in enumerate($grid) for j, cell in enumerate(row) if cell == 1}}
queue = deque(distance)
while queue:
    i, j = queue.popleft()
    for down, right in {FOUR}:
        p, q = i + down, j + right
        if 0 <= p < len($grid) and 0 <= q < len($grid[p]) and $grid[p][q] != 2 and (p, q) not in distance:
            distance[p, q] = distance[i, j] + 1
            queue.append((p, q))
items = [distance.get((i, j), -1) for i, row in enumerate($grid) for j in range(len(row))]""", f"""
cells = {{(i, j): cell for i, row in enumerate($grid) for j, cell in enumerate(row) if cell != 2}}
far = {{x: 0 if cell == 1 else 999 for x, cell in cells.items()}}
for _ in cells:
    far = {{(i, j): min([far[i, j]] + [far.get((i + p, j + q), 999) + 1 for p, q in {FOUR}]) for i, j in far}}
found = [far.get((i, j), 999) for i, row in enumerate($grid) for j in range(len(row))]
items = [-1 if d >= 999 else d for d in found]""", low=0, high=3)  # fmt: skip


STREAMS = (lines, lines, around, around, regions, life, spiral, distances)
