"""Jupyter notebooks, as one text each: those of a pinned archive, and those of the StarCoder data.

    # %% [markdown]
    The text of the cell.

    # %%
    x = 1 + 1
    print(x)

    # Output:
    # 2

The cell marks are those that editors use for notebooks kept as scripts.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from mixtures.documents.document import Document
from mixtures.readers.fetch import Archive, texts

READER_VERSION = 1

OUTPUT_CHARACTERS = 600
"""Of a cell's printed output; the rest is cut at a line and marked with an ellipsis."""
EMBEDDED = re.compile(r"!?\[[^\]]*\]\(data:[^)]*\)|<img[^>]*base64[^>]*>")
TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def read(archives: Sequence[Archive], cache: Path) -> Iterator[Document]:
    """All notebooks; id = project/path, group = project/notebook name: each is a work of its own.

    Files that are not a notebook of format 4, or without a cell that has text, are left out.

    Raises:
        Failure: the archive cannot be had.
    """
    for archive, name, content in texts(archives, cache, lambda name: name.endswith(".ipynb")):
        if rendered := render(content):
            yield Document(f"{archive.project}/{name}", f"{archive.project}/{PurePosixPath(name).stem}", rendered)


def render(notebook: str) -> str:
    """A notebook's JSON as text, or "" when it is not a notebook of format 4."""
    try:
        cells = [
            _cell(cell["cell_type"], _joined(cell["source"]), _printed(cell.get("outputs", [])))
            for cell in json.loads(notebook)["cells"]
        ]
        return "\n\n".join(filter(None, cells))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


TAG = re.compile(r"<(jupyter_text|jupyter_code|jupyter_output)>")


def parse(content: str) -> str:
    """A notebook between StarCoder's tags (arXiv:2305.06161, section 5) in our format; "" if it is none."""
    _, *parts = TAG.split(content.replace("<empty_output>", ""))
    tagged = [*zip(parts[::2], parts[1::2], strict=True), ("", "")]
    cells = []
    for (tag, source), (following, output) in pairwise(tagged):
        if tag != "jupyter_output":
            kind = "code" if tag == "jupyter_code" else "markdown"
            cells.append(_cell(kind, source, output if following == "jupyter_output" else ""))
    return "\n\n".join(filter(None, cells))


def _cell(kind: str, source: str, printed: str) -> str:
    source = EMBEDDED.sub("", source).strip()
    if not source or kind not in ("markdown", "code"):
        return ""
    if kind == "markdown":
        return f"# %% [markdown]\n{source}"
    output = _comment(printed)
    return f"# %%\n{source}" + (f"\n\n# Output:\n{output}" if output else "")


def _printed(outputs: list[dict[str, Any]]) -> str:
    """Printed text and plain results; pictures, HTML, standard error and tracebacks are left out."""
    printed = ""
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        plain = output.get("text") or output.get("data", {}).get("text/plain", "")
        printed += _joined(plain).rstrip("\n") + "\n"
    return printed


def _comment(printed: str) -> str:
    lines = TERMINAL.sub("", printed).strip("\n").splitlines()
    kept = [line for line, end in zip(lines, accumulate(map(len, lines)), strict=True) if end <= OUTPUT_CHARACTERS]
    marked = [*kept, "..."] if len(kept) < len(lines) else kept
    return "\n".join(f"# {line}".rstrip() for line in marked)


def _joined(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)
