"""Which documents are trained on, which are held out, and which are neither: decided over all sources of a study.

Every question is answered from the keys that stand beside the texts, so that memory does not grow with the corpus, and
in an order of which each step has its reason:

0. Near-duplicates that a list of the user's names, before all else: it may name the very copy that step 1 would keep.
1. Duplicates, source by source: the size of a source counts what is left of it, and a text that an earlier source lost
   to its own size is no duplicate in a later one.
2. Benchmark items, before size: what is contaminated takes no room. The other answers of its set go with it, since the
   prompt is theirs, too, and a set without its best or worst answer would teach another ranking.
3. The size of a source, by the documents' hashes: a smaller size is a subset of a larger one.
4. Held-out groups, of what is left, so that as much of every source is held out as was asked for.
5. Copies of what is held out, which sources that keep duplicates may have under another group; an answer's set goes
   with it, as in 2.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtures.documents import parquet
from mixtures.documents.parquet import CONTAMINATED, DROPPED, HELDOUT, TRAINING, Roles
from mixtures.steps import heldout
from mixtures.steps.candidate import Candidate, all_training, column, each
from mixtures.steps.dedup import PARTITION_DOCUMENTS, by_text, drop_duplicates, drop_heldout_copies
from mixtures.steps.near import drop_near_duplicates
from store.errors import Failure
from store.files import read_sealed

Keys = npt.NDArray[np.uint64]
BINS = 1 << 16
COPY = "copy of a held-out document"
"""Why a document was dropped."""


def select(candidates: Sequence[Candidate], share: float) -> dict[str, dict[str, Any]]:
    """Write the role of every document and say what came of it.

    A group is held out of every source, and of each source as near to `share` of the documents as its groups allow.

    Returns:
        For every source {"dropped": {reason: documents}, "training_bytes": bytes, and of the documents whose text
        another source has "duplicates", dropped, and "shared", kept: {source: documents}}.

    Raises:
        Failure: a source has no document to train on, or a shard is damaged.
    """
    for c in candidates:
        all_training(c)
    names = ("dropped", "duplicates", "shared")
    facts: dict[str, dict[str, Any]] = {c.source.name: {name: Counter() for name in names} for c in candidates}
    for c in candidates:
        facts[c.source.name]["dropped"] += Counter({"near duplicate": drop_near_duplicates(c)})
    with by_text(candidates) as texts:
        start = 0
        for end, last in enumerate(candidates, 1):
            if last.source.max_bytes is None and end < len(candidates):
                continue  # nothing but its duplicates depends on it, so it waits for the next that has a size
            drop_duplicates(texts, candidates[:end], start, facts)
            for c in candidates[start:end]:
                its = facts[c.source.name]
                contaminated, beside = _contaminated(c)
                counts = {"exact duplicate": its["duplicates"].total(), "contaminated": contaminated}
                counts |= {"in a set with a contaminated answer": beside, "over the source's size": _cap(c)}
                its["dropped"] += Counter(counts)
            start = end
        _hold_out(candidates, share)
        before = {c.source.name: [roles.copy() for _, roles in each(c)] for c in candidates if c.source.examples}
        copies = drop_heldout_copies(texts, candidates)
    for c, count in zip(candidates, copies, strict=True):
        its = facts[c.source.name]
        its["dropped"] += Counter({COPY: count})
        if count and c.source.examples:
            its["dropped"] += Counter({"in a set with a held-out answer": _beside_copies(c, before[c.source.name])})
        its["training_bytes"] = sum(int(column(path, "bytes")[roles == TRAINING].sum()) for path, roles in each(c))
        if not its["training_bytes"]:
            raise _nothing_left(c, its["dropped"])
    return facts


def _nothing_left(candidate: Candidate, chosen: Counter[str]) -> Failure:
    dropped = sum((Counter(parquet.facts(path)["dropped"]) for path in candidate.shards), chosen)
    why = ", ".join(f"{reason} {count:,}" for reason, count in dropped.most_common() if count)
    return Failure(
        f"source '{candidate.source.name}' has no document to train on "
        f"({f'dropped: {why}' if why else 'it has no documents'}); mend what it reads, or leave it out"
    )


def sample(candidate: Candidate, max_bytes: int) -> Iterator[str]:
    """Texts to train on, up to `max_bytes`: those with the smallest hashes over all shards, the last of them cut.

    Which they are does not depend on the shards, but for their order. Little more than they is read.
    """
    if not max_bytes:
        return
    edge, size = _edge(candidate, max_bytes)
    for path, roles in each(candidate):
        keys = column(path, "id_hash")
        chosen = (roles == TRAINING) & (keys <= edge)
        for key, text in zip(keys[chosen], parquet.texts(path, chosen), strict=True):
            if key == edge:
                raw = text.encode()
                text = raw[: max(0, len(raw) - (size - max_bytes))].decode(errors="ignore")
            yield text


def _contaminated(candidate: Candidate) -> tuple[int, int]:
    """Take out what holds a benchmark item, and the answers that are ranked with it; the numbers of documents."""
    count = beside = 0
    if candidate.source.keeps_leaks:
        return 0, 0
    for scan, (path, roles) in zip(candidate.scans, each(candidate, "r+"), strict=False):
        found = np.array(read_sealed(scan, "what was found of the benchmarks")["contaminated"], np.int64)
        rows = found[roles[found] == TRAINING]
        roles[rows] = CONTAMINATED
        count += len(rows)
        if candidate.source.examples and len(found):
            beside += _take_sets(path, roles, found, CONTAMINATED)
    return count, beside


def _beside_copies(candidate: Candidate, before: Sequence[Roles]) -> int:
    """Drop the answers that are ranked with one that is no longer trained on; their number."""
    return sum(
        _take_sets(path, roles, np.flatnonzero((was == TRAINING) & (roles != TRAINING)), DROPPED)
        for was, (path, roles) in zip(before, each(candidate, "r+"), strict=True)
    )


def _take_sets(path: Path, roles: Roles, rows: npt.NDArray[np.int64], role: int) -> int:
    """Give this role to what is still trained on in the sets of these `rows`; how many documents."""
    keys = column(path, "id_hash")  # of an answer in a set, the set's
    others = np.isin(keys, keys[rows]) & (roles == TRAINING)
    roles[others] = role
    return int(others.sum())


def _cap(candidate: Candidate) -> int:
    """Drop what is over the source's size; the number of documents dropped."""
    if candidate.source.max_bytes is None:
        return 0
    edge, _ = _edge(candidate, candidate.source.max_bytes)
    dropped = 0
    for path, roles in each(candidate, "r+"):
        over = (roles == TRAINING) & (column(path, "id_hash") > edge)
        roles[over] = DROPPED
        dropped += int(over.sum())
    return dropped


