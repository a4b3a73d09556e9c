"""The paper's studies at every scale, against the figures that the paper gives and against a golden list of all."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

from analysis.records import StudyRecord, write
from experiments.plan.find import as_last_run, find_study, known_studies, scales_of, without
from experiments.plan.make import lay_out
from experiments.plan.stage import Plan, PlannedStage
from experiments.plan.supply import expected
from experiments.scales import SCALES, Scale
from experiments.studies.paper import PARTS
from mixtures import paper
from mixtures.curriculum import stage_steps
from mixtures.mixture import Part, shares
from store.errors import UserError

GOLDEN = Path(__file__).parent.parent / "golden" / "studies.txt"
STEP = 512 * 8_192
"""Tokens, at paper scale."""
ADJACENT = ["github-commits", "github-issues", "jupyter", "stackexchange"]


@cache
def planned(name: str, scale: str) -> Plan:
    """With one seed: the others read the same."""
    study = find_study(name, scale)
    study = replace(study, seeds=study.seeds[:1], init_seeds={}, data_seeds={})
    return lay_out(study, expected(study))


def chain(plan: Plan, arm: str) -> list[PlannedStage]:
    return [plan.stage(id) for id in plan.runs[arm, plan.study.seeds[0]]]


def wholes(plan: Plan, arm: str) -> list[list[PlannedStage]]:
    """The stages of a run, each with all of its pieces."""
    found: list[list[PlannedStage]] = []
    for stage in chain(plan, arm):
        if stage.stage.carries_on:
            found[-1].append(stage)
        else:
            found.append([stage])
    return found


def golden() -> str:
    """Arms of every study at every scale, what each is compared with, its stages, and where the paper has it."""
    return "\n\n".join(text for name in known_studies() for text in _listed(name)) + "\n"


def _listed(name: str) -> Iterator[str]:
    for scale in scales_of(name) or ("",):
        plan = planned(name, scale)
        study = plan.study
        lines = [f"{study.typed}: {len(study.arms)} arms, {len(find_study(name, scale).seeds)} seeds"]
        for arm in study.arms:
            against = study.baseline_of(arm.name)
            lines.append(f"  {arm.name}" + (f" against {against}" if against != arm.name else ""))
            if (name, scale) == ("paper", "paper"):
                lines.append(f"    {arm.origin}")
            lines += [f"    {_stage(stage)}" for stage in chain(plan, arm.name)]
        yield "\n".join(lines)


def _stage(stage: PlannedStage) -> str:
    warm = min(max(0, stage.schedule.warmup_steps - stage.first_step), stage.steps)
    shape = f"{stage.steps:,} steps, {warm:,} warm up, {stage.schedule.kind}"
    return f"{stage.stage.kind} {stage.stage.mixture.name} {stage.model.name}: {stage.tokens:,} tokens, {shape}"


def test_studies_have_not_drifted() -> None:
    """If this fails on purpose, run `python -m tests.golden.write` and look at the diff."""
    assert golden() == GOLDEN.read_text()


# At the paper's scale.


def test_stages_have_the_papers_steps_and_warm_up() -> None:
    plan = planned("paper", "paper")
    steps = {sum(piece.steps for piece in stage) for arm in plan.study.arms for stage in wholes(plan, arm.name)}
    assert steps == {47_684, 95_368, 9_537}
    assert {(stage.stage.kind == "cooldown", stage.schedule.warmup_steps) for stage in plan.stages} == {
        (False, 1_325),
        (True, 0),
    }
    assert {stage.model.name for stage in plan.stages} == {"470m", "2.8b"}


def test_the_papers_25_models_are_there_and_four_of_ours() -> None:
    arms = planned("paper", "paper").study.arms
    assert len(arms) == 29 and all(arm.origin for arm in arms)
    assert sorted(arm.name for arm in arms if arm.origin.startswith("ours")) == [
        *("code+adjacent-commits", "code-to-text", "text-only-2.8b", "text-only-to-cooldown-without-code"),
    ]


def _by_kind(stage: PlannedStage) -> tuple[float, float]:
    """Billions of tokens of text and of everything that the paper counts as code."""
    totals = {"text": 0.0, "code": 0.0}
    for source, tokens in stage.tokens_by_source.items():
        part = "text" if paper.KINDS[source] in ("text", "math", "instruct") else "code"
        totals[part] += tokens / 1e9
    return totals["text"], totals["code"]


TABLE_2 = {
    "text-only": [(400, 0)],
    "text-only-to-cooldown": [(400, 0), (32, 8)],
    "balanced-only": [(200, 200)],
    "balanced-only-to-cooldown": [(200, 200), (32, 8)],
    "balanced+synth-to-text": [(100, 100), (180, 20)],
    "balanced+synth-to-text-to-cooldown": [(100, 100), (180, 20), (32, 8)],
    "code+synth-to-text": [(0, 200), (180, 20)],
    "code+synth-to-text-to-cooldown": [(0, 200), (180, 20), (32, 8)],
    # The same by other sections.
    "balanced-to-text": [(100, 100), (180, 20)],
    "code-to-text": [(0, 200), (180, 20)],
    "balanced+synth-to-text-to-cooldown-without-code": [(100, 100), (180, 20), (40, 0)],
    "balanced-only-2.8b": [(200, 200)],
    "code+synth-to-text-2.8b": [(0, 200), (180, 20)],
    **{f"proportion-{percent}": [(200 - 2 * percent, 2 * percent)] for percent in paper.PROPORTIONS},
}


@pytest.mark.parametrize("run", TABLE_2)
def test_stages_split_text_and_code_as_table_2_and_figure_4_say(run: str) -> None:
    plan = planned("paper", "paper")
    for stage, (text, code) in zip(wholes(plan, run), TABLE_2[run], strict=True):
        tokens = sum(piece.tokens for piece in stage)
        assert tokens == -(-(text + code) * paper.B // STEP) * STEP, "rounded up to whole steps"
        its = tuple(map(sum, zip(*map(_by_kind, stage), strict=True)))
        assert its == (pytest.approx(text, rel=1e-4, abs=1e-4), pytest.approx(code, rel=1e-4, abs=1e-4))


@pytest.mark.parametrize(
    ("study", "run", "sources", "epochs"),
    [
        ("initialisation", "text-only", ["slimpajama"], 0.8),
        ("quality", "code", ["stack-code"], 1.44),
        ("quality", "code+markup", ["stack-markup"], 0.22),
        ("quality", "code+adjacent-issues", ADJACENT, 1.4),
        ("quality", "code+adjacent-commits", ADJACENT, 1.4),
        ("quality", "code+synth", ["synthetic-python"], 6.25),
        ("initialisation", "balanced+synth-to-text", ["synthetic-python"], 3.125),
    ],
)
def test_the_first_stage_reads_a_source_as_often_as_the_paper_did(
    study: str, run: str, sources: list[str], epochs: float
) -> None:
    tokens = chain(planned(study, "paper"), run)[0].tokens_by_source
    read = sum(tokens.get(source, 0) for source in sources)
    assert read / paper.SUPPLY[tuple(sources)] == pytest.approx(epochs, abs=0.005)


def _stages_shared(plan: Plan, *arms: str) -> int:
    return len(set.intersection(*(set(plan.runs[arm, 0]) for arm in arms)))


def test_what_the_paper_trains_once_is_planned_once() -> None:
    plan = planned("paper", "paper")
    assert _stages_shared(plan, "balanced-to-text", "proportion-50") == 1
    assert _stages_shared(plan, "balanced+synth", "balanced+synth-to-text") == 1
    assert _stages_shared(plan, "code+synth", "code+synth-to-text", "code+synth-to-text-to-cooldown") == 1
    cooled = [f"balanced+synth-to-text{end}" for end in ("", "-to-cooldown", "-to-cooldown-without-code")]
    assert _stages_shared(plan, *cooled) == 2
    assert _stages_shared(plan, "code-to-text", "proportion-100") == 1
    # A run of 400B is no run of 200B that goes on: its learning rate falls to its own end.
    assert _stages_shared(plan, "text-only", "proportion-0") == 0
    assert _stages_shared(plan, "balanced-only", "balanced-to-text") == 0
    assert _stages_shared(plan, "text-only", "text-only-2.8b") == 0


# At every scale.

ALL_SCALES = pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)


@ALL_SCALES
def test_every_scale_keeps_the_papers_ratios_of_stages(scale: Scale) -> None:
    plan = planned("paper", scale.name)
    unit = stage_steps(scale.unit, scale.batch, scale.sequence)
    steps = {stage.stage.kind: set[int]() for stage in plan.stages}
    for stage in (stage for arm in plan.study.arms for stage in wholes(plan, arm.name)):
        steps[stage[0].stage.kind].add(sum(piece.steps for piece in stage))
    block = max(1, 8 // scale.batch)
    assert steps["pretrain"] == {unit, stage_steps(2 * scale.unit, scale.batch, scale.sequence)}
    assert max(steps["pretrain"]) == pytest.approx(2 * unit, abs=block) and steps["continue"] == {unit}
    (cooldown,) = steps["cooldown"]
    assert cooldown == pytest.approx(unit / 5, abs=block)
    warm = {stage.schedule.warmup_steps for stage in plan.stages if stage.stage.kind != "cooldown"}
    assert warm == {1_325 * unit // 47_684}


def _share(mix: str, scale: Scale, *parts: Part) -> Fraction:
    """Of the sources of `parts` in one of the paper's mixtures."""
    wanted = {source for part in parts for source in ([part] if isinstance(part, str) else shares(part))}
    its = shares(paper.mixtures(scale.parts)[mix])
    return sum((share for source, share in its.items() if source in wanted), Fraction(0))


