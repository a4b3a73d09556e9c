"""The stages of a plan as a picture: `ablate plan --svg`, and in the report. Equal plans give equal bytes.

A column is a stage's place in its run, a box is a stage (all seeds of it), a line leads from a stage to those that go
on from it. The bar in a box shows what is read: text, code, markup, synthetic, adjacent and the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from experiments.plan.stage import Plan, PlannedStage
from experiments.show.plans import amount

COLOURS: Mapping[str, str] = {
    "text": "#0072B2",
    "code": "#D55E00",
    "markup": "#E69F00",
    "synthetic": "#CC79A7",
    "adjacent": "#009E73",
    "math": "#56B4E9",
    "instruct": "#999999",
}
"""By kind of source; Okabe and Ito's palette, which the colour-blind can tell apart."""
WIDTH, HEIGHT, GAP_X, GAP_Y, BAR, MARGIN = 230, 46, 60, 14, 6, 16
LETTERS = 34
"""Of a name that fits into a box."""


@dataclass(frozen=True)
class _Box:
    stage: PlannedStage
    seeds: int
    column: int
    row: int

    @property
    def corner(self) -> tuple[int, int]:
        return MARGIN + self.column * (WIDTH + GAP_X), MARGIN + 24 + self.row * (HEIGHT + GAP_Y)


def draw(plan: Plan) -> str:
    """The picture, as the text of an SVG."""
    boxes = _placed(plan)
    by_id = {box.stage.id: box for box in boxes}
    width = max(box.corner[0] for box in boxes) + WIDTH + MARGIN
    height = max(box.corner[1] for box in boxes) + HEIGHT + MARGIN
    lines = [_line(by_id[box.stage.parent], box) for box in boxes if box.stage.parent]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    body = [*_legend(plan), *lines, *(text for box in boxes for text in _drawn(plan, box))]
    return "\n".join([f'{head} font-family="sans-serif" font-size="11">', *body, "</svg>"]) + "\n"


def _placed(plan: Plan) -> list[_Box]:
    """The stages of the first seed, each in the row of its first child that is not above another."""
    first = {id for (_, seed), chain in plan.runs.items() if seed == plan.study.seeds[0] for id in chain}
    stages = [stage for stage in plan.stages if stage.id in first]
    children: dict[str | None, list[PlannedStage]] = {}
    for stage in stages:
        children.setdefault(stage.parent, []).append(stage)
    boxes: list[_Box] = []

    def place(stage: PlannedStage, column: int, row: int) -> int:
        """The first row below the stage and all that follows it."""
        boxes.append(_Box(stage, len(plan.study.seeds), column, row))
        below = row
        for child in children.get(stage.id, []):
            below = place(child, column + 1, below)
        return max(below, row + 1)

    row = 0
    for stage in children.get(None, []):
        row = place(stage, 0, row)
    return boxes


def _legend(plan: Plan) -> list[str]:
    kinds = [kind for kind in COLOURS if any(kind in plan.tokens_by_kind(stage) for stage in plan.stages)]
    found = []
    for number, kind in enumerate(kinds):
        x = MARGIN + 90 * number
        found.append(f'<rect x="{x}" y="{MARGIN - 8}" width="10" height="10" fill="{COLOURS[kind]}"/>')
        found.append(f'<text x="{x + 14}" y="{MARGIN + 1}">{escape(kind)}</text>')
    return found


def _line(parent: _Box, child: _Box) -> str:
    (x, y), (to_x, to_y) = parent.corner, child.corner
    start, middle, end = x + WIDTH, to_x - GAP_X // 2, to_x
    top, bottom = y + HEIGHT // 2, to_y + HEIGHT // 2
    path = f"M{start} {top} C{middle} {top} {middle} {bottom} {end} {bottom}"
    return f'<path d="{path}" fill="none" stroke="#767676"/>'


def _drawn(plan: Plan, box: _Box) -> list[str]:
    (x, y), stage = box.corner, box.stage
    model = "" if stage.model.name == plan.study.model.name else f"{stage.model.name}, "
    name = stage.stage.mixture.name if stage.start is None else f"{stage.start.stem} → {stage.stage.mixture.name}"
    seeds = f" × {box.seeds} seeds" if box.seeds > 1 else ""
    about = f"{model}{stage.stage.kind}, {amount(stage.tokens)} tokens{seeds}"
    return [
        f"<g><title>{escape(_title(stage))}</title>",
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#fff" stroke="#333"/>',
        f'<text x="{x + 8}" y="{y + 15}" font-weight="bold">{escape(_short(name))}</text>',
        f'<text x="{x + 8}" y="{y + 30}" fill="#555">{escape(about)}</text>',
        *_bar(plan.tokens_by_kind(stage), x, y + HEIGHT - BAR),
        "</g>",
    ]


def _title(stage: PlannedStage) -> str:
    start = "" if stage.start is None else f", from {stage.start.name}"
    return f"{stage.id}: {stage.tokens:,} tokens in {stage.steps:,} steps{start}, read by {', '.join(stage.arms)}"


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def _bar(tokens: Mapping[str, int], x: int, y: int) -> Sequence[str]:
    total, done, found = sum(tokens.values()), 0.0, []
    for kind, colour in COLOURS.items():
        part = WIDTH * tokens.get(kind, 0) / total
        if part:
            found.append(f'<rect x="{x + done:.1f}" y="{y}" width="{part:.1f}" height="{BAR}" fill="{colour}"/>')
            done += part
    return found
