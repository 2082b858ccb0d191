"""What a store file may say of a camera's mode, of tracking and of classifying: plain values, light to import."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgekit.schema import STRICT

SCHEME = re.compile(r"(scene|gst|csi|picamera):|(rtsp|http)s?://")  # what begins an address that is no path


@dataclass(frozen=True)
class CameraMode:
    """What to ask a V4L2 camera for; None leaves it to the camera. A camera that grants something else is an error.

    fourcc: its pixel format, such as 'MJPG' or 'YUYV'. YUYV at a low resolution saves the JPEG decoding, which on a
    small board costs more than preprocessing and decoding of boxes together.
    """

    __pydantic_config__ = STRICT

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    fourcc: str | None = None

    def __post_init__(self) -> None:
        if self.fourcc is not None and len(self.fourcc) != 4:
            raise ValueError(f"fourcc is four letters, such as 'MJPG' or 'YUYV'; got '{self.fourcc}'")


@dataclass(frozen=True)
class TrackSettings:
    """When two boxes are the same thing. Scores and overlaps are 0 to 1; the defaults are the paper's.

    high: detections from here on are sure. low: below it they are ignored, as are those below the detector's own
    threshold, which should lie well under `high`. start: the score that begins a track.
    max_cost: of a sure detection with a track, cost = 1 - overlap * score. weak_overlap: least overlap of a weak one.
    confirm: sightings in a row before a track is reported; in a source's first frame one is enough.
    keep: frames for which a lost track is remembered. class_aware: a track keeps its label.
    """

    __pydantic_config__ = STRICT

    high: float = 0.5
    low: float = 0.1
    start: float = 0.6
    max_cost: float = 0.8
    weak_overlap: float = 0.5
    confirm: int = 2
    keep: int = 30
    class_aware: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= self.start <= 1:
            raise ValueError(
                f"scores must be 0 <= low <= high <= start <= 1; got {self.low}, {self.high}, {self.start}"
            )
        if not (0 < self.max_cost <= 1 and 0 <= self.weak_overlap < 1):
            raise ValueError(
                "max_cost must be above 0 and at most 1, weak_overlap at least 0 and below 1; "
                f"got {self.max_cost} and {self.weak_overlap}"
            )
        if self.confirm < 1 or self.keep < 0:
            raise ValueError(f"confirm must be at least 1 and keep at least 0; got {self.confirm} and {self.keep}")


@dataclass(frozen=True)
class ClassifyPolicy:
    """How often the classifier looks at what.

    A track is looked at in every frame until it had `sightings` looks and the mean probability of its best product is
    at least `margin` above the second's: then it is sure. One that is sure, or is not after `attempts` looks, waits
    `recheck` frames for the next look (0: for ever). An unsure track has no product. At most `crops` looks a frame:
    those first that were never looked at, then those that wait longest, and of these the biggest.

    crop_margin: by how much of its sides a box is widened on each side. only: the detector's labels that are looked at,
    all where empty. Where nothing tracks, every box is new and one look must do.
    """

    __pydantic_config__ = STRICT

    sightings: int = 3
    margin: float = 0.2
    attempts: int = 10
    recheck: int = 60
    crops: int = 4
    crop_margin: float = 0.05
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.sightings < 1 or self.attempts < self.sightings or self.crops < 1 or self.recheck < 0:
            raise ValueError(
                "sightings and crops must be at least 1, attempts at least sightings, recheck at least 0; "
                f"got {self.sightings}, {self.crops}, {self.attempts} and {self.recheck}"
            )
        if not 0 <= self.margin <= 1 or self.crop_margin < 0:
            raise ValueError(
                f"margin must be 0 to 1 and crop_margin at least 0; got {self.margin} and {self.crop_margin}"
            )


@dataclass(frozen=True)
class ModelSettings:
    """bundle: its path. variant: the one that must run; the profile's choice if it is not said. score: a detector's
    threshold instead of the bundle's."""

    __pydantic_config__ = STRICT

    bundle: Path
    variant: str | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"score must be in 0..1; got {self.score}")


def address_within(address: str | int, folder: Path) -> str | int:
    """A source's address, that of a file or folder taken from `folder` where it is relative."""
    if isinstance(address, int) or address.isdigit() or SCHEME.match(address) or "://" in address:
        return address
    return str(folder / address)
