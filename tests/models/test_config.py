import pytest

from models.config import ModelConfig, config, names, parameters
from models.errors import UserError
from models.flops import forward_flops_per_token, train_flops_per_token


def test_parameter_counts_are_exact_by_hand() -> None:
    counts = parameters(config("1m"))
    block = 96 + 4 * 96 * 96 + 3 * 96 * 256
    assert (counts.embedding, counts.non_embedding) == (8_192 * 96, 2 * block + 96)
    assert counts.total == 1_007_904
    assert parameters(config("470m")).total == 467_682_304


@pytest.mark.parametrize("name", names())
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


def test_flops_follow_the_stated_formula() -> None:
    assert train_flops_per_token(config("1m"), 256) == 6 * 221_472 + 6 * 8_192 * 96 + 6 * 2 * 96 * 256
    assert train_flops_per_token(config("470m"), 8_192) == 3 * forward_flops_per_token(config("470m"), 8_192)
