"""The catalogue of arXiv:2408.10914 (section 2.1, App. A), from public data sets at pinned revisions.

What could not be verified, because none of it was fetched while this was written. Revisions, folders, columns and
sizes are those that public code and dataset cards agree on; the rest is:

- SlimPajama's hub repository could not be reached anonymously in August 2026; use a mirror (`readers/hub.py`). That
  its training split has 59,166 files is what its card says and what the ten folders' sizes in public code sum to.
- How many files the Common Pile's code has. A copy that lacks some is not noticed; elsewhere a count (`count`, a list
  of names, or names that say "3 of 59") tells.
- The folders swift, vue, jsx, scss, toml and sass of The Stack are named after its own list of languages.
- That StarCoder's issues begin with "Title:", the order of its notebook tags, and its commits: an inspection of the
  files found `content` between tags, other code expects CommitPack's columns, and both are read. What does not parse is
  dropped and counted.
- `metadata.repo_name` of the Common Pile's code. Without it every file is a group of its own.
- How many of OpenCodeInstruct's problems pass all their tests, hence no count of tokens.

Where the paper and its upstream disagree. By the token shares that a public training recipe lists, the StarCoder data
hold some 37B tokens of these markup formats (14.7 % of 250B), not 180B, and some 172B of the code, not 139B. The
paper's markup probably comes from The Stack before StarCoder's filters. `expected_tokens` is the paper's figure, for
plans made before preparation, but for `synthetic-python`, which is another set than the paper's and has its own;
preparation counts what is there, and `max_epochs` goes by that.
"""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from mixtures.catalogue.languages import CODE, MARKUP, folders
from mixtures.catalogue.own import generated
from mixtures.catalogue.source import WITHIN, Source, hub_source
from mixtures.documents.filters import PAPER as PAPER_FILTERS
from mixtures.readers import rows
from mixtures.readers.hub import HubDataset
from store.errors import UserError

BILLION = 1_000_000_000
CODE_TOKENS, MARKUP_TOKENS = 139 * BILLION, 180 * BILLION
ADJACENT_TOKENS = 21_400_000_000
"""Of the four code-adjacent sources together; the paper does not say how they divide it."""


def _slimpajama(part: str, documents: rows.Reader) -> HubDataset:
    return HubDataset(
        "cerebras/SlimPajama-627B",
        "2d0accdd58c5d5511943ca1f5ff0e3eb5e293543",
        "Apache-2.0 for the collection; each part keeps its own",
        part=part,
        files=("train/chunk*/*.jsonl.zst",),
        columns=("text", "meta"),
        documents=documents,
        size="of 895 GB compressed and 627B tokens with all parts",
        count=59_166,
    )


def _starcoder(
    part: str, folders: tuple[str, ...], columns: tuple[str, ...], documents: rows.Reader, size: str
) -> HubDataset:
    return HubDataset(
        "bigcode/starcoderdata",
        "9fc30b578cedaec69e47302df72cf00feed7c8c4",
        "permissive, each file under its repository's; terms of use of The Stack",
        part=part,
        files=tuple(f"{folder}/*.parquet" for folder in folders),
        columns=columns,
        documents=documents,
        size=size,
        gated=True,
    )


def _files(part: str, tokens: int, languages: Iterable[str]) -> tuple[HubDataset, HubDataset]:
    starcoder, stack = folders(languages)
    size = f"{tokens // BILLION}B tokens by the paper, of 783 GB with all 86 languages"
    first = _starcoder(part, starcoder, ("content", "max_stars_repo_name"), rows.stack_files, size)
    return first, replace(
        first,
        id="bigcode/the-stack-dedup",
        revision="17cad72c886a2858e08d4c349a00d6466f54df63",
        files=tuple(f"data/{folder}/*.parquet" for folder in stack),
        size="of 3 TB with all 358 languages",
    )


