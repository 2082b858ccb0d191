"""What was written is whole, however the writing ended."""

from __future__ import annotations

import logging
import resource
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from painted import paint

from edgekit.errors import EdgekitError
from edgekit.runtime.sinks import JsonLines, VideoFile, fit


def frames_in(path: Path) -> list[tuple[int, int, int]]:
    capture = cv2.VideoCapture(str(path))
    shapes = []
    while (read := capture.read())[0]:
        shapes.append(read[1].shape)
    return shapes


def test_lines_are_there_as_soon_as_they_are_written_and_stay_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    with JsonLines(path) as lines:
        lines.write('{"frame":0}')
        assert path.read_text() == '{"frame":0}\n'
    with JsonLines(path) as lines:
        lines.write('{"frame":1}')
    assert path.read_text() == '{"frame":0}\n{"frame":1}\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"frame":0}\n{"fra', '{"frame":0}\n'),
        ('{"fra', ""),
        ("", ""),
        ('{"frame":0}\n' + "x" * 200_000, '{"frame":0}\n'),
    ],
    ids=["torn", "only a torn one", "empty", "torn and long"],
)
def test_a_line_that_a_power_cut_tore_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: str, after: str
) -> None:
    path = tmp_path / "seen.jsonl"
    path.write_text(before)
    with caplog.at_level(logging.WARNING), JsonLines(path) as lines:
        lines.write("{}")
    assert path.read_text() == after + "{}\n"
    assert ("cut off" in caplog.text) == (before != after)


def test_a_dash_is_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines("-") as lines:
        lines.write("{}")
    assert capsys.readouterr().out == "{}\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"nowhere/seen.jsonl: No such file"):
        JsonLines(tmp_path / "nowhere" / "seen.jsonl")


def test_a_full_disk_is_named() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with JsonLines("/dev/full") as lines, pytest.raises(EdgekitError, match="/dev/full: No space left"):
        lines.write("{}")


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


def test_a_line_that_the_disk_had_no_room_for_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    size = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with JsonLines(path) as lines:
        lines.write('{"whole": 1}')
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, size[1]))
        try:
            with pytest.raises(EdgekitError, match=r"seen\.jsonl: File too large"):
                lines.write('{"not whole": 2}')
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, size)
            signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_text() == '{"whole": 1}\n'


def test_other_endings_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"as .mp4"):
        VideoFile(tmp_path / "seen.avi", 10)
    with pytest.raises(EdgekitError, match="there is no folder"):
        VideoFile(tmp_path / "nowhere" / "seen.mp4", 10)
