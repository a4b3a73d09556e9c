"""The languages of the paper's web code and markup (arXiv:2408.10914, Tables 3 and 4) and where their files are.

Six of its names have no folder in the StarCoder data: Swift, Vue, JSX, SCSS, TOML and Sass, the only ones that the
paper writes with a capital. The Stack itself has them, near-deduplicated but without StarCoder's other filters.
"""

from collections.abc import Iterable, Mapping

CODE: Mapping[str, float] = {
    **{"java": 15.54, "javascript": 15.29, "php": 12.46, "python": 9.60, "c-sharp": 8.30, "typescript": 7.92},
    **{"c": 6.63, "cpp": 4.91, "go": 3.49, "ruby": 2.69, "shell": 1.82, "kotlin": 1.76, "Swift": 1.52, "Vue": 1.48},
    **{"rust": 1.00, "scala": 0.94, "JSX": 0.83, "sql": 0.74, "dart": 0.72, "makefile": 0.53, "lua": 0.47},
    **{"haskell": 0.45, "smalltalk": 0.43, "tex": 0.37, "clojure": 0.10},
}
"""Table 3: per cent of the documents, by the paper's names."""
MARKUP: Mapping[str, float] = {
    **{"markdown": 54.23, "yaml": 10.77, "json": 9.97, "html": 8.57, "css": 6.86, "SCSS": 5.84},
    **{"restructuredtext": 2.26, "TOML": 1.25, "rmarkdown": 0.02, "Sass": 0.22},
}
"""Table 4."""


def folders(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of the StarCoder data, and those of The Stack, which stand in for what it lacks."""
    names = tuple(names)
    return tuple(filter(str.islower, names)), tuple(name.lower() for name in names if not name.islower())
