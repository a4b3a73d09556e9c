"""Requests to any server that speaks OpenAI's chat completions: many at a time, none lost, none asked for ever."""

import hashlib
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from analysis.evals.preference.cache import Replies, Reply, Request
from analysis.evals.preference.endpoint import Endpoint
from analysis.evals.preference.purse import Purse, dollars, longest, tokens_of, tokens_sent
from store.errors import Failure, UserError

ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 1.0
"""Doubled after every attempt: a request is given up after half a minute of trying, besides what the server asks."""
SILENCES = 2
"""Attempts of a request that may end without a word from the server: each takes its whole time-out."""
LONGEST_WAIT_SECONDS = 120.0
"""A server that asks for a longer pause is left alone; the run ends and can be taken up later."""
OUTAGE = 3
"""So many requests given up in a row, and the server counts as down."""
REFUSALS = 20
"""So many requests refused before the first reply, and it is not the single request that is wrong."""
TICK_SECONDS = 1.0
"""Between two looks at what has come, and two words on it."""
LONGEST_REPLY = 4 << 20
"""Bytes; a server that sends more has not understood."""
MOST_TOKENS = 10**9
"""Of one request; a server that counts more has sent something damaged."""

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do, now and then with nothing new."""


@dataclass(frozen=True)
class Gap:
    """A request without a reply, or an attempt that brought none."""

    reason: str
    refused: bool = False
    """The server will not take this very request (too long, filtered); others may pass. All else is tried again."""
    sent: bool = False
    """It may have to be paid for all the same."""
    silent: bool = False
    """It took the whole time-out."""
    wait: float = 0.0
    """Seconds that the server asks for before the next attempt."""


def ask(
    requests: Sequence[Request], endpoint: Endpoint, replies: Replies, purse: Purse, progress: Progress
) -> dict[str, Reply | Gap]:
    """Send `requests`; every reply is in `replies` before anything else is done with it.

    Args:
        requests: distinct ones that the cache does not have.
        purse: what may be spent; what it says is spent holds for silent servers, too.
        progress: in requests.

    Returns:
        A reply or a gap for the key of every request.

    Raises:
        Failure: the server refuses the key or the model, is down, asks for a long pause or has cost too much.
    """
    server = _Server(endpoint)
    found: dict[str, Reply | Gap] = {}
    with _client(endpoint) as client, ThreadPoolExecutor(endpoint.concurrency) as pool:
        futures = {pool.submit(_ask_one, client, endpoint, r, replies, server, purse): r.key for r in requests}
        trouble: BaseException | None = None
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, TICK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    try:
                        found[futures[future]] = future.result()
                    except Failure as failure:  # what is under way is waited for: it is paid
                        trouble = trouble or failure
                        server.closed.set()
                        pending -= {other for other in pending if other.cancel()}
                progress(len(found), len(requests))
        finally:
            server.closed.set()
            pool.shutdown(cancel_futures=True)
    if trouble is not None:
        raise trouble
    return found


def _client(endpoint: Endpoint) -> Any:
    """The client, with nothing of what the environment has for another one's server, and no voice of its own."""
    import openai

    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):  # they would log addresses and headers
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = openai.OpenAI(
            base_url=endpoint.address,
            api_key=endpoint.key or "none",
            timeout=endpoint.timeout_seconds,
            max_retries=0,
            default_headers=endpoint.headers,
            default_query=endpoint.query,
        )
    except Exception as error:  # such as a host name that cannot be one
        raise UserError(
            f"the server at {endpoint.address} cannot be asked ({_said(error, endpoint)}); check address and headers"
        ) from None
    client.organization = client.project = None
    return client


