"""The facts of a frame: equal for equal pictures only, at every size, and as bright as the picture is."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.frames import Frame
from edgekit.supervisor.camera import Facts
from edgekit.supervisor.capture import facts, without_address
from edgekit.supervisor.settings import CameraSettings

SIZES = [(1, 1), (48, 64), (480, 640), (1080, 1920)]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(90, 110, (height, width, 3), np.uint8)


def of(picture: np.ndarray) -> Facts:
    return Facts(**facts(Frame(picture, taken_at=1.5, stamp=0.04), number=7))


def test_a_frame_is_described_by_its_number_its_times_and_its_size():
    found = of(noise(48, 64))

    assert (found.number, found.taken_at, found.stamp, found.width, found.height) == (7, 1.5, 0.04, 64, 48)


@pytest.mark.parametrize("size", SIZES)
def test_the_digest_is_the_same_for_the_same_picture_and_another_for_another_second_of_noise(size):
    assert of(noise(*size)).digest == of(noise(*size).copy()).digest != of(noise(*size, seed=1)).digest


@pytest.mark.parametrize("size", SIZES)
def test_a_change_as_high_as_a_thirtieth_of_the_picture_changes_the_digest_wherever_it_is(size):
    still = noise(*size)
    high = -(-size[0] // 30)
    for top in np.linspace(0, size[0] - high, 40).astype(int):
        changed = still.copy()
        changed[top : top + high, size[1] // 2] += 1
        assert of(changed).digest != of(still).digest, f"from row {top} on"


@pytest.mark.parametrize("size", SIZES)
def test_the_brightness_is_that_of_the_picture(size):
    assert of(np.full((*size, 3), 9, np.uint8)).mean == 9.0
    assert of(noise(*size)).mean == pytest.approx(noise(*size).mean(), abs=10 if size == (1, 1) else 1.5)


def test_a_picture_that_is_a_view_of_a_larger_one_has_the_facts_of_its_copy():
    view = noise(100, 100)[10:90:2, ::3]

    assert of(view) == of(view.copy())


@pytest.mark.parametrize(
    ("address", "reason", "told"),
    [
        (0, "door: /dev/video0 gives 10 frames", "/dev/video0 gives 10 frames"),
        ("0", "/dev/video0 gives 10 frames", "/dev/video0 gives 10 frames"),
        ("rtsp://10.0.0.7/live", "door: rtsp://10.0.0.7/live refused", "its address refused"),
        ("/dev/video0", "/dev/video0: no such device", "its address: no such device"),
    ],
)
def test_a_reason_is_told_without_the_cameras_address_and_otherwise_whole(address, reason, told):
    assert without_address(reason, CameraSettings("door", address)) == told
