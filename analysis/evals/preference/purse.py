"""What a server may cost: an estimate before anything is sent, and a cap that holds while it is."""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.evals.preference.cache import Request
from analysis.evals.preference.endpoint import LENGTHS, Endpoint
from store.errors import Failure, UserError

BYTES_PER_TOKEN = 3
"""For the estimate of cost. English has 4 to 5, so the estimate is on the high side."""


@dataclass(frozen=True)
class Cost:
    """What requests may cost at most, by an estimate that errs on the high side. `dollars` is None without prices."""

    requests: int
    tokens_in: int
    tokens_out: int
    dollars: float | None


def estimate(requests: Sequence[Request], endpoint: Endpoint) -> Cost:
    """The cost of `requests` when every reply is as long as the parameters allow."""
    if not longest(endpoint) and endpoint.dollars_per_million:
        raise UserError(
            f"judge '{endpoint.model}': without max_tokens among its parameters the cost has no bound; add it"
        )
    tokens_in, tokens_out = sum(map(tokens_sent, requests)), longest(endpoint) * len(requests)
    return Cost(len(requests), tokens_in, tokens_out, dollars(endpoint, tokens_in, tokens_out))


def longest(endpoint: Endpoint) -> int:
    """Tokens of the longest reply that is asked for; 0 where nothing bounds it."""
    return max(int(endpoint.body.get(name) or 0) for name in LENGTHS)


def tokens_sent(request: Request) -> int:
    """By the estimate."""
    return sum(tokens_of(message["content"]) for message in request.messages)


def tokens_of(text: str) -> int:
    return -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN)


def dollars(endpoint: Endpoint, tokens_in: int, tokens_out: int) -> float | None:
    """Price of so many tokens; None when prices are not known."""
    if endpoint.dollars_per_million is None:
        return None
    price_in, price_out = endpoint.dollars_per_million
    return (tokens_in * price_in + tokens_out * price_out) / 1e6


class Purse:
    """The dollars of one command: every request takes what it may cost at most, and gives back what it did not."""

    def __init__(self, cap: float | None) -> None:
        if cap is not None and not 0 <= cap < math.inf:
            raise UserError(f"a cap of {cap} dollars is none; give a number of 0 or more, or leave it out")
        self.cap = cap
        self.spent = 0.0
        self._lock, self._taken = threading.Lock(), 0.0

    def require(self, expected: Cost) -> None:
        """Before anything is sent.

        Raises:
            UserError: prices are not known, or the cap is below what it may cost.
        """
        if self.cap is None:
            return
        if expected.dollars is None:
            raise UserError(f"a cap of {self.cap:,.3f} dollars needs the server's prices; give them, or leave it out")
        if self.spent + expected.dollars > self.cap:
            raise UserError(
                f"{expected.requests} requests to the server may cost {expected.dollars:,.3f} dollars "
                f"(spent: {self.spent:,.3f}), over the cap of {self.cap:,.3f}; raise the cap or ask less: what was "
                "answered is kept"
            )

    def take(self, dollars: float) -> None:
        """Before a request is sent.

        Raises:
            Failure: with it the cap might not hold.
        """
        with self._lock:
            if self.cap is not None and self.spent + self._taken + dollars > self.cap * (1 + 1e-9):
                raise Failure(
                    f"the server has cost {self.spent:,.3f} dollars, over the cap of {self.cap:,.3f} with what is "
                    "asked next; what was answered is kept: raise the cap to go on"
                )
            self._taken += dollars

    def settle(self, taken: float, cost: float) -> None:
        """Once it is known what a request has cost."""
        with self._lock:
            self._taken -= taken
            self.spent += cost
