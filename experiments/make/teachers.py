"""Teachers that are no checkpoints: the problems' own solutions, and a model behind a server."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from analysis.evals.code import executed
from analysis.evals.code.executed import Problem
from analysis.evals.preference import client, endpoint
from analysis.evals.preference.cache import Request, opened
from analysis.evals.preference.client import Gap
from analysis.evals.preference.purse import Purse, estimate
from experiments.make import answers
from experiments.make.sampling import Drawing
from experiments.study import Endpoint
from store import kept_rows, layout
from store.errors import Failure

MAX_TOKENS = 1_024
"""Of a reply."""
SYSTEM = "You write Python. Reply with code in one fenced block, and with nothing else."
ASKED = (
    "Go on with this text so that it does what it says.\n\n```python\n{prompt}\n```\n\n"
    "Give only what comes after it, indented as it has to be there."
)

_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:\n?```|\Z)", re.DOTALL)


def solutions(problems: Sequence[Problem]) -> answers.Said:
    """What the data say is right, once for each problem that has it."""
    return {
        (problem.id, 0): {"text": executed.extract(problem, problem.solution)}
        for problem in problems
        if problem.solution
    }


def replied(
    who: Endpoint,
    problems: Sequence[Problem],
    drawing: Drawing,
    store: Path,
    folder: Path,
    number: int,
    key: dict[str, Any],
    progress: Callable[[int], None],
) -> answers.Said:
    """What a server says to all problems: replies are replayed, and what it was never asked is asked.

    What it will not take (too long, filtered) is an answer, too. With whatever else is missing nothing is made, for it
    would be made of what the network let through that day.

    Args:
        number: of who answers.
        progress: told how many answers there are.

    Raises:
        UserError: it may cost more than is allowed.
        Failure: the server cannot be used, is down, left requests without a reply, or has cost too much; the other
            replies are kept.
    """
    known, purse = answers.said(folder, number, key), Purse(who.max_dollars)
    for draw in range(drawing.samples):
        if left := [problem for problem in problems if (problem.id, draw) not in known]:
            server = _server(who, drawing, draw)
            requests = {problem.id: _request(server, problem) for problem in left}
            found = asked(server, requests, store, purse, partial(_onward, progress, len(known)))
            rows = [_row(problem, draw, found[problem.id]) for problem in left]
            kept_rows.keep(answers.place(folder, number), key, rows)
            known |= {(row["problem"], draw): row for row in rows}
        progress(len(known))
    return known


def _onward(progress: Callable[[int], None], before: int, done: int, total: int) -> None:
    progress(before + done)


def asked(
    server: endpoint.Endpoint, requests: Mapping[str, Request], store: Path, purse: Purse, progress: client.Progress
) -> dict[str, str | None]:
    """What a server replies to every request, under the same names; None where it will not take it.

    Args:
        purse: what may be spent.
        progress: told how many of those that were not answered before are.

    Raises:
        UserError: they may cost more than the purse has.
        Failure: as `replied`.
    """
    with opened(store / layout.REPLIES) as replies:
        missing = list({its.key: its for its in requests.values() if replies.get(its) is None}.values())
        if missing:
            purse.require(estimate(missing, server))
        found = client.ask(missing, server, replies, purse, progress) if missing else {}
        gaps = [its for its in found.values() if isinstance(its, Gap) and not its.refused]
        if gaps:
            raise Failure(
                f"'{server.model}' left {len(gaps)} of {len(requests)} requests without a reply ({gaps[0].reason}); "
                "the others are kept: run again to ask these once more"
            )
        kept = {name: replies.get(its) for name, its in requests.items()}
    return {name: None if its is None else its.text for name, its in kept.items()}


def request(server: endpoint.Endpoint, system: str, user: str) -> Request:
    """Of a server, as its replies are kept."""
    messages = ({"role": "system", "content": system}, {"role": "user", "content": user})
    return Request(server.model, server.public, messages, server.address)


def _server(who: Endpoint, drawing: Drawing, draw: int) -> endpoint.Endpoint:
    """As it is asked for one of the draws: they differ in their seeds, so that each has a reply of its own."""
    how = {"temperature": drawing.temperature(draw), "top_p": drawing.top_p, "max_tokens": MAX_TOKENS, "seed": draw}
    return endpoint.Endpoint(who.base_url, who.model, how, who.dollars_per_million)


def _request(server: endpoint.Endpoint, problem: Problem) -> Request:
    return request(server, SYSTEM, ASKED.format(prompt=problem.prompt.rstrip("\n")))


def _row(problem: Problem, draw: int, reply: str | None) -> dict[str, Any]:
    text, fault = ("", answers.REFUSED) if reply is None else _code(problem, reply)
    return {"problem": problem.id, "sample": draw, "text": text, "fault": fault}


def _code(problem: Problem, reply: str) -> tuple[str, str]:
    """What goes on from the prompt in a reply, and what is wrong with it.

    Where the program has to begin with the prompt, a reply that begins so, too, loses that, and one that begins like a
    program of its own is none that goes on.
    """
    fenced = _FENCED.search(reply)
    text = (fenced[1] if fenced else reply).replace("\r\n", "\n")
    head, tail = problem.head.strip(), problem.head[len(problem.head.rstrip()) :]
    if head and text.lstrip().startswith(head):
        text = text.lstrip()[len(head) :].removeprefix(tail)
    elif tail.endswith("\n") and text.strip() and not text.lstrip("\n")[0].isspace():
        return text, answers.NOT_ON
    return executed.extract(problem, text), ""
