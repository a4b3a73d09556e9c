"""Train a tiny study as one of two processes: run_host STORE PORT RANK [STEPS]."""

import sys
import time
from pathlib import Path

import jax

from experiments import cli, trainer
from experiments.plan import Plan, make_plan
from experiments.run import use_compilation_cache
from experiments.study import Arm
from tests.experiments.tiny import HALF, TEXT, stage, study

STEPS = 50


def plan(store: Path, steps: int = STEPS) -> Plan:
    """One run of two stages."""
    stages = (stage("pretrain", HALF, steps), stage("cooldown", TEXT, 4))
    return make_plan(study(arms=(Arm("text-only", "", stages),), seeds=(0,)), store)


def train(plan: Plan, store: Path) -> None:
    """Slowly: a signal must find the run in its middle, also on a fast machine."""
    for planned in plan.stages:
        trainer.train_stage(plan, planned, store, lambda step: time.sleep(0.3), lambda rows: None)


if __name__ == "__main__":
    folder, port, rank, *steps = sys.argv[1:]
    use_compilation_cache(Path(folder))
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(rank))
    cli.guard(lambda: train(plan(Path(folder), *map(int, steps)), Path(folder)))
