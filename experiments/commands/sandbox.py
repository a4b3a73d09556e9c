"""`ablate sandbox`: whether the box that programs of models run in holds."""

import typer

from experiments.commands.options import Json, print_result

sandbox_app = typer.Typer(help="Where programs that a model wrote are executed.", no_args_is_help=True)


@sandbox_app.command()
def selftest(json: Json = False) -> None:
    """Run hostile programs in this machine's sandbox and show how each ended; exit 1 on a hole."""
    from analysis.evals.code import box
    from analysis.evals.code import selftest as hostile

    document = hostile.run(box.find())
    print_result(document, json, hostile.print_table)
    if not document["holds"]:
        raise typer.Exit(1)