@ALL_SCALES
def test_every_scale_keeps_the_papers_ratios_of_mixtures(scale: Scale) -> None:
    parts, tenth = scale.parts, Fraction(1, 10)
    assert _share("balanced", scale, parts.text) == _share("balanced+synth", scale, parts.text) == Fraction(1, 2)
    assert _share("text90", scale, parts.text) == 9 * tenth
    assert _share("code+markup", scale, parts.code) == 8 * tenth
    for mix in ("balanced", "text90", "code25", "code75", "code90"):
        assert _share(mix, scale, parts.code) == 4 * _share(mix, scale, parts.markup) > 0
    assert (
        _share("code+synth", scale, parts.synthetic) == tenth and _share("code+synth", scale, parts.code) == 9 * tenth
    )
    assert _share("cooldown+code", scale, parts.cooldown_code) == 2 * tenth
    assert _share("cooldown-without-code", scale, parts.cooldown) == 1
    for reading, part in parts.adjacent.items():
        assert _share(f"code+adjacent-{reading}", scale, part) == Fraction(15, 100)


@ALL_SCALES
def test_no_arm_hides_synthetic_data_in_its_name(scale: Scale) -> None:
    study = find_study("paper", scale.name)
    for arm in study.arms:
        synthetic = any(scale.parts.synthetic in shares(stage.mixture) for stage in arm.stages)
        assert synthetic == ("synth" in arm.name), arm.name


