"""lm-evaluation-harness's own tasks run on our model, and find what its `hf` backend finds on the exported folder."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from analysis.evals.engine import likelihoods
from analysis.evals.model import opened
from analysis.evals.tasks import parse_task
from analysis.metrics import metrics_for, value
from analysis.records import EvalRecord
from analysis.task_scores import scores_of
from mixtures.tokens import tokenizer as bpe
from models.export import export
from store.errors import Failure, UserError
from tests.analysis.language import ASKS, CONFIG, PAIRS, TEXT, WINDOW, model

lm_eval = pytest.importorskip("lm_eval", reason="needs the extra harness")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from analysis.evals import harness_tasks  # noqa: E402
from analysis.evals.harness import AblateLM  # noqa: E402

ROWS = {
    "arc_easy": [
        {
            "id": str(n),
            "question": f"question {n} about birds?",
            "choices": {"text": [str(n), "an answer", "a long document"], "label": ["A", "B", "C"]},
            "answerKey": "ABC"[n % 3],
        }
        for n in range(4)
    ],
    "triviaqa": [
        {"question": f"what bird is {n}?", "answer": {"aliases": ["rook", "a crow"], "value": "rook"}} for n in range(3)
    ],
}
SHIPPED = {"arc_easy": "arc/arc_easy.yaml", "triviaqa": "triviaqa/default.yaml"}


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskManager:
    """The harness's tasks, as `<name>_here`, over rows of ours."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for name, rows in ROWS.items():
        data = tmp_path / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        splits = "".join(f"    {split}: {data}\n" for split in ("train", "validation", "test"))
        (tmp_path / f"{name}.yaml").write_text(
            f"include: {Path(lm_eval.__file__).parent / 'tasks' / SHIPPED[name]}\ntask: {name}_here\n"
            f"dataset_path: json\ndataset_name: null\ndataset_kwargs:\n  data_files:\n{splits}"
        )
    return TaskManager(include_path=str(tmp_path), include_defaults=False)


def test_the_harnesss_tasks_run_and_find_what_we_find(manager: TaskManager) -> None:
    found: Any = lm_eval.simple_evaluate(
        model=AblateLM(model()),
        tasks=["arc_easy_here", "triviaqa_here"],
        task_manager=manager,
        bootstrap_iters=0,
        log_samples=True,
    )
    for row, sample in zip(ROWS["arc_easy"], found["samples"]["arc_easy_here"], strict=True):
        context = f"Question: {row['question']}\nAnswer:"
        ours = sorted(likelihoods(model(), [(context, f" {text}") for text in row["choices"]["text"]]))
        assert [float(nats) for ((nats, _),) in sample["resps"]] == pytest.approx([-x.nats for _, x in ours], abs=1e-4)
    results = found["results"]["arc_easy_here"]
    assert results["acc,none"] in (0.0, 0.25, 0.5, 0.75, 1.0) and math.isfinite(results["acc_norm,none"])
    assert found["results"]["triviaqa_here"]["exact_match,remove_whitespace"] == 0.0
    assert all(
        "." not in text and "\n" not in text for s in found["samples"]["triviaqa_here"] for (text,) in s["resps"]
    )


CONTINUED = """task: continued_here
output_type: loglikelihood
test_split: test
doc_to_text: "{{question}}"
doc_to_target: " {{choices.text[1]}}"
metric_list:
  - metric: acc
"""
ROLLED = (
    CONTINUED.replace("continued", "rolled")
    .replace("loglikelihood", "loglikelihood_rolling")
    .replace("acc", "bits_per_byte")
)


