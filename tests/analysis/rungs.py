"""A store that holds one study at two scales, written through the record writers, with a known truth.

Bits per byte of an arm are E + B / (m D / END)^BETA at D tokens, so m is what its end is worth. Not the system under
test.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from analysis.records import (
    EndRecord,
    EvalRecord,
    RunRecord,
    StageRecord,
    StudyRecord,
    eval_path,
    write,
)

END, PIECES, STEPS = 600_000, 6, 10
E, B, BETA = 1.0, 1.0, 0.4
METRIC = "heldout/code/bpb"
SMALL, LARGE = "proportion-laptop", "proportion-desktop"


def bits(worth: float, share: float = 1.0) -> float:
    """Of an arm that has read this share of its tokens."""
    return E + B * (worth * share) ** -BETA


def write_rung(
    store: Path,
    key: str,
    worth: Mapping[str, float],
    seeds: Sequence[int] = (0, 1, 2),
    luck: float = 0.002,
    pieces: int = PIECES,
    task: str = "heldout/code",
    models: Mapping[str, str] = {},
    baselines: Mapping[str, str] = {},
    primary: Sequence[str] = (METRIC,),
    n_items: int = 40,
    number: int = 0,
    kinds: Sequence[str] = (),
    fit: float = 0.0,
    flops: float = 1.0,
) -> None:
    """One study whose arms are worth so much; the first is the baseline, and is scored at so many points.

    Args:
        luck: what a seed of an arm is off by, in bits per byte, all along its run; a point by a tenth of it.
        fit: how far items suit an arm, in bits per byte.
        kinds: of the baseline's stages, where they are not pieces of one.
        number: another one, another draw.
        flops: of a stage.
    """
    baseline, runs = next(iter(worth)), []
    for arm, seed in ((arm, seed) for arm in worth for seed in seeds):
        rng = np.random.default_rng([number, list(worth).index(arm), seed])
        suits_N = fit * np.random.default_rng([number, list(worth).index(arm)]).normal(size=n_items)
        off, count = rng.normal(0, luck), pieces if arm == baseline else 1
        names, parent = [], None
        for piece in range(1, count + 1):
            kind = kinds[piece - 1] if kinds and arm == baseline else "pretrain"
            fingerprint = f"{key}{arm}{seed}{piece}".encode().hex()
            stage = StageRecord(
                id=f"{arm}-{piece}-s{seed}", fingerprint=fingerprint, kind=kind, model=models.get(arm, "1m"),
                parent=parent, seed=seed, steps=STEPS, tokens=END // count, tokens_by_source={"a": END // count},
                tokens_by_kind={"text": END // count}, epochs_by_source={"a": 0.1}, flops=flops,
                tokens_before=(piece - 1) * (END // count), identity={},
            )  # fmt: skip
            folder = store / "stages" / f"{key}-{arm}-s{seed}-{piece}"
            level = bits(worth[arm], piece / count) + off + rng.normal(0, luck / 10)
            length_N = np.random.default_rng(7).integers(50, 150, n_items)
            nats_N = (level + suits_N) * length_N * math.log(2)
            items = [{"id": f"{i}", "nats": float(nats_N[i]), "bytes": int(n)} for i, n in enumerate(length_N)]
            write(folder / "stage.json", stage)
            write(folder / "done.json", EndRecord(STEPS, END // count, 1.0, 1.0))
            write(eval_path(folder, task, 1, STEPS), EvalRecord(task, 1, "p", fingerprint, STEPS, tuple(items)))
            names, parent = [*names, folder.name], fingerprint
        runs.append(
            RunRecord(arm, seed, tuple(names), tuple(kinds) if kinds and len(names) > 1 else ("pretrain",) * count)
        )
    command = f"ablate run {key.replace('-', ' --scale ')}"
    study = StudyRecord(
        key, "How much?", "", baseline, dict.fromkeys(worth, ""), tuple(runs), tuple(primary), command, "", {},
        baselines,
    )  # fmt: skip
    write(store / "studies" / key / "study.json", study)
