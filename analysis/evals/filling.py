"""Asking a model to fill holes (code/infilling.py), and how likely what was there is to it.

It sees the marks of fill-in-the-middle training in the order that `mixtures.tokens.fim` trains on: prefix, suffix,
middle, or with the suffix first; there a token that would lie across the beginning of the hole is not healed, which
random spans suffer from. What it says up to `<eod>` is the filling. It is executed in its place, and compared with the
text that was there but for blanks at both ends (exact match; the published sets have pass@1 alone).
"""

from collections.abc import Iterable, Sequence

from analysis.evals.code.infilling import Hole
from analysis.evals.engine import token_nats
from analysis.evals.model import LanguageModel
from analysis.records import Item
from mixtures.tokens import fim
from mixtures.tokens.tokenizer import canonical, loss
from store.errors import Failure, UserError


def prompts(model: LanguageModel, holes: Sequence[Hole], rooms: Iterable[int]) -> list[tuple[tuple[int, ...], bool]]:
    """What is shown of every hole, in token ids and without `<eod>`, and whether some of it was left out.

    Of what is too long for its room the text nearest to the hole is kept: of the suffix what the prefix leaves, and
    half of the room at the least.

    Raises:
        Failure: the tokenizer has no marks for this.
    """
    try:
        prefix_mark, middle_mark, suffix_mark = fim.marks(model.tokenizer)
    except UserError as error:
        raise Failure(f"infilling cannot be asked: {error}") from error
    befores = model.encoded(hole.prefix for hole in holes)
    afters = model.encoded(hole.suffix for hole in holes)
    found = []
    for hole, before, after, room in zip(holes, befores, afters, rooms, strict=True):
        left = max(0, room - 3)
        suffix = after[: max(left // 2, left - len(before))]
        prefix = before[max(0, len(before) + len(suffix) - left) :]
        if hole.suffix_first:
            ids = (prefix_mark, suffix_mark, *suffix, middle_mark, *prefix)
        else:
            ids = (prefix_mark, *prefix, suffix_mark, *suffix, middle_mark)
        found.append((ids, len(prefix) + len(suffix) < len(before) + len(after)))
    return found


def gold(model: LanguageModel, holes: Sequence[Hole]) -> list[Item]:
    """Of what was in every hole, given what is shown: "id", "cluster", "nats", and "bytes" where the tokens keep texts.

    Of one that is longer than half of the window only the first tokens count.

    Raises:
        Failure: as `prompts`.
    """
    most = model.window // 2
    middles = [ids[:most] for ids in model.encoded(hole.middle for hole in holes)]
    shown = prompts(model, holes, (model.window - len(ids) for ids in middles))
    asked = [((model.eod, *prompt, *ids), 1 + len(prompt)) for (prompt, _), ids in zip(shown, middles, strict=True)]
    nats = {number: float(nats_T.sum()) for number, nats_T in token_nats(model, asked)}
    keeps = not loss(model.tokenizer, form=canonical)
    items: list[Item] = []
    for number, (hole, ids) in enumerate(zip(holes, middles, strict=True)):
        text = hole.middle if len(ids) < most else model.tokenizer.decode(ids)
        item: Item = {"id": hole.problem.id, "cluster": hole.base, "nats": nats[number]}
        items.append(item | {"bytes": len(text.encode())} if keeps else item)
    return items


def exact(hole: Hole, said: str) -> bool:
    """Whether a filling is what was there, but for blanks at both ends."""
    return said.strip() == hole.middle.strip()
