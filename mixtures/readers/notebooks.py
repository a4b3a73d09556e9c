"""Jupyter notebooks of a pinned archive, as one text each.

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
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mixtures.documents import Document
from mixtures.fetch import Archive, members, text

OUTPUT_CHARACTERS = 600
"""Of a cell's printed output; the rest is cut at a line and marked with an ellipsis."""
EMBEDDED = re.compile(r"!?\[[^\]]*\]\(data:[^)]*\)|<img[^>]*base64[^>]*>")
TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def read(archive: Archive, cache: Path) -> Iterator[Document]:
    """All notebooks; id = project/path, group = project/notebook name: each is a work of its own.

    Files that are not a notebook of format 4, or without a cell that has text, are left out.

    Raises:
        Failure: the archive cannot be had.
    """
    for name, content in members(archive, cache, lambda name: name.endswith(".ipynb")):
        decoded = text(content)
        rendered = render(decoded) if decoded else ""
        if rendered:
            yield Document(f"{archive.project}/{name}", f"{archive.project}/{PurePosixPath(name).stem}", rendered)


def render(notebook: str) -> str:
    """A notebook's JSON as text, or "" when it is not a notebook of format 4."""
    try:
        cells = json.loads(notebook)["cells"]
        return "\n\n".join(part for cell in cells if (part := _cell(cell)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _cell(cell: dict[str, Any]) -> str:
    source = EMBEDDED.sub("", _joined(cell["source"])).strip()
    if not source or cell["cell_type"] not in ("markdown", "code"):
        return ""
    if cell["cell_type"] == "markdown":
        return f"# %% [markdown]\n{source}"
    output = _output(cell.get("outputs", []))
    return f"# %%\n{source}" + (f"\n\n# Output:\n{output}" if output else "")


def _output(outputs: list[dict[str, Any]]) -> str:
    """Printed text and plain results as a comment; pictures, HTML, standard error and tracebacks are left out."""
    printed = ""
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        plain = output.get("text") or output.get("data", {}).get("text/plain", "")
        printed += _joined(plain).rstrip("\n") + "\n"
    lines = TERMINAL.sub("", printed).strip("\n").splitlines()
    kept: list[str] = []
    for line in lines:
        if sum(map(len, kept)) + len(line) > OUTPUT_CHARACTERS:
            kept.append("...")
            break
        kept.append(line)
    return "\n".join(f"# {line}".rstrip() for line in kept)


def _joined(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)
