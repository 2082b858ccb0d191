"""Kills the process that writes to the outbox, with SIGKILL and at any moment, and looks for what it said was stored.

The writer says over a pipe which events `put` has stored and which it is about to acknowledge. The control says so
before it puts them. A kill comes after a drawn number of such words and not only after a drawn time, so that a disk
that takes its time over every fsync is killed in the middle of its work as often as a quick one.
"""

from __future__ import annotations

import os
import random
import select
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from edgekit.benchmarks.reliability.figures import Figures
from edgekit.events import OBSERVATION, Author
from edgekit.outbox import Outbox

PROMISE = "every event that was stored before its writer was killed is there for the next one"
SINKS = ("broker",)
LIVES = 20  # writers one after the other on the same file
MOST_WORDS = 40
LONGEST_S = 0.005  # from the last word that was waited for until the kill
OPENING_S = 0.005
PATIENCE_S = 10.0  # for a writer that has nothing to say any more
_FAULTS = ("lost", "damaged", "came_back")


def run(times: int, seed: int, progress: Callable[[int, int], None] | None = None) -> Figures:
    """`times` kills, and a tenth of that for the control."""
    began = time.perf_counter()
    counts = _kills(times, seed, False, progress)
    wrong = control(max(20, times // 10), seed)
    kept = counts["stored"] > 0 and not any(counts[fault] for fault in _FAULTS)
    return Figures(
        "writer_kill", times, seed, PROMISE, kept, counts, time.perf_counter() - began, wrong, wrong["lost"] > 0
    )


def control(times: int, seed: int) -> dict[str, float]:
    """A writer that says that an event is stored just before it stores it."""
    return _kills(times, seed, True, None)


def _kills(times: int, seed: int, early: bool, progress: Callable[[int, int], None] | None) -> dict[str, float]:
    draw = random.Random(seed)
    counts = Counter(dict.fromkeys(("kills", "kills_while_opening", "stored", *_FAULTS), 0))
    while counts["kills"] < times:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            path = Path(folder) / "outbox.db"
            must: set[str] = set()
            for _ in range(min(LIVES, times - counts["kills"])):
                said = _one_life(path, draw, early)
                must = _compare(path, must, said, counts)
                if progress:
                    progress(counts["kills"], times)
    return dict(counts)


def _one_life(path: Path, draw: random.Random, early: bool) -> list[str]:
    """Start a writer, kill it at some moment; the lines that it has said."""
    ear, mouth = os.pipe()
    seed, boot = draw.getrandbits(32), f"{draw.getrandbits(48):012x}"
    words = draw.randint(1, MOST_WORDS) if draw.random() < 0.8 else 0  # none: most likely while it opens its file
    wait_s = draw.uniform(0, LONGEST_S if words else OPENING_S)
    child = os.fork()  # the parent is warm, so the writer begins at once
    if child == 0:
        os.close(ear)
        _write_until_killed(path, mouth, Author("cart-17", boot), random.Random(seed), early)
    os.close(mouth)
    said = _listen(ear, words)
    time.sleep(wait_s)
    os.kill(child, signal.SIGKILL)
    with open(ear, "rb") as rest:
        said += rest.read()
    os.waitpid(child, 0)
    return [line.decode("ascii").strip() for line in said.splitlines(keepends=True) if line.endswith(b"\n")]


def _listen(ear: int, words: int) -> bytes:
    """What the writer says until it has said so many words, or has been silent for `PATIENCE_S`."""
    said = b""
    while said.count(b"\n") < words and select.select([ear], [], [], PATIENCE_S)[0]:
        heard = os.read(ear, 4096)
        if not heard:
            break
        said += heard
    return said


def _write_until_killed(path: Path, mouth: int, author: Author, draw: random.Random, early: bool) -> NoReturn:
    try:
        outbox = Outbox(path, SINKS)
        os.write(mouth, b"open\n")
        while True:
            event = author.event(OBSERVATION, "front", {"seen": "x" * draw.choice((20, 300, 5000))})
            said = f"stored {event.id}\n".encode()
            if early:
                os.write(mouth, said)
                outbox.put(event)
            elif outbox.put(event):
                os.write(mouth, said)
            if draw.random() < 0.2:
                for row in outbox.pending(SINKS[0], limit=draw.randint(1, 5)):
                    os.write(mouth, f"delivering {row.id}\n".encode())
                    outbox.acked(SINKS[0], [row.seq])
                    os.write(mouth, f"delivered {row.id}\n".encode())
    finally:
        os._exit(1)  # a child of fork must not go on as its parent


def _compare(path: Path, must: set[str], said: list[str], counts: Counter[str]) -> set[str]:
    """Hold what is there against what must be; what is there now."""
    told: dict[str, set[str]] = {"open": set(), "stored": set(), "delivering": set(), "delivered": set()}
    for line in said:
        word, _, id_ = line.partition(" ")
        told[word].add(id_)
    with Outbox(path, SINKS) as outbox:
        found = {row.id for row in outbox.pending(SINKS[0], limit=1_000_000)}
        counts["damaged"] += outbox.trouble is not None or bool(outbox.counts["dropped"])
    counts["kills"] += 1
    counts["kills_while_opening"] += not said
    counts["stored"] += len(told["stored"])
    counts["lost"] += len((must | told["stored"]) - told["delivering"] - found)
    counts["came_back"] += len(told["delivered"] & found)
    return found
