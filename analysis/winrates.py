"""Win rates from the records of judges: one table for every judge, set of answers and arm that others met."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from analysis.evals.preference.estimates import SCORES, Runs, win_rate
from analysis.evals.preference.strengths import fit_strengths
from analysis.evals.preference.verdicts import Judged
from analysis.records import JudgeRecord, StudyRecord, read_judged, read_stage, stage_folder
from store.errors import Failure

COLUMNS = (
    "arm", "pairs", "loss-win-tie, %", "loss", "win", "tie", "win − loss, points (the paper's 6.6 %)", "p",
    "win + tie/2 (the findings box's 53.3 %)", "by seed", "at equal length", "without prompts found in training",
    "orders agree", "first preferred", "invalid", "gaps", "identical", "blank", "characters",
)  # fmt: skip
SHARED = ("judge", "weak", "parameters", "prompts", "n_prompts", "decoding")
"""What the records of one folder have in common."""
PANEL = "panel"
"""The parameter of a panel's records that names its judges, and how its folder's name begins."""
READING = (
    "Shares are in percent of the pairs with a verdict, with 95 % intervals by prompt (all seeds of a prompt "
    "together): from two seeds on they speak for other prompts and other seeds, with one for other prompts alone. "
    "Losses, wins and ties stand as in the paper's figures 7 to 9. It has two definitions of a win rate: win − loss, "
    "in points (its 6.6 %, which is 32.2 − 25.6 and 34.7 − 28.1 in figure 9; of the counts that fit these it is 13 of "
    "199, 6.5), and win + tie/2 (its 53.3 %, findings box of section 3.1). Two orders that disagree are a tie. Invalid "
    "verdicts and gaps are left out, and counted apart; equal answers tie and a blank one loses without asking, at "
    "equal length too, which is fitted on what the judge was asked. None of this is in the primary family."
)


def win_rates(store: Path, study: StudyRecord) -> list[dict[str, Any]]:
    """One document for every judge and set of answers that `study` has records of, and every arm that others met.

    Returns:
        Documents {"folder": under the study's judge/, "baseline": whom the arms met, "arms": [{"arm", "seeds": {seed:
        win + tie/2}, the fields of `WinRate`, "clean": some of them without the prompts that were found in what the
        arms were trained on, or None}], "strengths" and "round_robin": as `Fit` has strengths, pairs and comparisons,
        where a round robin was judged, in the first document of its judge; else [] and None, "searched": what was
        looked for and found of the prompts, "gaps": what is missing and why, in words, and what `JudgeRecord` has of
        judge, prompts, decoding, cost and examples}. Verdicts on other checkpoints than the study's own are a gap.

    Raises:
        Failure: a record is damaged.
    """
    groups: dict[Path, dict[tuple[str, str], JudgeRecord]] = {}
    for path, record in read_judged(store, study.name).items():
        if {record.arm, record.baseline} <= study.arms.keys():
            groups.setdefault(path.parent, {})[record.arm, record.baseline] = record
    own = checkpoints(store, study) if groups else {}
    return [each for folder, records in groups.items() for each in _documents(study, records, own, folder)]


def checkpoints(store: Path, study: StudyRecord) -> dict[tuple[str, str], str]:
    """Fingerprint of the last stage by arm and seed."""
    return {(run.arm, str(run.seed)): read_stage(stage_folder(store, run.stages[-1])).fingerprint for run in study.runs}


def runs_of(study: StudyRecord) -> dict[int, tuple[int, int]]:
    """By the seed of a run those of its weights and of its data."""
    return {run.seed: run.seeds for run in study.runs}


def _documents(
    study: StudyRecord,
    records: Mapping[tuple[str, str], JudgeRecord],
    own: Mapping[tuple[str, str], str],
    folder: Path,
) -> list[dict[str, Any]]:
    """Those of one judge and set of answers."""
    asked = [arm for arm in study.compared if (arm, study.baseline_of(arm)) in records]
    others = sorted({baseline for _, baseline in records}, key=list(study.arms).index)
    baselines = dict.fromkeys([*(study.baseline_of(arm) for arm in study.compared if asked), *others])
    found: dict[tuple[str, str], list[Judged]] = {}
    documents = [_document(study, baseline, records, own, folder, bool(asked), found) for baseline in baselines]
    games = {pair: judged for pair, judged in found.items() if pair < pair[::-1] or pair[::-1] not in found}
    for document in documents:
        if fit := fit_strengths(games, document["baseline"], runs_of(study)):
            document["strengths"] = [asdict(strength) for strength in fit.strengths]
            document["round_robin"] = {"comparisons": fit.comparisons, "pairs": [asdict(pair) for pair in fit.pairs]}
            break
    return documents


def _document(
    study: StudyRecord,
    baseline: str,
    records: Mapping[tuple[str, str], JudgeRecord],
    own: Mapping[tuple[str, str], str],
    folder: Path,
    expected: bool,
    found: dict[tuple[str, str], list[Judged]],
) -> dict[str, Any]:
    """The arms against one; what was judged goes into `found`.

    Of an arm whose own baseline that is, it is said that it was not judged, where any such was `expected`.
    """
    arms, gaps, runs = [], [], runs_of(study)
    met = [arm for arm in study.arms if (arm, baseline) in records]
    own_arms = [arm for arm in study.compared if study.baseline_of(arm) == baseline and expected]
    for arm in sorted({*met, *own_arms}, key=list(study.arms).index):
        if arm not in met:
            gaps.append(f"{arm}: not judged")
            continue
        record = records[arm, baseline]
        if not is_of(record, own):
            gaps.append(f"{arm}: the verdicts are on other checkpoints than the study's; run `ablate judge run` again")
            continue
        judged = verdicts_of(record, folder)
        try:
            row = {"arm": arm, "seeds": _by_seed(judged), **asdict(win_rate(judged, runs))}
            arms.append({**row, "clean": _clean(record, judged, runs)})
            found[arm, baseline] = judged
        except Failure as failure:
            gaps.append(f"{arm}: {failure}")
    one = next(iter(records.values()))
    shown = [records[row["arm"], baseline] for row in arms]
    return {
        "folder": "/".join(folder.parts[-2:]),
        **{name: getattr(one, name) for name in SHARED},
        "baseline": baseline,
        "cut": sum(record.cut for record in shown),
        "cost": _cost(shown),
        "arms": arms,
        "strengths": [],
        "round_robin": None,
        "searched": _searched(shown),
        "examples": [{"against": record.arm, **example} for record in shown for example in record.examples],
        "gaps": gaps,
    }


def is_of(record: JudgeRecord, own: Mapping[tuple[str, str], str]) -> bool:
    """Whether the verdicts are on the study's own checkpoints (`checkpoints`)."""
    sides = (record.arm, record.baseline)
    seeds = {seed for arm, seed in own if arm == record.arm} & {seed for arm, seed in own if arm == record.baseline}
    last = {seed: [own[side, seed] for side in sides] for seed in seeds}
    judged = {seed: list(pair) for seed, pair in record.checkpoints.items()}
    return bool(last) and judged == last


