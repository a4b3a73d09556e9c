"""A study on files of one's own: what is prepared, what is held out, and what is said when the files change."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from experiments.plan.make import make_plan
from experiments.plan.stage import PreparedPlan
from experiments.plan.warnings import heldout_warnings
from experiments.score.asked import heldout
from experiments.show.plans import plan_json, print_plan
from experiments.show.states import print_status, status_json
from experiments.study import Evaluation, Study
from mixtures.catalogue import files
from mixtures.prepare import DataSpec, prepare, with_identities
from mixtures.steps.select import COPY
from mixtures.tokens.manifest import Manifest
from store.errors import Failure, UserError
from tests.experiments import tiny


def here(work: Callable[[Any], None], jobs: Sequence[Any], done: Callable[[int], None]) -> None:
    for job in jobs:
        work(job)


def quiet(what: str, done: int, total: int) -> None:
    pass


def write(path: Path, documents: int, word: str) -> None:
    rows = [{"text": f"{word} " * 60 + f"{number} of {word}", "repo": f"{number % 2}"} for number in range(documents)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def study(folder: Path, share: float = 0.05) -> Study:
    sources = (
        files("prose", "text", folder / "prose.*.jsonl"),
        files("program", "code", folder / "code.jsonl", group="repo"),
    )
    return replace(tiny.study(2), data=DataSpec(sources, 320, share, 20_000))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("own")
    write(folder / "prose.a.jsonl", 143, "river")
    write(folder / "prose.b.jsonl", 213, "stone")
    write(folder / "code.jsonl", 100, "return")
    return folder, prepare(study(folder).data, folder / "store", quiet, here)


def test_a_corpus_in_two_files_is_held_out_by_document(prepared: tuple[Path, Manifest]) -> None:
    source = prepared[1].sources["prose"]
    assert source.documents + source.heldout_documents == 356
    assert abs(source.heldout_documents - 0.05 * 356) <= 1


def test_groups_that_are_too_large_are_named(prepared: tuple[Path, Manifest]) -> None:
    folder, manifest = prepared
    (line,) = heldout_warnings(study(folder), manifest)
    assert line.startswith("50 of 100 documents of source 'program' are held out (50.0%), not the 5.0% asked for: its")


def test_a_source_of_one_group_is_trained_on_and_said_to_have_nothing_held_out(tmp_path: Path) -> None:
    write(tmp_path / "prose.a.jsonl", 20, "river")
    (tmp_path / "code.jsonl").write_text(
        "".join(json.dumps({"text": "x = 1\n" * n, "repo": "r"}) + "\n" for n in range(5, 9))
    )
    asked = study(tmp_path)
    manifest = prepare(asked.data, tmp_path / "store", quiet, here)
    assert manifest.sources["program"].documents == 4
    assert [line for line in heldout_warnings(asked, manifest) if "program" in line] == [
        "nothing of source 'program' is held out: its 4 documents are of one group; name a finer one"
    ]
    elsewhere = replace(manifest.sources["program"], dropped={COPY: 7})
    assert heldout_warnings(asked, replace(manifest, sources={"program": elsewhere})) == [
        "nothing of source 'program' is held out: other sources hold out 7 of its documents"
    ]
    assert (
        heldout(manifest, "code", Evaluation(1_000, (), (), 0)).gap
        == "nothing of program is held out: all of it is of one group, or none was asked for"
    )


def test_plan_and_status_say_what_changed_and_old_data_are_not_taken(prepared: tuple[Path, Manifest]) -> None:
    folder, manifest = prepared
    store = folder / "store"
    plan = make_plan(study(folder), store)
    assert plan.manifest == manifest and plan.changes == ()
    write(folder / "prose.a.jsonl", 144, "rivers")
    write(folder / "prose.c.jsonl", 5, "light")
    plan = make_plan(study(folder), store)
    said = "source 'prose' is not what was last prepared: files: 1 changed, 1 new"
    assert not isinstance(plan, PreparedPlan) and plan.changes == (said,)
    for document, show in ((plan_json(plan, store), print_plan), (status_json(plan, store), print_status)):
        console = Console(width=200, record=True, file=(folder / "out").open("w"))
        show(document, console)
        assert said in console.export_text()
    again = prepare(study(folder).data, store, quiet, here)
    assert again.sources["prose"].digest != manifest.sources["prose"].digest
    assert again.sources["program"].folder == manifest.sources["program"].folder  # read once
    assert make_plan(study(folder), store).changes == ()


def test_files_that_change_after_they_were_looked_at_are_not_read_under_their_old_name(tmp_path: Path) -> None:
    write(tmp_path / "prose.a.jsonl", 40, "river")
    write(tmp_path / "code.jsonl", 40, "return")
    data = with_identities(study(tmp_path).data, tmp_path / "store")
    write(tmp_path / "prose.a.jsonl", 40, "stone")
    with pytest.raises(Failure, match="source 'prose': its files changed while they were listed; run the command"):
        prepare(data, tmp_path / "store", quiet, here)
    assert prepare(study(tmp_path).data, tmp_path / "store", quiet, here).sources["prose"].documents == 38


def test_prepared_data_outlive_their_files_but_no_slip_of_the_pen(
    prepared: tuple[Path, Manifest], tmp_path: Path
) -> None:
    """A host that trains need not see the corpus."""
    folder, _ = prepared
    before = make_plan(study(folder), folder / "store")
    for path in folder.glob("*.jsonl"):
        path.rename(tmp_path / path.name)
    plan = make_plan(study(folder), folder / "store")
    assert plan.manifest == before.manifest
    assert plan.changes[0] == "source 'prose': its files are not here; what was read of them is used"
    mistyped = (files("prose", "text", folder / "pose.*.jsonl"), study(folder).data.sources[1])
    other = replace(study(folder).data, sources=mistyped)
    with pytest.raises(UserError, match=r"source 'prose': no file matches .*pose"):
        make_plan(replace(study(folder), data=other), folder / "store")
    for path in tmp_path.glob("*.jsonl"):
        path.rename(folder / path.name)
    assert make_plan(study(folder), folder / "store").changes == ()
