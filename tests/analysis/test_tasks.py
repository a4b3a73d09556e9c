"""What a model is asked: equal to the harness's own rendering of its shipped tasks, examples and variants."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.evals.benchmarks import FORMATS, TASKS, benchmark_of, of
from analysis.evals.code import executed
from analysis.evals.questions import VERSION, exact_match, prompt_hash, render
from analysis.evals.scoring import item as scored
from analysis.evals.tasks import TaskSpec, benchmark_task, parse_task, task_name
from analysis.metrics import metrics_for, value
from analysis.records import EvalRecord
from analysis.task_scores import scores_of
from mixtures.benchmarks import load as benchmarks
from mixtures.benchmarks.item import Item
from mixtures.benchmarks.known import BENCHMARKS
from mixtures.benchmarks.load import load
from mixtures.benchmarks.own_rows import RowsFile
from store.errors import UserError

DOWNLOADS = Path("runs/downloads")

ROWS: dict[str, list[dict[str, Any]]] = {
    "boolq": [
        {"passage": "Kelp is an alga.\nIt grows fast.", "question": "is kelp a plant", "label": 0, "idx": 0},
        {"passage": "Café “Zur Mühle” opened in 1901 [1].", "question": "was it open in 1902", "label": 1, "idx": 1},
        {"passage": "Question: what is this?", "question": "does it ask", "label": 1, "idx": 2},
    ],
    "piqa": [
        {"goal": "Dry a wet boot", "sol1": "Fill it with newspaper.", "sol2": "Fill it with soup — hot.", "label": 0},
        {"goal": "Zest a lemon?", "sol1": "Rub it on wool", "sol2": "Rub it on a grater", "label": 1},
        {"goal": "Sharpen a pencil", "sol1": "knife", "sol2": "spoon", "label": 0},
    ],
    "sciq": [
        {"support": " Water boils at 100 °C.", "question": "What boils?", "correct_answer": "water"},
        {"support": "", "question": "What do bees make?", "correct_answer": "honey"},
        {"support": "Line one.\nLine two.", "question": "How many lines?", "correct_answer": "two"},
    ],
    "social_iqa": [
        {"context": "Ana lent Bo a coat.", "question": "Why?", "answerA": "Bo was cold", "answerB": "Ana was cold",
         "answerC": "it was new", "label": "1"},
        {"context": "Kim ran.", "question": "Then?", "answerA": "rest", "answerB": "ünd", "answerC": "c", "label": "3"},
        {"context": "Lee sang.", "question": "How?", "answerA": "a", "answerB": "bb", "answerC": "ccc", "label": "2"},
    ],
    "cb": [
        {"premise": "A: I think so.\nB: It may rain.", "hypothesis": "it may rain", "idx": 0, "label": 0},
        {"premise": "Nobody came.", "hypothesis": "somebody came", "idx": 1, "label": 1},
        {"premise": "Did it?", "hypothesis": "it did", "idx": 2, "label": 2},
    ],
    "copa": [
        {"premise": "The lamp went out.", "choice1": "The bulb broke.", "choice2": "It was noon.", "question": "cause",
         "idx": 0, "label": 0},
        {"premise": "The ice melted. ", "choice1": "It froze.", "choice2": "Élan rose.", "question": "effect", "idx": 1,
         "label": 1},
        {"premise": "Al sat!", "choice1": "He woke.", "choice2": "He ran.", "question": "cause", "idx": 2, "label": 0},
    ],
    "storycloze_2016": [
        {"story_id": f"s{i}", "input_sentence_1": "Mo had a kite.", "input_sentence_2": "It flew.",
         "input_sentence_3": "A gust came.", "input_sentence_4": f"Mo held on {i} times.", "sentence_quiz1": "It tore.",
         "sentence_quiz2": "Mo ate it.", "answer_right_ending": 1 + i % 2}
        for i in range(3)
    ],
    "hellaswag": [
        {"activity_label": "Baking", "ctx_a": "A cook [header] mixes  dough.", "ctx_b": "she", "label": "1",
         "endings": ["eats the bowl [step] fast.", "kneads it [title] well", " sleeps. ", "flies"]},
        {"activity_label": "Rowing", "ctx_a": "Two people row.", "ctx_b": "", "label": "0",
         "endings": ["They reach land.", "b", "c", "d"]},
        {"activity_label": "Golf", "ctx_a": "A Ball ROLLS.", "ctx_b": "the MAN", "label": "3",
         "endings": ["a", "b", "c", "Smiles [substeps] and [x] waves."]},
    ],
    "winogrande": [
        {"sentence": "The cup did not fit the box because _ was big.", "option1": "the cup", "option2": "the box",
         "answer": "1"},
        {"sentence": "Ida thanked Eva and _ smiled.", "option1": "Ida", "option2": "Eva", "answer": "2"},
        {"sentence": "_ won.", "option1": "Ö", "option2": "P", "answer": "2"},
    ],
    "arc_easy": [
        {"id": "q1", "question": "What is hot?", "choices": {"text": ["ice", "lava", "snow"], "label": ["A", "B", "C"]},
         "answerKey": "B"},
        {"id": "q2", "question": "2+2?", "choices": {"text": ["3", "4"], "label": ["1", "2"]}, "answerKey": "2"},
        {"id": "q3", "question": "x", "choices": {"text": ["naïve", "y"], "label": ["A", "B"]}, "answerKey": "A"},
    ],
    "triviaqa": [
        {"question": "Who wrote The Hobbit?", "question_id": "t1",
         "answer": {"value": "J. R. R. Tolkien", "aliases": ["Tolkien", "J. R. R. Tolkien"]}},
        {"question": "Which river runs through Cairo", "question_id": "t2",
         "answer": {"value": "The Nile", "aliases": ["Nile River", "The Nile"]}},
        {"question": "Capital of France?", "question_id": "t3", "answer": {"value": "Paris", "aliases": ["Paris"]}},
    ],
    "nq_open": [
        {"question": "who painted the night watch", "answer": ["Rembrandt", "Rembrandt van Rijn"]},
        {"question": "what is an adze", "answer": ["a tool", "An axe-like tool"]},
        {"question": "when did it end", "answer": ["in 1945"]},
    ],
}  # fmt: skip
for _row in ROWS["sciq"]:
    _row |= {"distractor1": "wind", "distractor2": "a stone wall", "distractor3": "ä"}

YAML = {
    "boolq": "super_glue/boolq/default.yaml",
    "piqa": "piqa/piqa.yaml",
    "sciq": "sciq/sciq.yaml",
    "social_iqa": "siqa/siqa.yaml",
    "cb": "super_glue/cb/default.yaml",
    "copa": "super_glue/copa/default.yaml",
    "storycloze_2016": "storycloze/storycloze_2016.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "winogrande": "winogrande/default.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "triviaqa": "triviaqa/default.yaml",
    "nq_open": "nq_open/nq_open.yaml",
}
HARNESS = {name: f"{name}:harness" if f"{name}:harness" in FORMATS else name for name in YAML}
"""The format of ours that is the harness's."""


