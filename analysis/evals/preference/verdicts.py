"""Two arms' answers to the same prompts, judged in both orders. A disagreement between the orders is a tie."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.evals.preference import protocol
from analysis.evals.preference.cache import Replies, Reply, Request, opened
from analysis.evals.preference.client import Gap, Progress, ask
from analysis.evals.preference.endpoint import Endpoint
from analysis.evals.preference.purse import Cost, Purse, dollars, estimate
from store.errors import Failure

Outcome = Literal["win", "tie", "loss", "invalid", "gap"]
Verdict = Literal["arm", "baseline", "invalid", "gap"]


@dataclass(frozen=True)
class Pair:
    """One prompt and what two arms answered; `id` is the prompt's, shared by the pairs of several seeds."""

    id: str
    prompt: str
    arm: str
    baseline: str


@dataclass(frozen=True)
class Judged:
    """What came of one pair.

    Attributes:
        id: of the prompt.
        outcome: the arm's. "invalid": a verdict that could not be read even after one repair. "gap": no reply.
        verdicts: the answer preferred when the arm's came first and when it came second; one verdict from a judge that
            sees no order; empty when there was nothing to ask.
        arm_length: of the answer, in characters.
        baseline_length: likewise.
        note: why it was not asked ("identical", "empty") or what the gap was.
        seed: of both arms' runs, where there are several.
    """

    id: str
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    arm_length: int
    baseline_length: int
    note: str = ""
    seed: int = 0


def cost(pairs: Sequence[Pair], endpoint: Endpoint, cache: Path) -> Cost:
    """What judging `pairs` may still cost, repairs aside: what the cache has is free."""
    with opened(cache) as replies:
        return estimate(_missing(_questions(pairs, endpoint).values(), replies), endpoint)


def bill(pairs: Sequence[Pair], endpoint: Endpoint, cache: Path) -> Cost:
    """What the replies on `pairs` have cost so far, repairs included, by the tokens that the server counted (or, where
    it said nothing, may have)."""
    questions = _questions(pairs, endpoint)
    with opened(cache) as replies:
        found = {key: reply for key, request in questions.items() if (reply := replies.get(request)) is not None}
        again = [replies.get(_repair(endpoint, questions[key], reply)) for key, reply in found.items()]
    paid = [*found.values(), *(reply for reply in again if reply is not None)]
    tokens_in, tokens_out = sum(reply.tokens_in for reply in paid), sum(reply.tokens_out for reply in paid)
    return Cost(len(paid), tokens_in, tokens_out, dollars(endpoint, tokens_in, tokens_out))


def judge(
    pairs: Sequence[Pair],
    endpoint: Endpoint,
    cache: Path,
    max_dollars: float | Purse | None,
    replay: bool = False,
    progress: Progress = lambda done, total: None,
) -> tuple[Judged, ...]:
    """Judge `pairs`, in their order.

    Args:
        pairs: two blank or two equal answers are a tie and a blank one loses, without asking; all are noted.
        endpoint: who judges; a replay asks for what this server and model said with these parameters.
        cache: file with all replies so far. An interrupted run goes on from it.
        max_dollars: for this call, or a purse that others share. Nothing is sent when the estimate is above, and no
            more once the cap might not hold; None for no cap.
        replay: ask nobody; what the cache does not have is a gap.
        progress: in requests.

    Raises:
        UserError: the estimate is above the cap, or there is a cap and no price.
        Failure: the judge cannot be used or none of its replies came; the cache is damaged.
    """
    questions = _questions(pairs, endpoint)
    purse = max_dollars if isinstance(max_dollars, Purse) else Purse(max_dollars)
    with opened(cache) as replies:
        first = _answers(list(questions.values()), endpoint, replies, purse, replay, progress)
        again = {
            key: _repair(endpoint, questions[key], reply)
            for key, reply in first.items()
            if isinstance(reply, Reply) and protocol.verdict(reply.text) is None
        }
        second = _answers(list(again.values()), endpoint, replies, purse, replay, progress)
    gaps = [outcome for outcome in first.values() if isinstance(outcome, Gap)]
    if gaps and len(gaps) == len(first):
        raise Failure(
            f"judge '{endpoint.model}' gave no reply to any of {len(gaps)} requests ({gaps[0].reason}); "
            f"check the server and its address, {endpoint.address}"
        )
    final = {key: second[again[key].key] if key in again else outcome for key, outcome in first.items()}
    return tuple(_judged(pair, endpoint, final) for pair in pairs)


