import jax
import numpy as np
import pytest

from models.decode import greedy, score
from models.errors import UserError
from models.recipe import AdamW
from models.step import init_state, train_step
from models.transformer import Params
from tests.models.reference import logits
from tests.models.tiny import TINY, tokens


@pytest.fixture(scope="module")
def params() -> Params:
    """Trained a little, so that the model prefers some tokens clearly."""
    state, step = init_state(TINY, AdamW(), 0), train_step(TINY, AdamW())
    for _ in range(60):
        state, _ = step(state, tokens(4, 17), 1e-2)
    return state.params


def test_scores_are_those_of_the_full_logits(params: Params) -> None:
    rows = np.concatenate([tokens(4, 17)[:2], tokens(2, 17, seed=4)])
    scores = score(TINY, params)(rows)
    for row, nats, hits in zip(rows, scores.nats_BxS, scores.greedy_BxS, strict=True):
        logits_SxV = logits(TINY, params, row[:-1])
        expected = -np.asarray(jax.nn.log_softmax(logits_SxV))[np.arange(16), row[1:]]
        np.testing.assert_allclose(nats, expected, atol=1e-4)
        np.testing.assert_array_equal(hits, logits_SxV.argmax(axis=1) == row[1:])
    assert np.asarray(scores.greedy_BxS[:2]).mean() > 0.5 > np.asarray(scores.greedy_BxS[2:]).mean()


def test_future_tokens_do_not_change_past_scores(params: Params) -> None:
    row = tokens(1, 101)
    changed = row.copy()
    changed[:, 71:] = (changed[:, 71:] + 1) % TINY.vocabulary
    before, after = (np.asarray(score(TINY, params)(r).nats_BxS)[0] for r in (row, changed))
    np.testing.assert_allclose(after[:70], before[:70], atol=1e-5)
    assert np.abs(after[70:] - before[70:]).min() > 1e-5


def test_scores_do_not_depend_on_batch_or_padding(params: Params) -> None:
    rows = tokens(5, 40, seed=2)
    together = np.asarray(score(TINY, params)(rows).nats_BxS)
    for row, expected in zip(rows, together, strict=True):
        for padding in (0, 90):
            alone = score(TINY, params)(np.pad(row, (0, padding), constant_values=1)[None]).nats_BxS
            np.testing.assert_allclose(np.asarray(alone)[0, :39], expected, atol=1e-4)


def test_generation_takes_the_best_token_each_time_whatever_the_batch(params: Params) -> None:
    prompts = [tokens(4, 17)[0, :length] for length in (1, 5, 12)]
    expected = []
    for prompt in prompts:
        row = prompt
        for _ in range(6):
            row = np.append(row, logits(TINY, params, row)[-1].argmax()).astype(np.int32)
        expected.append(row[len(prompt) :])
    padded = [np.pad(prompt, (0, 20 - len(prompt)), constant_values=9) for prompt in prompts]
    together = greedy(TINY, params, np.stack(padded)[:, :12], np.array([1, 5, 12]), new_tokens=6)
    np.testing.assert_array_equal(together, expected)
    for row, prompt, continuation in zip(padded, prompts, expected, strict=True):
        alone = greedy(TINY, params, row[None], np.array([len(prompt)]), new_tokens=6)
        np.testing.assert_array_equal(alone[0], continuation)


@pytest.mark.parametrize(
    ("length", "new_tokens", "named"), [(0, 1, "outside 1 to 4"), (5, 1, "outside 1 to 4"), (4, 0, "0 new tokens")]
)
def test_impossible_generations_are_refused(params: Params, length: int, new_tokens: int, named: str) -> None:
    with pytest.raises(UserError, match=named):
        greedy(TINY, params, tokens(1, 4), np.array([length]), new_tokens)
