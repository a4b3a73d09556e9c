"""What the processes of one run tell each other besides gradients. With a single process nothing is sent."""

import hashlib

import jax
import numpy as np
from jax.experimental import multihost_utils


def first() -> bool:
    """Whether this is the process that writes what is written once: records, ledger, digests."""
    return jax.process_index() == 0


def agreed(answer: bool) -> bool:
    """The first process's answer, in all of them: clocks and file systems differ, and they must go the same way.

    Every process has to ask, at the same point of the program.
    """
    if jax.process_count() == 1:
        return answer
    return bool(multihost_utils.broadcast_one_to_all(np.array(answer)))


def alike(text: str) -> bool:
    """Whether all processes have the same `text`; all of them get the same answer."""
    if jax.process_count() == 1:
        return True
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    found_HxD = multihost_utils.process_allgather(digest)
    return bool((found_HxD == found_HxD[0]).all())


def wait(what: str) -> None:
    """Return when all processes are here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)