def one_language(name: str) -> Source:
    """The files of one language of `languages.CODE`, which the web code of all has, too: "stack-python".

    Raises:
        UserError: the paper's code has no such language.
    """
    if name not in CODE:
        raise UserError(f"language '{name}' is none of the paper's; choose one of {', '.join(CODE)}")
    tokens = int(CODE_TOKENS * Fraction(str(CODE[name])) / 100)
    datasets = [dataset for dataset in _files(name, tokens, (name,)) if dataset.files]
    options: dict[str, Any] = {"expected_tokens": tokens, "filters": PAPER_FILTERS, "dedup": WITHIN}
    return hub_source(f"stack-{name.lower()}", "code", name.lower(), *datasets, **options)


SYNTHETIC_SHARDS = 1_000
"""16 GB drawn, so that 20B tokens, as code+synth reads, stay below the cap of 7 epochs that the paper's 6.25 need."""
SYNTHETIC_TOKENS = 2_900_000_000
"""What is left of them, less a margin, when a program counts once, whatever its names (`benchmarks/data.md`)."""


# An open stand-in for the proprietary problems (3.2B tokens): the largest public set of Python problems with a
# solution and generated tests whose outcome is published, so that "all tests passed" can be asked for. It is written
# by language models, and its tests are its own: weaker evidence than the paper's "formally verified" claims to be.
OPEN_CODE_INSTRUCT = HubDataset(
    "nvidia/OpenCodeInstruct",
    "8f3ba5bafe4d6e8db46082cf7ae6741bc370604d",
    "CC-BY-4.0",
    part="",
    files=("data/train-*.parquet",),
    columns=("input", "output", "average_test_score"),
    documents=rows.tested_problems,
    size="6.9 GB compressed, 5,000,000 problems in 50 files",
    count=50,
)
CODE_PAIRS = hub_source(
    "code-pairs",
    "instruct",
    "python",
    replace(OPEN_CODE_INSTRUCT, documents=rows.tested_examples),
    max_bytes=128_000_000,
    expected_tokens=32_000_000,
    dedup=WITHIN,
    examples=True,
)
"""Some 80,000 pairs of instruction and answer, as many as Phind tuned on, whose own are not to be had. Bytes and tokens
are reckoned at 1,600 and 400 a pair."""
# High-quality text: pages that a classifier trained on judgements of educational value kept (arXiv:2406.17557). It is
# of another crawl selection than SlimPajama, as an anneal should be, and its 100B sample holds the cooldown many times.
FINEWEB_EDU = HubDataset(
    "HuggingFaceFW/fineweb-edu",
    "87f09149ef4734204d70ed1d046ddc9ca3f2b8f9",
    "ODC-By-1.0",
    part="sample/100BT",
    files=("sample/100BT/*.parquet",),
    columns=("text", "url"),
    documents=rows.web_pages,
    size="100B tokens in 140 files of 2 GB",
    count=140,
)
# Math: the web pages graded best for step-by-step reasoning, which SmolLM2 annealed on (arXiv:2502.02737); upstream
# decontaminated them against GSM8K and MATH. open-web-math (14.7B tokens) is larger and not graded.
FINEMATH = HubDataset(
    "HuggingFaceTB/finemath",
    "e92b25a616738fe95dc186b64dfb19f9c8525594",
    "ODC-By-1.0",
    part="finemath-4plus",
    files=tuple(f"finemath-4plus/train-{number:05}-of-00064.parquet" for number in range(64)),
    columns=("text", "url"),
    documents=rows.web_pages,
    size="9.6B tokens in 64 files of 0.3 GB",
)
# Code: files of openly licensed repositories that an educational classifier kept, with their text (The Common Pile,
# arXiv:2506.05209; Stack-Edu itself publishes only identifiers). Another selection than the pre-training code, in
# many languages as that is.
STACK_EDU = HubDataset(
    "common-pile/stackv2_edu_filtered",
    "c354dbe88469a1153e97c6a63ac50591849654de",
    "permissive, each file under its repository's",
    part="",
    files=("stack-edu-*.json.gz",),
    columns=("text", "metadata"),
    documents=rows.educational_code,
    size="40B tokens in 42M files by another tokenizer",
)
# Instruct-style: conversations that people wrote and ranked, and machine-written ones of four kinds. The paper has
# Dolly v2 here and then judges on 200 of its prompts; neither of these contains Dolly. no_robots is left out for its
# licence (non-commercial), and SmolTalk's other parts because they copy sets of mixed origin, benchmarks' training
# parts (MetaMathQA, NuminaCoT) among them.
OASST = HubDataset(
    "OpenAssistant/oasst2",
    "179dd21fc55192153d94adb0e0ce8f69e222bf75",
    "Apache-2.0",
    part="train",
    files=("data/train-00000-of-00001-88ba0162028a73fc.parquet",),
    columns=("message_id", "parent_id", "text", "role", "lang", "rank", "deleted", "message_tree_id"),
    documents=rows.message_trees,
    size="60 MB, messages to November 2023",
)
SMOLTALK_PARTS = ("smol-magpie-ultra", "smol-constraints", "smol-rewrite", "smol-summarize")
SMOLTALK = HubDataset(
    "HuggingFaceTB/smoltalk",
    "5feaf2fd3ffca7c237fc38d1861bc30365d48ffa",
    "Apache-2.0 for these parts",
    part=", ".join(SMOLTALK_PARTS),
    files=tuple(f"data/{part}/train-*.parquet" for part in SMOLTALK_PARTS),
    columns=("messages",),
    documents=rows.conversations,
    size="about 600,000 conversations",
)

