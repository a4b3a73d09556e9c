"""The second half of a report: what was executed and judged, what was read and at what cost, leaks, limits."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.clean import CleanScore, contamination, touched
from analysis.compare import Comparison, against
from analysis.evals.benchmarks import benchmark_of
from analysis.evals.lengths import is_long
from analysis.ledgers import Ledgers, by_source, costs, skipped_steps
from analysis.metrics import TEXTS, Score, percent_text
from analysis.records import StudyRecord
from analysis.report.blocks import Block, Bullets, Cell, Code, Facts, Fold, Heading, Table, Text, grouped
from analysis.report.findings import detectable_lines
from analysis.statistics import Interval, share_interval
from analysis.tabular import count_text, duration_text
from analysis.winrates import COLUMNS, READING, cells, head, strength_cells
from mixtures.tokens.manifest import in_common, packed_of, packing_lines

FEW_ROWS = 30
"""From so many on, a table is folded."""
LETTERS = 400
"""Of a prompt or an answer that is shown."""


def folded(table: Table) -> Block:
    """The table, behind its caption where it is long."""
    return table if len(table.rows) < FEW_ROWS else Fold(f"{table.caption} ({len(table.rows)} rows)", (table,))


def executed(comparison: Comparison) -> list[Block]:
    """pass@k of every arm at the end of its runs, a problem's value being the mean over seeds."""
    body: list[tuple[Cell | str, ...]] = []
    for metric in (metric for metric in comparison.metrics if metric.score.name.startswith("pass@")):
        task, column = metric.parts[0][0], metric.score.column
        for arm in comparison.study.arms:
            its = comparison.evaluated.scores.items()
            seeds = (of.get(task) for (name, _, at), of in its if (name, at) == (arm, comparison.points[-1]))
            columns = [each.columns for each in seeds if each and column in each.columns]
            if not columns:
                continue
            runs_N = np.sum([each["runs"] for each in columns], axis=0)  # of how many seeds: machines may differ
            sum_N = np.sum([each[column] for each in columns], axis=0)
            values = (sum_N[runs_N > 0] / runs_N[runs_N > 0]).tolist()
            low, high = share_interval(values)
            problems = f"{len(values):,} of {len(runs_N):,}"
            mean, ends = f"{100 * math.fsum(values) / len(values):.1f} %", f"[{100 * low:.1f}, {100 * high:.1f}]"
            weak = f"{columns[0]['weak'].sum():.0f}"
            body.append((metric.name, arm, mean, ends, problems, weak, f"{len(columns)}"))
    if not body:
        return []
    said = (
        "Share of the problems that a program written by the model solves, at the end of the runs, with 95 % intervals "
        "over the problems (a problem's value is the mean over seeds). Programs ran in a sandbox without network; what "
        "they returned was compared outside of it, but for weak problems, whose tests ran within the program's reach. "
        "Problems whose tests do not run here are left out."
    )
    columns_ = ("metric", "arm", "value", "95 % interval", "problems", "weak", "seeds")
    return [Text(said), folded(Table("pass@k by arm", columns_, grouped(body), words=2))]


def win_rates(documents: Sequence[Mapping[str, Any]]) -> list[Block]:
    """What judges made of the arms' answers; nothing where none was asked."""
    blocks: list[Block] = []
    for judge in documents:
        baseline = judge["baseline"]
        blocks += [Heading(f"{judge['judge']}, against {baseline}"), Bullets(tuple(("", line) for line in head(judge)))]
        if judge["arms"]:
            # Seventeen columns of figures stand better below one another.
            names, *rows = zip(COLUMNS, *map(cells, judge["arms"]), strict=True)
            blocks.append(Table("Shares in per cent", names, tuple(rows), dense=True))
        if judge["strengths"]:
            body = tuple(tuple(strength_cells(row)) for row in judge["strengths"])
            said = f"Strengths of all arms together (Bradley–Terry), {baseline} at 0"
            blocks.append(Table(said, ("arm", "logit", f"beats {baseline}, %"), body))
        if judge["gaps"]:
            blocks.append(Bullets(tuple(("", gap) for gap in judge["gaps"]), "bad"))
        if judge["examples"]:
            lines = [line for pair in judge["examples"] for line in _pair(pair, baseline)]
            blocks.append(Fold("Some of the pairs", (Facts(tuple(lines)),)))
    return [*blocks, Text(READING, "note")] if blocks else []


def _pair(pair: Mapping[str, str], baseline: str) -> list[tuple[str, str]]:
    def cut(text: str) -> str:
        return text if len(text) <= LETTERS else f"{text[:LETTERS]}…"

    return [
        (f"{pair['against']}: {pair['outcome']}", cut(pair["prompt"])),
        (pair["against"], cut(pair["arm"]) or "(blank)"),
        (baseline, cut(pair["baseline"]) or "(blank)"),
    ]


