"""Examples, a prompt with its answer: none is cut, no prompt carries loss, and what is left out is counted."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixtures import prepare as preparation
from mixtures import tasks
from mixtures.allocate import allocate
from mixtures.catalogue import examples
from mixtures.catalogue.derived import derived
from mixtures.catalogue.source import Source
from mixtures.documents import parquet
from mixtures.documents.clean import clean_example, example_drop_reason
from mixtures.documents.document import Document
from mixtures.loader import Batch, load_batch, token_counts
from mixtures.mixture import mixture
from mixtures.order import DataPlan
from mixtures.prepare import DataSpec, prepared_folder
from mixtures.readers.examples import Fields, documents
from mixtures.steps.executors import pool
from mixtures.tokens import intact
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import open_tokens, windows_in, write_shard
from mixtures.tokens.manifest import Manifest, packing_lines, read_manifest
from mixtures.tokens.packing import PADDING, Examples, pack
from store.errors import Failure, UserError
from tests.mixtures.test_prepare import PLAIN, here, quiet

S = 96
LONG = 160
Loss = Literal["all", "answers", "ranked"]
PROMPT = "{instruction}\n\n{input}\n\n"


def _rows(seed: int) -> list[dict[str, object]]:
    """Sets of one to four answers, of which some are long, and what is to be dropped."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for problem in range(60):
        asked = {"instruction": f"What is {seed} plus {problem}?", "input": "In words." if problem % 3 else ""}
        for number in range(1 + problem % 4):
            answer = f"  It is {seed + problem + number}, " + "and so on " * int(rng.integers(0, 25)) + "\r\nend\n\n"
            rows.append({**asked, "output": answer, "problem": f"p{problem}", "score": number - 1})
    rows.append({"instruction": "Nothing?", "output": " \n", "problem": "none", "score": 0})
    rows.append({"output": "Nobody asked.", "problem": "nobody", "score": 0})
    rows.append({"instruction": "How long?", "output": "very " * 400, "problem": "long", "score": 0})
    return rows


def read_pairs(shard: str, downloads: Path) -> Iterator[Document]:
    fields = Fields(PROMPT, "output", set="problem", score="score")
    return documents(((f"{shard}#{n}", f"row {n}", row) for n, row in enumerate(_rows(int(shard)))), fields, shard)


def two_shards(downloads: Path) -> tuple[str, ...]:
    return ("0", "1")


PAIRS = Source("pairs", "instruct", "examples", read_pairs, two_shards, examples=True)


def _spec(*sources: Source) -> DataSpec:
    return DataSpec(sources, 400, 0.05, 20_000, packing=(LONG, S))


prepare = partial(preparation.prepare, executor=here)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepare(_spec(PLAIN, PAIRS), tmp_path_factory.mktemp("store"), quiet)


def _trained(manifest: Manifest) -> list[Document]:
    found = []
    for path, roles in zip(manifest.documents("pairs"), manifest.roles("pairs"), strict=True):
        trained = parquet.read_roles(roles) == parquet.TRAINING
        found += [document for document, here in zip(parquet.read_documents(path), trained, strict=True) if here]
    return found


def _plan(manifest: Manifest, shares: dict[str, Fraction], loss: Loss, sequence: int = S) -> DataPlan:
    forms = {name: manifest.sources[name].form(sequence, False) for name in shares}
    windows = {name: windows_in(form.shard_tokens, sequence) for name, form in forms.items()}
    return DataPlan(allocate(shares), windows, {}, 0, 8, sequence, document_mask=True, loss=loss)


def _epoch(manifest: Manifest, loss: Loss, sequence: int = S) -> Batch:
    """Every window of the examples once."""
    plan = _plan(manifest, {"pairs": Fraction(1)}, loss, sequence)
    return load_batch(replace(plan, batch=plan.windows["pairs"]), open_tokens(manifest, sequence), 0)


# Packing.


@st.composite
def shards(draw: st.DrawFn) -> tuple[Examples, int]:
    sizes = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30)), max_size=40))
    sets = draw(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=len(sizes), max_size=len(sizes)))
    offsets = np.cumsum([0, *(prompt + answer + 1 for prompt, answer in sizes)])
    ids = np.arange(1, offsets[-1] + 1, dtype=np.uint32)  # every token tells where it came from
    ids[offsets[1:] - 1] = 0
    known = Examples(ids, offsets, [prompt for prompt, _ in sizes], sets, list(range(len(sizes))))
    return known, draw(st.integers(1, 64))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shards())
