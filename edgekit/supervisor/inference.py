"""The inference child: looks at the frames that it is told to look at, and answers with what it saw.

Engines crash, hang and run out of memory; here they take only themselves along. One set of models serves all cameras,
each of which has its own tracks. Pictures for whoever watches the local page are drawn here too, after the answer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from edgekit.engines.guard import limit_memory
from edgekit.errors import ContractError, EdgekitError
from edgekit.hostplan import Plans
from edgekit.runtime.annotate import annotate
from edgekit.runtime.pipeline import Observation, Pipeline, Watch
from edgekit.schema import parse
from edgekit.supervisor.channel import Channel, Gone
from edgekit.supervisor.child import begin
from edgekit.supervisor.ring import DoesNotFit, Ring
from edgekit.supervisor.settings import Unattended

_GREY = 114  # what letterboxing pads with: a model that gives nonsense for it would do so in every frame
_VIEW_WIDTH = 640
_VIEW_QUALITY = 70
_VIEW_PERIOD_S = 0.2


def main(channel_fd: int, *_: int) -> None:
    """Serve until the supervisor's end of the channel closes. The rings' descriptors are named in the first order."""
    begin("inference")
    channel = Channel.open(channel_fd)
    try:
        order = channel.receive(None)
        assert order is not None
        if order["memory_mb"] is not None:
            limit_memory(order["memory_mb"])
        try:
            looker = _load(order, channel)
        except (EdgekitError, ValueError, MemoryError) as error:
            channel.send({"kind": "failed", "reason": str(error) or type(error).__name__}, wait=True)
            return
        with looker.pipeline:
            looker.serve()
    except Gone:
        return


def _load(order: Mapping[str, Any], channel: Channel) -> Looker:
    settings = parse(Unattended, order["settings"], "settings")
    pipeline = open_pipeline(settings, order["variant"])
    # The first run of a model builds its kernels; no frame should wait for that, nor be the first to find it broken.
    width, height = settings.largest_frame
    grey = np.full((height, width, 3), _GREY, np.uint8)
    pipeline.detector(grey)
    if pipeline.classifier is not None:
        pipeline.classifier(grey)
    session = getattr(pipeline.detector, "session", None)
    engine = getattr(session, "engine", "")
    rings = {name: Ring(fd) for name, fd in order["rings"].items()}
    views = {name: Ring(fd) for name, fd in order["views"].items()}
    channel.send(
        {
            "kind": "ready",
            "engine": engine,
            "precision": getattr(session, "precision", ""),
            "planned": "planned" if getattr(pipeline.detector, "planned", False) else "",
        },
        wait=True,
    )
    return Looker(channel, pipeline, rings, views, {}, order["detector_only"], frozenset(order["watching"]))


def open_pipeline(settings: Unattended, variant: str | None) -> Pipeline:
    """The store's models, the detector in the variant that is named."""
    named = settings.classifier
    return Pipeline.open(
        settings.detector.bundle,
        None if named is None else named.bundle,
        profile=settings.profile,
        variant=variant,
        classifier_variant=None if named is None else named.variant,
        score=settings.detector.score,
        track=settings.track or None,
        classify=settings.classify,
        plans=Plans.usual(settings.state),
    )


@dataclass
class Looker:
    """The loop of the child. watches: what is remembered of each camera. watched: those whose picture somebody sees."""

    channel: Channel
    pipeline: Pipeline
    rings: Mapping[str, Ring]
    views: Mapping[str, Ring]
    watches: dict[str, Watch]
    detector_only: bool = False
    watched: frozenset[str] = frozenset()
    drawn_at: dict[str, float] = field(default_factory=dict)

    def serve(self) -> None:
        while True:
            order = self.channel.receive(None)
            assert order is not None  # it waits for ever
            if order["kind"] == "look":
                self._look(order["camera"], order["number"])
            elif order["kind"] == "forget":
                self.watches.pop(order["camera"], None)
            elif order["kind"] == "simplify":
                self.detector_only = order["detector_only"]
                self.watches.clear()
            elif order["kind"] == "watching":
                self.watched = frozenset(order["cameras"])

    def _look(self, camera: str, number: int) -> None:
        asked = time.monotonic()
        frame = self.rings[camera].hold(number, camera)
        if frame is None:
            self._missed(camera, number)
            return
        if camera not in self.watches:
            pipeline = replace(self.pipeline, classifier=None) if self.detector_only else self.pipeline
            self.watches[camera] = pipeline.watch()
        try:
            seen = self.watches[camera].look(frame, asked)
        except ContractError as error:
            self.channel.send({"kind": "nonsense", "camera": camera, "reason": str(error)}, wait=True)
            return
        if not self.rings[camera].whole(number):
            self._missed(camera, number)
            return
        answer = {"kind": "seen", "camera": camera, "number": number, "observation": seen.to_dict()}
        self.channel.send(answer, wait=True)
        if camera in self.watched and asked - self.drawn_at.get(camera, 0.0) >= _VIEW_PERIOD_S:
            self.drawn_at[camera] = asked
            self._draw(replace(seen, frame=frame), self.views[camera])

    def _missed(self, camera: str, number: int) -> None:
        self.channel.send({"kind": "missed", "camera": camera, "number": number}, wait=True)

    def _draw(self, seen: Observation, view: Ring) -> None:
        assert seen.frame is not None
        picture = annotate(seen.frame.image, seen)
        scale = min(1.0, _VIEW_WIDTH / picture.shape[1])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _VIEW_QUALITY])
        try:
            view.write(jpeg.data.cast("B"), small.shape[0], small.shape[1], seen.taken_at)
        except DoesNotFit:
            return  # a picture of noise; the next one may fit


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
