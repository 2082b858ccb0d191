"""Box arithmetic against the obvious loops, above all that OpenCV's NMS keeps what the textbook keeps."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.boxes import area, clip, iou, nms, xywh_to_xyxy


def textbook_nms(boxes, scores, labels, threshold, class_agnostic=False):
    """Greedy NMS, one pair at a time, in double precision; of equal scores the earlier box wins."""
    left = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [
            i
            for i in left
            if overlap(boxes[best], boxes[i]) <= threshold or (labels[i] != labels[best] and not class_agnostic)
        ]
    return kept


def overlap(a, b):
    a, b = [float(edge) for edge in a], [float(edge) for edge in b]
    common = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def crowd(seed, whole=False):
    """Overlapping boxes of a few things; `whole`: on whole pixels, with many equal scores and equal overlaps."""
    rng = np.random.default_rng(seed)
    n, things = rng.integers(1, 120), rng.integers(1, 9)
    centres = rng.uniform(-50, 400, (things, 2))[rng.integers(things, size=n)] + rng.normal(0, 8, (n, 2))
    boxes = xywh_to_xyxy(np.concatenate((centres, rng.uniform(8, 80, (n, 2))), axis=1)).astype(np.float32)
    scores = rng.random(n).astype(np.float32)
    if whole:
        boxes = np.round(boxes / 8) * 8
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 8)
        scores = np.round(scores * 4) / 4
    return boxes, scores, rng.integers(0, 5, n)


@pytest.mark.parametrize("whole", [False, True], ids=["anywhere", "ties"])
@pytest.mark.parametrize("class_agnostic", [False, True], ids=["per class", "all classes"])
def test_nms_keeps_what_the_textbook_keeps(whole, class_agnostic):
    for seed in range(50):
        boxes, scores, labels = crowd(seed, whole)
        for threshold in (0.0, 0.25, 0.45, 0.5, 1.0):
            kept = nms(boxes, scores, labels, threshold, class_agnostic)
            assert kept.tolist() == textbook_nms(boxes, scores, labels, threshold, class_agnostic), seed


def test_a_box_that_reaches_out_on_the_left_does_not_meet_another_class():
    boxes = np.array([[0, 0, 100, 100], [-101, 0, -1, 100]], np.float32)
    assert nms(boxes, np.array([0.9, 0.8]), np.array([0, 1]), 0.5).tolist() == [0, 1]


def test_an_overlap_of_just_the_threshold_stays():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 20]], np.float32)  # they share one half
    assert nms(boxes, np.array([0.9, 0.8]), np.array([0, 0]), 0.5).tolist() == [0, 1]
    assert nms(boxes, np.array([0.9, 0.8]), np.array([0, 0]), 0.499).tolist() == [0]


def test_a_score_of_nothing_is_still_a_score():
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    assert nms(boxes, np.zeros(2), np.array([0, 0]), 0.5).tolist() == [0, 1]


def test_boxes_without_an_area_go():
    boxes = np.array([[5, 5, 5, 9], [0, 0, 10, 10], [9, 9, 3, 12], [70, 5, 80, 5]], np.float32)
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6]), np.zeros(4, int)
    assert nms(boxes, scores, labels, 0.5).tolist() == [1]
    assert nms(boxes[:1], scores[:1], labels[:1], 0.5).tolist() == []


def test_of_no_boxes_none_are_kept():
    assert nms(np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, int), 0.5).tolist() == []


def test_iou_is_that_of_the_loop():
    a, _, _ = crowd(1)
    b, _, _ = crowd(2)
    np.testing.assert_allclose(iou(a, b), [[overlap(one, other) for other in b] for one in a], atol=1e-5)


def test_boxes_without_an_area_share_nothing():
    flat = np.array([[5, 5, 5, 9], [9, 9, 3, 12]], np.float32)
    assert area(flat).tolist() == [0, 0]
    assert iou(flat, flat).tolist() == [[0, 0], [0, 0]]


def test_centre_and_sides_become_corners_to_the_last_bit():
    boxes = np.random.default_rng(0).uniform(0, 640, (500, 4)).astype(np.float32)
    half = boxes[:, 2:] / 2
    np.testing.assert_array_equal(xywh_to_xyxy(boxes), np.hstack((boxes[:, :2] - half, boxes[:, :2] + half)))
    assert xywh_to_xyxy(boxes).dtype == np.float32


def test_clipping_ends_at_the_edges():
    boxes = clip(np.array([[-5, 3, 700, 90], [650, 10, 700, 20]]), 640, 80)
    np.testing.assert_array_equal(boxes, [[0, 3, 640, 80], [640, 10, 640, 20]])
    assert boxes.dtype == np.float32
