import jax
import numpy as np
import pytest

from models import decode, drawing
from models.config import ModelConfig
from models.transformer import Params, initial
from tests.models.reference import logits
from tests.models.tiny import TINY, tokens

NEVER = TINY.vocabulary
"""An end that no model says."""


@pytest.fixture(scope="module")
def params() -> Params:
    """With weights large enough to prefer some tokens clearly."""
    return {name: array * (1 if name.endswith("scale") else 3) for name, array in initial(TINY, 0).items()}


def after(params: Params, text: list[int]) -> np.ndarray:
    """Logits [V] of what follows `text`, of one pass over it; all passes are of one shape."""
    row = np.zeros(24, np.int32)
    row[: len(text)] = text
    return np.asarray(logits(TINY, params, row))[len(text) - 1]


def continued(
    config: ModelConfig,
    params: Params,
    prompts: list[np.ndarray],
    new_tokens: int,
    end: int = NEVER,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    spare: int = 0,
    steps: int = 4,
) -> list[list[int]]:
    """What follows each prompt, in as many slots and `spare` ones, seeds 0, 1, ..., in calls of `steps` tokens."""
    n, longest = len(prompts), max(len(prompt) for prompt in prompts)
    padded = np.stack([np.pad(prompt, (0, longest - len(prompt)), constant_values=9) for prompt in prompts])
    lengths, numbers = np.array([len(prompt) for prompt in prompts], np.int32), np.arange(n, dtype=np.int32)
    last = np.array([prompt[-1] for prompt in prompts], np.int32)
    left, best = np.full(n, new_tokens, np.int32), np.full(n, top_k, np.int32)
    temperatures, shares = np.full(n, temperature, np.float32), np.full(n, top_p, np.float32)
    seats = decode.Seats(last, lengths - 1, np.zeros(n, np.int32), left, numbers, temperatures, shares, best)
    entering = decode.Prompts(padded, spare + numbers, numbers, seats)
    slots = decode.empty_slots(config, n + spare, longest)
    slots = decode.enterer(config)(params, slots, entering)
    slots = decode.widen(slots, longest + new_tokens)
    said: list[list[int]] = [[] for _ in prompts]
    for _ in range(0, new_tokens, steps):
        slots, said_BxC = decode.advancer(config, steps, end)(params, slots, np.ones(n + spare, bool))
        for row, new in zip(said, np.asarray(said_BxC)[spare:], strict=True):
            row.extend(new[new >= 0].tolist())
    return said


def step_by_step(params: Params, prompt: np.ndarray, new_tokens: int) -> list[int]:
    """The most likely token each time, from a pass over the whole text."""
    text = prompt.tolist()
    for _ in range(new_tokens):
        text.append(int(after(params, text).argmax()))
    return text[len(prompt) :]


def test_edges_of_a_tree_are_scored_as_their_branches_alone(params: Params) -> None:
    """Two trees in a row and padding: a stem with two branches, of which the second parts again, and a chain."""
    stem, first, second, third = [7, 3, 9], [4, 4], [5, 8], [5, 2]
    chain = [1, 2, 3, 4]
    nodes = [*stem, 4, 5, *chain]
    depths = [0, 1, 2, 3, 3, 0, 1, 2, 3]
    ends = [5, 5, 5, 4, 5, 9, 9, 9, 9]
    edges = [(2, 4), (3, 4), (2, 5), (4, 8), (4, 2), (5, 2), (8, 11)]
    row = np.zeros((3, 1, 12), np.int32)
    row[:, 0, :9] = nodes, depths, ends
    places, targets = np.zeros((2, 12), np.int32)
    places[:7], targets[:7] = zip(*edges, strict=True)
    nats_E, greedy_E = map(np.asarray, decode.scorer(TINY)(params, decode.Trees(*row, places, targets, np.array([7]))))

    def of(*text: int) -> tuple[float, bool]:
        last = after(params, list(text[:-1])).astype(np.float64)
        return np.log(np.exp(last).sum()) - last[text[-1]], last.argmax() == text[-1]

    expected = [of(*stem, first[0]), of(*stem, *first), of(*stem, second[0]), of(*stem, *second), of(*stem, *third)]
    expected += [of(*chain[:2]), of(*chain, 11)]
    np.testing.assert_allclose(nats_E[:7], [nats for nats, _ in expected], atol=1e-4)
    assert greedy_E[:7].tolist() == [greedy for _, greedy in expected]


