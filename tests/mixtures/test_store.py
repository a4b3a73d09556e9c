"""The token store: windows as declared, never across a shard, checksums, whole or not at all."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mixtures.tokens import arrays
from mixtures.tokens.arrays import (
    CHUNK_TOKENS,
    TokenStore,
    joined_digest,
    token_dtype,
    windows_in,
    write_shard,
)
from store.errors import Failure
from store.layout import shard_name

S = 64
SHARDS = {"text": (20_000, 129, 30_000), "code": (9_000, 40, 65)}


def _shard(seed: int, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens, and the offsets of documents of random lengths."""
    rng = np.random.default_rng(seed)
    cuts = rng.integers(1, max(2, tokens), tokens // 50)
    return rng.integers(0, 8_192, tokens).astype("uint16"), np.unique([0, *cuts, tokens])


@pytest.fixture
def store(tmp_path: Path) -> tuple[Path, dict[str, list[tuple[np.ndarray, np.ndarray]]]]:
    written = {}
    for source, sizes in SHARDS.items():
        written[source] = [_shard(number, size) for number, size in enumerate(sizes)]
        for number, shard in enumerate(written[source]):
            write_shard(tmp_path / source / shard_name(number), *shard)
    return tmp_path, written


@pytest.mark.parametrize(
    ("tokens", "windows"), [([0], 0), ([64], 0), ([65], 1), ([128], 1), ([129], 2), ([64, 64, 65], 1), ([], 0)]
)
def test_the_tail_of_every_shard_is_dropped(tokens: list[int], windows: int) -> None:
    assert windows_in(tokens, S) == windows


def test_a_large_shard_is_in_several_files_and_reads_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store
) -> None:
    folder, written = store
    monkeypatch.setattr(arrays, "FILE_TOKENS", CHUNK_TOKENS)
    tokens_N, offsets = written["text"][0]
    digest = write_shard(tmp_path / "parts" / "text" / shard_name(0), tokens_N, offsets)
    files = [path.name for path in sorted((tmp_path / "parts" / "text" / shard_name(0) / "tokens" / "c").iterdir())]
    assert files == ["0", "1", "2"]
    parts, one = (TokenStore(at, {"text": (20_000,)}) for at in (tmp_path / "parts", folder))
    windows = [("text", window) for window in range(windows_in([20_000], S))]
    assert (parts.read(windows, S) == one.read(windows, S)).all()
    assert parts.digest("text") == one.digest("text") == joined_digest([digest])


def test_the_windows_of_a_source_are_those_of_its_shards_in_order(store) -> None:
    folder, written = store
    tokens = TokenStore(folder, SHARDS)
    for source, shards in written.items():
        expected = [flat[S * w : S * w + S + 1] for flat, _ in shards for w in range(windows_in([len(flat)], S))]
        assert len(expected) == windows_in(SHARDS[source], S)
        read_BxS = tokens.read([(source, window) for window in range(len(expected))], S)
        assert read_BxS.dtype == np.int32
        assert read_BxS.tolist() == np.stack(expected).tolist()
        with pytest.raises(IndexError, match=source):
            tokens.read([(source, len(expected))], S)


def test_windows_of_several_sources_come_back_in_the_order_asked_for(store) -> None:
    folder, written = store
    read = TokenStore(folder, SHARDS).read([("code", 3), ("text", 0), ("code", 3)], S)
    assert read[0].tolist() == read[2].tolist() == written["code"][0][0][3 * S : 4 * S + 1].tolist()
    assert read[1].tolist() == written["text"][0][0][: S + 1].tolist()


def test_ids_over_65535_survive(tmp_path: Path) -> None:
    assert (token_dtype(65_536), token_dtype(256_000)) == ("uint16", "uint32")
    ids = np.arange(200_000, 200_100, dtype=token_dtype(256_000))
    write_shard(tmp_path / "big" / shard_name(0), ids, np.array([0, 100]))
    assert TokenStore(tmp_path, {"big": [100]}).read([("big", 0)], 99)[0].tolist() == ids.tolist()


def test_a_store_opens_from_a_url(store) -> None:
    folder, written = store
    tokens = TokenStore(f"file://{folder}", SHARDS)
    assert tokens.read([("text", 0)], S)[0].tolist() == written["text"][0][0][: S + 1].tolist()


def test_segments_count_the_documents_of_a_window(store) -> None:
    folder, written = store
    requests = [("text", w) for w in range(windows_in(SHARDS["text"], S))]
    segments = TokenStore(folder, SHARDS).segments(requests, S)
    expected = []
    for flat, offsets in written["text"]:
        document_N = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        for window in range(windows_in([len(flat)], S)):
            its = document_N[window * S : window * S + S]
            expected.append(np.unique(its, return_inverse=True)[1].tolist())
    assert segments.tolist() == expected
    assert segments[:, 0].max() == 0 and segments.max() > 1


def test_a_digest_covers_tokens_and_documents(tmp_path: Path) -> None:
    tokens, offsets = _shard(0, 500)
    other = tokens.copy()
    other[7] ^= 1
    cases = [(tokens, offsets), (tokens, offsets), (other, offsets), (tokens, np.delete(offsets, 1))]
    one, same, changed, merged = (write_shard(tmp_path / str(n), *case) for n, case in enumerate(cases))
    assert one == same
    assert len({one, changed, merged}) == 3


@pytest.mark.parametrize("offsets", [[0, 5], [1, 10], [0, 4, 4, 10], [0, 7, 3, 10]])
def test_offsets_that_do_not_cut_the_tokens_are_refused(tmp_path: Path, offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="rise from 0 to 10"):
        write_shard(tmp_path / "a", np.zeros(10, "uint16"), np.array(offsets))


