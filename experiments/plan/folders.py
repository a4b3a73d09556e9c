"""What decides the weights in a Hugging Face folder. Loads no jax."""

from pathlib import Path

from models import cohere
from store import layout
from store.digests import digests, short
from store.errors import Failure


def digest(folder: Path, store: Path) -> str:
    """A sha256 of its configuration and weights, whatever the folder is called. Files are read anew if they changed.

    Raises:
        Failure: a file is missing or cannot be read.
    """
    folder = folder.resolve()
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise Failure(f"{folder} has no weights; fetch or export the model again")
    files = [folder / cohere.CONFIG, *weights, *folder.glob(cohere.INDEX)]
    memory = store / layout.DOWNLOADS / layout.DIGESTS / f"{short(str(folder))}.json"
    found = digests(files, memory)
    return short({path.name: found[path] for path in files})
