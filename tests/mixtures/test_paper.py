"""The paper's mixtures, against the figures that the paper gives. Its runs: tests/experiments/test_studies.py."""

from pathlib import Path

from mixtures import paper
from mixtures.mixture import shares

GOLDEN = Path(__file__).parent.parent / "golden" / "paper.txt"
MIXTURES = paper.mixtures(paper.PAPER)


def golden() -> str:
    """Exact shares of every mixture."""
    lines = []
    for name, mix in MIXTURES.items():
        lines += ["", f"mixture {name}", *(f"    {source:<18} {share!s:>6}" for source, share in shares(mix).items())]
    return "\n".join(lines[1:]) + "\n"


def test_the_papers_mixtures_have_not_drifted() -> None:
    """If this fails on purpose, run `python -m tests.golden.write` and look at the diff."""
    assert golden() == GOLDEN.read_text()


def test_no_mixture_hides_synthetic_data_or_a_choice_in_its_name() -> None:
    for name, mix in MIXTURES.items():
        assert ("synthetic-python" in shares(mix)) == ("synth" in name), name
    assert {"code+adjacent-issues", "code+adjacent-commits", "code+synth", "code+markup+synth"} <= set(paper.CHOICES)
    assert set(paper.CHOICES) <= set(MIXTURES)
    assert "code+adjacent" not in MIXTURES


def test_cooldowns_differ_in_code_alone() -> None:
    with_code, without = shares(MIXTURES["cooldown+code"]), shares(MIXTURES["cooldown-without-code"])
    assert with_code.pop("cooldown-code") * 5 == 1
    assert {source: share / sum(with_code.values()) for source, share in with_code.items()} == without


def test_a_mixture_of_a_proportion_is_found_by_its_per_cent() -> None:
    for percent in paper.PROPORTIONS:
        its = shares(MIXTURES[paper.proportion(percent)])
        assert 100 * (1 - its.get("slimpajama", 0)) == percent
