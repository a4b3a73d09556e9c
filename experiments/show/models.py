"""Model sizes, and what `ablate fit` found, as tables."""

from typing import Any

from rich.console import Console

from experiments.show.table import Column, say, table
from models.devices.flops import sizes


def models_json(sequence: int) -> dict[str, Any]:
    """`{"sequence", "models": [...]}`: every size that a study can name."""
    return {"sequence": sequence, "models": sizes(sequence)}


def print_models(document: dict[str, Any], console: Console) -> None:
    columns: dict[str, Column] = {
        "model": "name",
        **{name: name for name in ("vocabulary", "parameters")},
        "without embedding": "non_embedding",
        **{name.replace("_", "-"): name for name in ("layers", "width", "heads", "feed_forward")},
        "training GFLOP/token": (lambda row: row["flops_per_token"] / 1e9, ".3f"),
        "state, GB": (lambda row: row["state_bytes"] / 1e9, ".2f"),
        "peak learning rate": ("peak_learning_rate", "g"),
    }
    console.print(table(f"Models, FLOPs at {document['sequence']:,} tokens", document["models"], columns))


def print_fit(document: dict[str, Any], console: Console) -> None:
    """One row, what the step exchanges, and what was tried before; the way out where nothing fits."""
    columns: dict[str, Column] = {
        "model": "model",
        "topology": "topology",
        "fits": lambda row: "yes" if row["fits"] else "no",
        f"HBM GiB of {document['limit_gib']}": ("hbm_gib", ".2f"),
    }
    if document["fits"]:
        columns |= {
            "scoring GiB": ("scoring_gib", ".2f"),
            "mesh": lambda row: " x ".join(f"{axis} {devices}" for axis, devices in row["mesh"].items()),
            "remat": "remat",
            "microbatches": lambda row: f"{row['microbatches']} x {row['microbatch']} sequences a chip",
        }
    if document["step_seconds"]:
        columns |= {"tokens/s": "tokens_per_second", "MFU": ("mfu", ".1%")}
    if document["roofline"]:
        sides = ("compute_seconds", "hbm_seconds", "link_seconds")
        columns |= {
            "step bound, s": lambda row: f"{row['step_seconds_bound']:.2f}, by {row['bound_by']}",
            "compute / HBM / links, s": lambda row: " / ".join(f"{row['roofline'][side]:.2f}" for side in sides),
        }
    if document["chip_hours"]:
        columns[f"chip-hours of {document['tokens'] / 1e9:,.0f}B tokens"] = ("chip_hours", ",.0f")
    title = f"{document['batch']:,} sequences of {document['sequence']:,} tokens a step"
    console.print(table(title, [document], columns))
    for each in document["collectives"]:
        say(console, f"{each['kind']} over {each['axes']}: {each['count']} times, {each['gib']:.2f} GiB a chip")
    if document["tried"]:
        tried = document["tried"]
        say(console, f"{len(tried)} layouts with a shorter bound refused; the last: {tried[-1]}")
    if document["way_out"]:
        say(console, document["way_out"])