def skipped(ledgers: Ledgers) -> list[Block]:
    lines = []
    for stage, steps, which in skipped_steps(ledgers):
        first = ", ".join(f"{step:,}" for step in which[:5]) + (", …" if len(which) > 5 else "")
        lines.append(("", f"{stage.id}: {len(which):,} of {steps:,} steps ({first})"))
    if not lines:
        return []
    said = "Loss or gradient was not finite, so these steps read their tokens and made no update:"
    return [Text(said), Bullets(tuple(lines), "bad")]


def tokens(ledgers: Ledgers, audit: Mapping[str, Any]) -> list[Block]:
    """Declared and realised tokens, and what the audit found; a row for each stage and source."""
    if audit["equal"]:
        blocks: list[Block] = [
            Text(
                "The tokens read equal the tokens declared, for every source in all "
                f"{len(audit['stages'])} stages; sampled batches were read again and matched the ledger."
            )
        ]
    else:
        problems = [("", problem) for problem in audit["problems"]]
        problems += [(stage["id"], problem) for stage in audit["stages"] for problem in stage["problems"]]
        blocks = [Text("The audit found differences:", "bad"), Bullets(tuple(problems), "bad")]
    alike: dict[tuple[Any, ...], list[int]] = {}
    for row in by_source(ledgers):
        stage = re.sub(rf"-s{row['seed']}$", "", row["stage"])
        key = (stage, *(row[name] for name in ("kind", "source", "declared", "realised", "epochs")))
        if row["declared"] or row["realised"]:
            alike.setdefault(key, []).append(row["seed"])
    body = [
        (
            *(Cell(stage, kind), ", ".join(map(str, sorted(seeds))), source, f"{declared:,}"),
            Cell(f"{fed:,} ≠", look="bad") if declared != fed else Cell(f"{fed:,}"),
            "–" if epochs is None else f"{epochs:.3f}",
        )
        for (stage, kind, source, declared, fed, epochs), seeds in alike.items()
    ]
    columns = ("stage", "seeds", "source", "declared", "realised", "epochs")
    caption = "Tokens by stage and source; seeds with equal numbers share a row"
    return [*blocks, *([folded(Table(caption, columns, grouped(body), words=3))] if body else [])]


def data(study: StudyRecord, manifest: Mapping[str, Any] | None) -> list[Block]:
    """Tokenizer, documents, what was dropped and why, packages with their licences."""
    if manifest is None:
        return [
            Text(f"The store holds no manifest of the prepared data {study.prepared}, so their provenance is unknown.")
        ]
    tokenizer, sources = manifest["tokenizer"], manifest["sources"]
    sums: dict[str, list[int]] = {}
    for source in sources.values():
        of = sums.setdefault(source["kind"], [0, 0])
        of[0] += source["bytes"]
        of[1] += source["tokens"]
    fertility = ", ".join(f"{kind} {size / n:.2f}" for kind, (size, n) in sums.items() if n)
    lossy = ""
    if tokenizer.get("loss"):
        bits = "" if tokenizer["bits_per_byte"] else ", so there are no bits per byte"
        lossy = f" It does not keep texts as they are: {tokenizer['loss']}{bits}."
    said = (
        f"One tokenizer for all arms: {tokenizer['vocabulary']} tokens, digest {tokenizer['digest']}. Bytes per token: "
        f"{fertility}; they differ by kind, so equal tokens are not equal text.{lossy}"
    )
    body = [
        (
            *(name, source["kind"], f"{source['documents']:,}", count_text(source["tokens"])),
            f"{source['bytes'] / source['tokens']:.2f}" if source["tokens"] else "–",
            f"{source['heldout_documents']:,} ({count_text(source['heldout_bytes'])}B)",
            ", ".join(f"{reason} {n:,}" for reason, n in source["dropped"].items() if n) or "none",
        )
        for name, source in sources.items()
    ]
    columns = ("source", "kind", "documents", "tokens", "bytes per token", "held-out documents", "dropped, by reason")
    lines = [
        line
        for name, its in sources.items()
        for line in (
            *in_common(name, its["duplicates"], its["shared"]),
            *packing_lines(name, packed_of(its)),
        )
    ]
    licences = tuple(
        (name, ", ".join(f"{each['name']} {each['version']} ({each['licence']})" for each in its["packages"]))
        for name, its in sources.items()
    )
    return [
        Text(said),
        Table("Sources of the prepared data", columns, tuple(body), words=2, prose=(6,)),
        *([Bullets(tuple(("", f"{line}.") for line in lines))] if lines else []),
        Fold("Packages and licences", (Facts(licences),)),
    ]


