"""Making the sources of a study that checkpoints write: sample, execute, rank, write; done once, and kept.

Everything on the way is kept as it comes, so that a kill costs a portion of answers or of verdicts, and what is written
in the end is the same to the byte.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.make import answers, rank, teachers
from experiments.make.answers import Answer
from experiments.make.apart import sampled
from experiments.make.levels import Levels, executed_levels
from experiments.make.rank import Answered, Rules
from experiments.make.sampling import Drawing, Order
from experiments.plan.sources import RECORD_SCHEMA, folder_of, identity, promise_of, read_record, stage_of
from experiments.plan.status import trained
from experiments.score import coding
from experiments.score.coding import CodeTask
from experiments.study import Endpoint, FromStage, Made, Reference, Study
from store import appended, layout
from store.errors import UserError, about
from store.files import whole, write_sealed
from store.lock import exclusive
from store.paths import glob

Progress = Callable[[str, float, float], None]
"""Called with (what, done, total)."""
VERDICTS = "verdicts.jsonl"


def make(study: Study, store: Path, progress: Progress = lambda what, done, total: None) -> None:
    """Make those of the sources of `study` that are not made yet. Of those that differ in how many problems they have
    alone, every problem is asked once.

    Raises:
        UserError: as `experiments.plan.sources.identity`; a stage that answers is not trained; or nothing is left.
        Failure: there is no sandbox, a server cannot be used, or the disk is full; what was found so far is kept.
    """
    for made in study.made:
        promise_of(made, study)
    for group in _alike(study.made):
        _make(group, store, progress)


def _alike(every: Sequence[Made]) -> list[list[Made]]:
    """Those of which one's problems are among another's, and the rest equal: the one of most problems first."""
    groups: list[list[Made]] = []
    for made in sorted(every, key=lambda made: math.inf if made.problems is None else made.problems, reverse=True):
        group = next((group for group in groups if _but_for_problems(group[0]) == _but_for_problems(made)), None)
        if group is None:
            groups.append([made])
        else:
            group.append(made)
    return groups


def _but_for_problems(made: Made) -> Made:
    return replace(made, source="", problems=None, expected_tokens=None)


def _make(group: Sequence[Made], store: Path, progress: Progress) -> None:
    with about(f"source '{group[0].source}'"):
        for who in (group[0].student, *group[0].teachers):
            if isinstance(who, FromStage):
                _require_trained(who, store)
    missing = [made for made in group if read_record(_folder(made, store)) is None]
    if not missing:
        return
    most, folder = missing[0], _folder(missing[0], store)
    with about(f"source '{most.source}'"):  # a sandbox first: without one not even a checkpoint is asked
        task = coding.load(most.task, most.problems, 1, store)
    with exclusive(folder / layout.LOCK, f"what is made in {folder}"):
        if read_record(folder) is None:
            _write(missing, task, store, folder, progress)
            return
    _make(group, store, progress)  # somebody else made that one meanwhile, and perhaps not the others


def _folder(made: Made, store: Path) -> Path:
    folder = folder_of(made, store)
    assert folder is not None, made.source
    return folder


def _require_trained(who: FromStage, store: Path) -> None:
    stage = stage_of(who, store)
    if stage is None or not trained(stage, store):
        raise UserError(
            f"arm '{who.arm}' of study '{who.study.name}' is to answer and is not trained; first `{who.study.command}`"
        )


def _write(missing: Sequence[Made], task: CodeTask, store: Path, folder: Path, progress: Progress) -> None:
    """Have the problems of the first answered, and write all from that, the first last: its folder has the answers."""
    most = missing[0]
    key = {"made": folder.name, "prompts": task.prompt_hash}
    with about(f"source '{most.source}'"):
        answered = _answered(most, task, store, folder, key, progress)
        _require_answers(most, answered)
    texts = {each.problem.id: each.texts for each in answered}
    drawn, programs = _drawn(most, len(task.problems)), sum(map(len, texts.values()))
    levels = executed_levels(
        *(task.sandbox, task.problems, texts, folder / VERDICTS, key),
        # Executing an answer takes about as long as drawing it.
        lambda done: progress("executing programs", drawn * (1 + done / max(programs, 1)), 2 * drawn),
    )
    by_id = {each.problem.id: each for each in answered}
    for made in reversed(missing):
        its = task if made is most else coding.load(made.task, made.problems, 1, store)
        with about(f"source '{made.source}'"):
            _record(made, its.prompt_hash, [by_id[problem.id] for problem in its.problems], levels, store)
    for path in (folder / VERDICTS, *glob(folder / layout.ANSWERS, "*.jsonl")):
        appended.drop(path)


def _record(made: Made, prompts: str, answered: Sequence[Answered], levels: Levels, store: Path) -> None:
    """Write what is read, and the record of it last."""
    rows, problems = rank.documents(answered, levels, Rules(made.keep, made.drop_worse_teacher, len(made.teachers)))
    who = {name: rank.of_answers(answered, levels, number) for number, name in enumerate(names(made))}
    if not rows:
        counts = ", ".join(f"{why}: {count:,}" for why, count in problems.most_common())
        raise UserError(f"nothing is left of {len(answered):,} problems ({counts}); change who answers, or the rules")
    folder = _folder(made, store)
    record = {
        "schema": RECORD_SCHEMA,
        "source": made.source,
        "identity": identity(made, store),
        "prompts": prompts,
        "documents": len(rows),
        "problems": dict(sorted(problems.items())),
        "answers": who,
        "sha256": write_rows(folder / layout.EXAMPLES, rows),
    }
    write_sealed(folder / layout.RECORD, record)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """The sha256 of what is written."""
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    with whole(path) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _answered(
    made: Made, task: CodeTask, store: Path, folder: Path, key: dict[str, Any], progress: Progress
) -> list[Answered]:
    """What everybody says to every problem whose tests run here, and nothing to the others."""
    asked = [
        problem for problem, runs in zip(task.problems, task.runs, strict=True) if Answered(problem, runs, ()).judged
    ]
    drawing = Drawing(made.samples, made.temperatures, made.top_p)
    total, before = 2 * _drawn(made, len(task.problems)), 0
    found: dict[str, list[Answer]] = {problem.id: [] for problem in task.problems}
    for number, (name, who) in enumerate(zip(names(made), (made.student, *made.teachers), strict=True)):
        show = _showing(progress, f"{name} answers", before, total)
        if isinstance(who, Reference):
            said = teachers.solutions(asked)
        elif isinstance(who, Endpoint):
            said = teachers.replied(who, asked, drawing, store, folder, number, key, show)
        else:
            stage = stage_of(who, store)
            assert stage is not None, name
            order = Order(store, stage.folder, who.step, made.task, (), drawing, key, folder)
            said = sampled(order, asked, folder, number, show)
        before += 0 if isinstance(who, Reference) else made.samples * len(task.problems)
        for (problem, sample), row in sorted(said.items(), key=lambda item: item[0][1]):
            found[problem].append(answers.answer(number, sample, row["text"], row.get("fault", "")))
    return [
        Answered(problem, runs, tuple(found[problem.id]))
        for problem, runs in zip(task.problems, task.runs, strict=True)
    ]


def _drawn(made: Made, problems: int) -> int:
    """Answers that are drawn, about: of what does not run here there are none."""
    drawing = [who for who in (made.student, *made.teachers) if not isinstance(who, Reference)]
    return len(drawing) * made.samples * problems


def _showing(progress: Progress, what: str, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(what, before + done, total)


def names(made: Made) -> tuple[str, ...]:
    """Who answers, the student first, as records have it: each has a name of its own."""
    found: list[str] = []
    for number, who in enumerate((made.student, *made.teachers)):
        role = f"teacher {number}" if number else "student"
        found.append(f"{role}, {_title(who)}")
    return tuple(found)


def _title(who: FromStage | Reference | Endpoint) -> str:
    if isinstance(who, Reference):
        return "reference solutions"
    if isinstance(who, Endpoint):
        return who.model
    return f"{who.arm} of {who.study.key}"


def _require_answers(made: Made, answered: Sequence[Answered]) -> None:
    """Refuse whoever answers no problem at all: of what is left nobody could say what it compares."""
    judged = [each for each in answered if each.judged]
    for number, name in enumerate(names(made)):
        its = [answer for each in judged for answer in each.answers if answer.who == number]
        if judged and all(answer.fault for answer in its):
            why = ", ".join(dict.fromkeys(answer.fault for answer in its)) or "nothing was said"
            raise UserError(f"{name}, answers none of {len(judged):,} problems ({why}); leave it out, or mend it")
