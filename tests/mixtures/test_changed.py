"""Controls made of code: each changes what it says and nothing else, and a source of them has its base's files."""

import ast
import io
import pickle
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixtures.catalogue.derived import derived, derived_part
from mixtures.catalogue.identity import pinned
from mixtures.catalogue.laptop import QUICKSTART
from mixtures.catalogue.source import WITHIN, Source, one_shard
from mixtures.documents import parquet
from mixtures.documents.document import Document
from mixtures.mixture import mixture, shares
from mixtures.prepare import DataSpec, documents_folder, prepare
from mixtures.readers import changed
from mixtures.readers.changed import PYTHON, bare, comments, scrambled, shuffled
from store.errors import UserError
from tests.mixtures.test_prepare import here

SOURCE = '''# A licence.
# Of two lines.
import os  # of files


class Account(Base):
    """What one has.

    No more.
    """

    def close(self, reason: int = 0x1f) -> str:
        "Only this."

    def pay(self, *amounts):
        # Say it first.
        total = ("a # string", 1.5e-3, os.path.join(amounts, "b"))
        return f"{total} and {self.reason}", sum(amounts)  # done
'''
SCRIPT = """/* A licence.
 * Of two lines. */
// Count them.
function count(items) { // quickly
  return items.length + "// none".length; // all
}
"""
LIBRARY = [Path(ast.__file__).with_name(f"{name}.py") for name in ("textwrap", "dataclasses", "argparse")]


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text).readline))


@pytest.mark.parametrize("text", [SOURCE, *map(Path.read_text, LIBRARY)], ids=["sample", *(p.stem for p in LIBRARY)])
def test_scrambling_renames_every_name_alike_and_keeps_all_other_tokens(text: str) -> None:
    before, after = _tokens(text), _tokens(scrambled(text, PYTHON))
    assert [token.type for token in before] == [token.type for token in after]
    names: dict[str, str] = {}
    for old, new in zip(before, after, strict=True):
        if old.type == tokenize.NAME:
            assert names.setdefault(old.string, new.string) == new.string
        elif old.type not in (tokenize.INDENT, tokenize.DEDENT):
            assert old.string == new.string
    assert len(set(names.values())) == len(names), "two names never become one"
    kept = {old for old, new in names.items() if old == new}
    assert kept <= changed.PYTHON_WORDS | {name for name in names if name.startswith("__")}
    assert {"import", "class", "def", "return", "int", "str"} & names.keys() <= kept


