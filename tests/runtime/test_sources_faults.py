"""What each fault of a network camera looks like at the source: real servers, real sockets, real decoders."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from network_cameras import FILM, within

from edgekit.benchmarks.reliability.camera_server import PASSWORD, CameraServer, Fault, Film, MjpegServer, RtspServer
from edgekit.errors import SourceError
from edgekit.frames import Frame
from edgekit.runtime.sources import Source, open_source

FPS = 50
LIMIT_S = 0.6
Camera = tuple[CameraServer, Source, Iterator[Frame]]


@pytest.fixture(params=[MjpegServer, RtspServer], ids=["mjpeg", "rtsp"])
def camera(request: pytest.FixtureRequest) -> Iterator[Camera]:
    """A camera that has been watched for five frames."""
    with request.param(FILM, fps=FPS, seed=3) as server, open_source(server.address, timeout_s=LIMIT_S) as source:
        frames = iter(source)
        assert len(list(islice(frames, 5))) == 5
        yield server, source, frames


def until(frames: Iterator[Frame], seen: Callable[[Frame], bool]) -> Frame:
    """The first frame that shows it; some that were sent before may come first."""
    return next(frame for frame in islice(frames, 60) if seen(frame))


def test_a_camera_plays_its_film_in_order_in_its_own_time(camera: Camera) -> None:
    _, source, frames = camera
    seen = list(islice(frames, 10))
    assert [frame.index for frame in seen] == list(range(5, 15))
    assert {(frame.width, frame.height) for frame in seen} == {FILM.size}
    assert all(not np.array_equal(a.image, b.image) for a, b in itertools.pairwise(seen))
    stamps = [frame.stamp or 0 for frame in seen]
    assert np.diff(stamps) == pytest.approx([1 / FPS] * 9, abs=1e-3)
    assert source.live
    assert not source.damaged


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.RESET, Fault.SLOW_START])
def test_a_connection_that_breaks_is_an_error_at_once(camera: Camera, fault: Fault) -> None:
    server, _, frames = camera
    server.fault = fault
    with within(0, 2), pytest.raises(SourceError) as caught:
        list(islice(frames, 60))
    assert not re.search(f"within|in time|{PASSWORD}", str(caught.value))


def test_a_camera_that_is_off_cannot_be_opened_and_one_that_came_back_can(camera: Camera) -> None:
    server, _, _ = camera
    server.fault = Fault.REFUSE
    with within(0, 2), pytest.raises(SourceError) as caught:
        open_source(server.address, timeout_s=LIMIT_S)
    assert PASSWORD not in str(caught.value)
    server.well()
    with within(0, 2), open_source(server.address, timeout_s=LIMIT_S) as source:
        next(iter(source))


def test_a_camera_that_freezes_in_the_midst_of_its_stream_is_an_error_after_the_limit(camera: Camera) -> None:
    server, _, frames = camera
    server.fault = Fault.FREEZE
    with within(LIMIT_S - 0.1, LIMIT_S + 1.5), pytest.raises(SourceError) as caught:
        list(islice(frames, 60))
    assert PASSWORD not in str(caught.value)


def test_a_camera_that_accepts_and_says_nothing_is_an_error_after_the_limit(camera: Camera) -> None:
    server, _, _ = camera
    server.fault = Fault.FREEZE
    with within(LIMIT_S - 0.1, LIMIT_S + 1.5), pytest.raises(SourceError, match=r"within 0\.6 s"):
        open_source(server.address, timeout_s=LIMIT_S)


def test_a_camera_that_starts_slowly_is_waited_for(camera: Camera) -> None:
    server, _, _ = camera
    server.slow_s = 0.4
    server.fault = Fault.SLOW_START
    with within(0.35, 3), open_source(server.address, timeout_s=5) as source:
        next(iter(source))


@pytest.mark.parametrize("fault", [Fault.TRUNCATE, Fault.GARBAGE])
def test_what_is_not_a_whole_picture_never_becomes_a_frame(camera: Camera, fault: Fault) -> None:
    server, _, frames = camera
    server.fault = fault
    seen: list[Frame] = []
    with within(0, LIMIT_S + 2), pytest.raises(SourceError) as caught:
        seen.extend(islice(frames, 60))
    assert all(any(np.array_equal(frame.image, whole) for whole in DECODED) for frame in seen)
    assert PASSWORD not in str(caught.value)
    assert server.sent[fault.value] > 10


def test_pictures_that_were_cut_short_are_counted_with_the_reason_and_the_stream_goes_on(camera: Camera) -> None:
    server, source, frames = camera
    for _ in range(3):
        server.fault = Fault.TRUNCATE
        sent = server.sent["truncate"]
        while server.sent["truncate"] < sent + 5:
            time.sleep(0.01)
        server.well()
        assert len(list(islice(frames, 10))) == 10
    assert sum(source.damaged.values()) >= 12
    assert set(source.damaged) <= {"cut short", "ends before its last row", "bytes between two pictures"}


def test_a_size_that_changes_is_a_frame_of_that_size(camera: Camera) -> None:
    server, source, frames = camera
    server.fault = Fault.RESIZE
    small = until(frames, lambda frame: frame.width < FILM.size[0])
    assert (small.width, small.height) == (80, 64)
    server.well()
    assert until(frames, lambda frame: frame.width > 80).height == FILM.size[1]
    assert not source.damaged


def test_a_repeated_picture_is_the_same_to_the_last_pixel_while_its_time_goes_on(camera: Camera) -> None:
    server, _, frames = camera
    server.fault = Fault.REPEAT
    until(frames, lambda _: server.sent["repeat"] > 8)
    one, two = islice(frames, 2)
    assert np.array_equal(one.image, two.image)
    assert (two.stamp or 0) > (one.stamp or 0)


def test_a_black_picture_is_black(camera: Camera) -> None:
    server, _, frames = camera
    server.fault = Fault.BLACK
    assert until(frames, lambda frame: frame.image.mean() < 1)


def test_time_that_runs_back_is_seen_in_the_stamps(camera: Camera) -> None:
    server, _, frames = camera
    server.fault = Fault.BACKWARDS
    until(frames, lambda _: server.sent["backwards"] > 8)
    one, two = islice(frames, 2)
    assert (two.stamp or 0) < (one.stamp or 0)
    assert not np.array_equal(one.image, two.image)


def test_a_camera_that_is_too_fast_gives_every_frame_to_who_can_take_them(camera: Camera) -> None:
    server, _, frames = camera
    server.fault = Fault.TOO_FAST
    with within(0, 3):
        assert len(list(islice(frames, 300))) == 300


def test_a_source_that_is_closed_ends_without_a_complaint(camera: Camera) -> None:
    _, source, frames = camera
    source.close()
    source.close()
    assert list(frames) == []


def test_a_named_camera_shows_nothing_of_its_address(camera: Camera, capfd: pytest.CaptureFixture[str]) -> None:
    server, _, _ = camera
    with open_source(server.address, name="aisle 3", timeout_s=LIMIT_S) as source:
        assert next(iter(source)).source == "aisle 3"
    server.fault = Fault.REFUSE
    with pytest.raises(SourceError) as caught:
        open_source(server.address, name="aisle 3", timeout_s=LIMIT_S)
    said = str(caught.value) + capfd.readouterr().err
    assert "aisle 3" in said
    assert PASSWORD not in said
    assert "127.0.0.1" not in str(caught.value)


def test_a_real_clip_comes_over_both_lines_as_it_is(data: Path) -> None:
    film = Film.read(data / "video" / "one-by-one-person-detection.mp4", limit=12)
    for kind in (MjpegServer, RtspServer):
        with kind(film, fps=FPS) as server, open_source(server.address, timeout_s=2) as source:
            seen = list(islice(source, 12))
        assert not source.damaged
        whole = decode(film)
        assert all(any(np.array_equal(frame.image, picture) for picture in whole) for frame in seen)


def decode(film: Film) -> list[np.ndarray]:
    import cv2

    return [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in film.pictures]


DECODED = decode(FILM)
