"""The programs of others that engines are reached by: called with lists of words, never through a shell."""

import shutil
import subprocess
from collections.abc import Sequence

from store.errors import Failure, UserError, said

PROGRAMS = {"jobset": "kubectl", "skypilot": "sky"}
INSTALLED_BY = {
    "jobset": "install the Google Cloud CLI, then `gcloud components install kubectl gke-gcloud-auth-plugin`",
    "skypilot": "in an environment of its own: pip install 'skypilot[gcp]==0.14.1'",
}
_SECONDS = 900
"""SkyPilot starts a server of its own first."""


def check_installed(engine: str) -> None:
    """Whether an engine's program is here.

    Raises:
        UserError: it is not.
    """
    program = PROGRAMS.get(engine)
    if program is not None and shutil.which(program) is None:
        raise UserError(f"engine '{engine}' needs `{program}`, which is not installed; {INSTALLED_BY[engine]}")


def called(words: Sequence[str]) -> str:
    """What a program prints.

    Raises:
        Failure: it is not there, takes too long or says no; the message has its last word.
    """
    what = " ".join(words[:3])
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"`{what}` could not be run ({said(error)}); see that it works, then try again") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise Failure(
            f"`{what}` failed ({lines[-1][:300] if lines else f'exit code {done.returncode}'}); mend that first"
        )
    return done.stdout
