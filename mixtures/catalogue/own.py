"""A corpus of your own as a source, in one line: files or examples on this machine, a hub's data set, our problems."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mixtures.catalogue.source import ACROSS, WITHIN, Read, Source, hub_source, naming, one_shard
from mixtures.documents.document import Document
from mixtures.readers import examples as own_examples
from mixtures.readers import files as own_files
from mixtures.readers import rows
from mixtures.readers.hub import HubDataset
from mixtures.synthetic import evolve
from mixtures.synthetic import one_operation as one
from mixtures.synthetic.forms import VARIANTS
from store.errors import UserError


def files(
    name: str,
    kind: str,
    *patterns: str | os.PathLike[str],
    field: str = "",
    group: str = "",
    **options: Any,
) -> Source:
    """A source of files: `files("mine", "text", "corpus/**/*.jsonl.zst", field="text", group="repo")`.

    Files of rows (.jsonl, .ndjson, .json, .csv, .tsv, .parquet) hold a document a row, all others (.txt, .md, source
    files) are one document each; any may be .gz, .zst, .bz2 or .xz. Their contents are part of the data's identity.

    Args:
        name: what mixtures call it.
        kind: one of `mixtures.catalogue.source.KINDS`.
        patterns: files, folders, or patterns with *, ? and ** (any depth); from the current directory, `~` is home.
        field: of a row, the text; if not said, "text" or "content". A dot leads into an object: "meta.body".
        group: of a row, what is held out together, such as its repository; if not said, every document on its own.
        options: of a `Source`: `max_bytes`, `expected_tokens`, `filters` and `dedup`.

    Raises:
        UserError: a name or kind that cannot be, no pattern, or an unknown filter.
    """
    _refuse_what_is_no_text(name, field=(field or ".",), group=(group or ".",))
    corpus = own_files.Corpus(_local(name, patterns), field, group)
    return Source(
        *(name, kind, "files", naming(name, partial(own_files.read, corpus)), partial(own_files.shards, corpus)),
        inputs=corpus.patterns,
        **options,
    )


def examples(
    name: str,
    *patterns: str | os.PathLike[str],
    prompt: str = "instruction",
    answer: str = "output",
    group: str = "",
    set: str = "",
    score: str = "",
    kind: str = "instruct",
    **options: Any,
) -> Source:
    """A source of prompts with answers, one a row of files: `examples("pairs", "pairs.jsonl", prompt="q", answer="a")`.

    A sequence holds whole examples alone, so the study's data say in `packing` how long sequences are. A stage's
    objective says whether the prompts carry loss. A row without prompt or answer is dropped and counted.

    Args:
        name: what mixtures call it.
        patterns: as for `files`; of rows all.
        prompt: the field that is asked, or a text with fields in braces: "{instruction}\\n\\n{input}\\n\\n". What it
            ends with is asked, too. Its paragraphs whose fields are all empty are left out. A field of several texts
            gives one a line.
        answer: the field that is answered.
        group: what is held out together; if not said, what has the same prompt.
        set: of answers that are ranked, what those to one prompt have in common, within one file.
        score: of such an answer, a whole number; higher is better.
        kind: one of `mixtures.catalogue.source.KINDS`.
        options: as for `files`.

    Raises:
        UserError: as `files`, or a template that cannot be.
    """
    given = {"prompt": (prompt,), "answer": (answer,)}
    optional = {what: (value or ".",) for what, value in (("group", group), ("set", set), ("score", score))}
    _refuse_what_is_no_text(name, **given, **optional)
    try:
        fields = own_examples.fields_of(prompt)
    except ValueError as error:
        raise UserError(
            f"source '{name}': prompt {prompt!r} is no template ({error}); write fields in braces"
        ) from error
    if not fields:
        raise UserError(f"source '{name}': prompt {prompt!r} has no field in it; write some in braces")
    corpus = own_files.Corpus(_local(name, patterns), answer)
    its = own_examples.Fields(prompt, answer, group, set, score)
    return Source(
        *(name, kind, "examples", naming(name, partial(own_examples.read, corpus, its))),
        partial(own_files.shards, corpus),
        inputs=corpus.patterns,
        examples=True,
        **options,
    )


def _local(name: str, patterns: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """`patterns` from the root of the file system, of source `name`."""
    if not patterns:
        raise UserError(f"source '{name}': no files; name some, such as \"corpus/**/*.jsonl.zst\"")
    _refuse_what_is_no_text(name, pattern=patterns)
    if far := [pattern for pattern in map(str, patterns) if "://" in pattern]:
        raise UserError(
            f"source '{name}': pattern {far[0]!r} is an address, and files are read from this machine; copy them here, "
            "or use hub(...) with ABLATE_MIRROR"
        )
    return tuple(own_files.absolute(pattern) for pattern in patterns)


def hub(
    id: str,
    revision: str,
    kind: str = "text",
    *patterns: str,
    name: str = "",
    field: str = "",
    group: str = "",
    **options: Any,
) -> Source:
    """A source of the hub: `hub("owner/name", "<commit>", "text", "data/train-*.parquet", field="text", group="url")`.

    Args:
        id: "owner/name".
        revision: the commit, 40 hexadecimal digits: a branch moves, and results with it.
        kind: one of `mixtures.catalogue.source.KINDS`.
        patterns: paths in the repository, exact or with * (within a folder) or ** (any depth).
        name: what mixtures call it; the data set's own if not said.
        field: as for `files`, and so is `group`. Of Parquet files no other columns than theirs are fetched.
        options: of a `Source`: `max_bytes`, `expected_tokens`, `filters` and `dedup`.

    Raises:
        UserError: an id, revision, name or kind that cannot be, no files, or an unknown filter.
    """
    name = name or str(id).rpartition("/")[2]
    _refuse_what_is_no_text(name, id=(id,), revision=(revision,))
    _refuse_what_is_no_text(name, pattern=patterns, field=(field or ".",), group=(group or ".",))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", id):
        raise UserError(f"source '{name}': '{id}' is no data set of the hub; write owner/name")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(
            f"source '{name}': revision '{revision}' of {id} may move; give a commit, the 40 hexadecimal digits that "
            "its page on the hub shows under Files"
        )
    if not patterns:
        raise UserError(f"source '{name}': no files of {id}; name some, such as \"data/train-*.parquet\"")
    needed = [part.partition(".")[0] for part in (field, group) if part] if field else []
    dataset = HubDataset(
        *(id, revision, "see its page on the hub", "", patterns, tuple(dict.fromkeys(needed))),
        documents=partial(rows.own, field, group),
        size="size unknown",
    )
    return hub_source(name, kind, "hub", dataset, **options)


def generated(
    name: str,
    seeds: int = 1,
    seed_bytes: int = 16_000_000,
    variant: str = "verified",
    expected_tokens: int | None = None,
) -> Source:
    """A source of verified Python problems that this project generates: `generated("problems", seeds=4)`.

    A shard is what one seed generates. Programs that differ in names alone are duplicates, between seeds as well.

    Args:
        name: what mixtures call it.
        seeds: how many are drawn, from 0 on.
        seed_bytes: UTF-8 bytes of each.
        variant: one of `mixtures.synthetic.forms.VARIANTS`. A control has the same problems as "verified", and keeps
            them beside it.
        expected_tokens: as for `Source`.

    Raises:
        UserError: a name or variant that cannot be, or a number below 1.
    """
    if variant not in VARIANTS:
        raise UserError(f"source '{name}': there is no variant {variant!r}; choose one of {', '.join(VARIANTS)}")
    _refuse_below_1(name, seeds=seeds, seed_bytes=seed_bytes)
    return Source(
        *(name, "synthetic", "python", naming(name, partial(_problems, seed_bytes, variant)), partial(_seeds, seeds)),
        expected_tokens=expected_tokens,
        dedup=ACROSS if variant == "verified" else WITHIN,
    )


def control(verified: Source, variant: str) -> Source:
    """The problems of `verified`, which `generated` made, as another variant: "synthetic-python-wrong".

    Raises:
        UserError: another variant, or a source of something else.
    """
    read = verified.read.args[-1] if isinstance(verified.read, partial) else None
    if not isinstance(read, partial) or read.func is not _problems:
        raise UserError(
            f"source '{verified.name}' has no generated problems to be {variant}; make it with generated(...)"
        )
    seeds, (seed_bytes, _) = len(verified.shards(Path())), read.args
    found = generated(f"{verified.name}-{variant}", seeds, seed_bytes, variant, verified.expected_tokens)
    return replace(found, max_bytes=verified.max_bytes)


def _seeds(seeds: int, downloads: Path) -> tuple[str, ...]:
    return tuple(f"seed-{seed:04}" for seed in range(seeds))


def _problems(seed_bytes: int, variant: str, shard: str, downloads: Path) -> Iterator[Document]:
    from mixtures.synthetic import generate  # planning knows the catalogue and generates nothing

    return generate.read(seed_bytes, int(shard.removeprefix("seed-")), variant)


def _refuse_what_is_no_text(source: str, **given: Sequence[object]) -> None:
    for what, values in given.items():
        for value in values:
            if not isinstance(value, str | os.PathLike) or not str(value).strip():
                raise UserError(f"source '{source}': {what} is {value!r}; write a text")


def _refuse_below_1(source: str, **given: int) -> None:
    for what, number in given.items():
        if type(number) is not int or number < 1:
            raise UserError(f"source '{source}': {what} is {number!r}; give a whole number above 0")


def one_operation(
    name: str, variant: str = "completion", fraction: float = 1.0, expected_tokens: int | None = None
) -> Source:
    """Programs of one operation that this project generates, without the problems that are held out for their tasks.

    What a small model learns in minutes: `one_operation_exec` and `one_operation_instruct_exec` ask it for others.

    Args:
        name: what mixtures call it.
        variant: "completion", a function with its docstring; or "instruction", examples of a prompt and its answer.
        fraction: of the problems, chosen by hash: a smaller part is in every larger one.
        expected_tokens: as for `Source`; if not said, what was counted with a tokenizer of 8,192.

    Raises:
        UserError: a name or variant that cannot be, or a fraction that is none.
    """
    percent = round(100 * fraction)
    if not 1 <= percent <= 100:
        raise UserError(f"source '{name}': fraction is {fraction!r}; give a number from 0.01 to 1")
    its = _of_operations(name, variant, partial(one.read, variant, percent))
    return replace(its, expected_tokens=expected_tokens or one.TOKENS[variant] * percent // 100)


def _of_operations(name: str, variant: str, read: Read) -> Source:
    if variant not in one.VARIANTS:
        raise UserError(f"source '{name}': there is no variant {variant!r}; choose one of {', '.join(one.VARIANTS)}")
    asked = variant == "instruction"
    kind = "instruct" if asked else "synthetic"
    return Source(name, kind, "python", naming(name, read), one_shard, examples=asked)


def evolved(
    name: str, variant: str = "instruction", drafts: int = evolve.DRAFTS, expected_tokens: int | None = None
) -> Source:
    """Harder problems, evolved from those of one operation by rules, with tests that were executed (synthetic/evolve).

    Args:
        name: what mixtures call it.
        variant: as of `one_operation`.
        drafts: that are drawn, of which the rules keep about a quarter.
        expected_tokens: as for `Source`; if not said, some 30 a draft.

    Raises:
        UserError: a name or variant that cannot be, or a number below 1.
    """
    _refuse_below_1(name, drafts=drafts)
    its = _of_operations(name, variant, partial(evolve.read, variant, drafts))
    return replace(its, expected_tokens=expected_tokens or max(1, drafts * evolve.TOKENS_A_DRAFT))