def _without_strings(text: str) -> str:
    """Its syntax tree, with no statement that is a string or `pass`."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(body, list):
                body[:] = [s for s in body if not (isinstance(s, ast.Pass) or _is_string(s))]
    return ast.dump(tree)


def _is_string(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str)


@pytest.mark.parametrize("text", [SOURCE, *map(Path.read_text, LIBRARY)], ids=["sample", *(p.stem for p in LIBRARY)])
def test_bare_code_is_the_same_program_with_no_comment_and_no_docstring(text: str) -> None:
    left = bare(text, PYTHON)
    assert _without_strings(left) == _without_strings(text)
    assert tokenize.COMMENT not in {token.type for token in _tokens(left)}
    assert not [node for node in ast.walk(ast.parse(left)) if isinstance(node, ast.stmt) and _is_string(node)]


def test_comments_are_all_that_is_said_and_no_line_of_code() -> None:
    said = comments(SOURCE, PYTHON)
    assert said == (
        "A licence.\nOf two lines.\n\nof files\n\nWhat one has.\n\nNo more.\n\nOnly this.\n\nSay it first.\n\ndone"
    )
    code = {line.strip() for line in bare(SOURCE, PYTHON).splitlines() if line.strip()}
    assert code.isdisjoint(line.strip() for line in said.splitlines())


def test_other_languages_go_by_their_marks() -> None:
    syntax = changed.syntax_of(Document("a.js", "", SCRIPT), "javascript")
    assert comments(SCRIPT, syntax) == "A licence.\nOf two lines.\nCount them.\n\nquickly\n\nall"
    assert bare(SCRIPT, syntax) == 'function count(items) {\n  return items.length + "// none".length;\n}\n'
    names = re.findall(r"[^\W\d]\w*", scrambled(SCRIPT, syntax).partition("function ")[2])
    count, items, _, _, again, length, _, other, _ = names
    assert items == again and length == other and {"count", "items", "length"}.isdisjoint({count, items, length})


@pytest.mark.parametrize(
    ("form", "id", "text", "said"),
    [
        ("25 languages", "lua/train-0.parquet#7", "x = 1 -- set\n--[[ more\nof it ]]", "set\nmore\nof it"),
        ("25 languages", "data/swift/train-0.parquet#7", "let x = 1 // set", "set"),
        ("25 languages", "sql/train-0.parquet#7", "select 1 -- one", "one"),
        ("25 languages", "shell/train-0.parquet#7", 'echo "${x#y}" # say', "say"),
        ("25 languages", "tex/train-0.parquet#7", "50\\% of it % a share", "a share"),
        ("c and c++", "python/x.h", "#define X 1 // one", "one"),
    ],
)
def test_the_language_is_that_of_the_source_or_of_the_folder(form: str, id: str, text: str, said: str) -> None:
    assert comments(text, changed.syntax_of(Document(id, "", text), form)) == said


def test_shuffled_code_has_the_same_lines_in_another_order() -> None:
    once = shuffled(SOURCE, PYTHON)
    assert Counter(once.split("\n")) == Counter(SOURCE.split("\n")) and once != SOURCE
    assert once == shuffled(SOURCE, PYTHON), "copies of a file stay copies"


@pytest.mark.parametrize(
    "text", ["def f(:\n  '''never closed # x\n  y = (\n", *("/*", "'", '"\\', "'''\\", "`\\", "{-")]
)
def test_broken_code_is_changed_and_none_is_searched_to_its_end_again_and_again(text: str) -> None:
    """Were it, this would not end."""
    for syntax in set(changed.FAMILIES.values()):
        for change in changed.CHANGES.values():
            assert isinstance(change(text if len(text) > 4 else 20_000 * text, syntax), str)


# Sources.


def _files(shard: str, downloads: Path) -> Iterator[Document]:
    yield Document("pkg/a.py", "pkg", f"\ufeff{SOURCE}\r\n")
    yield Document("pkg/b.py", "pkg", "# Generated by a tool.\nx = 12345678")
    yield Document("other/c.py", "other", SOURCE.replace("Account", "Purse"))


def _base(name: str = "python") -> Source:
    return Source(name, "code", "python", _files, one_shard, 9_000, 5_000, filters=("says it is generated",))


def test_a_derived_source_has_the_files_of_its_base(tmp_path: Path) -> None:
    for change, function in changed.CHANGES.items():
        source = derived(_base(), change)
        assert (source.name, source.kind, source.max_bytes) == (f"python-{change}", "adjacent", 9_000)
        found = list(source.read("all", tmp_path))
        assert [(each.id, each.group) for each in found] == [("pkg/a.py", "pkg"), ("other/c.py", "other")]
        assert found[0].text == function(SOURCE.rstrip("\n"), PYTHON)
        assert list(pickle.loads(pickle.dumps(source)).read("all", tmp_path)) == found
        assert source.dedup == WITHIN, "a file that a change leaves as it was is in both"
    assert [derived(_base(), change).expected_tokens for change in ("shuffled", "comments")] == [5_000, None]


def _many(shard: str, downloads: Path) -> Iterator[Document]:
    for number in range(60):
        yield Document(f"{number}.py", f"package-{number % 20}", SOURCE.replace("Account", f"Account{number}"))
    yield Document("one_line.py", "package-0", "print(1 + 2 + 3 + 4 + 5)")


def test_all_of_them_hold_out_the_same_files_and_lose_none_to_their_base(tmp_path: Path) -> None:
    base = Source("python", "code", "python", _many, one_shard)
    spec = DataSpec((base, *(derived(base, change) for change in ("scrambled", "shuffled", "bare"))), 300, 0.1, 20_000)
    manifest = prepare(spec, tmp_path, lambda *_: None, executor=here)
    held = {
        name: {document.id for path in manifest.heldout(name) for document in parquet.read_documents(path)}
        for name in manifest.sources
    }
    assert held["python"] and all(ids - {"one_line.py"} == held["python"] - {"one_line.py"} for ids in held.values())
    assert {its.documents + its.heldout_documents for its in manifest.sources.values()} <= {60, 61}
    assert sum(manifest.sources["python"].dropped.values()) == 0


def test_what_changes_it_is_part_of_its_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = next(source for source in QUICKSTART if source.name == "python")
    sources = [base, *(derived(base, change) for change in changed.CHANGES)]
    folders = {documents_folder(source, tmp_path).name.rpartition("-")[2] for source in sources}
    assert len(folders) == len(sources)
    read = pinned(sources[1], tmp_path).identity
    assert read is not None and {"changed", "installed"} <= read["readers"].keys()
    monkeypatch.setattr(changed, "READER_VERSION", 99)
    moved = {documents_folder(source, tmp_path).name.rpartition("-")[2] for source in sources}
    assert folders & moved == {documents_folder(base, tmp_path).name.rpartition("-")[2]}


def test_a_change_that_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="source 'python': no change 'reversed'; choose one of comments, bare"):
        derived(_base(), "reversed")
    with pytest.raises(UserError, match="source 'literature' is text; only code can be shuffled"):
        derived(QUICKSTART[0], "shuffled")


def test_a_mixture_of_changed_sources_has_the_shares_of_its_base() -> None:
    code = mixture("web-code", {"python": 2, "c-cpp": 1})
    part = derived_part(code, "shuffled")
    assert not isinstance(part, str) and part.name == "web-code-shuffled"
    assert shares(part) == {f"{source}-shuffled": share for source, share in shares(code).items()}
