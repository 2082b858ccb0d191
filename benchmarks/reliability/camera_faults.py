"""Real network cameras fail in every way on the loopback; the real capture children and camera states must see it.

Several cameras play a clip over HTTP and RTSP, each in its own capture child. Again and again one of them is hurt, and
it is measured how long it takes until its state says so, and, once the camera is well again, until it is LIVE.
"""

from __future__ import annotations

import random
import select
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.benchmarks.reliability.camera_server import CameraServer, Fault, Film, MjpegServer, RtspServer
from edgekit.benchmarks.reliability.figures import Figures
from edgekit.errors import SourceError
from edgekit.supervisor.camera import HealthSettings
from edgekit.supervisor.children import Child, Process
from edgekit.supervisor.pace import Turns
from edgekit.supervisor.ring import Ring
from edgekit.supervisor.run import start_capture
from edgekit.supervisor.settings import CameraSettings
from edgekit.supervisor.watched import WatchedCamera

PROMISE = "each fault is seen within 5 s, the camera is LIVE within 2 s of its source's return, and none stays stuck"
SEEN_S, BACK_S, STUCK_S = 5.0, 2.0, 30.0
TIMEOUT_S = 3.0  # of an opening
CAMERA_FPS, FPS = 25.0, 10.0  # what they give, and what is looked at

# What a state cannot say, since the pictures are good: it is noticed.
_NOTICED = {Fault.RESIZE: "size changed", Fault.TOO_FAST: "too fast"}
_LEAST_PICTURES = 160  # of a film: 6.4 s
_SETTLE_S = 2.0  # LIVE for so long before the next fault: what was noticed once is noticed anew only after a second


@dataclass
class Patient:
    """A camera, what was done to it last, and what came of it. phase: 'well', 'hurt', or 'healing'."""

    server: CameraServer
    watched: WatchedCamera
    ring: Ring
    children: list[Process]
    phase: str = "well"
    since: float = 0.0
    fault: Fault | None = None
    notices: int = 0
    hold_until: float = 0.0
    seen_s: float | None = None
    seen: list[tuple[Fault, float]] = field(default_factory=list)
    back: list[tuple[Fault, float]] = field(default_factory=list)
    unseen: list[Fault] = field(default_factory=list)
    stuck: list[Fault] = field(default_factory=list)

    def step(self, now: float, dice: random.Random, left: list[Fault]) -> None:
        """Move on to the next phase where it is time; `left` are the faults that are still to be done."""
        live = self.watched.health.state == "LIVE"
        if self.phase == "well" and left and live and now - max(self.since, self.watched.health.since) > _SETTLE_S:
            self._hurt(left.pop(), now, dice)
        elif self.phase == "hurt":
            self._wait_until_seen(live, now)
        elif self.phase == "healing":
            self._wait_until_back(live, now)

    def _hurt(self, fault: Fault, now: float, dice: random.Random) -> None:
        self.phase, self.since, self.fault, self.seen_s = "hurt", now, fault, None
        self.notices = self._noticed(fault)
        self.hold_until = now + dice.uniform(0.5, 6.0)
        self.server.fault = fault

    def _wait_until_seen(self, live: bool, now: float) -> None:
        assert self.fault is not None
        noticed = self.fault in _NOTICED and self._noticed(self.fault) > self.notices
        if self.seen_s is None and (noticed or not live):
            self.seen_s = now - self.since
            self.seen.append((self.fault, self.seen_s))
        given_up = self.seen_s is None and now - self.since > 2 * SEEN_S
        if given_up:
            self.unseen.append(self.fault)
        if given_up or (self.seen_s is not None and now >= self.hold_until):
            self.server.well()
            self.phase, self.since = "healing", now

    def _wait_until_back(self, live: bool, now: float) -> None:
        assert self.fault is not None
        if live:
            self.back.append((self.fault, now - self.since))
        elif now - self.since > STUCK_S:
            self.stuck.append(self.fault)
        else:
            return
        self.phase, self.since = "well", now

    def _noticed(self, fault: Fault) -> int:
        return self.watched.health.notices[_NOTICED[fault]] if fault in _NOTICED else 0


def ward(
    faults: Sequence[Fault], seed: int, films: Sequence[Film], cameras: int = 8, health: HealthSettings | None = None
) -> Iterator[list[Patient]]:
    """Hurt the cameras until all `faults` are done; gives the patients after each round of steps."""
    dice = random.Random(seed)
    left = list(faults)
    with ExitStack() as opened:
        patients = [_admit(number, films, seed, health, opened) for number in range(cameras)]
        while left or any(each.phase != "well" for each in patients):
            now = time.monotonic()
            for each in patients:
                each.watched.step(now)
                each.watched.newest = None  # looked at, as far as a camera is concerned
                each.step(now, dice, left)
            _wait(patients)
            yield patients


