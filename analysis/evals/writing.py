"""What a model writes: prompts enter slots, slots write on together, and whoever has finished makes room.

A text ends where the model says `<eod>`, before the first of its stop strings, found in the text and not in tokens, or
after so many tokens. It is a function of its own request, whatever else is being written.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer

from analysis.evals import together
from analysis.evals.model import LanguageModel
from analysis.evals.together import run
from models import decode
from models.devices import scoring
from models.devices.parallel import platform

_SLOTS = (4, 16, 64)
"""Per device."""
_STEPS = 16
"""Tokens between two looks at the text."""
_COLUMNS = 64
"""Of the cache at the least; it doubles as the texts grow."""
_NEAR = 16
"""Tokens of the prompt that are decoded with an answer."""
_CUT = "\ufffd"
"""What bytes decode to that are no whole character."""


@dataclass(frozen=True)
class Ask:
    """A text to continue.

    Attributes:
        prompt: the text, or token ids, which may be marks that no text has.
        stops: texts that end the answer, which has none of them.
        max_tokens: after which it ends in any case.
        temperature: 0 takes the most likely token each time.
        top_p: share of the probability that tokens are drawn from, the most likely ones.
        seed: of the draws; with the number of the token it decides them.
        top_k: of the most likely tokens, how many are drawn from; 0 for all.
    """

    prompt: str | tuple[int, ...]
    stops: tuple[str, ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    top_k: int = 0


@dataclass(frozen=True)
class _Text:
    """One in the making."""

    number: int
    ask: Ask
    prompt: tuple[int, ...]
    most: int
    ids: list[int] = field(default_factory=list)

    @property
    def position(self) -> int:
        """Of the last token."""
        return len(self.prompt) + len(self.ids) - 1


def write(model: LanguageModel, asks: Sequence[Ask]) -> Iterator[tuple[int, str]]:
    """(number of the ask, text) as the texts are finished."""
    queue: deque[_Text] = deque()
    for text in _texts(model, asks):
        if text.most > 0:
            queue.append(text)
        else:
            yield text.number, ""
    devices, end = decode.devices(model.mesh), model.eod
    each, least = _sizes(model, queue)
    draws = any(text.ask.temperature > 0 for text in queue)
    columns = least
    slots, _ = run(together.begun, model, None, each * devices, columns)
    writing: dict[int, _Text] = {}
    while queue or writing:
        while queue and (not writing or len(writing) <= each * devices * 3 // 4):
            seats = _seated(queue, writing, each, devices)
            writing |= seats
            columns, slots = _room(model, columns, slots, seats)
            slots, _ = run(together.entered, model, slots, _prompts(seats, each, devices, least))
        columns, slots = _room(model, columns, slots, writing)
        alive_B = np.isin(np.arange(each * devices), list(writing))
        slots, said_BxC = run(together.advanced, model, slots, alive_B, _STEPS, draws)
        said = np.asarray(said_BxC)
        for slot, text in list(writing.items()):
            text.ids.extend(said[slot][said[slot] >= 0].tolist())
            if (answer := _finished(model.tokenizer, text, end)) is not None:
                del writing[slot]
                yield text.number, answer


def _sizes(model: LanguageModel, texts: Sequence[_Text]) -> tuple[int, int]:
    """Slots of each device, enough for the texts and no more than there is room for when the longest are written; and
    columns of the cache at the least."""
    devices = decode.devices(model.mesh)
    each = next((size for size in _SLOTS if size * devices >= len(texts)), _SLOTS[-1])
    if platform(model.mesh) == "cpu" or not texts:
        return each, _COLUMNS
    columns = _columns(max(text.position + text.most for text in texts))
    # Where devices exchange weights, compiling a program for each width takes longer than all columns from the start.
    return min(each, scoring.slots(model.config, columns)), _COLUMNS if model.mesh is None else columns


def too_long(model: LanguageModel, asks: Sequence[Ask]) -> list[bool]:
    """Of every ask, whether its prompt loses its beginning because the window has no room for it."""
    return [1 + len(ids) > _room_for(model, ask) for ask, ids in zip(asks, _encoded(model, asks), strict=True)]


def _encoded(model: LanguageModel, asks: Sequence[Ask]) -> list[Sequence[int]]:
    """The ids of every prompt."""
    texts = iter(model.encoded(ask.prompt for ask in asks if isinstance(ask.prompt, str)))
    return [next(texts) if isinstance(ask.prompt, str) else ask.prompt for ask in asks]


def _room_for(model: LanguageModel, ask: Ask) -> int:
    """Tokens that a prompt may have: what is asked for needs the others, or half of them if it needs all."""
    return model.window - ask.max_tokens if ask.max_tokens < model.window else max(1, model.window // 2)


def _texts(model: LanguageModel, asks: Sequence[Ask]) -> list[_Text]:
    """Short ones first, equal prompts together. A prompt keeps its newest tokens, as many as there is room for."""
    texts = []
    for number, (ask, ids) in enumerate(zip(asks, _encoded(model, asks), strict=True)):
        prompt = (model.eod, *ids)[-_room_for(model, ask) :]
        texts.append(_Text(number, ask, prompt, min(ask.max_tokens, model.window - len(prompt))))
    return sorted(texts, key=lambda text: (len(text.prompt) + text.most, text.prompt))


def _seated(queue: deque[_Text], writing: dict[int, _Text], each: int, devices: int) -> dict[int, _Text]:
    """Texts from the queue by slot: as many as are free, and as many prompts as enter a device at once."""
    seats: dict[int, _Text] = {}
    for device in range(devices):
        prompts: set[tuple[int, ...]] = set()
        for slot in range(device * each, (device + 1) * each):
            if slot in writing:
                continue
            if not queue or len(prompts | {queue[0].prompt}) > max(1, each // 4):
                break
            seats[slot] = queue.popleft()
            prompts.add(seats[slot].prompt)
    return seats


def _room(model: LanguageModel, columns: int, slots: decode.Slots, texts: dict[int, _Text]) -> tuple[int, decode.Slots]:
    """A cache wide enough for the next steps."""
    wanted = max(text.position + min(_STEPS, text.most - len(text.ids)) for text in texts.values())
    if wanted <= columns:
        return columns, slots
    columns = _columns(wanted)
    return columns, run(together.widened, model, slots, columns)[0]


def _columns(wanted: int) -> int:
    """64, 128, 256 and so on, so that few shapes are compiled."""
    return max(_COLUMNS, 1 << (wanted - 1).bit_length())


def _prompts(seats: dict[int, _Text], each: int, devices: int, least: int) -> decode.Prompts:
    height = max(1, each // 4)
    longest = max(text.position for text in seats.values())
    tokens = np.zeros((devices * height, max(least, _columns(longest))), np.int32)
    rows: list[tuple[float, ...]] = []
    for device in range(devices):
        prompts: dict[tuple[int, ...], int] = {}
        own = [(at - device * each, text) for at, text in seats.items() if at // each == device]
        for at, text in own:
            prompt = prompts.setdefault(text.prompt, len(prompts))
            tokens[device * height + prompt, : len(text.prompt) - 1] = text.prompt[:-1]
            ask = text.ask
            seat = decode.Seats(
                *(text.prompt[-1], text.position, 0, text.most, ask.seed % 2**31),
                *(ask.temperature, ask.top_p, ask.top_k),
            )
            rows.append((at, prompt, *seat))
        rows += [(each, 0, *decode.Seats(0, 0, 0, 0, 0, 1.0, 1.0, 0))] * (each - len(own))
    slot, prompt_row, *columns = zip(*rows, strict=True)
    state = decode.Seats(*(np.array(own, kind) for own, kind in zip(columns, decode.SEAT_KINDS, strict=True)))
    return decode.Prompts(tokens, np.array(slot, np.int32), np.array(prompt_row, np.int32), state)


def _said(tokenizer: Tokenizer, prompt: Sequence[int], ids: Sequence[int]) -> str:
    """What `ids` add to the prompt: tokenizers of Llama's kind drop the blank that a text begins with."""
    near = list(prompt[-_NEAR:])
    before = tokenizer.decode(near)
    return tokenizer.decode([*near, *ids])[len(before) :]


def _finished(tokenizer: Tokenizer, text: _Text, end: int) -> str | None:
    """The whole answer, or None while it may go on."""
    ended = text.ids[-1:] == [end]
    full = ended or len(text.ids) >= text.most
    if not full and not text.ask.stops:
        return None
    answer = _said(tokenizer, text.prompt, text.ids[:-1] if ended else text.ids)
    first = min((at for stop in text.ask.stops if stop and (at := answer.find(stop)) >= 0), default=-1)
    if first >= 0:
        return answer[:first]
    return (answer if ended else answer.rstrip(_CUT)) if full else None
