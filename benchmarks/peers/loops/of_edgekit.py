"""edgekit's camera loop: `Pipeline.observe` with tracking, and each observation as its line of JSON.

Asked for the bare engine, it is that alone, on one prepared tensor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from serve import Loop, serve


def start(asked: dict[str, Any], picture: Any) -> tuple[Loop, dict[str, str]]:
    from edgekit.bundle import Bundle
    from edgekit.engines import open_session
    from edgekit.plan import EnginePlan

    plan = EnginePlan(asked["engine"], precision=asked["floats"], cache_dir=asked["compiled"])
    with Bundle.open(asked["bundle"]) as bundle:
        variant, manifest = bundle.variant(asked["variant"]), bundle.manifest
        session = open_session(bundle.artifact(variant), plan)
    facts = {"engine": session.engine, "floats": session.precision}
    if asked["bare"]:
        return _bare(session, variant.input, picture), facts
    head = replace(manifest.head, score=asked["score"], iou=asked["iou"], max_detections=asked["things"])
    return _observing(session, variant.input, head, manifest.labels), facts


def _bare(session: Any, spec: Any, picture: Any) -> Loop:
    from edgekit.preprocess import preprocess

    tensor, _ = preprocess(picture, spec)

    def loop(_: Any) -> int:
        session.run(tensor)
        return 0

    return loop


def _observing(session: Any, spec: Any, head: Any, labels: Any) -> Loop:
    from edgekit.frames import Frame
    from edgekit.runtime.pipeline import Pipeline
    from edgekit.runtime.settings import TrackSettings
    from edgekit.runtime.sources import Source
    from edgekit.tasks import Detector

    class Handed(Source):
        """One picture at a time, as the pipe asks for it."""

        name, fps, live = "peers", None, False
        picture: Any = None

        def __iter__(self) -> Iterator[Frame]:
            index = 0
            while True:
                yield Frame(self.picture, index, time.monotonic(), self.name)
                index += 1

    # what is found is sure, and a quarter of overlap makes a pair, as with the usual limits and scores of 0.8
    score = head.score
    track = TrackSettings(high=score, low=score, start=score, max_cost=1 - score / 4)
    source = Handed()
    observations = Pipeline(Detector(session, spec, head, labels), labels, track=track).observe(source)

    def loop(picture: Any) -> int:
        source.picture = picture
        seen = next(observations)
        seen.to_json()
        return len(seen.detections)

    return loop


if __name__ == "__main__":
    serve(start)
