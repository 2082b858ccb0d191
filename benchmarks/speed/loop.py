"""What edgekit adds to the bare engine in a camera loop: a frame's time, its JSON line included, beyond the engine's.

    python -m edgekit.benchmarks.speed.loop detector-320.ekb detector-640.ekb

Every variant of a detector's bundle runs on one thread: frames of 1280x720 through `Pipeline.observe`, in turn with the
same session on a prepared tensor. The frames lie in memory, so no video is decoded, but not in the CPU's cache, which
the bare engine's one tensor does not leave: so the resize of such frames, which no loop goes without, is taken in turn
as well. They show the bundle's golden pictures as tiles and sway a few pixels. 20 things are found in each: the
threshold is the score of the 20th best, and the tracker's thresholds go down with it. Times are CPU times, which on one
thread are what a clock says when nobody else wants the core. Beside the whole share stands the one without decoding and
NMS: a frame's CPU time less the part of it that they had of its wall time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle, islice
from operator import mul
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from edgekit.benchmarks.speed.command import BUNDLES, asked, tell
from edgekit.benchmarks.speed.own_engine import own_engine
from edgekit.benchmarks.speed.promise import Promise, at_most
from edgekit.bundle import Bundle, Variant
from edgekit.engines import open_session
from edgekit.errors import BundleError, ContractError, EngineMissing
from edgekit.frames import Image
from edgekit.measure import Ratio, Rounds, Samples, cpu_ratio, interleave
from edgekit.plan import EnginePlan
from edgekit.preprocess import preprocess
from edgekit.runtime.pipeline import Observation, Pipeline
from edgekit.runtime.settings import TrackSettings
from edgekit.runtime.sources import Arrays
from edgekit.tasks import Detector, make_task

WIDTH, HEIGHT, THINGS = 1280, 720, 20
LIMITS = {320: 0.10, 640: 0.04}  # by the side of the detector's input: the largest share of the engine's time

_TILES = 4, 3  # columns and rows
_SWAY = 0, 6, 12, 6  # pixels to the left
_FAINTEST = 0.001  # what is below it is noise, and no 20 things


@dataclass(frozen=True)
class Overhead:
    """One variant in the loop. frame, engine, resize: taken in turn. undecoded: the frames without their decoding.

    stages_ms: the medians of the stages beside the engine. score: the threshold at which 20 things are found; tracked:
    how many of them had an id, in the median."""

    variant: str
    size: tuple[int, int]
    engine_name: str
    frame: Samples
    undecoded: Samples
    engine: Samples
    resize: Samples
    stages_ms: dict[str, float]
    score: float
    tracked: float

    @property
    def share(self) -> Ratio:
        """The CPU time beyond the engine's, as a part of it."""
        return _beyond(self.frame, self.engine)

    @property
    def undecoded_share(self) -> Ratio:
        """The CPU time beyond the engine's and that of decoding, as a part of the engine's."""
        return _beyond(self.undecoded, self.engine)


def measure(bundle: Bundle, variant: Variant, rounds: Rounds = Rounds(rounds=40, block=10)) -> Overhead:  # noqa: B008
    """One variant of a detector's bundle, in its own engine. `EngineMissing` where that is not here."""
    frames = sway(bundle)
    plan = EnginePlan(own_engine(variant), threads=1)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with open_session(bundle.artifact(variant), plan) as session:
            detector = make_task(session, variant.input, bundle.manifest.head, bundle.manifest.labels)
            if not isinstance(detector, Detector):
                raise ContractError(f"{bundle.path} holds a {type(detector).__name__.lower()}, not a detector")
            find_twenty(detector, frames)
            taken, seen = _in_turn(detector, frames, rounds)
    finally:
        cv2.setNumThreads(threads)
    return Overhead(
        variant=variant.name,
        size=(variant.input.width, variant.input.height),
        engine_name=session.engine,
        frame=taken["frame"],
        undecoded=_undecoded(taken["frame"], [each.stages_ms["decode"] for each in seen[rounds.warm_up :]]),
        engine=taken["engine"],
        resize=taken["resize"],
        stages_ms={name: median(each.stages_ms[name] for each in seen) for name in ("preprocess", "decode", "track")},
        score=detector.head.score,
        tracked=median(len(each.detections) for each in seen),
    )


def _beyond(frame: Samples, engine: Samples) -> Ratio:
    whole = cpu_ratio(frame, engine)
    return Ratio(whole.median - 1, whole.low - 1, whole.high - 1)


