"""Files of the Python standard library and of installed distributions."""

import functools
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from mixtures.documents.document import Document
from mixtures.readers.fetch import text
from store.errors import Failure

READER_VERSION = 1

STANDARD_LIBRARY = "cpython"
"""Stands for the interpreter's own library where distributions are named."""
SKIPPED_FOLDERS = frozenset(
    {
        # Tests: fixtures and repeated assertions, and they differ between builds of one release.
        *("test", "tests", "idle_test", "testing_data"),
        # Other projects' code, under other licences and often installed a second time.
        *("_vendor", "vendored", "_vendored_packages", "third_party", "extern", "site-packages", "__pycache__"),
    }
)
GENERATED = ("_pb2.py", "_pb2_grpc.py")
"""Ends of names of protocol-buffer code."""
SKIPPED_STANDARD = frozenset(
    {
        "encodings",  # generated character tables
        "pydoc_data",  # generated from the documentation
        "lib2to3",  # left the library in 3.13
        "idlelib",
        "test",
        "this",  # rot13
    }
)


@functools.cache
def distribution(name: str) -> Distribution:
    """The installed distribution `name`.

    Raises:
        Failure: it is not installed.
    """
    try:
        return Distribution.from_name(name)
    except PackageNotFoundError as error:
        raise Failure(f"package '{name}' is not installed; run `make setup`") from error


def files(names: Sequence[str], downloads: Path, suffixes: frozenset[str]) -> Iterator[Document]:
    """Files of the distributions `names` that end in one of `suffixes`; id = installed path, group = distribution.

    Of `STANDARD_LIBRARY`, those of `standard_library`, whatever the suffixes. Nothing is downloaded.

    Which files a distribution has is read from its own record, so that what else lies in the folder does not count.
    Files under `SKIPPED_FOLDERS`, `GENERATED` ones and those that are not UTF-8 text are left out.

    Raises:
        Failure: a distribution is not installed, or a file that it lists is gone.
    """
    for name in names:
        if name == STANDARD_LIBRARY:
            yield from standard_library()
            continue
        installed = distribution(name)
        if installed.files is None:
            raise Failure(f"package '{name}' has no list of its files; reinstall it (run `make setup`)")
        for path in sorted(installed.files, key=lambda file: file.as_posix()):
            if path.suffix in suffixes and path.parts[0] != ".." and not path.name.endswith(GENERATED):
                yield from _file(Path(str(installed.locate_file(path))), path, canonicalize_name(name), name)


def standard_library() -> Iterator[Document]:
    """Python files of the standard library of this interpreter; id and group begin with "stdlib/".

    The group is the top-level module. Left out: `SKIPPED_STANDARD`, tests, whatever the interpreter does not count
    as its library (build configuration with paths of the machine), and files that are not UTF-8 text.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    for top in sorted(sys.stdlib_module_names - SKIPPED_STANDARD):
        if top.startswith("_sysconfigdata"):
            continue
        for path in [root / f"{top}.py", *sorted((root / top).rglob("*.py"))]:
            if path.is_file():
                its = PurePosixPath("stdlib", path.relative_to(root).as_posix())
                yield from _file(path, its, f"stdlib/{top}", "the Python standard library")


def _file(path: Path, its: PurePosixPath, group: str, owner: str) -> Iterator[Document]:
    """One file under the name `its`; nothing of one that is in a skipped folder or no text."""
    if SKIPPED_FOLDERS.intersection(its.parts):
        return
    try:
        content = text(path.read_bytes())
    except OSError as error:
        raise Failure(f"{owner}: {path} cannot be read ({error.strerror}); run `make setup` again") from error
    if content is not None:
        yield Document(its.as_posix(), group, content)
