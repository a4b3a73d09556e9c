"""A judge behind a server: where it is, what it is sent, and what of that nobody may read anywhere."""

import base64
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlsplit

from store.errors import UserError

PARAMETERS: Mapping[str, Any] = {"temperature": 0, "max_tokens": 1024}
LENGTHS = ("max_tokens", "max_completion_tokens")
HIDDEN = "***"
SHORTEST_SECRET = 4
"""Characters. A shorter one is a part of too many words to be looked for in what a server says."""

_NOT_IN_BODY = ("extra_headers", "extra_query", "extra_body")
"""As the client calls them: headers, query, and what is added to the body."""
_OURS = ("model", "messages", "n", "stream")
_SECRET_NAME = re.compile(
    r"(key|secret|password|passwd|authorization|auth|credentials?|bearer|cookie"
    r"|(^|access|auth|api|bearer|hf|refresh|session|id)token)$"
)
_SECRET_VALUE = re.compile(r"(Bearer|Basic) \S|sk-\w")


@dataclass(frozen=True)
class Endpoint:
    """A judge behind an OpenAI-compatible server (vLLM, llama.cpp's server, a hosted one).

    Attributes:
        base_url: as a rule it ends in /v1. A user, a password and a query in it are sent, and shown nowhere.
        model: the name that the server knows it by.
        parameters: sent with every request as they are; "extra_headers" and "extra_query" as that. `public` is what of
            them is known elsewhere.
        dollars_per_million: price of tokens (in, out); None when it is not known.
        key_variable: the environment variable with the API key; a server of one's own needs none. Not the one of some
            other client, whose key would go to whatever address is given here.

    Raises:
        UserError: it cannot work.
    """

    base_url: str = field(repr=False)
    model: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: dict(PARAMETERS), repr=False)
    dollars_per_million: tuple[float, float] | None = None
    requests_per_minute: float = 300.0
    concurrency: int = 8
    timeout_seconds: float = 120.0
    key_variable: str = "JUDGE_API_KEY"

    def __post_init__(self) -> None:
        _split(self.base_url)
        for name in ("requests_per_minute", "concurrency", "timeout_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"judge: {name} is {getattr(self, name)}; it must be a number above 0")
        for price in self.dollars_per_million or ():
            if not 0 <= price < math.inf:
                raise UserError(f"judge: a price of {price} dollars is none; give two numbers of 0 or more")
        _check_parameters(self.parameters)
        _check_parameters(self.body)
        if not self.model.isprintable():
            raise UserError(f"judge model {self.model!a} holds what cannot be sent; give its name as the server has it")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise UserError(f"the key in {self.key_variable} holds what a header cannot; set it anew")

    @cached_property
    def address(self) -> str:
        """The server: the URL without user, password, query and fragment."""
        parts = _split(self.base_url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}{'' if parts.port is None else f':{parts.port}'}{parts.path}"

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """What every request's body holds beside model and messages."""
        mine = {name: value for name, value in self.parameters.items() if name not in _NOT_IN_BODY}
        return {**mine, **self.parameters.get("extra_body", {})}

    @cached_property
    def public(self) -> Mapping[str, Any]:
        """What of the parameters decides a reply, for cache, records and lines: no header, no query, no secret."""
        return {name: _public(value, name) for name, value in self.body.items()}

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """Those of the parameters, and the URL's user and password as the one that they mean."""
        parts, headers = _split(self.base_url), dict(self.parameters.get("extra_headers", {}))
        if parts.username or parts.password:
            headers.setdefault("Authorization", f"Basic {_basic(parts)}")
        return headers

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The URL's, and that of the parameters."""
        asked = parse_qsl(_split(self.base_url).query, keep_blank_values=True)
        return {**dict(asked), **self.parameters.get("extra_query", {})}

    @property
    def key(self) -> str | None:
        return os.environ.get(self.key_variable, "").strip() or None

    def redacted(self, text: str) -> str:
        """`text` without the secrets, which a server may say in its replies, and a client in its exceptions."""
        parts = _split(self.base_url)
        secrets = {self.key or "", *self.headers.values(), *self.query.values(), *_hidden(self.body)}
        # Plain words of a header that is called like no secret may be a verdict's: "X-Title: Answer tool".
        secrets |= {
            word
            for name, value in self.headers.items()
            for word in value.split()
            if word not in ("Bearer", "Basic") and (_is_secret(name, value) or not word.isalpha())
        }
        secrets |= {text for part in (parts.username, parts.password) if part for text in (part, unquote(part))}
        # Also as a query has them, which every client writes in its own way, and JSON.
        forms = (quote, quote_plus, partial(quote, safe=""), lambda secret: json.dumps(secret)[1:-1])
        secrets |= {form(secret) for secret in secrets for form in forms}
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, HIDDEN)
        return text


def _split(url: str) -> SplitResult:
    """The parts of an address that can be asked.

    Raises:
        UserError: it is none.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        sound = sound and url.isascii() and url.isprintable() and " " not in url
    except ValueError:  # a port that is no number, half a bracket
        sound = False
    if not sound:
        raise UserError(f"judge URL '{_shown(url)}' is no http address; write it as https://host/v1")
    return parts


def _shown(url: str) -> str:
    """What may be shown of an address that cannot be taken apart."""
    without_user = re.sub(r"^([^/]*//|)[^/]*.*@", r"\1", url)
    return "".join(c if c.isprintable() else "?" for c in re.split(r"[?#]", without_user)[0])


def _basic(parts: SplitResult) -> str:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return base64.b64encode(pair.encode()).decode()


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    try:
        json.dumps(parameters, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError):
        raise UserError("the judge's parameters hold what JSON cannot (NaN, half a character); leave it out") from None
    for name in _NOT_IN_BODY:
        value = parameters.get(name, {})
        if not isinstance(value, Mapping) or (
            name != "extra_body"
            and not all(isinstance(each, str) and each.isascii() and each.isprintable() for each in value.values())
        ):
            raise UserError(f'judge parameter \'{name}\' is no object of texts; write it as {{"name": "value"}}')
    for name in _OURS:
        if name in parameters:
            raise UserError(f"judge parameter '{name}' is not yours to set: one whole reply is asked for; leave it out")
    for name in LENGTHS:
        value = parameters.get(name)
        if value is not None and not (type(value) is int and 0 < value < 10**9):
            raise UserError(f"judge parameter '{name}' is {value!a}; it must be a whole number above 0")


def _public(value: Any, name: str = "") -> Any:
    """`value` with its secrets hidden; what is called like one is one."""
    if _is_secret(name, value):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: _public(each, key) for key, each in value.items()}
    return [_public(each) for each in value] if isinstance(value, list) else value


def _is_secret(name: str, value: Any) -> bool:
    named = _SECRET_NAME.search(re.sub(r"[^a-z]", "", name.lower()))
    return bool(named) or (isinstance(value, str) and bool(_SECRET_VALUE.match(value)))


def _hidden(value: Any, name: str = "", inside: bool = False) -> Iterator[str]:
    """The texts in `value` that `_public` hides."""
    inside = inside or _is_secret(name, value)
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _hidden(each, key, inside)
    elif isinstance(value, list):
        for each in value:
            yield from _hidden(each, "", inside)
    elif inside:
        yield str(value)
