"""What every document of a study is for: one byte a document, in files beside those of the documents."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.documents import parquet
from mixtures.documents.document import Document
from store.errors import Failure

DROPPED, TRAINING, HELDOUT, CONTAMINATED = range(4)
"""A contaminated document is neither trained on nor held out."""
Roles = npt.NDArray[np.uint8]


def read_roles(path: Path) -> Roles:
    """The role of every document of a shard, in its order there.

    Raises:
        Failure: the file is missing or damaged.
    """
    try:
        roles: Roles = np.load(path)
        return roles
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be read ({error}); delete {path.parents[2]} and prepare again") from error


def training_documents(shard: Path, roles: Path) -> Iterator[Document]:
    """The documents of a shard that are trained on, in their order there.

    Raises:
        Failure: a file is missing or damaged.
    """
    for document, role in zip(parquet.read_documents(shard), read_roles(roles), strict=True):
        if role == TRAINING:
            yield document
