"""How long an RTSP camera may be silent, which FFmpeg would decide badly."""

from __future__ import annotations

import threading
import weakref
from itertools import islice

import pytest
from network_cameras import FILM, within

from edgekit.benchmarks.reliability.camera_server import Fault, RtspServer
from edgekit.errors import SourceError
from edgekit.runtime.sources import open_source

TIMEOUT_S = 5.0
QUIET_S = 1.0  # what `open_source` allows where nothing else is asked for


def test_a_camera_that_gives_a_picture_seldom_is_read_on_over_one_connection() -> None:
    with RtspServer(FILM, fps=0.8 / QUIET_S) as server, open_source(server.address, timeout_s=TIMEOUT_S) as camera:
        assert [frame.index for frame in islice(camera, 4)] == [0, 1, 2, 3]
        assert not camera.damaged
        assert server.connections == 1


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.FREEZE, Fault.TRUNCATE])
def test_a_camera_that_was_quick_and_gives_no_picture_for_a_second_is_given_up(fault: Fault) -> None:
    with RtspServer(FILM, fps=50, seed=3) as server, open_source(server.address, timeout_s=TIMEOUT_S) as camera:
        frames = iter(camera)
        assert len(list(islice(frames, 75))) == 75
        server.fault = fault
        with within(0, 2.5 * QUIET_S), pytest.raises(SourceError):
            list(frames)


def test_a_picture_that_is_late_once_is_waited_for() -> None:
    with RtspServer(FILM, fps=50) as server, open_source(server.address, timeout_s=TIMEOUT_S) as camera:
        frames = iter(camera)
        assert len(list(islice(frames, 75))) == 75
        server.fault = Fault.FREEZE
        threading.Timer(0.6 * QUIET_S, server.well).start()
        assert len(list(islice(frames, 20))) == 20
        assert server.connections == 1


def test_a_camera_whose_network_stalls_may_be_given_longer() -> None:
    with (
        RtspServer(FILM, fps=50) as server,
        open_source(server.address, timeout_s=TIMEOUT_S, quiet_s=2.5 * QUIET_S) as camera,
    ):
        frames = iter(camera)
        assert len(list(islice(frames, 150))) == 150
        server.fault = Fault.FREEZE
        threading.Timer(1.5 * QUIET_S, server.well).start()
        assert len(list(islice(frames, 20))) == 20
        assert server.connections == 1


def test_an_opening_may_have_a_shorter_limit_than_a_picture() -> None:
    with RtspServer(FILM) as server:
        server.fault = Fault.FREEZE
        with within(0.2, 1.5), pytest.raises(SourceError, match=r"no video within 0\.3 s"):
            open_source(server.address, timeout_s=TIMEOUT_S, opening_s=0.3)


def test_its_first_picture_is_not_kept_for_as_long_as_the_camera_is_open() -> None:
    with RtspServer(FILM, fps=50) as server, open_source(server.address, timeout_s=TIMEOUT_S) as camera:
        frames = iter(camera)
        first = weakref.ref(next(frames).image)
        next(frames)
        assert first() is None