def verdicts_of(record: JudgeRecord, folder: Path) -> list[Judged]:
    """What the judge made of the pairs of a record in `folder`.

    Raises:
        Failure: they are damaged.
    """
    try:
        return [Judged(**{**row, "verdicts": tuple(row["verdicts"])}) for row in record.pairs]
    except (KeyError, TypeError) as error:
        raise Failure(
            f"the verdicts on {record.arm} are damaged ({folder}: {error}); delete the folder and judge again: "
            "the judge's replies are kept"
        ) from error


def _clean(record: JudgeRecord, judged: Sequence[Judged], runs: Runs) -> dict[str, Any] | None:
    """The rates without the prompts that were found in training; None where none was, or nothing is left."""
    dirty = {match["prompt"] for match in record.searched.get("matches", ())}
    left = [each for each in judged if each.id not in dirty]
    if len(left) == len(judged) or not any(each.outcome in SCORES for each in left):
        return None
    row = asdict(win_rate(left, runs))
    return {name: row[name] for name in ("n", "prompts", "win", "tie", "loss", "half", "difference")}


OLDER = "the record is of an older version; run `ablate judge run` again, which asks the judge nothing new"


def _searched(records: Sequence[JudgeRecord]) -> dict[str, Any]:
    """What was looked for and found of the prompts, over records: {"not": {arm: why not}, "documents": by source,
    "short": prompts with too few words to be looked for, "matches": the strongest first}."""
    done = [record.searched for record in records if record.searched and not record.searched["why"]]
    matches = {(match["source"], match["prompt"]): match for each in done for match in each["matches"]}
    return {
        "not": {r.arm: r.searched["why"] if r.searched else OLDER for r in records if r.searched not in done},
        "rule": done[0]["rule"] if done else "",
        "documents": {source: count for each in done for source, count in each["documents"].items()},
        "short": len({prompt for each in done for prompt in each["short"]}),
        "matches": sorted(matches.values(), key=lambda match: (-match["score"], match["prompt"], match["source"])),
    }


