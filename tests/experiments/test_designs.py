"""Studies with designs of ours: each is planned at every scale, and its arms differ in what it says alone."""

import importlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product

import pytest

from experiments.pieces import POINTS
from experiments.plan.check import check
from experiments.plan.find import find_study
from experiments.plan.make import lay_out
from experiments.plan.stage import Plan, PlannedStage
from experiments.plan.supply import expected
from experiments.scales import LAPTOP, PAPER, SCALES, Scale
from experiments.studies import executable, languages, verification
from experiments.study import Study
from mixtures import paper
from mixtures.curriculum import stage_steps
from mixtures.mixture import Part, shares
from store.errors import UserError

DESIGNS = ("seeds", "boundary", "additive", "placebo", "verification", "markup-alone", "executable", "languages")
EVERYWHERE = [pytest.param(name, scale, id=f"{name}-{scale}") for name, scale in product(DESIGNS, SCALES)]


@cache
def planned(name: str, scale: str) -> Plan:
    study = find_study(name, scale)
    return lay_out(study, expected(study))


def chain(plan: Plan, arm: str, seed: int = 0) -> list[PlannedStage]:
    return [plan.stage(id) for id in plan.runs[arm, seed]]


def read(plan: Plan, arm: str) -> dict[str, int]:
    """Tokens of every source that a run of `arm` reads."""
    found: dict[str, int] = {}
    for stage in chain(plan, arm):
        for source, tokens in stage.tokens_by_source.items():
            found[source] = found.get(source, 0) + tokens
    return found


def of(part: Part) -> set[str]:
    return {part} if isinstance(part, str) else set(shares(part))


def share(study: Study, arm: str, sources: set[str]) -> Fraction:
    """Of these sources, in the mixture that the arm begins with."""
    first = next(each for each in study.arms if each.name == arm).stages[0]
    return sum((part for source, part in shares(first.mixture).items() if source in sources), Fraction(0))


@pytest.mark.parametrize(("name", "scale"), EVERYWHERE)
def test_arms_differ_in_mixture_alone(name: str, scale: str) -> None:
    """All but those of `boundary`, which differ in schedule, and of `additive`, which do in length."""
    plan = planned(name, scale)
    assert plan.study.name == name and plan.study.scale == scale
    for seed in plan.study.seeds:
        stages = {arm.name: chain(plan, arm.name, seed) for arm in plan.study.arms}
        seeds = plan.study.init_seeds.get(seed, seed), plan.study.data_seeds.get(seed, seed)
        same = (*seeds, SCALES[scale].small, SCALES[scale].sequence)
        assert {(s.init_seed, s.data_seed, s.model, s.sequence) for its in stages.values() for s in its} == {same}
        if name not in ("boundary", "additive"):
            unit = stage_steps(SCALES[scale].unit, plan.study.batch, plan.study.sequence)
            assert {sum(stage.steps for stage in its) for its in stages.values()} == {unit}
            assert len({stage.schedule for its in stages.values() for stage in its}) == 1


@pytest.mark.parametrize(("name", "scale"), EVERYWHERE)
def test_what_is_expected_is_scored_and_has_a_source(name: str, scale: str) -> None:
    study = find_study(name, scale)
    assert study.expected and all(each.paper for each in study.expected)
    check(replace(study, primary=tuple(dict.fromkeys(each.metric for each in study.expected))))


@pytest.mark.parametrize("name", DESIGNS)
def test_a_study_says_what_it_expects_what_it_costs_and_how_to_run_it(name: str) -> None:
    said = " ".join((importlib.import_module(f"experiments.studies.{name.replace('-', '_')}").__doc__ or "").split())
    assert (
        "Hypothesis: " in said and "Cost at laptop scale: " in said and said.endswith(f"Command: `ablate run {name}`.")
    )


