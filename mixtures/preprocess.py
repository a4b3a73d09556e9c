"""What happens to a text before it is tokenised: plain functions that preparation and the seqio Tasks share."""

MIN_CHARACTERS = 16
MAX_BYTES = 1_000_000


def clean(text: str) -> str:
    """Unix line ends, no byte-order mark, no trailing blanks on lines or around the text."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def drop_reason(text: str) -> str | None:
    """Why a cleaned document is left out, or None. Every drop is counted by its reason in the manifest."""
    if not text:
        return "empty"
    if len(text) < MIN_CHARACTERS:
        return "shorter than 16 characters"
    if "\0" in text:
        return "NUL bytes"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "invalid Unicode"
    return "larger than 1 MB" if size > MAX_BYTES else None
