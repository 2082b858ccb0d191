"""What was timed of a variant, by the figure that is judged: of a sustained load only what the board does when warm."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgekit.benchmarks.result import Executed, Frames, Result
from edgekit.benchmarks.scenario import Scenario, Sustained
from edgekit.benchmarks.statistics import Array
from edgekit.measure import Samples


def timed(executed: Executed, scenario: Scenario) -> dict[str, Samples]:
    """Samples by figure: 'engine' and 'whole' back to back, 'frame' under a camera. Empty for streams and starts.

    The frames of a camera have no rounds; theirs are blocks of sqrt(n) frames.
    """
    found = {"engine": executed.engine_only, "whole": executed.whole}
    if executed.frames is not None:
        frames = judged_frames(executed.frames, scenario)
        block = max(1, math.isqrt(len(frames.frame_ms)))
        found["frame"] = Samples(frames.frame_ms, frames.cpu_ms, (), block)
    return {name: samples for name, samples in found.items() if samples is not None and samples.wall_ms}


def judged(result: Result) -> Result:
    """The result with those of its frames only that are judged."""
    held = (each if each.frames is None else _judged(each, each.frames, result.scenario) for each in result.variants)
    return replace(result, variants=tuple(held))


def _judged(executed: Executed, frames: Frames, scenario: Scenario) -> Executed:
    return replace(executed, frames=judged_frames(frames, scenario))


def judged_frames(frames: Frames, scenario: Scenario) -> Frames:
    """Of a sustained load the frames of its last `tail_s` seconds; else all."""
    if not isinstance(scenario, Sustained) or not frames.at_s:
        return frames
    first = int(np.searchsorted(frames.at_s, frames.at_s[-1] - scenario.tail_s))
    tail = replace(
        frames,
        at_s=frames.at_s[first:],
        frame_ms=frames.frame_ms[first:],
        cpu_ms=frames.cpu_ms[first:],
        age_ms=frames.age_ms[first:],
        stages_ms={name: taken[first:] for name, taken in frames.stages_ms.items()},
    )
    dropped = int(missed_frames(tail, scenario.fps or 0.0).sum())
    return replace(tail, arrived=len(tail.at_s) + dropped, dropped=dropped)


def missed_frames(frames: Frames, fps: float, turn_s: float = math.inf) -> Array:
    """How many frames were dropped just before each one that was answered, (n,): those between the moments at which the
    two were due. turn_s: how long a variant's turn is where several take turns; what is farther apart has a pause
    between, which drops nothing. fps 0: frames came when they were asked for, and none was dropped."""
    due = np.array(frames.at_s) - np.array(frames.age_ms) / 1000
    apart_s = np.diff(due, prepend=due[:1])
    missed: Array = np.where(apart_s > turn_s, 0.0, np.maximum(np.rint(apart_s * fps) - 1, 0.0))
    return missed
