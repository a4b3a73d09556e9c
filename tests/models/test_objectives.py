"""Weighted losses and the ranking of answers, beside numpy (answers.py) and by what must hold of them."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import decode
from models.devices.layout import Layout
from models.objectives import Objective, Ranked, Rows, ranking
from models.recipe import AdamW, NextToken, Ranking
from models.step import init_state, loss_and_gradients, train_step
from models.transformer import Params, initial
from tests.models.answers import nats, packed, ranked_loss
from tests.models.tiny import TINY

MODEL = replace(TINY, layers=1)
ROWS = packed(8, TINY.vocabulary)
OBJECTIVES = [NextToken("answers"), Ranking()]
Gradient = tuple[float, dict[str, np.ndarray]]
"""Value, and gradient by parameter."""


@pytest.fixture(scope="module")
def params() -> Params:
    """With weights large enough to prefer some tokens clearly."""
    return {name: array * (1 if name.endswith("scale") else 3) for name, array in initial(MODEL, 0).items()}


@functools.cache
def _compiled(objective: Objective, microbatches: int) -> jax.stages.Wrapped:
    return jax.jit(loss_and_gradients(MODEL, "float32", Layout(microbatches), None, 0.0, objective))


def _gradient(params: Params, rows: Rows, objective: Objective = OBJECTIVES[0], microbatches: int = 1) -> Gradient:
    return jax.device_get(_compiled(objective, microbatches)(params, rows))


def _oracle(params: Params, rows: Rows, objective: Objective) -> float:
    nats_BxS = nats(MODEL, params, rows)
    if isinstance(objective, Ranking):
        return ranked_loss(objective, nats_BxS, rows.ranked)
    return float((rows.weights_BxS * nats_BxS).sum() / rows.weights_BxS.sum())


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_value_and_gradient_are_those_of_numpy(params: Params, objective: Objective) -> None:
    """The gradient by finite differences, along itself and along a random direction."""
    value, gradient = _gradient(params, ROWS, objective)
    assert value == pytest.approx(_oracle(params, ROWS, objective), rel=1e-5)
    random = np.random.default_rng(0)
    drawn = {name: random.standard_normal(array.shape) for name, array in gradient.items()}
    exact = {name: np.asarray(array, np.float64) for name, array in params.items()}
    for direction in (gradient, drawn):
        size = np.sqrt(sum((along**2).sum() for along in direction.values()))
        step = {name: 1e-5 / size * np.asarray(along, np.float64) for name, along in direction.items()}
        up, down = (_oracle({n: exact[n] + sign * step[n] for n in exact}, ROWS, objective) for sign in (1, -1))
        expected = sum((gradient[name] * along / size).sum() for name, along in direction.items())
        assert (up - down) / 2e-5 == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_microbatches_of_uneven_weight_give_the_gradient_of_the_whole(params: Params, objective: Objective) -> None:
    """One of four has no answer at all."""
    assert not ROWS.ranked.answer_BxS[:2].any()
    (loss, expected), (found_loss, found) = (_gradient(params, ROWS, objective, count) for count in (1, 4))
    assert found_loss == pytest.approx(loss, rel=1e-6)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_weights_of_one_give_the_plain_mean(params: Params) -> None:
    rows = ROWS._replace(weights_BxS=np.ones_like(ROWS.weights_BxS))
    weighted, plain = (_gradient(params, each) for each in (rows, rows._replace(weights_BxS=None)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), weighted, plain)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_target_without_weight_or_answer_changes_nothing(params: Params, objective: Objective) -> None:
    """The last token of a row is a target alone. It is padding here; where it is an answer's, it counts."""
    last = ROWS.tokens_BxS1.copy()
    last[:, -1] = 7
    assert not ROWS.weights_BxS[:, -1].any()
    before, after = (_gradient(params, ROWS._replace(tokens_BxS1=each), objective) for each in (ROWS.tokens_BxS1, last))
    jax.tree.map(np.testing.assert_array_equal, after, before)
    marked = ROWS._replace(weights_BxS=ROWS.weights_BxS.copy())
    marked.weights_BxS[3, -1] = 1
    assert _gradient(params, marked._replace(tokens_BxS1=last))[0] != _gradient(params, marked)[0]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_batch_of_nothing_gives_nothing(params: Params, objective: Objective) -> None:
    empty = Ranked(*map(np.zeros_like, ROWS.ranked))
    rows = ROWS._replace(weights_BxS=np.zeros_like(ROWS.weights_BxS), ranked=empty)
    value, gradient = _gradient(params, rows, objective, 4)
    assert value == 0
    assert not any(array.any() for array in gradient.values())


def test_a_packed_example_is_seen_as_scoring_sees_it_alone(params: Params) -> None:
    """The nats of an answer, as the gradient's value of it alone, beside those of `decode.scorer`."""
    answer_S, segments_S = ROWS.ranked.answer_BxS[-1], ROWS.segments_BxS[-1]
    for number in range(1, 3):
        only = np.zeros_like(ROWS.weights_BxS)
        only[-1] = answer_S == number
        trained = _gradient(params, ROWS._replace(weights_BxS=only))[0]
        (its,) = np.nonzero(segments_S == number)
        text = ROWS.tokens_BxS1[-1, [*its, its[-1] + 1]]
        row = np.zeros((3, 1, 24), np.int32)
        row[:, 0, : len(its)] = text[:-1], range(len(its)), np.full(len(its), len(its))
        edges = np.nonzero(answer_S[its] == number)[0].astype(np.int32)
        trees = decode.Trees(*row, edges, text[edges + 1], np.array([len(edges)], np.int32))
        scored_E, _ = decode.scorer(MODEL)(params, trees)
        assert trained == pytest.approx(float(np.mean(scored_E)), rel=1e-5)