def test_no_example_is_cut_and_the_counts_add_up(given_: tuple[Examples, int]) -> None:
    known, sequence = given_
    stream = pack(known, 0, sequence)
    tokens, offsets, table = stream.tokens_N, stream.doc_offsets, stream.table_Dx3
    blocks, rest = divmod(len(tokens) - 1, sequence)
    assert rest == 0 and offsets[0] == 0 and offsets[-1] == len(tokens) == stream.counts["tokens"]
    assert (tokens[::sequence] == 0).all(), "every window begins with the end of something"
    seen, places = [], {}
    for start, end, (prompt, number, score) in zip(offsets[:-1], offsets[1:], table, strict=True):
        if prompt == PADDING:
            assert not tokens[start:end].any() and number == 0
            continue
        begin, stop = known.offsets[score : score + 2]
        assert tokens[start:end].tolist() == known.ids[begin:stop].tolist() and prompt == known.prompts[score]
        assert (start - 1) // sequence == (end - 2) // sequence, "it would be cut by a window's edge"
        places[score] = ((start - 1) // sequence, number)
        seen.append(score)
    _check_sets(known, places)
    counts = stream.counts
    assert len(seen) == len(set(seen)) == counts["examples"]
    assert counts["examples"] + sum(stream.left_out.values()) == len(known.prompts)
    assert counts["prompt_tokens"] + counts["answer_tokens"] + counts["padding_tokens"] == blocks * sequence
    assert counts["prompt_tokens"] == sum(known.prompts[number] for number in seen)
    most = max(Counter(block for block, _ in places.values()).values(), default=0)
    assert most == counts["most_answers"]


def _check_sets(known: Examples, places: dict[int, tuple[int, int]]) -> None:
    """Answers have a window and a number in common if and only if they are of one set; a set is in whole, or out."""
    names = {score: known.sets[score] or score for score in places}
    by_place: dict[tuple[int, int], set[object]] = {}
    for score, place in places.items():
        by_place.setdefault(place, set()).add(names[score])
    assert all(len(its) == 1 for its in by_place.values())
    assert len(by_place) == len(set(names.values()))
    for name in set(known.sets) & set(names.values()):
        assert all(score in places for score, its in enumerate(known.sets) if its == name)


def test_blocks_are_nearly_full() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(10, 100, 2_000)
    offsets = np.cumsum([0, *lengths])
    known = Examples(np.ones(offsets[-1], np.uint32), offsets, [1] * 2_000, [""] * 2_000, [0] * 2_000)
    counts = pack(known, 0, 512).counts
    assert counts["padding_tokens"] < 0.02 * counts["tokens"]


# What the store and the loader make of it.


def test_every_example_is_in_or_counted(manifest: Manifest) -> None:
    its = manifest.sources["pairs"]
    rows = sum(len(_rows(seed)) for seed in range(2))
    assert its.dropped.keys() == {"exact duplicate", "no answer", "no prompt"}
    assert its.dropped["no answer"] == its.dropped["no prompt"] == 2
    assert its.documents + its.heldout_documents + sum(its.dropped.values()) == rows
    assert [form.sequence for form in its.packed] == [S, LONG]
    for form in its.packed:
        assert form.examples + sum(form.left_out.values()) == its.documents
        assert form.left_out.keys() == {
            f"longer than {form.sequence} tokens",
            f"in a set longer than {form.sequence} tokens",
        }
        windows = windows_in(form.shard_tokens, form.sequence)
        counts = form.prompt_tokens + form.answer_tokens + form.padding_tokens
        assert counts == windows * form.sequence
    assert f"examples fill sequences of {S} tokens" in packing_lines("pairs", its.packed)[0]
    assert manifest.sources["plain"].packed == ()


@pytest.mark.parametrize("sequence", [S, LONG])
def test_of_an_example_the_answer_alone_carries_loss_and_it_is_read_as_it_is_scored(
    manifest: Manifest, sequence: int
) -> None:
    """Token by token: prompt and answer as they are encoded alone, behind an <eod> and apart from all others."""
    encoder = bpe.encoder(manifest.tokenizer).reference
    expected = {document.text: document for document in _trained(manifest)}
    batch, whole = _epoch(manifest, "answers", sequence), _epoch(manifest, "all", sequence)
    assert batch.weights_BxS is not None and whole.weights_BxS is not None and batch.segment_ids_BxS is not None
    found = []
    for tokens, weights, real, segments in zip(
        batch.tokens_BxS, batch.weights_BxS, whole.weights_BxS, batch.segment_ids_BxS, strict=True
    ):
        for segment in range(segments.max() + 1):
            (at,) = np.nonzero(segments == segment)
            targets = tokens[at + 1].tolist()
            assert tokens[at[0]] == bpe.EOD_ID
            if not real[at].any():  # padding
                assert set(targets) == {bpe.EOD_ID} and not weights[at].any()
                continue
            document = expected.pop(encoder.decode(targets))
            parts = [document.text[: document.prompt], document.text[document.prompt :]]
            prompt, answer = (encoder.encode(part, add_special_tokens=False).ids for part in parts)
            assert targets == [*prompt, *answer, bpe.EOD_ID] and real[at].all()
            assert weights[at].tolist() == [0] * len(prompt) + [1] * (len(answer) + 1)
            found.append(parts)
    form = next(form for form in manifest.sources["pairs"].packed if form.sequence == sequence)
    assert len(found) == form.examples > 30
    assert len(expected) == sum(form.left_out.values()), "no example is read twice"
    assert all(prompt.endswith(("?\n\n", "?\n\nIn words.\n\n")) for prompt, _ in found)
    assert all(answer.startswith("  It is") and answer.endswith(" \nend") for _, answer in found)


def test_ranked_answers_are_named_with_their_sets_and_scores(manifest: Manifest) -> None:
    decode = bpe.load(manifest.tokenizer).decode
    known = {document.text: document for document in _trained(manifest)}
    most = next(form.most_answers for form in manifest.sources["pairs"].packed if form.sequence == S)
    batch = _epoch(manifest, "ranked")
    assert batch.ranked is not None and batch.weights_BxS is not None and batch.segment_ids_BxS is not None
    assert batch.ranked.set_BxE.shape == batch.ranked.score_BxE.shape == (len(batch.tokens_BxS), most)
    assert ((batch.ranked.answer_BxS > 0) == (batch.weights_BxS > 0)).all()
    windows: dict[str, set[tuple[int, int]]] = {}
    for row, (answer, sets, scores) in enumerate(zip(*batch.ranked, strict=True)):
        for number in range(1, answer.max() + 1):
            segment = batch.segment_ids_BxS[row][answer == number][0]
            document = known[decode(batch.tokens_BxS[row, 1:][batch.segment_ids_BxS[row] == segment].tolist())]
            assert scores[number - 1] == document.score
            windows.setdefault(document.set, set()).add((row, int(sets[number - 1])))
        assert not sets[answer.max() :].any() and not scores[answer.max() :].any() and sets[: answer.max()].all()
    assert all(len(places) == 1 for places in windows.values())
    assert len(set.union(*windows.values())) == len(windows) > 20, "two sets of a window have two numbers"


def test_a_mixture_with_examples_has_exact_shares_and_other_sources_carry_loss_everywhere(manifest: Manifest) -> None:
    tokens = open_tokens(manifest, S)
    plan = _plan(manifest, {"plain": Fraction(3, 4), "pairs": Fraction(1, 4)}, "ranked")
    for step in range(12):
        batch = load_batch(plan, tokens, step)
        assert token_counts(plan, batch) == {"plain": 6 * S, "pairs": 2 * S}
        assert batch.weights_BxS is not None and batch.ranked is not None
        plain = batch.source_id_B == 0
        assert (batch.weights_BxS[plain] == 1).all() and not batch.ranked.answer_BxS[plain].any()
        assert (batch.weights_BxS[~plain].sum(axis=1) < S).all()
        parts = [load_batch(plan, tokens, step, host, 2) for host in range(2)]
        assert np.concatenate([part.ranked.set_BxE for part in parts if part.ranked]).tolist() == (
            batch.ranked.set_BxE.tolist()
        )
    alone = load_batch(_plan(manifest, {"plain": Fraction(1)}, "ranked"), tokens, 0)
    assert alone.weights_BxS is None and alone.ranked is None


def test_a_batchs_digest_covers_weights_and_answers(manifest: Manifest) -> None:
    batches = [_epoch(manifest, loss) for loss in ("all", "answers", "ranked")]
    bare = replace(batches[0], weights_BxS=None)
    ranked = batches[2]
    assert ranked.ranked is not None
    other = replace(ranked, ranked=ranked.ranked._replace(score_BxE=ranked.ranked.score_BxE + 1))
    assert len({batch.digest for batch in (*batches, bare, other)}) == 5


def test_equal_examples_give_equal_bytes_from_any_executor(manifest: Manifest, tmp_path: Path) -> None:
    again = preparation.prepare(replace(_spec(PAIRS), tokenizer=manifest.tokenizer), tmp_path, quiet, pool(1))
    assert again.sources["pairs"] == manifest.sources["pairs"]


def test_a_flipped_byte_of_what_is_known_of_examples_is_found(tmp_path: Path) -> None:
    prepared = prepare(_spec(PAIRS), tmp_path, quiet)
    assert intact.problems(prepared, True, print) == []
    folder = prepared.tokens / f"pairs+packed-{S}" / "00000"
    path = folder / "examples" / "c" / "0" / "0"
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    with pytest.raises(Failure, match="'pairs' are missing or corrupt"):
        open_tokens(prepared, S).check(["pairs"])
    path.write_bytes(whole)
    tokens = open_tokens(prepared, S)
    stored = tokens._array("pairs", 0).read().result(), tokens._offsets("pairs", 0), tokens._tables("pairs", 0).copy()
    stored[2][5, 2] += 1  # with a checksum of its own that is right
    write_shard(folder, *stored)
    assert any(f"tokens+packed-{S} of source 'pairs'" in line for line in intact.problems(prepared, True, print))
    assert read_manifest(prepared.folder) == prepared


# What is refused, dropped or left as it was.


@pytest.mark.parametrize(
    ("prompt", "answer", "cleaned"),
    [
        ("\ufeff\n\nAsk: \n", " yes\n\n", ("Ask: \n", " yes")),
        ("def f():\r\n", "\r\n    return 1\r\n", ("def f():\n", "\n    return 1")),
        ("old\rline", "a\rb", ("old\nline", "a\nb")),
    ],
)
def test_what_stands_where_prompt_and_answer_meet_is_kept(prompt: str, answer: str, cleaned: tuple[str, str]) -> None:
    text, size = clean_example(prompt + answer, len(prompt))
    assert (text[:size], text[size:]) == cleaned
    assert clean_example(text, size) == (text, size)


@pytest.mark.parametrize(
    ("prompt", "answer", "reason"),
    [("2+2=", "4", None), (" \n", "4", "no prompt"), ("2+2=", " \n", "no answer"), ("a", "b\0", "NUL bytes")],
)
def test_an_example_may_be_short_and_not_without_a_half(prompt: str, answer: str, reason: str | None) -> None:
    assert example_drop_reason(prompt + answer, len(prompt), "instruct") == reason


def _of(folder: Path, *rows: object, **options: str) -> Iterator[Document]:
    (folder / "rows.json").write_text(json.dumps(rows))
    source = examples("own", folder / "rows.json", **options)
    (shard,) = source.shards(folder / "downloads")
    return source.read(shard, folder / "downloads")


def test_rows_become_examples_whatever_they_lack(tmp_path: Path) -> None:
    whole = {"q": {"text": "Why?"}, "more": ["one", "two"], "a": "So.", "g": 7}
    rows = (whole, {"q": None, "more": "", "a": "x"}, {"q": {"text": "Why?"}})
    one, two, three = _of(tmp_path, *rows, prompt="Q: {q.text}\n\n{more}\n", answer="a")
    assert (one.text, one.prompt) == ("Q: Why?\n\none\ntwo\nSo.", 17)
    assert (two.text, two.prompt) == ("x", 0)
    assert (three.text, three.prompt) == ("Q: Why?", 7)
    (grouped,) = _of(tmp_path, whole, prompt="q.text", answer="a", group="g")
    assert grouped == Document("rows.json#1", "7", "Why?So.", prompt=4)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"p": "a", "a": {"b": 1}}], {}, "row 1: field 'a' holds what is no text"),
        ([["p", "a"]], {}, "row 1 is no object"),
        ([{"p": "a", "a": "b", "n": 0.5}], {"score": "n"}, "row 1: field 'n' holds 0.5, and a score is a whole number"),
        ([{"p": "a", "a": "b"}], {"score": "n"}, "row 1: field 'n' holds None"),
        (
            [{"p": "a", "a": "b", "s": 1, "g": "x"}, {"p": "a", "a": "c", "s": 1, "g": "y"}],
            {"set": "s", "group": "g"},
            "row 2: this answer is of group 'y', and another of its set is of 'x'",
        ),
    ],
)
def test_what_no_example_can_be_is_named_with_its_place(
    rows: list[object], options: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(Failure, match=f"source 'own': .*rows.json, {message}"):
        list(_of(tmp_path, *rows, prompt="p", answer="a", **options))


@pytest.mark.parametrize("prompt", ["{a", "{}", "{a!r}", "{a:>9}", "{{a}}", ""])
def test_a_prompt_that_is_no_template_is_refused(prompt: str) -> None:
    with pytest.raises(UserError, match="source 'own': prompt"):
        examples("own", "rows.jsonl", prompt=prompt)


def test_sequences_in_which_examples_do_not_fit_are_refused(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"source 'pairs': of 2\d\d examples none fits into a sequence of 8 tokens"):
        prepare(replace(_spec(PAIRS), packing=(8,)), tmp_path, quiet)
    with pytest.raises(UserError, match="source 'pairs' is of examples; say in the data's packing"):
        prepared_folder(replace(_spec(PAIRS), packing=()), tmp_path)
    with pytest.raises(UserError, match=r"source 'pairs' is prepared for sequences of 96, 160 tokens and not of 64"):
        manifest.sources["pairs"].form(64, False)
    assert manifest.sources["pairs"].form(S, True) == manifest.sources["pairs"].form(S, False)
    assert prepared_folder(_spec(PLAIN), tmp_path) == prepared_folder(replace(_spec(PLAIN), packing=()), tmp_path)
    with pytest.raises(UserError, match="is of examples"):
        derived(replace(PAIRS, kind="code"), "scrambled")


def test_seqio_gets_documents_with_equal_ids_and_no_windows(manifest: Manifest) -> None:
    tokenizer = bpe.load(manifest.tokenizer)
    vocab = SimpleNamespace(encode=lambda text: tokenizer.encode(text).ids, eos_id=manifest.eod)
    ids = [id for document in tasks._documents(manifest, "pairs", vocab) for id in document]
    assert len(ids) == manifest.sources["pairs"].tokens
    batch = _epoch(manifest, "all", LONG)
    assert batch.weights_BxS is not None
    stored = Counter(batch.tokens_BxS[:, 1:][batch.weights_BxS > 0].tolist())
    left_out = sum(manifest.sources["pairs"].packed[1].left_out.values())
    assert stored <= Counter(ids) and stored[manifest.eod] + left_out == Counter(ids)[manifest.eod]
    with pytest.raises(UserError, match="mixture 'both' has source 'pairs', which is of examples"):
        tasks.register(manifest, [mixture("both", {"plain": 1, "pairs": 1})], S)


def test_data_may_use_the_tokenizer_of_others(manifest: Manifest, tmp_path: Path) -> None:
    """The others are prepared no further than that; and data that train their own are named as they were."""
    own, others = replace(_spec(PAIRS), vocabulary=300), _spec(PLAIN)
    using = replace(own, tokenizer=others)
    prepared = prepare(using, tmp_path, quiet)
    folder = prepared_folder(others, tmp_path)
    assert (folder / "tokenizer.json").exists() and read_manifest(folder) is None
    assert prepared.tokenizer_digest == bpe.digest(folder / "tokenizer.json")
    assert prepared.sources["pairs"].digest != prepare(own, tmp_path, quiet).sources["pairs"].digest
    names = {
        prepared_folder(replace(own, tokenizer=its), tmp_path)
        for its in (None, others, replace(others, vocabulary=290))
    }
    assert len(names) == 3
    again = replace(own, tokenizer=replace(_spec(PAIRS), tokenizer=others))
    assert prepared_folder(again, tmp_path) == prepared.folder, "it is theirs, through whomever it comes"
    with pytest.raises(UserError, match=r"data\.end"):
        prepared_folder(replace(using, end="</s>"), tmp_path)
