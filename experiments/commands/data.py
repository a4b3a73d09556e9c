"""Data commands: `ablate prepare`, `synthesize`, `sources`, `decontaminate`. Loads no jax and no TensorFlow."""

import heapq
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from experiments.plan.find import find_study, is_study, known_studies
from experiments.plan.sources import as_made
from experiments.plan.warnings import data_warnings
from experiments.progress import Display
from experiments.show.table import Column, say, table
from experiments.study import Study
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.benchmarks.load import gap
from mixtures.benchmarks.load import load as load_benchmark
from mixtures.benchmarks.own_rows import RowsFile
from mixtures.catalogue.laptop import QUICKSTART
from mixtures.catalogue.paper_scale import PAPER
from mixtures.catalogue.source import Source, describe
from mixtures.decontaminate import index as contamination
from mixtures.decontaminate.scan import Match, Rule, best, scanned
from mixtures.decontaminate.selftest import CLEAN_DOCUMENTS
from mixtures.decontaminate.selftest import selftest as decontamination_selftest
from mixtures.documents import parquet
from mixtures.documents.document import hash64
from mixtures.fresh import pinned
from mixtures.prepare import Cleaning, changes, documents_folder, prepare, prepared_folder, read_sources, scan_sources
from mixtures.readers.files import paths_in, read_files
from mixtures.steps.executors import Executor
from mixtures.tokens.manifest import Manifest, in_common, packing_lines, read_manifest
from store.errors import UserError
from store.files import read_sealed
from store.layout import DOWNLOADS
from store.lock import whole_store

EVERY_BENCHMARK = Cleaning(tuple(BENCHMARKS))


def catalogue() -> dict[str, Source]:
    """Every source by its name: the laptop's and the paper's."""
    return {source.name: source for source in (*QUICKSTART, *PAPER)}


def prepare_study(study: Study, store: Path, executor: Executor | None = None) -> Manifest:
    """Prepare the data of a study unless that is done."""
    for line in changes(study.data, store):
        print(line, file=sys.stderr)
    if (manifest := read_manifest(prepared_folder(study.data, store))) is None:
        with whole_store(store), Display("prepare") as display:
            manifest = prepare(study.data, store, display.update, executor)
    keep_fresh(study, store)
    warn(study, manifest)
    return manifest


def keep_fresh(study: Study, store: Path) -> None:
    """Have the fresh documents of a study in the store, before anything is trained that they are to score.

    Raises:
        Failure: a release cannot be had.
    """
    if study.evaluation.fresh is not None:
        pinned.keep(study.evaluation.fresh, store)


def warn(study: Study, manifest: Manifest) -> None:
    """Say loudly what is wrong with the data."""
    left_out = {name: [form for form in its.packed if form.left_out] for name, its in manifest.sources.items()}
    packed = [line for name, forms in left_out.items() for line in packing_lines(name, forms)]
    for line in data_warnings(study, manifest) + packed:
        print(f"WARNING: {line}", file=sys.stderr)


def prepare_target(name: str, scale: str, store: Path, executor: Executor) -> dict[str, Any]:
    """Prepare a study, or read and clean one source of the catalogue; what came of it, by source.

    Raises:
        UserError: `name` is neither.
    """
    if is_study(name):
        manifest = prepare_study(as_made(find_study(name, scale), store), store, executor)
        return {"target": name, "sources": [_prepared_row(source, manifest) for source in manifest.sources]}
    return prepare_source(known_source(name), store, executor)


def known_source(name: str) -> Source:
    """Of the catalogue.

    Raises:
        UserError: there is none of that name, and no study.
    """
    if (source := catalogue().get(name)) is None:
        raise UserError(
            f"'{name}' is neither a study ({', '.join(known_studies())}) nor a source; `ablate sources` lists these"
        )
    return source


def prepare_source(source: Source, store: Path, executor: Executor) -> dict[str, Any]:
    """Read and clean one source; what came of it, and a pattern of its files of documents."""
    with whole_store(store), Display("prepare") as display:
        (paths,) = documents = read_sources([source], store, display.update, executor)
        (scans,) = scan_sources(documents, EVERY_BENCHMARK, store, display.update, executor)
    return {
        "target": source.name,
        "files": str(store / documents_folder(source, store) / "*.parquet"),
        "sources": [_read_row(source, paths, scans)],
    }


def _prepared_row(name: str, manifest: Manifest) -> dict[str, Any]:
    source = manifest.sources[name]
    counts = {count: getattr(source, count) for count in ("documents", "bytes", "tokens", "heldout_documents")}
    said = {
        "in_common": in_common(name, source.duplicates, source.shared),
        "packed": packing_lines(name, source.packed),
    }
    return {"source": name, "kind": source.kind, **counts, "dropped": dict(source.dropped), **said}


def _read_row(source: Source, paths: Sequence[Path], scans: Sequence[Path]) -> dict[str, Any]:
    dropped: Counter[str] = Counter()
    documents = size = 0
    for path, scan_path in zip(paths, scans, strict=True):
        contaminated = read_sealed(scan_path, "what was found of the benchmarks")["contaminated"]
        sizes = np.concatenate([batch.column("bytes").to_numpy() for batch in parquet.read(path, ("bytes",))] or [[]])
        dropped.update(parquet.facts(path)["dropped"])
        dropped.update({"contaminated": len(contaminated)} if contaminated else {})
        documents += len(sizes) - len(contaminated)
        size += int(np.delete(sizes, contaminated).sum())
    counts = {"documents": documents, "bytes": size, "tokens": None, "heldout_documents": None}
    about = {"source": source.name, "kind": source.kind}
    return {**about, **counts, "dropped": dict(sorted(dropped.items())), "in_common": [], "packed": []}


