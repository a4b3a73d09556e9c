"""From sources to tokens: read and clean, look for benchmark items, choose, train the tokenizer, tokenise.

Every step leaves whole files (store/layout.py), so preparation carries on after any interruption with the first one
missing. Whatever needs the identity of a source raises what `identity.pinned` does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Interval

from mixtures.benchmarks.item import Item
from mixtures.benchmarks.load import gap, name_of, pin
from mixtures.benchmarks.load import load as load_benchmark
from mixtures.benchmarks.own_rows import RowsFile
from mixtures.catalogue import identity as identities
from mixtures.catalogue.identity import pinned
from mixtures.catalogue.source import Source
from mixtures.decontaminate import index as contamination
from mixtures.decontaminate.scan import Rule, scan
from mixtures.documents.document import Document
from mixtures.readers import hub
from mixtures.steps import near
from mixtures.steps.candidate import Candidate
from mixtures.steps.executors import Executor, Work, pool
from mixtures.steps.leaks import ScanJob, scan_shard
from mixtures.steps.read import ReadJob, read_shard
from mixtures.steps.select import select
from mixtures.steps.summing import summed
from mixtures.steps.vocabulary import checked, trained
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.fim import Fim
from mixtures.tokens.manifest import SCHEMA, Manifest, SourceManifest, read_manifest, write_manifest
from mixtures.tokens.packing import PACKING_VERSION
from mixtures.tokens.tokenise import TokeniseJob, tokenise_shard
from store import layout
from store.digests import short
from store.errors import Failure, UserError, about
from store.files import publish, read_json, read_sealed, scratch, write_json, write_sealed
from store.layout import Prepared
from store.paths import missing

PREPARE_VERSION = 3
"""Bump when the same sources would give other tokens."""

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total)."""


@dataclass(frozen=True)
class Cleaning:
    """What is taken out of the sources, beside exact duplicates.

    Attributes:
        benchmarks: whose items are looked for, by name or file of rows.
        rule: how they are.
        near_duplicates: by source, the folder of lists of its near-duplicates (`mixtures/steps/near.py`).
    """

    benchmarks: tuple[str | RowsFile, ...] = ()
    rule: Rule = field(default_factory=Rule)
    near_duplicates: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSpec:
    """What a study's data are made from.

    Attributes:
        sources: the catalogue, whatever the arm or seed.
        vocabulary: ids of the tokenizer that is trained.
        heldout: share of the documents of every source that no arm trains on, in whole groups (packages, works).
        tokenizer_bytes_per_kind: bytes of every kind that the tokenizer is trained on, at most.
        cleaning: the benchmarks that the sources are cleaned against.
        fim: how documents are permuted for stages with `infilling`, if there are any; the others read them as they are.
        tokenizer: a tokenizer.json to be used instead of training one, or other data, whose tokenizer is used.
        end: the token that closes a document in it, if it is called none of the usual names; other data say their own.
        packing: tokens of the sequences into which sources of examples are packed.
    """

    sources: tuple[Source, ...]
    vocabulary: Annotated[int, Gt(0)]
    heldout: Annotated[float, Interval(ge=0, lt=1)]
    tokenizer_bytes_per_kind: Annotated[int, Gt(0)]
    cleaning: Cleaning = field(default_factory=Cleaning)
    fim: Fim | None = None
    tokenizer: "Path | DataSpec | None" = None
    end: str | None = None
    packing: tuple[Annotated[int, Gt(0)], ...] = ()


def tokenizer_of(spec: DataSpec) -> tuple[DataSpec, Path | None]:
    """The data whose own tokenizer `spec` uses, itself or others, and its file; None where it is trained on them."""
    return tokenizer_of(spec.tokenizer) if isinstance(spec.tokenizer, DataSpec) else (spec, spec.tokenizer)


def kinds(spec: DataSpec) -> dict[str, str]:
    return {source.name: source.kind for source in spec.sources}


