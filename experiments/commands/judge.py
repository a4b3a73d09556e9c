"""`ablate judge`: win rates of the arms' answers, and how far a judge agrees with people."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.commands.lookup import asked
from experiments.commands.options import (
    RUNS,
    Json,
    MaxCost,
    Price,
    ScaleName,
    Store,
    StudyName,
    local_path,
    print_result,
)

judge_app = typer.Typer(help="Win rates: judge the arms' answers against one another's.", no_args_is_help=True)

JudgeName = Annotated[str | None, typer.Option("--judge", help="smollm: embedded, needs no account, weak.")]
JudgeUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible server's address; it ends in /v1.")]
JudgeModel = Annotated[str | None, typer.Option(help="The model's name there.")]
JudgeParameters = Annotated[
    str | None,
    typer.Option(
        help="JSON that is sent with every request, in place of temperature 0, max_tokens 1024; "
        "extra_headers and extra_query too. The API key is JUDGE_API_KEY of the environment."
    ),
]
Rate = Annotated[float, typer.Option(help="Requests a minute, at most.")]
Replay = Annotated[bool, typer.Option("--replay", help="Ask nobody: what was not answered before is a gap.")]


@judge_app.command("run")
def judge_run(
    study: StudyName,
    scale: ScaleName = "",
    judge: JudgeName = None,
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    judge_parameters: JudgeParameters = None,
    rate: Rate = 300,
    price: Price = None,
    max_cost: MaxCost = None,
    replay: Replay = False,
    prompts: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="Dolly-200, databricks-dolly-15k, or JSON lines with a prompt."),
    ] = None,
    n: Annotated[int | None, typer.Option(min=1, help="So many prompts, the first by sha256; 200 if not said.")] = None,
    arms: Annotated[list[str] | None, typer.Option(help="Judge this arm only; may be repeated.")] = None,
    against: Annotated[str | None, typer.Option(help="Judge against this arm, not the baseline of each.")] = None,
    round_robin: Annotated[bool, typer.Option("--round-robin", help="Judge every two of the arms.")] = False,
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Have a finished study's arms answer prompts, and a judge compare them in pairs, in both orders.

    Each with its baseline, unless another arm is named or every two are asked for.
    """
    from analysis.winrates import print_win_rates
    from experiments.score.judges import choose_judge, choose_prompts
    from experiments.score.judging import judge_study

    name = asked(study, scale).key
    chosen = choose_judge(judge, judge_url, judge_model, judge_parameters, rate, price, max_cost, replay, store)
    put = choose_prompts(prompts, n, store)
    print_result(judge_study(name, store, chosen, put, arms or [], against, round_robin), json, print_win_rates)


@judge_app.command("panel")
def judge_panel(study: StudyName, scale: ScaleName = "", store: Store = RUNS, json: Json = False) -> None:
    """Make one judge of all that judged the same answers of a study: the majority of their verdicts. Asks nobody."""
    from analysis.winrates import print_win_rates
    from experiments.score.panel import judge_by_panel

    print_result(judge_by_panel(asked(study, scale).key, store), json, print_win_rates)


@judge_app.command("calibrate")
def judge_calibrate(
    file: Annotated[
        Path, typer.Argument(parser=local_path, help="JSON lines: prompt, answer_a, answer_b, preferred (a, b or tie).")
    ],
    judge: JudgeName = None,
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    judge_parameters: JudgeParameters = None,
    rate: Rate = 300,
    price: Price = None,
    max_cost: MaxCost = None,
    replay: Replay = False,
    store: Store = RUNS,
    json: Json = False,
) -> None:
    """Measure how far a judge agrees with people on pairs that they have labelled."""
    from experiments.score.judges import choose_judge
    from experiments.score.judging import calibrate_judge, print_calibration

    chosen = choose_judge(judge, judge_url, judge_model, judge_parameters, rate, price, max_cost, replay, store)
    print_result(calibrate_judge(file, chosen), json, print_calibration)
