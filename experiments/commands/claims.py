"""`ablate check-claims`: the paper's claims against its own numbers, and beside a study's records."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.claims.declared import CLAIMS
from analysis.claims.of_study import check_study, counted, effect_text
from analysis.claims.recompute import check
from experiments.plan.find import find_study
from experiments.show.table import Column, Row, say, table
from store.errors import UserError

AGREES = {True: "yes", False: "no", None: "–"}


def check_claims(study: str, scale: str, store: Path) -> list[dict[str, Any]]:
    """Every claim as it is written and recomputed; with a study, each that contrasts two models has "ours", too.

    Raises:
        UserError: a scale without a study, or a study that is unknown or was never run in `store`.
        Failure: a record of it is corrupt.
    """
    if study:
        return check_study(store, find_study(study, scale).key, CLAIMS)
    if scale:
        raise UserError("--scale is of a study; name one")
    return [check(claim) for claim in CLAIMS]


def print_claims(rows: Sequence[Row], console: Console) -> None:
    own = any("ours" in row for row in rows)
    shown = [row for row in rows if row["ours"]] if own else rows
    first: dict[str, Column] = {"claim": lambda row: f"{row['id']}\n{row['where']}", "written": "written"}
    against: dict[str, Column] = {
        "recomputed": "recomputed",
        "agrees": lambda row: AGREES[row["agrees"]],
        "why": "why",
    }
    beside: dict[str, Column] = {"in this study": _own}
    console.print(table("Claims of arXiv:2408.10914", shown, first | (beside if own else against)))
    agrees = Counter(row["agrees"] for row in rows)
    say(
        console,
        f"{len(rows)} claims: {agrees[True]} agree with the published numbers as far as their digits go, "
        f"{agrees[False]} do not, {agrees[None]} cannot be recomputed.",
    )
    if own:
        say(
            console,
            f"In this study: {counted(rows)}, by every metric of the {len(shown)} claims that contrast two models.",
            "Direction: which model is ahead. Intervals are of 95 %, each by itself, not corrected for the others.",
        )


def _own(row: Row) -> str:
    lines = []
    for one in row["ours"]:
        seeds = f"{one['n_seeds']} seed{'s' * (one['n_seeds'] != 1)}"
        effect = f", {effect_text(one)}, {seeds}" if one["effect"] is not None else ""
        why = f" ({one['why']})" if one["why"] else ""
        lines.append(f"{one['direction']}: {one['metric']}{effect}{why}")
    return "\n".join(lines)
