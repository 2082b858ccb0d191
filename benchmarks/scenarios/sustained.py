"""The same load for ten minutes and more: what a board does when it is warm, and whether it has got there.

MLPerf's SingleStream runs for at least 600 s for the same reason (mlcommons/inference, loadgen/mlperf.conf).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from edgekit.benchmarks.result import Executed, Frames
from edgekit.benchmarks.scenario import Sustained
from edgekit.benchmarks.scenarios.cameras import BackToBack, Cameras, Due
from edgekit.benchmarks.scenarios.clock import REAL, Clock
from edgekit.benchmarks.scenarios.film import Sight
from edgekit.benchmarks.scenarios.progress import Progress, Seconds
from edgekit.benchmarks.scenarios.subject import Subject
from edgekit.benchmarks.scenarios.tape import WARM_UP, Tape, answered, warm_up
from edgekit.benchmarks.watch import Look

WINDOW_S, WINDOWS = 60.0, 5  # at the end of the run, by which it is judged steady
STEADY_PERCENT = 1.0  # a window, that the median may change by
STEADY_C = 0.5  # a minute, that a temperature may change by


def run_sustained(
    scenario: Sustained,
    subjects: Sequence[Subject],
    sight: Sight,
    clock: Clock = REAL,
    progress: Progress | None = None,
) -> tuple[Executed, ...]:
    """One subject for `scenario.minutes`; `ValueError` for several, since the second would find a board that is warm.

    Back to back its frames lie in memory, a video's too.
    """
    if len(subjects) != 1:
        names = ", ".join(subject.name for subject in subjects)
        raise ValueError(f"one variant is measured at a time, the next one on a board that has cooled; got {names}")
    (subject,) = subjects
    tape, answer = Tape(clock.now()), subject.answering()
    warm_up(answer, sight.in_memory, clock)
    seconds = scenario.minutes * 60
    tell = Seconds(progress, f"{scenario.minutes:g} minutes", seconds)
    with _cameras(scenario, sight, seconds, clock) as cameras:
        for each in tell.passing(answered(cameras, [answer], clock), clock.now(), seconds):
            tape.record(each)
    tape.count(cameras)
    return (subject.executed(frames=tape.frames()),)


def burst(frames: Frames, scenario: Sustained) -> tuple[float, ...]:
    """The frame times of the first `burst_s` seconds, in milliseconds: a board that is still cool."""
    if not frames.at_s:
        return ()
    until = frames.at_s[0] - frames.frame_ms[0] / 1e3 + scenario.burst_s
    return tuple(ms for at, ms in zip(frames.at_s, frames.frame_ms, strict=True) if at <= until)


def sustained(frames: Frames, scenario: Sustained) -> tuple[float, ...]:
    """The frame times of the last `tail_s` seconds, in milliseconds: what the board can keep up."""
    if not frames.at_s:
        return ()
    since = frames.at_s[-1] - scenario.tail_s
    return tuple(ms for at, ms in zip(frames.at_s, frames.frame_ms, strict=True) if at > since)


def sustained_over_burst(frames: Frames, scenario: Sustained) -> float:
    """How many times as long a frame takes once the board is warm, by the medians."""
    return median(sustained(frames, scenario)) / median(burst(frames, scenario))


def steady(frames: Frames, looks: Sequence[Look] = ()) -> str | None:
    """Why the end of the run is not steady; None where it is.

    Of the last five minutes the frame time's medians may change by less than 1 % a minute, and each temperature that
    the host tells by less than 0.5 °C a minute; both are slopes of a line through them. Where it tells none, the frame
    times decide alone. Nor may the medians differ by more than five such minutes would make of them: on a busy host,
    medians of 22 to 40 ms had a slope of -0.6 %.
    """
    since = frames.at_s[-1] - WINDOW_S * WINDOWS
    if frames.at_s[0] > since:
        return f"it ran for less than {WINDOWS} windows of {WINDOW_S:g} s"
    at, frame_ms = np.array(frames.at_s) - since, np.array(frames.frame_ms)
    windows = [frame_ms[(at > i * WINDOW_S) & (at <= (i + 1) * WINDOW_S)] for i in range(WINDOWS)]
    if not all(map(len, windows)):
        return f"no frame was answered for {WINDOW_S:g} s"
    medians = [float(np.median(window)) for window in windows]
    percent = 100 * _slope(range(WINDOWS), medians) / float(np.mean(medians))
    if abs(percent) >= STEADY_PERCENT:
        return f"the frame time changes by {percent:+.1f} % a minute"
    apart = 100 * (max(medians) - min(medians)) / float(np.mean(medians))
    if apart >= STEADY_PERCENT * WINDOWS:
        return f"the frame time differs by {apart:.0f} % from minute to minute"
    for zone, celsius in _rates_c([look for look in looks if look.at_s > since]).items():
        if abs(celsius) >= STEADY_C:
            return f"{zone} changes by {celsius:+.1f} °C a minute"
    return None


def _rates_c(looks: Sequence[Look]) -> dict[str, float]:
    """Degrees a minute, of each zone that told at least twice."""
    told: dict[str, list[tuple[float, float]]] = {}
    for look in looks:
        for zone, celsius in look.temperatures_c.items():
            if celsius is not None:
                told.setdefault(zone, []).append((look.at_s / 60, celsius))
    return {zone: _slope(*zip(*points, strict=True)) for zone, points in told.items() if len(points) > 1}


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _cameras(scenario: Sustained, sight: Sight, seconds: float, clock: Clock) -> Cameras:
    if scenario.fps is None:
        return BackToBack(sight.in_memory, seconds, clock, WARM_UP)
    return sight.cameras(Due(scenario.fps, seconds), clock, WARM_UP)
