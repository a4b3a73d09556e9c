"""`ablate evaluate`: score one finished stage, or one exported folder, outside any study.

Its records are kept under evaluations/<what was scored>/ of the store, named by their prompts too, and never among a
stage's own: those are compared with the other arms', which were asked a study's number of items and no other.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from analysis import metrics, statistics
from analysis.evals import harness_tasks, lengths
from analysis.evals.benchmarks import FORMATS, benchmark_of
from analysis.evals.executed_tasks import executed_task, is_executed
from analysis.evals.tasks import HARNESS, parse_task
from analysis.metrics import SCORES, Metric, TaskScores
from analysis.records import FLOAT32, EvalRecord, StageRecord, eval_path, read_eval, read_stage
from analysis.scores import item_notes
from analysis.task_scores import scores_of
from experiments.plan.status import task_version
from experiments.progress import Display
from experiments.run.train import use_compilation_cache
from experiments.run.trained import find_stage, mesh_for, open_stage
from experiments.show.table import Column, say, table
from experiments.study import INFERENCE, Evaluation
from mixtures.fresh.pinned import SHIPPED
from mixtures.tokens.manifest import Manifest, read_manifest
from mixtures.tokens.manifest import forms as manifest_forms
from store.errors import Failure, UserError, require_known
from store.files import write_json
from store.layout import PREPARED
from store.paths import glob

if TYPE_CHECKING:
    from analysis.evals.model import LanguageModel
    from experiments.score.asked import AnyTask

HELDOUT_BYTES = 60_000
"""Of held-out text of a kind, as the quickstart has it."""
DEFAULT = tuple(name for name in FORMATS if ":" not in name)


@dataclass(frozen=True)
class Target:
    """What is scored, and where its records are: its own ones, and for a stage those of its study."""

    name: str
    fingerprint: str
    step: int
    folder: Path
    stage: Path | None
    heldout: Manifest | None
    open_model: "Callable[[], LanguageModel]"
    inference: str = FLOAT32


def evaluate_target(
    name: str, store: Path, tasks: str, items: int, shots: int, out: Path | None, inference: str = FLOAT32
) -> dict[str, Any]:
    """Score what has no record yet and return every score.

    Args:
        name: a stage's folder in the store or the beginning of its name, or a folder that holds an exported model.
        store: root of the records.
        tasks: names with commas between; "" for all benchmarks, and the held-out kinds where their text is there.
        items: of each benchmark, the first by sha256 of the id; 0 for all.
        shots: examples before every question of a benchmark.
        out: a file for the result and all items, beside the records.
        inference: what a stage is scored in, one of `experiments.study.INFERENCE`.

    Returns:
        {"target", "fingerprint", "step", "inference",
        "tasks": [{"task", "version", "prompt_hash", "n", "empty", "gap"}],
        "scores": [{"metric", "n", "value", "low", "high", "chance"}], "coverage", "notes"}.

    Raises:
        UserError: no such target, task or inference, or an exported model in another one than float32.
        Failure: the checkpoint or a record is damaged, or the disk is full.
    """
    if out is not None and (out.suffix != ".json" or out.is_dir()):
        raise UserError(f"cannot write scores to '{out}'; give a name of a file that ends in .json")
    require_known("inference", inference, INFERENCE)
    target = _stage(name, store, inference) if not Path(name).is_dir() else _exported(Path(name), store, inference)
    names = _names(tasks, shots, target)
    use_compilation_cache(store)
    from experiments.score.asked import cost, load_task
    from experiments.score.checkpoints import Checkpoint, score

    benchmarks, number = tuple(name for name in names if not is_executed(name)), items or None
    size = Evaluation(HELDOUT_BYTES, () if items else benchmarks, benchmarks, items, problems=number, fresh=SHIPPED)
    loaded = [load_task(each, size, target.heldout, store) for each in names]
    paths = [_path(target, task) for task in loaded]
    work = {path: task for path, task in zip(paths, loaded, strict=True) if not path.exists()}
    total = sum(map(cost, work.values()))
    found = {}
    if work:
        with Display("evaluate") as display:
            found = score(
                Checkpoint(target.fingerprint, target.step, inference),
                work,
                target.open_model,
                lambda done: display.update(target.name, done, total),
            )
    records = [found[path] if path in found else read_eval(path) for path in paths]
    document = _document(target, records)
    if out is not None:
        write_json(out, document | {"items": {record.task: list(record.items) for record in records}})
    return document


def _stage(name: str, store: Path, inference: str) -> Target:
    folder = find_stage(name, store)
    record = read_stage(folder)
    kept = store / "evaluations" / folder.name
    open_model = lambda: open_stage(folder, store, inference)  # noqa: E731
    heldout = _prepared(record, store)
    return Target(folder.name, record.fingerprint, record.steps, kept, folder, heldout, open_model, inference)


def _prepared(record: StageRecord, store: Path) -> Manifest | None:
    """The prepared data that the stage was trained on, if they are still there."""
    infilling = bool(record.identity.get("infilling", False))
    for folder in glob(store / PREPARED, "*"):
        try:
            manifest = read_manifest(folder)
        except Failure:  # of another study, or an older version's
            continue
        if manifest is not None and manifest.tokenizer_digest == record.identity["tokenizer"]:
            forms = manifest_forms(manifest, record.identity["sequence"], infilling)
            there = {name: form.digest for name, form in forms.items()}
            if record.identity["data"].items() <= there.items():
                return manifest
    return None


def _exported(folder: Path, store: Path, inference: str) -> Target:
    if inference != FLOAT32:
        raise UserError(
            f"{folder} is an exported model, which is scored in float32; name a stage, or leave --inference"
        )
    from analysis.evals.model import opened

    model = opened(folder, mesh_for)  # refuses a folder that holds no model before its files are read twice
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json")):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    fingerprint = digest.hexdigest()[:16]
    kept = store / "evaluations" / fingerprint
    return Target(str(folder), fingerprint, 0, kept, None, None, lambda: model)


def _names(tasks: str, shots: int, target: Target) -> list[str]:
    """What was asked for, each name checked, with the shots in those of benchmarks."""
    kinds = {source.kind for source in target.heldout.sources.values()} if target.heldout else set()
    heldout = [f"heldout/{kind}" for kind in metrics.HELDOUT_KINDS if kind in kinds]
    asked = [name.strip() for name in tasks.split(",")] if tasks else [*heldout, *DEFAULT]
    names = []
    for name in asked:
        if name.startswith("heldout/"):
            if name not in heldout:
                there = ", ".join(heldout) or "none: its prepared data are not in the store"
                raise UserError(f"task '{name}' is not to be had for {target.name}; held-out text there: {there}")
            names.append(name)
        elif name.startswith(metrics.FRESH):
            if (kind := name.removeprefix(metrics.FRESH)) not in SHIPPED.kinds:
                raise UserError(f"there is no fresh text of kind '{kind}'; there is of {', '.join(SHIPPED.kinds)}")
            names.append(name)
        elif is_executed(name):
            executed_task(name)
            names.append(name)
        elif lengths.is_long(name):
            lengths.parse(name)
            names.append(name)
        else:
            spec = parse_task(name)
            if spec.name.startswith(HARNESS):
                harness_tasks.check(benchmark_of(spec.name).removeprefix(HARNESS))
            names.append(replace(spec, shots=shots or spec.shots).asked)
    return list(dict.fromkeys(names))


def _path(target: Target, task: "AnyTask") -> Path:
    """Where its record is: among the stage's own if those are of the same prompts, else among the target's."""
    from experiments.score.asked import prompts

    version, asked = task_version(task.name), prompts(task)
    if target.stage is not None:
        pattern = eval_path(target.stage, task.name, version, target.step, "*", target.inference)
        for own in glob(pattern.parent, pattern.name):
            if read_eval(own).prompt_hash == asked:
                return own
    how = "" if target.inference == FLOAT32 else f"-{target.inference}"
    return target.folder / f"{task.name.replace('/', '.')}@{version}-{asked}{how}.json"


def _document(target: Target, records: Sequence[EvalRecord]) -> dict[str, Any]:
    scored: dict[str, TaskScores] = {}
    for record in records:
        if not record.gap:
            scored |= scores_of(record, target.name)
    found = [metric for metric in metrics.metrics_for(scored) if metrics.value(metric, scored) is not None]
    tasks = [
        {
            **{key: getattr(record, key) for key in ("task", "version", "prompt_hash", "gap")},
            "n": len(record.items),
            "empty": sum(item.get("said") == "" for item in record.items),
        }
        for record in records
    ]
    return {
        **{"target": target.name, "fingerprint": target.fingerprint, "step": target.step},
        **{"inference": target.inference, "tasks": tasks},
        "scores": [_score(metric, scored) for metric in found],
        "coverage": metrics.coverage(found),
        "notes": [line for record in records if not record.gap for line in item_notes(scored[record.task])],
    }


def _score(metric: Metric, scored: Mapping[str, TaskScores]) -> dict[str, Any]:
    """One metric with its 95 % interval.

    For shares it is Wilson's, and for a mean of several tasks' shares theirs, put together as those of independent
    samples are (Zou and Donner 2008); neither shrinks to nothing at 0 % as Student's t over items (or the packages or
    works that they are from) does, which the others get. It has no ends, None, where nothing varies.
    """
    value = metrics.value(metric, scored)
    assert value is not None
    low: float | None
    high: float | None
    if metric.score.share:
        below = above = 0.0
        for task, weight in metric.parts:
            score_N, size_N = metrics.score_and_size(metric.score, scored[task])
            low, high = statistics.share_interval(score_N[size_N > 0].tolist())
            share = float(score_N.sum() / size_N.sum())
            below, above = below + (weight * (share - low)) ** 2, above + (weight * (high - share)) ** 2
        low, high = max(0.0, value - math.sqrt(below)), min(1.0, value + math.sqrt(above))
    else:
        sides = [(weight, metrics.side(metric.score, [scored[task]])) for task, weight in metric.parts]
        parts = [(weight * side.linear[1][0], side.size_SxN[0]) for weight, side in sides]
        found = statistics.over_items(value, parts)
        low, high = (end if math.isfinite(end) else None for end in (found.low, found.high))
    n = sum(len(scored[task].ids) for task, _ in metric.parts)
    return {"metric": metric.name, "n": n, "value": value, "low": low, "high": high, "chance": metric.chance}


def print_evaluated(document: dict[str, Any], console: Console) -> None:
    """The leading scores of every task and the means over tasks, then what could not be scored."""

    def metric(row: Mapping[str, Any]) -> Metric:
        return Metric(row["metric"], SCORES[row["metric"].rpartition("/")[2]], ())

    def written(row: Mapping[str, Any], what: str) -> str:
        return "–" if row[what] is None else metric(row).score.value_text(row[what])

    columns: dict[str, Column] = {
        "score": lambda row: metric(row).label,
        "n": "n",
        "value": lambda row: written(row, "value"),
        "95 % interval": lambda row: f"[{written(row, 'low')}, {written(row, 'high')}]",
        "chance": lambda row: written(row, "chance"),
    }
    leading = [row for row in document["scores"] if metric(row).score.name not in ("correct_prob", "margin")]
    how = "" if document["inference"] == FLOAT32 else f", {document['inference']}"
    console.print(table(f"{document['target']}, step {document['step']}{how}", leading, columns))
    how = "Intervals: Wilson's for shares, else Student's t over items. Margins and probabilities are in --json."
    say(console, how, *(line for line in document["coverage"] if "mean over 0 " not in line), *document["notes"])
    for task in document["tasks"]:
        if task["empty"]:
            say(console, f"{task['task']}: {task['empty']} of {task['n']} answers are empty, which is wrong")
        if task["gap"]:
            say(console, f"missing: {task['task']} ({task['gap']})")