def _by_seed(judged: Sequence[Judged]) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for one in judged:
        if one.outcome in SCORES:
            scores.setdefault(str(one.seed), []).append(SCORES[one.outcome])
    return {seed: sum(values) / len(values) for seed, values in scores.items()}


def _cost(records: Sequence[JudgeRecord]) -> dict[str, float | None]:
    prices = [record.cost["dollars"] for record in records]
    total = {
        name: sum(record.cost[name] or 0 for record in records) for name in ("requests", "tokens_in", "tokens_out")
    }
    return {**total, "dollars": None if None in prices else sum(price or 0.0 for price in prices)}


def cells(row: Mapping[str, Any]) -> list[str]:
    """The texts under `COLUMNS` for one of a document's arms."""
    difference = row["difference"]
    return [
        row["arm"],
        f"{row['n']:,} on {row['prompts']:,} prompts",
        "-".join(f"{100 * row[name]['value']:.1f}" for name in ("loss", "win", "tie")),
        *(share_text(row[name]) for name in ("loss", "win", "tie")),
        f"{100 * difference['centre']:+.1f} [{100 * difference['low']:+.1f}, {100 * difference['high']:+.1f}]",
        "< 0.001" if difference["p"] < 0.001 else f"{difference['p']:.3f}",
        share_text(row["half"]),
        " ".join(f"{100 * value:.1f}" for value in row["seeds"].values()),
        share_text(row["length_controlled"]),
        f"{share_text(row['clean']['half'])} on {row['clean']['prompts']:,} prompts" if row["clean"] else "–",
        share_text(row["agreement"]),
        share_text(row["first"]),
        *(f"{row[name]:,}" for name in ("invalid", "gaps", "identical", "empty")),
        f"{row['arm_length']:.0f} against {row['baseline_length']:.0f}",
    ]


def strength_cells(row: Mapping[str, Any]) -> list[str]:
    """Arm, logit and chance of beating the baseline."""
    logit = row["logit"]
    return [row["arm"], f"{logit['centre']:+.2f} [{logit['low']:+.2f}, {logit['high']:+.2f}]", share_text(row["rate"])]


def share_text(share: Mapping[str, float] | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share['value']:.1f} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def head(document: Mapping[str, Any]) -> list[str]:
    """What the figures of a document rest on, a sentence each."""
    cost = document["cost"]
    money = "price not known" if cost["dollars"] is None else f"{cost['dollars']:,.2f} dollars"
    spent = f"{cost['requests']:,} requests, {cost['tokens_in']:,} tokens in and {cost['tokens_out']:,} out ({money})"
    cut = f"; {document['cut']:,} pairs had a prompt too long to be read whole" if document["cut"] else ""
    panel = _panel_said(document["parameters"]) if PANEL in document["parameters"] else []
    paid = "what its judges cost, who were asked before" if panel else spent if cost["requests"] else "none"
    return [
        f"Judge: {document['judge']}.",
        *panel,
        f"Prompts: {document['prompts']}.",
        *_searched_said(document),
        f"They were {document['decoding']}{cut}.",
        f"Cost of the verdicts: {paid}.",
        *_round_robin_said(document["round_robin"]),
    ]