def harness(folder: Path, rows: dict[str, Sequence[dict[str, Any]]], shots: int) -> dict[str, list[dict[str, Any]]]:
    """What the harness makes of all rows but the last `shots`, which are examples."""
    asked = {
        name: {"path": YAML[name], "rows": its[: len(its) - shots], "examples": its[len(its) - shots :]}
        for name, its in rows.items()
    }
    folder.mkdir()
    script = Path(__file__).parent / "harness_requests.py"
    done = subprocess.run(
        [sys.executable, script, folder], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


def items_of(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> tuple[Item, ...]:
    """The rows as a user's file has them."""
    (folder / "benchmarks").mkdir(exist_ok=True)
    (folder / "benchmarks" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return load(name, folder / "downloads")


def compare_with_harness(folder: Path, rows: dict[str, Sequence[dict[str, Any]]], shots: int) -> None:
    theirs = harness(folder / f"harness{shots}", rows, shots)
    for name, its in rows.items():
        items = items_of(folder, name, its)
        asked, examples = items[: len(items) - shots], items[len(items) - shots :]
        questions = [render(FORMATS[HARNESS[name]], item, examples) for item in asked]
        assert len(theirs[name]) == len(questions) > 0
        for question, row in zip(questions, theirs[name], strict=True):
            if question.answers:
                ((prompt, settings),) = row["requests"]
                assert (prompt, settings["until"]) == (question.candidates[0][0], list(question.stops))
                assert list(question.answers) == row["gold"]
                ours = {said: exact_match(said, question.answers, question.match) for said in row["said"]}
                assert ours == {said: bool(found) for said, found in row["said"].items()}
            else:
                assert [tuple(pair) for pair in row["requests"]] == list(question.candidates)
                assert question.gold == row["gold"]
        if "nats" in theirs[name][0]:
            record = EvalRecord(
                name, VERSION, "", "", 1, tuple(map(scored, questions, [r["nats"] for r in theirs[name]], [None] * 999))
            )
            scores = scores_of(record, "")
            ours = {
                m.name.split("/")[1]: value(m, scores) for m in metrics_for({name}) if m.name.startswith(f"{name}/")
            }
            for metric in {"acc", "acc_norm"} & theirs[name][0].keys():
                assert ours[metric] == pytest.approx(sum(r[metric] for r in theirs[name]) / len(theirs[name])), metric


@pytest.mark.parametrize("shots", [0, 2])
def test_prompts_answers_and_accuracies_are_the_harness_s(tmp_path: Path, shots: int) -> None:
    pytest.importorskip("lm_eval")
    compare_with_harness(tmp_path, ROWS, shots)


@pytest.mark.network
@pytest.mark.slow
def test_on_real_rows_too(tmp_path: Path) -> None:
    """The first 100 rows of every wheel, in the columns that the harness reads."""
    pytest.importorskip("lm_eval")
    rows = {name: upstream_rows(name)[:100] for name in YAML if not benchmarks.gap(name, DOWNLOADS)}
    assert len(rows) == 11
    compare_with_harness(tmp_path, rows, shots=3)


@pytest.mark.network
def test_the_level_of_guessing_is_that_of_the_rows() -> None:
    for name in of("reasoning"):
        if benchmarks.gap(name, DOWNLOADS):
            continue
        items = load(name, DOWNLOADS)
        if len({item.choices for item in items}) == 1:
            share = max(Counter(item.gold for item in items).values()) / len(items)
        else:
            share = sum(1 / len(item.choices) for item in items) / len(items)
        assert share == pytest.approx(TASKS[name].chance, abs=0.0005), name


def upstream_rows(name: str) -> list[dict[str, Any]]:
    rows = [dict(row.get("doc", row)) for row in benchmarks.packed(BENCHMARKS[name], DOWNLOADS)]
    for number, row in enumerate(rows):
        if name == "boolq":
            row |= {"label": int(row.pop("answer")), "idx": number}
        if name == "nq_open":
            row |= {"answer": row.pop("answers")}
        if name == "arc_easy":
            question = BENCHMARKS[name].parse(row, number).fields["question"]
            labels = "ABCDE"[: len(row["choices"])]
            answer = {"text": row["choices"], "label": list(labels)}
            rows[number] = {"id": row["id"], "question": question, "choices": answer, "answerKey": labels[row["gold"]]}
    return rows


def test_the_code_prompts_are_those_of_execution_and_of_the_harness() -> None:
    """The harness's own files for these cannot be loaded offline, so their templates are rendered."""
    utils, yaml = pytest.importorskip("lm_eval.utils"), pytest.importorskip("yaml")
    row = {"task_id": 7, "text": "Write a function to add.", "code": "def add(a, b):\r\n  return a + b",
           "test_list": [f"assert add({i}, 1) == {i + 1}" for i in range(3)], "test_setup_code": ""}  # fmt: skip
    item = BENCHMARKS["mbpp"].parse(row, 0)

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """Knows no functions."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    shipped = Path(utils.__file__).parent / "tasks"
    template = yaml.load((shipped / "mbpp" / "mbpp.yaml").read_text(), Loader)["doc_to_text"]
    assert render(FORMATS["mbpp:harness"], item).candidates[0][0] == utils.apply_template(template, row)
    problem, (prompt, solution) = executed.mbpp(item), render(FORMATS["mbpp"], item).candidates[0]
    assert (prompt, solution) == (problem.prompt, problem.solution)
    assert "\r" not in solution


def test_ours_where_the_harness_slips() -> None:
    trivia = BENCHMARKS["triviaqa"].parse(ROWS["triviaqa"][0], 0)
    ours, theirs = (render(FORMATS[name], trivia) for name in ("triviaqa", "triviaqa:harness"))
    assert ours.candidates == (("Question: Who wrote The Hobbit?\nAnswer:", " J. R. R. Tolkien"),)
    assert theirs.candidates == (("Question: Who wrote The Hobbit??\nAnswer:", " Tolkien"),)
    assert (ours.stops, theirs.stops) == (("\n",), ("\n", ".", ","))
    assert exact_match("the J. R. R. Tolkien\nand more", ours.answers, ours.match)
    assert not exact_match("the J. R. R. Tolkien", theirs.answers, theirs.match)
    copa = BENCHMARKS["copa"].parse(ROWS["copa"][0], 0)
    assert render(FORMATS["copa"], copa).candidates[0] == ("The lamp went out because", " the bulb broke.")


def test_plain_variants_have_no_labels_and_the_same_choices() -> None:
    for name, rows in ROWS.items():
        if f"{name}:plain" not in FORMATS:
            continue
        for number, row in enumerate(rows):
            item = BENCHMARKS[name].parse(row, number)
            harness_s, plain = render(FORMATS[name], item), render(FORMATS[f"{name}:plain"], item)
            assert plain.candidates != harness_s.candidates and plain.gold == harness_s.gold
            assert all("Answer:" not in context and "\nA:" not in context for context, _ in plain.candidates)
            if name != "winogrande":
                assert [c for _, c in plain.candidates] == [c for _, c in harness_s.candidates]
    piqa = BENCHMARKS["piqa"].parse(ROWS["piqa"][0], 0)
    assert render(FORMATS["piqa:plain"], piqa).candidates[0] == ("Dry a wet boot", " Fill it with newspaper.")
    cup = BENCHMARKS["winogrande"].parse(ROWS["winogrande"][0], 0)
    whole = render(FORMATS["winogrande:plain"], cup)
    assert whole.candidates[whole.gold] == ("", "The cup did not fit the box because the cup was big.")


def test_examples_are_the_same_for_every_question_and_never_asked(tmp_path: Path) -> None:
    rows = [{"goal": f"goal {i}", "sol1": f"right {i}", "sol2": f"wrong {i}", "label": 0} for i in range(20)]
    items_of(tmp_path, "piqa", rows)
    downloads = tmp_path / "downloads"
    task, more = (benchmark_task("piqa@3shot", n, downloads) for n in (5, None))
    assert task.name == "piqa@3shot"
    assert [q.id for q in task.questions] == [q.id for q in benchmark_task("piqa", 5, downloads).questions]
    assert len(more.questions) == 17 and more.questions[:5] == task.questions
    shown = {question.candidates[0][0].rsplit("Question: ", 1)[0] for question in more.questions}
    (examples,) = shown
    assert examples.count("Question: goal") == 3 and examples.endswith("\n\n")
    assert all(f"goal {question.id}\n" not in examples for question in more.questions)
    with pytest.raises(UserError, match="'piqa@20shot' shows 20 examples, but 'piqa' has 20 rows"):
        benchmark_task("piqa@20shot", 1, downloads)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("hellaswga", "did you mean 'hellaswag'"),
        ("boolq:harness", "'boolq' is asked as boolq, boolq:plain"),
        ("piqa@0shot", "'piqa' is asked as piqa, piqa:plain"),
        ("../x", "known are boolq"),
        ("heldout/code", "known are"),
    ],
)
def test_a_task_that_does_not_exist_is_answered_with_one_that_does(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"unknown task '{name}'; {hint}"):
        parse_task(name)


def test_names_say_all_there_is_to_a_task() -> None:
    for spec in (
        TaskSpec("boolq"),
        TaskSpec("triviaqa", "harness", 5),
        TaskSpec("cb", "plain"),
        TaskSpec("mbpp", shots=3),
    ):
        assert parse_task(spec.name) == spec
        assert benchmark_of(spec.name) == spec.benchmark
    assert benchmark_of("heldout/code") == "heldout/code"
    unscored = {"dolly_200", "one_operation_train", "evolved_train"}
    assert set(map(benchmark_of, FORMATS)) | unscored == set(BENCHMARKS)


def test_data_that_cannot_be_had_is_a_gap_that_says_what_to_do(tmp_path: Path) -> None:
    task = benchmark_task("quac", 10, tmp_path / "downloads")
    assert task.questions == ()
    assert "'quac' (allenai/quac) are in no package; put its val_v0.2.json as quac.json" in task.gap


def test_bits_are_those_of_the_answer_and_not_of_the_blank_before_it() -> None:
    boolq = render(FORMATS["boolq"], BENCHMARKS["boolq"].parse(ROWS["boolq"][0], 0))
    found = scored(boolq, [2.0, 3.0], None)
    assert (found["bytes"], found["choice_bytes"], found["choice_chars"]) == (2, [2, 3], [2, 3])
    trivia = render(FORMATS["triviaqa"], BENCHMARKS["triviaqa"].parse(ROWS["triviaqa"][2], 0))
    assert scored(trivia, [2.0], "Paris")["bytes"] == len("Paris")
    cup = BENCHMARKS["winogrande"].parse(ROWS["winogrande"][0], 0)
    assert scored(render(FORMATS["winogrande"], cup), [2.0, 3.0], None)["choice_chars"] == [len("was big.")] * 2
    indented = {"prompt": "def f():\n", "solution": " return 1\n"}
    assert scored(render(FORMATS["humaneval"], Item("humaneval", "0", indented)), [1.0], None)["bytes"] == 10


@pytest.mark.parametrize(
    ("said", "answers", "benchmark", "right"),
    [
        ("U.S.A.", ("USA",), "nq_open", True),
        (" USA\nQ: who", ("the U.S.A.",), "nq_open", True),
        (" U.S.A.", ("U S A",), "triviaqa", True),  # by its scorer a mark parts words
        (" half-life", ("halflife",), "triviaqa", False),
        (" half life", ("half-life",), "triviaqa", True),
        (" A", ("A",), "nq_open", True),
        (" The A", ("A",), "triviaqa", False),
        (" the", ("The",), "triviaqa", True),
        (" b", ("A",), "nq_open", False),
        (" +", ("+",), "nq_open", True),
        (" -", ("+",), "nq_open", False),
        (" a", ("an",), "nq_open", False),
        ("", ("A",), "nq_open", False),
        (" ", ("!",), "triviaqa", False),
        (" cafe\u0301", ("Café",), "nq_open", True),
    ],
)
def test_answers_are_compared_as_the_data_set_s_scorer_does(
    said: str, answers: tuple[str, ...], benchmark: str, right: bool
) -> None:
    question = render(FORMATS[benchmark], Item(benchmark, "0", {"question": "q"}, answers=answers))
    assert exact_match(said, question.answers, question.match) is right


def test_a_record_says_which_items_have_choices_that_are_alike() -> None:
    row = ROWS["social_iqa"][0] | {"answerA": "Bo was cold", "answerB": "Bo was cold"}
    doubled = render(FORMATS["social_iqa"], BENCHMARKS["social_iqa"].parse(row, 0))
    found = scored(doubled, [2.0, 2.0, 3.0], None)
    assert (found["alike"], found["correct"]) == (1, 0.5)
    whole = render(FORMATS["social_iqa"], BENCHMARKS["social_iqa"].parse(ROWS["social_iqa"][0], 0))
    assert "alike" not in scored(whole, [2.0, 2.5, 3.0], None)


def test_a_file_of_rows_is_a_task(tmp_path: Path) -> None:
    """By its path or with its fields; scored by choice, by exact match or by likelihood, as its rows allow."""
    rows = {
        "exam": {"question": "What is hot?", "choices": ["ice", "lava"], "answer": "B"},
        "said": {"question": "Which river?", "answer": "Nile"},
        "told": {"question": "How many?", "answer": "One and one.\nSo two."},
        "code": {"prompt": "def f():\n", "canonical_solution": "    return 1\n", "test": "assert f()"},
        "text": {"text": "Kelp grows fast."},
    }
    questions, found = {}, {}
    for name, row in rows.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row | {"id": n}) + "\n" for n in range(3)), encoding="utf-8")
        task = benchmark_task(str(path), 2, tmp_path)
        assert (task.name, len(task.questions)) == (name, 2)
        questions[name] = task.questions[0]
        asked = [(question, [2.0] * len(question.candidates)) for question in task.questions]
        items = tuple(scored(q, nats, "Nile" if q.answers else None) for q, nats in asked)
        scores = scores_of(EvalRecord(name, VERSION, "", "", 1, items), "")
        metrics = [metric for metric in metrics_for(scores) if value(metric, scores) is not None]
        found[name] = [metric.name.removeprefix(f"{name}/") for metric in metrics]
        assert all(metric.chance is None for metric in metrics)
    assert questions["exam"].candidates[1] == ("Question: What is hot?\nAnswer:", " lava")
    assert questions["code"].candidates == (("def f():\n", "    return 1\n"),)
    assert questions["text"].candidates == (("", "Kelp grows fast."),)
    assert found == {
        "exam": ["acc", "acc_norm", "gold_bpb", "correct_prob", "margin"],
        "said": ["gold_bpb", "exact_match"],
        **{name: ["gold_bpb"] for name in ("told", "code", "text")},
    }
    spec = parse_task(f"{tmp_path}/said.jsonl@1shot")
    assert (spec.name, parse_task(spec.asked)) == ("said@1shot", spec)
    assert task_name(RowsFile(tmp_path / "said.jsonl", name="mine")) == "mine"
    assert len(task_name(RowsFile(tmp_path / f"{240 * 'x'}.jsonl"))) == 100
    shown = benchmark_task(spec.asked, None, tmp_path).questions
    assert len(shown) == 2 and shown[0].candidates[0][0].count("Answer: Nile") == 1


def test_the_hash_of_the_prompts_sees_what_generation_depends_on() -> None:
    item = BENCHMARKS["nq_open"].parse(ROWS["nq_open"][0], 0)
    question = render(FORMATS["nq_open"], item)
    assert prompt_hash([question]) != prompt_hash([replace(question, stops=(".",))])
