"""A store as a paper leaves it: 22 arms, three seeds, every benchmark whole at two points. Only its size is real.

Evaluations are put together as text, since json.dumps would take minutes; they are as `analysis.records.write` writes.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from analysis.ledger_rows import StepRecord, ledger_line
from analysis.records import SCHEMA, EndRecord, EvalRecord, RunRecord, StageRecord, StudyRecord, eval_path, write
from store.files import write_sealed
from tests.analysis.synthetic_store import manifest

SIZES = {
    **{"boolq": 3_270, "piqa": 1_838, "sciq": 1_000, "social_iqa": 1_954, "cb": 56, "copa": 100, "hellaswag": 10_042},
    **{"winogrande": 1_267, "arc_easy": 2_376, "triviaqa": 17_944, "nq_open": 3_610, "humaneval": 164, "mbpp": 500},
    **{"humaneval_exec": 164, "mbpp_exec": 500},
    **{f"heldout/{kind}": 1_000 for kind in ("text", "code", "markup", "synthetic", "adjacent")},
}
CHOICES = {"sciq": 4, "social_iqa": 3, "cb": 3, "hellaswag": 4, "arc_easy": 4}
SAID = ("triviaqa", "nq_open")
BASELINE = "text-only"
PRIMARY = ("heldout/text/bpb", "heldout/code/bpb", "nl/acc", "reasoning/acc", "humaneval_exec/pass@1")


def write_store(store: Path, arms: int = 22, seeds: int = 3, share: float = 1.0, steps: int = 100) -> str:
    """Write a study of `arms` x `seeds` runs, with `share` of the items of every task; returns its name."""
    texts = {task: record_text(task, max(50, round(share * size))) for task, size in SIZES.items()}
    names, runs = [BASELINE, *(f"arm-{number}" for number in range(1, arms))], []
    for number, arm in enumerate(names):
        for seed in range(1, seeds + 1):
            folders = [_write_stage(store, texts, number, arm, seed, at, steps) for at in (0, 1)]
            runs.append(RunRecord(arm, seed, tuple(folders), ("pretrain", "cooldown")))
    head = ("large", "Does code help?", "It helps code.", BASELINE)
    study = StudyRecord(*head, dict.fromkeys(names, ""), tuple(runs), PRIMARY, "ablate run large", "data1")
    write(store / "studies" / "large" / "study.json", study)
    write_sealed(store / "prepared" / "data1" / "manifest.json", manifest())
    return "large"


def _write_stage(
    store: Path, texts: Mapping[str, tuple[str, int]], number: int, arm: str, seed: int, at: int, steps: int
) -> str:
    name = f"{arm}-{('pretrain', 'cooldown')[at]}-s{seed}"
    fingerprint = hashlib.sha256(name.encode()).hexdigest()[:16]
    path, tokens = store / "stages" / f"{name}-{fingerprint}", 1_000 * steps
    by_source = {"prose": tokens}
    stage = StageRecord(name, fingerprint, ("pretrain", "cooldown")[at], "1m", None, seed, steps, tokens, by_source,
                        by_source, {"prose": 0.1}, 1e12, at * tokens, {})  # fmt: skip
    write(path / "stage.json", stage)
    rows = (StepRecord(n, 1_000 * n, 3 + 9 / n, 1.0, 1e-3, {"prose": 1_000}, "d", 0.1) for n in range(1, steps + 1))
    (path / "ledger.jsonl").write_bytes(b"".join(map(ledger_line, rows)))
    write(path / "done.json", EndRecord(steps, tokens, 3.0, 1.0))
    for task, (text, holes) in texts.items():
        rng = np.random.default_rng([number, seed, at, list(texts).index(task)])
        effect, luck_H = 1 - 0.002 * number - 0.05 * at + 0.004 * rng.normal(), rng.random(holes)
        shown = ([effect * x, round(effect * x)] for x in luck_H.tolist())
        wanted = re.findall(r"%(?:\.15f|d)", text)
        body = text % tuple(x[kind == "%d"] for x, kind in zip(shown, wanted, strict=True))
        body = body.replace("FINGERPRINT", fingerprint).replace('"step": 0', f'"step": {steps}')
        seal = body + ',\n "checksum": "'
        file = eval_path(path, task, 1, steps)
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'{seal}{hashlib.sha256(seal.encode()).hexdigest()}"\n}}\n')
    return path.name


def record_text(task: str, n_items: int) -> tuple[str, int]:
    """A record but for its checksum and its scores, for which it has holes ("%d" for those that are counts)."""
    rng = np.random.default_rng(list(SIZES).index(task))
    items = tuple(_item(task, number, rng) for number in range(n_items))
    record = EvalRecord(task, 1, f"hash of {task}", "FINGERPRINT", 0, items)
    text = json.dumps({"schema": SCHEMA, **asdict(record)}, indent=1).removesuffix("\n}")
    text = text.replace("%", "%%").replace('"FLOAT"', "%.15f").replace('"COUNT"', "%d")
    return text, len(re.findall(r"%(?:\.15f|d)", text))


def _item(task: str, number: int, rng: np.random.Generator) -> dict[str, Any]:
    named = {"id": f"{task}-{number}"}
    if task.endswith("_exec"):
        ran = {"runs": True, "samples": 1, "passed": "COUNT", "reasons": {"wrong": 1}, "weak": False}
        return {**named, "sha256": f"{rng.integers(1 << 62):064x}", "said": "    return 1\n", **ran}
    answer = {"nats": "FLOAT", "bytes": int(rng.integers(5, 120))}
    if task.startswith("heldout/"):
        return {**named, "source": f"source {number % 2}", "cluster": f"package {number // 4}", **answer}
    if task in SAID:
        return {**named, **answer, "correct": "COUNT", "said": f"the answer {rng.integers(999)}"}
    if task in ("humaneval", "mbpp"):
        return {**named, **answer}
    count = CHOICES.get(task, 2)
    sizes = rng.integers(5, 120, count).tolist()
    choices = {"choice_nats": ["FLOAT"] * count, "choice_bytes": sizes, "choice_chars": sizes}
    return {**named, **answer, "correct": "COUNT", "gold": int(rng.integers(count)), **choices}
