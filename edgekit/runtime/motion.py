"""Where tracked boxes will be in the next frame: a constant-velocity Kalman filter over many boxes at once.

The filter is the one of DeepSORT and ByteTrack, over centre, width and height as in BoT-SORT (Aharon et al., 2022),
with noise in proportion to the box. Its matrices never couple the four coordinates, so the usual 8 x 8 covariance of a
box is four blocks of 2 x 2 (position, velocity). They are kept as three (n, 4) arrays, and a step is a dozen array
operations for all boxes together instead of one matrix inverse a box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.boxes import xywh_to_xyxy
from edgekit.frames import FloatArray

Values = npt.NDArray[np.float64]

POSITION_NOISE = 1 / 20  # standard deviations, as parts of the box's width and height: DeepSORT's figures
VELOCITY_NOISE = 1 / 160

# position += velocity, spread += 2 * cross + drift, cross += drift, all of it in one product.
_ONE_FRAME_ON = np.array(
    [[1, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 2, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]], np.float64
)
_PREDICTION_NOISE = np.array([POSITION_NOISE**2, VELOCITY_NOISE**2])[:, None, None]  # of spread and drift
_CORNERS_TO_CENTRE = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]])


@dataclass(frozen=True, eq=False)
class Motion:
    """What is believed of n boxes, over their centre x, centre y, width and height, in pixels and frames.

    beliefs: (5, n, 4) float64: the position, the velocity, the variance of the position (`spread`), its covariance with
    the velocity (`cross`), and the variance of the velocity (`drift`). One array, so that picking tracks is one step.
    """

    beliefs: Values

    @classmethod
    def start(cls, boxes: FloatArray) -> Motion:
        """Boxes (n, 4) xyxy seen for the first time, at rest as far as is known."""
        position = centre_and_size(boxes)
        noise = _scale_squared(position)
        beliefs = np.zeros((5, *position.shape))
        beliefs[0] = position
        beliefs[2] = (2 * POSITION_NOISE) ** 2 * noise
        beliefs[4] = (10 * VELOCITY_NOISE) ** 2 * noise
        return cls(beliefs)

    def __len__(self) -> int:
        return int(self.beliefs.shape[1])

    def __getitem__(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Motion:
        return Motion(self.beliefs[:, which])

    def joined(self, other: Motion) -> Motion:
        """These boxes and then the other's."""
        return Motion(np.concatenate([self.beliefs, other.beliefs], axis=1))

    def predicted(self) -> Motion:
        """One frame on. A frame that was dropped is a second call: exactly what was believed had it been there, with
        nothing seen in it."""
        beliefs = (_ONE_FRAME_ON @ self.beliefs.reshape(5, -1)).reshape(self.beliefs.shape)
        beliefs[2::2] += _PREDICTION_NOISE * _scale_squared(self.beliefs[0])
        return Motion(beliefs)

    def corrected(self, boxes: FloatArray) -> Motion:
        """After box i was seen at `boxes[i]`, (n, 4) xyxy."""
        position, _, spread, cross, _ = self.beliefs
        surprise = centre_and_size(boxes) - position
        total = spread + POSITION_NOISE**2 * _scale_squared(position)
        gains = self.beliefs[2:4] / total  # of the position, and of the velocity
        beliefs = self.beliefs.copy()
        beliefs[:2] += gains * surprise
        beliefs[2] -= gains[0] * spread
        beliefs[3:] -= gains * cross
        return Motion(beliefs)

    def of_steady_size(self, which: npt.NDArray[np.bool_]) -> Motion:
        """The same with the boxes in `which` no longer growing or shrinking: nobody looks after those that are lost."""
        beliefs = self.beliefs.copy()
        beliefs[1, which, 2:] = 0
        return Motion(beliefs)

    @property
    def boxes(self) -> Values:
        """(n, 4) xyxy."""
        return np.asarray(xywh_to_xyxy(self.beliefs[0]), np.float64)


def centre_and_size(boxes: FloatArray) -> Values:
    """(n, 4) xyxy as centre x, centre y, width, height."""
    position: Values = np.asarray(boxes, np.float64) @ _CORNERS_TO_CENTRE
    return position


def _scale_squared(position: Values) -> Values:
    """Width, height, width, height of each box, squared, at least a pixel: a box that a filter let shrink to nothing
    must not be certain of where it is."""
    size = np.maximum(position[:, 2:], 1.0) ** 2
    return np.concatenate([size, size], axis=1)