def test_cached_generation_is_that_of_whole_passes_whatever_stands_beside(params: Params) -> None:
    prompts = [tokens(4, 17)[0, :length] for length in (1, 5, 12)]
    expected = [step_by_step(params, prompt, 9) for prompt in prompts]
    assert len({tuple(row) for row in expected}) == 3
    assert continued(TINY, params, prompts, 9) == expected
    assert continued(TINY, params, prompts, 9, spare=2, steps=2) == expected
    assert continued(TINY, params, prompts[1:2], 9) == expected[1:2]


def test_generation_ends_with_the_token_that_ends_a_document(params: Params) -> None:
    prompts = [tokens(4, 17)[0, :length] for length in (1, 5, 12)]
    whole = continued(TINY, params, prompts, 9)
    end = whole[0][3]
    expected = [row[: row.index(end) + 1] if end in row else row for row in whole]
    assert continued(TINY, params, prompts, 9, end=end) == expected


def test_draws_depend_on_seed_and_place_alone(params: Params) -> None:
    prompts = [tokens(4, 17)[0, :length] for length in (5, 5, 12)]
    together = continued(TINY, params, prompts, 9, temperature=5.0, top_p=0.9)
    assert together[0] != together[1]  # One prompt, two seeds.
    assert continued(TINY, params, prompts, 9, temperature=5.0, top_p=0.9, spare=3, steps=2) == together


@pytest.mark.parametrize(
    ("temperature", "top_p", "top_k"),
    [(1.0, 1.0, 0), (1.6, 1.0, 0), (1.0, 0.7, 0), (1.6, 0.4, 0), (1.6, 1.0, 5), (1.6, 0.7, 6)],
)
def test_tokens_are_drawn_with_the_models_probabilities(
    params: Params, temperature: float, top_p: float, top_k: int
) -> None:
    prompt = tokens(1, 6, seed=5)[0]
    scaled = after(params, prompt.tolist()).astype(np.float64) / temperature
    expected = np.exp(scaled - scaled.max())
    order = np.argsort(-expected)
    expected[order[top_k or len(order) :]] = 0  # first, so that the share is one of what they hold
    expected /= expected.sum()
    before = np.cumsum(expected[order]) - expected[order]
    expected[order[before >= top_p]] = 0
    expected /= expected.sum()
    draws = continued(TINY, params, [prompt] * 2_000, 1, temperature=temperature, top_p=top_p, top_k=top_k)
    found = np.bincount([row[0] for row in draws], minlength=TINY.vocabulary) / 2_000
    assert not found[expected == 0].any()
    assert np.abs(found - expected).max() < 4.5 * np.sqrt(0.25 / 2_000)
    assert np.abs(found - expected).sum() < 0.25


def test_the_first_k_logits_stay_whatever_their_sign_and_each_row_has_its_own_k() -> None:
    rng = np.random.default_rng(1)
    logits_BxV = rng.normal(0, 30, (6, 257)).astype(np.float32)
    logits_BxV[3, ::2] = logits_BxV[3, 0]  # as likely as each other
    logits_BxV[5] = -np.abs(logits_BxV[5])
    k_B = np.array([0, 1, 40, 3, 300, 7], np.int32)
    found = np.isfinite(np.asarray(drawing._first(logits_BxV, k_B)))
    least_B = [np.sort(row)[-min(k, 257)] if k else -np.inf for row, k in zip(logits_BxV, k_B, strict=True)]
    assert np.array_equal(found, logits_BxV >= np.array(least_B, np.float32)[:, None])


def test_a_share_of_nothing_draws_the_most_likely(params: Params) -> None:
    prompts = [tokens(4, 17)[0, :length] for length in (1, 5)]
    assert continued(TINY, params, prompts, 5, temperature=2.0, top_p=0.0) == continued(TINY, params, prompts, 5)


def test_scoring_and_generation_are_float32_on_any_device(params: Params) -> None:
    """Their products too, which by default would be a pass in bfloat16 on TPU and TensorFloat-32 on GPU."""
    trees = decode.Trees(
        *(np.zeros((2, 8), np.int32) for _ in range(3)),
        *(np.zeros(4, np.int32) for _ in range(2)),
        np.ones(1, np.int32),
    )
    numbers, shares = np.zeros(2, np.int32), np.zeros(2, np.float32)
    seats = decode.Seats(*[numbers] * 5, shares, shares, numbers)
    prompts = decode.Prompts(np.zeros((2, 8), np.int32), numbers, numbers, seats)
    slots = decode.empty_slots(TINY, 2, 16)
    for program in (
        lambda: decode.scorer(TINY)(params, trees),
        lambda: decode.enterer(TINY)(params, slots, prompts),
        lambda: decode.advancer(TINY, 4, NEVER)(params, slots, np.ones(2, bool)),
    ):
        text = str(jax.make_jaxpr(program)())
        exact = text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)")
        assert text.count("dot_general[") == exact > 10
