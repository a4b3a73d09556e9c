"""The study of a name: near names, scales, and files of users that are no study; every slip is one line with exit 2."""

import importlib
import re
from pathlib import Path

import pytest

import experiments.studies
from experiments.plan.find import find_study, is_study, known_studies, scales_of
from experiments.scales import SCALES
from store.errors import UserError

FILES = {
    "its file cannot be loaded (SyntaxError": "STUDY = (",
    "its file cannot be loaded (ZeroDivisionError: division by zero; line 3": "\n\nSTUDY = 1 / 0",
    "its file cannot be loaded (ModuleNotFoundError": "import nowhere",
    "its file cannot be loaded (TypeError": "from experiments.study import Stage\nSTUDY = Stage('pretrain')",
    "its file cannot be loaded (SystemExit": "raise SystemExit(3)",
    "no STUDY that is a Study, but NoneType": "",
    "no STUDY that is a Study, but dict": "STUDY = {'name': 'x'}",
    "the weight of 'prose' is the float 0.5": "from mixtures.mixture import mixture\nmixture('m', {'prose': 0.5})",
    "the weight of 'prose' is the float inf": "from mixtures.mixture import mixture\nmixture('m', {'prose': 9e999})",
    "mixture 'm': its part '5' is no source's name": "from mixtures.mixture import mixture\nmixture('m', {5: 1})",
    "mixture 'm': its parts are ['prose']": "from mixtures.mixture import mixture\nmixture('m', ['prose'])",
    "the weight of 'x' is '1e-9999999'": "from mixtures.mixture import mixture\nmixture('m', {'x': '1e-9999999'})",
    "(ValueError: two lines; line 1)": "raise ValueError('two\\nlines')",
    "AdamW has b1 '0.9'; it must be a number": "from models.recipe import AdamW\nAdamW(b1='0.9')",
    "model 'x' has vocabulary '8'; it must be": "import models.config as c\nc.ModelConfig('x', '8', 8, 1, 1, 8)",
    "model '3m' is unknown": "from models.config import config\nconfig('3m')",
    "no STUDY that is a Study, but int, and no function `study` of a scale": "STUDY = 5\nstudy = 7",
    # Of several scales.
    "fails at scale 'laptop' (ZeroDivisionError: division by zero; line 3)": "def study(scale):\n    x = 1\n    1 / 0",
    "fails at scale 'laptop' (AttributeError": "def study(scale):\n    return scale.tokens",
    "fails at scale 'laptop' (TypeError": "def study():\n    pass",
    "fails at scale 'laptop' (SystemExit": "def study(scale):\n    raise SystemExit(3)",
    "returns no Study, but NoneType; return one": "def study(scale):\n    pass",
    "returns no Study, but tuple; return one": "def study(scale):\n    return scale, scale",
    "returns one of scale '' for 'laptop'; use ask(": (
        "from tests.experiments.tiny import STUDY as ONE\ndef study(scale):\n    return ONE"
    ),
    "model '4x' is unknown": "from models.config import config\ndef study(scale):\n    return config('4x')",
    "baseline 'none' is not one of its arms": (
        "from experiments.scales import ask\ndef study(scale):\n    return ask(scale, 'x', '', '', 'none', ())"
    ),
}


@pytest.mark.parametrize(("number", "message"), list(enumerate(FILES)))
def test_a_bad_file_is_one_line(number: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"bad_{number}.py").write_text(FILES[message])
    monkeypatch.setattr(experiments.studies, "__path__", [*experiments.studies.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        find_study(f"bad-{number}")
    assert str(caught.value).startswith((f"study 'bad-{number}': ", "study 'x': "))
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_a_file_may_have_a_hyphen_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "with-hyphen.py").write_text("from tests.experiments.tiny import STUDY")
    monkeypatch.setattr(experiments.studies, "__path__", [*experiments.studies.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    assert find_study("with-hyphen").name == find_study("with_hyphen").name == "tiny"


def test_two_files_whose_names_are_alike_are_two_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("my-own", "my_own"):
        text = f"from tests.experiments.tiny import study\nSTUDY = study(name='{name}')"
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(experiments.studies, "__path__", [*experiments.studies.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    assert [find_study(name).name for name in ("my-own", "my_own")] == ["my-own", "my_own"]


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        ("nonsense", "", "study 'nonsense' is unknown; known studies: additive, "),
        ("proporton", "", "study 'proporton' is unknown; did you mean 'proportion'? known studies: "),
        ("markup-alon", "", "did you mean 'markup_alone'?"),
        ("proportion-mars", "", "study 'proportion-mars' is unknown; did you mean 'proportion'?"),
        ("", "", "study '' is unknown"),
        ("../studies/paper", "", "study '../studies/paper' is unknown"),
        ("proportion", "laptpo", "scale 'laptpo' is unknown; did you mean 'laptop'? known scales: laptop, desktop, "),
        ("proportion", "Laptop", "scale 'Laptop' is unknown; did you mean 'laptop'?"),
        ("proportion", "huge", "scale 'huge' is unknown; known scales: "),
        ("proportion-laptop", "paper", "study 'proportion-laptop' is unknown; did you mean 'proportion'?"),
        (
            "quickstart",
            "laptop",
            "it has one scale of its own, and no scale 'laptop'; leave --scale out",
        ),
        ("quickstart-laptop", "", "study 'quickstart': it has one scale of its own, and no scale 'laptop'"),
    ],
)
def test_a_slip_of_name_or_scale_is_one_line_with_the_way_out(name: str, scale: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        find_study(name, scale)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_a_study_of_several_scales_is_found_at_each() -> None:
    for name in known_studies():
        assert is_study(name)
        for scale in scales_of(name):
            assert (
                find_study(f"{name}-{scale}").key == find_study(name, scale).key == f"{find_study(name).name}-{scale}"
            )
    assert scales_of("quickstart") == () and scales_of("proportion") == tuple(SCALES)
    assert find_study("proportion").scale == "laptop"
    assert find_study("markup-alone").typed == find_study("markup_alone").typed == "markup-alone --scale laptop"
