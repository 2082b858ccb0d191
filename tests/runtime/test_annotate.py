"""What is drawn can be read, and stays inside the picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from painted import SEEN, paint

from edgekit.frames import Detections
from edgekit.runtime.annotate import COLOURS, annotate, caption, colour_of, fitted, times, write

FONT = cv2.FONT_HERSHEY_SIMPLEX


def test_the_picture_itself_is_left_alone() -> None:
    picture = paint(size=(640, 360))
    drawn = annotate(picture, SEEN)
    assert (picture == paint(size=(640, 360))).all()
    assert (drawn != picture).any()
    assert drawn.shape == picture.shape


def test_the_captions_say_number_name_and_score() -> None:
    assert caption(SEEN, 0) == "cola ½ l 0.87 #1"
    assert caption(replace(SEEN, products=(None,)), 0) == "bottle 0.91 #1"
    assert caption(replace(SEEN, detections=replace(SEEN.detections, track_ids=None)), 0) == "cola ½ l 0.87"
    assert times(SEEN) == "frame 12  age 41 ms  detect 20.4  track 0.2  dropped 0"


def test_a_box_has_its_labels_colour_and_once_it_is_known_its_products() -> None:
    unknown = replace(SEEN, products=(None,))
    assert colour_of(unknown, 0) == COLOURS[0]
    assert colour_of(SEEN, 0) == colour_of(SEEN, 0) != COLOURS[0]
    for seen in (unknown, SEEN):
        drawn = annotate(paint(size=(640, 360)), seen)
        assert drawn[180, 30].tolist() == list(colour_of(seen, 0))


def test_a_caption_is_no_wider_than_its_box_on_a_full_shelf() -> None:
    box = np.array([[100.0, 100, 180, 200]])
    seen = replace(SEEN, detections=replace(SEEN.detections, boxes=box))
    before = paint(size=(640, 360))
    changed = np.flatnonzero((annotate(before, seen) != before)[60:99].any(axis=(0, 2)))
    assert changed.min() >= 99
    assert changed.max() <= 181


@pytest.mark.parametrize("corner", [(-30, -10), (0, 0), (630, 0), (700, 400), (635, 359), (0, 359)])
@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (200, 150)])
def test_no_letter_is_lost_at_any_edge(corner: tuple[int, int], size: tuple[int, int]) -> None:
    def patch(at: tuple[int, int]) -> int:
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        write(picture, "#1 cola 0.87", at, (255, 255, 255), above=True)
        return int(np.count_nonzero(picture))

    assert patch(corner) == patch((size[0] // 2 - 60, size[1] // 2))


def test_text_wider_than_the_picture_is_cut_and_says_so() -> None:
    text = fitted("a very long product name indeed", 120, 0.5, 1)
    assert text.endswith("..")
    assert cv2.getTextSize(text, FONT, 0.5, 1)[0][0] <= 120
    assert fitted("cola", 3, 0.5, 1) == ""


def test_letters_that_the_font_lacks_are_replaced_not_left_out() -> None:
    assert fitted("Äpfel", 500, 0.5, 1) == "Apfel"
    assert fitted("苹果", 500, 0.5, 1) == "??"


def test_a_tiny_picture_and_a_crowd_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(-20, 60, (40, 2, 2)), axis=1).reshape(-1, 4)
    crowd = Detections(boxes, rng.random(40), rng.integers(0, 90, 40))
    seen = replace(SEEN, detections=crowd, labels=("thing",) * 40, products=(None,) * 40)
    for size in ((40, 30), (8, 4)):
        assert annotate(paint(size=size), seen).shape == (size[1], size[0], 3)
