"""A study that cannot mean what it says is refused by the plan, in one line with study, field and value."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.composite import Composite
from experiments.cli import guard
from experiments.plan.find import without
from experiments.plan.make import make_plan
from experiments.study import Arm, Evaluation, Piece, Stage
from mixtures.mixture import Mixture, mixture
from models.recipe import AdamW
from store.errors import UserError
from tests.experiments.tiny import HALF, TEXT, source, stage, study

FIRST = stage("pretrain", TEXT, 4)


def _stage(**changes: object) -> dict[str, object]:
    return {"arms": (Arm("text-only", "", (replace(FIRST, **changes),)),)}  # type: ignore[arg-type]


def _arm(name: str, *stages: Stage) -> dict[str, object]:
    return {"arms": (Arm(name, "", stages),), "baseline": name}


def _composite(parts: dict[str, int], centred: bool = True) -> dict[str, object]:
    asked = replace(study().evaluation, every_stage=("boolq", "boolq@5shot", "humaneval", "lm_eval/arc_challenge"))
    return {"evaluation": asked, "composite": Composite(parts, centred, rescaled=True)}


BAD = {
    "batch is 0": {"batch": 0},
    "batch is '8'": {"batch": "8"},
    "batch is True": {"batch": True},
    "batch is 8.0": {"batch": 8.0},
    "sequence is -1": {"sequence": -1},
    "seeds is [0, 1]": {"seeds": [0, 1]},
    "seeds[1] is -1": {"seeds": (0, -1)},
    "batch is 1000000000000000000000000000000": {"batch": 10**30},
    "sequence is 1000000000000": {"sequence": 10**12},
    "seeds (0, 0) are empty or doubled": {"seeds": (0, 0)},
    "max_epochs is nan": {"max_epochs": float("nan")},
    "max_epochs_of['prose'] is 1.5": {"max_epochs_of": {"prose": 1.5}},
    "max_epochs_of names source 'poems'": {"max_epochs_of": {"poems": 2}},
    "z_loss is inf": {"z_loss": float("inf")},
    "precision 'float8' is unknown": {"precision": "float8"},
    "model is '1m'": {"model": "1m"},
    "data is None": {"data": None},
    "optimizer is {}": {"optimizer": {}},
    "AdamW has b1 0.9 and b2 2.0": {"optimizer": lambda: AdamW(b2=2.0)},
    "primary is 'heldout/code/bpb'": {"primary": "heldout/code/bpb"},
    "primary metric 'heldout/code/bpp' is not scored": {"primary": ("heldout/code/bpp",)},
    "primary metric 'boolq/acc' is not scored": {"primary": ("boolq/acc",)},
    "primary names 'heldout/code/bpb' twice": {"primary": 2 * ("heldout/code/bpb",)},
    "question is 'half \\ud800'": {"question": "half \ud800"},
    "baseline 'none' is not one of its arms": {"baseline": "none"},
    "name is '../../x'": {"name": "../../x"},
    "name is ''": {"name": ""},
    "study 'two\\nlines': name is 'two\\nlines'": {"name": "two\nlines"},
    "an arm's name is 'a/b'": _arm("a/b", FIRST),
    "an arm's name is '.hidden'": _arm(".hidden", FIRST),
    "an arm's name is 'text-only' twice": {"arms": 2 * _stage()["arms"]},  # type: ignore[operator]
    "a mixture's name is 'in/out'": _stage(mixture=mixture("in/out", {"prose": 1})),
    "a mixture's name is '..'": _stage(mixture=mixture("good", {mixture("..", {"prose": 1}): 1})),
    "a source's name is 'prose' twice": {"data": replace(study().data, sources=2 * (source("prose", "text"),))},
    "source 'prose': unknown kind 'prose'": {"data": lambda: source("prose", "prose")},
    "data.heldout is 1.5": {"data": replace(study().data, heldout=1.5)},
    "data.sources is ()": {"data": replace(study().data, sources=())},
    "primary metric 'heldout/code/bpb' is not scored": {"data": replace(study().data, heldout=0.0)},
    "data.end is '<end>'": {"data": replace(study().data, end="<end>")},
    "data.vocabulary is 0": {"data": replace(study().data, vocabulary=0)},
    "arm 'text-only': it has no stages": _arm("text-only"),
    "baseline 'text-only' is not one of its arms": {"arms": ()},
    "arm 'text-only', stages[0]: tokens is 1,000,000,000,000,000": _stage(tokens=10**15),
    "stages[2]: the stage would be called": _arm(
        "text-only", *3 * (replace(FIRST, mixture=mixture(80 * "x", {"prose": 1})),)
    ),
    "arms[0].stages[0].peak is '7e-3'": _stage(peak="7e-3"),
    "arms[0].stages[0].peak is nan": _stage(peak=float("nan")),
    "arms[0].stages[0].end is -0.1": _stage(end=-0.1),
    "arm 'text-only': stages[0].tokens is 0": _stage(tokens=0),
    "arms[0].stages[0].tokens is 1000000.0": _stage(tokens=1e6),
    "arms[0].stages[0].mixture is 'text'": _stage(mixture="text"),
    "arms[0].stages[0].stable is 1.0": _stage(stable=1.0),
    "arms[0].stages[0].restart is 'prose'": _stage(restart="prose"),
    "stages[0].restart names source 'poems'": _stage(restart=frozenset({"poems"})),
    "stages[0].kind is 'distil'": _stage(kind="distil"),
    "stages[0].infilling is True": _stage(infilling=True),
    "stages[0]: schedule kind 'cosin' is unknown": _stage(decay="cosin"),
    "stages[0]: schedule has peak 0.0001 and end 0.0003": _stage(peak=1e-4),
    "stages[0]: mixture 'bad' names source 'poems'": _stage(mixture=mixture("bad", {"poems": 1})),
    "arms[0].stages[0].mixture.parts": _stage(mixture=Mixture("by hand", (("prose", 1),))),  # type: ignore[arg-type]
    "arms[0].stages[0].piece.first is -1": _stage(piece=Piece(-1, 2_000)),
    "is 1,024 tokens after 0 of a whole of 10, which is less; use cut(...)": _stage(piece=Piece(0, 10)),
    "evaluation is None": {"evaluation": None},
    "evaluation.samples is 0": {"evaluation": replace(study().evaluation, samples=0)},
    "evaluation.every_stage: unknown task 'bolq'": {"evaluation": replace(study().evaluation, every_stage=("bolq",))},
    "evaluation.executed: code task 'x'": {"evaluation": replace(study().evaluation, executed=("x",))},
    "composite.parts['boolq'] is 0; it should be greater than 0": _composite({"boolq": 0}),
    "composite has no parts": _composite({}),
    "composite counts 'boolq' twice, in 'reasoning' and in 'boolq@5shot'": _composite(
        {"reasoning": 1, "boolq@5shot": 1}
    ),
    "composite names 'bolq', which is no category and no task of this study; name one that is, such as boolq": (
        _composite({"bolq": 1})
    ),
    "composite names 'piqa', which is no category and no task": _composite({"piqa": 1}),
    "composite names 'code', and the study asks none of its tasks": _composite({"code": 1}),
    "composite names the metric 'boolq/acc'; name its task": _composite({"boolq/acc": 1}),
    "composite names 'heldout/code', which is a likelihood": _composite({"heldout/code": 1}),
    "composite names 'boolq/gold_bpb', which is a likelihood": _composite({"boolq/gold_bpb": 1}),
    "composite names 'humaneval', which is a likelihood": _composite({"humaneval": 1}),
    "composite is rescaled and not centred": _composite({"boolq": 1}, centred=False),
    "composite is centred on chance, and that of 'lm_eval/arc_challenge' is not known": _composite(
        {"lm_eval/arc_challenge": 1}
    ),
    "simulated_tokens is 10, less than": {"simulated_tokens": 10},
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_field_is_named_with_its_value(message: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=re.escape(message)) as caught:
        changes = {field: value() if callable(value) else value for field, value in BAD[message].items()}
        make_plan(study(**changes), tmp_path)
    assert getattr(caught.value, "exit_code", None) == 2 and "\n" not in str(caught.value)
    assert str(caught.value).startswith("study '") or message.startswith(("source", "AdamW"))
    assert list(tmp_path.iterdir()) == []


def test_a_good_study_is_planned_with_every_kind_of_name(tmp_path: Path) -> None:
    named = mixture("balanced→text 50 %", {HALF: 1})
    arms = (Arm("text-only", "", (FIRST,)), Arm("code+synth 25 %", "", (replace(FIRST, mixture=named),)))
    assert len(make_plan(study(arms=arms, primary=("heldout/code/program/bpb",)), tmp_path).stages) == 4


def test_what_was_left_out_of_a_run_may_stay_in_its_composite(tmp_path: Path) -> None:
    asked = replace(study().evaluation, every_stage=("boolq",), executed=("mbpp_exec",))
    counted = Composite({"boolq": 1, "code": 2}, centred=True, rescaled=True)
    whole = study(evaluation=asked, composite=counted, primary=("composite/score",), margins={"composite": 0.1})
    left = without(whole, ["executed"])
    assert len(make_plan(left, tmp_path).stages) == len(make_plan(whole, tmp_path).stages)
    with pytest.raises(UserError, match="'code', and the study asks none of its tasks"):
        make_plan(replace(left, left_out=()), tmp_path)


def test_an_unforeseen_fault_of_the_disk_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemExit, match="1"):
        guard(lambda: (tmp_path / "folder").read_text())
    assert capsys.readouterr().err == f"ablate: {tmp_path}/folder: Is a directory; make it usable or name another\n"


def test_a_study_without_evaluation_of_anything_is_fine(tmp_path: Path) -> None:
    nothing = Evaluation(heldout_bytes=0, every_stage=(), compared=(), items=0)
    assert make_plan(study(evaluation=nothing), tmp_path).stages