def _beside_text(scale: Scale) -> dict[str, dict[str, tuple[int, set[str]]]]:
    """By study and arm, the per cent that are not text, and the sources that they are of."""
    code, markup = of(scale.parts.code), of(scale.parts.markup)

    def changed(change: str) -> set[str]:
        return {f"{source}-{change}" for source in code}

    known = {source.name for source in scale.data.sources}
    folders = [f"stack-{name}" for name in languages.OF_THE_STACK] if scale.parts.code == "stack-code" else sorted(code)
    return {
        "placebo": {
            **{"text": (0, set()), "repeated-text": (0, set()), "code": (25, code)},
            **{change: (25, changed(change)) for change in ("comments", "scrambled", "shuffled")},
        },
        "markup-alone": {
            **{"text": (0, set()), "web-code-10": (10, code), "web-code-25": (25, code)},
            **{"markup-10": (10, markup), "markup-25": (25, markup)},
        },
        "executable": {
            **{"text": (0, set()), "executable": (10, changed("bare")), "web-code": (10, code)},
            "code-with-prose": (10, known & set(executable.WITH_PROSE)),
        },
        "languages": {
            **{"text": (0, set()), "all-languages": (10, code)},
            **{name: (10, {name}) for name in folders},
        },
    }


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_what_stands_beside_text_is_what_the_arms_name(scale: Scale) -> None:
    for name, arms in _beside_text(scale).items():
        study = find_study(name, scale.name)
        assert {arm.name for arm in study.arms} == arms.keys()
        for arm, (percent, sources) in arms.items():
            assert share(study, arm, sources) == Fraction(percent, 100), (name, arm)
            assert share(study, arm, of(scale.parts.text)) == 1 - Fraction(percent, 100), (name, arm)


@pytest.mark.parametrize("scale", SCALES)
def test_repeated_text_is_the_text_of_the_others_read_again(scale: str) -> None:
    plan = planned("placebo", scale)
    first, again = chain(plan, "repeated-text")
    assert set(again.starts.values()) == {0} and again.sequences.keys() == first.sequences.keys()
    for source, tokens in read(plan, "code").items():
        if source in first.sequences:  # a block of 8 sequences is never torn
            assert abs(first.tokens_by_source[source] - tokens) <= 8 * plan.study.batch * first.sequence


def _additive(scale: str) -> dict[str, tuple[int, int]]:
    """Tokens of text and of all else, by arm."""
    plan, text = planned("additive", scale), of(SCALES[scale].parts.text)
    totals = {arm.name: read(plan, arm.name) for arm in plan.study.arms}
    return {
        arm: (sum(n for source, n in its.items() if source in text), sum(n for s, n in its.items() if s not in text))
        for arm, its in totals.items()
    }


@pytest.mark.parametrize("scale", SCALES)
def test_additive_arms_have_all_of_the_text_and_competitive_ones_the_total(scale: str) -> None:
    plan, tokens = planned("additive", scale), _additive(scale)
    whole = sum(tokens["text"])
    assert SCALES[scale].unit <= whole < 1.06 * SCALES[scale].unit
    for percent in (25, 50):
        assert sum(tokens[f"competitive-{percent}"]) == whole
        on_top = tokens[f"additive-{percent}"]
        assert on_top[0] == whole
        assert on_top[1] / sum(on_top) == pytest.approx(percent / 100, rel=0.02)
        again = chain(plan, f"additive-{percent}")[0]
        text = sum((Counter(piece.sequences) for piece in chain(plan, "text")), Counter())
        for source, count in text.items():
            assert again.sequences[source] == count, "to the sequence"


@pytest.mark.parametrize("scale", SCALES)
def test_text_alone_is_one_run_in_all_studies_and_scored_along_the_way(scale: str) -> None:
    """What one study trains of it no other trains again; `additive` may need a few tokens more."""
    followed = find_study("proportion", scale).arm("proportion-0").stages
    assert len(followed) == POINTS and sum(piece.tokens for piece in followed) == SCALES[scale].unit
    for name in ("placebo", "markup-alone", "executable", "languages", "seeds"):
        assert find_study(name, scale).arm("text").stages == followed, name
    assert find_study("boundary", scale).arm("text-only-rewarmed").stages[:-1] == followed
    assert len(find_study("additive", scale).arm("text").stages) == POINTS


@pytest.mark.parametrize("scale", SCALES)
def test_seeds_are_crossed_and_arms_pair_on_both(scale: str) -> None:
    plan = planned("seeds", scale)
    pairs = [{(stage.init_seed, stage.data_seed) for stage in chain(plan, "text", seed)} for seed in plan.study.seeds]
    assert all(len(pair) == 1 for pair in pairs), "in all pieces of a run"
    assert sorted(set.union(*pairs)) == sorted(product(range(3), range(3)))
    assert len(plan.stages) == (POINTS + 1) * 9


def _rates(plan: Plan, arm: str) -> list[float]:
    return [stage.rate(step) for stage in chain(plan, arm) for step in range(stage.steps)]


