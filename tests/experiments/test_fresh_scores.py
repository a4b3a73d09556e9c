"""Fresh documents in a study: scored as held-out ones are, in stages that were trained before, and told of."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.records import StudyRecord, read_eval, read_study, write
from analysis.report import fresh as report
from experiments.plan.check import check
from experiments.plan.find import without
from experiments.plan.make import prepared_plan
from experiments.plan.recency import newest_read
from experiments.run.train import study_record
from experiments.show.report import write_report
from experiments.study import FromFolder, FromStage
from mixtures.documents.document import Document
from mixtures.documents.parquet import read_documents
from mixtures.fresh.pinned import Fresh, Part, Release, digest_of
from mixtures.readers.fetch import Archive
from store.errors import UserError
from tests.experiments.run_worker import again
from tests.experiments.tiny import STUDY
from tests.mixtures.test_fetch import sdist


def fresh_of(documents: list[Document], store: Path) -> Fresh:
    """Each is a line of a file in a release that was downloaded before."""
    lines = [document.text for document in documents]
    archive = sdist(store / "downloads" / "pkg-1.0.tar.gz", {"pkg-1.0/a.py": "\n".join(lines).encode()})
    parts = [Part("python", "pkg", "a.py", n, n, len(s.encode()), digest_of(s)) for n, s in enumerate(lines, start=1)]
    return Fresh("2026-11-20", (Release(archive, "2026-11-21", "pkg 0.9"),), tuple(parts), {})


@pytest.fixture(scope="module")
def scored(finished_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fresh, set[Path]]:
    """A store of stages that were trained and scored before anything fresh was asked; and what it held then."""
    store = tmp_path_factory.mktemp("fresh") / "store"
    shutil.copytree(finished_store, store)
    held = [d for path in prepared_plan(STUDY, store).manifest.heldout("program") for d in read_documents(path)]
    fresh = fresh_of(held, store)
    before = {path: path.stat().st_mtime_ns for path in store.glob("stages/**/*.json*")}
    size = replace(STUDY.evaluation, fresh=fresh)
    plan = prepared_plan(replace(STUDY, evaluation=size, primary=("heldout/code/bpb", "fresh/code/bpb")), store)
    write(store / "studies" / "tiny" / "study.json", study_record(plan, store))
    again(plan, store)
    write_report(plan, store)
    assert before == {path: path.stat().st_mtime_ns for path in before}, "nothing is trained or scored twice"
    return store, fresh, {path for path in store.glob("stages/*/evals/*.json") if path not in before}


def test_only_what_is_missing_is_scored_and_as_held_out_text_is(scored: tuple[Path, Fresh, set[Path]]) -> None:
    store, _, new = scored
    held = {d.id: d.text for path in store.glob("prepared/*/heldout/program/*.parquet") for d in read_documents(path)}
    numbers = {f"python/pkg/a.py:{n}-{n}": text for n, text in enumerate(held.values(), start=1)}
    assert new and all(read_eval(path).task == "fresh/code" for path in new)
    for path in new:
        (other,) = path.parent.glob(f"heldout.code@*-{path.stem.rpartition('-')[2]}.json")
        known = {held[item["id"].removeprefix("program/")]: item for item in read_eval(other).items}
        pairs = [(item, known[text]) for item in read_eval(path).items if (text := numbers[item["id"]]) in known]
        assert len(pairs) > 1
        for its, of_heldout in pairs:
            assert its["bytes"] == of_heldout["bytes"] and its["nats"] == pytest.approx(of_heldout["nats"], rel=1e-5)


def test_the_record_and_the_report_say_since_when(scored: tuple[Path, Fresh, set[Path]]) -> None:
    store, fresh, _ = scored
    record = read_study(store, "tiny")
    assert (record.fresh["since"], record.fresh["digest"]) == ("2026-11-20", fresh.digest)
    assert record.fresh["forms"]["python"]["documents"] == len(fresh.parts)
    page = (store / "studies" / "tiny" / "report.html").read_text()
    assert "Fresh text appeared on 2026-11-20 or later" in page and "fresh/code/bpb" in page
    newest = {"day": "2026-11-18", "what": "typer 0.29.2", "known": 1, "unknown": []}
    assert "is later than 2026-11-18 (typer 0.29.2). So no model" in said(record, newest)
    assert "may hold some of it: my/files" in said(record, newest | {"unknown": ["my/files"]})


def said(record: StudyRecord, newest: dict[str, object]) -> str:
    return report.said(replace(record, fresh={**record.fresh, "newest": newest}))


def test_a_study_whose_sources_are_as_new_is_refused_and_the_task_can_be_left_out() -> None:
    fresh = Fresh("2026-11-20", (), (), {"read 1.0": "2026-11-20"})
    archive = Archive("read", "1.0", "read-1.0.tar.gz", "", "MIT")
    sources = tuple(replace(source, upstream=(archive,)) for source in STUDY.data.sources)
    size = replace(STUDY.evaluation, fresh=fresh)
    study = replace(STUDY, evaluation=size, data=replace(STUDY.data, sources=sources))
    with pytest.raises(UserError, match=r"evaluation\.fresh: documents since 2026-11-20 may be as old .*: read 1\.0"):
        check(study)
    started = replace(STUDY, evaluation=size, arms=(replace(STUDY.arms[0], start=FromStage(study, "text-only")),))
    assert newest_read(started, fresh).what == "read 1.0", "what it starts from has read it"
    foreign = replace(STUDY.arms[0], start=FromFolder(Path("/weights")))
    unknown = newest_read(replace(STUDY, arms=(foreign,)), fresh).unknown
    assert unknown[-1] == "what the weights of arm 'text-only' were trained on"
    left = without(study, ["fresh"])
    assert left.evaluation.fresh is None and left.command == "ablate run tiny --without fresh"
    check(left)
