"""A report as one HTML file that loads nothing: light and dark, phone and print, readable aloud.

Every text that comes from models, data or studies is escaped by the template; drawings alone are taken as they are.
"""

import re
from pathlib import Path

from markupsafe import Markup

from analysis.report.blocks import Report
from analysis.report.figures.drawing import PALETTE

DARK = ("#4fa8e0", "#f08040", "#2fc99a", "#d884d8", "#f0b940", "#8fd0f5", "#d0608a", "#c4c45a")
"""The palette of arms where the page is dark."""
LONG = 24
"""Letters of a cell from which it may be broken."""


def page(report: Report) -> str:
    """The text of report.html."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(kind=lambda block: type(block).__name__, slug=slug, drawing=Markup)
    environment.tests["plain"] = lambda cell: isinstance(cell, str)
    template = environment.get_template("page.html.j2")
    return template.render(report=report, light=PALETTE, dark=DARK, long=LONG)


def slug(title: str) -> str:
    """What an address in the page calls a section."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
