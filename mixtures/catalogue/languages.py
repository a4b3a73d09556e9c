"""The languages of the paper's web code and markup (arXiv:2408.10914, Tables 3 and 4) and where their files are.

Six of its names have no folder in the StarCoder data: Swift, Vue, JSX, SCSS, TOML and Sass, the only ones that the
paper writes with a capital. The Stack itself has them, near-deduplicated but without StarCoder's other filters.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """One row of a table.

    Attributes:
        name: as the paper writes it.
        share: per cent of the documents.
        starcoder: its folder in the StarCoder data, "" where there is none.
        stack: its folder in The Stack, for those without.
    """

    name: str
    share: float
    starcoder: str = ""
    stack: str = ""


def _same(name: str, share: float) -> Language:
    return Language(name, share, starcoder=name)


CODE = (
    *(_same("java", 15.54), _same("javascript", 15.29), _same("php", 12.46), _same("python", 9.60)),
    *(_same("c-sharp", 8.30), _same("typescript", 7.92), _same("c", 6.63), _same("cpp", 4.91), _same("go", 3.49)),
    *(_same("ruby", 2.69), _same("shell", 1.82), _same("kotlin", 1.76), Language("Swift", 1.52, stack="swift")),
    *(
        Language("Vue", 1.48, stack="vue"),
        _same("rust", 1.00),
        _same("scala", 0.94),
        Language("JSX", 0.83, stack="jsx"),
    ),
    *(_same("sql", 0.74), _same("dart", 0.72), _same("makefile", 0.53), _same("lua", 0.47), _same("haskell", 0.45)),
    *(_same("smalltalk", 0.43), _same("tex", 0.37), _same("clojure", 0.10)),
)
"""Table 3."""
MARKUP = (
    *(_same("markdown", 54.23), _same("yaml", 10.77), _same("json", 9.97), _same("html", 8.57), _same("css", 6.86)),
    *(Language("SCSS", 5.84, stack="scss"), _same("restructuredtext", 2.26), Language("TOML", 1.25, stack="toml")),
    *(_same("rmarkdown", 0.02), Language("Sass", 0.22, stack="sass")),
)
"""Table 4."""
