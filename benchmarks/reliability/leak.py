"""Looks at very many frames with a real box, kills its children now and then, and weighs what is left after each.

Memory is what /proc says is resident, of the supervisor over the whole run and of each child over its life, once it has
looked at some frames: caches fill, allocators take their share. What is counted are looks; a few frames more are
captured. The control is a box with an observer that keeps what it is shown.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.benchmarks.reliability.box import Box, Role
from edgekit.benchmarks.reliability.figures import Figures
from edgekit.benchmarks.reliability.small_shop import SmallShop
from edgekit.supervisor.engine import EngineSettings

LIMIT_MB = 5.0
PROMISE = (
    f"memory of supervisor, capture and inference grows by less than {LIMIT_MB:g} MB after warm-up; threads, open "
    "files and shared memory stay as they are, restarts of children included"
)

_CAMERAS, _FPS = 2, 500.0  # as many frames as two cores can look at
_WARM = 1_000  # looks before something is weighed, of a child in each of its lives
_LIFE = 3_000  # looks between two kills
_PATIENCE_S = 120.0  # for as many looks as the longest of these
_SETTLING_S = 1.0  # descriptors are open for a moment now and then: the least of what is seen for so long counts


class Weight(NamedTuple):
    """What a process holds. shared_mb: of the rings, which exist once and are mapped by all."""

    memory_mb: float
    threads: int
    handles: int
    shared_mb: float


def run(times: int, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> Figures:
    """`times` looks after warm-up. Nothing is left to chance: `seed` changes nothing."""
    began = time.perf_counter()
    counts = _weigh(times, progress)
    wrong = control(_LIFE)
    kept = _is_kept(counts)
    return Figures("leak", times, seed, PROMISE, kept, counts, time.perf_counter() - began, wrong, not _is_kept(wrong))


def control(times: int) -> dict[str, float]:
    """A box with a careless observer."""
    with _box(leaking=True) as box:
        scale = Scale(box)
        scale.look(_WARM)
        first = weigh(box.pid)
        scale.look(times)
        return _growth(first, weigh(box.pid))


def _is_kept(counts: dict[str, float]) -> bool:
    grown = [value for name, value in counts.items() if name.endswith("_grown_mb")]
    more = [value for name, value in counts.items() if name.endswith("_more")]
    return max(grown) < LIMIT_MB and not any(more)


def _weigh(times: int, progress: Callable[[int, int], None] | None) -> dict[str, float]:
    with _box() as box:
        scale = Scale(box)
        scale.live("inference", _WARM)  # each way of starting anew has been gone once
        scale.live("capture", _WARM)
        scale.look(_WARM)
        first, began_at = weigh(box.pid), scale.looks
        while scale.looks - began_at < times:
            scale.live("capture" if scale.kills % 2 else "inference", min(_LIFE, times))
            if progress:
                progress(min(times, scale.looks - began_at), times)
        scale.look(_WARM)
        last = weigh(box.pid)
        done = {"looks": scale.looks - began_at, "frames": scale.frames, "kills": scale.kills}
    return {**done, "supervisor_mb": round(last.memory_mb, 1), **_growth(first, last), **scale.growth()}


def _growth(first: Weight, last: Weight) -> dict[str, float]:
    return {
        "supervisor_grown_mb": round(last.memory_mb - first.memory_mb, 2),
        "shared_memory_grown_mb": round(last.shared_mb - first.shared_mb, 2),
        "supervisor_threads_more": last.threads - first.threads,
        "supervisor_handles_more": last.handles - first.handles,
    }


@contextmanager
def _box(leaking: bool = False) -> Iterator[Box]:
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        shop = SmallShop(Path(folder), EngineSettings(), cameras=_CAMERAS, fps=_FPS, observations="changes")
        with Box(shop, leaking) as box:
            yield box


class Scale:
    """Lets the box look, and keeps the worst that was seen of each role's children."""

    def __init__(self, box: Box) -> None:
        self.kills = 0
        self.grown_mb: dict[Role, float] = {}
        self.more: dict[tuple[Role, str], int] = {}
        self._box = box

    @property
    def looks(self) -> int:
        return self._total("looked")

    @property
    def frames(self) -> int:
        return self._total("frames")

    def look(self, times: int) -> None:
        """Until the box has looked that often since now, and has all its children."""
        until = self.looks + times
        self._box.wait(lambda: self.looks >= until, _PATIENCE_S, f"{times} looks")
        self._box.wait(self._is_well, _PATIENCE_S, "a box with all its children")

    def live(self, role: Role, looks: int) -> None:
        """A life of a child: it warms up, works, is weighed and killed; then all is well again."""
        self.look(_WARM)
        child = self._box.child(role)
        before = weigh(child)
        self.look(looks)
        after = weigh(child)
        self.grown_mb[role] = max(self.grown_mb.get(role, 0.0), after.memory_mb - before.memory_mb)
        for what in ("threads", "handles"):
            more = getattr(after, what) - getattr(before, what)
            self.more[role, what] = max(self.more.get((role, what), 0), more)
        os.kill(child, signal.SIGKILL)
        self.kills += 1
        self.look(1)

    def growth(self) -> dict[str, float]:
        return {
            **{f"{role}_grown_mb": round(grown, 2) for role, grown in self.grown_mb.items()},
            **{f"{role}_{what}_more": more for (role, what), more in self.more.items()},
        }

    def _total(self, what: str) -> int:
        cameras: dict[str, dict[str, Any]] = self._box.status.get("cameras", {})
        return sum(each[what] for each in cameras.values())

    def _is_well(self) -> bool:
        status = self._box.status
        live = all(each["state"] == "LIVE" for each in status["cameras"].values())
        return live and status["engine"]["state"] in ("ok", "degraded")


def weigh(pid: int) -> Weight:
    """A process of this host, as /proc has it."""
    until = time.monotonic() + _SETTLING_S
    handles = _handles(pid)
    while time.monotonic() < until:
        time.sleep(0.02)
        handles = min(handles, _handles(pid), key=len)
    # The first line names the range of addresses.
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    threads = len(os.listdir(f"/proc/{pid}/task"))
    return Weight(kilobytes["Rss"] / 1024, threads, len(handles), _shared_mb(handles))


def _handles(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/fd").iterdir())


def _shared_mb(handles: list[Path]) -> float:
    blocks = 0
    for handle in handles:
        with suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(handle).startswith("/memfd:edgekit"):
                blocks += os.stat(handle).st_blocks
    return blocks * 512 / 2**20
