"""Requests to any server that speaks OpenAI's chat completions: many at a time, none lost, none asked for ever."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from analysis.evals.judge.cache import Replies, Reply, Request
from mixtures.errors import Failure, UserError

ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 1.0
"""Doubled after every attempt: a request is given up after half a minute of trying, besides what the server asks."""
LONGEST_WAIT_SECONDS = 120.0
"""A server that asks for a longer pause is left alone; the run ends and can be taken up later."""
OUTAGE = 3
"""So many requests given up in a row, and the server counts as down."""
REFUSALS = 20
"""So many requests refused before the first reply, and it is not the single request that is wrong."""
BYTES_PER_TOKEN = 3
"""For the estimate of cost. English has 4 to 5, so the estimate is on the high side."""
PARAMETERS: Mapping[str, Any] = {"temperature": 0, "max_tokens": 1024}
_LENGTHS = ("max_tokens", "max_completion_tokens")

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""


@dataclass(frozen=True)
class Endpoint:
    """A judge behind an OpenAI-compatible server (vLLM, llama.cpp's server, a hosted one).

    Attributes:
        base_url: as a rule it ends in /v1.
        model: the name that the server knows it by.
        parameters: sent with every request as they are; part of the cache's key.
        dollars_per_million: price of tokens (in, out); None when it is not known.
        key_variable: the environment variable with the API key; a server of one's own needs none. Not the one of some
            other client, whose key would go to whatever address is given here.
    """

    base_url: str
    model: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: dict(PARAMETERS))
    dollars_per_million: tuple[float, float] | None = None
    requests_per_minute: float = 300.0
    concurrency: int = 8
    timeout_seconds: float = 120.0
    key_variable: str = "JUDGE_API_KEY"

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UserError(f"judge URL '{self.base_url}' is no http address; write it as https://host/v1")
        for name in ("requests_per_minute", "concurrency", "timeout_seconds"):
            if getattr(self, name) <= 0:
                raise UserError(f"judge: {name} is {getattr(self, name)}; it must be above 0")


@dataclass(frozen=True)
class Gap:
    """A request without a reply."""

    reason: str
    refused: bool = False
    """The server will not take this very request (too long, filtered); others may pass."""


@dataclass(frozen=True)
class Cost:
    """What requests may cost at most, by an estimate that errs on the high side. `dollars` is None without prices."""

    requests: int
    tokens_in: int
    tokens_out: int
    dollars: float | None


def estimate(requests: Sequence[Request], endpoint: Endpoint) -> Cost:
    """The cost of `requests` when every reply is as long as the parameters allow."""
    longest = max(int(endpoint.parameters.get(name) or 0) for name in _LENGTHS)
    if not longest and endpoint.dollars_per_million:
        raise UserError(
            f"judge '{endpoint.model}': without max_tokens among its parameters the cost has no bound; add it"
        )
    tokens_in = sum(len(message["content"].encode()) for r in requests for message in r.messages) // BYTES_PER_TOKEN
    tokens_out = longest * len(requests)
    return Cost(len(requests), tokens_in, tokens_out, dollars(endpoint, tokens_in, tokens_out))


def dollars(endpoint: Endpoint, tokens_in: int, tokens_out: int) -> float | None:
    """Price of so many tokens; None when prices are not known."""
    if endpoint.dollars_per_million is None:
        return None
    price_in, price_out = endpoint.dollars_per_million
    return (tokens_in * price_in + tokens_out * price_out) / 1e6


def ask(
    requests: Sequence[Request],
    endpoint: Endpoint,
    replies: Replies,
    max_dollars: float | None,
    spent: float,
    progress: Progress,
) -> dict[str, Reply | Gap]:
    """Send `requests`; every reply is in `replies` before anything else is done with it.

    Args:
        requests: distinct ones that the cache does not have.
        max_dollars: stop when what the server counted, on top of `spent`, costs more; None for no limit.
        spent: dollars so far.
        progress: in requests.

    Returns:
        A reply or a gap for the key of every request.

    Raises:
        Failure: the server refuses the key or the model, is down, asks for a long pause or has cost too much.
    """
    import openai

    client = openai.OpenAI(
        base_url=endpoint.base_url,
        api_key=os.environ.get(endpoint.key_variable) or "none",
        timeout=endpoint.timeout_seconds,
        max_retries=0,
    )
    line = _Line(endpoint)
    found: dict[str, Reply | Gap] = {}
    given_up = refused = 0
    with client, ThreadPoolExecutor(endpoint.concurrency) as pool:
        futures = {pool.submit(_ask_one, client, endpoint, r, replies, line): r.key for r in requests}
        try:
            for future in as_completed(futures):
                outcome = found[futures[future]] = future.result()
                progress(len(found), len(requests))
                if isinstance(outcome, Reply):
                    given_up, refused = 0, -len(requests)  # refusals count before the first reply alone
                    spent += dollars(endpoint, outcome.tokens_in, outcome.tokens_out) or 0.0
                    _check_spent(spent, max_dollars)
                else:
                    given_up, refused = given_up + (not outcome.refused), refused + outcome.refused
                    _check_up(given_up, refused, outcome, endpoint)
        finally:
            line.closed.set()
            pool.shutdown(cancel_futures=True)
    return found


def _check_spent(spent: float, max_dollars: float | None) -> None:
    if max_dollars is not None and spent > max_dollars:
        raise Failure(
            f"the judge has cost {spent:,.3f} dollars, over the cap of {max_dollars:,.3f}; "
            "what was judged is kept: raise the cap to go on"
        )


def _check_up(given_up: int, refused: int, last: Gap, endpoint: Endpoint) -> None:
    if refused >= REFUSALS:
        raise Failure(
            f"the judge at {endpoint.base_url} refuses every request ({last.reason}); "
            f"check its parameters ({', '.join(endpoint.parameters)}), or replay what there is"
        )
    if given_up >= OUTAGE:
        raise Failure(
            f"the judge at {endpoint.base_url} is down ({last.reason}); "
            "what was judged is kept: run the command again later, or replay what there is"
        )


class _Line:
    """The way to the server: a token bucket that all workers share, and that anyone may hold up or close."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.closed = threading.Event()
        self._spacing, self._burst = 60 / endpoint.requests_per_minute, endpoint.concurrency
        self._next, self._lock = time.monotonic(), threading.Lock()

    def wait(self) -> None:
        """Until a request may be sent."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now - (self._burst - 1) * self._spacing)
            self._next = turn + self._spacing
        self.closed.wait(max(0.0, turn - now))

    def hold(self, seconds: float) -> None:
        """Nobody sends anything for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


@dataclass(frozen=True)
class _Trouble:
    """Why an attempt failed that may be made again, and the seconds that the server asks to wait."""

    reason: str
    wait: float = 0.0


def _ask_one(client: Any, endpoint: Endpoint, request: Request, replies: Replies, line: _Line) -> Reply | Gap:
    reason = ""
    for attempt in range(ATTEMPTS):
        line.wait()
        if line.closed.is_set():
            return Gap("not asked")
        outcome = _attempt(client, endpoint, request)
        if isinstance(outcome, Reply):
            replies.keep(request, outcome)
        if not isinstance(outcome, _Trouble):
            return outcome
        reason = outcome.reason
        if outcome.wait:
            line.hold(outcome.wait)
        elif attempt + 1 < ATTEMPTS:
            line.closed.wait(_pause(request, attempt))
    return Gap(reason)


def _attempt(client: Any, endpoint: Endpoint, request: Request) -> Reply | Gap | _Trouble:
    import openai

    try:
        found = client.chat.completions.create(
            model=request.model, messages=list(request.messages), **request.parameters
        )
    except openai.APIStatusError as error:
        reason = f"status {error.status_code}: {_short(error.message)}"
        if error.status_code in (400, 413, 422):
            return Gap(reason, refused=True)
        _check_fatal(error, endpoint, reason)
        wait = _retry_after(error.response.headers)
        _check_wait(wait, endpoint)
        return _Trouble(reason, wait)
    except openai.APITimeoutError:
        return _Trouble(f"no answer in {endpoint.timeout_seconds:g} s")
    except (openai.OpenAIError, ValueError) as error:
        # A body that is not JSON comes up as a ValueError.
        return _Trouble(_short(f"{type(error).__name__}: {error.__cause__ or error}"))
    said = getattr(found, "error", None) or found
    return _reply(found) or _Trouble(f"not a chat completion: {_short(str(said))}")


def _reply(found: Any) -> Reply | None:
    """The reply in what the server sent; None when it has none. The client does not check what it is sent."""
    choices = getattr(found, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    if message is None:
        return None
    content, usage = getattr(message, "content", None), getattr(found, "usage", None)
    counts = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    tokens_in, tokens_out = (count if isinstance(count, int) else 0 for count in counts)
    return Reply(content if isinstance(content, str) else "", tokens_in, tokens_out)


def _check_fatal(error: Any, endpoint: Endpoint, problem: str) -> None:
    """Raise what no second attempt will mend."""
    if error.status_code in (401, 403):
        raise Failure(f"the judge at {endpoint.base_url} refuses the API key ({problem}); set {endpoint.key_variable}")
    if error.status_code in (404, 405):
        raise Failure(
            f"the judge at {endpoint.base_url} has no chat completions of model '{endpoint.model}' ({problem}); "
            "check the address (it ends in /v1) and the name"
        )
    if error.status_code == 402 or error.code == "insufficient_quota":
        raise Failure(f"the judge at {endpoint.base_url} wants money ({problem}); what was judged is kept")


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait, 0 when it asks for none. RFC 9110: a number of seconds or a date."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def _check_wait(seconds: float, endpoint: Endpoint) -> None:
    if seconds > LONGEST_WAIT_SECONDS:
        raise Failure(
            f"the judge at {endpoint.base_url} asks to wait {seconds:,.0f} s; run the command again then, "
            "what was judged is kept"
        )


def _pause(request: Request, attempt: int) -> float:
    """Exponential, and up to half as long again by the request's hash, so that workers do not come back as one."""
    jitter = hashlib.sha256(f"{request.key} {attempt}".encode()).digest()[0] / 255
    return FIRST_PAUSE_SECONDS * 2**attempt * (1 + jitter / 2)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else text[:117] + "..."
