"""Which code? (arXiv:2408.10914, section 3.4, Fig. 5a and 5b)

Fig. 5a: web code alone, with a fifth of markup, with 15 % of code-adjacent data, with 10 % of synthetic problems; 200B
tokens of the paper each. Fig. 5b: balanced→text with and without synthetic problems in its first half. Code-adjacent
data are read in both ways that the paper names them, with issues and with commits, where the catalogue has them.

Hypothesis: a tenth of synthetic problems helps both, markup and adjacent data help text and cost some code. The paper:
reasoning 39.9, 41.0, 42.4, 44.7 and code 12.7, 10.7, 11.5, 15.5 for code, +markup, +adjacent, +synth; 52.0 / 3.4 and
53.0 / 4.8 for Fig. 5b. It tells the synthetic gain against code+markup (+9 %, +44.9 %), not, as written, against web
code (+12.0 %, +22.0 %).
Cost at laptop scale: three seeds of 8 units of 194,560 tokens, about 5 minutes on two cores. Command:
`ablate run quality`.
"""

from experiments.runs import run
from experiments.scales import Scale, ask
from experiments.study import Expected, Study


def study(scale: Scale) -> Study:
    adjacent = tuple(run(f"code+adjacent-{reading}", scale) for reading in scale.parts.adjacent)
    return ask(
        scale,
        name="quality",
        question="What do markup, code-adjacent data and synthetic problems in the code part do?",
        hypothesis="Synthetic problems help; markup and code-adjacent data help text and cost a little code.",
        baseline="code",
        arms=(
            run("code", scale),
            run("code+markup", scale),
            *adjacent,
            run("code+synth", scale),
            run("balanced-to-text", scale, against="balanced-to-text"),
            run("balanced+synth-to-text", scale, against="balanced-to-text"),
        ),
        expected=(
            Expected("code+markup", "heldout/code/bpb", "higher", "Fig. 5a: code 10.7 against 12.7"),
            *(Expected(arm.name, "heldout/code/bpb", "higher", "Fig. 5a: code 11.5 against 12.7") for arm in adjacent),
            *(Expected(arm.name, "heldout/text/bpb", "lower", "Fig. 5a: 42.4 against 39.9") for arm in adjacent),
            Expected("code+synth", "heldout/code/bpb", "lower", "Fig. 5a: code 15.5 against 12.7"),
            Expected("balanced+synth-to-text", "heldout/code/bpb", "lower", "Fig. 5b: code 4.8 against 3.4"),
        ),
    )
