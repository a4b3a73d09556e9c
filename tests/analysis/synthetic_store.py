"""A small store written through the record writers, with effects planted in it. Not the system under test."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.ledger_rows import StepRecord, ledger_line
from analysis.records import EndRecord, EvalRecord, RunRecord, StageRecord, StudyRecord, eval_path, write
from store.files import write_sealed

BASELINE = "text-only"
ARMS = {
    BASELINE: "text in every stage",
    "balanced-only": "half text, half code",
    "balanced-to-text": "half code, then mostly text",
    "code-to-text": "code first, then mostly text",
}
KINDS = ("text", "code", "markup", "synthetic", "adjacent")
TASKS = (
    *(f"heldout/{kind}" for kind in KINDS),
    *("humaneval", "hellaswag", "piqa", "arc_easy", "boolq", "copa", "winogrande", "triviaqa", "nq_open"),
)
CODE_SHARE = {BASELINE: 0.0, "balanced-only": 0.5, "balanced-to-text": 0.3, "code-to-text": 0.6}
STAGES = ("pretrain", "continue", "cooldown")
STEPS = 60
TOKENS_PER_STEP = 2_048


def nats_per_byte(task: str, arm: str, kind: str) -> float:
    """The planted truth: code helps code strongly, costs text a little, and HellaSwag not at all."""
    share = CODE_SHARE[arm]
    base = 1.6 - 0.1 * STAGES.index(kind)
    if task in ("heldout/code", "heldout/synthetic", "humaneval"):
        return base * (1 - 0.5 * share)
    if task == "heldout/text":
        return base * (1 + 0.08 * share)
    return base


def items(task: str, arm: str, seed: int, kind: str, n: int) -> tuple[Mapping[str, Any], ...]:
    """Items are equally hard for every arm; an arm and seed move them all a little and each a little."""
    shared = np.random.default_rng([1, TASKS.index(task)])
    hardness_N, length_N = shared.lognormal(0, 0.3, n), shared.integers(20, 200, n)
    own = np.random.default_rng([2, TASKS.index(task), sorted(CODE_SHARE).index(arm), seed, STAGES.index(kind)])
    level = nats_per_byte(task, arm, kind) * (1 + own.normal(0, 0.002))
    nats_N = level * hardness_N * length_N * np.exp(own.normal(0, 0.02, n))
    chance = {"hellaswag": 0.25, "arc_easy": 0.25, "triviaqa": 0.0, "nq_open": 0.0}.get(task, 0.5)
    correct_N = own.random(n) < chance
    scored = not task.startswith("heldout/") and task != "humaneval"
    return tuple(
        {"id": f"{task}-{i}", "nats": float(nats_N[i]), "bytes": int(length_N[i])}
        | ({"correct": int(correct_N[i])} if scored else {})
        for i in range(n)
    )


def write_store(
    store: Path,
    seeds: Sequence[int] = (1, 2),
    tasks: Sequence[str] = TASKS,
    arms: Mapping[str, str] = ARMS,
    primary: Sequence[str] = ("heldout/text/bpb", "heldout/code/bpb", "humaneval/gold_bpb"),
    n_items: int = 40,
) -> str:
    """Write every record of a study of four arms and three stages; returns its name."""
    runs = []
    for arm in arms:
        for seed in seeds:
            parent, folders = None, []
            for number, kind in enumerate(STAGES):
                folder, parent = write_stage(store, arm, seed, number, kind, parent)
                folders.append(folder)
                for task in tasks:
                    record = EvalRecord(
                        task, 1, f"hash of {task}", parent, STEPS, items(task, arm, seed, kind, n_items)
                    )
                    write(eval_path(store / "stages" / folder, task, 1, STEPS), record)
            runs.append(RunRecord(arm, seed, tuple(folders), STAGES))
    study = StudyRecord(
        "small",
        "Does code help?",
        "It helps code.",
        BASELINE,
        dict(arms),
        tuple(runs),
        tuple(primary),
        "ablate run small",
        "data1",
    )
    write(store / "studies" / "small" / "study.json", study)
    write_sealed(store / "prepared" / "data1" / "manifest.json", manifest())
    return "small"


def write_stage(store: Path, arm: str, seed: int, number: int, kind: str, parent: str | None) -> tuple[str, str]:
    code = round(STEPS * TOKENS_PER_STEP * CODE_SHARE[arm])
    by_source = {"prose": STEPS * TOKENS_PER_STEP - code} | ({"python": code} if code else {})
    fingerprint = f"{arm[:4]}{arm[-4:]}{seed}{number}".encode().hex()
    name = f"{arm}-{kind}-s{seed}"
    folder = f"{name}-{fingerprint}"
    total = STEPS * TOKENS_PER_STEP
    stage = StageRecord(
        id=name, fingerprint=fingerprint, kind=kind, model="1m", parent=parent, seed=seed, steps=STEPS, tokens=total,
        tokens_by_source=by_source, tokens_by_kind={"text": total - code, "code": code},
        epochs_by_source={source: n / 1e6 for source, n in by_source.items()},
        flops=6e6 * total, tokens_before=number * total, identity={},
        environment={"jax": "0.10.2", "device": "16 x TPU"},
    )  # fmt: skip
    path = store / "stages" / folder
    write(path / "stage.json", stage)
    rng = np.random.default_rng([3, seed, number, sorted(CODE_SHARE).index(arm)])
    lines, read = [], dict.fromkeys(by_source, 0)
    for step in range(1, STEPS + 1):
        counts = {source: n * step // STEPS - read[source] for source, n in by_source.items()}
        read = {source: read[source] + n for source, n in counts.items()}
        done = number * STEPS + step
        loss = 3.2 + 5 * math.exp(-done / 12) + 1.5 / math.sqrt(done) - CODE_SHARE[arm] + rng.normal(0, 0.08)
        lines.append(ledger_line(StepRecord(step, step * TOKENS_PER_STEP, loss, 1.0, 1e-3, counts, "d", 0.1)))
    (path / "ledger.jsonl").write_bytes(b"".join(lines))
    write(path / "done.json", EndRecord(STEPS, total, loss, 6.0))
    return folder, fingerprint


PACKED = {
    "sequence": 64, "suffix": "+packed-64", "shard_tokens": [640], "examples": 90, "digest": "ghi", "most_answers": 1,
    "prompt_tokens": 200, "answer_tokens": 400, "padding_tokens": 40, "left_out": {"longer than 64 tokens": 3},
}  # fmt: skip


def manifest() -> dict[str, Any]:
    def match(item: str, score: float) -> dict[str, Any]:
        return {
            "benchmark": "piqa", "item": item, "component": "question", "score": score, "document": "page/7",
            "evidence": "the glue dries <b>overnight</b>", "drop": score >= 0.5,
        }  # fmt: skip

    def source(kind: str, package: str) -> dict[str, Any]:
        return {
            "kind": kind, "packages": [{"name": package, "version": "1.0", "licence": "MIT"}], "documents": 900,
            "tokens": 1_000_000, "bytes": 3_500_000, "heldout_documents": 12, "heldout_bytes": 40_000,
            "dropped": {"contaminated": 2, "duplicate": 31, "too short": 4}, "digest": "abc",
            "duplicates": {"page": 31}, "shared": {},
            "found": [match("1", 0.9), match("2", 0.4)], "kept": [match("2", 0.4)] if kind == "code" else [],
        }  # fmt: skip

    return {
        "tokenizer": {"vocabulary": 8192, "digest": "def"},
        "decontamination": {
            "benchmarks": {"piqa": 1838},
            "rule": {"name": "align", "n": 13, "drop": 0.5, "report": 0.3},
        },
        "sources": {
            "prose": source("text", "plays"),
            "python": source("code", "attrs") | {"packed": [PACKED]},
        },
    }


EXTRAS = {
    "audit": {"equal": True, "stages": [{"id": f"{arm}-{kind}-s1", "problems": []} for arm in ARMS for kind in STAGES]},
    "plan": {"stages": [], "totals": {"tokens": 1, "tokens_without_sharing": 2_000_000, "flops": 1e12, "hours": 0.1}},
}
