"""Whether the prompts that arms are judged on stand in what the arms were trained on.

The texts are looked for as benchmark items are when data are prepared (mixtures/decontaminate/scan.py), by the same
rule, in the documents that the study trains on; a shard is searched once and its finds are kept with the prepared data.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.evals.preference.prompts import PromptSet
from analysis.records import StudyRecord, read_stage, stage_folder
from experiments.progress import Display
from mixtures.benchmarks.item import Item
from mixtures.decontaminate import index as contamination
from mixtures.decontaminate.scan import Rule, scan
from mixtures.documents.document import Document
from mixtures.steps.executors import pool
from mixtures.steps.leaks import SearchJob, search_shard
from mixtures.tokens.manifest import Manifest, read_manifest
from store import layout
from store.errors import Failure
from store.files import read_sealed
from store.layout import Prepared
from store.paths import missing as absent

MOST_BYTES = 20_000_000_000
"""Of documents that are searched: some ten minutes of two cores, at 16 MB/s each. That more are not is said."""
DOLLY = "dolly_200"
"""The benchmark whose file has the usual prompts, for judging as for cleaning."""
ALONE_BYTES = 100_000_000
"""Up to so many, other processes would take longer to begin than to search."""

Searched = Mapping[str, Any]
"""{"why": why nothing was searched, "" where it was, and then: "rule", "documents" searched by source, "short": prompts
with too few words to be looked for, "matches": [{"prompt", "source", "score", "document", "evidence"}]}"""


def search(prompts: PromptSet, study: StudyRecord, arms: Sequence[str], store: Path) -> dict[str, Searched]:
    """Look for `prompts` in the training documents of the sources that `arms` read, and say for each what was found.

    What cannot be searched is no failure: what the judge says is worth having without it.
    """
    try:
        read = {arm: _sources(study, arm, store) for arm in arms}
        manifest = read_manifest(store / layout.PREPARED / study.prepared)
        if why := _in_the_way(manifest, read):
            return {arm: {"why": why} for arm in arms}
        assert manifest is not None
        names = [name for name in manifest.sources if any(name in its for its in read.values())]
        found, short = _search(prompts, manifest, names, store)
    except Failure as failure:
        return {arm: {"why": str(failure)} for arm in arms}
    return {arm: _of({name: found[name] for name in names if name in read[arm]}, short) for arm in arms}


def of_both(arm: Searched, baseline: Searched) -> Searched:
    """What two arms that were searched for together were trained on: of either."""
    if arm["why"]:
        return arm
    matches = {(match["source"], match["prompt"]): match for match in (*arm["matches"], *baseline["matches"])}
    documents = {**arm["documents"], **baseline["documents"]}
    return {**arm, "documents": documents, "matches": [matches[key] for key in sorted(matches)]}


def _sources(study: StudyRecord, arm: str, store: Path) -> set[str]:
    """Those that the stages of an arm read, under any seed."""
    folders = {folder for run in study.runs if run.arm == arm for folder in run.stages}
    stages = (read_stage(stage_folder(store, folder)) for folder in folders)
    return {source for stage in stages for source, tokens in stage.tokens_by_source.items() if tokens}


def _in_the_way(manifest: Manifest | None, read: Mapping[str, set[str]]) -> str:
    """Why the documents of the sources cannot be searched; "" where they can."""
    if manifest is None:
        return "the study's prepared data are not in this store"
    prompts = manifest.benchmarks.get(DOLLY, 0)
    cleaned = (
        f"; documents with one of the {prompts:,} rows that {DOLLY} had then were left out of them" if prompts else ""
    )
    sources = sorted(set().union(*read.values()))
    if unknown := [name for name in sources if name not in manifest.sources]:
        return f"the study's prepared data have no source '{unknown[0]}'"
    if absent(path for name in sources for path in (*manifest.documents(name), *manifest.roles(name))):
        return f"their documents are not in this store any more{cleaned}"
    size = sum(manifest.sources[name].bytes for name in sources)
    if size > MOST_BYTES:
        return f"they are {size / 1e9:,.0f} GB of documents, more than {MOST_BYTES / 1e9:,.0f}{cleaned}"
    return ""


def _search(
    prompts: PromptSet, manifest: Manifest, names: Sequence[str], store: Path
) -> tuple[dict[str, tuple[int, list[Any]]], list[str]]:
    """By source the number of documents searched and the matches; and the prompts that are too short."""
    items = [Item("prompts", id_, {"instruction": text}) for id_, text in _whole(prompts).items()]
    index, rule = contamination.build(items), Rule()
    looked_for = {entry.item for entry in index.components}
    short = [item.id for number, item in enumerate(items) if number not in looked_for]
    digest = index.digest[:16]
    jobs = {
        name: [
            SearchJob(
                shard, roles, store / layout.BENCHMARKS / f"{digest}.npz", rule, at.searched(digest, name, shard.stem)
            )
            for shard, roles in zip(manifest.documents(name), manifest.roles(name), strict=True)
        ]
        for at in (Prepared(manifest.folder),)
        for name in names
    }
    unsearched = absent(job.path for its in jobs.values() for job in its)
    missing = [job for its in jobs.values() for job in its if job.path in unsearched]
    if missing:
        index.save(missing[0].index)
        scan(index, rule, [Document("", "", "nothing to find")])  # the kernels compile once, and workers load them
        with Display("search") as display:
            _work(missing, sum(manifest.sources[name].bytes for name in names), display)
    return {name: _summed(its) for name, its in jobs.items()}, short


def _whole(prompts: PromptSet) -> dict[str, str]:
    """The texts without halves of surrogate pairs, which no document has."""
    return {id_: text.encode(errors="replace").decode() for id_, text in prompts.texts.items()}


def _work(jobs: Sequence[SearchJob], size: int, display: Display) -> None:
    what = "documents for the prompts"
    if size > ALONE_BYTES:
        pool()(search_shard, jobs, lambda done: display.update(what, done, len(jobs)))
        return
    for number, job in enumerate(jobs):
        display.update(what, number, len(jobs))
        search_shard(job)


def _summed(jobs: Sequence[SearchJob]) -> tuple[int, list[Any]]:
    rows = [read_sealed(job.path, "what was found of the prompts") for job in jobs]
    return sum(row["documents"] for row in rows), [match for row in rows for match in row["found"]]


def _of(found: Mapping[str, tuple[int, list[Any]]], short: Sequence[str]) -> Searched:
    """Of every source and prompt the strongest match."""
    matches: dict[tuple[str, str], Any] = {}
    for source, (_, its) in found.items():
        for match in its:
            key = source, match["item"]
            if key not in matches or match["score"] > matches[key]["score"]:
                kept = {name: match[name] for name in ("score", "document", "evidence")}
                matches[key] = {"prompt": match["item"], "source": source, **kept}
    return {
        "why": "",
        "rule": Rule().name,
        "documents": {source: documents for source, (documents, _) in found.items()},
        "short": list(short),
        "matches": [matches[key] for key in sorted(matches)],
    }
