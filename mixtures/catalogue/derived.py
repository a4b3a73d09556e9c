"""A source made of another by changing every document, so that arms can read the same files but for one thing."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from mixtures.catalogue.source import WITHIN, Read, Source, naming
from mixtures.documents.clean import clean, drop_reason
from mixtures.documents.document import Document
from mixtures.documents.filters import dropped_by
from mixtures.mixture import Mixture, Part, mixture
from mixtures.readers import changed
from store.errors import UserError

SAME_SIZE = ("scrambled", "shuffled")
"""Changes that leave about as many tokens."""


def derived(base: Source, change: str) -> Source:
    """The documents of `base`, a source of code, with one of `readers.changed.CHANGES`: "python-scrambled".

    They keep ids and groups, so that both sources take the same files up to their size and hold out the same groups,
    and copies that others have. What the filters of `base` drop is dropped before the change. The kind is "adjacent":
    held-out code is code as it was written, whatever else a study reads.

    Raises:
        UserError: another change, or a base that is no code.
    """
    if change not in changed.CHANGES:
        raise UserError(f"source '{base.name}': no change {change!r}; choose one of {', '.join(changed.CHANGES)}")
    if base.examples:
        raise UserError(f"source '{base.name}' is of examples, which have no other form; change a source of files")
    if base.kind != "code":
        raise UserError(f"source '{base.name}' is {base.kind}; only code can be {change}")
    name = derived_part(base.name, change)
    assert isinstance(name, str)
    return replace(
        base,
        name=name,
        kind="adjacent",
        form=f"{base.form}, {change}",
        read=naming(name, partial(_read, base.read, base.filters, base.form, change)),
        dedup=WITHIN,
        filters=(),
        expected_tokens=base.expected_tokens if change in SAME_SIZE else None,
        identity=None,
    )


def derived_part(part: Part, change: str) -> Part:
    """What a source, or a mixture of several, is called once it is changed."""
    if isinstance(part, Mixture):
        return mixture(f"{part.name}-{change}", {derived_part(inner, change): weight for inner, weight in part.parts})
    return f"{part}-{change}"


def _read(
    base: Read, filters: tuple[str, ...], form: str, change: str, shard: str, downloads: Path
) -> Iterator[Document]:
    """Module level and bound with `partial`, so that a source can be sent to another process."""
    return changed.read(_kept(base, filters, shard, downloads), change, form)


def _kept(base: Read, filters: tuple[str, ...], shard: str, downloads: Path) -> Iterator[Document]:
    for document in base(shard, downloads):
        text = clean(document.text)
        if not (drop_reason(text, "code") or dropped_by(text, filters)):
            yield replace(document, text=text)
