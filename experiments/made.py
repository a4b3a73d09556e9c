"""A study as it is read in a store: what checkpoints made for it stands in place of what it declares. Loads no jax."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from experiments.study import Arm, FromStage, Study


def as_made(study: Study, store: Path) -> Study:
    """`study`, and the studies that it starts from, with those of their made sources that are there.

    Raises:
        UserError, Failure: as `experiments.plan.sources.with_made`.
    """
    known: dict[int, Study] = {}

    def made(study: Study) -> Study:
        if id(study) not in known:
            arms = tuple(_started(arm, made) for arm in study.arms)
            same = all(new is old for new, old in zip(arms, study.arms, strict=True))
            known[id(study)] = _with_made(study if same else replace(study, arms=arms), store)
        return known[id(study)]

    return made(study)


def _started(arm: Arm, made: Callable[[Study], Study]) -> Arm:
    if not isinstance(arm.start, FromStage) or (study := made(arm.start.study)) is arm.start.study:
        return arm
    return replace(arm, start=replace(arm.start, study=study))


def _with_made(study: Study, store: Path) -> Study:
    if not study.made:
        return study
    from experiments.plan.sources import with_made

    return with_made(study, store)
