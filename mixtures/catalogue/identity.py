"""What decides the documents of a source, as JSON: data that change are other data, and this says what changed.

Of files on this machine the contents, of a data set on the hub its revision, files and columns, of readers their
version, of a user's function its code and values (`traced.py`). A file that only the running function knows cannot be
seen: `Source.inputs` names it.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtures.catalogue.source import Source, provenance
from mixtures.catalogue.traced import LIBRARIES, Traced
from mixtures.readers import files
from mixtures.readers.fetch import Archive
from mixtures.readers.hub import HubDataset
from store import layout, paths
from store.digests import digests
from store.errors import about
from store.files import read_sealed

NOT_DECIDING = {
    HubDataset: ("licence", "part", "size", "gated", "count"),
    Archive: ("licence",),
    files.Corpus: ("patterns",),
}
"""Of a user's files the contents and their names count, and not where they are."""


def pinned(source: Source, store: Path) -> Source:
    """`source` with its identity as of now, which it keeps while a command runs.

    Where all its files are gone, as on a host that only trains, it is that under which they were read into the store.

    Raises:
        UserError: files that it names are not there, and never were.
        Failure: they cannot be read, or a package that it reads is not installed.
    """
    if source.identity is not None:
        return source
    traced = Traced(NOT_DECIDING)
    reads = [traced.value(what) for what in (source.read, source.shards)]
    packages = defaultdict(list)
    for package in provenance(source):
        packages[package.name].append(package.version)
    identity = {
        "name": source.name,
        "kind": source.kind,
        "form": source.form,
        "filters": source.filters,
        "packages": packages,
        "datasets": [traced.value(dataset) for dataset in source.datasets],
        "readers": traced.readers,
        "code": traced.code,
        "values": {"given": reads, **traced.globals},
        **({"examples": True} if source.examples else {}),
    }
    identity = json.loads(json.dumps(identity, sort_keys=True))
    return replace(source, identity={**identity, "files": _contents(source, traced, identity, store)})


def absent(source: Source) -> bool:
    """Whether none of the files that `source` names is there."""
    return bool(source.inputs) and not any(files.matches(files.absolute(pattern)) for pattern in source.inputs)


def _contents(source: Source, traced: Traced, identity: Mapping[str, Any], store: Path) -> dict[str, str]:
    """The sha256 of every file by its name: of those that the source declares, else of those that its code spells."""
    inputs = source.inputs or (_spelt(traced, store) if traced.code else ())
    if not inputs or absent(source):
        for old in _records(source.name, store / layout.SOURCES):
            if old.get("inputs") == list(source.inputs) and all(
                old.get(key) == value for key, value in identity.items()
            ):
                return dict(old["files"])
    if not inputs:
        return {}
    patterns = [files.absolute(pattern) for pattern in inputs]
    with about(f"source '{source.name}'"):
        found = files.listed(patterns, store)
        known = digests(found.values(), files.memory(patterns, store / layout.DOWNLOADS))
    return {name: known[path] for name, path in found.items()}


def _records(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """What the source was read from before, the last first."""
    found = [path for path in paths.glob(folder, f"{name}-*/{layout.IDENTITY}") if path.parent.name[:-13] == name]
    for path in sorted(found, key=paths.stamp, reverse=True):
        yield read_sealed(path, f"what source '{name}' was read from")


def _spelt(traced: Traced, store: Path) -> list[str]:
    """Files and folders that code spells, from the current directory or from a folder that it spells as well.

    Not a folder in which everything is: that of the code itself, of the store, or above them.
    """
    folders = [path for path in traced.paths if Path(path).is_absolute() and Path(path) != Path("/")]
    tried = {str(Path(folder, path)) for folder in ("", *folders) for path in traced.paths}
    around = [Path(files.absolute(place)) for place in (".", "~", str(store), *LIBRARIES, *traced.files)]
    return sorted(filter(lambda path: _is_corpus(Path(files.absolute(path)), around), tried))


def _is_corpus(path: Path, around: Sequence[Path]) -> bool:
    try:
        if not path.is_dir():
            return path.is_file()
        return any(path.iterdir()) and not any(place.is_relative_to(path) for place in around)
    except OSError:  # nothing that this user may look at
        return False


def changes(name: str, identity: Mapping[str, Any], folder: Path) -> str:
    """What changed since the source `name` was last read, on one line; "" where it was never, or as it is.

    Args:
        identity: as it is now.
        folder: where its documents would be; those of other identities are beside it.
    """
    if (folder / layout.IDENTITY).exists() or (old := next(_records(name, folder.parent), None)) is None:
        return ""
    old.pop("inputs", None)
    said = list(dict.fromkeys(_differences(old, identity, name)))
    more = f" and {len(said) - 5} more" if len(said) > 5 else ""
    return f"source '{name}' is not what was last prepared: {'; '.join(said[:5])}{more}"


def _differences(old: Any, new: Any, what: str) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        if what == "files":
            yield _files_changed(old, new)
            return
        for key in sorted(old.keys() | new.keys()):
            if what == "code":
                yield from [f"its function {key} changed"] if old.get(key) != new.get(key) else []
            else:
                yield from _differences(old.get(key), new.get(key), f"reader {key}" if what == "readers" else key)
    elif _nested(old) and _nested(new) and len(old) == len(new):
        for before, after in zip(old, new, strict=True):
            yield from _differences(before, after, what)
    else:
        yield f"{what}: {_short(old)} -> {_short(new)}"


def _nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(part, dict | list) for part in value)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) and not _nested(value) else str(value)
    return (text if len(text) <= 60 else f"{text[:57]}...") or "none"


def _files_changed(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    counts = {
        "changed": sum(name in old and old[name] != digest for name, digest in new.items()),
        "new": len(new.keys() - old.keys()),
        "gone": len(old.keys() - new.keys()),
    }
    return "files: " + ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
