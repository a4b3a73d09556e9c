"""A tokenizer.json of anyone's: texts come back, marks are never text, and what cannot be so is said."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from mixtures.catalogue.source import Source, one_shard
from mixtures.documents.document import Document
from mixtures.prepare import DataSpec, prepare
from mixtures.tokens import fim
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import token_dtype
from mixtures.tokens.manifest import Manifest, read_manifest
from store.errors import Failure, UserError
from tests.mixtures.foreign import BEGIN, END, TEXTS, deepseek, llama, sentencepiece, written

KINDS: dict[str, Callable[[], Tokenizer]] = {
    "llama": llama,
    "deepseek": deepseek,
    "sentencepiece": sentencepiece,
    "ours": lambda: bpe.train(TEXTS, 400),
}
SPELT = ["<eod>", "</s>", "<s>", "<pad>", "<unk>", BEGIN, END, "<｜User｜>", "[BOX]", "    ", "covid", "hole", "<0x0A>"]


@pytest.fixture(scope="module", params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(KINDS[request.param](), tmp_path_factory.mktemp("foreign") / "tokenizer.json")


@pytest.fixture(scope="module")
def encoder(path: Path) -> bpe.Encoder:
    return bpe.encoder(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*SPELT, " ", "  ", "\n", "a", "Fox", "é", "北", "\t", "1"]), max_size=8).map("".join))
def test_texts_come_back_and_never_become_a_mark(encoder: bpe.Encoder, text: str) -> None:
    text = text.replace("▁", "_")  # where blanks are that letter, it is a blank
    ids, offsets = bpe.encode(encoder, [text, "and another"])
    ids = ids[: offsets[1]]
    tokenizer = encoder.reference
    assert ids.tolist() == tokenizer.encode(text, add_special_tokens=False).ids
    back = tokenizer.decode(ids.tolist(), skip_special_tokens=False)
    assert back in (text, text.removeprefix(" "))
    marks = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    assert encoder.eod in marks and not marks & set(ids.tolist())
    assert max(ids.tolist(), default=0) < bpe.size(tokenizer)


def test_nothing_is_put_in_front_cut_off_filled_up_or_drawn(path: Path, tmp_path: Path) -> None:
    found = json.loads(path.read_text())
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    fill = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None}
    fill |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "x"}
    drawn = {"dropout": 0.5} if found["model"]["type"] == "BPE" else {}
    changes = {"truncation": cut, "padding": fill, "model": found["model"] | drawn}
    (tmp_path / "tokenizer.json").write_text(json.dumps(found | changes))
    texts = ["the quick brown fox jumps over the lazy dog", "a"]
    plain, changed = (bpe.encoder(where) for where in (path, tmp_path / "tokenizer.json"))
    assert bpe.encode(changed, texts)[0].tolist() == bpe.encode(plain, texts)[0].tolist()
    assert changed.reference.encode(texts[1]).ids == plain.reference.encode(texts[1], add_special_tokens=False).ids


def test_a_file_that_was_read_once_is_read_the_same_again(path: Path, tmp_path: Path) -> None:
    first = bpe.load(path)
    bpe.save(first, tmp_path / "tokenizer.json")
    assert bpe.load(tmp_path / "tokenizer.json").to_str() == first.to_str()


SHOWN = "prose about </s> and <eod> marks"


def read_prose(shard: str, downloads: Path) -> Iterator[Document]:
    for number in range(30):
        yield Document(f"prose/{number}", f"group-{number}", f"{SHOWN}, told for the time of number {number}. " * 3)


PROSE = DataSpec((Source("prose", "text", "made up", read_prose, one_shard, max_bytes=10**6),), 400, 0.1, 10_000)


def quiet(what: str, done: int, total: int) -> None: ...


def here(function: Callable[[Any], Any], jobs: Sequence[Any], progress: Callable[[int], None]) -> None:
    """An executor without processes."""
    for job in jobs:
        function(job)


def test_data_are_prepared_with_it_and_documents_end_where_they_end(path: Path, tmp_path: Path) -> None:
    manifest = prepare(replace(PROSE, tokenizer=path), tmp_path, quiet, here)
    source = manifest.sources["prose"]
    with_ends = np.concatenate([stored_tokens(manifest, shard) for shard in range(len(source.shards))])
    assert (with_ends == manifest.eod).sum() == source.documents > 20
    tokenizer = bpe.load(manifest.tokenizer)
    first = with_ends[: with_ends.tolist().index(manifest.eod)]
    assert SHOWN in tokenizer.decode(first.tolist(), skip_special_tokens=False)
    assert manifest.vocabulary == bpe.size(tokenizer) > with_ends.max() and not manifest.loss


def stored_tokens(manifest: Manifest, shard: int) -> np.ndarray:
    import tensorstore as ts

    folder = manifest.tokens / "prose" / f"{shard:05}" / "tokens"
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}
    return np.asarray(ts.open(spec, read=True).result().read().result())


def test_the_manifest_says_what_is_lost_and_how_documents_end(tmp_path: Path) -> None:
    tokenizer = deepseek()
    tokenizer.normalizer = normalizers.Lowercase()
    path = written(tokenizer, tmp_path / "lower.json")
    named, usual = (prepare(replace(PROSE, tokenizer=path, end=end), tmp_path, quiet, here) for end in (END, None))
    assert "'" in named.loss and read_manifest(named.folder) == named
    assert named.folder != usual.folder and named.eod == tokenizer.token_to_id(END) != usual.eod


def test_a_loss_that_only_documents_show_is_refused(tmp_path: Path) -> None:
    tokenizer = deepseek()
    tokenizer.normalizer = normalizers.Replace("told", "said")
    given = replace(PROSE, tokenizer=written(tokenizer, tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match=r"changes \d+ of \d+ documents .*comes back as"):
        prepare(given, tmp_path, quiet, here)


def test_pieces_that_would_not_join_are_no_infilling(tmp_path: Path) -> None:
    tokenizer = llama()
    tokenizer.add_special_tokens(list(bpe.SPECIALS[1:]))
    encoder = bpe.encoder(written(tokenizer, tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="puts a blank before every text"):
        fim.permuted(encoder, [fim.Pieces("a b", "c", "d", suffix_first=False)])


LOSSES = {
    "lower case": (normalizers.Lowercase(), "ABC"),
    "accents": (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "ß"),
    "composition": (normalizers.NFC(), "e\u0301"),
    "compatibility": (normalizers.NFKC(), "½"),
    "blanks": (normalizers.Replace("  ", " "), "  "),
    "ends": (normalizers.Strip(left=True, right=False), "\\n\\t"),
    "line ends": (normalizers.Replace("\r\n", "\n"), "\\r"),
    "digits": (normalizers.Replace("7", "0"), "7"),
}


@pytest.mark.parametrize("what", LOSSES)
def test_a_normaliser_that_loses_text_is_noticed(what: str, tmp_path: Path) -> None:
    tokenizer = deepseek()
    tokenizer.normalizer = LOSSES[what][0]
    loss = bpe.loss(bpe.load(written(tokenizer, tmp_path / "tokenizer.json")))
    assert "comes back as" in loss and "\n" not in loss
    same = bpe.loss(bpe.load(tmp_path / "tokenizer.json"), form=bpe.canonical)
    assert bool(same) == (what != "composition"), "what is one text to Unicode is no loss of information"


def test_tokenizers_that_keep_text_are_not_accused(path: Path) -> None:
    assert bpe.loss(bpe.load(path)) == ""


def test_unknown_characters_are_a_loss(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<eod>": 1, "the": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    assert "comes back as" in bpe.loss(bpe.load(written(words, tmp_path / "tokenizer.json")))


def test_the_end_of_a_document_can_be_named(tmp_path: Path) -> None:
    path = written(deepseek(), tmp_path / "tokenizer.json")
    assert bpe.encoder(path).eod == bpe.load(path).token_to_id("<eod>")  # the first of the usual names
    assert bpe.encoder(path, END).eod == bpe.load(path).token_to_id(END)
    named = bpe.encoder(path, "covid")  # a word that was added
    ids, _ = bpe.encode(named, ["covid and covid"])
    assert named.eod not in ids and named.reference.decode(ids.tolist()) == "covid and covid"
    with pytest.raises(UserError, match=r"no end-of-document token 'nothing'; .*User"):
        bpe.encoder(path, "nothing")
    with pytest.raises(UserError, match="a text that spells 'e' becomes"):
        bpe.encoder(path, "e")


def test_a_piece_that_ends_documents_need_not_be_listed_as_added(tmp_path: Path) -> None:
    found = json.loads(llama().to_str())
    found["added_tokens"] = found["added_tokens"][:2]
    path = written(llama(), tmp_path / "tokenizer.json", added_tokens=found["added_tokens"])
    encoder = bpe.encoder(path)
    assert encoder.eod == 2 and encoder.reference.get_added_tokens_decoder()[2].special


def test_a_tokenizer_of_whole_words_tells_its_end_from_text(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "a": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    encoder = bpe.encoder(written(words, tmp_path / "tokenizer.json"))
    assert encoder.eod == 1 and bpe.encode(encoder, ["a </s> a"])[0].tolist() == [2, 0, 0, 2]


def test_a_merge_that_leads_to_a_mark_is_not_taken(tmp_path: Path) -> None:
    """With merges of whole pieces or without: byte-level BPE may hold its marks in its own vocabulary."""
    tokenizer = deepseek()
    found = json.loads(tokenizer.to_str())
    found["model"]["vocab"] |= {"<z": 500, "<z>": 501}
    found["model"]["merges"] += [["<", "z"], ["<z", ">"]]
    for whole in (False, True):
        path = tmp_path / f"{whole}.json"
        written(tokenizer, path, model=found["model"] | {"ignore_merges": whole}, pre_tokenizer=None)
        encoder = bpe.encoder(path, "<z>")
        ids, _ = bpe.encode(encoder, ["<z>", "a<z>b <z", "<z>" * 3])
        assert encoder.eod == 501 not in ids


def test_the_highest_id_decides_the_type_and_not_their_number(tmp_path: Path) -> None:
    found = json.loads(deepseek().to_str())
    found["model"]["vocab"]["zq"] = 70_000
    found["model"]["merges"].append(["z", "q"])
    path = written(deepseek(), tmp_path / "tokenizer.json", model=found["model"])
    encoder = bpe.encoder(path)
    assert encoder.reference.get_vocab_size() < 400
    assert bpe.size(encoder.reference) == 70_001 and token_dtype(bpe.size(encoder.reference)) == "uint32"
    ids, _ = bpe.encode(encoder, ["zq"])
    assert ids.dtype == np.uint32 and ids.tolist() == [70_000]


def test_what_the_bulk_encoder_cannot_do_the_reference_does(tmp_path: Path) -> None:
    tokenizer = sentencepiece()
    tokenizer.normalizer = normalizers.Nmt()
    encoder = bpe.encoder(written(tokenizer, tmp_path / "tokenizer.json"))
    assert encoder.fast is None and "Nmt" in encoder.slow
    ids, offsets = bpe.encode(encoder, ["a fox", "", "the dog"])
    for number, text in enumerate(["a fox", "", "the dog"]):
        assert ids[offsets[number] : offsets[number + 1]].tolist() == encoder.reference.encode(text).ids


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": {"vocab": {}}}', "null"])
def test_what_is_no_tokenizer_is_refused_in_a_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(Failure, match=r"tokenizer\.json cannot be read") as raised:
        bpe.load(tmp_path / "tokenizer.json")
    assert "\n" not in str(raised.value)
