"""What the tests of network cameras share: a film to play, and how long something took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from painted import paint

from edgekit.benchmarks.reliability.camera_server import Film

FILM = Film.of([paint(("red", 10 * i, 40), ("blue", 20, 5 * i)) for i in range(12)], width=160)


@contextmanager
def within(least_s: float, most_s: float) -> Iterator[None]:
    """What is done in the block takes so long, no less and no more."""
    began = time.monotonic()
    yield
    spent = time.monotonic() - began
    assert least_s <= spent <= most_s, f"took {spent:.2f} s"
