"""The command line: `ablate`. Results go to stdout, progress and errors to stderr."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from experiments.plan import Plan, make_plan
from experiments.study import find_study

app = typer.Typer(
    help="What does code in the pre-training data do to a language model? Declare mixtures, train arms, compare them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StudyName = Annotated[str, typer.Argument(help="Name of a file in experiments/studies, such as quickstart.")]
Store = Annotated[Path, typer.Option(help="Folder that holds data, checkpoints and records.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
RUNS = Path("runs")


def _show(document: dict[str, Any], as_json: bool, table: Any) -> None:
    if as_json:
        print(json.dumps(document, indent=1, allow_nan=False))
    else:
        width = None if sys.stdout.isatty() else 160
        table(document, Console(width=width))


def _planned(study: str, store: Path) -> Plan:
    return make_plan(find_study(study), store)


@app.command()
def plan(study: StudyName, store: Store = RUNS, json: Json = False) -> None:
    """Show stages, tokens, epochs, FLOPs and time before anything is trained."""
    from experiments.views import plan_json, print_plan

    _show(plan_json(_planned(study, store), store), json, print_plan)


@app.command()
def prepare(study: StudyName, store: Store = RUNS) -> None:
    """Fetch, clean, tokenise and store the data of a study."""
    from experiments.run import prepare_study

    prepare_study(find_study(study), store)


@app.command()
def run(study: StudyName, store: Store = RUNS) -> None:
    """Run what is missing of a study and write its report; after an interruption, carry on."""
    from experiments.run import run_study

    print(f"report: {run_study(find_study(study), store)}")


@app.command()
def status(study: StudyName, store: Store = RUNS, json: Json = False) -> None:
    """Say what is done, running, waiting or failed."""
    from experiments.views import print_status, status_json

    _show(status_json(_planned(study, store), store), json, print_status)


@app.command()
def audit(study: StudyName, store: Store = RUNS, json: Json = False) -> None:
    """Compare declared with realised tokens and replay sampled batches; exit 1 on a difference."""
    from experiments.audit import audit as audit_plan
    from experiments.views import print_audit

    document = audit_plan(_planned(study, store), store)
    _show(document, json, print_audit)
    if not document["equal"]:
        raise typer.Exit(1)


@app.command()
def compare(study: StudyName, store: Store = RUNS, json: Json = False) -> None:
    """Compare every arm with the baseline: paired differences, intervals, verdicts."""
    from analysis.compare import compare as compare_arms
    from analysis.compare import print_table, to_json

    find_study(study)
    comparison = compare_arms(store, study)
    if json:
        _show(to_json(comparison), True, None)
    else:
        print_table(comparison, Console(width=None if sys.stdout.isatty() else 160))


@app.command()
def report(study: StudyName, store: Store = RUNS) -> None:
    """Write the report again from the records."""
    from experiments.report import write_report

    print(f"report: {write_report(_planned(study, store), store)}")


INTERRUPTED = 130


def guard(command: Callable[[], Any]) -> None:
    """Run a command and exit with its code; what was foreseen to go wrong becomes one line on stderr."""
    try:
        code = command()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # ours, and typer's about the command line
        code = getattr(error, "exit_code", None)
        if code is None:
            raise
        if str(error):
            print(f"ablate: {error}", file=sys.stderr)
    else:
        code = code if isinstance(code, int) else 0
    if code == INTERRUPTED:
        print("interrupted; run the same command again to carry on", file=sys.stderr)
    sys.exit(code)


def main() -> None:
    """Entry point of `ablate`."""
    # Not in typer's standalone mode, which would swallow an interruption and its advice.
    guard(lambda: app(standalone_mode=False))
