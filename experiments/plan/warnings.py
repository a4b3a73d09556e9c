"""What a user should hear of a study before its numbers are believed, one line each."""

from pathlib import Path

from analysis.evals.benchmarks import benchmark_of
from analysis.evals.lengths import is_long
from analysis.evals.tasks import parse_task, task_name
from analysis.metrics import COMPOSITE
from experiments.plan.stage import Plan
from experiments.study import Cap, Study
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.benchmarks.load import supplied
from mixtures.steps.select import COPY
from mixtures.tokens.manifest import Manifest
from models.config import parameters
from store.layout import DOWNLOADS


def data_warnings(study: Study, manifest: Manifest) -> list[str]:
    """What is not held out, what the tokenizer loses, and which benchmarks were not looked for."""
    lines = heldout_warnings(study, manifest)
    if manifest.loss:
        so = "letters with accents are composed" if manifest.bits_per_byte else "there will be no bits per byte"
        lines.append(f"the tokenizer does not keep texts as they are ({manifest.loss}); {so}")
    size = study.evaluation
    asked = {benchmark_of(task) for task in (*size.asked, *size.executed) if not is_long(task)}
    if uncovered := sorted(asked - set(manifest.benchmarks)):
        lines.append(
            f"the data of study '{study.name}' were not cleaned against {', '.join(uncovered)}, on which it is "
            "evaluated; add them to its cleaning, or read those scores as an upper bound"
        )
    return lines


def heldout_warnings(study: Study, manifest: Manifest) -> list[str]:
    """The sources whose groups are so large that the share asked for could not be held out, one line each."""
    share, lines = study.data.heldout, []
    for name, source in manifest.sources.items():
        total = source.documents + source.heldout_documents
        off = abs(source.heldout_documents - share * total)
        if not source.heldout_documents and share:
            copies = source.dropped.get(COPY, 0)
            lines.append(
                f"nothing of source '{name}' is held out: "
                + (
                    f"other sources hold out {copies:,} of its documents"
                    if copies
                    else f"its {total:,} documents are of one group; name a finer one"
                )
            )
        elif off > max(1, share * total / 2):
            lines.append(
                f"{source.heldout_documents:,} of {total:,} documents of source '{name}' are held out "
                f"({source.heldout_documents / total:.1%}), not the {share:.1%} asked for: its groups are too large; "
                "name finer ones"
            )
    return lines


def part_warnings(study: Study, store: Path) -> list[str]:
    """The benchmarks of which a study asks more items than the wheel's part of the full split has, one line each."""
    size, lines = study.evaluation, []
    whole = set(map(task_name, size.every_stage))
    for name, each in size.asked.items():
        benchmark = parse_task(each).benchmark
        entry = BENCHMARKS.get(benchmark) if isinstance(benchmark, str) else None
        if not entry or not entry.full or supplied(str(benchmark), store / DOWNLOADS):
            continue
        part, full = entry.rows, entry.full.rows
        if name in whole or size.items > part:
            lines.append(
                f"'{benchmark}' has {part:,} of its {full:,} rows here; "
                f"get all by `ablate benchmarks --fetch {benchmark}`"
            )
    return lines


FEW_PARAMETERS = 100_000_000
"""Below, accuracies of the paper's tasks are at or near chance (benchmarks/quickstart.md), and programs do not run."""
MANY_EPOCHS = 4
"""Above, repeated tokens of a corpus of one's own are worth less than new ones (arXiv:2305.16264)."""


def design_warnings(plan: Plan) -> list[str]:
    """What a plan cannot tell however well it runs, one line each."""
    study, lines = plan.study, []
    if len(study.seeds) == 1:
        lines.append("every arm has one seed: what another would give stays unknown; three are usual")
    size = min(parameters(arm.model or study.model).total for arm in study.arms)
    shares = ("acc", "exact_match", "pass@1")
    counted = [name for name in study.primary if name == COMPOSITE or name.rpartition("/")[2] in shares]
    if counted and size < FEW_PARAMETERS:
        lines.append(
            f"primary names {', '.join(counted)}, which is at or near chance for models of {size:,} parameters"
        )
    most: dict[str, float] = {}
    for stage in plan.stages:
        for source, epochs in stage.epochs.items():
            most[source] = max(epochs, most.get(source, 0.0))
    for source, epochs in most.items():
        cap = study.max_epochs_of.get(source)
        if epochs > MANY_EPOCHS:
            why = f"; its cap is {cap.epochs}: {cap.why}" if isinstance(cap, Cap) else ""
            lines.append(f"source '{source}' is read {epochs:.2f} times, where more than {MANY_EPOCHS} is much{why}")
    return [*lines, *_unequal(plan)]


def _unequal(plan: Plan) -> list[str]:
    """The arms whose runs read another number of tokens than the arm that they are compared with."""
    seed = plan.study.seeds[0]
    totals = {arm.name: sum(plan.stage(id).tokens for id in plan.runs[arm.name, seed]) for arm in plan.study.arms}
    pairs = [(arm, plan.study.baseline_of(arm)) for arm in totals]
    odd = [f"{arm} {totals[arm]:,} and {base} {totals[base]:,}" for arm, base in pairs if totals[arm] != totals[base]]
    more = f"; and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
    return [f"arms are compared that read unequal numbers of tokens: {'; '.join(odd[:SHOWN])}{more}"] if odd else []


SHOWN = 3
"""Pairs in a line."""
