"""What a camera saw, and what a model made of it.

Plain values: frozen, checked when made, without a link back to the camera or the model. Pixels are uint8 BGR as
cameras and OpenCV give them; boxes are float32 `x0, y0, x1, y1` in pixels of the frame, measured from its top left
corner.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture from a source.

    image: (height, width, 3) uint8, BGR. The source hands it over and never writes to it again.
    index: number of the picture at the source, from 0; a gap means that frames were dropped in between.
    taken_at: seconds on the monotonic clock when the picture left the camera, as near as the source can tell.
    source: the name of the camera or file.
    stamp: the source's own time of the picture, in seconds from a moment of its choice, or None where it gives none.
        A camera in order counts it up; one that repeats or goes back is repeating pictures or has started anew.
    """

    image: Image
    index: int = 0
    taken_at: float = 0.0
    source: str = ""
    stamp: float | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8 or 0 in self.image.shape:
            raise ValueError(f"a frame is (height, width, 3) uint8; got {self.image.shape} {self.image.dtype}")

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])


@dataclass(frozen=True, eq=False)
class Detections:
    """The things found in one frame, best score first unless a tracker has ordered them by its own.

    boxes: (n, 4) float32; scores: (n,) float32 in 0..1; labels: (n,) int64 into the bundle's labels;
    track_ids: (n,) int64, or None before a tracker has seen them. Index it with a mask, a slice or a list of positions.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    track_ids: IntArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", np.asarray(self.boxes, np.float32))
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float32))
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int64))
        n = len(self.boxes)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.labels.shape != (n,):
            raise ValueError(
                "boxes, scores and labels must be (n, 4), (n,) and (n,); "
                f"got {self.boxes.shape}, {self.scores.shape} and {self.labels.shape}"
            )
        if self.track_ids is not None:
            object.__setattr__(self, "track_ids", np.asarray(self.track_ids, np.int64))
            if self.track_ids.shape != (n,):
                raise ValueError(f"track_ids must be ({n},) as the boxes; got {self.track_ids.shape}")

    @classmethod
    def none(cls) -> Detections:
        """A frame in which nothing was found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, which: slice | npt.NDArray[np.bool_] | npt.NDArray[np.intp] | list[int]) -> Detections:
        ids = None if self.track_ids is None else self.track_ids[which]
        return Detections(self.boxes[which], self.scores[which], self.labels[which], ids)

    def __iter__(self) -> Iterator[Detections]:
        return (self[i : i + 1] for i in range(len(self)))

    def tracked(self, ids: IntArray) -> Detections:
        """The same things, now with a track id each."""
        return replace(self, track_ids=ids)


@dataclass(frozen=True, eq=False)
class Classification:
    """What one picture or one crop shows: `scores` (classes,) float32, a probability for each of the bundle's
    labels."""

    scores: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float32))
        if self.scores.ndim != 1 or not len(self.scores):
            raise ValueError(f"scores must be (classes,); got {self.scores.shape}")

    @property
    def label(self) -> int:
        return int(self.scores.argmax())

    @property
    def score(self) -> float:
        return float(self.scores.max())

    def top(self, k: int = 5) -> list[tuple[int, float]]:
        """The `k` best labels with their scores, best first."""
        best = np.argsort(-self.scores, kind="stable")[:k]
        return [(int(label), float(self.scores[label])) for label in best]