class _Server:
    """What all workers know of it: when a request may be sent, by a token bucket, and whether it is worth going on.

    `closed` is set when nobody shall send anything any more.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.closed = threading.Event()
        self._endpoint, self._lock = endpoint, threading.Lock()
        self._spacing, self._next = 60 / endpoint.requests_per_minute, time.monotonic()
        self._spoke = self._replied = False
        self._silences = self._given_up = self._refused = 0

    def wait(self) -> None:
        """Until a request may be sent."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now - (self._endpoint.concurrency - 1) * self._spacing)
            self._next = turn + self._spacing
        self.closed.wait(max(0.0, turn - now))

    def hold(self, seconds: float) -> None:
        """Nobody sends anything for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def note(self, outcome: Reply | Gap, last: bool) -> None:
        """How an attempt ended, the last one of its request or not.

        Raises:
            Failure: it is the server and not the single request, so that there is no use in going on.
        """
        with self._lock:
            if isinstance(outcome, Reply):
                self._spoke = self._replied = True
                self._given_up = 0
                return
            self._spoke |= not outcome.silent
            self._silences += outcome.silent
            self._refused += last and outcome.refused and not self._replied
            self._given_up += last and not outcome.refused
            silent = outcome.silent and not self._spoke and self._silences >= OUTAGE
            refuses, down = self._refused >= REFUSALS, silent or self._given_up >= OUTAGE
        at = f"the server at {self._endpoint.address}"
        if refuses:
            raise Failure(
                f"{at} refuses every request ({outcome.reason}); "
                f"check its parameters ({', '.join(self._endpoint.public)}), or replay what there is"
            )
        if down:
            self.closed.set()
            raise Failure(
                f"{at} is down ({outcome.reason}); "
                "what was answered is kept: run the command again later, or replay what there is"
            )


def _ask_one(
    client: Any, endpoint: Endpoint, request: Request, replies: Replies, server: _Server, purse: Purse
) -> Reply | Gap:
    silences = 0
    for attempt in itertools.count(1):
        server.wait()
        if server.closed.is_set():
            break
        outcome = _paid_attempt(client, endpoint, request, purse)
        if isinstance(outcome, Reply):
            replies.keep(request, outcome)
            server.note(outcome, last=True)
            return outcome
        silences += outcome.silent
        last = outcome.refused or silences == SILENCES or attempt == ATTEMPTS
        server.note(outcome, last)
        if last:
            return outcome
        if outcome.wait:
            server.hold(outcome.wait)
        else:
            server.closed.wait(_pause(request, attempt))
    return Gap("not asked")


def _paid_attempt(client: Any, endpoint: Endpoint, request: Request, purse: Purse) -> Reply | Gap:
    """An attempt, its price taken from the purse: that of the reply, or the most where nobody says what it was."""
    most = dollars(endpoint, tokens_sent(request), longest(endpoint)) or 0.0
    purse.take(most)
    cost = most
    try:
        outcome = _attempt(client, endpoint, request)
        if isinstance(outcome, Reply):
            cost = dollars(endpoint, outcome.tokens_in, outcome.tokens_out) or 0.0
        elif not outcome.sent:
            cost = 0.0
    finally:
        purse.settle(most, cost)
    return outcome


def _attempt(client: Any, endpoint: Endpoint, request: Request) -> Reply | Gap:
    import openai

    completions = client.chat.completions.with_streaming_response
    until = time.monotonic() + endpoint.timeout_seconds
    try:
        with completions.create(model=request.model, messages=list(request.messages), extra_body=endpoint.body) as sent:
            content = _read(sent.iter_bytes(), until)
        return _reply(content, endpoint, request)
    except openai.APIStatusError as error:
        return _refusal(error, endpoint)
    except Exception as error:  # a client does not check what it is sent, and raises whatever comes of it
        connected = not type(error.__cause__).__name__.startswith("Connect")
        if "Timeout" in type(error).__name__:
            return Gap(f"no answer in {endpoint.timeout_seconds:g} s", silent=True, sent=connected)
        return Gap(_said(error, endpoint), sent=connected)


def _refusal(error: Any, endpoint: Endpoint) -> Gap:
    """What a status other than success means.

    Raises:
        Failure: no second attempt will mend it.
    """
    at, status = f"the server at {endpoint.address}", error.status_code
    reason = f"status {status}: {_said(error.message, endpoint)}"
    if status in (400, 413, 422):
        return Gap(reason, refused=True)
    if status in (401, 403):
        raise Failure(f"{at} refuses the API key ({reason}); set {endpoint.key_variable}")
    if status in (404, 405):
        raise Failure(
            f"{at} has no chat completions of model '{endpoint.model}' ({reason}); "
            "check the address (it ends in /v1) and the name"
        )
    if status == 402 or error.code == "insufficient_quota":
        raise Failure(f"{at} wants money ({reason}); what was answered is kept")
    pause = _retry_after(error.response.headers)
    if pause > LONGEST_WAIT_SECONDS:
        raise Failure(f"{at} asks to wait {pause:,.0f} s; run the command again then, what was answered is kept")
    return Gap(reason, wait=pause)


def _read(parts: Any, until: float) -> bytes:
    """A body, which may come slowly or never end: the client's time-out is that of each of its parts."""
    content = bytearray()
    for part in parts:
        content += part
        if time.monotonic() > until:
            raise TimeoutError
        if len(content) > LONGEST_REPLY:
            raise ValueError(f"more than {LONGEST_REPLY:,} bytes")
    return bytes(content)


