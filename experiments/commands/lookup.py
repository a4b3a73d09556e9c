"""The study that a command is asked about, found and planned; what takes long to load is imported when it is needed."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.plan.stage import Plan
    from experiments.study import Study


def asked(name: str, scale: str) -> "Study":
    """The study of a name at a scale.

    Raises:
        UserError: as `experiments.plan.find.find_study`.
    """
    from experiments.plan.find import find_study

    return find_study(name, scale)


def planned_as_run(study: str, scale: str, store: Path) -> "Plan":
    """The plan of a study as it was last run, without what `run --without` left out."""
    from experiments.plan.find import as_last_run
    from experiments.plan.make import make_plan
    from experiments.plan.sources import as_made

    return make_plan(as_made(as_last_run(asked(study, scale), store), store), store)
