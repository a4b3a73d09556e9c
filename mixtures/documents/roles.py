"""What every document of a study is for: one byte a document, in files beside those of the documents."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

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