def _admit(number: int, films: Sequence[Film], seed: int, health: HealthSettings | None, opened: ExitStack) -> Patient:
    kind = MjpegServer if number % 2 == 0 else RtspServer
    server = opened.enter_context(kind(films[number % len(films)], fps=CAMERA_FPS, seed=seed + number))
    ring = Ring.create(f"patient {number}", 1280 * 720 * 3)
    opened.callback(ring.close)
    settings = CameraSettings(f"patient {number}", server.address, FPS, TIMEOUT_S, health=health or HealthSettings())
    children: list[Process] = []

    def start(camera: CameraSettings) -> Child:
        children[:] = [each for each in children if each.ended() is None]
        children.append(start_capture(camera, ring))
        return children[-1]

    watched = WatchedCamera(settings, start, random.Random(seed + number), Turns(), time.monotonic())
    opened.callback(watched.close)
    return Patient(server, watched, ring, children)


def _wait(patients: Sequence[Patient]) -> None:
    poll = select.poll()
    for each in patients:
        for child in each.children:
            for fd in child.filenos():
                poll.register(fd, select.POLLIN)
    poll.poll(20)


def run(
    times: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
    clips: Path | None = None,
    cameras: int = 8,
) -> Figures:
    """`times` faults, every kind as often as the others. clips: a folder of what the cameras play; a rendered shelf if
    none."""
    films = [rendered_film()] if clips is None else films_of(clips)
    started = time.monotonic()
    faults = [list(Fault)[number % len(Fault)] for number in range(times)]
    random.Random(seed).shuffle(faults)
    patients = _treat(faults, seed, films, cameras, None, progress)
    control = _control(seed, films)
    seen = [each for patient in patients for each in patient.seen]
    back = [each for patient in patients for each in patient.back]
    late = [f"{fault.value} was seen after {spent:.2f} s" for fault, spent in seen if spent > SEEN_S]
    slow = [f"back {spent:.2f} s after {fault.value}" for fault, spent in back if spent > BACK_S]
    unseen = [f"{fault.value} was not seen" for patient in patients for fault in patient.unseen]
    stuck = [f"stuck after {fault.value}" for patient in patients for fault in patient.stuck]
    return Figures(
        rig="camera_faults",
        times=times,
        seed=seed,
        promise=PROMISE,
        kept=not (late or slow or unseen or stuck),
        counts={
            "faults": len(faults),
            "seen late": len(late),
            "not seen": len(unseen),
            "back late": len(slow),
            "stuck": len(stuck),
            "seen_s longest": round(max((spent for _, spent in seen), default=0.0), 3),
            "back_s longest": round(max((spent for _, spent in back), default=0.0), 3),
            **{f"seen_s longest, {name}": longest for name, longest in _longest(seen).items()},
            **{f"back_s longest, {name}": longest for name, longest in _longest(back).items()},
        },
        seconds=time.monotonic() - started,
        control=control,
        caught=control["not seen"] == control["faults"],
        notes=tuple((unseen + stuck + late + slow)[:5]),
    )


def _treat(
    faults: Sequence[Fault],
    seed: int,
    films: Sequence[Film],
    cameras: int,
    health: HealthSettings | None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Patient]:
    patients: list[Patient] = []
    for patients in ward(faults, seed, films, cameras, health):
        progress(sum(len(each.back) + len(each.stuck) for each in patients))
    return patients


def _control(seed: int, films: Sequence[Film]) -> dict[str, float]:
    """Cameras that are believed whatever they show: none of these faults may be seen by their states."""
    blind = HealthSettings(stale_s=1e6, lost_s=1e7, hung_s=1e8, frozen_s=0, dark=-1)
    faults = [Fault.REPEAT, Fault.BLACK, Fault.BACKWARDS]
    patients = _treat(faults, seed, films, 3, blind)
    unseen: Counter[Fault] = Counter(fault for patient in patients for fault in patient.unseen)
    return {"faults": len(faults), "not seen": unseen.total()}


def _longest(spent: Sequence[tuple[Fault, float]]) -> dict[str, float]:
    longest: dict[str, float] = {}
    for fault, seconds in spent:
        longest[fault.value] = round(max(seconds, longest.get(fault.value, 0.0)), 3)
    return dict(sorted(longest.items()))


def rendered_film(pictures: int = 250) -> Film:
    """A rendered shelf, for where there is no clip."""
    return Film.read(f"scene:shelf?seed=3&frames={pictures}", limit=pictures)


def films_of(folder: Path) -> list[Film]:
    """The clips in a folder, as films of at most 250 pictures. One that begins anew within the memory of a camera's
    state, which is about three seconds here, would rightly count as FROZEN, so short clips are left out.
    `SourceError` where none is left."""
    clips = [path for path in sorted(folder.iterdir()) if path.suffix in (".mp4", ".gif")]
    films = [film for film in (Film.read(path, limit=250) for path in clips) if len(film.pictures) >= _LEAST_PICTURES]
    if not films:
        raise SourceError(f"{folder} holds no clip of at least {_LEAST_PICTURES} pictures that ends in .mp4 or .gif")
    return films
