"""The catalogues: what studies may rely on."""

import gzip
import json
import pickle
import re
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from packaging.utils import canonicalize_name

from mixtures.catalogue import laptop
from mixtures.catalogue.languages import CODE, MARKUP, folders
from mixtures.catalogue.laptop import QUICKSTART
from mixtures.catalogue.paper_scale import ADJACENT_TOKENS, PAPER, SYNTHETIC_TOKENS
from mixtures.catalogue.source import KINDS, Source, describe, one_shard, provenance
from mixtures.documents.document import Document
from mixtures.documents.filters import FILTERS
from mixtures.readers import hub, package_index
from store.errors import Failure

BY_NAME = {source.name: source for source in QUICKSTART}
PAPER_BY_NAME = {source.name: source for source in PAPER}
BOTH = (*QUICKSTART, *PAPER)


def test_names_are_unique_and_kinds_known() -> None:
    assert len(BY_NAME) == len(QUICKSTART)
    assert {source.kind for source in QUICKSTART} == set(KINDS) - {"math", "instruct"}
    assert len(PAPER_BY_NAME) == len(PAPER)
    assert {source.kind for source in PAPER} == set(KINDS)


@pytest.mark.parametrize("source", BOTH, ids=lambda source: source.name)
def test_every_source_states_upstream_version_and_licence(source: Source) -> None:
    packages = provenance(source)
    assert packages
    for package in packages:
        assert package.name and package.version
        assert package.licence and "\n" not in package.licence
        assert package.licence != "see the package", package.name


@pytest.mark.parametrize("source", BOTH, ids=lambda source: source.name)
def test_a_source_can_be_sent_to_another_process(source: Source) -> None:
    sent = pickle.loads(pickle.dumps(source))
    assert describe(sent) == describe(source)


def test_a_source_reads_the_same_after_it_was_sent() -> None:
    source = BY_NAME["description-prose"]
    sent = pickle.loads(pickle.dumps(source))
    assert source.shards(Path("unused")) == ("all",)
    assert list(sent.read("all", Path("unused"))) == list(source.read("all", Path("unused")))


def test_no_local_source_reads_what_is_not_permissive() -> None:
    copyleft = ("MPL", "GPL-3", "LGPL", "AGPL")
    for source in QUICKSTART:
        for package in provenance(source):
            assert not any(licence in package.licence for licence in copyleft), (source.name, package)


def test_a_missing_distribution_names_source_package_and_way_out() -> None:
    source = replace(BY_NAME["python"], name="mine", upstream=("no-such-package",))
    with pytest.raises(Failure, match=r"source 'mine': package 'no-such-package' is not installed; run `make setup`"):
        provenance(source)


def test_a_missing_archive_names_the_source_and_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(package_index, "PAUSE_SECONDS", 0.0)
    with pytest.raises(Failure, match=r"source 'notebooks': flax-.* cannot be downloaded .*check the network"):
        list(BY_NAME["notebooks"].read("all", tmp_path))


def test_fixed_packages_do_not_depend_on_what_else_is_installed() -> None:
    documents = list(BY_NAME["c-cpp"].read("all", Path("unused")))
    assert {document.group for document in documents} <= {canonicalize_name(name) for name in laptop.C_PACKAGES}
    assert len({document.id for document in documents}) == len(documents)


@pytest.mark.network
@pytest.mark.parametrize("name", ["literature", "notebooks", "yaml"])
def test_an_archived_source_reads_the_same_twice_and_has_groups_to_hold_out(name: str) -> None:
    cache = Path("runs/downloads")
    once: list[Document] = list(BY_NAME[name].read("all", cache))
    assert once == list(BY_NAME[name].read("all", cache))
    assert len({document.id for document in once}) == len(once)
    assert len({document.group for document in once}) >= 4


def test_the_tables_of_languages_are_the_papers() -> None:
    assert (len(CODE), len(MARKUP)) == (25, 10)
    for table in (CODE, MARKUP):
        assert sum(table.values()) == pytest.approx(99.99)
    assert folders(CODE)[1] + folders(MARKUP)[1] == ("swift", "vue", "jsx", "scss", "toml", "sass")
    assert {"java", "c-sharp", "cpp"} < set(folders(CODE)[0]) and "rmarkdown" in folders(MARKUP)[0]


