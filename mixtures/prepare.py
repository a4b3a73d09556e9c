"""From sources to tokens: read, clean, split off the held-out documents, train the tokenizer, tokenise, store.

Every step leaves whole files, so preparation carries on after any interruption with the first one missing.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mixtures import tokenizer as bpe
from mixtures.documents import Document, unit_hash
from mixtures.errors import Failure
from mixtures.files import whole
from mixtures.manifest import Manifest, SourceManifest, read_manifest, write_manifest
from mixtures.preprocess import clean, drop_reason
from mixtures.sources import Source, provenance
from mixtures.store import write_source

PREPARE_VERSION = 1
"""Bump when the same sources would give other tokens."""

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total)."""


@dataclass(frozen=True)
class DataSpec:
    """What a study's data are made from.

    Attributes:
        sources: the catalogue, whatever the arm or seed.
        vocabulary: ids of the tokenizer.
        heldout: share of the groups (packages, works) that no arm trains on, chosen by hash.
        tokenizer_bytes_per_kind: bytes of every kind that the tokenizer is trained on, at most.
    """

    sources: tuple[Source, ...]
    vocabulary: int
    heldout: float
    tokenizer_bytes_per_kind: int


def kinds(spec: DataSpec) -> dict[str, str]:
    return {source.name: source.kind for source in spec.sources}


def prepared_folder(spec: DataSpec, store: Path) -> Path:
    """Where the data of `spec` live: named by everything that is known before reading, package versions included.

    Raises:
        Failure: a package that a source reads is not installed.
    """
    identity = {
        "version": PREPARE_VERSION,
        "vocabulary": spec.vocabulary,
        "heldout": spec.heldout,
        "tokenizer_bytes_per_kind": spec.tokenizer_bytes_per_kind,
        "sources": [
            [source.name, source.kind, source.max_bytes, [[p.name, p.version] for p in provenance(source)]]
            for source in spec.sources
        ],
    }
    return store / "prepared" / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]


def prepare(spec: DataSpec, store: Path, progress: Progress) -> Manifest:
    """Prepare all sources of `spec`, or return the manifest when that is done.

    Raises:
        Failure: a source cannot be had, or the disk is full.
    """
    folder = prepared_folder(spec, store)
    manifest = read_manifest(folder)
    if manifest is not None:
        return manifest
    _read_all(spec, folder, store / "downloads", progress)
    collected = {source.name: read_documents(_read_path(folder, source.name)) for source in spec.sources}
    dropped = {name: Counter(drops) for name, (_, drops) in collected.items()}
    unique = _without_duplicates({name: documents for name, (documents, _) in collected.items()}, dropped)
    held_groups = heldout_groups(unique, spec.heldout)
    training = {name: [d for d in docs if d.group not in held_groups] for name, docs in unique.items()}
    heldout = {name: [d for d in docs if d.group in held_groups] for name, docs in unique.items()}
    path = folder / "tokenizer.json"
    if not path.exists():
        progress("training the tokenizer", 0, 1)
        bpe.save(bpe.train(_tokenizer_sample(spec, training), spec.vocabulary), path)
    tokenizer = bpe.load(path)
    sources = {}
    for number, source in enumerate(spec.sources):
        progress(f"tokenising {source.name}", number, len(spec.sources))
        texts = [document.text for document in training[source.name]]
        stored = write_source(folder / "tokens" / source.name, bpe.encode_documents(tokenizer, texts), spec.vocabulary)
        held = heldout[source.name]
        _write_documents(folder / "documents" / f"{source.name}.jsonl", training[source.name], {})
        _write_documents(folder / "heldout" / f"{source.name}.jsonl", held, {})
        sources[source.name] = SourceManifest(
            kind=source.kind,
            packages=tuple({"name": p.name, "version": p.version, "licence": p.licence} for p in provenance(source)),
            documents=stored.documents,
            tokens=stored.tokens,
            bytes=sum(len(text.encode()) for text in texts),
            heldout_documents=len(held),
            heldout_bytes=sum(len(d.text.encode()) for d in held),
            dropped=dict(sorted(dropped[source.name].items())),
            digest=stored.digest,
            heldout_digest=hashlib.sha256("\0".join(d.text for d in held).encode()).hexdigest(),
        )
    manifest = Manifest(folder, tokenizer.get_vocab_size(), bpe.digest(path), sources)
    write_manifest(manifest)
    shutil.rmtree(folder / "read", ignore_errors=True)
    progress("prepared", 1, 1)
    return manifest


