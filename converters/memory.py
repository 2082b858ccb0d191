"""No memory left: one line that says what was being done, in place of whatever a library says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edgekit.errors import ConversionError, EdgekitError

_WORDS = ("can't allocate memory", "bad_alloc", "failed to allocate memory", "out of memory")  # torch, C++, engines


@contextmanager
def enough_memory(doing: str, advice: str = "") -> Iterator[None]:
    """`ConversionError` that begins with what was being done, where memory runs out meanwhile. Steps that were finished
    are kept. A process that the kernel ends for its memory cannot say anything; the next build goes on from there."""
    try:
        yield
    except Exception as error:  # ONNX Runtime's have no base of their own
        if isinstance(error, EdgekitError) or not _ran_out(error):
            raise
        raise ConversionError(f"{doing}: no memory left{advice}") from error


def _ran_out(error: Exception) -> bool:
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(words in str(error).lower() for words in _WORDS)