def test_its_tasks_are_tasks_of_a_study(manager: TaskManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Item by item what the harness itself says of them."""
    monkeypatch.setattr(harness_tasks, "_manager", lambda: manager)
    names = ["arc_easy_here", "triviaqa_here"]
    theirs: Any = lm_eval.simple_evaluate(
        model=AblateLM(model()), tasks=names, task_manager=manager, bootstrap_iters=0, log_samples=True
    )
    for name in names:
        task = harness_tasks.load(f"lm_eval/{name}", 0, None)
        assert task.prompt_hash == harness_tasks.load(f"lm_eval/{name}", 0, None).prompt_hash
        found = [harness_tasks.score(model(), task) for _ in range(2)]  # two checkpoints
        assert found[0] == found[1]
        assert [item["id"] for item in found[0]] == [str(sample["doc_id"]) for sample in theirs["samples"][name]]
        record = EvalRecord(f"lm_eval/{name}", 3, task.prompt_hash, "", 1, tuple(found[0]))
        scores = scores_of(record, "")
        ours = {m.name.rpartition("/")[2]: value(m, scores) for m in metrics_for(scores)}
        for metric in ("acc", "acc_norm", "exact_match"):
            expected = [v for k, v in theirs["results"][name].items() if k.startswith(f"{metric},")]
            assert ours.get(metric) == (pytest.approx(expected[0]) if expected else None), (name, metric)
    few = harness_tasks.load("lm_eval/arc_easy_here@1shot", 1, 2)
    assert few.prompt_hash != task.prompt_hash and len(few.documents) == 2
    assert [int(item["id"]) for item in harness_tasks.score(model(), few)] == list(few.documents)
    assert all(instance.args[0].count("Question:") == 2 for instance in few.task.instances)


@pytest.mark.parametrize(("name", "text"), [("continued", CONTINUED), ("rolled", ROLLED)])
def test_whole_texts_and_continuations_too(
    manager: TaskManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    data = f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {tmp_path / 'arc_easy.jsonl'}\n"
    (tmp_path / f"{name}.yaml").write_text(text + data)
    there = TaskManager(include_path=str(tmp_path), include_defaults=False)
    monkeypatch.setattr(harness_tasks, "_manager", lambda: there)
    task = harness_tasks.load(f"lm_eval/{name}_here", 0, 2)
    found = harness_tasks.score(model(), task)
    for item, number in zip(found, task.documents, strict=True):
        row = ROWS["arc_easy"][number]
        if name == "rolled":
            ((_, one),) = likelihoods(model(), [("", " an answer")])
            assert item == {"id": str(number), "nats": pytest.approx(one.nats, abs=1e-4), "bytes": len(" an answer")}
        else:
            ((_, one),) = likelihoods(model(), [(str(row["question"]), " an answer")])
            assert item["nats"] == pytest.approx(one.nats, abs=1e-4) and item["correct"] == int(one.greedy)
            assert item["bytes"] == len("an answer")


FIRST = ROWS["arc_easy"][0]["question"]  # the harness tries this one itself
BROKEN = CONTINUED.replace("continued", "broken").replace("{{q", f"{{{{1 // 0 if question != '{FIRST}' else q")
SCORED = """task: scored_here
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "x"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 2
process_results: !function scorer.fails
metric_list:
  - metric: exact_match
"""


@pytest.mark.parametrize(("name", "text", "why"), [("broken", BROKEN, "asked"), ("scored", SCORED, "scored")])
def test_what_the_harness_raises_is_a_gap_s_reason(
    manager: TaskManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, why: str
) -> None:
    data = f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {tmp_path / 'arc_easy.jsonl'}\n"
    (tmp_path / f"{name}.yaml").write_text(text + data)
    (tmp_path / "scorer.py").write_text("def fails(doc, results):\n    raise KeyError('gone')\n")
    there = TaskManager(include_path=str(tmp_path), include_defaults=False)
    monkeypatch.setattr(harness_tasks, "_manager", lambda: there)
    with pytest.raises(Failure, match=rf"'lm_eval/{name}_here' cannot be {why} \(\w+: .*\); ask another task"):
        harness_tasks.score(model(), harness_tasks.load(f"lm_eval/{name}_here", 0, None))


def test_a_task_that_cannot_be_had_is_a_gap_and_a_wrong_name_is_answered(
    manager: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness_tasks, "_manager", lambda: manager)
    with pytest.raises(Failure, match=r"'lm_eval/nowhere' cannot be had \(\w+: .*\); go online"):
        harness_tasks.load("lm_eval/nowhere", 0, None)
    harness_tasks.check("arc_easy_here")
    with pytest.raises(UserError, match=r"unknown task 'lm_eval/arc_esy_here' .*; name one of .* arc_easy_here"):
        harness_tasks.check("arc_esy_here")
    spec = parse_task("lm_eval/arc_easy_here@5shot")
    assert (spec.name, spec.shots) == ("lm_eval/arc_easy_here@5shot", 5) and parse_task(spec.asked) == spec


def _instances(kind: str, arguments: list[tuple]) -> list[Instance]:
    return [Instance(kind, {}, args, 0) for args in arguments]


def test_repeats_are_several_draws_and_equal_again_for_an_equal_seed() -> None:
    wanted = {"until": ["\n\n"], "do_sample": True, "temperature": 2.0, "top_p": 0.95, "max_gen_toks": 16}
    requests = _instances("generate_until", [("question", wanted)]) * 3
    first = AblateLM(model()).generate_until(requests, disable_tqdm=True)
    assert len(set(first)) == 3
    assert AblateLM(model()).generate_until(requests, disable_tqdm=True) == first
    assert AblateLM(model(), seed=1).generate_until(requests, disable_tqdm=True) != first


def test_a_way_to_generate_that_we_have_not_is_named() -> None:
    requests = _instances("generate_until", [("question", {"until": [], "num_beams": 4})])
    with pytest.raises(UserError, match="'num_beams'"):
        AblateLM(model()).generate_until(requests)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bpe.save(model().tokenizer, tmp_path / "tokenizer.json")
    tokenizer = tmp_path / "tokenizer.json"
    export(CONFIG, lambda names: model().params, tokenizer, tmp_path / "model", eod=bpe.EOD_ID, sequence=WINDOW)
    return tmp_path / "model"


def test_an_exported_folder_says_what_the_model_said(folder: Path) -> None:
    there = opened(folder)
    assert (there.config, there.window) == (CONFIG, WINDOW)
    assert list(likelihoods(there, [("", TEXT)])) == list(likelihoods(model(), [("", TEXT)]))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": None}))
    with pytest.raises(Failure, match="max_position_embeddings None"):
        opened(folder)


def test_the_hf_backend_finds_the_same_item_by_item(folder: Path) -> None:
    pytest.importorskip("torch", reason="install torch, transformers and accelerate to compare with them")
    backend = pytest.importorskip("lm_eval.models.huggingface", reason="needs accelerate")
    theirs = backend.HFLM(str(folder), device="cpu", dtype="float32", batch_size=7, add_bos_token=True)
    ours = AblateLM(opened(folder))
    # The backend fails on an empty continuation and on one beyond the window.
    pairs = [pair for pair in PAIRS if pair[1] and len(pair[1]) < 2 * WINDOW]
    requests = _instances("loglikelihood", pairs)
    mine, other = ours.loglikelihood(requests, disable_tqdm=True), theirs.loglikelihood(requests, disable_tqdm=True)
    assert [nats for nats, _ in mine] == pytest.approx([nats for nats, _ in other], abs=1e-4)
    assert [greedy for _, greedy in mine] == [greedy for _, greedy in other]
    requests = _instances("loglikelihood_rolling", [(TEXT,), (TEXT * 3,)])
    theirs.add_bos_token = False  # It would put a second one after the first and score it.
    mine, other = (lm.loglikelihood_rolling(requests, disable_tqdm=True) for lm in (ours, theirs))
    assert mine == pytest.approx(other, abs=1e-4)
    theirs.add_bos_token = True
    wanted = [
        (ask.prompt, {"until": list(ask.stops), "max_gen_toks": ask.max_tokens}) for ask in ASKS[:5] if ask.prompt
    ]
    texts = [
        [text.rstrip("\ufffd") for text in lm.generate_until(_instances("generate_until", wanted), disable_tqdm=True)]
        for lm in (ours, theirs)
    ]
    assert texts[0] == texts[1]
