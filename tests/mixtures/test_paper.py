"""The paper's mixtures and runs, against the figures that the paper gives."""

from pathlib import Path

import pytest

from mixtures import paper
from mixtures.curriculum import Reading, sequences_by_source
from mixtures.mixture import shares

ADJACENT = ["github-commits", "github-issues", "jupyter", "stackexchange"]
GOLDEN = Path(__file__).parent.parent / "golden" / "paper.txt"


def _tokens(stage: Reading) -> dict[str, int]:
    counts = sequences_by_source(stage.mixture, stage.tokens, paper.BATCH, paper.SEQUENCE)
    return {source: count * paper.SEQUENCE for source, count in counts.items()}


def golden() -> str:
    """Exact shares of every mixture, and tokens of every source in every stage of every run."""
    lines = [f"batch {paper.BATCH} x {paper.SEQUENCE}"]
    for name, mix in paper.MIXTURES.items():
        lines += ["", f"mixture {name}"]
        lines += [f"    {source:<18} {share!s:>6}" for source, share in shares(mix).items()]
    for name, run in paper.RUNS.items():
        lines += ["", f"run {name}"]
        for stage in run.stages:
            tokens = _tokens(stage)
            lines.append(f"  {stage.kind} {stage.mixture.name}: {stage.tokens:,} requested, {sum(tokens.values()):,}")
            lines += [f"    {source:<18} {count:>15,}" for source, count in tokens.items()]
    return "\n".join(lines) + "\n"


def test_the_papers_mixtures_have_not_drifted() -> None:
    """If this fails on purpose, run `python -m tests.golden.write` and look at the diff."""
    assert golden() == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("run", "sources", "epochs"),
    [
        ("text-only", ["slimpajama"], 0.8),
        ("code", ["stack-code"], 1.44),
        ("code+markup", ["stack-markup"], 0.22),
        ("code+adjacent-issues", ADJACENT, 1.4),
        ("code+adjacent-commits", ADJACENT, 1.4),
        ("code+synth", ["synthetic-python"], 6.25),
        ("balanced+synth-to-text", ["synthetic-python"], 3.125),
    ],
)
def test_the_first_stage_reads_a_source_as_often_as_the_paper_did(run: str, sources: list[str], epochs: float) -> None:
    tokens = _tokens(paper.RUNS[run].stages[0])
    read = sum(tokens.get(source, 0) for source in sources)
    assert read / paper.SUPPLY[tuple(sources)] == pytest.approx(epochs, abs=0.005)


def _by_kind(run: str, stage: int) -> dict[str, float]:
    """Billions of tokens of text and of everything that the paper counts as code."""
    totals = {"text": 0.0, "code": 0.0}
    for source, tokens in _tokens(paper.RUNS[run].stages[stage]).items():
        part = "text" if paper.KINDS[source] in ("text", "math", "instruct") else "code"
        totals[part] += tokens / 1e9
    return totals


@pytest.mark.parametrize(
    ("run", "stage", "text", "code"),
    [
        ("text-only", 0, 400, 0),
        ("text-only", 1, 32, 8),
        ("balanced-only", 0, 200, 200),
        ("balanced-only", 1, 32, 8),
        ("balanced-to-text", 0, 100, 100),
        ("balanced-to-text", 1, 180, 20),
        ("balanced-to-text", 2, 32, 8),
        ("balanced+synth-to-text", 0, 100, 100),
        ("balanced+synth-to-text-cooldown-without-code", 2, 40, 0),
        ("code-to-text", 0, 0, 200),
        ("code+synth-to-text", 0, 0, 200),
        ("code+synth-to-text", 1, 180, 20),
        *((f"proportion-{percent}", 0, 200 - 2 * percent, 2 * percent) for percent in (0, 25, 50, 75, 90, 100)),
    ],
)
def test_stages_split_text_and_code_as_table_2_and_figure_4_say(run: str, stage: int, text: int, code: int) -> None:
    split = _by_kind(run, stage)
    assert split["text"] == pytest.approx(text, rel=1e-4, abs=1e-4)
    assert split["code"] == pytest.approx(code, rel=1e-4, abs=1e-4)


def test_runs_that_the_paper_compares_have_equal_budgets() -> None:
    """400B before cooldown and 440B after, or 200B for a study of a first stage."""
    totals = {name: [stage.tokens // paper.B for stage in run.stages] for name, run in paper.RUNS.items()}
    assert {sum(stages) for stages in totals.values()} == {440, 200}
    assert {sum(stages[:-1]) for stages in totals.values() if sum(stages) == 440} == {400}


def test_no_run_hides_synthetic_data_or_a_choice_in_its_name() -> None:
    for name, run in paper.RUNS.items():
        synthetic = any("synthetic-python" in shares(stage.mixture) for stage in run.stages)
        assert synthetic == ("synth" in name), name
    assert {"code+adjacent-issues", "code+adjacent-commits", "code-to-text", "code+synth-to-text"} <= set(paper.CHOICES)
    assert set(paper.CHOICES) <= {*paper.MIXTURES, *paper.RUNS}
    assert "code+adjacent" not in {*paper.MIXTURES, *paper.RUNS}


def test_cooldowns_differ_in_code_alone() -> None:
    with_code, without = shares(paper.WITH_CODE), shares(paper.WITHOUT_CODE)
    assert with_code.pop("cooldown-code") * 5 == 1
    assert {source: share / sum(with_code.values()) for source, share in with_code.items()} == without
