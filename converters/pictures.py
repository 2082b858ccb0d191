"""Picture files in: found in a folder, and decoded the one way that calibration, training and evaluation share."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgekit.errors import DataError
from edgekit.frames import Image

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_pictures(folder: Path) -> list[Path]:
    """Every picture in `folder` and below it, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)


def read_picture(path: Path) -> Image:
    """(height, width, 3) uint8 BGR, turned upright where EXIF says how the camera was held.

    Raises DataError naming the file. It is decoded from memory: `cv2.imread` fills the missing part of a truncated
    JPEG with grey and says nothing, `cv2.imdecode` refuses it.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if not len(content):
        raise DataError(f"{path}: empty file")
    image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path}: not a picture that OpenCV can decode, or a truncated one")
    return np.asarray(image, np.uint8)
