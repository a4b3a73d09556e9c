"""Issues, as one thread each.

    Issue: It does not start

    username_0: When I start it, nothing happens.

    username_1: Which version?

    Closed.

Names are the placeholders that the StarCoder data put in their place.
"""

import re

READER_VERSION = 1

TITLE = re.compile(r"\s*Title:[ \t]*(.*)\n?")
CLOSED = "<issue_closed>"


def parse(content: str) -> str:
    """An issue between StarCoder's tags (arXiv:2305.06161, section 5) in our format; "" if it is none."""
    before, tag, thread = content.partition("<issue_start>")
    if not tag or before.strip():
        return ""
    closed = CLOSED in thread
    comments = [comment.strip() for comment in thread.replace(CLOSED, "").split("<issue_comment>")]
    title = TITLE.match(comments[0])
    head = []
    if title:
        head = [f"Issue: {title[1].strip()}"]
        comments[0] = comments[0][title.end() :].strip()
    return "\n\n".join([*head, *filter(None, comments), *(["Closed."] if closed else [])])
