"""A judge on loopback asked by `ablate`, on the store that conftest.py has."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.analysis.judge_server import Server

Ablate = Callable[..., str]
SEEDS, ARMS = 2, ("half-only", "half-to-text")


def write_prompts(path: Path, *texts: str) -> Path:
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    return path


def by(server: Server) -> list[str]:
    return ["--judge-url", server.endpoint().base_url, "--judge-model", "judge-1", "--rate", "60000"]


def judged(ablate: Ablate, server: Server, prompts: Path, *more: str) -> dict[str, Any]:
    n = str(len(prompts.read_text().splitlines()))
    return json.loads(ablate("judge", "run", "tiny", *by(server), "--prompts", str(prompts), "--n", n, "--json", *more))


def contents(store: Path, pattern: str) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in sorted(store.glob(pattern))}


RECORDS, ANSWERS = "studies/tiny/judge/*/*/*.json", "stages/*/answers/*.json"
