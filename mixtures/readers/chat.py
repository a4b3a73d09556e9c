"""Conversations, as plain text.

    User: What is it?

    Assistant: It is this.

Plain words and no tokens of a chat template: the paper anneals on instruct-style text (§2.1), it does not fine-tune.
"""

from collections.abc import Iterable, Mapping
from typing import Any

READER_VERSION = 1

SPEAKERS = {"user": "User", "prompter": "User", "assistant": "Assistant", "system": "System"}


def render(turns: Iterable[tuple[str, str]]) -> str:
    """(role, text) in order; "" when a role is none of `SPEAKERS`, such as a tool, or a turn says nothing."""
    turns = list(turns)
    if not all(role in SPEAKERS and text.strip() for role, text in turns):
        return ""
    return "\n\n".join(f"{SPEAKERS[role]}: {text.strip()}" for role, text in turns)


def best_thread(messages: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of a tree of messages the thread that follows the best-ranked reply, down to the last answer.

    Args:
        messages: with message_id, parent_id (None for the root), role and rank (0 is best; None when there was nothing
            to rank), as Open Assistant has them (arXiv:2304.07327).
    """
    replies: dict[str | None, list[Mapping[str, Any]]] = {}
    for message in messages:
        replies.setdefault(message["parent_id"], []).append(message)
    thread: list[Mapping[str, Any]] = []
    parent = None
    while parent in replies and len(replies[parent]) and len(thread) < 1_000:
        best = min(replies[parent], key=_rank)
        thread.append(best)
        parent = best["message_id"]
    while thread and thread[-1]["role"] != "assistant":
        thread.pop()
    return thread


def _rank(message: Mapping[str, Any]) -> tuple[bool, int, str]:
    rank = message["rank"]
    return rank is None, rank or 0, message["message_id"]
