"""Where frames come from, and what is said when they do not come."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from network_cameras import FILM, within
from painted import Ticks, paint

from edgekit.benchmarks.reliability.camera_server import RtspServer
from edgekit.errors import SourceError
from edgekit.pictures import read_picture
from edgekit.runtime.sources import Arrays, CameraMode, Paced, open_source


def write_video(path: Path, frames: int, fps: float = 10) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (160, 120))
    for i in range(frames):
        writer.write(paint(("red", 5 * i % 140, 40)))
    writer.release()
    return path


def test_a_video_is_read_frame_by_frame_in_order(tmp_path: Path) -> None:
    clock = Ticks(step=0.5)
    with open_source(write_video(tmp_path / "clip.mp4", 12), clock=clock) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.taken_at for frame in frames] == [100.5 + 0.5 * i for i in range(12)]
    assert [frame.stamp for frame in frames] == pytest.approx([0.1 * i for i in range(12)])
    assert (source.name, source.fps, source.live) == ("clip.mp4", 10, False)
    assert frames[0].source == "clip.mp4"


def test_every_frame_of_a_gif_is_seen_as_imreadmulti_sees_it(data: Path) -> None:
    path = data / "video" / "store-aisle-detection.gif"
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == 67
    assert not source.unreadable
    _, expected = cv2.imreadmulti(str(path))
    apart = [np.abs(frame.image.astype(int) - other).mean() for frame, other in zip(frames, expected, strict=True)]
    assert max(apart) < 2  # FFmpeg goes through its own palette conversion


def test_the_real_clips_have_as_many_frames_as_they_say(data: Path) -> None:
    with open_source(data / "video" / "bottle-detection.mp4") as source:
        assert sum(1 for _ in source) == 1189
    assert not source.unreadable


def test_pictures_come_by_name_and_one_that_is_damaged_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, x in (("b.png", 40), ("a.jpg", 10), ("d.bmp", 100)):
        cv2.imwrite(str(tmp_path / name), paint(("red", x, 40)))
    (tmp_path / "c.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not a picture either, and not called one")
    with caplog.at_level(logging.WARNING), open_source(tmp_path, name="shelf") as source:
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 3]
    assert {frame.source for frame in frames} == {"shelf"}
    assert len(source.unreadable) == 1
    assert "c.png: not a picture" in source.unreadable[0]
    assert "c.png" in caplog.text


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp"])
def test_a_picture_that_was_cut_short_is_not_shown_with_a_grey_half(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    content = cv2.imencode(ending, noise)[1].tobytes()
    whole, cut = tmp_path / f"whole{ending}", tmp_path / f"cut{ending}"
    whole.write_bytes(content)
    cut.write_bytes(content[: len(content) * 2 // 3])
    assert read_picture(whole).shape == (64, 64, 3)
    with pytest.raises(SourceError, match="cut"):
        read_picture(cut)


def test_a_picture_of_more_pixels_than_opencv_takes_is_passed_over_like_any_other(tmp_path: Path) -> None:
    whole = bytearray(cv2.imencode(".bmp", paint(("red", 10, 40)))[1].tobytes())
    cv2.imwrite(str(tmp_path / "a.png"), paint(("red", 10, 40)))
    whole[18:26] = struct.pack("<ii", 1 << 16, 1 << 15)  # width and height
    (tmp_path / "b.bmp").write_bytes(whole)
    with open_source(tmp_path) as source:
        assert len(list(source)) == 1
    assert "b.bmp: not decoded by OpenCV" in source.unreadable[0]


def test_one_picture_is_a_source_of_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), paint(("red", 10, 40)))
    with open_source(tmp_path / "a.png") as source:
        (frame,) = source
    assert (frame.image == paint(("red", 10, 40))).all()


def test_a_folder_in_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with open_source(tmp_path) as source, pytest.raises(SourceError, match="none of the 1 pictures can be read"):
        list(source)


def test_a_video_that_ends_too_early_says_so(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for i in range(40):
        writer.write(paint(("red", i, 40)))
    writer.release()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with open_source(path) as source:
        seen = sum(1 for _ in source)
    assert 0 < seen < 40
    assert source.unreadable == [f"clip.avi: ended after {seen} of 40 frames"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere.mp4", "nowhere.mp4: no such file or folder"),
        ("/dev/video77", "no camera /dev/video77; there are: "),
        (77, "no camera /dev/video77"),
        ("ftp://me:pw@shop/cam", r"ftp://\*\*\*@shop/cam: of addresses with '://' only rtsp\(s\):// and http\(s\)://"),
    ],
)
def test_an_address_that_gives_nothing_is_named(address: str | int, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(address)


def test_a_file_that_is_no_video_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"not a video at all" * 100)
    with pytest.raises(SourceError, match=r"clip.mp4 is not a video"):
        open_source(tmp_path / "clip.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="empty holds no picture"):
        open_source(tmp_path / "empty")


def test_no_option_is_ignored(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", 2)
    with pytest.raises(ValueError, match="is no camera"):
        open_source(video, mode=CameraMode(width=640))
    cv2.imwrite(str(tmp_path / "a.png"), paint())
    with pytest.raises(ValueError, match="no frame rate"):
        open_source(tmp_path / "a.png", pace="camera")
    with pytest.raises(ValueError, match="four letters"):
        CameraMode(fourcc="YUY")


def test_a_scene_is_a_source_like_any_other() -> None:
    with open_source("scene:shelf?seed=3&frames=4&fps=15") as source:
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert (source.fps, source.live) == (15, False)


def test_a_file_at_the_pace_of_a_camera_comes_at_its_own_rate() -> None:
    clock = Ticks()
    source = Paced(Arrays([paint()] * 5, fps=10), clock, clock.wait)
    assert source.live
    assert [frame.taken_at for frame in source] == pytest.approx([100, 100.1, 100.2, 100.3, 100.4])


def test_a_reader_that_is_late_does_not_shift_the_frames_after_it() -> None:
    clock = Ticks()
    taken = []
    for frame in Paced(Arrays([paint()] * 4, fps=10), clock, clock.wait):
        taken.append(frame.taken_at)
        clock.wait(0.25 if frame.index == 0 else 0)
    assert taken == pytest.approx([100, 100.25, 100.25, 100.3])


def test_a_capture_that_was_closed_gives_no_more_frames_and_complains_of_none(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "clip.mp4", 9))
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    assert not source.unreadable


def test_an_rtsp_camera_is_read_over_tcp_and_opens_without_collecting_old_frames() -> None:
    with RtspServer(FILM, fps=10) as server, within(0, 1.5), open_source(server.address, timeout_s=2) as source:
        assert (source.live, source.fps) == (True, 10)
        assert next(iter(source)).index == 0
    assert server.transports
    assert all("RTP/AVP/TCP" in transport for transport in server.transports)


def test_an_rtsp_address_where_nobody_answers_is_an_error_without_its_password() -> None:
    with pytest.raises(SourceError, match="no video within 1 s") as caught:
        open_source("rtsp://clerk:s3cret@127.0.0.1:9/aisle", timeout_s=1)
    assert "s3cret" not in str(caught.value)
