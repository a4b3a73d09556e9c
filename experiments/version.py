"""Which code this is: a commit, and the packages that it was tried with. Loads no jax."""

import functools
import hashlib
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent


@functools.cache
def code_version() -> str:
    """The commit that runs, marked when the tree has changes.

    Outside a checkout it is what ABLATE_CODE says, which an image has from its build (Dockerfile), else the package's
    version.
    """
    describe = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("ABLATE_CODE") or version("code-data-ablation")


@functools.cache
def lock_digest() -> str:
    """The first 12 digits of the lock's SHA-256; "" where there is no requirements.lock."""
    try:
        return hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()[:12]
    except OSError:
        return ""
