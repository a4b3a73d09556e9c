"""Benchmark items in what the arms read, from the manifest of the prepared data.

Arms read different sources, so each has its own contamination: the combination over the sources that it read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.records import StudyRecord
from analysis.tables import Ledgers

EXAMPLES = 8
"""Matches that are shown with their evidence."""


def contamination(
    manifest: Mapping[str, Any], study: StudyRecord, ledgers: Ledgers, evaluated: Sequence[str]
) -> dict[str, Any]:
    """Per arm and benchmark, the items that still have a match in what the arm read, and what was dropped before.

    Args:
        manifest: manifest.json of the prepared data.
        study: arms and lineage.
        ledgers: of its stages; they say which sources were read.
        evaluated: benchmarks that the report compares arms on.

    Returns:
        {"rule", "arms", "rows": one a benchmark, "dropped": [(source, documents, items)], "examples", "uncovered"}.
    """
    cleaned = manifest["decontamination"]
    sources = manifest["sources"]
    read = {arm: sources_read(study, ledgers, arm) & set(sources) for arm in study.arms}
    rows = []
    for benchmark, items in cleaned["benchmarks"].items():
        found = {m["item"] for source in sources.values() for m in source["found"] if m["benchmark"] == benchmark}
        cells = [_cell([m for name in read[arm] for m in sources[name]["kept"]], benchmark) for arm in study.arms]
        rows.append({"benchmark": benchmark, "size": f"{items:,}", "found": f"{len(found):,}", "arms": cells})
    dropped = [
        (name, f"{source['dropped']['contaminated']:,}", f"{len(source['found']):,}")
        for name, source in sources.items()
        if source["dropped"].get("contaminated")
    ]
    kept = sorted(
        ({**match, "source": name} for name, source in sources.items() for match in source["kept"]),
        key=lambda match: (-match["score"], match["benchmark"], match["item"]),
    )
    return {
        "rule": cleaned["rule"],
        "arms": list(study.arms),
        "rows": rows,
        "dropped": dropped,
        "examples": [{**match, "score": f"{match['score']:.2f}"} for match in kept[:EXAMPLES]],
        "uncovered": sorted(set(evaluated) - set(cleaned["benchmarks"])),
    }


def sources_read(study: StudyRecord, ledgers: Ledgers, arm: str) -> set[str]:
    """What the stages of an arm, under any seed, were fed by their ledgers."""
    folders = {folder for run in study.runs if run.arm == arm for folder in run.stages}
    steps = (step for folder in folders & ledgers.keys() for step in ledgers[folder][1])
    return {source for step in steps for source, tokens in step.counts.items() if tokens}


def _cell(matches: Sequence[Mapping[str, Any]], benchmark: str) -> str:
    its = [match for match in matches if match["benchmark"] == benchmark]
    if not its:
        return "0"
    return f"{len({match['item'] for match in its})} (up to {max(match['score'] for match in its):.2f})"
