"""What mixtures say and how two arms differ, as data for machines and as tables for people.

A study and a run of the paper give one document: arms, their stages, and for every stage the tree of its mixture and
what each source gives, to the token.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.plan.budget import simulated_share
from experiments.plan.find import find_study, is_study, known_studies
from experiments.plan.make import make_plan
from experiments.plan.stage import Plan, PlannedStage, PreparedPlan, PreparedStage
from experiments.show.table import Column, say, table
from experiments.study import Arm
from mixtures import paper
from mixtures.mixture import Mixture, fingerprint, shares, tree
from store.errors import UserError

Document = dict[str, Any]
Supply = Mapping[tuple[str, ...], int]
"""Tokens of groups of sources, of which only the sum may be known."""


def show(name: str, store: Path) -> Document:
    """Every arm and stage of a study, or a run or mixture of the paper.

    `{"name", "supply_from", "simulated_share", "choices": {name: why}, "arms": [{"arm", "description", "seeds",
    "stages": [...]}]}`; supply_from is "prepared" or "expected", for a count that preparation has not confirmed.

    Raises:
        UserError: there is no such study, run or mixture, or the study's plan cannot be met.
    """
    the_paper, known = find_study("paper", "paper"), paper.mixtures(paper.PAPER)
    runs, whole = [arm.name for arm in the_paper.arms], is_study(name)
    if whole or name in runs:
        plan = make_plan(find_study(name) if whole else the_paper, store)
        declared = [arm for arm in plan.study.arms if whole or arm.name == name]
        choices = {arm.name: arm.origin for arm in declared if arm.origin}
        if plan.study.scale:
            choices |= _choices([stage.mixture for arm in declared for stage in arm.stages])
        supply_from = "prepared" if isinstance(plan, PreparedPlan) else "expected"
        simulated, arms = simulated_share(plan.study), [_arm(plan, arm) for arm in declared]
        name = plan.study.key if whole else name
    elif name in known:
        stage: Document = {"kind": None, "tokens_requested": 0, "tokens": 0, "steps": 0, "fingerprints": {}}
        stage |= _contents(known[name], paper.KINDS, {}, {}, paper.SUPPLY)
        supply_from, simulated, choices = "expected", Fraction(1), _choices([known[name]])
        arms = [{"arm": name, "description": "", "seeds": [], "stages": [stage]}]
    else:
        raise UserError(
            f"'{name}' is no study ({', '.join(known_studies())}), and no run or mixture of the paper "
            f"({', '.join([*runs, *known])})"
        )
    about = {"name": name, "supply_from": supply_from, "simulated_share": str(simulated)}
    return {**about, "choices": choices, "arms": arms}


def _choices(mixtures: Sequence[Mixture]) -> dict[str, str]:
    parts = [branch.name for mix in mixtures for branch in tree(mix)]
    return {part: paper.CHOICES[part] for part in parts if part in paper.CHOICES}


def _arm(plan: Plan, arm: Arm) -> Document:
    chains = {seed: [plan.stage(id) for id in plan.runs[arm.name, seed]] for seed in plan.study.seeds}
    stages: list[Document] = []
    before: Counter[str] = Counter()
    for number, stage in enumerate(chains[plan.study.seeds[0]]):
        same = {str(seed): chain[number] for seed, chain in chains.items()}
        fingerprints = {
            seed: each.fingerprint if isinstance(each, PreparedStage) else None for seed, each in same.items()
        }
        stages.append(_planned_stage(plan, stage, fingerprints, before))
        before.update(stage.tokens_by_source)
    return {"arm": arm.name, "description": arm.description, "seeds": list(plan.study.seeds), "stages": stages}


def _planned_stage(
    plan: Plan, planned: PlannedStage, fingerprints: Mapping[str, str | None], before: Mapping[str, int]
) -> Document:
    stage, schedule = planned.stage, planned.schedule
    return {
        "kind": stage.kind,
        "tokens_requested": stage.tokens,
        "tokens": planned.tokens,
        "steps": planned.steps,
        "decay": stage.decay,
        "peak_learning_rate": schedule.peak,
        "end_learning_rate": schedule.end,
        "warmup_steps": schedule.warmup_steps,
        "restart": sorted(source for source in planned.sequences if stage.restarts(source)),
        "document_mask": stage.document_mask,
        "fingerprints": dict(fingerprints),
        **_contents(stage.mixture, plan.kinds, planned.tokens_by_source, before, _supply(plan, planned)),
    }


def _supply(plan: Plan, planned: PlannedStage) -> Supply:
    if isinstance(planned, PreparedStage):
        return {(source,): count * planned.sequence for source, count in planned.windows.items()}
    share = simulated_share(plan.study)
    if plan.study.scale == "paper":
        return paper.SUPPLY
    return {(s.name,): int(s.expected_tokens * share) for s in plan.study.data.sources if s.expected_tokens}


def _contents(
    mixture: Mixture, kinds: Mapping[str, str], read: Mapping[str, int], before: Mapping[str, int], supply: Supply
) -> Document:
    """The mixture's tree and what each source gives; epochs count what the lineage read before, too."""
    sources = [
        {
            "source": source,
            "kind": kinds[source],
            "share": str(share),
            "percent": round(float(100 * share), 6),
            "tokens": read.get(source, 0),
            **_epochs([source], read, before, supply),
        }
        for source, share in shares(mixture).items()
    ]
    groups = [group for group in supply if len(group) > 1 and any(row["source"] in group for row in sources)]
    return {
        "mixture": mixture.name,
        "mixture_fingerprint": fingerprint(mixture),
        "tree": [
            {"depth": b.depth, "name": b.name, "within": str(b.within), "share": str(b.share), "source": b.source}
            for b in tree(mixture)
        ],
        "sources": sources,
        "together": [{"sources": list(group), **_epochs(group, read, before, supply)} for group in groups],
    }