def cost(study: StudyRecord, ledgers: Ledgers, planned: Mapping[str, Any]) -> list[Block]:
    """Tokens, FLOPs and measured training time against the plan; a stage that arms share counts once."""
    rows = list(costs(study, ledgers))
    total = [sum(row[name] for row in rows) for name in ("tokens", "flops", "seconds")]
    body = [
        (
            *(Cell(row["stage"], row["kind"]), row["arms"], row["model"]),
            *(f"{row['steps']:,} of {row['planned_steps']:,}", count_text(row["tokens"]), f"{row['flops']:.2e}"),
            *(duration_text(row["seconds"]), f"{row['flops'] / row['seconds']:.2e}" if row["seconds"] else "–"),
        )
        for row in rows
    ]
    speed = f"{total[1] / total[2]:.2e}" if total[2] else "–"
    said = (
        f"Trained: {count_text(total[0])} tokens, {total[1]:.2e} FLOPs in {duration_text(total[2])} of measured step "
        f"time ({speed} FLOP/s). Without sharing stages between arms it would be "
        f"{count_text(planned['tokens_without_sharing'])} tokens. Compiling, preparing and evaluating are not in it. "
        f"The plan, evaluation included, said {duration_text(3600 * planned['hours'])}."
    )
    columns = ("stage", "arms", "model", "steps", "tokens", "FLOPs", "time", "FLOP/s")
    table = Table("What was trained, by stage", columns, tuple(body), words=3, prose=(1,))
    return [Text(said), *([folded(table)] if body else [])]


def leaks(
    comparison: Comparison, ledgers: Ledgers, clean: Sequence[CleanScore], manifest: Mapping[str, Any] | None
) -> list[Block]:
    """Benchmark items in what the arms read, and the scores without them."""
    study = comparison.study
    if manifest is None:
        return [Text(f"Not measured: the store holds no manifest of the prepared data {study.prepared}.")]
    tasks = {task for metric in comparison.metrics for task, _ in metric.parts}
    tasks = {task for task in tasks if not (task.startswith(TEXTS) or is_long(task))}
    found = contamination(manifest, study, ledgers, sorted({benchmark_of(task) for task in tasks}))
    blocks: list[Block] = []
    if found["uncovered"]:
        names = ", ".join(found["uncovered"])
        said = (
            f"The training data were not searched for the items of {names}: a difference there may in part be memory."
        )
        blocks.append(Text(said, "bad"))
    if found["rows"]:
        blocks += [*_matches(study, found["rows"], manifest), *_clean(comparison, clean)]
    if found["examples"]:
        pairs = tuple(
            (
                f"{each['benchmark']} {each['item']}, {each['component']}, {each['score']:.2f}",
                f"{each['source']}: {each['document']}: {each['evidence']}",
            )
            for each in found["examples"]
        )
        blocks.append(Fold("The strongest matches that were kept", (Facts(pairs),)))
    return blocks


