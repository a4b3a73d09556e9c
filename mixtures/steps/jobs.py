"""The jobs of a preparation in one file, for workers that are told no more than a number.

Jobs stand pickled one after the other, and after them where each of them begins: int64, little-endian, and the end.
A file is named by what is in it, so that whoever writes the same jobs again writes the same file.
"""

import hashlib
import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from store.errors import Failure, said
from store.files import whole


@dataclass(frozen=True)
class JobsFile:
    """Where the jobs are, and at which byte of it the places of them begin."""

    path: Path
    places: int


def write_jobs(jobs: Sequence[Any], folder: Path) -> JobsFile:
    """Write the jobs to a file in `folder`.

    Raises:
        Failure: the disk is full.
    """
    pickled = [pickle.dumps(job) for job in jobs]
    content = b"".join(pickled)
    places = struct.pack(f"<{len(jobs) + 1}q", 0, *accumulate(map(len, pickled)))
    path = folder / f"{hashlib.sha256(content).hexdigest()[:12]}.jobs"
    with whole(path) as temporary:
        temporary.write_bytes(content + places)
    return JobsFile(path, len(content))


def read_job(file: JobsFile, number: int) -> Any:
    """Job `number`, of which no more than itself is read.

    Raises:
        Failure: the file is not there: this worker does not see the store.
    """
    try:
        with file.path.open("rb") as opened:
            opened.seek(file.places + 8 * number)
            first, last = struct.unpack("<2q", opened.read(16))
            opened.seek(first)
            return pickle.loads(opened.read(last - first))
    except (OSError, struct.error, pickle.UnpicklingError, EOFError) as error:
        raise Failure(
            f"the jobs of the preparation cannot be read ({file.path}: {said(error)}); use a store that all workers "
            "see, and run the command again"
        ) from error