def print_prepared(document: dict[str, Any], console: Console) -> None:
    """A row for every source; tokens only where a study's tokenizer made them."""
    columns: dict[str, Column] = {
        **{name: name for name in ("source", "kind", "documents", "bytes", "tokens")},
        "bytes per token": (lambda row: row["bytes"] / row["tokens"] if row["tokens"] else None, ".2f"),
        "held out": "heldout_documents",
        "dropped, by reason": lambda row: [f"{why} {count:,}" for why, count in row["dropped"].items()] or "none",
    }
    console.print(table(f"Data of {document['target']}", document["sources"], columns))
    if "files" in document:
        say(console, f"documents: {document['files']}")
    say(console, *(line for row in document["sources"] for line in (*row["in_common"], *row["packed"])))


def sources_json() -> dict[str, Any]:
    """`{"sources": [...]}`: the catalogue, without reading or fetching anything."""
    return {"sources": [describe(source) for source in catalogue().values()]}


def print_sources(document: dict[str, Any], console: Console) -> None:
    columns: dict[str, Column] = {
        "source": "name",
        "kind": "kind",
        "form": "form",
        "tokens expected": lambda row: row["expected_tokens"] or None,
        "upstream": _upstream,
        "filters": lambda row: row["filters"] or None,
    }
    console.print(table("Sources", document["sources"], columns))


def _upstream(row: Mapping[str, Any]) -> str:
    first, *others = row["upstream"]
    more = f" and {len(others)} more" if others else ""
    gated = ", gated" if row["gated"] else ""
    return f"{first['name']} {first['version'][:12]} ({first['licence']}){more}{gated}"


def decontaminate(
    target: Path, rule: Rule, benchmarks: Sequence[str | RowsFile], store: Path, field: str = ""
) -> dict[str, Any]:
    """Search the documents of a file or folder for benchmark items.

    Returns:
        {"target", "rule", "benchmarks", "documents", "bytes", "contaminated": ids of the documents to leave out,
        "matches": the best match of every item}.

    Raises:
        UserError: the target does not exist or holds no documents, or a benchmark is unknown.
    """
    paths_in(target)  # refuse a slip before anything is fetched
    index = contamination.build(_items(benchmarks, store))
    found: list[Match] = []
    contaminated: list[str] = []
    documents = size = 0
    with Display("decontaminate") as display:
        for batch, matches, dropped in scanned(index, rule, read_files(target, field)):
            contaminated += sorted(dropped)
            found = best([*found, *matches])
            documents += len(batch)
            size += sum(len(document.text.encode(errors="replace")) for document in batch)
            display.update(f"{size / 1e6:,.0f} MB read", 0, 1)
    return {
        "target": str(target),
        "rule": asdict(rule),
        "benchmarks": list(index.benchmarks),
        "documents": documents,
        "bytes": size,
        "contaminated": contaminated,
        "matches": [asdict(match) for match in found],
    }


def _items(benchmarks: Sequence[str | RowsFile], store: Path) -> list[Any]:
    """Those of `benchmarks`, or of all whose rows can be had."""
    downloads = store / DOWNLOADS
    named = benchmarks or [name for name in BENCHMARKS if not gap(name, downloads)]
    return [item for each in named for item in load_benchmark(each, downloads)]


def selftest(
    target: Path, rule: Rule, benchmarks: Sequence[str | RowsFile], store: Path, field: str = ""
) -> dict[str, Any]:
    """Plant edited benchmark items in a sample of the user's documents: what `rule` finds, and what it takes for one.

    Raises:
        UserError: as `decontaminate`.
    """
    paths_in(target)
    items = _items(benchmarks, store)
    sample = heapq.nsmallest(CLEAN_DOCUMENTS, read_files(target, field), key=lambda document: hash64(document.id))
    rows = decontamination_selftest(contamination.build(items), items, sample, rule)
    return {"target": str(target), "rule": asdict(rule), "rows": [asdict(row) for row in rows]}


def print_selftest(document: dict[str, Any], console: Console) -> None:
    columns: dict[str, Column] = {
        "benchmark": lambda row: row["benchmark"] or None,
        "edit": "edit",
        "documents": "documents",
        "dropped, %": (lambda row: 100 * row["dropped"], ".2f"),
        "reported, %": (lambda row: 100 * row["reported"], ".2f"),
    }
    title = f"Planted in {document['target']}, found by {document['rule']['name']}"
    console.print(table(title, document["rows"], columns))
    if weak := [row for row in document["rows"] if row["benchmark"] and row["dropped"] < 0.5]:
        worst = sorted(weak, key=lambda row: (row["dropped"], row["benchmark"], row["edit"]))
        said = ", ".join(f"{row['benchmark']}: {row['edit']} ({100 * row['dropped']:.0f} %)" for row in worst)
        say(console, f"Weak: fewer than half are dropped of {said}")


def print_matches(document: dict[str, Any], console: Console) -> None:
    columns: dict[str, Column] = {
        **{name: name for name in ("benchmark", "item", "component")},
        "score": ("score", ".2f"),
        **{name: name for name in ("document", "evidence")},
    }
    matches = sorted(document["matches"], key=lambda match: (-match["score"], match["benchmark"], match["item"]))
    if matches:
        console.print(table(f"Benchmark items in {document['target']}", matches, columns))
    say(
        console,
        f"{document['documents']:,} documents, {document['bytes'] / 1e6:,.1f} MB searched for "
        f"{len(document['benchmarks'])} benchmarks by {document['rule']['name']}: {len(matches):,} items found, "
        f"{len(document['contaminated']):,} documents to leave out",
    )
