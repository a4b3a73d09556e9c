"""What do fewer bits for the weights cost a model, and what do they gain? (PanGu-Coder2, arXiv:2307.14936, Table 4)

One run, scored four times: in float32, in bfloat16, and with the weights alone in eight bits and in four. Nothing is
trained for it, so that the arms differ in nothing else, and they pair by seed and item. Bytes and milliseconds for a
token stand beside the scores in the report.

Hypothesis: bfloat16 and eight bits are as float32, within 0.01 bits per byte, a tenth of what three seeds of a laptop
study can tell apart; four bits cost something. The paper, on a StarCoder of 15B: greedy HumanEval 62.20 in float16,
64.63 in eight bits by CTranslate2, 51.22 in eight and 51.83 in four by GPTQ. It has no intervals; 2.43 are four of 164
problems.
Cost at laptop scale: three seeds of 2 units of 194,560 tokens, 4 minutes on two cores, of which scoring is most.
Command: `ablate run quantised`.
"""

from dataclasses import replace

from experiments.runs import run
from experiments.scales import Scale, ask
from experiments.study import INFERENCE, Expected, Study

MARGIN = 0.01
"""Bits per byte within which two inferences are the same."""
_DESCRIBED = {
    "float32": "weights and products in 32 bits",
    "bfloat16": "weights and products in bfloat16",
    "int8": "weights in eight bits, a scale for each output, products in float32",
    "int4": "weights in four bits, a scale for each 64 inputs of an output, products in float32",
}


def study(scale: Scale) -> Study:
    trained = run("balanced-only", scale, origin="arXiv:2307.14936, Table 4, on a model of ours")
    return ask(
        scale,
        name="quantised",
        question="What do fewer bits for the weights cost, and what do they gain?",
        hypothesis="Eight bits are as good as 32 in a quarter of the bytes; four bits cost something.",
        baseline="float32",
        arms=tuple(replace(trained, name=each, description=_DESCRIBED[each], inference=each) for each in INFERENCE),
        margins={"bpb": MARGIN},
        expected=(
            Expected("bfloat16", "heldout/code/bpb", "same"),
            Expected("int8", "heldout/code/bpb", "same", "Table 4: HumanEval 64.63 against 62.20, or 51.22 by GPTQ"),
            Expected("int4", "heldout/code/bpb", "higher", "Table 4: HumanEval 51.83 against 62.20"),
        ),
    )
