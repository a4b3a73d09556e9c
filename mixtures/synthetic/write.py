"""Write N tokens of problems as whole, resumable shards.

For a command: `write(folder, seed=0, tokens=3_200_000_000, count=lengths, variant="verified", workers=8,
progress=bar.update)`, where `lengths(texts)` gives the tokens of each text under the study's tokenizer. The three
variants of one seed hold the same items; giving them one `verdict_folder` executes every problem once.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mixtures.synthetic import forms, verdicts
from mixtures.synthetic.diversity import Diversity, measure, summary
from mixtures.synthetic.gates import Verdict
from mixtures.synthetic.generate import (
    BATCH,
    GENERATOR_VERSION,
    Outcome,
    distinct,
    outcomes,
    unverified,
    verified,
)
from mixtures.synthetic.problem import Problem
from store.errors import UserError
from store.files import read_json, remove_leftovers, write_json, write_text

VARIANTS = ("verified", "unverified", "wrong")
"""unverified: the verified items and those that a gate would drop. wrong: the verified items, each with a mutant that
fails its tests where the solution was."""

SHARD = 4096
"""Indices tried for one shard: what a kill can cost, in problems (their verdicts are kept, so the time is not lost)."""


def write(
    folder: Path,
    seed: int,
    tokens: int,
    count: Callable[[list[str]], list[int]],
    variant: str = "verified",
    workers: int = 1,
    progress: Callable[[int], None] = lambda written: None,
    verdict_folder: Path | None = None,
    shard_size: int = SHARD,
) -> dict[str, Any]:
    """Fill `folder` with shards until they hold at least `tokens`, and return what its summary.json says.

    A shard is `shard-00000.jsonl`, one [id, group, text, level] a line, and a `shard-00000.json` that is written last
    and says that it is whole. Run again after a kill, or with more tokens, it goes on where it stopped; the bytes are
    those of a run that was never stopped, with any number of workers.

    Args:
        count: tokens of every text of a list.
        workers: problems are executed in so many processes at once.
        progress: called with the tokens written so far.
        verdict_folder: where verdicts are kept, `folder`/.verdicts unless given.

    Raises:
        UserError: an unknown variant, no tokens, or a folder that holds something else or more than was asked for.
        Failure: the disk or the worker.
    """
    _check_folder(folder, seed, tokens, variant, shard_size)
    remove_leftovers(folder)
    kept = verdict_folder or folder / ".verdicts"  # hidden, so that whoever reads the folder reads problems alone
    seen: set[str] = set()
    parts: list[dict[str, Any]] = []
    written = 0
    for number in itertools.count():
        if written >= tokens:
            break
        path = folder / f"shard-{number:05}.json"
        part = read_json(path, "a shard of synthetic problems") if _whole(path, tokens - written) else None
        if part is None:
            indices = range(number * shard_size, (number + 1) * shard_size)
            found = _outcomes(seed, indices, kept / f"{seed}-{number:05}.jsonl", workers)
            part = _write_shard(path, found, seen, seed, variant, tokens - written, count)
        seen.update(part["shapes"])
        parts.append(part)
        written += part["tokens"]
        progress(written)
    if (folder / f"shard-{len(parts):05}.jsonl").exists():
        raise UserError(f"{folder} holds more than {tokens:,} tokens already; ask for more or choose another folder")
    report = _summary(seed, variant, parts)
    write_json(folder / "summary.json", report)
    return report


def _check_folder(folder: Path, seed: int, tokens: int, variant: str, shard_size: int) -> None:
    if variant not in VARIANTS:
        raise UserError(f"there is no variant '{variant}' of synthetic problems; choose one of {', '.join(VARIANTS)}")
    if tokens < 1:
        raise UserError(f"{tokens} tokens of synthetic problems cannot be written; ask for at least 1")
    identity = {"generator": GENERATOR_VERSION, "seed": seed, "variant": variant, "shard": shard_size}
    path = folder / "identity.json"
    if path.exists() and (found := read_json(path, "the identity of a folder of synthetic problems")) != identity:
        raise UserError(f"{folder} holds other problems ({found}, wanted {identity}); choose another folder")
    write_json(path, identity)


def _whole(path: Path, wanted: int) -> bool:
    """Whether the shard is there, and not one that was cut where a smaller number of tokens was reached."""
    if not path.exists() or not path.with_suffix(".jsonl").exists():
        return False
    part = read_json(path, "a shard of synthetic problems")
    return not part["cut"] or part["tokens"] >= wanted


def _outcomes(seed: int, indices: range, cache: Path, workers: int) -> Iterator[Outcome]:
    """Outcomes in order; new verdicts reach the cache batch by batch."""
    known = verdicts.load(cache)

    def batch(part: range) -> tuple[list[Outcome], dict[str, Verdict]]:
        mine = dict(known)
        found = outcomes(seed, part, mine)
        return found, {name: verdict for name, verdict in mine.items() if name not in known}

    with ThreadPoolExecutor(workers) as pool:
        for found, new in pool.map(batch, [indices[i : i + BATCH] for i in range(0, len(indices), BATCH)]):
            if new:
                verdicts.append(cache, new)
            yield from found


def _write_shard(
    path: Path,
    found: Iterator[Outcome],
    seen: set[str],
    seed: int,
    variant: str,
    wanted: int,
    count: Callable[[list[str]], list[int]],
) -> dict[str, Any]:
    tried = list(found)
    before = set(seen)
    rows, drops = distinct(tried, seen, with_failed=variant == "unverified")
    problems = [_variant(row, seed, variant) for row in rows]
    texts = [forms.mixed(problem) for problem in problems]
    lengths = count(texts)
    needed = next((i + 1 for i, total in enumerate(itertools.accumulate(lengths)) if total >= wanted), len(rows))
    problems, texts, cut = problems[:needed], texts[:needed], needed < len(rows)
    if cut:
        # What lies behind the last problem was not asked for: neither it nor its drops count.
        _, drops = distinct(tried[: problems[-1].index - tried[0].index + 1], before, variant == "unverified")
    write_text(path.with_suffix(".jsonl"), "".join(_line(p, text) for p, text in zip(problems, texts, strict=True)))
    part = {
        "tokens": sum(lengths[:needed]),
        "bytes": sum(len(text.encode()) for text in texts),
        "items": len(problems),
        "levels": Counter(problem.level for problem in problems),
        "gates": Counter(row.verdict.reason or "passed" for row in rows[:needed]),
        "drops": drops,
        "cut": cut,
        "shapes": [_shape(row) for row in rows[:needed]],
        "diversity": vars(measure(problems)),
    }
    write_json(path, part)
    return part


def _shape(row: Outcome) -> str:
    return f"failed {row.shape}" if row.verdict.reason else row.shape


def _variant(row: Outcome, seed: int, variant: str) -> Problem:
    if variant == "unverified":
        return unverified(row, seed)
    problem = verified(row, seed)
    return forms.mistaken(problem) if variant == "wrong" else problem


def _line(problem: Problem, text: str) -> str:
    name = f"{problem.family}#{problem.index:06}"
    return json.dumps([name, f"synthetic/{problem.family}", text, problem.level], ensure_ascii=False) + "\n"


def _summary(seed: int, variant: str, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def total(name: str) -> dict[str, int]:
        return dict(sorted(sum((Counter(part[name]) for part in parts), Counter[str]()).items()))

    diversities = [
        Diversity(Counter(d["families"]), Counter(d["skeletons"]), (*d["raw"],), (*d["packed"],))
        for d in (part["diversity"] for part in parts)
    ]
    return {
        "generator": GENERATOR_VERSION,
        "seed": seed,
        "variant": variant,
        **{name: sum(part[name] for part in parts) for name in ("tokens", "bytes", "items")},
        "levels": total("levels"),
        "gates": total("gates"),
        "drops": total("drops"),
        "shards": len(parts),
        "diversity": summary(diversities),
    }