def _undecoded(frame: Samples, decoded_ms: Sequence[float]) -> Samples:
    rest = [1 - decoded / wall for decoded, wall in zip(decoded_ms, frame.wall_ms, strict=True)]
    return replace(frame, wall_ms=tuple(map(mul, frame.wall_ms, rest)), cpu_ms=tuple(map(mul, frame.cpu_ms, rest)))


def sway(bundle: Bundle) -> list[Image]:
    """Frames of 1280x720, tiled with the bundle's golden pictures, each a few pixels from the last."""
    golden = [each.image for each in bundle.golden()]
    if not golden:
        raise BundleError(f"{bundle.path} holds no golden frame to look at: build it with golden = 1 or more")
    columns, rows = _TILES
    tiles = islice(cycle(cv2.resize(each, (WIDTH // columns, HEIGHT // rows)) for each in golden), columns * rows)
    there = np.reshape(list(tiles), (rows, columns, HEIGHT // rows, WIDTH // columns, 3))
    picture = there.transpose(0, 2, 1, 3, 4).reshape(HEIGHT, WIDTH, 3)
    return [np.roll(picture, -pixels, axis=1) for pixels in _SWAY]


def find_twenty(detector: Detector, frames: Sequence[Image]) -> None:
    """Set the detector's thresholds such that it finds 20 things in each frame."""
    detector.head = replace(detector.head, score=_FAINTEST, max_detections=THINGS)
    found = [detector(frame) for frame in frames]
    if min(map(len, found)) < THINGS:
        raise ContractError(f"this detector finds {min(map(len, found))} things in its golden pictures, not {THINGS}")
    detector.head = replace(detector.head, score=min(float(each.scores.min()) for each in found))


def _in_turn(
    detector: Detector, frames: Sequence[Image], rounds: Rounds
) -> tuple[dict[str, Samples], list[Observation]]:
    seen: list[Observation] = []
    tensor, small = preprocess(frames[0], detector.spec)
    others = cycle([each.copy() for each in frames])
    source = Arrays(list(islice(cycle(frames), rounds.warm_up + rounds.rounds * rounds.block)))
    pipeline = Pipeline(detector, detector.labels, track=_follow_from(detector.head.score))
    with closing(pipeline.observe(source)) as observations:

        def frame() -> None:
            seen.append(next(observations))
            seen[-1].to_json()

        subjects: dict[str, Callable[[], object]] = {
            "frame": frame,
            "engine": lambda: detector.session.run(tensor),
            "resize": lambda: cv2.resize(next(others), (small.width, small.height)),
        }
        taken = interleave(subjects, rounds)
    return taken, seen


def _follow_from(score: float) -> TrackSettings:
    """All detections are sure, and as with the usual limit and scores of 0.8 a quarter of overlap makes a pair."""
    return TrackSettings(high=score, low=score, start=score, max_cost=1 - score / 4)


def promises_of(found: Overhead) -> list[Promise]:
    """Of the whole frame, and of what lies beyond decoding too."""
    side = found.size[0] if found.size[0] == found.size[1] else 0
    limit = LIMITS.get(side)
    stages = ", ".join(f"{name} {spent:.2f}" for name, spent in found.stages_ms.items())
    how = (
        f"{found.engine_name}, 1 thread: engine {found.engine.median_cpu_ms:.2f} ms, frame "
        f"{found.frame.median_cpu_ms:.2f} ms, of it {stages} ms, and a bare resize "
        f"{found.resize.median_cpu_ms:.2f} ms; {THINGS} found from score {found.score:.3f} on, "
        f"{found.tracked:.0f} tracked"
    )
    return [
        Promise(
            what=f"frame beyond {what}, {found.size[0]}x{found.size[1]}, {found.variant}",
            target="none" if limit is None else f"at most {limit:.0%}",
            result=f"{share.median:.1%} ({share.low:.1%} to {share.high:.1%})",
            kept="not promised" if limit is None else at_most(limit, share),
            how=how,
        )
        for what, share in (("the engine", found.share), ("the engine and decoding", found.undecoded_share))
    ]


def promises(bundle: Path | str, rounds: Rounds = Rounds(rounds=40, block=10)) -> list[Promise]:  # noqa: B008
    """The promises for each variant of a detector's bundle; one whose engine is not here was not measured."""
    kept = []
    with Bundle.open(bundle) as opened:
        for variant in opened.manifest.variants:
            try:
                kept += promises_of(measure(opened, variant, rounds))
            except EngineMissing as missing:
                kept.append(Promise(f"frame beyond the engine, {variant.name}", "", "", "not measured", str(missing)))
    return kept


if __name__ == "__main__":
    tell(each for path in asked(__doc__, bundles=BUNDLES).bundles for each in promises(path))
