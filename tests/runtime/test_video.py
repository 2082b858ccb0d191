"""A video is whole, however the writing ended."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from painted import paint

from edgekit.errors import EdgekitError
from edgekit.runtime.video import VideoFile, fit


def frames_in(path: Path) -> list[tuple[int, int, int]]:
    capture = cv2.VideoCapture(str(path))
    shapes = []
    while (read := capture.read())[0]:
        shapes.append(read[1].shape)
    return shapes


def test_a_video_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "seen.mp4"
    with VideoFile(path, fps=10) as video:
        for i in range(5):
            video.write(paint(("red", 10 * i, 40)), i)
        assert not path.exists()
    assert frames_in(path) == [(120, 160, 3)] * 5
    assert [each.name for each in tmp_path.iterdir()] == ["seen.mp4"]


def test_ctrl_c_leaves_a_video_of_what_was_seen_until_then(tmp_path: Path) -> None:
    path = tmp_path / "seen.mp4"

    def interrupted() -> None:
        with VideoFile(path, fps=10) as video:
            video.write(paint(), 0)
            video.write(paint(), 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(frames_in(path)) == 2


def test_a_video_without_a_frame_is_no_file(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "seen.mp4", fps=10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_dropped_frames_are_filled_so_that_it_plays_in_real_time(tmp_path: Path) -> None:
    path = tmp_path / "seen.mp4"
    with VideoFile(path, fps=10, longest_s=1) as video:
        for index in (0, 1, 4, 400):
            video.write(paint(), index)
    assert len(frames_in(path)) == 1 + 1 + 3 + 10


@pytest.mark.parametrize("size", [(161, 121), (80, 200)])
def test_pictures_of_any_size_fit_into_the_first_ones(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "seen.mp4"
    with VideoFile(path, fps=10) as video:
        video.write(paint(size=(161, 121)), 0)
        video.write(paint(size=size), 1)
    assert frames_in(path) == [(120, 160, 3)] * 2


def test_what_does_not_fit_is_scaled_and_centred() -> None:
    fitted = fit(np.full((100, 50, 3), 200, np.uint8), 100, 100)
    assert (fitted[:, 25:75] == 200).all()
    assert (fitted[:, :25] == 0).all()


def test_a_video_that_did_not_reach_the_disk_whole_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "seen.mp4", fps=10)
    video.write(paint(), 0)
    size = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, size[1]))  # bytes a file: what a full disk looks like
    try:
        with pytest.raises(EdgekitError, match=r"seen\.mp4: could not be written whole"):
            video.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, size)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_other_endings_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"as .mp4"):
        VideoFile(tmp_path / "seen.avi", 10)
    with pytest.raises(EdgekitError, match="there is no folder"):
        VideoFile(tmp_path / "nowhere" / "seen.mp4", 10)