def test_ranking_is_refused_where_answers_would_see_each_other_or_tokens_weigh_less_than_nothing() -> None:
    state, marks = init_state(MODEL, AdamW(), 0), (ROWS.tokens_BxS1, 0.0)
    step = train_step(MODEL, AdamW(), objective=Ranking())
    for without in ({"segments_BxS": None}, {"ranked": None}):
        with pytest.raises(ValueError, match="answers, and segments"):
            step(state, *marks, *ROWS._replace(**without)[1:])
    with pytest.raises(ValueError, match="no z-loss"):
        train_step(MODEL, AdamW(), z_loss=1e-4, objective=Ranking())(state, *marks, *ROWS[1:])


# Of nats alone: three answers of two, one and four tokens in one set, in a row with a target that is none's.
_ANSWER_1xS = np.array([[1, 1, 0, 2, 3, 3, 3, 3]], np.int32)
_LENGTHS = np.array([2, 1, 4])
_RANK_ALONE = Ranking(rank=1.0, tuning=0.0)


Three = tuple[float, float, float]


def _three(scores: tuple[int, int, int]) -> Ranked:
    return Ranked(_ANSWER_1xS, np.ones((1, 3), np.int32), np.array([scores], np.int32))


def _of(objective: Ranking, scores: tuple[int, int, int], means: Three) -> tuple[float, np.ndarray]:
    """Value, and its derivative by the nats of a token of each answer, where answers have so many nats a token."""
    nats_1xS = np.array([0.0, *means], np.float32)[_ANSWER_1xS]
    value, slope = jax.value_and_grad(lambda nats: ranking(objective, nats, _three(scores)))(jnp.asarray(nats_1xS))
    slope = np.asarray(slope)[0]
    assert slope[2] == 0
    for number in (1, 2, 3):
        assert len(set(slope[_ANSWER_1xS[0] == number].tolist())) == 1
    return float(value), slope[[0, 3, 4]]


@pytest.mark.parametrize("means", [(1.0, 2.0, 3.0), (1.0, 1.0, 1.0)], ids=["likelier", "alike"])
def test_nothing_is_ranked_where_every_better_answer_is_likelier(means: Three) -> None:
    value, slope = _of(_RANK_ALONE, (9, 4, 0), means)
    assert value == 0
    assert not slope.any()


def test_the_gradient_goes_along_the_gap_in_proportion_to_it() -> None:
    """The better answer becomes likelier and the worse one less so, by the gap of their scores over their lengths."""
    for gap in (1, 2, 5):
        value, slope = _of(
            _RANK_ALONE, (gap, 0, gap), (3.0, 1.0, 0.5)
        )  # the third is ahead, and no better than the first
        assert value == pytest.approx(gap * 2.0)
        np.testing.assert_allclose(slope * _LENGTHS, [gap, -gap, 0])


def test_answers_of_one_score_are_no_pair_and_the_first_of_the_best_is_tuned() -> None:
    assert _of(_RANK_ALONE, (2, 2, 2), (3.0, 1.0, 0.5))[0] == 0
    for reduction, slope in (("sum", 1.0), ("mean", 0.5)):
        tuned = _of(Ranking(rank=0.0, tuning=2.0, reduction=reduction), (3, 1, 3), (3.0, 1.0, 0.5))
        assert tuned[0] == pytest.approx(2 * 3.0 * 2 * slope)
        np.testing.assert_allclose(tuned[1], [2 * slope, 0, 0])


def test_every_pair_counts_and_sets_do_not_meet() -> None:
    apart = _three((3, 1, 0))._replace(set_BxE=np.array([[1, 2, 1]], np.int32))
    nats_1xS = np.array([0.0, 3.0, 1.0, 0.5], np.float32)[_ANSWER_1xS]
    # (score gap) x (nats by which the better is behind), of pairs 1-2, 1-3 and 2-3.
    assert _of(_RANK_ALONE, (3, 1, 0), (3.0, 1.0, 0.5))[0] == pytest.approx(2 * 2.0 + 3 * 2.5 + 1 * 0.5)
    assert float(ranking(_RANK_ALONE, nats_1xS, apart)) == pytest.approx(3 * 2.5)


@pytest.mark.parametrize("objective", [Ranking(), Ranking(0.5, 0.25, "mean"), Ranking(tuning=0.0)], ids=str)
def test_settings_are_those_of_numpy(objective: Objective) -> None:
    nats_BxS = np.random.default_rng(0).exponential(size=ROWS.weights_BxS.shape)
    sets = sum(len({*set_E.tolist()} - {0}) for set_E in ROWS.ranked.set_BxE)
    found = float(ranking(objective, nats_BxS.astype(np.float32), ROWS.ranked)) / sets
    assert found == pytest.approx(ranked_loss(objective, nats_BxS, ROWS.ranked), rel=1e-5)
