"""Does ranking answers by tests beat fine-tuning on the best of them? (PanGu-Coder2, arXiv:2307.14936)

A model that was tuned for one epoch (that of `phind`) answers problems, its answers and the reference solutions are
executed, and what is trained ranks better answers above worse ones: RRTF. The paper tunes StarCoder for six epochs on
68,000 problems and reports 61.64 (62.20 greedily) on HumanEval against StarCoder's 33.60, best after three epochs; on
18,000, 38,000 and 68,000 problems about 51.2, 53.7 and 62.2 (its Fig. 4). It has no arm of fine-tuning alone.

Hypothesis: ranking adds something to fine-tuning on the same answers; alone it tells the model what to leave and less
what to say; more problems are better.
Cost at laptop scale: 8 minutes on two cores after 3 for the models of `phind` that it begins with
(benchmarks/systems.md).
Command: `ablate run rrtf`.
"""

from dataclasses import replace

from analysis.evals.benchmarks import benchmark_of
from experiments.scales import Scale, ask
from experiments.studies import phind
from experiments.study import Arm, Evaluation, Expected, FromStage, Made, Reference, Stage, Study
from experiments.systems import systems, tuned, unchanged
from mixtures.mixture import mixture
from models.recipe import Ranking

EPOCHS = 6
SIZES = {"18k": 18, "38k": 38, "68k": 68}
"""Of the problems, in proportion (section 4.4)."""
PROBLEMS = {"laptop": 340, "desktop": 1_020}
"""That stand for 68,000; elsewhere MBPP's 500, since the paper's are not to be had (`ablate evolve` makes more)."""
MBPP = 500
TOKENS_A_PROBLEM = {"laptop": 180, "desktop": 180}
"""Of its answers with their prompts, for plans before they are made; elsewhere 1,000."""
SMALL_SLICE, SMALL_BATCH = "v5e:4x4", 16
"""For so few examples, where a study is asked on slices."""


def study(scale: Scale) -> Study:
    before = phind.study(scale)
    of = systems(scale)
    if scale.name not in PROBLEMS:
        of = replace(of, tuned_batch=SMALL_BATCH)
    most, each = PROBLEMS.get(scale.name, MBPP), TOKENS_A_PROBLEM.get(scale.name, 1_000)
    student = FromStage(before, "one-epoch", seed=before.seeds[0])
    made = {
        name: Made(
            source=f"ranked-{name}",
            task=of.asked,
            problems=most * size // max(SIZES.values()),
            student=student,
            teachers=(Reference(),),
            samples=3,
            temperatures=(0.2, 0.8, 1.2),
            expected_tokens=each * most * size // max(SIZES.values()),
        )
        for name, size in SIZES.items()
    }
    sources = tuple(each.placeholder for each in made.values())
    data = replace(of.scale.data, sources=(*of.scale.data.sources, *sources), tokenizer=before.data)

    def arm(name: str, described: str, *stages: Stage, against: str | None = None) -> Arm:
        start = FromStage(before, "one-epoch")
        return Arm(name, described, stages, against=against, origin="arXiv:2307.14936", start=start)

    def on(size: str, objective: Ranking) -> tuple[Stage, ...]:
        source = made[size].source
        return tuned(of, mixture(source, {source: 1}), source, EPOCHS, objective, followed=size == "68k")

    batch = of.scale.batch if scale.name in PROBLEMS else SMALL_BATCH
    topology = SMALL_SLICE if of.scale.topology.startswith("v5e") else of.scale.topology
    return ask(
        replace(
            of.scale,
            batch=batch,
            topology=topology,
            data=data,
            evaluation=_without(of.scale.evaluation, benchmark_of(of.asked), of.leak),
        ),
        name="rrtf",
        question="Does ranking answers by how their tests go beat fine-tuning on the best of them?",
        hypothesis="Ranking adds something to fine-tuning on the same answers, and more problems are better.",
        baseline="tuning",
        arms=(
            arm("tuning", "the best answer alone", *on("68k", Ranking(rank=0.0))),
            arm("ranking", "the order of the answers alone", *on("68k", Ranking(tuning=0.0))),
            arm("both", "RRTF: both, weighed alike", *on("68k", Ranking())),
            arm("both-38k", "RRTF on 38 of 68 problems", *on("38k", Ranking()), against="both"),
            arm("both-18k", "RRTF on 18 of 68 problems", *on("18k", Ranking()), against="both"),
            arm("start", "what all of them start from", unchanged(of, of.pairs), against="both"),
        ),
        expected=(
            Expected("start", of.look, "lower", "StarCoder's 33.60 against 61.64 (HumanEval)"),
            Expected("both-18k", of.look, "lower", "51.2 against 62.2 (Fig. 4)"),
        ),
        made=tuple(made.values()),
        max_epochs=EPOCHS,
    )


def _without(size: Evaluation, asked: str, scored: str) -> Evaluation:
    """An evaluation that does not ask the problems that the answers are to, and of programs what `scored` asks for."""
    return replace(
        size,
        every_stage=tuple(name for name in size.every_stage if benchmark_of(str(name)) == scored),
        compared=tuple(name for name in size.compared if benchmark_of(str(name)) != asked),
        executed=tuple(name for name in size.executed if benchmark_of(name) == scored),
    )