@ALL_SCALES
def test_the_paper_is_its_six_studies_and_compares_as_they_do(scale: Scale) -> None:
    """By the stages of an arm, since a union gives equal arms one name."""
    whole = find_study("paper", scale.name)
    called = {(arm.stages, arm.model): arm for arm in whole.arms}
    seen = set()
    for part in [part.study(scale) for part in PARTS]:
        arms = {arm.name: arm for arm in part.arms}
        for arm in part.arms:
            against = arms[part.baseline_of(arm.name)]
            mine = called[arm.stages, arm.model]
            if mine.name not in seen:
                assert mine.against == called[against.stages, against.model].name
                seen.add(mine.name)
    assert seen == {arm.name for arm in whole.arms}
    assert len(whole.parts) == len(PARTS) == 6
    sizes = {(arm.model or whole.model).name for arm in whole.arms}
    assert sizes == {scale.small.name, scale.large.name}


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_a_union_expects_of_an_arm_only_what_its_own_comparison_can_show(scale: Scale) -> None:
    """A study that compares an arm with another one keeps what it expects to itself."""
    whole = find_study("paper", scale.name)
    called = {(arm.stages, arm.model): arm.name for arm in whole.arms}
    declared = set()
    for part in whole.parts:
        name = {arm.name: called[arm.stages, arm.model] for arm in part.arms}
        declared |= {(name[part.baseline_of(each.arm)], replace(each, arm=name[each.arm])) for each in part.expected}
    said = {(whole.baseline_of(each.arm), each) for each in whole.expected}
    assert said and said < declared


def test_what_is_left_out_is_asked_of_no_arm_and_the_command_says_so() -> None:
    whole = find_study("paper", "laptop")
    left = without(without(whole, ["executed"]), ["mbpp"])
    assert left.command == "ablate run paper --scale laptop --without executed --without mbpp"
    for before, after in zip((whole, *whole.parts), (left, *left.parts), strict=True):
        assert before.evaluation.executed and not after.evaluation.executed
        assert set(before.evaluation.asked) - set(after.evaluation.asked) == {"mbpp"}
    with pytest.raises(UserError, match="asks no task 'mbp' that could be left out; its tasks are arc_easy"):
        without(whole, ["mbp"])


def test_status_and_report_ask_what_the_last_run_asked(tmp_path: Path) -> None:
    whole = find_study("paper", "laptop")
    assert as_last_run(whole, tmp_path) == whole
    run = StudyRecord(whole.key, "", "", "", {}, (), (), "", "", left_out=("executed", "a task that it asked once"))
    write(tmp_path / "studies" / whole.key / "study.json", run)
    assert as_last_run(whole, tmp_path) == without(whole, ["executed"])