def _reply(content: bytes, endpoint: Endpoint, request: Request) -> Reply | Gap:
    """The reply in what the server sent."""
    try:
        found = json.loads(content)
    except ValueError as error:
        text = content.decode(errors="replace").strip()
        return Gap(_said(f"not a chat completion: {text}" if text else error, endpoint), sent=True)
    try:
        spoken, usage = found["choices"][0]["message"].get("content"), found.get("usage")
    except (LookupError, TypeError, AttributeError):
        what = found.get("error") or found if isinstance(found, dict) else found
        return Gap(_said(f"not a chat completion: {what}", endpoint), sent=True)
    text = endpoint.redacted(spoken) if isinstance(spoken, str) else ""
    names = ("prompt_tokens", "completion_tokens")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in names]
    for count in counts:
        if isinstance(count, int | float) and not abs(count) <= MOST_TOKENS:
            return Gap(f"a damaged reply: it counts {str(count)[:20]} tokens", refused=True, sent=True)
    if any("\ud800" <= character <= "\udfff" for character in text):
        return Gap("a damaged reply: it holds half a character", refused=True, sent=True)
    return Reply(text, *_tokens(counts, text, endpoint, request))


def _tokens(counts: Sequence[Any], text: str, endpoint: Endpoint, request: Request) -> tuple[int, int]:
    """In and out, as the server counted; what it does not say, or what cannot be, is as much as it may be."""
    sent, said = (int(count) if isinstance(count, int | float) and count >= 0 else 0 for count in counts)
    return sent or tokens_sent(request), said or (text and (longest(endpoint) or tokens_of(text))) or 0


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait, 0 when it asks for none. RFC 9110: a number of seconds or a date."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, OSError):
        return 0.0


def _pause(request: Request, attempt: int) -> float:
    """Exponential, and up to half as long again by the request's hash, so that workers do not come back as one."""
    jitter = hashlib.sha256(f"{request.key} {attempt}".encode()).digest()[0] / 255
    return FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * (1 + jitter / 2)


def _said(what: object, endpoint: Endpoint) -> str:
    """A text, or an exception's, as one line that can be printed, without the endpoint's secrets."""
    text = f"{type(what).__name__}: {what.__cause__ or what}" if isinstance(what, BaseException) else str(what)
    text = "".join(c if c.isprintable() else "?" for c in " ".join(endpoint.redacted(text).split()))
    return text if len(text) <= 120 else text[:117] + "..."
