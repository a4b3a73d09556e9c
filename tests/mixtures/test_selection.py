"""Choosing among documents: duplicates as declared, benchmark items, sizes, held-out groups, the tokenizer's sample."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.catalogue import files
from mixtures.catalogue.source import DEDUP, Source, one_shard
from mixtures.documents import parquet
from mixtures.documents.document import Document, hash64
from mixtures.documents.parquet import CONTAMINATED, DROPPED, HELDOUT, TRAINING, read_roles
from mixtures.steps import dedup
from mixtures.steps.candidate import Candidate
from mixtures.steps.select import sample, select
from mixtures.tokens.manifest import in_common
from store.errors import UserError
from store.files import write_sealed
from store.layout import Prepared


def corpus(folder: Path, **sources: Any) -> list[Candidate]:
    """Candidates from keywords: a list of shards, each a list of documents, with changes of the source; its scans."""
    candidates = []
    for name, (documents, changes, *scans) in sources.items():
        paths = tuple(folder / name / f"{number}.parquet" for number in range(len(documents)))
        for path, shard in zip(paths, documents, strict=True):
            parquet.write(path, shard, {}, changes.get("examples", False))
        source = Source(name, "text", "plain", lambda *_: iter(()), one_shard, **changes)
        candidates.append(Candidate(source, paths, tuple(scans), Prepared(folder)))
    return candidates


def chosen(candidates: Sequence[Candidate]) -> dict[str, dict[str, int]]:
    """Role of every document, by source and id."""
    return {
        c.source.name: {
            document.id: int(role)
            for path in c.shards
            for document, role in zip(
                parquet.read_documents(path), read_roles(c.at.roles(c.source.name, path.stem)), strict=True
            )
        }
        for c in candidates
    }


def texts(*names: str) -> list[Document]:
    return [Document(name, f"group of {name}", f"The text of {name[:1]}, whoever has it.") for name in names]


def kept(roles: Mapping[str, int]) -> set[str]:
    return {name for name, role in roles.items() if role == TRAINING}


def test_across_keeps_the_first_within_keeps_its_own_and_never_keeps_all(tmp_path: Path) -> None:
    candidates = corpus(
        tmp_path,
        python=([texts("a1", "b1", "b2", *"efg")], {}),
        cooldown=([texts("a3", "c1"), texts("c2", *"hij")], {"dedup": "within"}),
        prose=([texts("a4", "c3", "d1", *"klm")], {}),
        again=([texts("d2", "d3", "a5", *"nop")], {"dedup": "never"}),
    )
    facts = select(candidates, 0.0)
    # "prose" keeps c, which the cooldown has too. What "again" keeps may go yet, as a copy of what is held out.
    assert {name: its["duplicates"] for name, its in facts.items()} == {
        "python": {"python": 1},
        "cooldown": {"cooldown": 1},
        "prose": {"python": 1},
        "again": {},
    }
    assert facts["cooldown"]["shared"] == {"python": 1}
    assert facts["again"]["shared"] == {"python": 1, "prose": 2}
    assert in_common("again", {"again": 7}, facts["again"]["shared"]) == [
        "again: 1 document also in python, not dropped for it",
        "again: 2 documents also in prose, not dropped for it",
    ]


def test_programs_of_one_shape_are_duplicates_whatever_they_are_called(tmp_path: Path) -> None:
    seeds = [
        [Document(f"{seed}/{n}", f"family {n % 5}", f"def {seed}_{n}(): return {n}", f"shape {n}") for n in numbers]
        for seed, numbers in (("one", range(20)), ("two", range(5, 25)))
    ]
    candidates = corpus(tmp_path, synthetic=(seeds, {}), other=([texts(*"abcdef")], {}))
    assert select(candidates, 0.0)["synthetic"]["duplicates"] == {"synthetic": 15}
    kept_or_held = {id.partition("/")[2] for id, role in chosen(candidates)["synthetic"].items() if role != DROPPED}
    assert kept_or_held == {str(n) for n in range(25)}


def test_a_text_that_a_source_lost_to_its_size_stays_in_the_next(tmp_path: Path) -> None:
    documents = texts(*"abcdefghijklmnopqrst")
    size = len(documents[0].text)
    candidates = corpus(
        tmp_path,
        small=([documents], {"max_bytes": 5 * size}),
        large=([[Document(f"copy of {d.id}", "elsewhere", d.text) for d in documents], texts("u", "v")], {}),
    )
    facts = select(candidates, 0.0)
    found = chosen(candidates)
    first = {name for name, role in found["small"].items() if role != DROPPED}
    assert first == set(sorted(found["small"], key=hash64)[:5])
    second = {name.removeprefix("copy of ") for name, role in found["large"].items() if role != DROPPED}
    assert second == {*"abcdefghijklmnopqrst", "u", "v"} - first
    assert facts["large"]["dropped"] == {"exact duplicate": 5}


def test_a_size_counts_what_is_left_of_duplicates_and_benchmark_items(tmp_path: Path) -> None:
    documents = texts("a1", "a2", "a3", "a4", "b", "c", "d", "e")
    size = len(documents[0].text)
    candidates = corpus(tmp_path, it=([documents], {"max_bytes": 4 * size}, tmp_path / "found.json"))
    order = [document.id for document in parquet.read_documents(candidates[0].shards[0])]
    write_sealed(tmp_path / "found.json", {"contaminated": [order.index("b")]})
    facts = select(candidates, 0.0)
    assert facts["it"]["dropped"] == {"exact duplicate": 3, "contaminated": 1}  # and four are left, with room for four
    found = chosen(candidates)["it"]
    assert found["b"] == CONTAMINATED
    assert Counter(found.values()) == {DROPPED: 3, CONTAMINATED: 1, TRAINING: 4}


def test_a_leak_in_one_answer_takes_its_set_with_it_and_a_size_takes_whole_sets(tmp_path: Path) -> None:
    answers = [
        Document(f"{name}{n}", f"group of {name}", f"The question of {name}? {n}", "", 18, f"set {name}", n)
        for name in "abcdefgh"
        for n in range(3)
    ]
    changes = {"examples": True, "max_bytes": 9 * len(answers[0].text)}
    candidates = corpus(tmp_path, pairs=([answers], changes, tmp_path / "found.json"))
    order = [document.id for document in parquet.read_documents(candidates[0].shards[0])]
    assert [name[0] for name in order] == [name for name in dict.fromkeys(name[0] for name in order) for _ in range(3)]
    write_sealed(tmp_path / "found.json", {"contaminated": [order.index("c1")]})
    dropped = select(candidates, 0.25)["pairs"]["dropped"]
    assert dropped == {"contaminated": 1, "in a set with a contaminated answer": 2, "over the source's size": 12}
    roles = chosen(candidates)["pairs"]
    assert {roles[f"c{n}"] for n in range(3)} == {CONTAMINATED}
    assert all(len({roles[f"{name}{n}"] for n in range(3)}) == 1 for name in "abdefgh"), "a set shares its role"
    assert Counter(roles.values()) == {CONTAMINATED: 3, DROPPED: 12, TRAINING: 6, HELDOUT: 3}


def test_an_answer_that_another_source_holds_out_takes_its_set_with_it(tmp_path: Path) -> None:
    """Without its best answer a set would teach the model to write the next one."""
    answers = [
        Document(f"{name}{n}", name, f"The question of {name}? {n}", "", 18, f"set {name}", n)
        for name in "abcdefgh"
        for n in range(3)
    ]
    best = [Document(f"copy of {each.id}", f"elsewhere {each.id}", each.text) for each in answers if each.score == 2]
    candidates = corpus(
        tmp_path, pages=([best], {"dedup": "within"}), pairs=([answers], {"examples": True, "dedup": "within"})
    )
    facts = select(candidates, 0.25)
    roles = chosen(candidates)
    lost = {id[-2] for id, role in roles["pages"].items() if role == HELDOUT}
    held = {id[0] for id, role in roles["pairs"].items() if role == HELDOUT}
    assert lost - held
    for name in {*"abcdefgh"} - held:
        its = {roles["pairs"][f"{name}{n}"] for n in range(3)}
        assert its == {DROPPED if name in lost else TRAINING}
    assert facts["pairs"]["dropped"]["in a set with a held-out answer"] == 2 * len(lost - held)


@settings(deadline=None, max_examples=25)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 9)), min_size=12, max_size=50),
    policies=st.lists(st.sampled_from(DEDUP), min_size=4, max_size=4),
)
def test_no_held_out_text_is_trained_on_or_held_out_twice(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, int, int]],
    policies: list[str],
) -> None:
    own = [[Document(f"own {n} {k}", f"own {n} {k}", f"of {n} alone, {k}") for k in range(4)] for n in range(4)]
    for number, (source, text, group) in enumerate(rows):
        own[source].append(Document(f"{number}", f"group {group}", f"text {text}"))
    pairs = zip(own, policies, strict=True)
    candidates = corpus(
        tmp_path_factory.mktemp("corpus"),
        **{f"s{n}": ([its[:6], its[6:]], {"dedup": policy}) for n, (its, policy) in enumerate(pairs)},
    )
    whole = select(candidates, 0.3), chosen(candidates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup, "PARTITION_DOCUMENTS", 5)
        facts = select(candidates, 0.3)
    found = chosen(candidates)
    assert (facts, found) == whole  # in many files of texts as in one
    assert [(its["duplicates"], its["shared"]) for its in facts.values()] == _counted_one_by_one(candidates)
    text_of = {(f"s{n}", document.id): document.text for n, its in enumerate(own) for document in its}
    held = [text_of[name, id] for name, its in found.items() for id, role in its.items() if role == HELDOUT]
    assert len(held) == len(set(held))
    for policy in DEDUP:
        read = [
            [text_of[c.source.name, id] for id, role in found[c.source.name].items() if role == TRAINING]
            for c in candidates
            if c.source.dedup == policy
        ]
        assert not set(held) & {text for its in read for text in its}
        if policy == "across":
            read = [[text for its in read for text in its]]
        if policy != "never":
            assert all(len(its) == len(set(its)) for its in read)
    for c in candidates:  # nothing is lost: a text that went from one source is somewhere
        assert facts[c.source.name]["dropped"].get("exact duplicate", 0) == sum(
            facts[c.source.name]["duplicates"].values()
        )
    everywhere = {text_of[name, id] for name, its in found.items() for id, role in its.items() if role != DROPPED}
    assert everywhere == set(text_of.values())


def _counted_one_by_one(candidates: Sequence[Candidate]) -> list[tuple[dict[str, int], dict[str, int]]]:
    """The rule of `drop_duplicates` as it is said: whose copies were dropped for whose, and kept beside whose."""
    holder: dict[tuple[str, str], str] = {}
    first: dict[str, str] = {}
    counts = []
    for c in candidates:
        dropped, shared = Counter[str](), Counter[str]()
        scope = "" if c.source.dedup == "across" else c.source.name
        for text in (document.text for path in c.shards for document in parquet.read_documents(path)):
            if (scope, text) in holder and c.source.dedup != "never":
                dropped[holder[scope, text]] += 1
            elif first.setdefault(text, c.source.name) != c.source.name:
                shared[first[text]] += 1
            holder.setdefault((scope, text), c.source.name)
        counts.append((dropped, shared))
    return counts


def languages(split: Sequence[int]) -> list[list[Document]]:
    """Two languages, in shards that begin at `split`."""
    rows = [Document(f"{name}/{n}", f"{n}", f"{name} {n} " * 20) for name in ("csharp", "zig") for n in range(300)]
    return [rows[start:stop] for start, stop in zip([0, *split], [*split, len(rows)], strict=True)]


def test_the_tokenizers_sample_is_of_all_shards_and_does_not_depend_on_them(tmp_path: Path) -> None:
    drawn = []
    for number, split in enumerate(([300], [10, 20, 400, 590])):
        candidates = corpus(tmp_path / f"{number}", code=(languages(split), {}))
        select(candidates, 0.1)
        found = chosen(candidates)["code"]
        sampled = list(sample(candidates[0], 4_000))
        assert sum(map(len, sampled)) == 4_000
        whole = sorted((id for id in kept(found)), key=hash64)[: len(sampled)]
        assert {" ".join(text.split()[:2]).replace(" ", "/") for text in sampled} == set(whole)
        shares = Counter(text.split()[0] for text in sampled)
        assert min(shares.values()) > 0.3 * len(sampled) and len(shares) == 2
        assert len(list(sample(candidates[0], 10**9))) == len(kept(found))  # what there is, where it is less
        assert list(sample(candidates[0], 0)) == []  # a small source beside a very large one
        drawn.append(sorted(sampled))
    assert drawn[0] == drawn[1]


def test_a_small_sample_reads_little_of_a_shard(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [Document(f"{n}", "g", rng.bytes(2_000).hex()) for n in range(2_000)]
    parquet.write(tmp_path / "one.parquet", rows, {})
    keys = np.concatenate(
        [b.column("id_hash").to_numpy() for b in parquet.read(tmp_path / "one.parquet", ("id_hash",))]
    )
    before = _read_so_far()
    found = list(parquet.texts(tmp_path / "one.parquet", keys < np.uint64(2**64 // 200)))
    assert 2 < len(found) < 30
    assert _read_so_far() - before < 0.3 * (tmp_path / "one.parquet").stat().st_size


def _read_so_far() -> int:
    counters = Path("/proc/self/io")
    if not counters.exists():
        pytest.skip("what a process reads is counted on Linux alone")
    return int(counters.read_text().split()[1])


def test_a_policy_that_does_not_exist_is_refused_with_its_value() -> None:
    assert files("mine", "text", "*.txt", dedup="never").dedup == "never"
    with pytest.raises(UserError, match="source 'mine': dedup is 'cross'; choose one of across, within, never"):
        Source("mine", "text", "plain", lambda *_: iter(()), one_shard, dedup="cross")
