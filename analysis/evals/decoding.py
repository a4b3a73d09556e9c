"""How programs are drawn, by name: what a paper states of its decoding, so that pass@k is compared like with like.

"humaneval_exec:phind" asks HumanEval under the preset "phind"; without one, a study's number of samples decides. 67.6 %
sampled at temperature 0.1 is no greedy pass@1, and pass@1 at temperature 0.2 none at 1.2: where a paper draws for
pass@1 and for pass@10 in two ways, these are two presets. What it does not state is ours, and `ours` says what.
"""

from dataclasses import dataclass, replace

from analysis.evals.code.executed import NEW_TOKENS, Problem


@dataclass(frozen=True)
class Decoding:
    """A way to draw completions.

    Attributes:
        name: of the preset.
        samples: of each problem.
        temperature: 0 takes the most likely token each time.
        top_p, top_k: of what a token is drawn, as in `writing.Ask`.
        new_tokens: of a completion, at most.
        stops: texts that end it; None: those of the problem.
        suffix: what is put after the prompt.
        ks: the k of the pass@k that it is for.
        ours: what of this the paper does not state; "" where it states all.
    """

    name: str
    samples: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    new_tokens: int = NEW_TOKENS
    stops: tuple[str, ...] | None = None
    suffix: str = ""
    ks: tuple[int, ...] = (1,)
    ours: str = ""


_LENGTH = "512 new tokens and the texts that end a program"
_DRAWS = "200 samples (as Chen et al. 2021), " + _LENGTH
_PHIND = Decoding("phind", 1, 0.1, 0.75, 40, 256, ("\n\n\n",))

PRESETS = {
    preset.name: preset
    for preset in (
        # arXiv:2408.10914 reports pass@1 and says nothing of how it draws (section 2.2).
        Decoding("paper", 1, ours="one greedy sample, " + _LENGTH),
        # arXiv:2308.12950, table 2: pass@1 is greedy, pass@10 and pass@100 are sampled.
        Decoding("code-llama", 1, ours=_LENGTH),
        Decoding("code-llama-many", 200, 0.8, 0.95, ks=(10, 100), ours=_DRAWS),
        # arXiv:2307.14936, section 4: n = 200; 61.64 is pass@1 of these, and 62.20 the greedy one.
        Decoding("pangu-coder2", 200, 0.2, 0.95, ours=_LENGTH),
        Decoding("pangu-coder2-many", 200, 1.2, 0.95, ks=(10, 100), ours=_LENGTH),
        Decoding("pangu-coder2-greedy", 1, ours=_LENGTH),
        # What Phind published with its models: HumanEval's prompt as it is, and a task closed by a colon.
        _PHIND,
        replace(_PHIND, name="phind-task", suffix="\n: "),
    )
}


def default(samples: int) -> Decoding:
    """Without a preset: one greedy completion, or several at temperature 0.8 and top-p 0.95."""
    ks = tuple(k for k in (1, 10, 100) if k <= samples)
    return Decoding("sampled", samples, 0.8, 0.95, ks=ks) if samples > 1 else Decoding("greedy", 1)


def posed(problem: Problem, how: Decoding) -> Problem:
    """A problem as a preset puts it."""
    stops = problem.stops if how.stops is None else how.stops
    return replace(problem, prompt=problem.prompt + how.suffix, stops=stops)
