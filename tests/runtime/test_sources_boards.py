"""Cameras that this machine may not have: what is asked of their drivers, and what is said where those are missing."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from painted import Ticks

from edgekit.errors import SourceError
from edgekit.runtime.settings import CameraMode
from edgekit.runtime.sources import open_source
from edgekit.runtime.sources.gstreamer import jetson_pipeline
from edgekit.runtime.sources.opencv import Capture, as_bgr
from edgekit.runtime.sources.picamera import PiCamera, configure
from edgekit.runtime.sources.v4l2 import camera_device

GSTREAMER = "GStreamer:                   YES" in cv2.getBuildInformation()


# V4L2, by a path that stays.


@pytest.fixture
def udev(tmp_path: Path) -> tuple[Path, Path]:
    """A camera's device, and udev's folder with its link."""
    folder = tmp_path / "by-id"
    folder.mkdir()
    (tmp_path / "video0").touch()
    (folder / "usb-Shop_Cam_A1-video-index0").symlink_to(tmp_path / "video0")
    return tmp_path / "video0", folder


def test_a_bare_number_is_warned_about_with_the_path_to_use_instead(
    udev: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    device, folder = udev
    with caplog.at_level(logging.WARNING):
        assert camera_device(device, (folder,)) == device
    assert f"name it {folder}/usb-Shop_Cam_A1-video-index0" in caplog.text


def test_a_stable_path_is_followed_anew_at_each_opening(
    udev: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    device, folder = udev
    link = folder / "usb-Shop_Cam_A1-video-index0"
    assert camera_device(link, (folder,)) == device
    device.rename(device.with_name("video2"))
    with pytest.raises(SourceError, match="leads nowhere: its camera is unplugged"):
        camera_device(link, (folder,))
    link.unlink()
    link.symlink_to(device.with_name("video2"))
    assert camera_device(link, (folder,)).name == "video2"
    assert not caplog.text


def test_a_camera_that_is_not_there_names_those_that_are(udev: tuple[Path, Path]) -> None:
    device, folder = udev
    with pytest.raises(SourceError, match=r"no camera .*video7; there are: .*usb-Shop_Cam_A1-video-index0"):
        camera_device(device.with_name("video7"), (folder,))


# GStreamer and Jetson.


@pytest.mark.skipif(GSTREAMER, reason="this OpenCV is built with GStreamer")
@pytest.mark.parametrize("address", ["gst:videotestsrc", "csi:0?size=1280x720&fps=30"])
def test_an_opencv_without_gstreamer_is_named_as_the_reason(address: str) -> None:
    with pytest.raises(SourceError, match="is built without it, as pip's wheels are"):
        open_source(address)


def test_a_pipeline_shows_none_of_its_properties() -> None:
    with pytest.raises(SourceError) as caught:
        open_source("gst:rtspsrc location=rtsp://10.0.0.7/s user-id=clerk user-pw=s3cret ! nosuchelement", timeout_s=1)
    assert str(caught.value).startswith("gst:***")
    assert "s3cret" not in str(caught.value)


@pytest.mark.skipif(not GSTREAMER, reason="this OpenCV is built without GStreamer, as pip's wheels are")
def test_a_pipeline_is_a_live_source_in_bgr() -> None:
    pipeline = "gst:videotestsrc is-live=true num-buffers=5 pattern=red ! video/x-raw,width=64,height=48"
    with open_source(pipeline, timeout_s=5) as source:
        frames = iter(source)
        assert next(frames).image[0, 0].tolist() == pytest.approx([0, 0, 255], abs=3)
        with pytest.raises(SourceError, match="its stream has ended"):
            list(frames)


def test_a_jetsons_camera_is_scaled_by_its_own_hardware_and_keeps_one_frame() -> None:
    assert jetson_pipeline(1, CameraMode(1280, 720, 30)) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),format=NV12,width=1280,height=720,framerate=30/1 ! "
        "nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
        "appsink drop=true max-buffers=1 sync=false"
    )
    assert "framerate=29970/1000" in jetson_pipeline(0, CameraMode(fps=29.97))
    with pytest.raises(ValueError, match="width and height together"):
        jetson_pipeline(0, CameraMode(width=640))


# Raspberry Pi.


class Request:
    """What Picamera2.capture_request gives: pixels and metadata, until it is released."""

    def __init__(self, pixels: np.ndarray, size: tuple[int, int], nanoseconds: int) -> None:
        self.config = {"main": {"size": size}, "lores": {"size": size}}
        self.pixels = pixels
        self.nanoseconds = nanoseconds
        self.released = False

    def make_array(self, stream: str) -> np.ndarray:
        assert stream in self.config
        return self.pixels

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": self.nanoseconds}

    def release(self) -> None:
        self.released = True


class Sensor:
    """The calls of Picamera2 that are used here, with what its documentation says of their arguments and results."""

    def __init__(self, pixels: np.ndarray, size: tuple[int, int], frames: int) -> None:
        self.requests = [Request(pixels, size, 1_000_000_000 + 40_000_000 * i) for i in range(frames)]
        self.waiting = list(self.requests)
        self.closed = 0
        self.configuration: dict[str, Any] = {}

    def create_video_configuration(self, **asked: Any) -> dict[str, Any]:
        return asked

    def configure(self, configuration: dict[str, Any]) -> None:
        # libcamera aligns widths to what the hardware can do.
        width, height = configuration["main"]["size"]
        self.configuration = {**configuration, "main": {**configuration["main"], "size": (width // 32 * 32, height)}}

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def capture_request(self, wait: float) -> Request:
        if not self.waiting:
            raise TimeoutError
        return self.waiting.pop(0)

    def close(self) -> None:
        self.closed += 1


def test_a_raspberry_pis_frames_are_bgr_with_the_sensors_time_and_go_back_to_the_camera() -> None:
    picture = np.full((48, 64, 3), (255, 0, 0), np.uint8)
    sensor = Sensor(picture, (64, 48), frames=3)
    source = PiCamera(sensor, "shelf", timeout_s=0.2, clock=Ticks(step=0.5))
    frames = iter(source)
    seen = [next(frames) for _ in range(3)]
    assert [(frame.index, frame.stamp) for frame in seen] == [(0, 1), (1, 1.04), (2, 1.08)]
    assert {frame.source for frame in seen} == {"shelf"}
    assert (seen[0].image == picture).all()
    assert all(request.released for request in sensor.requests)
    with pytest.raises(SourceError, match=r"shelf gives no more frames, after 3: nothing came within 0\.2 s"):
        next(frames)
    source.close()
    source.close()
    assert sensor.closed == 1
    assert list(source) == []


def test_its_small_stream_is_unpacked_from_i420_without_the_padding_of_its_rows() -> None:
    picture = cv2.resize(np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8), (96, 48))
    packed = cv2.cvtColor(cv2.copyMakeBorder(picture, 0, 0, 0, 32, cv2.BORDER_REPLICATE), cv2.COLOR_BGR2YUV_I420)
    frame = next(iter(PiCamera(Sensor(packed, (96, 48), 1), "shelf", "lores")))
    assert frame.image.shape == (48, 96, 3)
    assert np.abs(frame.image.astype(int) - picture).mean() < 12  # half the colour is gone
    assert frame.image.flags.c_contiguous


def test_a_size_that_libcamera_rounds_is_an_error_and_not_a_surprise() -> None:
    sensor = Sensor(np.zeros((1, 1, 3), np.uint8), (1, 1), 0)
    configure(sensor, CameraMode(640, 480, 15), "main")
    assert sensor.configuration["main"] == {"size": (640, 480), "format": "RGB888"}
    assert sensor.configuration["controls"] == {"FrameRate": 15}
    assert sensor.configuration["queue"] is False
    with pytest.raises(SourceError, match="grants 640x480 where 650x480 was asked for"):
        configure(sensor, CameraMode(650, 480), "main")


@pytest.mark.skipif(importlib.util.find_spec("picamera2") is not None, reason="picamera2 is installed")
def test_a_machine_without_picamera2_is_told_how_to_get_it() -> None:
    with pytest.raises(SourceError, match="sudo apt install python3-picamera2"):
        open_source("picamera:0?size=640x480&fps=15")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("picamera:", "expected picamera:0 and of size=640x480&fps=30&stream=main|lores"),
        ("picamera:0?size=big", "expected picamera:0"),
        ("picamera:0?zoom=2", "expected picamera:0"),
        ("csi:0?stream=lores", "expected csi:0 and of size=640x480&fps=30"),
    ],
)
def test_an_address_with_a_mistake_is_told_the_form(address: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(address)
    assert message in str(caught.value)


def test_a_mode_is_given_once() -> None:
    with pytest.raises(ValueError, match="leave one of them out"):
        open_source("picamera:0?size=640x480", mode=CameraMode(fps=15))


# What comes out of OpenCV.


def test_grey_and_transparent_pictures_become_bgr_and_others_are_refused_with_the_reason() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (as_bgr(grey) == grey[..., None]).all()
    assert (as_bgr(grey[..., None]) == grey[..., None]).all()
    bgra = np.dstack([grey, grey + 1, grey + 2, np.full_like(grey, 7)])
    assert (as_bgr(bgra) == bgra[..., :3]).all()
    with pytest.raises(ValueError, match="pictures of uint16"):
        as_bgr(grey.astype(np.uint16))
    with pytest.raises(ValueError, match=r"shape \(3, 4, 2\)"):
        as_bgr(np.dstack([grey, grey]))


class DepthCamera:
    """As much of cv2.VideoCapture as is used, whose pictures have 16 bits. (OpenCV's own class bears no subclasses.)"""

    def get(self, _: int) -> float:
        return 30.0

    def grab(self) -> bool:
        return True

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.zeros((4, 4), np.uint16)


def test_a_capture_that_gives_16_bits_is_an_error_that_says_what_to_do() -> None:
    camera: Any = DepthCamera()
    with pytest.raises(SourceError, match=r"depth: pictures of uint16; .* ask for an 8-bit format"):
        list(Capture(camera, "depth", live=True))