def test_boundaries_differ_in_the_learning_rate_alone() -> None:
    plan, unit = planned("boundary", "laptop"), 190
    names = [arm.name for arm in plan.study.arms if arm.name.startswith("balanced") and "early" not in arm.name]
    kinds = {tuple(sum(count) for count in zip(*map(_by_kind(plan), chain(plan, name)), strict=True)) for name in names}
    assert len({sum(kind) for kind in kinds}) == 1
    assert all(abs(a - b) <= 8 * 4 * 256 for one in kinds for a, b in zip(one, min(kinds), strict=True))
    rates = {name.removeprefix("balanced-to-text"): _rates(plan, name) for name in names}
    peak, low = max(rates[""]), min(rates[""][5:unit])
    assert rates[""][unit] == pytest.approx(peak / 5) and max(rates[""][unit:]) == peak
    whole = rates["-one-cosine"]
    assert whole == _rates(plan, "text-only") and whole[5:] == sorted(whole[5:], reverse=True) and whole[-1] == low
    assert rates["-low"][:unit] == rates[""][:unit] and set(rates["-low"][unit:]) == {low}
    decay = rates["-decay"]
    assert set(decay[5 : unit + 114]) == {peak} and decay[-1] == low and decay[unit + 114] < peak
    assert _rates(plan, "text-only-rewarmed") == rates[""]


def _by_kind(plan: Plan) -> Callable[[PlannedStage], tuple[int, int, int]]:
    def counted(stage: PlannedStage) -> tuple[int, int, int]:
        totals = plan.tokens_by_kind(stage)
        return totals["text"], totals["code"], totals["markup"]

    return counted


@pytest.mark.parametrize("scale", SCALES)
def test_branches_of_a_trunk_share_it(scale: str) -> None:
    plan = planned("boundary", scale)
    long, short = (chain(plan, f"balanced-to-text-{way}") for way in ("decay", "decay-early"))
    assert [stage.id for stage in long[:2]] == [stage.id for stage in short[:2]]
    total = [sum(stage.steps for stage in its) for its in (long, short)]
    assert total[1] / total[0] == pytest.approx(4 / 5, abs=0.01)
    assert sum(stage.steps for stage in chain(plan, "balanced-to-text")) == total[0]


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_controls_of_synthetic_code_have_its_supply_and_nothing_else_differs(scale: Scale) -> None:
    study, base = find_study("verification", scale.name), str(scale.parts.synthetic)
    sources = {source.name: source for source in study.data.sources}
    for variant in verification.CONTROLS:
        control = sources[f"{base}-{variant}"]
        assert (control.max_bytes, control.expected_tokens) == (sources[base].max_bytes, sources[base].expected_tokens)
        assert study.supply.get(control.name) == study.supply.get(base)
        assert study.max_epochs_for(control.name) == study.max_epochs_for(base)
        mixed = {s.replace(f"-{variant}", ""): part for s, part in _shares(study, f"code+synth-{variant}").items()}
        assert mixed == _shares(study, "code+synth")
    assert _shares(study, "code") == shares(paper.mixtures(scale.parts)["code"])


def _shares(study: Study, arm: str) -> dict[str, Fraction]:
    return shares(next(each for each in study.arms if each.name == arm).stages[0].mixture)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", DESIGNS)
def test_no_arm_hides_synthetic_data_in_its_name(name: str, scale: str) -> None:
    study = find_study(name, scale)
    synthetic = {source.name for source in study.data.sources if source.kind == "synthetic"}
    for arm in study.arms:
        assert any(synthetic & set(shares(stage.mixture)) for stage in arm.stages) == ("synth" in arm.name), arm.name


def test_what_a_catalogue_lacks_is_said_in_one_line() -> None:
    alone = replace(LAPTOP, name="mine", parts=replace(LAPTOP.parts, code="python"))
    with pytest.raises(UserError, match="the code of scale 'mine' is one source, 'python'; give a mixture of its lang"):
        languages.study(alone)
    bare = replace(LAPTOP.data, sources=tuple(s for s in LAPTOP.data.sources if s.name not in executable.WITH_PROSE))
    with pytest.raises(UserError, match="scale 'laptop' has no code beside prose; add one of notebooks, commits"):
        executable.study(replace(LAPTOP, data=bare))
    with pytest.raises(UserError, match="source 'python' has no generated problems to be unverified"):
        verification.study(replace(LAPTOP, parts=replace(LAPTOP.parts, synthetic="python")))


def test_single_languages_of_the_stack_have_tokens_for_their_share() -> None:
    study = find_study("languages", "paper")
    assert PAPER.unit // 10 == 20 * paper.B
    for source in study.data.sources:
        if source.name.removeprefix("stack-") in languages.OF_THE_STACK:
            assert len({dataset.files for dataset in source.datasets}) == 1
            assert source.expected_tokens and 20 * paper.B / source.expected_tokens < 2.5
