"""Picture files in: found in a folder, and decoded the one way that training, evaluation and the camera loop share."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgekit.errors import PictureError
from edgekit.frames import Image

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def is_picture(path: Path) -> bool:
    """Whether a file's name says that it is one."""
    return path.suffix.lower() in ENDINGS


def read_picture(path: Path | str) -> Image:
    """(height, width, 3) uint8 BGR, turned upright where EXIF says how the camera was held.

    `PictureError` names the file and what is wrong with it, one that was cut short included.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
    if not content:
        raise PictureError(f"{path}: empty file")
    # libjpeg fills a JPEG that was cut short with grey and calls it read. In the scan a 0xff is never followed by a
    # marker's letter, so a whole file has its end marker (d9) behind the last start of scan (da).
    if content[:2] == b"\xff\xd8" and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise PictureError(f"{path}: a JPEG that was cut short")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than OpenCV takes, 2^30 unless $OPENCV_IO_MAX_IMAGE_PIXELS says otherwise
        raise PictureError(f"{path}: not decoded by OpenCV: {error.err}") from error
    if image is None:
        raise PictureError(f"{path}: not a picture that OpenCV can decode, or a damaged one")
    return np.asarray(image, np.uint8)
