"""The last step of preparation: one shard of documents becomes tokens, and its held-out documents are set aside.

Of an example, prompt and answer are encoded apart, since the prompt is alone when it is asked.

It can run anywhere and in any order; running it again gives the same bytes.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixtures.documents import parquet
from mixtures.documents.parquet import HELDOUT, TRAINING, read_roles
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import shard_digest, token_dtype, write_shard
from mixtures.tokens.fim import Fim, cut, permuted
from mixtures.tokens.packing import Examples, pack
from store.files import write_sealed
from store.layout import PACKED, Prepared


@dataclass(frozen=True)
class TokeniseJob:
    """One shard of documents.

    Attributes:
        documents: its file.
        source, number: whose it is, and which of its shards.
        at: where the roles of the documents and the tokenizer are, and what comes of them goes.
        end: the token that closes a document where the tokenizer has none of the usual names.
        fim: how documents are permuted for further shards, if there are to be any.
        packing: of examples, tokens of the sequences into which they are packed, a shard for each; () for others.
    """

    documents: Path
    source: str
    number: int
    at: Prepared
    end: str | None
    fim: Fim | None
    packing: tuple[int, ...] = ()

    @property
    def path(self) -> Path:
        """Sizes and digests; written last, so its presence says that the shard is done."""
        return self.at.facts(self.source, self.documents.stem)


@dataclass(frozen=True)
class ShardFacts:
    """What tokenising a shard gave. Bytes are those of the texts."""

    tokens: int
    documents: int
    bytes: int
    digest: str
    infilled: Sequence[Mapping[str, Any]] | None
    """What `manifest.Infilled` says, for this shard, of every form; "tokens" in place of "shard_tokens"."""
    heldout_documents: int
    heldout_bytes: int
    heldout_digest: str
    packed: Sequence[Mapping[str, Any]] = ()
    """What `manifest.Packed` does."""


def tokenise_shard(job: TokeniseJob) -> None:
    """Tokenise the training documents of a shard and set its held-out documents aside.

    Raises:
        Failure: a file is damaged, or the disk is full.
        UserError: the tokenizer lacks a token that is needed.
    """
    encoder = _encoder(job.at.tokenizer, job.end)
    dtype = token_dtype(bpe.size(encoder.reference))
    plain, examples = _Shard(dtype), _Known()
    suffixes = job.fim.suffixes if job.fim else {}
    infilled = {sequence: _Infilled(dtype) for sequence in suffixes}
    held: list[pa.RecordBatch] = []
    size = 0
    for training, heldout in _divided(job):
        texts = training.column("text").to_pylist()
        if job.packing:
            ids, offsets = examples.encode(encoder, training, texts)
        else:
            ids, offsets = bpe.with_eod(*bpe.encode(encoder, texts), encoder.eod)
        plain.append(ids, offsets)
        if job.fim is not None:
            moved = _permuted(encoder, job.fim, training.column("id").to_pylist(), texts)
            for sequence, form in infilled.items():
                form.append_permuted(moved, sequence, ids, offsets)
        held.append(heldout)
        size += int(np.sum(training.column("bytes").to_numpy()))
    heldout = job.at.heldout(job.source, job.documents.stem)
    parquet.write(heldout, parquet.documents(held), {}, bool(job.packing))
    facts = ShardFacts(
        tokens=plain.size,
        documents=plain.documents,
        bytes=size,
        digest=plain.digest() if job.packing else plain.write(job.at.shard(job.source, job.number)),
        infilled=[
            {
                **{"sequence": sequence, "suffix": suffix, "tokens": form.size, "permuted_documents": form.permuted},
                "digest": form.write(job.at.shard(job.source, job.number, suffix)),
            }
            for (sequence, suffix), form in zip(suffixes.items(), infilled.values(), strict=True)
        ],
        packed=[_packed(job, examples.of(plain), encoder.eod, sequence, dtype) for sequence in job.packing],
        heldout_documents=sum(map(len, held)),
        heldout_bytes=int(sum(np.sum(batch.column("bytes").to_numpy()) for batch in held)),
        heldout_digest=parquet.text_digest(heldout),
    )
    write_sealed(job.path, asdict(facts))


class _Shard:
    """Tokens and document offsets, gathered row group by row group."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.parts = [np.zeros(0, dtype)]
        self.lengths = [np.zeros(1, np.int64)]
        self.size = self.documents = 0

    def append(self, ids: bpe.Ids, offsets: npt.NDArray[np.int64]) -> None:
        self.parts.append(ids.astype(self.parts[0].dtype))
        self.lengths.append(np.diff(offsets))
        self.size += len(ids)
        self.documents += len(offsets) - 1

    def whole(self) -> tuple[bpe.Ids, npt.NDArray[np.int64]]:
        return np.concatenate(self.parts), np.cumsum(np.concatenate(self.lengths))

    def digest(self) -> str:
        return shard_digest(*self.whole())

    def write(self, folder: Path) -> str:
        return write_shard(folder, *self.whole())