def _epochs(group: Sequence[str], read: Mapping[str, int], before: Mapping[str, int], supply: Supply) -> Document:
    tokens = supply.get(tuple(group))
    used = sum(read.get(source, 0) + before.get(source, 0) for source in group)
    return {"supply": tokens, "epochs": used / tokens if tokens and read else None}


def diff(names: Sequence[str], store: Path) -> Document:
    """What changed between two arms: `{"a", "b", "identical", "stages": [{"stage", "changes", "sources"}]}`.

    `changes` is {field: [a, b]}, `sources` is {source: {field: [a, b]}}; only what differs is there. Names of mixtures
    and arms decide nothing and are not compared.

    Args:
        names: a study and two of its arms, or two names that `show` knows and that are no studies.
        store: where the study's data are.

    Raises:
        UserError: a name is unknown, or there are too many or too few.
    """
    if len(names) == 3:
        document = show(names[0], store)
        return _diff(*(_find_arm(document, arm) for arm in names[1:]))
    if len(names) != 2:
        raise UserError(
            f"diff takes STUDY ARM_A ARM_B, or two runs or mixtures of the paper; it got {len(names)} names"
        )
    documents = [show(name, store) for name in names]
    for document in documents:
        if is_study(document["name"]):
            raise UserError(f"'{document['name']}' is a study; name two of its arms: diff {document['name']} A B")
    return _diff(*(document["arms"][0] for document in documents))


def _find_arm(document: Document, name: str) -> Document:
    for arm in document["arms"]:
        if arm["arm"] == name:
            return dict(arm)
    known = ", ".join(arm["arm"] for arm in document["arms"])
    raise UserError(f"study '{document['name']}' has no arm '{name}'; its arms: {known}")


def _diff(a: Document, b: Document) -> Document:
    stages = []
    for number in range(max(len(a["stages"]), len(b["stages"]))):
        pair = [arm["stages"][number] if number < len(arm["stages"]) else {} for arm in (a, b)]
        changes = _changes(pair, _STAGE_FIELDS)
        by_source = [{row["source"]: row for row in stage.get("sources", ())} for stage in pair]
        sources = {
            source: changed
            for source in dict.fromkeys([*by_source[0], *by_source[1]])
            if (changed := _changes([rows.get(source, _NOT_READ) for rows in by_source], _SOURCE_FIELDS))
        }
        orders = [[source for source in rows if source in by_source[1 - i]] for i, rows in enumerate(by_source)]
        if orders[0] != orders[1]:
            changes["order of sources"] = orders
        if changes or sources:
            mixtures = [stage.get("mixture") for stage in pair]
            stages.append({"stage": number + 1, "mixtures": mixtures, "changes": changes, "sources": sources})
    seeds = {} if a["seeds"] == b["seeds"] else {"seeds": [a["seeds"], b["seeds"]]}
    return {"a": a["arm"], "b": b["arm"], "identical": not stages and not seeds, "changes": seeds, "stages": stages}


_STAGE_FIELDS = (
    *("kind", "tokens_requested", "tokens", "steps", "decay", "peak_learning_rate", "end_learning_rate"),
    *("warmup_steps", "restart", "document_mask"),
)
_SOURCE_FIELDS = ("share", "tokens", "epochs")
_NOT_READ: Document = {"share": "0", "tokens": 0, "epochs": None}


