import math
from dataclasses import replace
from types import SimpleNamespace

import jax
import pytest

from models.config import PEAK_LEARNING_RATES, SIZES, ModelConfig, config, parameters
from models.devices.flops import forward_flops_per_token, sizes, train_flops_per_token
from models.transformer import initial
from store.errors import UserError

# With the embedding, and without.
COUNTS = {
    "1m": (1_007_904, 221_472),
    "2m": (1_901_184, 852_608),
    "4m": (4_228_416, 2_655_552),
    "15m": (14_813_440, 6_424_832),
    "60m": (60_037_632, 43_260_416),
    "150m": (150_343_168, 19_271_168),
    "240m": (239_092_736, 205_538_304),
    "470m": (467_682_304, 205_538_304),
    "1b": (994_868_736, 601_652_736),
    "2.8b": (2_820_743_680, 2_165_383_680),
}


def test_parameter_counts_are_exact_by_hand() -> None:
    counts = parameters(config("1m"))
    block = 96 + 4 * 96 * 96 + 3 * 96 * 256
    assert (counts.embedding, counts.non_embedding) == (8_192 * 96, 2 * block + 96)


@pytest.mark.parametrize("name", SIZES)
def test_every_size_has_the_parameters_that_its_model_makes(name: str) -> None:
    counts, size = parameters(config(name)), config(name)
    assert (counts.total, counts.non_embedding) == COUNTS[name]
    shapes = jax.eval_shape(lambda: dict(initial(size, 0)))
    assert sum(math.prod(leaf.shape) for leaf in shapes.values()) == counts.total
    assert math.prod(shapes["embedding"].shape) == counts.embedding


@pytest.mark.parametrize("name", SIZES)
def test_a_size_is_named_after_its_total(name: str) -> None:
    nominal = float(name[:-1]) * {"m": 1e6, "b": 1e9}[name[-1]]
    digits = len(name[:-1].replace(".", "").rstrip("0"))
    assert float(f"{parameters(config(name)).total:.{digits - 1}e}") == nominal


def test_an_unknown_size_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'7b' is unknown; choose one of 1m, 2m, .*2\.8b"):
        config("7b")


@pytest.mark.parametrize(("width", "heads", "layers"), [(30, 4, 1), (12, 4, 1), (16, 4, 0)])
def test_impossible_shapes_are_refused(width: int, heads: int, layers: int) -> None:
    with pytest.raises(UserError, match="model 'odd' has"):
        ModelConfig("odd", vocabulary=8, width=width, layers=layers, heads=heads, feed_forward=8)


@pytest.mark.parametrize("wrong", [{"rope_theta": 0.0}, {"rope_theta": math.inf}, {"norm_epsilon": math.nan}])
def test_numbers_that_no_model_can_use_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"model '1m' has {next(iter(wrong))}"):
        replace(config("1m"), **wrong)


def test_the_paper_s_sizes_have_its_vocabulary_and_fit_the_tiles() -> None:
    for name in ("150m", "470m", "1b", "2.8b"):
        size = config(name)
        assert size.vocabulary == 256_000
        assert size.width % 128 == size.feed_forward % 128 == 0


def test_peak_rates_cover_every_size_and_fall_with_it() -> None:
    rates = [PEAK_LEARNING_RATES[name] for name in SIZES]
    assert rates == sorted(rates, reverse=True)
    assert set(PEAK_LEARNING_RATES) == set(SIZES)


@pytest.mark.parametrize(
    ("name", "sequence", "tokens"),
    [("2m", 256, 20 * 1.9e6), ("4m", 256, 20 * 4.2e6), ("15m", 1_024, 20 * 14.8e6)]
    + [("60m", 2_048, 20 * 60e6), ("240m", 2_048, 20 * 239e6)]
    + [(name, 8_192, 200e9) for name in ("150m", "470m", "1b", "2.8b")],
)
def test_rates_that_were_not_swept_follow_the_law_they_name(name: str, sequence: int, tokens: float) -> None:
    """arXiv:2401.02954, section 3.1; the square of attention counts in full there, and the head does not."""
    size = config(name)
    flops = tokens * (6 * parameters(size).non_embedding + 12 * size.layers * size.width * sequence)
    assert float(f"{0.3118 * flops**-0.125:.0e}") == PEAK_LEARNING_RATES[name]


def test_the_listing_states_work_and_state_of_every_size() -> None:
    rows = {row["name"]: SimpleNamespace(**row) for row in sizes(8_192)}
    assert tuple(rows) == tuple(SIZES)
    row = rows["470m"]
    assert (row.parameters, row.embedding, row.non_embedding) == (467_682_304, 262_144_000, 205_538_304)
    assert row.flops_per_token == 6 * 205_538_304 + 6 * 256_000 * 1_024 + 6 * 16 * 1_024 * 8_192
    assert row.state_bytes == 467_682_304 * 3 * 4
    assert (row.layers, row.heads, row.kv_heads, row.head_width) == (16, 8, 8, 128)
    assert sizes(256)[0]["flops_per_token"] < rows["1m"].flops_per_token


def test_flops_follow_the_stated_formula() -> None:
    assert train_flops_per_token(config("1m"), 256) == 6 * 221_472 + 6 * 8_192 * 96 + 6 * 2 * 96 * 256
    assert train_flops_per_token(config("470m"), 8_192) == 3 * forward_flops_per_token(config("470m"), 8_192)
