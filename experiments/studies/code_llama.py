"""What does a text model gain by going on with code, and what do the stages after it cost? (Code Llama)

The stages of Code Llama (arXiv:2308.12950): a text model that goes on with 85 % code, 8 % natural language about code
and 7 % natural language; the same from scratch; with nine documents of ten permuted for infilling; then Python, long
contexts (four times as long, rotary base 1e6), and instructions with 6 % code and 2 % text rehearsed.

Hypothesis: the model that continues is where the one from scratch ends some 40 to 50 % of the stage earlier (the 7B:
halfway, 240B of 500B tokens earlier); infilling costs about a point of pass@1 (−0.6 for 7B, −1.1 for 13B); long
contexts cost as little (−0.52 HumanEval, −1.9 MBPP) and let bits per byte go on falling beyond the trained length.
Cost at laptop scale: three seeds, 9.6M tokens, 13 minutes on two cores (benchmarks/systems.md).
Command: `ablate run code_llama`.
"""

from dataclasses import replace

from experiments.pieces import followed
from experiments.scales import Scale, ask
from experiments.study import Arm, Epochs, Expected, Stage, Study
from experiments.systems import first, long_context, python, systems, tuned
from models.recipe import NextToken


def study(scale: Scale) -> Study:
    of = systems(scale)
    scale = of.scale

    text = first(of, of.mixture("text", text=1))
    scratch = followed(first(of, of.code_llama, units=of.units))
    going_on = (text, *followed(first(of, of.code_llama, "continue", of.units)))
    with_holes = (text, *followed(first(of, of.code_llama, "continue", of.units, infilling=True)))

    # Of two epochs, so that of a small set of pairs, too, the code beside it is a sequence of each source.
    asked = replace(tuned(of, of.rehearsed, of.pairs, 1, NextToken("answers"))[0], epochs=Epochs(of.pairs, 2))

    def arm(name: str, described: str, *stages: Stage, against: str | None = "continued") -> Arm:
        return Arm(name, described, stages, against=against, origin="arXiv:2308.12950")

    evaluation = replace(
        scale.evaluation,
        executed=(*scale.evaluation.executed, *of.infilling),
        compared=(*scale.evaluation.compared, *of.long),
    )
    return ask(
        replace(scale, evaluation=evaluation, primary=(of.written, "heldout/code/bpb")),
        name="code-llama",
        question="What does a text model gain by going on with code, and what do the stages after it cost?",
        hypothesis="It is where a model from scratch ends long before its own end; infilling and length cost little.",
        baseline="scratch",
        arms=(
            arm("scratch", "the mixture of code from fresh weights", *scratch, against=None),
            arm("text", "the text model", text, against=None),
            arm("continued", "the text model, then the mixture of code", *going_on, against=None),
            arm("infilling", "the same, nine of ten documents permuted for infilling", *with_holes),
            arm("python", "continued, then mostly Python", *going_on, python(of)),
            arm("long", f"continued, then sequences of {4 * scale.sequence:,} tokens", *going_on, long_context(of)),
            arm("instruct", "continued, then two epochs of instructions with some code and text", *going_on, asked),
        ),
        expected=(
            Expected("continued", "heldout/code/bpb", "lower", "Fig. 5a"),
            Expected("infilling", of.written, "same", "−0.6 points (7B), −1.1 (13B), of HumanEval and MBPP"),
            Expected("long", of.written, "same", "−0.52 points of HumanEval"),
            Expected("instruct", of.look, "higher", "34.8 against 30.5 with self-instruct (7B)"),
        ),
    )
