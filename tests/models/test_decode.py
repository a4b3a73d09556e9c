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


def nats(params: Params, tokens_BxS1: np.ndarray) -> np.ndarray:
    """Of every place of every row, [B, S]."""
    rows, places = tokens_BxS1.shape[0], tokens_BxS1.shape[1] - 1
    return np.asarray(score(TINY, params)(tokens_BxS1, np.arange(rows * places))).reshape(rows, places)


def test_scores_are_those_of_the_full_logits(params: Params) -> None:
    rows = np.concatenate([tokens(4, 17)[:2], tokens(2, 17, seed=4)])
    for row, found in zip(rows, nats(params, rows), strict=True):
        expected = -np.asarray(jax.nn.log_softmax(logits(TINY, params, row[:-1])))[np.arange(16), row[1:]]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_any_places_can_be_asked_for_in_any_order(params: Params) -> None:
    rows = tokens(3, 17)
    places = np.array([40, 3, 3, 17])
    found = np.asarray(score(TINY, params)(rows, places))
    np.testing.assert_allclose(found, nats(params, rows).reshape(-1)[places], atol=1e-5)


def test_future_tokens_do_not_change_past_scores(params: Params) -> None:
    row = tokens(1, 101)
    changed = row.copy()
    changed[:, 71:] = (changed[:, 71:] + 1) % TINY.vocabulary
    before, after = (nats(params, r)[0] for r in (row, changed))
    np.testing.assert_allclose(after[:70], before[:70], atol=1e-5)
    assert np.abs(after[70:] - before[70:]).min() > 1e-5


def test_scores_do_not_depend_on_batch_or_padding(params: Params) -> None:
    rows = tokens(5, 40, seed=2)
    for row, expected in zip(rows, nats(params, rows), strict=True):
        for padding in (0, 90):
            alone = nats(params, np.pad(row, (0, padding), constant_values=1)[None])
            np.testing.assert_allclose(alone[0, :39], expected, atol=1e-4)


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
