"""The capture child: one camera's frames into shared memory, and a few facts about each to the supervisor.

Whatever blocks in a camera's driver or in a decoder blocks here, in a process that can be killed. It opens its source
when it is told to, says how that ended, and waits to be told again; it decides nothing.
"""

from __future__ import annotations

import logging
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError, SourceError
from edgekit.frames import Frame
from edgekit.runtime.sources import Paced, Source, open_source
from edgekit.schema import parse
from edgekit.supervisor.channel import Channel, Gone
from edgekit.supervisor.child import begin
from edgekit.supervisor.pace import Pace
from edgekit.supervisor.patience import Patience
from edgekit.supervisor.ring import Ring
from edgekit.supervisor.settings import CameraSettings

log = logging.getLogger(__name__)

# Every 8th row goes into the digest, of a small picture more: one that is stuck is stuck in those too. No fewer, for
# what stands still is the same bytes in each picture of a video, and a thing that moves must cross one of them.
_APART, _ROWS = 8, 60
_DOTS = 16  # every 16th pixel of every other one of them goes into the brightness


def main(channel_fd: int, ring_fd: int) -> None:
    """Serve until the supervisor's end of the channel closes."""
    begin("capture")
    channel, ring = Channel.open(channel_fd), Ring(ring_fd)
    try:
        camera = parse(CameraSettings, _next(channel)["camera"], "camera")
        patience = Patience(camera.timeout_s)
        while _next(channel)["kind"] == "open":
            channel.send({"kind": "failed", "reason": _capture(camera, patience, channel, ring)}, wait=True)
    except Gone:
        return


def _next(channel: Channel) -> dict[str, Any]:
    order = channel.receive(None)
    assert order is not None  # it waits for ever
    return order


def _capture(camera: CameraSettings, patience: Patience, channel: Channel, ring: Ring) -> str:
    """Frames until there are no more; why there are no more."""
    try:
        with _open(camera, patience) as source:
            channel.send({"kind": "opened", "fps": source.fps}, wait=True)
            for message in _frames(source, camera, ring):
                # Where the supervisor is behind, a frame's facts may go missing: the next frame's are worth more.
                channel.send(message)
    except Gone:
        raise
    except (EdgekitError, ValueError, OSError) as error:
        return without_address(str(error), camera)
    return "it gives no more frames"


def without_address(reason: str, camera: CameraSettings) -> str:
    """As everybody may read it; the number of a camera of this host is no secret, and stands in other words too."""
    address, reason = str(camera.address), reason.removeprefix(f"{camera.name}: ")
    return reason if address.isdigit() else reason.replace(address, "its address")


def _open(camera: CameraSettings, patience: Patience) -> Source:
    """A live source; a file is played at its own rate, again and again."""
    began_at = time.monotonic()
    try:
        source = _source(camera, patience.limit_s)
    except SourceError:
        patience.failed()
        raise
    patience.opened(time.monotonic() - began_at)
    return source if source.live else Paced(Again(source, camera))


def _source(camera: CameraSettings, opening_s: float) -> Source:
    return open_source(
        camera.address,
        camera.name,
        mode=camera.mode,
        timeout_s=camera.timeout_s,
        opening_s=opening_s,
        quiet_s=camera.quiet_s,
    )


class Again(Source):
    """A file that begins anew when it ends, its pictures counted on and without their own times, which begin anew."""

    def __init__(self, first: Source, camera: CameraSettings) -> None:
        self.name = first.name
        self.fps = first.fps or camera.fps
        self._source = first
        self._camera = camera

    def __iter__(self) -> Iterator[Frame]:
        shown = 0
        while True:
            before = shown
            with self._source as source:
                for frame in source:
                    yield replace(frame, index=shown, stamp=None)
                    shown += 1
            if shown == before:
                return
            self._source = _source(self._camera, self._camera.timeout_s)

    def close(self) -> None:
        self._source.close()


def _frames(source: Source, camera: CameraSettings, ring: Ring) -> Iterator[dict[str, Any]]:
    pace = Pace(camera.fps)
    for arrived, frame in enumerate(source, start=1):
        if not pace.due(frame.taken_at):
            continue
        pace.took(frame.taken_at)
        yield {"kind": "frame", **facts(frame, ring.write_frame(frame)), "arrived": arrived, "damaged": damaged(source)}


def facts(frame: Frame, number: int) -> dict[str, Any]:
    """What the supervisor needs to know of a frame, to believe it or not; see `camera.Facts`."""
    rows = np.ascontiguousarray(frame.image[:: min(_APART, max(1, frame.height // _ROWS))])
    dots = rows[::2, ::_DOTS]
    return {
        "number": number,
        "taken_at": frame.taken_at,
        "width": frame.width,
        "height": frame.height,
        "digest": zlib.crc32(rows.data),
        "mean": round(int(np.add.reduce(dots, axis=None)) / dots.size, 2),
        "stamp": frame.stamp,
    }


def damaged(source: Source) -> int:
    """Frames that the source could not decode so far, where it counts them."""
    return sum(getattr(source, "damaged", {}).values())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
