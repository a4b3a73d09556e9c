"""Which checkpoints a folder holds, by their names alone. Loads no jax, and asks no other process."""

import re

from store import objects

CHECKSUMS = "checksums.json"
"""Written last of a checkpoint, and removed first."""
BEFORE = "digests.json"
"""What older versions wrote instead; they are not read."""
_STEP = re.compile(r"step-(\d{8,})")


def path(folder: str, step: int) -> str:
    return f"{folder}/step-{step:08d}"


def begun(folder: str) -> list[int]:
    """The steps of all, whole or not, ascending; none when the folder does not exist."""
    return sorted(int(match[1]) for name in objects.names(folder) if (match := _STEP.fullmatch(name)))


def complete(folder: str) -> list[int]:
    """The steps of those that were written to their end."""
    return [step for step in begun(folder) if CHECKSUMS in objects.names(path(folder, step))]
