"""What a user should hear of a study before its numbers are believed, one line each."""

from pathlib import Path

from analysis.evals.benchmarks import benchmark_of
from analysis.evals.tasks import parse_task, task_name
from experiments.study import Study
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.benchmarks.load import supplied
from mixtures.tokens.manifest import Manifest
from store.layout import DOWNLOADS


def data_warnings(study: Study, manifest: Manifest) -> list[str]:
    """What is not held out, what the tokenizer loses, and which benchmarks were not looked for."""
    lines = heldout_warnings(study, manifest)
    if manifest.loss:
        so = "letters with accents are composed" if manifest.bits_per_byte else "there will be no bits per byte"
        lines.append(f"the tokenizer does not keep texts as they are ({manifest.loss}); {so}")
    size = study.evaluation
    asked = {benchmark_of(task) for task in (*size.asked, *size.executed)}
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
            lines.append(
                f"nothing of source '{name}' is held out: its {total:,} documents are of one group; name a finer one"
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
