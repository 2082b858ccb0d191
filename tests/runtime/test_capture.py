"""The newest frame, and nothing but the newest frame."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest
from network_cameras import FILM
from painted import HeldCamera, paint

from edgekit.benchmarks.reliability.camera_server import Fault, RtspServer
from edgekit.errors import SourceError
from edgekit.frames import Frame
from edgekit.runtime.capture import Newest
from edgekit.runtime.sources import Arrays, Source, open_source

PICTURE = paint()


def capture_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("capture")]


def test_who_is_slow_gets_the_newest_frame_and_the_others_are_counted() -> None:
    camera = HeldCamera()
    with Newest(camera) as frames:
        camera.give(PICTURE)
        first = frames.take()
        camera.give(PICTURE, PICTURE, PICTURE)
        second = frames.take()
    assert first is not None
    assert second is not None
    assert (first.index, second.index) == (0, 3)
    assert frames.dropped == 2


def test_who_is_fast_waits_and_misses_nothing() -> None:
    camera = HeldCamera()
    with Newest(camera) as frames:
        seen = []
        for _ in range(5):
            camera.give(PICTURE)
            frame = frames.take()
            assert frame is not None
            seen.append(frame.index)
    assert seen == [0, 1, 2, 3, 4]
    assert frames.dropped == 0


def test_the_last_frame_is_still_handed_over_when_the_source_has_ended() -> None:
    with Newest(Arrays([PICTURE] * 3, live=True)) as frames:
        seen = [frame.index for frame in frames]
    assert seen[-1] == 2
    assert len(seen) + frames.dropped == 3


class Unplugged(Source):
    """A camera that gives one frame and is then pulled out."""

    name = "unplugged"
    live = True

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(PICTURE)
        raise SourceError("unplugged gives no more frames, after 1")


def test_what_goes_wrong_in_the_capture_thread_is_raised_in_the_loop() -> None:
    with Newest(Unplugged()) as frames:
        assert frames.take() is not None
        with pytest.raises(SourceError, match="after 1"):
            frames.take()


def test_a_camera_that_gives_nothing_is_an_error_after_a_while() -> None:
    with Newest(HeldCamera("aisle 3"), stall_s=0.05) as frames, pytest.raises(SourceError, match=r"aisle 3 .* 0.05 s"):
        frames.take()


def test_leaving_closes_the_camera_and_leaves_no_thread() -> None:
    camera = HeldCamera()
    with Newest(camera) as frames:
        camera.give(PICTURE)
        frames.take()
    assert camera.closed
    assert not capture_threads()
    assert frames.take() is None


class Stuck(Source):
    """A camera whose read does not return until the test lets it."""

    name = "stuck"
    live = True

    def __init__(self) -> None:
        self.reading, self.release, self.closed = threading.Event(), threading.Event(), 0

    def __iter__(self) -> Iterator[Frame]:
        self.reading.set()
        self.release.wait()
        yield Frame(PICTURE)

    def close(self) -> None:
        self.closed += 1


def test_a_read_that_hangs_holds_nobody_up_and_the_camera_is_closed_when_it_returns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    camera = Stuck()
    with caplog.at_level(logging.WARNING):
        started = time.monotonic()
        with Newest(camera, close_s=0.05):
            camera.reading.wait()
        assert time.monotonic() - started < 2
    assert "stuck is stuck in a read" in caplog.text
    asked_to_close = camera.closed
    camera.release.set()
    for thread in threading.enumerate():
        if thread.name == "capture stuck":
            thread.join(5)
    assert not capture_threads()
    assert camera.closed > asked_to_close


def test_a_frozen_rtsp_camera_is_not_released_under_its_own_read() -> None:
    with RtspServer(FILM) as camera:
        source = open_source(camera.address, timeout_s=1)
        with Newest(source, close_s=0.01) as frames:
            frames.take()
            camera.fault = Fault.FREEZE
        for thread in threading.enumerate():
            if thread.name.startswith("capture rtsp://"):
                thread.join(5)
        assert not capture_threads()
        assert list(source) == []
