"""The filter in blocks is the textbook's filter in 8 x 8 matrices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edgekit.runtime.motion import POSITION_NOISE, VELOCITY_NOISE, Motion, centre_and_size

Matrix = npt.NDArray[np.float64]


class Textbook:
    """One box: Kalman 1960 with whole matrices, noise as in BoT-SORT."""

    def __init__(self, box: Matrix) -> None:
        self.mean = np.concatenate([centre_and_size(box[None])[0], np.zeros(4)])
        size = np.tile(self.mean[2:4], 2)
        self.covariance = np.diag(np.concatenate([2 * POSITION_NOISE * size, 10 * VELOCITY_NOISE * size]) ** 2)

    def predict(self) -> None:
        size = np.tile(self.mean[2:4], 2)
        step = np.eye(8) + np.eye(8, k=4)
        noise = np.diag(np.concatenate([POSITION_NOISE * size, VELOCITY_NOISE * size]) ** 2)
        self.mean = step @ self.mean
        self.covariance = step @ self.covariance @ step.T + noise

    def correct(self, box: Matrix) -> None:
        observe = np.eye(4, 8)
        noise = np.diag((POSITION_NOISE * np.tile(self.mean[2:4], 2)) ** 2)
        gain = self.covariance @ observe.T @ np.linalg.inv(observe @ self.covariance @ observe.T + noise)
        self.mean = self.mean + gain @ (centre_and_size(box[None])[0] - observe @ self.mean)
        self.covariance = (np.eye(8) - gain @ observe) @ self.covariance


def walk(boxes: int, frames: int, seed: int = 0) -> Matrix:
    """(frames, boxes, 4): boxes that drift, grow and jitter."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 400, (boxes, 2))
    first = np.concatenate([corners, corners + rng.uniform(30, 90, (boxes, 2))], axis=1)
    pace = np.tile(rng.uniform(-3, 3, (boxes, 2)), 2) + np.array([0, 0, 0.5, 0.2])
    return np.stack([first + i * pace + rng.normal(0, 1, (boxes, 4)) for i in range(frames)])


def test_the_blocks_give_what_the_matrices_give() -> None:
    seen = walk(boxes=6, frames=25)
    motion, textbooks = Motion.start(seen[0]), [Textbook(box) for box in seen[0]]
    for boxes in seen[1:]:
        motion = motion.predicted().corrected(boxes)
        for textbook, box in zip(textbooks, boxes, strict=True):
            textbook.predict()
            textbook.correct(box)
    position, velocity, spread, cross, drift = motion.beliefs
    for i, textbook in enumerate(textbooks):
        assert np.concatenate([position[i], velocity[i]]) == pytest.approx(textbook.mean)
        assert spread[i] == pytest.approx(np.diag(textbook.covariance)[:4])
        assert cross[i] == pytest.approx(np.diag(textbook.covariance, k=4))
        assert drift[i] == pytest.approx(np.diag(textbook.covariance)[4:])


def test_a_box_that_moves_is_expected_where_it_is_going() -> None:
    motion = Motion.start(np.array([[0, 0, 40, 40]]))
    for i in range(1, 30):
        motion = motion.predicted().corrected(np.array([[5 * i, 0, 40 + 5 * i, 40]]))
    assert motion.predicted().boxes[0] == pytest.approx([150, 0, 190, 40], abs=1.5)


def test_picking_and_joining_keep_each_box_its_own_belief() -> None:
    boxes = walk(5, 1)[0]
    motion = Motion.start(boxes)
    turned = motion[np.array([3, 4])].joined(motion[np.array([0, 1, 2])])
    assert turned.boxes == pytest.approx(boxes[[3, 4, 0, 1, 2]])


def test_a_lost_box_goes_on_moving_and_stops_growing() -> None:
    motion = Motion.start(np.array([[0, 0, 40, 40], [200, 200, 240, 240]]))
    for i in range(1, 15):
        motion = motion.predicted().corrected(np.array([[0, 0, 40 + 4 * i, 40], [200, 200, 240 + 4 * i, 240]]))
    steady = motion.of_steady_size(np.array([True, False]))
    width = motion.beliefs[0, :, 2]
    assert steady.predicted().beliefs[0, 0, 2] == width[0]
    assert steady.predicted().beliefs[0, 1, 2] > width[1] + 2
    assert steady.predicted().beliefs[0, 0, 0] > motion.beliefs[0, 0, 0] + 1