def _panel_said(parameters: Mapping[str, Any]) -> list[str]:
    """How it decides, and how far its judges agree."""
    said = [
        "A panel's outcome is what more than half of its judges with a verdict say, else a tie; with fewer than two "
        "verdicts it is a gap."
    ]
    for each in parameters["alike"]:
        kappa = "" if each["kappa"] is None else f", Cohen's kappa {each['kappa']:.2f}"
        n = f" of {each['same']['n']:,} that both were asked" if each["same"] else ""
        said.append(f"{' and '.join(each['judges'])} are alike on {share_text(each['same'])} % of pairs{n}{kappa}.")
    if parameters["fleiss"] is not None:
        said.append(f"All of them: Fleiss' kappa {parameters['fleiss']:.2f}.")
    return [*said, "Kappa is agreement beyond chance: 1 is full, 0 is what chance would give."]


def _searched_said(document: Mapping[str, Any]) -> list[str]:
    """Whether the prompts were looked for in what the arms were trained on, and what was found."""
    searched = document["searched"]
    why = dict.fromkeys(searched["not"].values())
    said = [
        f"The prompts were not searched for in the training data ({', '.join(arms)}): {reason}."
        for reason in why
        for arms in [[arm for arm, its in searched["not"].items() if its == reason]]
    ]
    if not searched["documents"]:
        return said
    found = list(dict.fromkeys(match["prompt"] for match in searched["matches"]))
    strongest = ", ".join(f"{m['prompt']} in {m['source']} ({m['score']:.2f})" for m in searched["matches"][:3])
    short = f"; {searched['short']:,} have too few words to be looked for" if searched["short"] else ""
    return [
        *said,
        f"The prompts were searched for in the {sum(searched['documents'].values()):,} training documents of "
        f"{', '.join(searched['documents'])}, by the rule {searched['rule']}: {len(found):,} of "
        f"{document['n_prompts']:,} found{f', strongest {strongest}' if found else ''}{short}.",
    ]


def _round_robin_said(fit: Mapping[str, Any] | None) -> list[str]:
    """What the strengths rest on, and whether the pairs agree with them."""
    if fit is None:
        return []
    apart = [pair for pair in fit["pairs"] if pair["apart"]]
    named = "; ".join(
        f"{pair['arm']} against {pair['baseline']} {100 * pair['predicted']:.1f}, found {share_text(pair['observed'])}"
        for pair in apart
    )
    return [
        f"Strengths (Bradley–Terry) are fitted over {len(fit['pairs'])} pairs of arms, {fit['comparisons']:,} "
        f"comparisons. The win + tie/2 that they predict is outside the 95 % interval of what was found in "
        f"{len(apart)} of the pairs (by chance one in twenty is){f': {named}' if named else ''}."
    ]


def print_win_rates(document: Mapping[str, Any], console: Console) -> None:
    """Every judge's tables, with what is missing."""
    for judge in document["judges"]:
        for sentence in head(judge):
            console.print(sentence, highlight=False, markup=False)
        # So many columns of figures stand better below one another.
        (_, *arms), *rows = zip(COLUMNS, *map(cells, judge["arms"]), strict=True)
        table = Table("", title=f"Win rates against {judge['baseline']}", title_justify="left")
        for arm in arms:
            table.add_column(arm, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        if judge["round_robin"]:
            console.print(*_round_robin_tables(judge), sep="\n")
        for gap in judge["gaps"]:
            console.print(f"missing: {gap}", highlight=False, markup=False)
    console.print(READING, highlight=False)


def _round_robin_tables(judge: Mapping[str, Any]) -> tuple[Table, Table]:
    ranks = Table("arm", title="Bradley–Terry", title_justify="left")
    for name in ("logit", f"beats {judge['baseline']}, %"):
        ranks.add_column(name, justify="right")
    for strength in judge["strengths"]:
        ranks.add_row(*strength_cells(strength))
    pairs = Table("arm", "against", title="Found and predicted, win + tie/2", title_justify="left")
    for name in ("found, %", "predicted, %", "pairs"):
        pairs.add_column(name, justify="right")
    for pair in judge["round_robin"]["pairs"]:
        predicted = f"{100 * pair['predicted']:.1f}{' (outside)' if pair['apart'] else ''}"
        pairs.add_row(
            pair["arm"], pair["baseline"], share_text(pair["observed"]), predicted, f"{pair['observed']['n']:,}"
        )
    return ranks, pairs
