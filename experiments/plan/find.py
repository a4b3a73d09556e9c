"""The study of a name: the STUDY of a file in experiments/studies."""

import difflib
import importlib
import pkgutil
import traceback
from pathlib import Path
from types import ModuleType

from experiments.plan.check import check, naming
from experiments.study import Study
from store.errors import UserError


def known_studies() -> list[str]:
    package = importlib.import_module("experiments.studies")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def module_of(name: str) -> str | None:
    """The file of the study `name`, in which a hyphen is as good as an underscore."""
    return next((each for each in known_studies() if each.replace("-", "_") == name.replace("-", "_")), None)


def find_study(name: str) -> Study:
    """The STUDY of experiments/studies/<name>.py.

    Raises:
        UserError: there is no such study, its file cannot be loaded, or it is declared badly.
    """
    known = known_studies()
    module = module_of(name)
    if module is None:
        near = difflib.get_close_matches(name.replace("-", "_"), known, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UserError(f"study {name!r} is unknown; {hint}known studies: {', '.join(known)}")
    with naming(f"study '{name}'"):
        study = getattr(_loaded(module), "STUDY", None)
        if not isinstance(study, Study):
            raise UserError(f"its file has no STUDY that is a Study, but {type(study).__name__}; declare one")
    check(study)
    return study


def _loaded(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"experiments.studies.{module}")
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # whatever a file of the user's does
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"its file cannot be loaded ({type(error).__name__}: {said}{_line_in(module, error)})"
        ) from error


def _line_in(module: str, error: BaseException) -> str:
    """The last line of the study's own file that the error came through; a syntax error says its own."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).stem == module]
    return f"; line {lines[-1]}" if lines else ""