def test_every_data_set_is_pinned_and_stands_once_in_a_source() -> None:
    for source in PAPER:
        assert len({dataset.id for dataset in source.datasets}) == len(source.datasets)
        assert set(source.filters) <= set(FILTERS)
        for dataset in source.datasets:
            assert re.fullmatch(r"[0-9a-f]{40}", dataset.revision)
            assert not any("dolly" in f"{dataset.id}/{path}".lower() for path in dataset.files)  # the judge's prompts


def test_the_papers_counts() -> None:
    tokens = {name: source.expected_tokens for name, source in PAPER_BY_NAME.items()}
    assert (tokens["slimpajama"], tokens["stack-code"], tokens["stack-markup"]) == (503e9, 139e9, 180e9)
    assert ADJACENT_TOKENS == 21.4e9
    assert tokens["synthetic-python"] == SYNTHETIC_TOKENS < 3.2e9  # another set than the paper's, with fewer programs
    for name in ("stack-code", "stack-markup"):
        assert PAPER_BY_NAME[name].filters == tuple(FILTERS)


def test_a_row_of_the_table_of_sources_is_json_and_says_what_is_gated() -> None:
    row = json.loads(json.dumps(describe(PAPER_BY_NAME["jupyter"])))
    assert row["gated"] and not describe(PAPER_BY_NAME["slimpajama"])["gated"]
    assert row["upstream"] == [
        {
            "name": "bigcode/starcoderdata notebooks",
            "version": "9fc30b578cedaec69e47302df72cf00feed7c8c4",
            "licence": "permissive, each file under its repository's; terms of use of The Stack",
        }
    ]
    assert row["files"] == ["bigcode/starcoderdata/jupyter-structured-clean-dedup/*.parquet"]


def test_the_generated_source_has_an_upstream_and_a_made_up_one_has_none() -> None:
    assert provenance(PAPER_BY_NAME["synthetic-python"])[0].name == "mixtures.synthetic"
    assert "mixtures.synthetic" not in {package.name for package in provenance(PAPER_BY_NAME["synthetic-open"])}
    assert provenance(Source("mine", "code", "python", lambda shard, downloads: iter(()), one_shard)) == ()


def slimpajama(part: str, text: str) -> dict[str, Any]:
    return {"text": text, "meta": {"redpajama_set_name": part}}


COMMIT = "<commit_before>x = 1\n<commit_msg>Double it\n\nBecause.<commit_after>x = 2\n"
RENDERED_COMMIT = "Double it\n\nBecause.\n\n--- a/file\n+++ b/file\n@@ -1 +1 @@\n-x = 1\n+x = 2"
FILE = {"content": "<reponame>me/it<gh_stars>0\nx = 1\n", "max_stars_repo_name": "me/it"}


def message(number: int, parent: int | None, text: str, rank: int | None, **changes: Any) -> dict[str, Any]:
    fields = {
        "message_id": str(number),
        "parent_id": None if parent is None else str(parent),
        "text": text,
        "role": "assistant" if text.isupper() else "prompter",
        "lang": "en",
        "rank": rank,
        "deleted": False,
        "message_tree_id": "0",
    }
    return fields | changes


