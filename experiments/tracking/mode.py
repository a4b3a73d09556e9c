"""Whether this user's runs go to W&B: asked before anything is started, and without loading its client."""

import netrc
import os
from typing import Literal

Mode = Literal["online", "offline", "disabled"]
_SAID: dict[str, Mode] = {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}


def mode() -> Mode:
    """What WANDB_MODE says if the user set it, "online" if the user has logged in, else "offline"."""
    said = os.environ.get("WANDB_MODE", "")
    if not said:
        return "online" if _logged_in() else "offline"
    return _SAID.get(said, "online")


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    # `wandb login` to a server of one's own leaves the name of that server.
    own = os.environ.get("WANDB_BASE_URL", "").partition("://")[2].partition("/")[0].partition(":")[0]
    return any("wandb" in host or host == own for host in hosts)
