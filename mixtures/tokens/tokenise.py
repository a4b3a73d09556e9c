"""The last step of preparation: one shard of documents becomes tokens, and its held-out documents are set aside.

It can run anywhere and in any order; running it again gives the same bytes.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mixtures.documents import parquet
from mixtures.documents.parquet import HELDOUT, TRAINING, read_roles
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import token_dtype, write_shard
from mixtures.tokens.fim import Fim, cut, permuted
from store.files import write_sealed
from store.layout import Prepared


@dataclass(frozen=True)
class TokeniseJob:
    """One shard of documents.

    Attributes:
        documents: its file.
        source, number: whose it is, and which of its shards.
        at: where the roles of the documents and the tokenizer are, and what comes of them goes.
        end: the token that closes a document where the tokenizer has none of the usual names.
        fim: how documents are permuted for a second shard, if there is to be one.
    """

    documents: Path
    source: str
    number: int
    at: Prepared
    end: str | None
    fim: Fim | None

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
    infilled: Mapping[str, Any] | None
    """Tokens, digest and permuted documents of the second shard, if there is one."""
    heldout_documents: int
    heldout_bytes: int
    heldout_digest: str


def tokenise_shard(job: TokeniseJob) -> None:
    """Tokenise the training documents of a shard and set its held-out documents aside.

    Raises:
        Failure: a file is damaged, or the disk is full.
        UserError: the tokenizer lacks a token that is needed.
    """
    encoder = _encoder(job.at.tokenizer, job.end)
    plain, infilled = (_Shard(token_dtype(bpe.size(encoder.reference))) for _ in range(2))
    held: list[pa.RecordBatch] = []
    size = moved = 0
    for training, heldout in _divided(job):
        texts = training.column("text").to_pylist()
        ids, offsets = bpe.with_eod(*bpe.encode(encoder, texts), encoder.eod)
        plain.append(ids, offsets)
        if job.fim is not None:
            names = training.column("id").to_pylist()
            ids, offsets, count = _infilling(encoder, job.fim, names, texts, ids, offsets, infilled.size)
            infilled.append(ids, offsets)
            moved += count
        held.append(heldout)
        size += int(np.sum(training.column("bytes").to_numpy()))
    heldout = job.at.heldout(job.source, job.documents.stem)
    parquet.write(heldout, parquet.documents(held), {})
    facts = ShardFacts(
        tokens=plain.size,
        documents=plain.documents,
        bytes=size,
        digest=plain.write(job.at.shard(job.source, job.number)),
        infilled=None
        if job.fim is None
        else {
            "tokens": infilled.size,
            "digest": infilled.write(job.at.shard(job.source, job.number, infilled=True)),
            "permuted_documents": moved,
        },
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

    def write(self, folder: Path) -> str:
        return write_shard(folder, np.concatenate(self.parts), np.cumsum(np.concatenate(self.lengths)))


@functools.lru_cache(maxsize=1)
def _encoder(tokenizer: Path, end: str | None) -> bpe.Encoder:
    return bpe.encoder(tokenizer, end)


def _divided(job: TokeniseJob) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """(training, held-out) documents of every row group."""
    roles = read_roles(job.at.roles(job.source, job.documents.stem))
    start = 0
    for batch in parquet.read(job.documents, ("id", "group", "text", "bytes")):
        here = roles[start : start + len(batch)]
        start += len(batch)
        yield _with_role(batch, here == TRAINING), _with_role(batch, here == HELDOUT)


def _with_role(batch: pa.RecordBatch, mask: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    return batch if mask.all() else batch.filter(pa.array(mask))  # filtering copies the texts


def _infilling(
    encoder: bpe.Encoder,
    fim: Fim,
    names: list[str],
    texts: list[str],
    ids: bpe.Ids,
    offsets: npt.NDArray[np.int64],
    position: int,
) -> tuple[bpe.Ids, npt.NDArray[np.int64], int]:
    """Replace the documents that `fim` draws by their permuted form, unless a window's edge would cut it.

    `position` is where the first of them stands in the shard: windows start at its multiples of the sequence.
    """
    pieces = {n: p for n, name in enumerate(names) if (p := cut(texts[n], name, fim.rate, fim.seed))}
    forms = dict(zip(pieces, permuted(encoder, list(pieces.values())), strict=True))
    out: list[bpe.Ids] = []
    moved = 0
    for number in range(len(names)):
        plain = ids[offsets[number] : offsets[number + 1]]
        form = forms.get(number)
        if form is not None and position % fim.sequence + len(form) + 1 <= fim.sequence:
            plain = np.append(form, np.uint32(encoder.eod))
            moved += 1
        out.append(plain)
        position += len(plain)
    lengths = np.array([0, *map(len, out)], np.int64)
    return np.concatenate([ids[:0], *out]), np.cumsum(lengths), moved
