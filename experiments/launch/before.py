"""What is looked at before anything is submitted: the plan, the store, and whether there is an engine."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.launch import jobset
from experiments.launch.programs import check_installed
from experiments.plan.make import lay_out, make_plan, prepared_plan
from experiments.plan.sources import as_made
from experiments.plan.stage import Plan, PreparedPlan
from experiments.plan.starts import check_trained
from experiments.plan.supply import expected
from experiments.show.plans import plan_json
from experiments.study import Study
from experiments.workers import limits
from store.errors import Failure, UserError, said
from store.paths import remote

NOWHERE = Path("/nonexistent")
"""A store with nothing in it."""
REACHED_SECONDS = 20.0
"""For a look at a remote store, in a dry run that can do without."""

Forecast = dict[str, Any]
"""Of `experiments.show.plans.plan_json`."""


def ready(study: Study, store: Path, price: float | None, engine: str, image: str) -> tuple[PreparedPlan, Forecast]:
    """The plan of a study that can be launched here and now, and its forecast.

    Raises:
        UserError: the engine is not installed, workers could not reach the store, they have no image, the data are not
            prepared, or what the study starts from is not trained.
        Failure: the store cannot be read, or the engine has no cluster for this user.
    """
    check_installed(engine)
    if engine != "local" and not remote(store):
        raise UserError(f"store {store} is on this machine, where workers cannot reach it; --store gs://bucket/path")
    if engine != "local" and not image:
        raise UserError("no image is named that workers run; build one and name it with --image")
    plan = prepared_plan(as_made(study, store), store)
    check_trained(plan, store)
    forecast = plan_json(plan, store, price)
    if engine == "jobset":
        jobset.check_access()
    return plan, forecast


def spent(plan: Plan, store: Path, price: float | None) -> float:
    """Dollars that a plan has cost before, as its workers count them; 0 where there is no price."""
    return limits.spent(plan, store, price) if price is not None and isinstance(plan, PreparedPlan) else 0.0


def without_a_store(
    study: Study, opened: Callable[[str | Path], Path], typed: str | Path, price: float | None
) -> tuple[Plan, Forecast, Path]:
    """The plan, its forecast and the store; one that cannot be read, or not soon, counts as one with nothing in it.

    Args:
        study: the study.
        opened: gives the store that was typed.
        typed: a path or URL.
        price: of a chip-hour.

    Raises:
        UserError: a path that cannot be one was typed, or the plan cannot be met.
    """
    found: list[tuple[Plan, Forecast, Path] | BaseException] = []

    def read() -> None:
        try:
            found.append(_read(study, opened, typed, price))
        except BaseException as error:
            found.append(error)

    # Clients of an object store try for minutes to reach one; a thread of theirs ends with the process.
    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(REACHED_SECONDS if remote(typed) else None)
    answer = found[0] if found else Failure(f"no answer in {REACHED_SECONDS:g} seconds")
    if isinstance(answer, UserError):
        raise answer
    if isinstance(answer, BaseException):
        print(f"warning: store {typed} cannot be read, and counts as empty ({said(answer)})", file=sys.stderr)
        plan = lay_out(study, expected(study))
        return plan, plan_json(plan, NOWHERE, price), NOWHERE
    return answer


def _read(
    study: Study, opened: Callable[[str | Path], Path], typed: str | Path, price: float | None
) -> tuple[Plan, Forecast, Path]:
    try:
        store = opened(typed)
    except UserError as error:
        if remote(typed):  # which a launch would refuse
            raise Failure(str(error)) from error
        raise
    plan = make_plan(as_made(study, store), store)
    return plan, plan_json(plan, store, price), store