def _matches(study: StudyRecord, rows: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> list[Block]:
    rule = manifest["decontamination"]["rule"]
    said = (
        f"Every document was searched for the benchmarks' items (rule {rule['name']}). A document that matches an item "
        f"by {rule['drop']} or more was dropped; a weaker match, from {rule['report']}, was kept and is counted here "
        "for the arms that read its source."
    )
    # Arms as rows only where they differ: most benchmarks are as clean for one as for another.
    alike = [row for row in rows if len(set(row["arms"])) == 1]
    body = [(row["benchmark"], f"{row['size']:,}", f"{row['found']:,}", row["arms"][0]) for row in alike]
    differing = [row for row in rows if row not in alike]
    arms = [(arm, *(row["arms"][number] for row in differing)) for number, arm in enumerate(study.arms)]
    heads = tuple(
        Cell(row["benchmark"], f"{row['size']:,} items, {row['found']:,} found before dropping") for row in differing
    )
    dropped = [
        f"{name}: {its['dropped']['contaminated']:,} documents dropped, for {len(its['found']):,} items"
        for name, its in manifest["sources"].items()
        if its["dropped"].get("contaminated")
    ]
    columns = ("benchmark", "items", "found before dropping", "kept, in every arm")
    return [
        Text(said),
        *([Table("Items with a match that was kept, by arm", ("arm", *heads), tuple(arms))] if heads else []),
        *([folded(Table("Benchmarks on which the arms are alike", columns, tuple(body)))] if body else []),
        Text(f"{'; '.join(dropped) or 'No document was dropped'}."),
    ]


def _ends(score: Score, found: Interval | None) -> tuple[str, str]:
    return (score.difference_text(found.centre), score.interval_text(found)) if found else ("–", "–")


def _clean(comparison: Comparison, scores: Sequence[CleanScore]) -> list[Block]:
    if not scores:
        return []
    dirty, whom = touched(scores), against(comparison.study)
    if not dirty:
        said = "No item that was scored matches a document that was kept: on clean items all"
        return [
            Heading("Scores without the matched items"),
            Text(f"{said} {len(scores)} scores are as they are above."),
        ]
    said = (
        "At the end of the runs, each score also on the items that no kept document of the arm's sources matches. The "
        "difference is clean − all, with the interval of item noise, seeds as they are; beside it GPT-4's (clean − all)"
        f" / all; then the arm against {whom} on the items clean for both. {len(scores) - len(dirty)} of {len(scores)} "
        "scores have no such item and are as they were; all are in clean.csv."
    )
    body = [
        (
            *(row.metric.label, row.arm, f"{row.n_items:,} × {row.n_seeds}", f"{row.n_clean:,}"),
            *("–" if share is None else row.metric.score.value_text(share) for share in (row.value, row.clean)),
            *(*_ends(row.metric.score, row.difference), percent_text(row.relative)),
            f"{row.n_both:,}" if row.against else "–",
            *_ends(row.metric.score, row.against.difference if row.against else None),
        )
        for row in dirty
    ]
    columns = (
        *("metric", "arm", "n × seeds", "clean items", "all", "clean", "clean − all", "95 % interval", "of all"),
        *("clean for both", f"difference to {whom}", "95 % interval"),
    )
    table = Table("Scores on all and on clean items", columns, grouped(body), words=2, dense=True)
    return [Heading("Scores without the matched items"), Text(said), folded(table), *_worth(whom, scores)]


def _worth(whom: str, scores: Sequence[CleanScore]) -> list[Block]:
    """What items were worth that an arm read and its baseline did not."""
    body = [
        (score.metric.label, score.arm, f"{score.n_read:,}", *_ends(score.metric.score, score.worth.difference))
        for score in scores
        if score.worth
    ]
    if not body:
        return []
    said = (
        f"What reading an item was worth: by how much more arms differ from {whom} on the items that match documents "
        "of their own sources alone than on the items clean for both. What else they differ in is in both, and so is "
        "much of what the seeds do."
    )
    columns = ("metric", "arm", "items it alone read", "worth", "95 % interval")
    return [Text(said), Table("What a leak was worth", columns, grouped(body), words=2)]


def limits(comparison: Comparison, judged: bool) -> list[Block]:
    """What the figures do not say; `judged` is whether win rates are among them."""
    seeds = max((row.n_seeds for row in comparison.last), default=0)
    factor = {2: "12.7", 3: "4.3", 4: "3.2", 5: "2.8"}.get(seeds)
    lines = []
    if factor:
        said = "only large or very steady effects are shown, and most differences cannot be told from noise"
        lines.append(f"With {seeds} seeds Student's t multiplies the standard error of seeds by {factor}: {said}.")
    lines += [
        "A verdict on a metric that is not primary is exploratory: of those that Benjamini and Hochberg's correction "
        "leaves, one in twenty is false on average.",
        "A seed that is missing or has diverged counts against its arm: what the others show is not called better, nor,"
        " where a record is merely missing, anything at all.",
    ]
    if any(benchmark_of(task) == "boolq" for metric in comparison.metrics for task, _ in metric.parts):
        lines.append("BoolQ is held to 62.2 %, the share of its commoner answer, as its level of chance.")
    if not judged:
        lines.append(
            f"No judge was asked for win rates: ablate judge run {comparison.study.name} --judge smollm --prompts FILE "
            "does it. FILE holds databricks-dolly-15k, or JSON lines with a prompt; the paper's own 200 prompts were "
            "picked by hand and are not to be had."
        )
    blocks: list[Block] = [Bullets(tuple(("", line) for line in lines))]
    if smallest := detectable_lines(comparison):
        size = max(1, len(comparison.family))
        said = (
            "The smallest difference that is found four times in five with so many seeds and items after the "
            f"correction for {size} comparison{'' if size == 1 else 's'}, with the spread of seeds and items seen here "
            "(itself an estimate from as few seeds):"
        )
        blocks += [Text(said), Bullets(tuple(("", line) for line in smallest))]
    return blocks


def reproduce(study: StudyRecord, ledgers: Ledgers) -> list[Block]:
    """The study's own command, and the hardware that trained; nothing of the machine that writes the report."""
    environments = [stage.environment for stage, _ in ledgers.values() if stage.environment]
    machines = dict.fromkeys(", ".join(f"{name} {value}" for name, value in each.items()) for each in environments)
    seeds = ", ".join(map(str, sorted({run.seed for run in study.runs})))
    facts = (*(("Trained on", machine) for machine in machines), ("Seeds", seeds), ("Prepared data", study.prepared))
    prints = tuple((stage.id, stage.fingerprint) for stage, _ in ledgers.values())
    return [Code(study.command), Facts(facts), *([Fold("Fingerprints", (Facts(prints),))] if prints else [])]