def unasked(pair: Pair) -> Judged | None:
    """What comes of a pair that needs no judge, or None."""
    arm, baseline = pair.arm.strip(), pair.baseline.strip()
    if arm == baseline:
        return judged(pair, "tie", (), "identical" if arm else "empty")
    if not arm or not baseline:
        return judged(pair, "win" if arm else "loss", (), "empty")
    return None


def judged(pair: Pair, outcome: Outcome, verdicts: tuple[Verdict, ...], note: str = "") -> Judged:
    return Judged(pair.id, outcome, verdicts, len(pair.arm), len(pair.baseline), note)


def _request(endpoint: Endpoint, messages: Sequence[protocol.Message]) -> Request:
    return Request(endpoint.model, endpoint.public, messages, endpoint.address)


def _repair(endpoint: Endpoint, asked: Request, reply: Reply) -> Request:
    return _request(endpoint, protocol.repair(asked.messages, reply.text))


def _orders(pair: Pair, endpoint: Endpoint) -> tuple[Request, Request]:
    """The two questions about a pair: the arm's answer as (A), then as (B)."""
    return (
        _request(endpoint, protocol.question(pair.prompt, pair.arm, pair.baseline)),
        _request(endpoint, protocol.question(pair.prompt, pair.baseline, pair.arm)),
    )


def _questions(pairs: Sequence[Pair], endpoint: Endpoint) -> dict[str, Request]:
    return {r.key: r for pair in pairs if unasked(pair) is None for r in _orders(pair, endpoint)}


def _missing(requests: Iterable[Request], replies: Replies) -> list[Request]:
    return [request for request in requests if replies.get(request) is None]


def _answers(
    requests: Sequence[Request],
    endpoint: Endpoint,
    replies: Replies,
    purse: Purse,
    replay: bool,
    progress: Progress,
) -> dict[str, Reply | Gap]:
    """The outcome of every request by its key, from the cache where it has it."""
    missing = _missing(requests, replies)
    asked: dict[str, Reply | Gap] = {}
    if replay:
        asked = {request.key: Gap("not in the cache") for request in missing}
    elif missing:
        purse.require(estimate(missing, endpoint))
        asked = ask(missing, endpoint, replies, purse, progress)
    # What the cache holds is what counts: another process may have been first, and a replay must find the same.
    return {r.key: replies.get(r) or asked[r.key] for r in requests}


def _judged(pair: Pair, endpoint: Endpoint, outcomes: Mapping[str, Reply | Gap]) -> Judged:
    if known := unasked(pair):
        return known
    replied = [outcomes[request.key] for request in _orders(pair, endpoint)]
    verdicts = (_verdict(replied[0], "arm", "baseline"), _verdict(replied[1], "baseline", "arm"))
    note = next((reply.reason for reply in replied if isinstance(reply, Gap)), "")
    return judged(pair, combine(verdicts), verdicts, note)


def _verdict(reply: Reply | Gap, shown_as_a: Verdict, shown_as_b: Verdict) -> Verdict:
    if isinstance(reply, Gap):
        return "gap"
    preferred = protocol.verdict(reply.text)
    return "invalid" if preferred is None else shown_as_a if preferred == "A" else shown_as_b


def combine(verdicts: Sequence[Verdict]) -> Outcome:
    """The arm's outcome: both orders must say the same for a win or a loss, and both must be readable for a tie."""
    if "gap" in verdicts:
        return "gap"
    if "invalid" in verdicts:
        return "invalid"
    if len(set(verdicts)) > 1:
        return "tie"
    return "win" if verdicts[0] == "arm" else "loss"
