"""What is done, running, waiting or failed of a plan, and whether what was read is what was declared."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.plan import status
from experiments.plan.stage import Plan, PreparedPlan
from experiments.show.table import Column, say, table


def status_json(plan: Plan, store: Path) -> dict[str, Any]:
    """`{"study", "prepared", "changes", "counts": {state: n}, "stages": [...]}`.

    Failed stages have "error", running ones "holder".
    """
    rows: list[dict[str, Any]] = []
    states = status.states(plan, store)
    scoring = status.scoring(plan, store, states)
    for stage in plan.stages:
        arms, state = list(stage.arms), states[stage.id]
        rows.append({"id": stage.id, "kind": stage.stage.kind, "arms": arms, "state": state})
        if state == "running":
            rows[-1]["holder"] = status.holder(stage, store)
        if state == "failed":
            rows[-1]["error"] = status.why_failed(stage, store)
        rows.append({"id": f"evaluate-{stage.id}", "kind": "evaluate", "arms": arms, "state": scoring[stage.id]})
    known = {"study": plan.study.key, "prepared": isinstance(plan, PreparedPlan), "changes": list(plan.changes)}
    return {**known, "counts": dict(Counter(row["state"] for row in rows)), "stages": rows}


def print_status(document: dict[str, Any], console: Console) -> None:
    """One line per stage, and the sum."""

    def state(row: Mapping[str, Any]) -> str:
        return ": ".join(filter(None, (row["state"], row.get("error") or row.get("holder"))))

    columns: dict[str, Column] = {"stage": "id", "kind": "kind", "arms": "arms", "state": state}
    console.print(table(f"Status of {document['study']}", document["stages"], columns))
    counts = ", ".join(f"{n} {state}" for state, n in document["counts"].items())
    say(console, *document["changes"], f"data {'' if document['prepared'] else 'not '}prepared; {counts}")


def print_audit(document: dict[str, Any], console: Console) -> None:
    """Declared and realised tokens of every stage and source."""
    rows = [
        {"stage": stage["id"], "source": source, "declared": declared, "realised": stage["realised"].get(source, 0)}
        for stage in document["stages"]
        for source, declared in stage["declared"].items()
    ]
    columns: dict[str, Column] = {name: name for name in ("stage", "source", "declared", "realised")}
    columns |= {"difference": lambda row: row["realised"] - row["declared"]}
    console.print(table("Declared and realised tokens", rows, columns))
    found = [*document["problems"], *(f"{s['id']}: {problem}" for s in document["stages"] for problem in s["problems"])]
    say(console, *found, style="red")
    replayed = sum(len(stage["steps_replayed"]) for stage in document["stages"])
    verdict = "equal to the token" if document["equal"] else "NOT equal"
    read = "all tokens and held-out texts were read" if document["full"] else "--full reads all tokens as well"
    say(
        console,
        f"{len(document['stages'])} stages: {verdict}; {replayed} steps replayed against their digests",
        f"records and the size of every token shard were looked at; {read}",
    )
