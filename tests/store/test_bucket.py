"""A store in a bucket: what is written is there whole, a listing is what is there, and a lease has one holder."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from store import appended, files, kept_rows, lease, paths
from store.errors import Away, Failure, UserError
from store.lease import Held, Lost
from store.lock import exclusive, held, shared_store, whole_store
from tests import bucket as buckets
from tests.bucket import Bucket
from tests.conftest import ROOT


@pytest.fixture
def store(bucket: Bucket) -> Path:
    return paths.at("gs://bucket/runs/")


@pytest.fixture(params=["disk", "bucket"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store of each kind."""
    return tmp_path if request.param == "disk" else request.getfixturevalue("store")


def test_a_store_in_a_bucket_answers_as_a_folder_does(either: Path) -> None:
    """Names, patterns, files that are there or not; in the bucket every folder has an object too, as tools leave it."""
    for name in ("a/b/c.json", "a/b/d.json", "a/x/c.json", "z.json"):
        files.write_sealed(either.joinpath(*name.split("/")), {"schema": 1, "name": name})
    assert paths.names(either) == ["a", "z.json"] and paths.names(either / "a") == ["b", "x"]
    assert paths.names(either / "none") == []
    found = [str(path.relative_to(either)) for path in paths.glob(either, "a/*/c.json")]
    assert found == ["a/b/c.json", "a/x/c.json"]
    assert [path.name for path in paths.glob(either, "*/b/*.json")] == ["c.json", "d.json"]
    assert files.read_sealed(either / "z.json", "it", 1) == {"name": "z.json"}
    assert paths.there(either / "z.json") and not paths.there(either / "y.json")
    files.remove(either / "z.json")
    files.remove(either / "z.json")
    assert paths.names(either) == ["a"]
    with pytest.raises(Failure, match="it cannot be read"):
        files.read_sealed(either / "z.json", "it")


def test_a_listing_has_what_stands_on_its_second_page(store: Path, bucket: Bucket) -> None:
    wanted = [f"{number:04d}" for number in range(2 * buckets.PAGE + 1)]
    for name in wanted:
        bucket[f"runs/many/{name}"] = b"1"
    assert paths.names(store / "many") == wanted


def test_what_was_begun_and_not_ended_is_not_there(either: Path) -> None:
    files.write_text(either / "old.txt", "old")
    with pytest.raises(ZeroDivisionError), files.whole(either / "old.txt") as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert paths.read(either / "old.txt") == b"old" and paths.names(either) == ["old.txt"]


def test_a_folder_is_published_with_all_that_is_in_it(either: Path) -> None:
    for content in (b"1", b"2"):
        with files.scratch(either / "tokens" / "00000") as own:
            (own / "c").mkdir()
            (own / "c" / "0").write_bytes(content)
            (own / "zarr.json").write_bytes(b"{}")
            files.publish(own, either / "tokens" / "00000")
        assert paths.read(either / "tokens" / "00000" / "c" / "0") == content
        assert paths.names(either / "tokens") == ["00000"]


def test_what_is_appended_is_read_in_order_and_cut_back(either: Path) -> None:
    path = either / "ledger.jsonl"
    assert appended.read(path) == b""
    for number in range(0, 12, 2):
        appended.append(path, b"%d\n%d\n" % (number, number + 1))
    assert appended.read(path).split() == [b"%d" % number for number in range(12)]
    assert appended.tail(path, 6).endswith(b"10\n11\n")
    appended.cut(path, 7)  # in the midst of a piece
    assert appended.read(path) == b"0\n1\n2\n3\n4\n5\n6\n"
    appended.append(path, b"7\n")
    appended.join(path)
    appended.append(path, b"8\n")
    assert appended.read(path) == b"".join(b"%d\n" % number for number in range(9))
    appended.cut(path, 100)
    assert len(appended.read(path).split()) == 9
    appended.drop(path)
    assert appended.read(path) == b""


def test_a_join_that_was_killed_in_its_midst_doubles_nothing(store: Path, bucket: Bucket) -> None:
    """What was joined is there, and the pieces that it is made of are still, all or some."""
    path = store / "ledger.jsonl"
    for number in range(4):
        appended.append(path, b"%d\n" % number)
    before = {name: bucket[name] for name in bucket.names("runs/ledger")}
    appended.join(path)
    (joined,) = bucket.names("runs/ledger")
    for left in (before, dict(list(before.items())[2:])):
        for name, content in left.items():
            bucket[name] = content
        assert appended.read(path) == b"0\n1\n2\n3\n"
        assert joined in bucket.names("runs/ledger")
    appended.append(path, b"4\n")
    assert appended.read(path) == b"0\n1\n2\n3\n4\n"


def test_kept_rows_of_an_unfinished_evaluation_stay(either: Path) -> None:
    key, path = {"step": 3}, either / "a.partial.jsonl"
    kept_rows.keep(path, key, [{"item": 1}, {"item": 2}])
    kept_rows.keep(path, key, [{"item": 3}])
    assert [row["item"] for row in kept_rows.read(path, key)] == [1, 2, 3]
    assert kept_rows.read(path, {"step": 4}) == []


def test_a_busy_store_is_asked_again(store: Path, bucket: Bucket) -> None:
    bucket.flaky = 3
    for number in range(3):
        files.write_text(store / f"{number}.txt", str(number))
    assert [paths.read(path) for path in paths.glob(store, "*.txt")] == [b"0", b"1", b"2"]