class _Infilled(_Shard):
    """The same with documents in fill-in-the-middle order."""

    permuted = 0

    def append_permuted(
        self, moved: Mapping[int, bpe.Ids], sequence: int, ids: bpe.Ids, offsets: npt.NDArray[np.int64]
    ) -> None:
        """Append documents, those that are `moved` in that form unless a window's edge would cut it."""
        out: list[bpe.Ids] = []
        position = self.size  # windows start at multiples of the sequence
        for number in range(len(offsets) - 1):
            document = ids[offsets[number] : offsets[number + 1]]
            form = moved.get(number)
            if form is not None and position % sequence + len(form) <= sequence:
                document = form
                self.permuted += 1
            out.append(document)
            position += len(document)
        self.append(np.concatenate([ids[:0], *out]), np.cumsum(np.array([0, *map(len, out)], np.int64)))


class _Known:
    """What is known of the examples of a shard beside their tokens, gathered row group by row group."""

    def __init__(self) -> None:
        self.prompts: list[int] = []
        self.sets: list[str] = []
        self.scores: list[int] = []

    def encode(
        self, encoder: bpe.Encoder, training: pa.RecordBatch, texts: Sequence[str]
    ) -> tuple[bpe.Ids, npt.NDArray[np.int64]]:
        """The ids of the examples of a row group, each closed with `<eod>`, and the offsets between them."""
        characters = training.column("prompt").to_pylist()
        parts = [part for text, end in zip(texts, characters, strict=True) for part in (text[:end], text[end:])]
        ids, offsets = bpe.encode(encoder, parts)
        self.prompts += np.diff(offsets)[::2].tolist()
        self.sets += training.column("set").to_pylist()
        self.scores += training.column("score").to_pylist()
        return bpe.with_eod(ids, offsets[::2], encoder.eod)

    def of(self, plain: _Shard) -> Examples:
        return Examples(*plain.whole(), self.prompts, self.sets, self.scores)


def _packed(job: TokeniseJob, examples: Examples, eod: int, sequence: int, dtype: str) -> dict[str, Any]:
    """Write the examples packed into such sequences; what is to be said of them."""
    suffix = f"{PACKED}-{sequence}"
    stream = pack(examples, eod, sequence)
    folder = job.at.shard(job.source, job.number, suffix)
    digest = write_shard(folder, stream.tokens_N.astype(dtype), stream.doc_offsets, stream.table_Dx3)
    about = {"sequence": sequence, "suffix": suffix, "left_out": stream.left_out, "digest": digest}
    return {**about, **stream.counts}


_encoder = functools.lru_cache(maxsize=1)(bpe.encoder)


def _divided(job: TokeniseJob) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """(training, held-out) documents of every row group."""
    roles = read_roles(job.at.roles(job.source, job.documents.stem))
    start = 0
    for batch in parquet.read(job.documents, (*parquet.WHOLE, "bytes")):
        here = roles[start : start + len(batch)]
        start += len(batch)
        yield _with_role(batch, here == TRAINING), _with_role(batch, here == HELDOUT)


def _permuted(encoder: bpe.Encoder, fim: Fim, names: Sequence[str], texts: Sequence[str]) -> dict[int, bpe.Ids]:
    """The documents that `fim` draws, by their number, in their permuted form and closed."""
    pieces = {n: p for n, name in enumerate(names) if (p := cut(texts[n], name, fim.rate, fim.seed))}
    forms = permuted(encoder, list(pieces.values()))
    return {n: np.append(form, np.uint32(encoder.eod)) for n, form in zip(pieces, forms, strict=True)}


def _with_role(batch: pa.RecordBatch, mask: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    return batch if mask.all() else batch.filter(pa.array(mask))  # filtering copies the texts
