"""How fast checkpoints are evaluated, against lm-evaluation-harness's `hf` backend on the same folder and requests.

    python -m benchmarks.evaluation VENV/bin/python [--model 15m] [--items 200]

Scores `--items` items each of HellaSwag, ARC-Easy and PIQA, and continues as many TriviaQA and HumanEval prompts by
`--tokens` greedy tokens. Both programs stay open, each in its own process with all cores, and take turns; the first
turn is not counted: ours compiles in it, and hf tries batch sizes and keeps its fastest. Both must find the same
likelihoods, which a line says. Figures: evaluation.md.
"""

import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from timeit import timeit
from typing import Any

from benchmarks.rounds import Figures, race

CHOICES, OPEN = ("hellaswag", "arc_easy", "piqa"), ("triviaqa", "humaneval")
BATCHES = {"score": (8, 16, 32), "write": (16, 32, 64)}
TRIED = 64
"""Requests on which hf's batch size is chosen."""
WINDOW = 1_024


def ours(folder: Path) -> Any:
    from analysis.evals.engine import Ask, generate, likelihoods
    from analysis.evals.model import opened
    from experiments.run.trained import mesh_for
    from models.devices.threads import a_device_a_core

    a_device_a_core()
    model = opened(folder, mesh_for)

    def run(kind: str, requests: list, tokens: int) -> list[float] | list[str]:
        if kind == "score":
            found: dict = dict(likelihoods(model, [tuple(pair) for pair in requests]))
            return [-found[number].nats for number in range(len(requests))]
        found = dict(generate(model, [Ask(prompt, (), tokens) for prompt in requests]))
        return [found[number] for number in range(len(requests))]

    return run


def hf(folder: Path) -> Any:
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(str(folder), device="cpu", dtype="float32", add_bos_token=True, max_length=WINDOW)
    model.tokenizer.pad_token_id = model.tokenizer.eos_token_id
    best: dict[str, int] = {}

    def once(size: int, kind: str, requests: list, tokens: int) -> list[float] | list[str]:
        model.batch_size_per_gpu = size
        with torch.inference_mode():
            if kind == "score":
                pairs = [Instance("loglikelihood", {}, tuple(pair), 0) for pair in requests]
                return [nats for nats, _ in model.loglikelihood(pairs, disable_tqdm=True)]
            options = {"until": [], "max_gen_toks": tokens, "do_sample": False}
            asks = [Instance("generate_until", {}, (prompt, dict(options)), 0) for prompt in requests]
            return model.generate_until(asks, disable_tqdm=True)

    def run(kind: str, requests: list, tokens: int) -> list[float] | list[str]:
        if kind not in best:
            sample = requests[:: max(1, len(requests) // TRIED)]
            asked = (kind, sample, tokens)
            best[kind] = min(BATCHES[kind], key=lambda size: timeit(partial(once, size, *asked), number=1))
        return once(best[kind], kind, requests, tokens)

    return run


def serve(program: str, folder: str) -> None:
    """Read (kind, requests, tokens) a line, answer with (seconds, results); what libraries print goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    run = {"ours": ours, "hf": hf}[program](Path(folder))
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.perf_counter()
        results = run(*asked)
        print(json.dumps([time.perf_counter() - started, results]), file=answers, flush=True)


def made(folder: Path, model: str, texts: list[str]) -> None:
    """An exported checkpoint with random parameters: speed does not depend on what it has learnt."""
    from mixtures.tokens import tokenizer
    from models.config import config
    from models.export import export
    from models.transformer import initial

    size = config(model)
    params, vocabulary = initial(size, 0), folder.with_suffix(".json")
    tokenizer.save(tokenizer.train(texts, size.vocabulary), vocabulary)
    export(size, lambda names: params, vocabulary, folder, eod=tokenizer.EOD_ID, sequence=WINDOW)


def requests(downloads: Path, items: int) -> dict[str, list]:
    from analysis.evals.tasks import benchmark_task

    choices, asked = ([q for name in names for q in benchmark_task(name, items, downloads).questions]
                      for names in (CHOICES, OPEN))  # fmt: skip
    return {"score": [pair for q in choices for pair in q.candidates], "write": [q.candidates[0][0] for q in asked]}


def compare(folder: Path, asked: dict[str, list], torch_python: str, rounds: int, tokens: int) -> None:
    serving, children = "import sys; from benchmarks.evaluation import serve; serve(*sys.argv[1:])", {}
    for name, python in (("ours", sys.executable), ("hf", torch_python)):
        command = [python, "-c", serving, name, str(folder)]
        children[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    results: dict[str, list] = {}

    def turn(name: str, kind: str) -> Figures:
        child = children[name]
        assert child.stdin is not None and child.stdout is not None
        print(json.dumps([kind, asked[kind], tokens]), file=child.stdin, flush=True)
        seconds, results[name] = json.loads(child.stdout.readline())
        return {"a second": len(asked[kind]) / seconds}

    for kind in asked:
        print(f"\n{kind}\n")
        race({name: partial(turn, name, kind) for name in children}, rounds, base="ours", warm=1)
        pairs = list(zip(results["ours"], results["hf"], strict=True))
        if kind == "score":
            print(f"likelihoods differ by {max(abs(a - b) for a, b in pairs):.1e} at the most")
        else:  # ours does not end in half a character
            equal = sum(a == b.rstrip("\ufffd") for a, b in pairs)
            print(f"{equal} of {len(pairs)} texts are equal")
    for child in children.values():
        child.communicate()


def main(
    torch_python: str,
    model: str = "15m",
    items: int = 200,
    tokens: int = 64,
    rounds: int = 5,
    downloads: Path = Path("runs/downloads"),
) -> None:
    asked = requests(downloads, items)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        made(folder, model, [a + b for a, b in requests(downloads, 4_000)["score"]])
        compare(folder, asked, torch_python, rounds, tokens)


if __name__ == "__main__":
    import typer  # which the Python of the peer may lack

    typer.run(main)
