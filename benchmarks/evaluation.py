"""How fast checkpoints are evaluated, against lm-evaluation-harness's `hf` backend on the same folder and requests.

    python benchmarks/evaluation.py --torch-python VENV/bin/python [--model 15m | --folder EXPORTED] [--items 200]

Scores `--items` items each of HellaSwag, ARC-Easy and PIQA, and continues as many TriviaQA and HumanEval prompts by
`--tokens` greedy tokens. Both programs stay open, each in its own process with all cores, and take turns; the first
turn is not counted: ours compiles in it, and hf tries batch sizes and keeps its fastest. One JSON line a round, then
medians and the ratios' ranges. Both must find the same likelihoods, which a line says. Figures: evaluation.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CHOICES, OPEN = ("hellaswag", "arc_easy", "piqa"), ("triviaqa", "humaneval")
BATCHES = {"score": (8, 16, 32), "write": (16, 32, 64)}
TRIED = 64
"""Requests on which hf's batch size is chosen."""
WINDOW = 1_024


def ours(folder: Path) -> Any:
    sys.path.insert(0, str(ROOT))
    from analysis.evals.engine import Ask, generate, likelihoods
    from analysis.evals.model import opened

    model = opened(folder)

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

    def once(kind: str, requests: list, tokens: int) -> list[float] | list[str]:
        with torch.inference_mode():
            if kind == "score":
                pairs = [Instance("loglikelihood", {}, tuple(pair), 0) for pair in requests]
                return [nats for nats, _ in model.loglikelihood(pairs, disable_tqdm=True)]
            options = {"until": [], "max_gen_toks": tokens, "do_sample": False}
            asks = [Instance("generate_until", {}, (prompt, dict(options)), 0) for prompt in requests]
            return model.generate_until(asks, disable_tqdm=True)

    def run(kind: str, requests: list, tokens: int) -> list[float] | list[str]:
        if kind in best:
            model.batch_size_per_gpu = best[kind]
            return once(kind, requests, tokens)
        sample, seconds = requests[:: max(1, len(requests) // TRIED)], {}
        for size in BATCHES[kind]:
            model.batch_size_per_gpu = size
            started = time.perf_counter()
            once(kind, sample, tokens)
            seconds[size] = time.perf_counter() - started
        best[kind] = min(seconds, key=seconds.__getitem__)
        return run(kind, requests, tokens)

    return run


def serve(program: str, folder: Path) -> None:
    """Read (kind, requests, tokens) a line, answer with (seconds, results); what libraries print goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    run = {"ours": ours, "hf": hf}[program](folder)
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
    tokenizer.save(tokenizer.train(texts, size.vocabulary), folder.with_suffix(".json"))
    export(size, initial(size, 0), folder.with_suffix(".json"), folder, eod=tokenizer.EOD_ID, sequence=WINDOW)


def requests(downloads: Path, items: int) -> dict[str, list]:
    from analysis.evals.tasks import benchmark_task

    found: dict[str, list] = {"score": [], "write": []}
    for name in CHOICES:
        for question in benchmark_task(name, items, downloads).questions:
            found["score"].extend(question.candidates)
    for name in OPEN:
        found["write"].extend(q.candidates[0][0] for q in benchmark_task(name, items, downloads).questions)
    return found


def compare(folder: Path, asked: dict[str, list], torch_python: str, rounds: int, tokens: int) -> None:
    command = [str(Path(__file__).resolve()), "--folder", str(folder), "--child"]
    children = {
        name: subprocess.Popen([python, *command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name, python in (("ours", sys.executable), ("hf", torch_python))
    }
    seconds: dict[tuple[str, str], list[float]] = {(name, kind): [] for kind in asked for name in children}
    for number in range(rounds + 1):
        for kind in asked:
            results = {}
            for name in sorted(children, reverse=bool(number % 2)):
                child = children[name]
                assert child.stdin is not None and child.stdout is not None
                print(json.dumps([kind, asked[kind], tokens]), file=child.stdin, flush=True)
                took, results[name] = json.loads(child.stdout.readline())
                print(json.dumps({"round": number, "kind": kind, "program": name, "seconds": round(took, 3)}))
                if number:
                    seconds[name, kind].append(took)
            _alike(kind, results["ours"], results["hf"])
    for child in children.values():
        child.communicate()
    for kind, those in asked.items():
        ratios = [b / a for a, b in zip(seconds["ours", kind], seconds["hf", kind], strict=True)]
        rates = {name: len(those) / statistics.median(seconds[name, kind]) for name in children}
        print(
            f"{kind}: ours {rates['ours']:,.1f}/s, hf {rates['hf']:,.1f}/s: {statistics.median(ratios):.2f} times ",
            end="",
        )
        print(f"({min(ratios):.2f} to {max(ratios):.2f})")


def _alike(kind: str, ours: list, theirs: list) -> None:
    if kind == "score":
        print(f"likelihoods differ by {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.1e} at the most")
    else:
        # Ours does not end in half a character.
        equal = sum(a == b.rstrip("\ufffd") for a, b in zip(ours, theirs, strict=True))
        print(f"{equal} of {len(ours)} texts are equal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", help="a Python with torch, transformers and lm-eval")
    parser.add_argument("--model", default="15m")
    parser.add_argument("--folder", type=Path, help="an exported checkpoint instead of a random one")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--downloads", type=Path, default=ROOT / "runs" / "downloads")
    parser.add_argument("--child", choices=("ours", "hf"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        serve(arguments.child, arguments.folder)
        return
    sys.path.insert(0, str(ROOT))
    asked = requests(arguments.downloads, arguments.items)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "model"
        if not arguments.folder:
            made(folder, arguments.model, [*(a + b for a, b in requests(arguments.downloads, 4_000)["score"])])
        compare(folder, asked, arguments.torch_python, arguments.rounds, arguments.tokens)


if __name__ == "__main__":
    main()