PAPER: tuple[Source, ...] = (
    hub_source(
        *("slimpajama", "text", "english", _slimpajama("without GitHub and Stack Exchange", rows.slimpajama_text)),
        expected_tokens=503 * BILLION,
    ),
    hub_source(
        *("stack-code", "code", "25 languages", *_files("25 languages of code", CODE_TOKENS, CODE)),
        expected_tokens=CODE_TOKENS,
        filters=PAPER_FILTERS,
    ),
    hub_source(
        *("stack-markup", "markup", "10 formats", *_files("10 formats of markup", MARKUP_TOKENS, MARKUP)),
        expected_tokens=MARKUP_TOKENS,
        filters=PAPER_FILTERS,
    ),
    # The paper names commits in section 2.1 and issues in 3.4; both are here, and its mixtures choose by name.
    hub_source(
        "github-commits",
        "adjacent",
        "diff",
        _starcoder("commits", ("git-commits-cleaned",), (), rows.github_commits, "32 GB"),
    ),
    hub_source(
        *("github-issues", "adjacent", "threads"),
        _starcoder("issues", ("github-issues-filtered-structured",), ("content",), rows.github_issues, "54 GB"),
    ),
    # The same notebooks exist as scripts (jupyter-scripts-dedup-filtered); reading both would read them twice.
    hub_source(
        *("jupyter", "adjacent", "jupyter"),
        _starcoder("notebooks", ("jupyter-structured-clean-dedup",), ("content",), rows.jupyter, "part of 13 GB"),
    ),
    # 3.3 % of SlimPajama by its own count, with another tokenizer.
    hub_source(
        *("stackexchange", "adjacent", "questions and answers"),
        _slimpajama("Stack Exchange", rows.slimpajama_threads),
        expected_tokens=20_700_000_000,
    ),
    generated("synthetic-python", SYNTHETIC_SHARDS, expected_tokens=SYNTHETIC_TOKENS),
    hub_source("synthetic-open", "synthetic", "python", OPEN_CODE_INSTRUCT),
    # The cooldown reads again what is good, so that it keeps what a source above has, too.
    hub_source("cooldown-text", "text", "english", FINEWEB_EDU, expected_tokens=100 * BILLION, dedup=WITHIN),
    hub_source("cooldown-math", "math", "english", FINEMATH, expected_tokens=9_600_000_000, dedup=WITHIN),
    hub_source("cooldown-code", "code", "many languages", STACK_EDU, expected_tokens=40 * BILLION, dedup=WITHIN),
    hub_source("cooldown-instruct", "instruct", "conversations", OASST, SMOLTALK, dedup=WITHIN),
)
"""In the order of the paper's section 2.1."""
