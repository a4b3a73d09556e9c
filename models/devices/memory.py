"""Memory of a step by arithmetic, and how those that give out say so. Pure Python."""

import re
from collections.abc import Mapping
from typing import Any

from models.config import parameters
from models.devices.candidates import Asked, Candidate, candidates
from models.devices.layout import Layout, MeshShape, accelerator_chunk

GIB = 2**30
SHARE = 0.92
"""Of the memory that a process may use of a GPU, the part that a layout may need: the rest is for what libraries take
and for holes between arrays."""
_SIZES = {"bfloat16": 2, "float32": 4}
_LEAST_KEPT = {"full": (1, 0), "attention": (2, 0), "dots": (5, 2), "none": (8, 3)}
"""Of a token and layer, in the precision of the products: times the width, and times the feed-forward width."""
_KEPT = {"full": (1, 0), "attention": (3, 0), "dots": (7, 2), "none": (12, 6)}
"""What the traced step keeps; the compiler may find that some of it is the same."""
_UNSURE = 1.1
"""What is asked for beyond an estimate."""
_UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_WORDS = ("resource_exhausted", "resource exhausted", "out of memory", "out_of_memory")
"""Of XLA, of libtpu for HBM and for a kernel's own memory, of XLA's allocator on GPU, of CUDA."""
_WHOLE = (
    r"temporaries \(([\d.]+)([KMGT]?)",  # v5e: "the total memory required for HLO temporaries (18.81G) exceeds"
    r"Used ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm",
    r"[Pp]rogram hbm requirement ([\d.]+)([KMGT]?)",
    r"total allocation:\s*([\d.]+)([KMGT]?)",  # GPU, of all buffers
)
"""What a whole step needs; other numbers are of one allocation or of another memory."""


def gave_out(text: str) -> bool:
    """Whether an error says that memory did not suffice, whichever and in whichever words."""
    return any(words in text.lower() for words in _WORDS)


def needed_gib(text: str) -> float | None:
    """GiB of a device that such an error says the step needs; None where it does not say."""
    found = (re.search(pattern, text) for pattern in _WHOLE)
    return next((float(each[1]) * _UNITS[each[2]] / GIB for each in found if each), None)


def least_gib(asked: Asked, candidate: Candidate) -> float:
    """Arrays that must be there at once in the middle of the step: the state, and what the forward pass keeps."""
    state = 12 * parameters(asked.config).total / candidate.mesh.fsdp
    return (state + _kept_bytes(asked, candidate, _LEAST_KEPT)) / GIB


def estimated(asked: Asked, mesh: MeshShape, memory: int) -> Layout | None:
    """The fastest layout that by an estimate fits devices with so many bytes each; None if none does."""
    fitting = (c for c in candidates(asked, [mesh]) if _UNSURE * estimated_bytes(asked, c) <= SHARE * memory)
    return next((candidate.layout for candidate in fitting), None)


def estimated_bytes(asked: Asked, candidate: Candidate) -> float:
    """What a step needs of one device, rather too much than too little (benchmarks/gpu.md holds it beside a compiler).

    All the time the state, the blocks' weights stacked for their loop, the sum of gradients where there are several
    passes, and what the layers keep. Beside them the larger of two: a chunk of the loss, with the embedding gathered in
    the precision of the products and its gradient twice, a sum and a part; and the backward pass of a block, with a
    gradient of everything and the embedding's of the lookup.
    """
    config, layout, fsdp = asked.config, candidate.layout, candidate.mesh.fsdp
    count, size, tokens = parameters(config), _SIZES[asked.precision], _tokens(asked, candidate)
    held = (12 + 4 * (layout.microbatches > 1)) * count.total + 4 * count.non_embedding
    logits = (4 + size) * min(accelerator_chunk(config.vocabulary), tokens) * config.vocabulary
    chunk = logits + (size + 4 + 4) * count.embedding
    working = 3 * size * tokens * (8 * config.width + 3 * config.feed_forward) + _square_bytes(asked, candidate)
    block = 4 * count.total / fsdp + 4 * count.embedding + working
    return held / fsdp + _kept_bytes(asked, candidate, _KEPT) + max(chunk, block)


def _square_bytes(asked: Asked, candidate: Candidate) -> float:
    """Of attention, what has a square of the sequence.

    cuDNN's kernel is given document masks as a bias and makes that one's gradient. In float32 there is no kernel but
    causal scores, weights and their gradient, of every layer where nothing is recomputed.
    """
    square = _tokens(asked, candidate) * asked.sequence
    if asked.precision == "bfloat16":
        return 2 * 2 * square
    layers = asked.config.layers if candidate.layout.remat == "none" else 1
    return 3 * 4 * asked.config.heads * layers * square / 2


def _kept_bytes(asked: Asked, candidate: Candidate, widths: Mapping[str, tuple[int, int]]) -> float:
    """Of all layers, from the forward pass to the backward pass."""
    config = asked.config
    of_width, of_feed_forward = widths[candidate.layout.remat]
    kept = of_width * config.width + of_feed_forward * config.feed_forward
    return _SIZES[asked.precision] * _tokens(asked, candidate) * config.layers * kept


def _tokens(asked: Asked, candidate: Candidate) -> int:
    """Of one device in one pass."""
    return asked.rows * asked.sequence // candidate.layout.microbatches


def step_gib(memory: Any) -> float:
    """GiB of a device, of the compiler's count of a compiled step."""
    total = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    return float(total / GIB)
