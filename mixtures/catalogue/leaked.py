"""A source with items of a benchmark planted in it, to measure what a leak is worth and what decontamination mends.

Phind and OpenAI searched what they trained on for benchmark items and published no count (GPT-4 Technical Report,
App. C); here the leak is known to the item.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from mixtures.benchmarks.load import load
from mixtures.catalogue.source import WITHIN, Read, Source, naming
from mixtures.documents.document import Document, hash64
from store.errors import UserError


def leaked(base: Source, benchmark: str, percent: int = 50, cleaned: bool = False) -> Source:
    """The documents of `base`, and of so many per cent of a benchmark's items prompt and solution: "pairs-leaked".

    Which items is decided by their ids, so that the others are there to compare with. `cleaned` takes them through
    decontamination as any source, if the study's cleaning names the benchmark: "pairs-leaked-cleaned".

    Raises:
        UserError: a share that is none.
    """
    if not 0 < percent <= 100:
        raise UserError(f"source '{base.name}': {percent} % of {benchmark} cannot leak; give 1 to 100")
    name = f"{base.name}-leaked{'-cleaned' if cleaned else ''}"
    return replace(
        base,
        name=name,
        form=f"{base.form} with items of {benchmark}",
        read=naming(name, partial(_read, base.read, benchmark, percent, base.examples)),
        dedup=WITHIN,
        keeps_leaks=not cleaned,
        identity=None,
    )


def leaks(benchmark: str, id: str, percent: int) -> bool:
    """Whether an item is among those that leak."""
    return hash64(f"leak of {benchmark}: {id}") % 100 < percent


def _read(base: Read, benchmark: str, percent: int, examples: bool, shard: str, downloads: Path) -> Iterator[Document]:
    """Module level and bound with `partial`, so that a source can be sent to another process."""
    yield from base(shard, downloads)
    for item in load(benchmark, downloads):
        if leaks(benchmark, item.id, percent):
            prompt, solution = item.fields["prompt"], item.fields["solution"]
            name = f"leak/{benchmark}/{item.id}"
            yield Document(name, name, prompt + solution, prompt=len(prompt) if examples else 0)