def prepared_folder(spec: DataSpec, store: Path) -> Path:
    """Where the data of `spec` live: named by everything that is known before reading, package versions included.

    Raises:
        Failure: a package that a source reads is not installed.
        UserError: a benchmark is unknown, lists of near-duplicates are of no source, a file is missing, or nothing says
            how long the sequences of examples are.
    """
    identity = {
        "version": [PREPARE_VERSION, SCHEMA],
        "tokenizer": _tokenizer_identity(spec, store),
        "heldout": spec.heldout,
        "fim": asdict(spec.fim) if spec.fim else None,
        "cleaning": _cleaned_of(spec.cleaning, store),
        "sources": [
            [source.kind, source.dedup, source.max_bytes, documents_folder(source, store).name]
            for source in spec.sources
        ],
    }
    if leaky := [source.name for source in spec.sources if source.keeps_leaks]:
        identity["leaks"] = leaky
    if packed := [source.name for source in spec.sources if source.examples]:
        if not spec.packing:
            raise UserError(f"source '{packed[0]}' is of examples; say in the data's packing how long sequences are")
        identity["packing"] = [PACKING_VERSION, *_packing(spec)]
    if lists := spec.cleaning.near_duplicates:
        if unknown := lists.keys() - {source.name for source in spec.sources}:
            raise UserError(f"near-duplicates of '{min(unknown)}' are named, which is no source; mend the name")
        identity["near duplicates"] = near.identity(lists, store)
    return store / layout.PREPARED / short(identity)


def _packing(spec: DataSpec) -> tuple[int, ...]:
    return tuple(sorted(set(spec.packing)))


def _tokenizer_identity(spec: DataSpec, store: Path) -> list[Any]:
    its, path = tokenizer_of(spec)
    if its is not spec and spec.end is not None:
        raise UserError(f"data.end is '{spec.end}', and the data whose tokenizer is used say that; leave it out")
    if path is None:
        same = its is spec
        return [its.vocabulary, its.tokenizer_bytes_per_kind] if same else ["of", prepared_folder(its, store).name]
    if not path.is_file():
        raise UserError(f"tokenizer {path} does not exist; name a tokenizer.json")
    return [bpe.digest(path), its.end]


def documents_folder(source: Source, store: Path) -> Path:
    """Where the clean documents of `source` live, relative to the store."""
    return Path(layout.SOURCES) / f"{source.name}-{short(_documents_identity(source, store))}"


def _documents_identity(source: Source, store: Path) -> dict[str, Any]:
    return {"preparation": PREPARE_VERSION, **(pinned(source, store).identity or {})}


def with_identities(spec: DataSpec, store: Path) -> DataSpec:
    """`spec` whose sources keep the identity that they have now."""
    return replace(spec, sources=tuple(pinned(source, store) for source in spec.sources))


def changes(spec: DataSpec, store: Path) -> list[str]:
    """What is not as it was when the sources of `spec` were last read, one line a source."""
    lines = []
    for source in with_identities(spec, store).sources:
        folder = store / documents_folder(source, store)
        lines.append(identities.changes(source.name, _documents_identity(source, store), folder))
        if identities.absent(source):
            lines.append(f"source '{source.name}': its files are not here; what was read of them is used")
    return [line for line in lines if line]


def _cleaned_of(cleaning: Cleaning, store: Path) -> list[Any] | None:
    """What decides which documents are contaminated; None without benchmarks."""
    return [*_pinned(cleaning.benchmarks, store), asdict(cleaning.rule)] if cleaning.benchmarks else None


def _pinned(benchmarks: Sequence[str | RowsFile], store: Path) -> list[Any]:
    return [contamination.INDEX_VERSION, [pin(name, store / layout.DOWNLOADS) for name in benchmarks]]


def prepare(spec: DataSpec, store: Path, progress: Progress, executor: Executor | None = None) -> Manifest:
    """Prepare all sources of `spec`, or return the manifest when that is done.

    Raises:
        Failure: a source cannot be had, a worker was killed, or the disk is full.
    """
    spec = with_identities(spec, store)
    at = Prepared(prepared_folder(spec, store))
    manifest = read_manifest(at.folder)
    if manifest is not None:
        return manifest
    executor = executor or pool()
    candidates, chosen = _with_tokenizer(spec, at, store, progress, executor)
    _tokenise(spec, candidates, progress, executor)
    manifest = _manifest(spec, at, {c.source.name: summed(c, chosen[c.source.name]) for c in candidates}, store)
    write_manifest(manifest)
    progress("prepared", 1, 1)
    return manifest


Chosen = Mapping[str, Mapping[str, Any]]
"""By source what `select` says."""