def test_tokens_that_are_all_zero_are_stored(tmp_path: Path) -> None:
    """Zarr leaves chunks of zeros out unless it is told otherwise, and then a lost chunk reads as zeros."""
    size = 2 * CHUNK_TOKENS
    write_shard(tmp_path / "zero" / shard_name(0), np.zeros(size, "uint16"), np.array([0, size]))
    assert TokenStore(tmp_path, {"zero": [size]}).read([("zero", 0)], size - 1).max() == 0
    (tmp_path / "zero" / shard_name(0) / "tokens" / "c" / "0").unlink()
    with pytest.raises(Failure, match="'zero'"):
        TokenStore(tmp_path, {"zero": [size]}).read([("zero", 0)], size - 1)


def test_a_shard_without_documents_is_a_shard(tmp_path: Path) -> None:
    write_shard(tmp_path / "few" / shard_name(0), np.zeros(0, "uint16"), np.zeros(1, np.int64))
    write_shard(tmp_path / "few" / shard_name(1), np.arange(70, dtype="uint16"), np.array([0, 70]))
    tokens = TokenStore(tmp_path, {"few": [0, 70]})
    tokens.check(["few"])
    assert tokens.read([("few", 0)], S)[0].tolist() == list(range(65))


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 4
    path.write_bytes(data)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda chunks: _flip(chunks, 100), id="a flipped bit in a chunk"),
        pytest.param(lambda chunks: _flip(chunks, -20), id="a flipped bit in the index"),
        pytest.param(_truncate, id="a truncated shard"),
        pytest.param(lambda chunks: chunks.write_bytes(b""), id="an empty file"),
        pytest.param(lambda chunks: chunks.unlink(), id="a lost chunk"),
        pytest.param(lambda chunks: (chunks.parent.parent / "zarr.json").unlink(), id="lost metadata"),
        pytest.param(lambda chunks: _flip(chunks.parent.parent / "zarr.json", 0), id="corrupt metadata"),
    ],
)
def test_a_damaged_shard_is_an_error_that_names_it_and_never_a_token(store, harm) -> None:
    folder, _ = store
    harm(folder / "code" / shard_name(0) / "tokens" / "c" / "0")
    tokens = TokenStore(folder, SHARDS)
    with pytest.raises(Failure, match=r"'code' are missing or corrupt in .*code/00000 .*prepare again"):
        tokens.read([("text", 0), ("code", 0)], S)
    assert tokens.read([("text", 0)], S).shape == (1, S + 1)  # the others can still be read


@pytest.mark.parametrize("harm", [_truncate, lambda path: _flip(path, 3), Path.unlink])
def test_damaged_document_offsets_are_an_error(store, harm) -> None:
    folder, _ = store
    harm(folder / "code" / shard_name(0) / "doc_offsets" / "c" / "0")
    with pytest.raises(Failure, match="'code' are missing or corrupt"):
        TokenStore(folder, SHARDS).segments([("code", 0)], S)


def test_a_shard_of_another_size_than_the_manifest_says_is_refused(store) -> None:
    folder, _ = store
    tokens = TokenStore(folder, {"text": SHARDS["text"], "code": (9_001, 40, 65)})
    for use in (lambda: tokens.read([("code", 0)], S), lambda: tokens.check(["text", "code"])):
        with pytest.raises(Failure, match=r"'code' .*9,000 uint16 tokens where the manifest says 9,001"):
            use()
    with pytest.raises(Failure, match="'code'"):
        tokens.segments([("code", 0)], S)


def test_a_missing_shard_shows_before_it_is_read(store) -> None:
    folder, _ = store
    (folder / "text" / shard_name(2)).rename(folder / "away")
    tokens = TokenStore(folder, SHARDS)
    tokens.check(["code"])
    with pytest.raises(Failure, match=r"'text' .*text/00002"):
        tokens.check(["code", "text"])


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder must go")
    with pytest.raises(Failure, match="free some space"):
        write_shard(tmp_path / "blocked" / shard_name(0), *_shard(0, 500))
    assert [p.name for p in tmp_path.iterdir()] == ["blocked"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from store.errors import Failure
from mixtures.tokens.arrays import write_shard
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_shard(Path(sys.argv[1]), np.zeros(100_000, "uint16"), np.array([0, 100_000]))
except Failure as error:
    print(error)
"""


def test_a_full_disk_is_an_error_and_the_older_shard_stays_whole(tmp_path: Path) -> None:
    folder = tmp_path / "text" / shard_name(0)
    tokens, offsets = _shard(0, 500)
    write_shard(folder, tokens, offsets)
    run = subprocess.run([sys.executable, "-c", FULL_DISK, str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "free some space" in run.stdout
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert TokenStore(tmp_path, {"text": [500]}).read([("text", 0)], 499)[0].tolist() == tokens.tolist()


def test_two_writers_of_a_shard_leave_one_whole_result(tmp_path: Path) -> None:
    folder = tmp_path / "text" / shard_name(0)
    shards = [_shard(number, 500) for number in range(2)]

    def write_often(number: int) -> None:
        for _ in range(25):
            write_shard(folder, *shards[number])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_often, range(2)))
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    read = TokenStore(tmp_path, {"text": [500]})
    winner = [flat.tolist() for flat, _ in shards].index(read.read([("text", 0)], 499)[0].tolist())
    ends_S = np.zeros(499, np.int32)
    ends_S[shards[winner][1][1:-1]] = 1
    assert read.segments([("text", 0)], 499)[0].tolist() == np.cumsum(ends_S).tolist()
