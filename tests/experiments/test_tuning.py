"""Fine-tuning on examples, from prepared data to a trained stage: what carries loss, ranking, replay, and a kill."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from analysis.ledger_rows import read_ledger
from experiments.audit import audit
from experiments.plan.make import prepared_plan
from experiments.plan.prepared import data_plan
from experiments.plan.stage import PreparedPlan
from experiments.plan.status import checkpoints
from experiments.run import trainer
from experiments.run.trainer import train_stage
from experiments.study import Arm, Epochs, Stage, Study
from mixtures.catalogue.source import Source, one_shard
from mixtures.documents.document import Document
from mixtures.loader import load_batch
from mixtures.mixture import mixture
from mixtures.prepare import prepare
from mixtures.tokens.arrays import open_tokens
from models import checkpoint
from models.recipe import AdamW, NextToken, Ranking
from models.step import abstract_state
from tests.experiments.tiny import TEXT, source, stage, study
from tests.models import answers as oracle

SEQUENCE = 32


def read_answers(shard: str, downloads: Path) -> Iterator[Document]:
    """Three answers to each prompt, of which the first is the best."""
    rng = random.Random("answers")
    words = "yes no maybe never always often".split()
    for number in range(30):
        prompt = f"q{number}? "
        for place in range(3):
            answer = " ".join(rng.choice(words) for _ in range(rng.randint(1, 2))) + f" {place}"
            yield Document(
                *(f"{number}/{place}", f"question-{number}", prompt + answer),
                prompt=len(prompt),
                set=str(number),
                score=3 - place,
            )


ANSWERS = Source("answers", "instruct", "made up", read_answers, one_shard, examples=True, expected_tokens=4_000)
ALONE, REHEARSED = mixture("alone", {"answers": 1}), mixture("rehearsed", {"answers": 3, "prose": 1})


def tuned(mix: str, objective: NextToken | Ranking, **changes: object) -> Stage:
    begun = stage("finetune", {"alone": ALONE, "rehearsed": REHEARSED}[mix], 1)
    return replace(
        *(begun,),
        tokens=0,
        epochs=Epochs("answers", 1),
        document_mask=True,
        reset_optimizer=True,
        objective=objective,
        optimizer=AdamW(weight_decay=0.0),
        batch=4,
        **changes,  # type: ignore[arg-type]
    )


def asked() -> Study:
    first = stage("pretrain", TEXT, 4)
    arms = (
        Arm("text-only", "", (first, tuned("rehearsed", NextToken("answers")))),
        Arm("whole", "", (first, tuned("rehearsed", NextToken()))),
        Arm("ranked", "", (first, tuned("alone", Ranking()))),
    )
    data = replace(study().data, sources=(source("prose", "text"), ANSWERS), packing=(SEQUENCE,))
    return study(arms=arms, seeds=(0,), data=data, primary=(), max_epochs=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuning") / "store"
    prepare(asked().data, folder, lambda *_: None)
    plan = prepared_plan(asked(), folder)
    for each in plan.stages:
        train_stage(plan, each, folder, lambda step: None)
    return folder


@pytest.fixture(scope="module")
def plan(store: Path) -> PreparedPlan:
    return prepared_plan(asked(), store)


def test_replay_is_exact_and_the_ledger_says_what_carried_loss(plan: PreparedPlan, store: Path) -> None:
    assert audit(plan, store, full=True)["equal"]
    answers, whole = (plan.stage(plan.runs[arm, 0][-1]) for arm in ("text-only", "whole"))
    tokens = open_tokens(plan.manifest, SEQUENCE)
    shares = {}
    for its in (answers, whole):
        read = its.tokens_by_source
        assert abs(read["answers"] - 3 * read["prose"]) <= 3 * SEQUENCE
        examples = list(data_plan(plan, its).allocation.sources).index("answers")
        found = []
        for step, row in enumerate(read_ledger(store / "stages" / its.folder)):
            batch = load_batch(data_plan(plan, its), tokens, step)
            assert batch.weights_BxS is not None and batch.digest == row.digest
            assert row.trained == int(batch.weights_BxS.sum())
            here_B = batch.source_id_B == examples
            assert (batch.weights_BxS[~here_B] == 1).all()
            found.append(batch.weights_BxS[here_B].mean())
        shares[its.id] = np.mean(found)
    (packed,) = plan.manifest.sources["answers"].packed
    every = packed.prompt_tokens + packed.answer_tokens + packed.padding_tokens
    assert shares[answers.id] == pytest.approx(packed.answer_tokens / every, abs=0.05)
    assert shares[whole.id] == pytest.approx(1 - packed.padding_tokens / every, abs=0.05)


def test_the_first_loss_of_ranking_is_the_oracles(plan: PreparedPlan, store: Path) -> None:
    """From the checkpoint that it starts from and the batch as prepared, in numpy."""
    first, its = (plan.stage(id) for id in plan.runs["ranked", 0])
    like = abstract_state(first.model, first.optimizer)
    state = checkpoint.restore(checkpoints(store, first.folder), first.steps, like)
    batch = load_batch(data_plan(plan, its), open_tokens(plan.manifest, SEQUENCE), 0)
    assert batch.ranked is not None and batch.segment_ids_BxS is not None
    rows = oracle.Rows(batch.tokens_BxS, batch.segment_ids_BxS, batch.weights_BxS, oracle.Ranked(*batch.ranked))
    nats_BxS = oracle.nats(first.model, {name: np.asarray(array) for name, array in state.params.items()}, rows)
    value = oracle.ranked_loss(Ranking(), nats_BxS, rows.ranked)
    row, *_ = read_ledger(store / "stages" / its.folder)
    assert row.loss == pytest.approx(value, rel=1e-4)


def test_a_kill_while_tuning_changes_no_bit(
    plan: PreparedPlan, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dies(Exception):
        pass

    def dies(step: int) -> None:
        if step == 3:
            raise Dies

    for arm in ("text-only", "ranked"):
        its, copy = plan.stage(plan.runs[arm, 0][-1]), tmp_path / arm
        shutil.copytree(store, copy)
        rows = [replace(row, seconds=0.0) for row in read_ledger(store / "stages" / its.folder)]
        shutil.rmtree(copy / "stages" / its.folder)
        monkeypatch.setattr(trainer, "interval", lambda blocked: -1.0)
        again = prepared_plan(asked(), copy)
        with pytest.raises(Dies):
            train_stage(again, again.stage(its.id), copy, dies)
        assert checkpoint.steps(checkpoints(copy, its.folder))[-1] == 2
        monkeypatch.setattr(trainer, "interval", lambda blocked: 1e9)
        train_stage(again, again.stage(its.id), copy, lambda step: None)
        assert [replace(row, seconds=0.0) for row in read_ledger(copy / "stages" / its.folder)] == rows
        like = abstract_state(its.model, its.optimizer)
        ends = [checkpoint.restore(checkpoints(root, its.folder), its.steps, like) for root in (store, copy)]
        assert all(
            np.array_equal(np.asarray(one), np.asarray(other))
            for one, other in zip(*map(jax.tree.leaves, ends), strict=True)
        )
