"""Which stage a FromStage is, of the plan of its study in the same store. Loads no jax."""

from pathlib import Path

from experiments.plan.make import make_plan
from experiments.plan.stage import PreparedPlan, PreparedStage
from experiments.study import FromStage
from store.errors import UserError


def stage_of(start: FromStage, store: Path) -> PreparedStage | None:
    """The stage; None while the data of its study are not prepared, since it has no fingerprint before.

    Where no seed is given it is the first of its study.

    Raises:
        UserError: the study has no such run or stage, or the stage no such step; or as `make_plan`.
    """
    study = start.study
    seed = study.seeds[0] if start.seed is None else start.seed
    plan = make_plan(study, store)
    if (chain := plan.runs.get((start.arm, seed))) is None:
        arms, seeds = (", ".join(map(str, names)) for names in ([arm.name for arm in study.arms], study.seeds))
        raise UserError(
            f"study '{study.name}' has no run of arm '{start.arm}' with seed {seed}; its arms are {arms}, its "
            f"seeds {seeds}"
        )
    if not -len(chain) <= start.stage < len(chain):
        raise UserError(
            f"arm '{start.arm}' of study '{study.name}' has {len(chain)} stages and no stage {start.stage}; "
            "count from 0, or from the end with -1"
        )
    stage = plan.stage(chain[start.stage])
    if start.step is not None and start.step > stage.steps:
        raise UserError(f"stage '{stage.id}' ends with step {stage.steps:,} and has no step {start.step:,}")
    if not isinstance(plan, PreparedPlan):
        return None
    return plan.stage(stage.id)