def _with_tokenizer(
    spec: DataSpec, at: Prepared, store: Path, progress: Progress, executor: Executor
) -> tuple[list[Candidate], Chosen]:
    """The data as far as their tokenizer: documents are read, looked through and chosen."""
    documents = read_sources(spec.sources, store, progress, executor)
    scans = scan_sources(documents, spec.cleaning, store, progress, executor)
    candidates = [
        Candidate(source, paths, found, at, spec.cleaning.near_duplicates.get(source.name))
        for source, paths, found in zip(spec.sources, documents, scans, strict=True)
    ]
    chosen = _choose(candidates, spec.heldout, at, progress)
    if not at.tokenizer.exists():
        its, path = tokenizer_of(spec)
        if its is not spec and path is None:
            its = with_identities(its, store)
            other = Prepared(prepared_folder(its, store))
            if not other.tokenizer.exists():
                _with_tokenizer(its, other, store, progress, executor)
            path = other.tokenizer
        if path is None:
            progress("training the tokenizer", 0, 1)
            tokenizer = trained(candidates, chosen, spec.vocabulary, spec.tokenizer_bytes_per_kind)
        else:
            tokenizer = checked(path, its.end, candidates)
        bpe.save(tokenizer, at.tokenizer)
    return candidates, chosen


def read_sources(
    sources: Sequence[Source], store: Path, progress: Progress, executor: Executor
) -> list[tuple[Path, ...]]:
    """Read what is missing of `sources`; the document shards of each, in order. Files that several read are read once.

    Raises:
        UserError: ABLATE_MIRROR names no place.
        Failure: a source cannot be had, a worker was killed, or the disk is full.
    """
    paths: list[tuple[Path, ...]] = []
    together: dict[str, tuple[tuple[str, ...], list[tuple[Source, Path]]]] = {}
    for source in (pinned(source, store) for source in sources):
        folder = store / documents_folder(source, store)
        shards = _shards(source, folder, store)
        write_sealed(folder / layout.IDENTITY, _documents_identity(source, store) | {"inputs": list(source.inputs)})
        source = replace(source, identity=None)  # of many files it is large, and workers do not need it
        paths.append(tuple(folder / f"{name}.parquet" for name in shards))
        # Those who read the same columns of the same files; what is no data set is nobody else's.
        whose = [[d.id, d.revision, d.columns] for d in source.datasets] or source.name
        unread = missing(paths[-1])
        for files, path in zip(shards.values(), paths[-1], strict=True):
            _, outputs = together.setdefault(short([whose, files]), (files, []))
            outputs += [(source, path)] if path in unread else []
    mirror = hub.mirror()
    jobs = [ReadJob(files, tuple(its), store / layout.DOWNLOADS, mirror) for files, its in together.values() if its]
    _work(read_shard, jobs, len(together), "reading sources", progress, executor)
    return paths


def scan_sources(
    documents: Sequence[tuple[Path, ...]], cleaning: Cleaning, store: Path, progress: Progress, executor: Executor
) -> list[tuple[Path, ...]]:
    """Look for benchmark items in the shards of every source; the files of what is found, () without benchmarks.

    Raises:
        Failure: a benchmark cannot be had, a worker was killed, or the disk is full.
    """
    if not cleaning.benchmarks:
        return [()] * len(documents)
    name = f"contaminated-{short(_cleaned_of(cleaning, store))}"
    found = [tuple(path.parent / name / f"{path.stem}.json" for path in paths) for paths in documents]
    pairs = [pair for paths in zip(documents, found, strict=True) for pair in zip(*paths, strict=True)]
    if unscanned := missing(path for _, path in pairs):
        index = benchmark_index(cleaning.benchmarks, store, progress)
        # The kernels compile on first use; once here, and the workers load them.
        scan(contamination.load(index), cleaning.rule, [Document("", "", "nothing to find")])
        jobs = [ScanJob(shard, index, cleaning.rule, path) for shard, path in pairs if path in unscanned]
        _work(scan_shard, jobs, len(pairs), "looking for benchmark items", progress, executor)
    return found


def _work(work: Work, todo: Sequence[Any], jobs: int, what: str, progress: Progress, executor: Executor) -> None:
    """Have done what is still `todo` of so many jobs."""
    first = jobs - len(todo)
    progress(what, first, jobs)
    executor(work, todo, lambda done: progress(what, first + done, jobs))


