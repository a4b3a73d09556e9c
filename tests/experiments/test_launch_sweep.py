"""What a launch is before any engine: its hours, workers, names and grace, against figures that can be had by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import version
from experiments.launch import sweep
from experiments.launch.slices import find_slice
from experiments.launch.sweep import Task
from experiments.plan.find import find_study
from experiments.plan.make import lay_out
from experiments.plan.supply import expected
from models.config import config, parameters


def by_hand() -> list[Task]:
    return [Task("a", None, 4), Task("b", "a", 4), Task("c", None, 3), Task("d", None, 3), Task("e", "c", 1)]


@pytest.mark.parametrize(("workers", "hours"), [(1, 15), (2, 8), (3, 8), (9, 8)])
def test_hours_are_those_of_the_longest_chain_first(workers: int, hours: float) -> None:
    assert sweep.makespan(by_hand(), workers) == hours


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), max_size=12), st.integers(1, 5))
def test_hours_keep_grahams_bound(drawn: list[tuple[int, int]], workers: int) -> None:
    """No less than the work of one and the longest chain, no more than list scheduling can waste (Graham, 1966)."""
    todo, chain = [], {}
    for number, (hours, at) in enumerate(drawn):
        parent = str(at % number) if number and at % 2 else None
        todo.append(Task(str(number), parent, hours))
        chain[str(number)] = hours + (chain[parent] if parent else 0)
    work, longest = sum(hours for hours, _ in drawn), max(chain.values(), default=0)
    found = sweep.makespan(todo, workers)
    assert max(longest, work / workers) - 1e-9 <= found <= work / workers + (1 - 1 / workers) * longest + 1e-9


@pytest.mark.parametrize(("workers", "hours"), [(1, 5), (2, 4), (9, 4)])
def test_one_worker_scores_beside_those_that_train(workers: int, hours: float) -> None:
    todo = [Task("a", None, 2), Task("a's", "a", 1, apart=True), Task("b", None, 2), Task("b's", "b", 1, apart=True)]
    assert sweep.makespan(todo, workers) == hours


def test_as_many_workers_as_have_work() -> None:
    assert sweep.kept_busy(by_hand()) == 2  # 15 hours of work in 16 of two workers
    assert sweep.kept_busy([Task("a", None, 1), Task("b", "a", 1)]) == 1
    assert sweep.kept_busy([Task(str(n), None, 1) for n in range(99)]) == sweep.MOST_WORKERS
    assert sweep.kept_busy([]) == 1


def test_the_grace_is_what_the_largest_models_checkpoint_takes() -> None:
    """benchmarks/fit.md: on 16x16 the 2.8b is divided over 16 chips in a line, of 8 hosts, on 8x8 over all 64."""
    study = find_study("scale", "paper")
    plan = lay_out(study, expected(study))
    state = 12 * parameters(config("2.8b")).total
    for name, hosts in (("v5litepod-256", 8), ("v5litepod-64", 16)):
        slice_ = find_slice(name)
        seconds = sweep.grace_seconds(lay_out(sweep.scaled(study, slice_), expected(study)), slice_)
        assert seconds == pytest.approx(30 + state / hosts / 2e8, abs=1)
    assert sweep.grace_seconds(plan, find_slice("v5litepod-256")) > sweep.GRACE_SECONDS


@pytest.mark.parametrize("key", ["paper-paper", "my_study", "Größe", "9lives", 90 * "x", "a" + 40 * "-b"])
def test_names_are_what_dns_takes(key: str) -> None:
    name = sweep.launch_name(key)
    assert len(name) <= sweep.LONGEST_NAME and name[0].isalpha() and name[-1].isalnum()
    assert name.isascii() and name.replace("-", "").isalnum() and name == name.lower()
    assert (name == key) == (key == "paper-paper") and name != sweep.launch_name(key + "x")


def test_an_image_says_which_commit_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no checkout; what its build was told stands in every record (Dockerfile)."""
    monkeypatch.setattr(version, "ROOT", tmp_path)
    monkeypatch.setenv("ABLATE_CODE", "0123456789ab")
    assert version.code_version.__wrapped__() == "0123456789ab"
    assert version.lock_digest.__wrapped__() == ""
    (tmp_path / "requirements.lock").write_bytes(b"")
    assert version.lock_digest.__wrapped__() == "e3b0c44298fc"
