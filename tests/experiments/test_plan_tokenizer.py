"""The plan refuses a tokenizer that does not fit the model, or the metrics."""

from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import normalizers

from experiments.plan.make import make_plan
from experiments.plan.stage import PreparedPlan
from mixtures.prepare import prepare
from store.errors import UserError
from tests.experiments.tiny import study
from tests.mixtures.foreign import END, deepseek, written
from tests.mixtures.test_foreign_tokenizers import here, quiet

TINY = study()


def model(vocabulary: int) -> object:
    return replace(TINY.model, vocabulary=vocabulary)


def test_ids_that_the_model_does_not_know_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study 'tiny': model\.vocabulary is 300, .* 320 ids"):
        make_plan(study(model=model(300)), tmp_path)
    assert make_plan(study(model=model(384)), tmp_path).stages  # more than there are do no harm
    path = written(deepseek(), tmp_path / "tokenizer.json")
    theirs = replace(TINY.data, tokenizer=path)
    with pytest.raises(UserError, match=r"model\.vocabulary is 320, .* 356 ids"):
        make_plan(study(data=theirs), tmp_path)
    assert make_plan(study(data=theirs, model=model(356)), tmp_path).stages
    with pytest.raises(UserError, match="no end-of-document token 'fin'"):
        make_plan(study(data=replace(theirs, end="fin"), model=model(356)), tmp_path)


def test_a_tokenizer_has_an_id_for_every_byte_whatever_was_asked_for(tmp_path: Path) -> None:
    small = study(data=replace(TINY.data, vocabulary=100), model=model(260))
    assert not isinstance(make_plan(small, tmp_path), PreparedPlan)
    assert prepare(small.data, tmp_path, quiet, here).vocabulary == 260
    for store in (tmp_path, tmp_path / "empty"):
        with pytest.raises(UserError, match=r"model\.vocabulary is 200, .* 260 ids"):
            make_plan(replace(small, model=model(200)), store)


def test_a_stage_knows_the_end_that_was_named(tmp_path: Path) -> None:
    """One file with two ends is one file: its digest does not tell them apart."""
    data = replace(TINY.data, tokenizer=written(deepseek(), tmp_path / "tokenizer.json"))
    usual, named = (study(data=replace(data, end=end), model=model(356)) for end in (None, END))
    manifests = [prepare(each.data, tmp_path, quiet, here) for each in (usual, named)]
    assert manifests[0].tokenizer_digest == manifests[1].tokenizer_digest
    identities = [make_plan(each, tmp_path).stages[0].identity for each in (usual, named)]
    assert "eod" not in identities[0] and identities[1]["eod"] == manifests[1].eod != manifests[0].eod


def test_bits_per_byte_are_no_metric_of_a_tokenizer_that_loses_text(tmp_path: Path) -> None:
    tokenizer = deepseek()
    tokenizer.normalizer = normalizers.Lowercase()
    data = replace(TINY.data, tokenizer=written(tokenizer, tmp_path / "tokenizer.json"))
    lossy = study(data=data, model=model(356))
    with pytest.raises(UserError, match=r"primary names 'heldout/code/bpb', .* comes back as"):
        make_plan(lossy, tmp_path)
    assert make_plan(replace(lossy, primary=()), tmp_path).stages
