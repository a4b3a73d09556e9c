"""Runs that start elsewhere: from a stage of another study, or from a folder of weights."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from analysis.ledger_rows import read_ledger
from experiments.audit import audit
from experiments.commands import run
from experiments.plan.check import check
from experiments.plan.make import make_plan, prepared_plan
from experiments.plan.stage import FolderStart, PreparedPlan, PreparedStage, StageStart
from experiments.plan.starts import check_trained
from experiments.plan.status import checkpoints
from experiments.run import trainer
from experiments.run.trained import export_stage
from experiments.run.trainer import train_stage
from experiments.show.dag import draw
from experiments.show.plans import plan_json
from experiments.study import CONTINUE, Arm, FromFolder, FromStage, Made, Reference, Stage, Study
from mixtures.prepare import DataSpec
from models import checkpoint
from models.config import ModelConfig
from models.step import abstract_state
from store.errors import Failure, UserError
from tests.experiments.tiny import CODE, HALF, TEXT, source, stage, study

BASE = study(
    name="base",
    seeds=(0,),
    arms=(Arm("text-only", "", (stage("pretrain", TEXT, 6), stage("continue", HALF, 3))),),
)
NEXT = replace(stage("finetune", CODE, 3), restart=True)
"""Its data are read from their beginning, as those of a run that starts elsewhere."""


def started(*stages: Stage, start: FromStage | FromFolder, **changes: object) -> Study:
    """A study of one run that starts elsewhere."""
    arms = (Arm("text-only", "", stages or (NEXT,), start=start),)
    return study(**({"name": "after", "arms": arms, "seeds": (0,)} | changes))


def chained(*stages: Stage) -> Study:
    """The same as one run."""
    (arm,) = BASE.arms
    return replace(BASE, name="chain", arms=(replace(arm, stages=(*arm.stages, *(stages or (NEXT,)))),))


def train(asked: Study, store: Path) -> PreparedPlan:
    plan = prepared_plan(asked, store)
    for each in plan.stages:
        train_stage(plan, each, store, lambda step: None)
    return plan


@pytest.fixture(scope="module")
def trained(finished_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data, and the run of BASE."""
    store = tmp_path_factory.mktemp("starts") / "store"
    shutil.copytree(finished_store / "prepared", store / "prepared")
    train(BASE, store)
    return store


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights at the end of BASE, as anyone may have published them."""
    out = tmp_path_factory.mktemp("exported") / "a model"
    export_stage(prepared_plan(BASE, trained).stages[-1].folder, trained, out)
    return out


def end(plan: PreparedPlan, its: PreparedStage, store: Path) -> list[bytes]:
    state = checkpoint.restore(checkpoints(store, its.folder), its.steps, abstract_state(its.model, its.optimizer))
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


def test_a_start_with_its_moments_is_a_chain_to_the_bit(store: Path, tmp_path: Path) -> None:
    """Same fingerprint, and where it is trained apart, same weights, moments and ledger."""
    other = tmp_path / "other"
    shutil.copytree(store, other)
    apart = train(started(start=FromStage(BASE, "text-only", keep_optimizer=True)), store)
    whole = train(chained(), other)
    first, last = apart.stages[0], whole.stages[-1]
    assert first.id == last.id == "text-to-half-to-code-s0"
    assert first.fingerprint == last.fingerprint and first.tokens_before == last.tokens_before
    rows = [
        [replace(row, seconds=0.0) for row in read_ledger(where / "stages" / its.folder)]
        for where, its in ((store, first), (other, last))
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 3
    assert end(apart, first, store) == end(whole, last, other)
    assert audit(apart, store)["equal"]


def test_without_its_moments_it_is_a_chain_that_resets_them(store: Path) -> None:
    fresh = prepared_plan(started(start=FromStage(BASE, "text-only")), store).stages[0]
    reset = prepared_plan(chained(replace(NEXT, reset_optimizer=True)), store).stages[-1]
    assert fresh.identity == reset.identity
    plan = train(started(start=FromStage(BASE, "text-only")), store)
    apart = end(plan, fresh, store)
    shutil.rmtree(store / "stages" / fresh.folder)
    assert end(train(chained(replace(NEXT, reset_optimizer=True)), store), reset, store) == apart


def test_a_stage_at_a_rate_of_zero_leaves_the_weights_as_they_are(store: Path) -> None:
    still = replace(NEXT, tokens=1, decay="constant", peak=0.0, end=0.0, warmup=0.0)
    plan = train(started(still, start=FromStage(BASE, "text-only")), store)
    before = end(prepared_plan(BASE, store), prepared_plan(BASE, store).stages[-1], store)
    after = end(plan, plan.stages[0], store)
    count = len(jax.tree.leaves(abstract_state(plan.stages[0].model, plan.stages[0].optimizer).params))
    assert after[:count] == before[:count]


def test_a_first_stage_continues_the_rate_of_its_start(store: Path) -> None:
    goes_on = replace(NEXT, peak=CONTINUE, warmup=0.0, end=1e-5)
    start = FromStage(BASE, "text-only", keep_optimizer=True)
    assert make_plan(started(goes_on, start=start), store).stages[0].schedule == (
        make_plan(chained(goes_on), store).stages[-1].schedule
    )
    with pytest.raises(UserError, match="continues a learning rate, but is the first"):
        check(started(goes_on, start=FromFolder(store)))


def test_an_earlier_checkpoint_and_an_earlier_stage_are_other_weights(store: Path) -> None:
    starts = [{}, {"stage": 0}, {"step": 2}, {"keep_optimizer": True}]
    plans = [make_plan(started(start=FromStage(BASE, "text-only", **each)), store) for each in starts]  # type: ignore[arg-type]
    assert len({plan.stages[0].fingerprint for plan in plans}) == len(starts)
    assert [plan.stages[0].tokens_before // 256 for plan in plans] == [9, 6, 8, 9]
    assert plans[2].stages[0].id == "text-to-half@2-to-code-s0"
    last = make_plan(started(start=FromStage(BASE, "text-only", step=3)), store).stages[0]
    assert last.fingerprint == plans[0].stages[0].fingerprint  # which is its end


def test_a_checkpoint_that_is_gone_is_told_with_those_that_are_there(store: Path) -> None:
    with pytest.raises(Failure, match=r"starts from .* at step 2, of which there are checkpoints of steps 3: only the"):
        train(started(start=FromStage(BASE, "text-only", step=2)), store)


def test_one_that_dies_before_or_after_a_checkpoint_ends_as_one_that_does_not(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = train(started(stage("finetune", CODE, 14), start=FromStage(BASE, "text-only")), store)
    (its,) = plan.stages
    folder, whole = store / "stages" / its.folder, end(plan, its, store)
    rows = [replace(row, seconds=0.0) for row in read_ledger(folder)]

    class Dies(Exception):
        pass

    def dies(step: int) -> None:
        if step == 10:
            raise Dies

    for seconds, left in ((1e9, []), (-1.0, [8, 9])):
        shutil.rmtree(folder)
        monkeypatch.setattr(trainer, "interval", lambda blocked, seconds=seconds: seconds)
        with pytest.raises(Dies):
            train_stage(plan, its, store, dies)
        assert checkpoint.steps(checkpoints(store, its.folder)) == left
        train_stage(plan, its, store, lambda step: None)
        assert end(plan, its, store) == whole
        assert [replace(row, seconds=0.0) for row in read_ledger(folder)] == rows


def test_a_folder_trains_and_is_known_by_what_is_in_it(exported: Path, store: Path, tmp_path: Path) -> None:
    asked = started(start=FromFolder(exported))
    (its,) = train(asked, store).stages
    assert isinstance(its.start, FolderStart) and its.id == "a-model-to-code-s0" and its.tokens_before == 0
    # Fresh moments on the weights of the stage: what starts from the stage itself without its moments computes.
    (same,) = train(started(start=FromStage(BASE, "text-only")), store).stages
    assert end(prepared_plan(asked, store), its, store) == end(prepared_plan(asked, store), same, store)
    moved = tmp_path / "another name"
    shutil.copytree(exported, moved)
    assert make_plan(started(start=FromFolder(moved)), store).stages[0].fingerprint == its.fingerprint
    config = json.loads((moved / "config.json").read_text()) | {"logit_scale": 0.5}
    (moved / "config.json").write_text(json.dumps(config))
    assert make_plan(started(start=FromFolder(moved)), store).stages[0].fingerprint != its.fingerprint


def test_weights_that_change_after_the_plan_are_not_trained_on(exported: Path, store: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "weights")
    plan = prepared_plan(started(start=FromFolder(tmp_path / "weights")), store)
    with (tmp_path / "weights" / "config.json").open("a") as file:
        file.write("\n")
    with pytest.raises(Failure, match="is not what it was when stage weights-to-code-s0 was planned"):
        train_stage(plan, plan.stages[0], store, lambda step: None)


def test_the_rotary_base_of_the_weights_goes_on(store: Path) -> None:
    longer = replace(stage("continue", HALF, 2), rope_theta=5e5)
    base = replace(BASE, arms=(replace(BASE.arms[0], stages=(BASE.arms[0].stages[0], longer)),))
    plan = make_plan(started(start=FromStage(base, "text-only")), store)
    assert plan.stages[0].model.rope_theta == 5e5
    again = make_plan(started(replace(NEXT, rope_theta=1e4), start=FromStage(base, "text-only")), store)
    assert again.stages[0].model.rope_theta == 1e4


WIDE = ModelConfig("wide", vocabulary=320, width=32, layers=2, heads=2, feed_forward=32)
MORE_IDS = ModelConfig("ids", vocabulary=512, width=16, layers=2, heads=2, feed_forward=32)


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("study 'base' has no arm 'code'; its arms are text-only", lambda: started(start=FromStage(BASE, "code"))),
        ("has no seed 7; its seeds are 0", lambda: started(start=FromStage(BASE, "text-only", seed=7))),
        ("has no seed 1; its seeds are 0", lambda: started(start=FromStage(BASE, "text-only"), seeds=(1,))),
        ("start.stage is 2, and arm 'text-only'", lambda: started(start=FromStage(BASE, "text-only", stage=2))),
        ("start.step is 9, and stage text-to-half-s0", lambda: started(start=FromStage(BASE, "text-only", step=9))),
        ("has width 16 and model 'wide' has 32", lambda: started(start=FromStage(BASE, "text-only"), model=WIDE)),
        ("vocabulary 320 and model 'ids' has 512", lambda: started(start=FromStage(BASE, "text-only"), model=MORE_IDS)),
        ("it has no config.json", lambda: started(start=FromFolder(Path("/nonexistent")))),
        ("arms.0..start.study is 'base'", lambda: started(start=FromStage("base", "text-only"))),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_started_from_is_refused_in_a_line(
    message: str, asked: Callable[[], Study], trained: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make_plan(asked(), trained)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("study 'after'")


def test_a_folder_of_another_architecture_or_without_a_tokenizer_is_refused(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "other")
    (tmp_path / "other" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"has no tokenizer.json; copy the model's own there"):
        make_plan(started(start=FromFolder(tmp_path / "other")), tmp_path)
    (tmp_path / "other" / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    with pytest.raises(UserError, match="only CohereForCausalLM can be read"):
        make_plan(started(start=FromFolder(tmp_path / "other")), tmp_path)


def test_weights_of_another_tokenizer_are_refused_once_both_are_known(store: Path, exported: Path) -> None:
    from mixtures.prepare import prepare

    # Trained on code alone.
    data = DataSpec((source("program", "code"),), 320, 0.05, 20_000)
    other = {"data": data, "primary": (), "max_epochs": 500}
    prepare(data, store, lambda *_: None)
    for start in (FromStage(BASE, "text-only"), FromFolder(exported)):
        with pytest.raises(UserError, match="was trained with another tokenizer than the study's; give it DataSpec"):
            make_plan(started(start=start, **other), store)


def test_a_plan_shows_what_comes_first_and_is_refused_to_workers_until_then(
    finished_store: Path, store: Path, tmp_path: Path
) -> None:
    asked = started(start=FromStage(BASE, "text-only", stage=0))
    plan = make_plan(asked, tmp_path)  # where nothing is prepared
    assert not isinstance(plan, PreparedPlan)
    (row,) = plan_json(plan, tmp_path)["needed"]
    assert (row["study"], row["stages"], row["done"], row["tokens"]) == ("base", 1, 0, 6 * 256)
    assert "text → code" in draw(plan)
    # Prepared, and not trained: fingerprints are known.
    shutil.copytree(finished_store / "prepared", tmp_path / "prepared")
    planned = prepared_plan(asked, tmp_path)
    start = planned.stages[0].start
    assert isinstance(start, StageStart) and start.identity == planned.stages[0].identity["parent"]
    with pytest.raises(UserError, match=r"not trained in .*; first `ablate train base`, or `ablate run after`"):
        check_trained(planned, tmp_path)
    check_trained(prepared_plan(asked, store), store)
    assert plan_json(prepared_plan(asked, store), store)["needed"][0]["done"] == 1


def test_who_writes_a_source_comes_first_too(tmp_path: Path) -> None:
    made = Made("answers", "humaneval", None, FromStage(BASE, "text-only", stage=0), teachers=(Reference(),))
    (part,) = make_plan(study(made=(made,)), tmp_path).needed
    assert (part.study.name, [row.id for row in part.stages]) == ("base", ["text-s0"])


def test_arms_that_start_alike_share_a_stage_and_others_do_not(trained: Path) -> None:
    alike, apart = FromStage(BASE, "text-only"), FromStage(BASE, "text-only", stage=0)
    arms = (
        Arm("text-only", "", (NEXT,), start=alike),
        Arm("same", "", (NEXT, stage("cooldown", TEXT, 2)), start=alike, inference="int8"),
        Arm("other", "", (NEXT,), start=apart),
        Arm("afresh", "", (NEXT,)),
    )
    plan = make_plan(study(name="after", arms=arms, seeds=(0,)), trained)
    assert [(row.id, row.arms) for row in plan.stages] == [
        ("text-to-half-to-code-s0", ("text-only", "same")),
        ("text-to-half-to-code-to-text-s0", ("same",)),
        ("text-to-code-s0", ("other",)),
        ("code-s0", ("afresh",)),
    ]
    (part,) = plan.needed
    assert [row.id for row in part.stages] == ["text-s0", "text-to-half-s0"]


def test_a_run_trains_what_it_needs_of_others_and_no_more(
    finished_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the other study the stages that lead to the start, not scored, and neither its other arms nor what follows."""
    shutil.copytree(finished_store / "prepared", tmp_path / "prepared")
    other = replace(BASE, arms=(*BASE.arms, Arm("half-only", "", (stage("pretrain", HALF, 6),))))
    asked = started(start=FromStage(other, "text-only", stage=0))
    with pytest.raises(UserError, match="first `ablate train base`"):
        run.train_study(asked, tmp_path)
    monkeypatch.setattr(run, "_reports", lambda plan, store: store / "no report")
    run.run_study(asked, tmp_path, 1)
    (before,) = (stage.folder for stage in prepared_plan(other, tmp_path).stages if stage.id == "text-s0")
    (after,) = prepared_plan(asked, tmp_path).stages
    folders = {path.name for path in (tmp_path / "stages").iterdir()}
    assert folders == {before, after.folder}
    assert not list((tmp_path / "stages" / before).glob("evals/*.json"))
    assert list((tmp_path / "stages" / after.folder).glob("evals/*.json"))
    assert {path.name for path in (tmp_path / "studies").iterdir()} == {"after"}
    assert audit(prepared_plan(asked, tmp_path), tmp_path)["equal"]