def _edge(candidate: Candidate, max_bytes: int) -> tuple[np.uint64, int]:
    """With which hash documents to train on, in the order of their hashes, reach `max_bytes`, and the bytes then.

    The highest and `max_bytes` if all of them are smaller than that.
    """
    bytes_by_bin = np.zeros(BINS, np.int64)
    for keys, sizes in _training(candidate):
        np.add.at(bytes_by_bin, _bins(keys), sizes)
    reached = np.cumsum(bytes_by_bin)
    edge = int(np.searchsorted(reached, max_bytes))
    if edge == BINS:
        return np.uint64(2**64 - 1), max_bytes
    # Within the bin where the size is reached, documents count one by one.
    parts = [(keys[here], sizes[here]) for keys, sizes in _training(candidate) for here in [_bins(keys) == edge]]
    hashes, sizes = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(hashes, kind="stable")
    total = int(reached[edge]) - int(bytes_by_bin[edge]) + np.cumsum(sizes[order])
    place = int(np.searchsorted(total, max_bytes))
    return hashes[order][place], int(total[place])


def _training(candidate: Candidate) -> Iterator[tuple[Keys, npt.NDArray[np.int64]]]:
    """Hashes of the ids and bytes of what is to be trained on, shard by shard."""
    for path, roles in each(candidate):
        here = roles == TRAINING
        yield column(path, "id_hash")[here], column(path, "bytes")[here].astype(np.int64)


def _bins(keys: Keys) -> npt.NDArray[np.int64]:
    return (keys >> np.uint64(48)).astype(np.int64)


def _hold_out(candidates: Sequence[Candidate], share: float) -> None:
    held = np.sort(heldout.choose([_groups(c, share) for c in candidates], share))
    for c in candidates:
        for path, roles in each(c, "r+"):
            roles[_among(column(path, "group_hash"), held) & (roles == TRAINING)] = HELDOUT


def _among(values: Keys, ordered: Keys) -> npt.NDArray[np.bool_]:
    """Whether each of `values` is in `ordered`, which is sorted once for all shards."""
    places = np.searchsorted(ordered, values, side="right")
    return np.asarray((places > 0) & (ordered[places - 1] == values)) if len(ordered) else np.zeros(len(values), bool)


def _groups(candidate: Candidate, share: float) -> heldout.Groups:
    """The groups of what is trained on; of a large source those of small hash, among which the chosen ones are."""
    total = sum(int((roles == TRAINING).sum()) for _, roles in each(candidate))
    below = np.uint64(min(4 * share, 1) * (2**64 - 2**11) if total > PARTITION_DOCUMENTS else 2**64 - 1)
    parts = [np.zeros(0, np.uint64)]
    for path, roles in each(candidate):
        its = column(path, "group_hash")[roles == TRAINING]
        parts.append(its[its <= below])
    return heldout.Groups(*np.unique(np.concatenate(parts), return_counts=True), total)