def _read_all(spec: DataSpec, folder: Path, downloads: Path, progress: Progress) -> None:
    missing = [source for source in spec.sources if not _read_path(folder, source.name).exists()]
    done = len(spec.sources) - len(missing)
    if not missing:
        return
    progress("reading sources", done, len(spec.sources))
    # Spawned, not forked: the parent may hold threads of a progress display or of jax.
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        waiting = {
            pool.submit(collect, source, downloads, _read_path(folder, source.name)): source for source in missing
        }
        try:
            for future in as_completed(waiting):
                future.result()
                done += 1
                progress(f"read {waiting[future].name}", done, len(spec.sources))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _read_path(folder: Path, source: str) -> Path:
    return folder / "read" / f"{source}.jsonl"


def collect(source: Source, downloads: Path, path: Path) -> None:
    """Read, clean and cap one source into `path`: documents in the order of their id's hash, up to max_bytes.

    Raises:
        Failure: the source cannot be had or has no documents.
    """
    drops: Counter[str] = Counter()
    kept = []
    for document in source.read(downloads):
        text = clean(document.text)
        reason = drop_reason(text)
        if reason:
            drops[reason] += 1
        else:
            kept.append(Document(document.id, document.group, text))
    kept.sort(key=lambda document: (unit_hash(document.id), document.id))
    chosen, size = [], 0
    for document in kept:
        if size >= source.max_bytes:
            drops["over the source's size"] += 1
            continue
        size += len(document.text.encode())
        chosen.append(document)
    if not chosen:
        raise Failure(f"source '{source.name}' has no documents; run `make setup` to install what it reads")
    _write_documents(path, chosen, drops)


def _write_documents(path: Path, documents: Iterable[Document], drops: Mapping[str, int]) -> None:
    """JSON lines: the drops by reason, then one document a line."""
    with whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"dropped": drops}) + "\n")
        for document in documents:
            file.write(json.dumps([document.id, document.group, document.text], ensure_ascii=False) + "\n")


def read_documents(path: Path) -> tuple[list[Document], dict[str, int]]:
    """Documents that preparation wrote, with the drops by reason.

    Raises:
        Failure: the file is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8") as file:
            head: dict[str, Any] = json.loads(file.readline())
            return [Document(*json.loads(line)) for line in file], head["dropped"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Failure(f"{path} cannot be read ({error}); delete {path.parent.parent} and prepare again") from error


def _without_duplicates(
    documents: Mapping[str, list[Document]], dropped: Mapping[str, Counter[str]]
) -> dict[str, list[Document]]:
    """Drop exact duplicates within and across sources; the first in catalogue order stays."""
    seen: set[bytes] = set()
    unique: dict[str, list[Document]] = {}
    for name, docs in documents.items():
        unique[name] = []
        for document in docs:
            key = hashlib.sha256(document.text.encode()).digest()
            if key in seen:
                dropped[name]["exact duplicate"] += 1
            else:
                seen.add(key)
                unique[name].append(document)
    return unique


def heldout_groups(documents: Mapping[str, Iterable[Document]], share: float) -> frozenset[str]:
    """The groups kept out of training, the same for every source, arm and seed.

    A group is held out when its hash is below `share`. A small source might then have none, so the group with
    the smallest hash of every source is held out as well.
    """
    held: set[str] = set()
    for docs in documents.values():
        groups = sorted({document.group for document in docs}, key=lambda group: (unit_hash(group), group))
        held.update(groups[:1])
        held.update(group for group in groups if unit_hash(group) < share)
    return frozenset(held)


def _tokenizer_sample(spec: DataSpec, training: Mapping[str, list[Document]]) -> list[str]:
    """Training text only, kinds in a fixed order, a kind's documents interleaved over its sources by hash."""
    by_kind: dict[str, list[Document]] = {}
    for source in spec.sources:
        by_kind.setdefault(source.kind, []).extend(training[source.name])
    texts = {
        kind: [d.text for d in sorted(docs, key=lambda d: (unit_hash(d.id), d.id))] for kind, docs in by_kind.items()
    }
    return bpe.equal_by_kind(texts, spec.tokenizer_bytes_per_kind)
