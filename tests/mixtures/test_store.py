"""The token store and the loader: windows as declared, checksums, whole or not at all."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mixtures.allocate import allocate
from mixtures.errors import Failure
from mixtures.loader import DataPlan, load_batch, token_counts
from mixtures.store import TokenStore, windows_in, write_source


def _documents(seed: int, count: int = 400) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[*rng.integers(1, 8_192, rng.integers(1, 400)).tolist(), 0] for _ in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    flat = {}
    for number, name in enumerate(("text", "code")):
        documents = _documents(number)
        write_source(tmp_path / name, documents, 8_192)
        flat[name] = np.concatenate([np.array(d) for d in documents])
    return tmp_path, flat


def _plan(flat: dict[str, np.ndarray], sequence: int = 64) -> DataPlan:
    windows = {name: windows_in(len(tokens), sequence) for name, tokens in flat.items()}
    return DataPlan(allocate({"text": Fraction(3, 4), "code": Fraction(1, 4)}), windows, {}, 0, 16, sequence)


def test_a_window_is_its_slice_and_the_next_token(store) -> None:
    folder, flat = store
    tokens = TokenStore(folder, flat)
    last = windows_in(len(flat["text"]), 64) - 1
    read = tokens.read([("text", 0), ("code", 3), ("text", last)], 64)
    assert read[0].tolist() == flat["text"][:65].tolist()
    assert read[1].tolist() == flat["code"][192:257].tolist()
    assert read[2].tolist() == flat["text"][64 * last : 64 * last + 65].tolist()


@pytest.mark.parametrize(("tokens", "windows"), [(0, 0), (64, 0), (65, 1), (128, 1), (129, 2)])
def test_the_tail_that_fills_no_window_is_dropped(tokens: int, windows: int) -> None:
    assert windows_in(tokens, 64) == windows


def test_equal_documents_give_an_equal_digest_and_others_do_not(tmp_path: Path) -> None:
    documents = _documents(0, 5)
    one, two = (write_source(tmp_path / name, documents, 8_192) for name in ("a", "b"))
    other = write_source(tmp_path / "c", [*documents[:-1], [1, 2, 0]], 8_192)
    # The same tokens cut into other documents are another source.
    merged = write_source(tmp_path / "d", [documents[0] + documents[1], *documents[2:]], 8_192)
    assert one == two
    assert len({one.digest, other.digest, merged.digest}) == 3


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_the_global_batch_is_the_same_bytes_on_any_number_of_hosts(store, hosts: int) -> None:
    folder, flat = store
    plan, tokens = _plan(flat), TokenStore(folder, flat)
    whole = load_batch(plan, tokens, 7)
    parts = [load_batch(plan, tokens, 7, host, hosts) for host in range(hosts)]
    assert np.concatenate([p.tokens_BxS for p in parts]).tobytes() == whole.tokens_BxS.tobytes()
    assert sum(token_counts(plan, whole).values()) == 16 * 64


def test_a_digest_tells_tokens_and_sources_apart(store) -> None:
    folder, flat = store
    tokens = TokenStore(folder, flat)
    digests = {load_batch(_plan(flat), tokens, step).digest for step in range(20)}
    assert len(digests) == 20
    assert load_batch(_plan(flat), tokens, 3).digest == load_batch(_plan(flat), TokenStore(folder, flat), 3).digest


def test_a_flipped_bit_on_disk_is_an_error_that_names_the_source(store) -> None:
    folder, flat = store
    chunk = next(p for p in sorted((folder / "code" / "tokens").rglob("*")) if p.is_file() and p.name == "0")
    data = bytearray(chunk.read_bytes())
    data[100] ^= 4
    chunk.write_bytes(data)
    with pytest.raises(Failure, match="'code' are missing or corrupt"):
        TokenStore(folder, flat).read([("code", 0)], 64)


def test_a_missing_source_is_named(store) -> None:
    folder, _ = store
    with pytest.raises(Failure, match="'prose'"):
        TokenStore(folder, ["prose"])


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder must go")
    with pytest.raises(Failure, match="free some space"):
        write_source(tmp_path / "blocked" / "text", _documents(0, 3), 8_192)
    assert [p.name for p in tmp_path.iterdir()] == ["blocked"]