def test_a_client_that_gives_up_is_told_from_a_file_that_is_not_there(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is wrong with what is there: nobody is told to delete it, and a worker waits."""
    with pytest.raises(Failure, match="delete it"):
        files.read_sealed(store / "a.json", "a record")

    def give_up(*_: object, **__: object) -> None:
        raise RuntimeError("out of retries")

    monkeypatch.setattr(type(store.fs), "_cat_file", give_up)  # type: ignore[attr-defined]
    monkeypatch.setattr(type(store.fs), "_open", give_up)  # type: ignore[attr-defined]
    for reading in (files.read_sealed, files.read_json):
        with pytest.raises(
            Away, match=r"a\.json cannot be reached \(RuntimeError: out of retries\); see to the network"
        ):
            reading(store / "a.json", "a record")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("gs://nowhere/runs", "bucket gs://nowhere does not exist"),
        ("gopher://bucket/runs", "gopher://bucket/runs cannot be used"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_one_line(bucket: Bucket, typed: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        paths.require_bucket(paths.at(typed))
    assert "\n" not in str(error.value)


def test_a_bucket_that_refuses_is_told_from_one_that_is_not_there(store: Path, bucket: Bucket) -> None:
    bucket.refuse = 403
    with pytest.raises(UserError, match=r"gs://bucket cannot be reached .*credentials"):
        paths.require_bucket(store)
    with pytest.raises(Away, match=r"cannot write gs://bucket/runs/a\.txt"):
        files.write_text(store / "a.txt", "a")


def test_a_lease_has_one_holder_and_is_given_back(either: Path) -> None:
    path = either / "stages" / "x" / "lock"
    assert held(path) == ""
    with exclusive(path, "stage x") as check:
        check()
        assert str(os.getpid()) in held(path)
        with pytest.raises(Held, match=f"stage x is in use by process {os.getpid()}"), exclusive(path, "stage x"):
            pass
    assert held(path) == ""
    with exclusive(path, "stage x"):
        pass


def test_of_many_who_reach_for_a_lease_one_has_it(store: Path) -> None:
    """At the same moment: the store decides, by the generation that each has seen."""
    winners, start = [], threading.Barrier(8)

    def reach() -> None:
        start.wait()
        try:
            with exclusive(store / "lock", "it"):
                winners.append(1)
                done.wait()
        except Held:
            pass
        finally:
            tried.release()

    for _ in range(3):
        done, tried = threading.Event(), threading.Semaphore(0)
        threads = [threading.Thread(target=reach) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(7):
            assert tried.acquire(timeout=60)
        while not winners:  # the last of them is on its way
            time.sleep(0.01)
        assert len(winners) == 1
        done.set()
        for thread in threads:
            thread.join()
        winners.clear()


HOLDER = """
import sys, time
from store import paths
from store.lock import exclusive
with exclusive(paths.at(sys.argv[1]) / "lock", "it"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_lease_of_a_killed_process_runs_out_and_that_of_a_living_one_does_not(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_LEASE_SECONDS", "1.5")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(store)], cwd=ROOT, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    until = time.monotonic() + 3
    while time.monotonic() < until:
        with pytest.raises(Held), exclusive(store / "lock", "it"):
            pass
        time.sleep(0.2)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    killed = time.monotonic()
    while True:
        try:
            with exclusive(store / "lock", "it") as check:
                check()
                break
        except Held:
            assert time.monotonic() - killed < 30
            time.sleep(0.1)


def test_a_clock_that_jumps_takes_no_lease_from_anyone(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only spans are measured, so what the wall says does not count, here or on the other machine."""
    with exclusive(store / "lock", "it") as check:
        for away in (-1e9, 1e9):
            monkeypatch.setattr(time, "time", lambda away=away: away)
            with pytest.raises(Held), exclusive(store / "lock", "it"):
                pass
            check()


def test_who_has_lost_a_lease_is_told_before_it_writes(
    store: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped for a while, another took the lease; or nobody did, and the store does not answer."""
    monkeypatch.setenv("ABLATE_LEASE_SECONDS", "0.6")
    with exclusive(store / "lock", "it") as check:
        bucket["runs/lock"] = b"{}"  # another's
        with pytest.raises(Lost, match="another may be at it"):
            while True:
                check()
                time.sleep(0.05)
    assert bucket["runs/lock"] == b"{}", "what is another's is not given back"
    with exclusive(store / "other", "it") as check:
        check()
        monkeypatch.setattr(lease.Lease, "_renew", lambda self: None)
        with pytest.raises(Lost):
            while True:
                check()
                time.sleep(0.05)


def test_a_store_is_held_whole_to_prepare_and_shared_to_train(either: Path) -> None:
    with whole_store(either) as share:
        with pytest.raises(Held), whole_store(either):
            pass
        if not paths.remote(either):  # in a bucket workers only read what is prepared
            with pytest.raises(Held), shared_store(either):
                pass
        share()
        with shared_store(either):
            pass


def test_a_lease_time_that_is_no_time_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("soon", "-3", "0", "nan", "inf"):
        monkeypatch.setenv("ABLATE_LEASE_SECONDS", text)
        with pytest.raises(UserError, match="ABLATE_LEASE_SECONDS is"):
            lease.seconds()
