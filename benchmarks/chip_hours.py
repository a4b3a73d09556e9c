"""Chip-hours of 200B tokens on TPU v5e by roofline, beside the paper's: python benchmarks/chip_hours.py

Arithmetic alone, no TPU: the bound of a step in the layout that `ablate fit` finds, divided by the share of the bound's
speed that is assumed. MFU counts the model's own FLOPs, without what remat and the attention kernel repeat.
"""

from models.config import config
from models.devices.flops import train_flops_per_token
from models.devices.layout import Layout, MeshShape, accelerator_chunk
from models.devices.roofline import ATTAINED, V5E, roofline, topology

SLICE, MESH = topology("v5e:16x16"), MeshShape(data=16, fsdp=16)
BATCH, SEQUENCE, TOKENS = 512, 8_192, 200e9
RUNS = {"470m": (Layout(1, "dots", scan=True), 4_736), "2.8b": (Layout(1, "attention", scan=True), 13_824)}
"""The layout that fits the slice (fit.md), and the paper's chip-hours (arXiv:2408.10914, section 3.1)."""
SHARES = (1.0, 0.7, ATTAINED, 0.5, 0.4)


def main() -> None:
    print("| share of the bound's speed |", *(f"{model}: chip-hours | MFU |" for model in RUNS))
    print("|---:|" + "---:|---:|" * len(RUNS))
    steps = -(-TOKENS // (BATCH * SEQUENCE))
    at_bound, flops = {}, {}
    for model, (layout, _) in RUNS.items():
        size = config(model)
        chunk = accelerator_chunk(size.vocabulary)
        seconds = roofline(size, SLICE, MESH, layout, BATCH, SEQUENCE, chunk).seconds
        at_bound[model] = steps * seconds * SLICE.chips / 3600
        flops[model] = steps * BATCH * SEQUENCE * train_flops_per_token(size, SEQUENCE)

    def mfu(model: str, hours: float) -> float:
        return flops[model] / (hours * 3600 * V5E.flops_per_second)

    for share in SHARES:
        hours = {model: at_bound[model] / share for model in RUNS}
        print(f"| {share:.0%} |", *(f"{hours[model]:,.0f} | {mfu(model, hours[model]):.0%} |" for model in RUNS))
    paper = {model: hours for model, (_, hours) in RUNS.items()}
    print("| the paper, were its models ours |", *(f"{paper[m]:,} | {mfu(m, paper[m]):.0%} |" for m in RUNS))


if __name__ == "__main__":
    main()
