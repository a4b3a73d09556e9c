"""What weights in fewer bits take on a CPU: bytes, and milliseconds of CPU time for a step of greedy generation.

    python -m benchmarks.quantised 2m 15m [--texts "1 4"] [--rounds 5]

Random weights; one thread, as the suite computes. The inferences take turns in one process, and each one's first call
is not counted. The time is that of the processor, which other work on the machine lengthens less than the clock's.
Figures: quantised.md.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import typer

from models import decode
from models.config import ModelConfig, config
from models.quantise import quantise, stored_bytes
from models.transformer import Params, initial

INFERENCE = ("float32", "bfloat16", "int8", "int4")
STEPS, COLUMNS = 16, 128


def stepper(model: ModelConfig, params: Params, texts: int) -> Callable[[], float]:
    """A call of it writes `STEPS` tokens of so many texts, and gives the milliseconds of a step."""
    advance = decode.advancer(model, STEPS, model.vocabulary, False)
    token, zero, left = (jnp.full(texts, value, jnp.int32) for value in (3, 0, 1 << 20))
    at = decode.Seats(token, zero, zero, left, zero, jnp.zeros(texts), jnp.ones(texts), zero)

    def step() -> float:
        slots = jax.block_until_ready(decode.empty_slots(model, texts, COLUMNS)._replace(at=jax.tree.map(jnp.copy, at)))
        started = time.process_time()
        np.asarray(advance(params, slots, np.ones(texts, bool))[1])
        return 1e3 * (time.process_time() - started) / STEPS

    return step


def main(sizes: list[str], texts: str = "1 4", rounds: int = 5) -> None:
    for size in sizes:
        model = config(size)
        weights = {each: jax.block_until_ready(quantise(initial(model, 0), each)) for each in INFERENCE}
        for count in map(int, texts.split()):
            steps = {each: stepper(model, params, count) for each, params in weights.items()}
            turns = [{each: step() for each, step in steps.items()} for _ in range(1 + rounds)]
            for each in INFERENCE:
                its = [turn[each] for turn in turns[1:]]
                mb = stored_bytes(weights[each]) / 1e6
                of = f"{np.median(its):8.2f} ms a step ({min(its):.2f} to {max(its):.2f})"
                print(f"{size:>5} {count:3} texts  {each:9} {mb:9.2f} MB {of}", flush=True)


if __name__ == "__main__":
    typer.run(main)
