"""How many programs a second one core judges, a box each, on the reference solutions of HumanEval.

    python benchmarks/sandbox.py [--programs 164] [--rounds 3] [--downloads runs/downloads]

The judge, bubblewrap and the boxes share one core (affinity is inherited). Beside it, what a box costs that does
nothing, and a bare interpreter: their ratio holds on a busy machine, too, where the rates do not.
"""

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from analysis.evals.code import box, executed, pool
from analysis.evals.code.judge import Check
from mixtures.benchmarks import load as benchmarks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=164)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--downloads", type=Path, default=Path("runs/downloads"))
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sandbox, limits = box.find(), box.Limits()
    items = benchmarks.load("humaneval", options.downloads)[: options.programs]
    problems = [executed.humaneval(item) for item in items]
    solutions = [(executed.program(problem, problem.solution), problem.check) for problem in problems]
    idle = [("", Check((), ""))] * len(solutions)
    with pool.workers(sandbox, limits, 1) as workers:

        def judge(programs: list[tuple[str, Check]]) -> None:
            verdicts = pool.judge_all(workers, sandbox, programs, limits)
            assert all(verdict.passed for verdict in verdicts), [v for v in verdicts if not v.passed]

        def bare() -> None:
            for _ in solutions:
                subprocess.run([sandbox.python, "-I", "-S", "-c", "pass"], check=True)

        for name, run in (
            ("reference solutions", lambda: judge(solutions)),
            ("boxes that do nothing", lambda: judge(idle)),
            ("bare interpreter", bare),
        ):
            report(name, run, len(solutions), options.rounds)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def report(name: str, run: Callable[[], None], programs: int, rounds: int) -> None:
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        rates.append(programs / (time.perf_counter() - started))
    print(f"{name:24} {statistics.median(rates):6.1f} a second a core  ({min(rates):.1f}–{max(rates):.1f})")


if __name__ == "__main__":
    main()
