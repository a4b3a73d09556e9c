"""The study of a name: a file of experiments/studies, with a STUDY of one scale or a function `study` of the scale; and
what is left of it without some of its tasks."""

import difflib
import importlib
import pkgutil
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from analysis.evals.tasks import task_name
from analysis.records import read_study
from experiments.plan.check import check
from experiments.scales import SCALES
from experiments.study import Study
from store import layout
from store.errors import UserError, about

DEFAULT = "laptop"
"""The scale of a study that has several, if none is named."""


def known_studies() -> list[str]:
    package = importlib.import_module("experiments.studies")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def module_of(name: str) -> str | None:
    """The file of the study `name`, in which a hyphen is as good as an underscore, where not both have a file."""
    known = known_studies()
    alike = (each for each in known if each.replace("-", "_") == name.replace("-", "_"))
    return name if name in known else next(alike, None)


def split(name: str) -> tuple[str, str]:
    """The study and the scale of `name`, which may be what a store calls both, such as "proportion-laptop"."""
    study, hyphen, scale = name.rpartition("-")
    return (study, scale) if hyphen and scale in SCALES and not module_of(name) and module_of(study) else (name, "")


def is_study(name: str) -> bool:
    """Whether `name` is of a study, with or without a scale."""
    return module_of(split(name)[0]) is not None


def find_study(name: str, scale: str = "") -> Study:
    """The study of experiments/studies/<name>.py, at `scale`.

    Raises:
        UserError: there is no such study or scale, the study has none, its file cannot be loaded, or it is declared
            badly.
    """
    known = known_studies()
    if not scale:
        name, scale = split(name)
    module = module_of(name)
    if module is None:
        raise UserError(f"study {name!r} is unknown; {_near(name, known)}known studies: {', '.join(known)}")
    with about(f"study '{name}'"):
        study = _of_file(module, scale)
    check(study)
    return study


def scales_of(module: str) -> tuple[str, ...]:
    """The scales at which the study of a file can be asked; () for a study of one scale.

    Raises:
        UserError: the file cannot be loaded.
    """
    return () if isinstance(getattr(_loaded(module), "STUDY", None), Study) else tuple(SCALES)


def as_last_run(study: Study, store: Path) -> Study:
    """`study` without what `run --without` left out, where its last run in `store` did, and the study still asks it.

    Raises:
        Failure: the record of that run is damaged.
    """
    if not (store / layout.STUDIES / study.key / layout.STUDY).exists():
        return study
    left_out = read_study(store, study.key).left_out
    return without(study, [name for name in left_out if name in study.evaluation.can_be_left_out])


def _of_file(module: str, scale: str) -> Study:
    loaded = _loaded(module)
    study, function = getattr(loaded, "STUDY", None), getattr(loaded, "study", None)
    if not isinstance(study, Study) and callable(function):
        name = scale or DEFAULT
        if name not in SCALES:
            raise UserError(f"scale '{name}' is unknown; {_near(name, SCALES)}known scales: {', '.join(SCALES)}")
        study = _called(module, lambda: function(SCALES[name]), f"its function `study` fails at scale '{name}'")
        if not isinstance(study, Study):
            raise UserError(f"its function `study` returns no Study, but {type(study).__name__}; return one")
        if study.scale != name:  # a store would take those of all scales for one
            raise UserError(
                f"its function `study` returns one of scale '{study.scale}' for '{name}'; use ask(scale, ...)"
            )
        return study
    if not isinstance(study, Study):
        raise UserError(
            f"its file has no STUDY that is a Study, but {type(study).__name__}, and no function `study` of a scale; "
            "declare one"
        )
    if scale and scale != study.scale:
        raise UserError(f"it has one scale of its own, and no scale '{scale}'; leave --scale out")
    return study


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
    return f"did you mean '{near[0]}'? " if near else ""


def _loaded(module: str) -> ModuleType:
    return _called(
        module, lambda: importlib.import_module(f"experiments.studies.{module}"), "its file cannot be loaded"
    )


def _called(module: str, what: Callable[[], Any], problem: str) -> Any:
    """What `what`, of a file of studies, returns."""
    try:
        return what()
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # whatever a file of the user's does
        said = " ".join(str(error).split())[:300]
        raise UserError(f"{problem} ({type(error).__name__}: {said}{_line_in(module, error)})") from error


def _line_in(module: str, error: BaseException) -> str:
    """The last line of the study's own file that the error came through; a syntax error says its own."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).stem == module]
    return f"; line {lines[-1]}" if lines else ""


def without(study: Study, names: Sequence[str]) -> Study:
    """`study` that does not ask these tasks, nor do its parts; "executed" stands for all programs that are run, and
    "fresh" for the fresh documents.

    Raises:
        UserError: it asks no task of that name.
    """
    size = study.evaluation
    if unknown := [name for name in names if name not in size.can_be_left_out]:
        raise UserError(
            f"study '{study.name}' asks no task '{unknown[0]}' that could be left out; its tasks are "
            f"{', '.join(sorted(size.can_be_left_out))}"
        )
    left = replace(
        size,
        every_stage=tuple(task for task in size.every_stage if task_name(task) not in names),
        compared=tuple(task for task in size.compared if task_name(task) not in names),
        executed=() if "executed" in names else tuple(task for task in size.executed if task not in names),
        fresh=None if "fresh" in names else size.fresh,
    )
    parts = tuple(without(part, names) for part in study.parts)
    return replace(study, evaluation=left, parts=parts, left_out=(*study.left_out, *names))
