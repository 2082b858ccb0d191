"""Hurts the inference child of real boxes in every way that engines fail, and sees whether the supervisor notices.

It is stopped, and killed by the signals that crashes and the kernel's memory killer end in; a picture makes its model
give NaN, compute a hundred times longer, or ask for more memory than it may have; its bundle is replaced by one whose
model does not keep its contract. The control is a supervisor that waits for ever.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeAlias, get_args

from edgekit.benchmarks.reliability.box import Box, BoxDied
from edgekit.benchmarks.reliability.figures import Figures
from edgekit.benchmarks.reliability.small_shop import VARIANTS, Light, SmallShop
from edgekit.events import CAMERA_STATE, ENGINE_STATE, OBSERVATION, Event
from edgekit.supervisor.engine import EngineSettings

PROMISE = (
    "an engine that hangs, crashes, runs out of memory, gives NaN or the wrong shape or is 100 times slower is noticed "
    "in max(least_s, 2 frame budgets) and a step, started anew and looks again; after K failures another variant "
    "takes over, degraded; the supervisor never ends"
)

Fault: TypeAlias = Literal[
    "hang", "100 times slower", "SIGKILL", "SIGSEGV", "SIGABRT", "NaN", "out of memory", "another shape",
    "one output more",
]  # fmt: skip

# Shorter than the default, so that more faults fit into a minute; what is noticed late is late by the same measure.
SETTINGS = EngineSettings(load_s=30.0, least_s=1.0, slow_s=0.8, healthy_s=3600.0, memory_mb=1024)
WAITS_FOR_EVER = replace(SETTINGS, load_s=1e6, least_s=1e6, slow_s=1e6)

_FPS = 20.0
_BUDGET_S = 0.0667  # the generic profile's
_STEP_S = 0.5  # the supervisor's longest
_BACK_WITHIN_S = 60.0  # two of its longest backoffs, for a host that is busy with other boxes too
_USUAL = 20  # answers before slowness can be told


@dataclass
class Found:
    """What came of the faults in one box."""

    counts: Counter[str] = field(default_factory=Counter)
    seen_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run(times: int, seed: int, progress: Callable[[int, int], None] | None = None, boxes: int | None = None) -> Figures:
    """`times` faults, spread over boxes that run at once; one box more, with two faults, is the control."""
    began = time.perf_counter()
    boxes = min(times, boxes or (os.cpu_count() or 2))  # more would make one another slow, which is a fault too
    faults = _draw(times, seed)
    done: list[Fault] = []

    def tell(fault: Fault) -> None:
        done.append(fault)
        if progress:
            progress(len(done), times)

    with ThreadPoolExecutor(boxes + 1) as pool:
        controlled = pool.submit(control)
        found = list(pool.map(lambda n: _one_box(faults[n::boxes], SETTINGS, tell), range(boxes)))
        wrong = controlled.result()
    counts = _summed(found)
    kept = counts["seen"] == times and not any(counts[name] for name in _BROKEN)
    notes = tuple(note for each in found for note in each.notes)[:5]
    seconds = time.perf_counter() - began
    return Figures("engine_faults", times, seed, PROMISE, kept, counts, seconds, wrong, wrong["unseen"] > 0, notes)


def control() -> dict[str, float]:
    """A supervisor that waits for ever: of what its child does not say itself, it must miss all."""
    return _summed([_one_box(("hang", "100 times slower"), WAITS_FOR_EVER, lambda fault: None)])


_BROKEN = ("unseen", "late", "not_back", "wrong_variant", "supervisor_deaths", "cameras_disturbed")


def _draw(times: int, seed: int) -> list[Fault]:
    """Every fault as often as every other, in an order of chance."""
    faults: list[Fault] = [get_args(Fault)[n % len(get_args(Fault))] for n in range(times)]
    random.Random(seed).shuffle(faults)
    return faults


def _summed(found: Sequence[Found]) -> dict[str, float]:
    counts: Counter[str] = Counter(dict.fromkeys(("seen", "restarts", "false_alarms", "takeovers", *_BROKEN), 0))
    for each in found:
        counts.update(each.counts)
    counts["false_alarms"] = counts["restarts"] - counts["failures_caused"]
    seen = [1e3 * spent for each in found for spent in each.seen_s]
    back = [spent for each in found for spent in each.back_s]
    times = {"seen_ms_median": median(seen), "seen_ms_longest": max(seen)} if seen else {}
    if back:
        times |= {"back_s_median": median(back), "back_s_longest": max(back)}
    return {**counts, **{name: round(value, 3) for name, value in times.items()}}


def _one_box(faults: Sequence[Fault], settings: EngineSettings, tell: Callable[[Fault], None]) -> Found:
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        with Box(SmallShop(Path(folder), settings, fps=_FPS)) as box:
            patient = Patient(box)
            try:
                for fault in faults:
                    patient.suffer(fault)
                    tell(fault)
            except (BoxDied, TimeoutError) as error:
                patient.found.notes.append(str(error))
        patient.found.counts["supervisor_deaths"] += not box.ended_well
        return patient.found


class Patient:
    """A box with a fault after the other, and what its events say of each."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.found = Found()
        self._variant = VARIANTS[0]  # that should run
        self._failures = 0  # of that variant
        self._degraded = False
        self._live = False
        self._down_at = self._up_at = time.monotonic()  # of the last failure and the start after it
        self._events: list[Event] = []

    def suffer(self, fault: Fault) -> None:
        """One fault, from the box being well to its being well again."""
        self._looks(_USUAL if fault == "100 times slower" else 1)
        self._rest()
        self.found.counts[fault] += 1
        limit_s = max(SETTINGS.least_s, 2 * _BUDGET_S) + 1 / _FPS + _STEP_S
        with self._hurt(fault) as since:
            failure = self._failure(since, 4 * limit_s)
            if failure is not None and fault in ("another shape", "one output more"):
                failure = self._failure(failure.monotonic_s, SETTINGS.load_s, "expects")
                since = failure.monotonic_s if failure is not None else since  # it was loaded first
                self.found.counts["failures_caused"] += 1
        if failure is None:
            self.found.counts["unseen"] += 1
            self.found.notes.append(f"'{fault}' was not seen")
            return
        self.found.counts["seen"] += 1
        self.found.counts["failures_caused"] += 1
        self.found.seen_s.append(failure.monotonic_s - since)
        if failure.monotonic_s - since > limit_s:
            self.found.counts["late"] += 1
            self.found.notes.append(f"'{fault}' was seen after {failure.monotonic_s - since:.2f} s")
        back = self._looks(1)
        if back is not None:
            self.found.back_s.append(back.monotonic_s - failure.monotonic_s)

    def _rest(self) -> None:
        """Until it has worked for twice as long as it was waited for, and the next failure is a first one again."""
        up_s = time.monotonic() - self._up_at
        time.sleep(max(0.0, 2 * (self._up_at - self._down_at) - up_s))

    @contextmanager
    def _hurt(self, fault: Fault) -> Iterator[float]:
        """Do it, and undo what can be undone; gives the time at which it began."""
        shop, camera = self.box.shop, self.box.shop.settings.cameras[0].name
        began = time.monotonic()
        if fault in _LIGHTS:
            shop.light(camera, _LIGHTS[fault])
            yield began
            shop.light(camera, "calm")
            return
        if fault == "another shape" or fault == "one output more":
            shop.breach(self._next_variant(), fault)
        with _opened(self.box.child("inference")) as process:
            sent_at = time.monotonic()  # before it: a busy host may let this thread wait until the end is noticed
            _send(process, _SIGNALS.get(fault, signal.SIGKILL))
            yield sent_at
            _send(process, signal.SIGCONT)  # the control's would hang for ever
        shop.repair()

    def _next_variant(self) -> str:
        """Which one is started when the one that runs has failed once more."""
        if self._failures < SETTINGS.failures - 1:
            return self._variant
        return VARIANTS[(VARIANTS.index(self._variant) + 1) % len(VARIANTS)]

    def _looks(self, times: int) -> Event | None:
        """Wait until the box has looked that often since its last failure; the first of these looks."""
        seen: list[Event] = []

        def look() -> bool:
            for event in self._new_events():
                if event.type == OBSERVATION:
                    seen.append(event)
                elif _is_failure(event):
                    seen.clear()
            return len(seen) >= times

        try:
            self.box.wait(look, _BACK_WITHIN_S, "a look")
        except TimeoutError as error:
            self.found.counts["not_back"] += 1
            self.found.notes.append(str(error))
            return None
        return seen[0]

    def _failure(self, since: float, within_s: float, reason: str = "") -> Event | None:
        """The first event after `since` that says that the engine has failed, for that reason."""

        def look() -> Event | None:
            for event in self._new_events():
                if _is_failure(event) and event.monotonic_s > since and reason in event.data["reason"]:
                    return event
            return None

        try:
            return self.box.wait(look, within_s, "a failure")
        except TimeoutError:
            return None

    def _new_events(self) -> Iterator[Event]:
        """Each event once; those after one that ends a search are there for the next."""
        self._events += self.box.new_events()
        while self._events:
            event = self._events.pop(0)
            self._follow(event)
            yield event

    def _follow(self, event: Event) -> None:
        """Whether the right variant runs in the right state, and whether the cameras mind."""
        if event.type == CAMERA_STATE:
            self.found.counts["cameras_disturbed"] += self._live and event.data["state"] != "LIVE"
            self._live = event.data["state"] == "LIVE"
        if event.type == ENGINE_STATE:
            self._follow_engine(event.monotonic_s, event.data)

    def _follow_engine(self, at: float, data: Mapping[str, Any]) -> None:
        expected = "restarting" if data["state"] == "restarting" else "degraded" if self._degraded else "ok"
        if (data["variant"], data["state"]) != (self._variant, expected):
            self.found.counts["wrong_variant"] += 1
            self.found.notes.append(f"{data['variant']} is {data['state']}, not {self._variant} {expected}")
        if data["state"] != "restarting":
            self._up_at = at
            return
        self._down_at = at
        self.found.counts["restarts"] += 1
        self._variant, before = self._next_variant(), self._variant
        self._failures = (self._failures + 1) % SETTINGS.failures
        if self._variant != before:
            self.found.counts["takeovers"] += 1
            self._degraded = True


_LIGHTS: dict[Fault, Light] = {"NaN": "dim", "100 times slower": "hazy", "out of memory": "glaring"}
_SIGNALS: dict[Fault, signal.Signals] = {
    "hang": signal.SIGSTOP,
    "SIGSEGV": signal.SIGSEGV,
    "SIGABRT": signal.SIGABRT,
}


def _is_failure(event: Event) -> bool:
    return event.type == ENGINE_STATE and event.data["state"] == "restarting"


@contextmanager
def _opened(pid: int) -> Iterator[int]:
    """A descriptor of the process: a signal by it cannot hit another one that has got its number."""
    process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)


def _send(process: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended
        signal.pidfd_send_signal(process, what)