TREE = [
    message(0, None, "what?", None),
    message(1, 0, "THAT.", 1),
    message(2, 0, "THIS.", 0),
    message(3, 2, "and why?", None),
    message(9, None, "quoi ?", None, lang="fr", message_tree_id="9"),
    message(8, 0, "NONSENSE.", -1, deleted=True),
]
UPSTREAM: dict[str, tuple[str, list[dict[str, Any]], list[str]]] = {
    "slimpajama": (
        "train/chunk1/a.jsonl.zst",
        [slimpajama("RedPajamaC4", "A page."), slimpajama("RedPajamaGithub", "x"), slimpajama("RedPajamaBook", "B.")],
        ["A page.", "B."],
    ),
    "stackexchange": (
        "train/chunk1/a.jsonl.zst",
        [slimpajama("RedPajamaC4", "A page."), slimpajama("RedPajamaStackExchange", "Q: How?\nSo.\nA: Thus.\nA: Or.")],
        ["Question: How?\nSo.\n\nAnswer: Thus.\n\nAnswer: Or."],
    ),
    "stack-code": ("java/train-00000-of-00001.parquet", [FILE, FILE | {"content": "y"}], ["x = 1\n", "y"]),
    "stack-markup": ("data/toml/data-00000-of-00001.parquet", [FILE | {"content": "[a]\nb = 1"}], ["[a]\nb = 1"]),
    "github-commits": (
        "git-commits-cleaned/train-00000-of-00001.parquet",
        [{"id": "1", "content": COMMIT}, {"id": "2", "content": "no commit"}, {"id": "3", "content": None}],
        [RENDERED_COMMIT, "", ""],
    ),
    "github-issues": (
        "github-issues-filtered-structured/train-00000-of-00001.parquet",
        [{"content": "<issue_start>Title: It\nusername_0: Why?<issue_comment>username_1: So.<issue_closed>"}],
        ["Issue: It\n\nusername_0: Why?\n\nusername_1: So.\n\nClosed."],
    ),
    "jupyter": (
        "jupyter-structured-clean-dedup/train-00000-of-00001.parquet",
        [{"content": "<jupyter_start><jupyter_text>Hi<jupyter_code>1 + 1<jupyter_output>2"}],
        ["# %% [markdown]\nHi\n\n# %%\n1 + 1\n\n# Output:\n# 2"],
    ),
    "synthetic-open": (
        "data/train-00000-of-00001.parquet",
        [
            {"input": "Add.", "output": "def f(): ...", "average_test_score": "1"},
            {"input": "Sub.", "output": "def g(): ...", "average_test_score": "0.9"},
        ],
        ["Question: Add.\n\nAnswer: def f(): ..."],
    ),
    "cooldown-text": ("sample/100BT/000_00000.parquet", [{"text": "A page.", "url": "u"}], ["A page."]),
    "cooldown-math": ("finemath-4plus/train-00003-of-00064.parquet", [{"text": "1 + 1", "url": "u"}], ["1 + 1"]),
    "cooldown-code": ("stack-edu-0001.json.gz", [{"text": "x = 1", "metadata": {"repo_name": "me/it"}}], ["x = 1"]),
    "cooldown-instruct": (
        "data/train-00000-of-00001-88ba0162028a73fc.parquet",
        TREE,
        ["User: what?\n\nAssistant: THIS."],
    ),
}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(map(json.dumps, rows)).encode()
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".zst":
        path.write_bytes(zstandard.ZstdCompressor().compress(lines))
    else:
        path.write_bytes(gzip.compress(lines))


@pytest.mark.parametrize("name", UPSTREAM)
def test_a_source_of_the_paper_reads_its_upstreams_layout(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pickle.loads(pickle.dumps(PAPER_BY_NAME[name]))
    path, rows, texts = UPSTREAM[name]
    dataset = next(d for d in source.datasets if any(fnmatch(path, pattern) for pattern in d.files))
    monkeypatch.setenv(hub.MIRROR, str(tmp_path))
    write(tmp_path / dataset.id / dataset.revision / path, rows)
    its = tuple(pattern for pattern in dataset.files if fnmatch(path, pattern))
    only = replace(dataset, files=its, count=None)
    ((file,),) = hub.shards((only,), tmp_path).values()
    documents = list(source.read(file, tmp_path))
    assert [document.text for document in documents] == texts
    assert len({document.id for document in documents}) == len(documents)
    if "max_stars_repo_name" in rows[0] or "metadata" in rows[0]:
        assert {document.group for document in documents} == {"me/it"}


def test_the_other_half_of_the_instruct_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = PAPER_BY_NAME["cooldown-instruct"]
    dataset = source.datasets[1]
    monkeypatch.setenv(hub.MIRROR, f"{dataset.id}={tmp_path}")
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}]
    answered = [*turns, {"role": "assistant", "content": "Hello."}]
    for pattern in dataset.files:
        write(
            tmp_path / pattern.replace("*", "0"),
            [{"messages": answered}, {"messages": [{"role": "tool", "content": ""}]}],
        )
    (files,) = hub.shards((dataset,), tmp_path).values()
    assert len(files) == len(dataset.files)
    documents = [document.text for file in files for document in source.read(file, tmp_path)]
    assert documents == ["System: Be brief.\n\nUser: Hi.\n\nAssistant: Hello.", ""] * len(files)
