"""What training a study takes besides its stages: its record, and where compiled programs are kept."""

import errno
import os
import warnings
from pathlib import Path
from typing import Any

from analysis.records import RunRecord, StudyRecord
from experiments.plan import status
from experiments.plan.recency import newest_read
from experiments.plan.stage import PreparedPlan
from experiments.study import Study
from mixtures.fresh.dates import told
from store import layout
from store.errors import UserError
from store.paths import place


def study_record(plan: PreparedPlan, store: Path) -> StudyRecord:
    """Arms, seeds and lineage as analysis reads them."""
    study = plan.study
    runs = tuple(
        RunRecord(
            arm=arm,
            seed=seed,
            stages=tuple(plan.stage(id).folder for id in chain),
            kinds=tuple(plan.stage(id).stage.kind for id in chain),
            init_seed=study.init_seeds.get(seed),
            data_seed=study.data_seeds.get(seed),
            inference=study.arm(arm).inference,
        )
        for (arm, seed), chain in plan.runs.items()
    )
    return StudyRecord(
        name=study.key,
        question=study.question,
        hypothesis=study.hypothesis,
        baseline=study.baseline,
        arms={arm.name: arm.description for arm in study.arms},
        runs=runs,
        primary=study.primary,
        command=study.command,
        prepared=plan.manifest.folder.name,
        asked=status.asked(plan, store),
        origins={arm.name: arm.origin for arm in study.arms if arm.origin},
        expected=tuple(vars(each) for each in study.expected),
        baselines={arm.name: arm.against for arm in study.arms if arm.against},
        left_out=study.left_out,
        margins=dict(study.margins),
        composite=study.composite.flat if study.composite else {},
        fresh=_fresh(study),
    )


def _fresh(study: Study) -> dict[str, Any]:
    fresh = study.evaluation.fresh
    return told(fresh, newest_read(study, fresh)) if fresh else {}


def use_compilation_cache(store: Path) -> None:
    """Keep compiled programs in the store, or where JAX_COMPILATION_CACHE_DIR says; the next process starts at once.

    Raises:
        UserError: there is an accelerator and jax does not find it.
    """
    from models.devices.threads import accelerated, one_thread

    one_thread()
    import jax

    if accelerated() and jax.default_backend() == "cpu":
        raise UserError(
            "jax finds no accelerator, and there is one; see to its driver, or set JAX_PLATFORMS=cpu to use the CPU"
        )
    # That there is no room for them stops nothing; the first record or checkpoint that does not fit tells it. Nor does
    # one that another process is about to write, or was when it was killed: it is compiled again.
    full = f"{errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG}"
    warnings.filterwarnings("ignore", rf"Error writing persistent compilation cache .*\[Errno ({full})\]")
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache")
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", place(store / layout.XLA))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
