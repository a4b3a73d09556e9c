"""Chip-hours of 200B tokens on TPU v5e by roofline, beside the paper's: python -m benchmarks.chip_hours

Arithmetic alone, no TPU: the bound of a step in the layout that `ablate fit` finds, divided by the share of the bound's
speed that is assumed. MFU counts the model's own FLOPs, without what remat and the attention kernel repeat.
"""

from benchmarks.rounds import print_table
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
    columns = ["share of the bound's speed"]
    rows = [[f"{share:.0%}"] for share in SHARES] + [["the paper, were its models ours"]]
    steps = -(-TOKENS // (BATCH * SEQUENCE))
    for model, (layout, paper) in RUNS.items():
        size = config(model)
        bound = roofline(size, SLICE, MESH, layout, BATCH, SEQUENCE, accelerator_chunk(size.vocabulary))
        at_bound = steps * bound.seconds * SLICE.chips / 3600
        flops = steps * BATCH * SEQUENCE * train_flops_per_token(size, SEQUENCE)
        columns += [f"{model}: chip-hours", "MFU"]
        for row, hours in zip(rows, [*(at_bound / share for share in SHARES), paper], strict=True):
            row += [f"{hours:,.0f}", f"{flops / (hours * 3600 * V5E.flops_per_second):.0%}"]
    print_table(columns, rows)


if __name__ == "__main__":
    main()
