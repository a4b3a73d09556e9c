"""Whether the sources of a study can be read, before a night is spent on it: what is opened of each, and what lacks.

Of a source, the first file of every data set of the hub is opened, the first archive is looked for in the package
index, and files of this machine are looked for. No more than BUDGET_BYTES are fetched for a source.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixtures.catalogue.first_file import Budget, look
from mixtures.catalogue.identity import absent
from mixtures.catalogue.source import Source, provenance
from mixtures.readers import hub, package_index
from mixtures.readers.fetch import Archive
from store import layout
from store.errors import Failure

BUDGET_BYTES = 900_000


@dataclass(frozen=True)
class Reached:
    """What became of looking at one upstream of a source.

    Attributes:
        source: its name.
        where: what was opened.
        missing: what has to be done before it can be read; "" if nothing.
        note: what could not be looked at.
        fetched: bytes.
    """

    source: str
    where: str
    missing: str = ""
    note: str = ""
    fetched: int = 0


def reach(source: Source, store: Path) -> list[dict[str, Any]]:
    """A row for everything that was opened of the source.

    Raises:
        UserError: ABLATE_MIRROR names no place.
    """
    rows = [_of_hub(source, dataset) for dataset in source.datasets]
    if archive := next((each for each in source.upstream if isinstance(each, Archive)), None):
        rows.append(_of_index(source.name, archive, store / layout.DOWNLOADS))
    if source.inputs:
        gone = "its files are not on this machine" if absent(source) else ""
        rows.append(Reached(source.name, source.inputs[0], gone))
    return [asdict(row) for row in rows or [_of_this_machine(source)]]


def _of_hub(source: Source, dataset: hub.HubDataset) -> Reached:
    budget = Budget(BUDGET_BYTES // len(source.datasets))
    looked = look(dataset, budget)
    return Reached(source.name, hub.location(dataset), looked.missing, looked.note, budget.fetched)


def _of_index(name: str, archive: Archive, downloads: Path) -> Reached:
    if (downloads / archive.filename).exists():
        return Reached(name, str(downloads / archive.filename))
    try:
        there, fetched = package_index.names(archive.project, archive.filename, BUDGET_BYTES)
    except Failure as failure:
        return Reached(name, archive.filename, str(failure))
    missing = "" if there else f"the package index does not list it; use one that mirrors {archive.project}"
    return Reached(name, archive.filename, missing, fetched=fetched)


def _of_this_machine(source: Source) -> Reached:
    try:
        packages = ", ".join(package.name for package in provenance(source)[:3])
    except Failure as failure:
        return Reached(source.name, "installed packages", str(failure))
    return Reached(source.name, packages or "this machine")