def _shards(source: Source, folder: Path, store: Path) -> dict[str, tuple[str, ...]]:
    """Of every shard what the source is to read for it.

    Listed once, because a listing may need the network, and of the files that its identity is of.
    """
    path = folder / layout.SHARDS
    if not path.exists():
        with about(f"source '{source.name}'"):
            names = source.shards(store / layout.DOWNLOADS)
            names = dict(names) if isinstance(names, Mapping) and _names_of_files([*names]) else _names_of_files(names)
        if pinned(replace(source, identity=None), store).identity != source.identity:
            raise Failure(f"source '{source.name}': its files changed while they were listed; run the command again")
        write_json(path, names)
    found = read_json(path, f"the shards of source '{source.name}'")
    return {name: tuple(found[name]) if isinstance(found, dict) else (name,) for name in found}


def _names_of_files(names: Any) -> tuple[str, ...]:
    """`names` of shards; documents are written to files that are called so."""
    if not isinstance(names, tuple | list) or len(set(map(str, names))) < len(names):
        raise UserError(f"its shards are {repr(names)[:60]}; give a tuple of different names")
    for name in names:
        if not (isinstance(name, str) and name.isprintable() and 0 < len(name.encode()) <= 200 and "/" not in name):
            raise UserError(f"its shard {repr(name)[:60]} is no name of a file; leave out slashes, or shorten it")
    return tuple(names)


def benchmark_index(benchmarks: Sequence[str | RowsFile], store: Path, progress: Progress) -> Path:
    """The index of `benchmarks` in the store, built when it is missing.

    One whose rows cannot be had has nothing to look for.
    """
    path = store / layout.BENCHMARKS / f"{short(_pinned(benchmarks, store))}.npz"
    if not path.exists():
        progress("indexing benchmarks", 0, 1)
        items = [item for name in benchmarks for item in _benchmark_items(name, store)]
        contamination.build(items).save(path)
    return path


def _benchmark_items(name: str | RowsFile, store: Path) -> tuple[Item, ...]:
    return () if gap(name, store / layout.DOWNLOADS) else load_benchmark(name, store / layout.DOWNLOADS)


def _choose(candidates: Sequence[Candidate], share: float, at: Prepared, progress: Progress) -> Chosen:
    if not at.selection.exists():
        progress("choosing documents", 0, 1)
        with scratch(at.choice) as folder:  # roles are changed in place, and another process may prepare the same
            own = Prepared(folder)
            facts = select([replace(candidate, at=own) for candidate in candidates], share)
            if not at.selection.exists():
                publish(own.choice, at.choice)
                write_sealed(at.selection, facts)
    return read_sealed(at.selection, "the choice of documents")


def _tokenise(spec: DataSpec, candidates: Sequence[Candidate], progress: Progress, executor: Executor) -> None:
    end = tokenizer_of(spec)[0].end
    jobs = [
        TokeniseJob(path, c.source.name, number, c.at, end, fim, packing)
        for c in candidates
        for packing in [_packing(spec) if c.source.examples else ()]
        for fim in [spec.fim if spec.fim and c.source.kind in spec.fim.kinds and not packing else None]
        for number, path in enumerate(c.shards)
    ]
    untokenised = missing(job.path for job in jobs)
    todo = [job for job in jobs if job.path in untokenised]
    slow = bpe.encoder(candidates[0].at.tokenizer, end).slow
    what = f"tokenising, slowly: the bulk encoder cannot be used ({slow})" if slow else "tokenising"
    _work(tokenise_shard, todo, len(jobs), what, progress, executor)


def _manifest(spec: DataSpec, at: Prepared, sources: Mapping[str, SourceManifest], store: Path) -> Manifest:
    end = tokenizer_of(spec)[0].end
    tokenizer = bpe.load(at.tokenizer, end)
    items = {name_of(each): len(_benchmark_items(each, store)) for each in spec.cleaning.benchmarks}
    return Manifest(
        folder=at.folder,
        vocabulary=bpe.size(tokenizer),
        tokenizer_digest=bpe.digest(at.tokenizer),
        eod=bpe.eod_id(tokenizer, end),
        loss=bpe.loss(tokenizer),
        bits_per_byte=not bpe.loss(tokenizer, form=bpe.canonical),
        benchmarks=items,
        rule=asdict(spec.cleaning.rule) if items else {},
        sources=sources,
    )
