"""Whether the inference child does its work: it hangs, dies, talks nonsense or has become slow, and what follows.

A state machine like a camera's: what the child said, and the time, go in; out comes what is to be done about it. After
`failures` failures without a healthy while between them the next variant in line takes over, the last known good one
first, and the state is `degraded` until that is changed by hand or by a new start.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from edgekit.schema import STRICT

State: TypeAlias = Literal["starting", "ok", "degraded", "restarting"]

_SAMPLES = 64
_ENOUGH = 16  # answers before their median is a measure of slowness


@dataclass(frozen=True)
class EngineSettings:
    """Limits of the inference child; seconds.

    load_s: a model must be ready within it; building a TensorRT engine takes minutes, the first time. least_s: an
    answer may take so long, or two frame budgets if that is longer. slow: so many times its usual time, for `slow_s`
    on end, is a fault as well. failures: before another variant is tried. healthy_s: after it they are forgotten.
    memory_mb: what the child may write to; none where None.
    """

    __pydantic_config__ = STRICT

    load_s: float = 120.0
    least_s: float = 3.0
    slow: float = 10.0
    slow_s: float = 2.0
    failures: int = 3
    healthy_s: float = 60.0
    memory_mb: int | None = None

    def __post_init__(self) -> None:
        if self.memory_mb is not None and self.memory_mb <= 0:
            raise ValueError(f"memory_mb must be above 0; got {self.memory_mb}")
        if min(self.load_s, self.least_s, self.slow_s, self.healthy_s) <= 0 or self.failures < 1 or self.slow <= 1:
            raise ValueError(
                "load_s, least_s, slow_s and healthy_s must be above 0, failures at least 1, slow above 1; got "
                f"{self.load_s}, {self.least_s}, {self.slow_s}, {self.healthy_s}, {self.failures} and {self.slow}"
            )


class EngineHealth:
    """Told of everything that the child does; `fault` says what is wrong with it, if anything.

    variants: those that can run here, the preferred one first. good: the one that ran well the last time. variant: the
    one that should run; running: the one that does, or did, which the degrade ladder may have changed. up_at: since
    when it is ready, or being started.
    """

    def __init__(
        self,
        settings: EngineSettings,
        variants: tuple[str, ...],
        now: float,
        budget_s: float,
        good: str | None = None,
    ) -> None:
        self.settings = settings
        self.answer_s = max(settings.least_s, 2 * budget_s)
        self.variants = variants
        self.variant = variants[0]
        self.good = good
        self.degraded = ""  # why, if it is
        self.reason = ""
        self.restarts = 0
        self._budget_s = budget_s
        self._failures = 0
        self._tried: set[str] = set()
        self.running = self.variant
        self._ready = False
        self.up_at = now
        self._asked_at: float | None = None
        self._spent: deque[float] = deque(maxlen=_SAMPLES)
        self._slow_since: float | None = None

    @property
    def state(self) -> State:
        if not self._ready:
            return "restarting" if self.restarts else "starting"
        return "degraded" if self.degraded else "ok"

    @property
    def idle(self) -> bool:
        """Ready, and without a frame to look at."""
        return self._ready and self._asked_at is None

    @property
    def frame_s(self) -> float | None:
        """The usual time of an answer: the median of the last ones."""
        return median(self._spent) if self._spent else None

    def started(self, now: float, variant: str) -> None:
        if variant != self.running:
            self.works_otherwise()
        self.running = variant
        self._ready = False
        self.up_at = now
        self._asked_at = self._slow_since = None

    def ready(self, now: float) -> None:
        self._ready = True
        self.up_at = now

    def works_otherwise(self) -> None:
        """What was usual so far is no measure of what comes."""
        self._spent.clear()

    def asked(self, now: float) -> None:
        self._asked_at = now

    def answered(self, now: float) -> None:
        """A good answer came."""
        if self._asked_at is None:
            return
        spent = now - self._asked_at
        self._note_slow(spent, self._asked_at)
        self._asked_at = None
        if self._slow_since is None:
            self._spent.append(spent)
            if now - self.up_at >= self.settings.healthy_s:
                self._failures = 0
                self.good = self.running

    def fault(self, now: float) -> str | None:
        """What is wrong with a child that has said nothing of it: it must be killed."""
        if not self._ready:
            late = now - self.up_at >= self.settings.load_s
            return f"not ready within {self.settings.load_s:g} s" if late else None
        if self._asked_at is None:
            return None
        waiting = now - self._asked_at
        if waiting >= self.answer_s:
            return f"no answer for {self.answer_s:g} s"
        since = self._slow_since
        if since is None and self._is_slow(waiting):
            since = self._asked_at
        if since is not None and self._is_slow(waiting) and now - since >= self.settings.slow_s:
            return f"{self.settings.slow:g} times slower than usual for {self.settings.slow_s:g} s"
        return None

    def next_check(self) -> float:
        """When `fault` could first find something."""
        if not self._ready:
            return self.up_at + self.settings.load_s
        if self._asked_at is None:
            return float("inf")
        limit = self._asked_at + self.answer_s
        if self._slow_since is None or self.frame_s is None:
            return limit
        slow = max(self._asked_at + self._slow_from(self.frame_s), self._slow_since + self.settings.slow_s)
        return min(limit, slow)

    def failed(self, reason: str) -> bool:
        """The child died, was killed or gave nonsense; it will be started anew. Whether with another variant."""
        self._ready = False
        self._asked_at = self._slow_since = None
        self.restarts += 1
        self.reason = reason
        self._failures += 1
        if self._failures < self.settings.failures:
            return False
        self._failures = 0
        self._tried.add(self.running)
        other = self._next_variant()
        if other == self.running:
            return False
        self.degraded = f"{self.running} failed {self.settings.failures} times, the last time: {reason}"
        self.variant = other
        return True

    def may_run(self, variant: str) -> bool:
        """Whether it has not failed too often."""
        return variant not in self._tried

    def _next_variant(self) -> str:
        """The last known good one, then the others in order; when all have failed, from the beginning."""
        wanted = [self.good, *self.variants]
        left = [name for name in wanted if name in self.variants and name not in self._tried]
        if left:
            return str(left[0])
        self._tried.clear()
        return self.variants[(self.variants.index(self.variant) + 1) % len(self.variants)]

    def _is_slow(self, spent: float) -> bool:
        if spent < self._budget_s or len(self._spent) < _ENOUGH:
            return False
        usual = self.frame_s
        return usual is not None and spent >= self._slow_from(usual)

    def _slow_from(self, usual: float) -> float:
        return max(self.settings.slow * usual, self._budget_s)

    def _note_slow(self, spent: float, asked_at: float) -> None:
        if not self._is_slow(spent):
            self._slow_since = None
        elif self._slow_since is None:
            self._slow_since = asked_at