def _changes(pair: Sequence[Document], fields: Sequence[str]) -> dict[str, list[Any]]:
    return {field: [a, b] for field in fields if (a := pair[0].get(field)) != (b := pair[1].get(field))}


def print_show(document: Document, console: Console) -> None:
    """One table a stage: the tree with fractions, tokens, epochs and supply."""
    say(console, *(f"{name}: {why}" for name, why in document["choices"].items()))
    if document["supply_from"] == "expected":
        say(console, "Supply and epochs are what the catalogue expects; no data are prepared.")
    if document["simulated_share"] != "1":
        share = float(Fraction(document["simulated_share"]))
        say(console, f"Every source is cut to {share:.3%}, so that epochs are those of the simulated run.")
    for arm in document["arms"]:
        seeds = f" (seeds {', '.join(map(str, arm['seeds']))})" if arm["seeds"] else ""
        about = f": {arm['description']}" if arm["description"] else ""
        say(console, f"\n{arm['arm']}{seeds}{about}", style="bold")
        for number, stage in enumerate(arm["stages"], 1):
            say(console, _heading(number, stage))
            console.print(table("", _stage_rows(stage), _TREE, framed=False))


def _heading(number: int, stage: Document) -> str:
    parts = [f"mixture {stage['mixture_fingerprint']}"]
    if stage["kind"]:
        parts.insert(0, f"{number} {stage['kind']}: {stage['tokens']:,} tokens in {stage['steps']:,} steps")
    known = [f"seed {seed} {value}" for seed, value in stage["fingerprints"].items() if value]
    if known:
        parts.append("stage " + ", ".join(known))
    if stage.get("restart"):
        parts.append(f"starts again: {', '.join(stage['restart'])}")
    if stage.get("document_mask"):
        parts.append("document mask")
    return "; ".join(parts)


_TREE: Mapping[str, Column] = {
    "": "name",
    "of the part above": lambda row: row.get("within", ""),
    "of the whole": lambda row: row.get("share", ""),
    "%": (lambda row: float(100 * Fraction(row["share"])) if "share" in row else "", ".2f"),
    "tokens": lambda row: row.get("tokens") or "",
    "epochs": (lambda row: _known(row, "epochs"), ".2f"),
    "supply": lambda row: _known(row, "supply"),
}


def _known(row: Mapping[str, Any], amount: str) -> Any:
    """Of a source; a mixture of several has none."""
    return "" if amount not in row else "unknown" if row[amount] is None else row[amount]


def _stage_rows(stage: Document) -> list[Document]:
    """The tree, then what stands in several of its places, or has a supply together."""
    sources = {row["source"]: row for row in stage["sources"]}
    leaves = [branch["name"] for branch in stage["tree"] if branch["source"]]
    rows: list[Document] = []
    for branch in stage["tree"]:
        alone = branch["source"] and leaves.count(branch["name"]) == 1
        name = "  " * branch["depth"] + branch["name"]
        rows.append({**(sources[branch["name"]] if alone else {}), **branch, "name": name})
    rows += [row | {"name": f"{name}, all parts"} for name, row in sources.items() if leaves.count(name) > 1]
    return rows + [group | {"name": f"together: {', '.join(group['sources'])}"} for group in stage["together"]]


def print_diff(document: Document, console: Console) -> None:
    """A line for every source that changed, stage by stage; what did not change is blank."""
    a, b = document["a"], document["b"]
    if document["identical"]:
        say(console, f"{a} and {b} are identical")
        return
    say(console, f"{a} → {b}", style="bold")
    say(console, *(f"{field} {_change(pair)}" for field, pair in document["changes"].items()))
    rows: list[Document] = []
    for stage in document["stages"]:
        label = f"{stage['stage']} {' → '.join(dict.fromkeys(str(name or 'nothing') for name in stage['mixtures']))}"
        its = [{"source": f"{field.replace('_', ' ')} {_change(pair)}"} for field, pair in stage["changes"].items()]
        its += [
            {"source": source} | {field: _change(pair) for field, pair in changes.items()}
            for source, changes in stage["sources"].items()
        ]
        rows += [
            dict.fromkeys(_SOURCE_FIELDS, "") | row | {"stage": "" if number else label}
            for number, row in enumerate(its)
        ]
    amounts: dict[str, Column] = {name: name for name in _SOURCE_FIELDS}
    console.print(table("", rows, {"stage": "stage", "source": "source", **amounts}, framed=False))


def _change(pair: Sequence[Any]) -> str:
    return " → ".join(map(_value, pair))


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
