"""From documents to tokens: nothing lost silently, held-out groups never trained on, equal bytes from equal inputs."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mixtures import tokenizer as bpe
from mixtures.documents import Document
from mixtures.errors import Failure
from mixtures.manifest import Manifest, read_manifest
from mixtures.prepare import DataSpec, heldout_groups, prepare, read_documents
from mixtures.sources import Source
from mixtures.store import TokenStore

LINE = "numbers {} and {} make a line that only document {} of {} has\n"


def read_plain(name: str, cache: Path) -> Iterator[Document]:
    for n in range(120):
        text = "".join(LINE.format(i, n * 7919 % 1000, n, name) for i in range(12))
        yield Document(f"{name}/{n}", f"package-{n % 40}", text)


def read_dirty(name: str, cache: Path) -> Iterator[Document]:
    yield from read_plain(name, cache)
    yield Document("copy", "other", next(read_plain("plain", cache)).text)
    yield Document("short", "other", "x")
    yield Document("binary", "other", "a\0b" * 20)
    yield Document("huge", "other", "y " * 600_000)
    yield Document("windows", "other", "\ufeffa line with blanks   \r\nand another one\r\n")


def read_nothing(cache: Path) -> Iterator[Document]:
    return iter(())


def spec(*sources: Source) -> DataSpec:
    return DataSpec(sources, vocabulary=400, heldout=0.05, tokenizer_bytes_per_kind=20_000)


PLAIN = Source(name="plain", kind="text", max_bytes=10**6, form="plain", read=partial(read_plain, "plain"))
DIRTY = Source(name="dirty", kind="code", max_bytes=10**6, form="plain", read=partial(read_dirty, "dirty"))


def quiet(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepare(spec(PLAIN, DIRTY), tmp_path_factory.mktemp("store"), quiet)


def test_every_document_is_kept_held_out_or_counted_by_reason(manifest: Manifest) -> None:
    dirty = manifest.sources["dirty"]
    assert dirty.dropped == {
        "NUL bytes": 1,
        "exact duplicate": 1,
        "larger than 1 MB": 1,
        "shorter than 16 characters": 1,
    }
    assert dirty.documents + dirty.heldout_documents + sum(dirty.dropped.values()) == 125


def test_tokens_decode_to_the_cleaned_documents_in_order(manifest: Manifest) -> None:
    tokenizer = bpe.load(manifest.tokenizer)
    for name, source in manifest.sources.items():
        documents, _ = read_documents(manifest.folder / "documents" / f"{name}.jsonl")
        ids = TokenStore(manifest.tokens, [name]).read([(name, 0)], source.tokens - 1)[0].tolist()
        texts = [tokenizer.decode(part) for part in _split(ids)]
        assert texts == [document.text for document in documents]


def _split(ids: list[int]) -> list[list[int]]:
    out: list[list[int]] = [[]]
    for id in ids:
        if id == bpe.EOD_ID:
            out.append([])
        else:
            out[-1].append(id)
    assert out.pop() == []
    return out


def test_held_out_groups_are_never_trained_on_and_are_the_same_for_every_source(manifest: Manifest) -> None:
    trained, held = set(), set()
    for name in manifest.sources:
        trained |= {d.group for d in read_documents(manifest.folder / "documents" / f"{name}.jsonl")[0]}
        held |= {d.group for d in read_documents(manifest.heldout(name))[0]}
    assert held and not trained & held
    assert all(source.heldout_documents > 0 for source in manifest.sources.values())


def test_a_source_of_one_group_still_has_held_out_text() -> None:
    documents = {"a": [Document("1", "only", "t")], "b": [Document(str(i), f"g{i}", "t") for i in range(2_000)]}
    held = heldout_groups(documents, 0.01)
    assert "only" in held
    assert 8 <= len(held) <= 40


def test_equal_sources_give_equal_bytes(manifest: Manifest, tmp_path: Path) -> None:
    again = prepare(spec(PLAIN, DIRTY), tmp_path, quiet)
    assert again.sources == manifest.sources
    assert again.tokenizer_digest == manifest.tokenizer_digest


def test_preparation_carries_on_after_an_interruption(manifest: Manifest, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "tokenising dirty":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(spec(PLAIN, DIRTY), tmp_path, interrupt)
    assert read_manifest(tmp_path / "prepared" / manifest.folder.name) is None
    assert prepare(spec(PLAIN, DIRTY), tmp_path, quiet).sources == manifest.sources


def test_a_source_without_documents_is_a_failure_and_not_a_smaller_mixture(tmp_path: Path) -> None:
    empty = Source(name="empty", kind="text", max_bytes=10, form="none", read=read_nothing)
    with pytest.raises(Failure, match="source 'empty' has no documents"):
        prepare(spec(empty), tmp_path, quiet)


def test_the_cap_takes_documents_by_hash_so_that_a_smaller_cap_is_a_prefix(tmp_path: Path) -> None:
    small = Source(name="plain", kind="text", max_bytes=20_000, form="plain", read=partial(read_plain, "plain"))
    sizes = {}
    for name, source in (("small", small), ("whole", PLAIN)):
        folder = prepare(spec(source), tmp_path / name, quiet).folder
        sizes[name] = [d.id for d in read_documents(folder / "documents" / "plain.jsonl")[0]]
    assert 0 < len(sizes["small"]) < len(sizes["whole"])
    kept = set(sizes["small"])
    assert [id for id in sizes["whole"] if id in kept] == sizes["small"]


def test_a_text_that_spells_the_special_token_is_only_text(manifest: Manifest) -> None:
    tokenizer = bpe.load(manifest.tokenizer)
    (ids,) = bpe.encode_documents(tokenizer, ["before <eod> after"])
    assert ids.count(bpe.EOD_ID) == 1 and ids[-1] == bpe.EOD_ID
    assert tokenizer.decode(ids[:-1]) == "before <eod> after"


def test_the_tokenizer_sample_gives_every_kind_the_same_bytes() -> None:
    sample = bpe.equal_by_kind({"text": ["a" * 700, "b" * 700], "code": ["c" * 1_000]}, 5_000)
    assert sum(len(t) for t in sample if "c" in t) == 1_000
    assert sum(len(t) for t in sample if "c" not in t) == 1_000


@pytest.mark.slow
def test_seqio_tasks_give_the_ids_that_were_stored(manifest: Manifest) -> None:
    import seqio

    from mixtures import tasks
    from mixtures.mixture import mixture

    tasks.register(manifest, [mixture("half-and-half", {"plain": 1, "dirty": 1})], sequence=64)
    dataset = seqio.get_mixture_or_task("plain").get_dataset(sequence_length=None, split="train", shuffle=False)
    from_seqio = [id for example in dataset.as_numpy_iterator() for id in example["targets"].tolist()]
    stored = TokenStore(manifest.tokens, ["plain"]).read([("plain", 0)], manifest.sources["plain"].tokens - 1)[0]
    assert from_seqio == stored.tolist()
    windows = seqio.get_mixture_or_task("plain.windows").get_dataset(sequence_length=None, split="train", shuffle=False)
    flat = [id for example in windows.as_numpy_iterator() for id in example["targets"].tolist()]
    assert flat == stored.tolist()[: len(flat)] and len(flat) > len(stored) - 65
    mixed = seqio.get_mixture_or_task("half-and-half")
    assert mixed.get_rate(seqio.get_mixture_or_task("dirty.windows")) == 0.5
    example = next(iter(mixed.get_dataset(sequence_length={"targets": 64}, split="train", shuffle=False)))
    assert example["targets"].shape == (64,)


def test_a_damaged_manifest_is_named(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(Failure, match="schema 99"):
        read_manifest(tmp_path)
