"""Whether a JPEG that came over a wire is all there, before a decoder fills what is missing with grey.

Marker segments are walked as ITU-T T.81, annex B, has them. JPEG carries no checksum: bits that were flipped inside a
scan that is otherwise whole are not found by anybody.
"""

from __future__ import annotations

import re

import cv2
import numpy as np

from edgekit.errors import PictureError
from edgekit.frames import Image

START, END = 0xD8, 0xD9
SCAN = 0xDA
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..SOF15, which hold the size
MAX_PIXELS = 50_000_000  # OpenCV itself would decode, and hold, a billion
# Within a scan a 0xff is followed by 0 (it stood for itself), by a restart marker, or by what ends the scan.
_SCAN_ENDS = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

Bytes = bytes | bytearray


def jpeg_end(content: Bytes) -> int | None:
    """Where the JPEG at the beginning of `content` ends; None where it is not all there yet.

    `PictureError`, with a reason in a few words, where there is no JPEG or one that is too large to decode.
    """
    if not content.startswith(b"\xff\xd8"[: len(content)]):
        raise PictureError("not a JPEG")
    at = 2
    while at + 2 <= len(content):
        if content[at] != 0xFF:
            raise PictureError("not a JPEG behind its beginning")
        marker = content[at + 1]
        if marker == END:
            return at + 2
        if marker == START:  # of the next one
            raise PictureError("cut short")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if at + (9 if marker in FRAMES else 4) > len(content):
            return None
        if marker in FRAMES and _pixels(content, at) > MAX_PIXELS:
            raise PictureError(f"more than {MAX_PIXELS // 1_000_000} megapixels")
        at += 2 + max(2, int.from_bytes(content[at + 2 : at + 4], "big"))
        if marker == SCAN:
            ends = _SCAN_ENDS.search(content, at)
            if ends is None:
                return None
            at = ends.end() - 2
    return None


def _pixels(content: Bytes, at: int) -> int:
    """Of the frame header at `at`: marker, length, bits, height, width."""
    return int.from_bytes(content[at + 5 : at + 7], "big") * int.from_bytes(content[at + 7 : at + 9], "big")


def decode_jpeg(content: Bytes) -> Image:
    """(height, width, 3) uint8 BGR; `PictureError`, with a reason in a few words, unless all of the picture is there.

    Bytes behind the picture's end are left alone: cameras pad.
    """
    end = jpeg_end(content)
    if end is None:
        raise PictureError("cut short")
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8, end), cv2.IMREAD_COLOR)
    if decoded is None:
        raise PictureError("cannot be decoded")
    image = np.asarray(decoded, np.uint8)
    if _greyed(content, end, image):
        raise PictureError("ends before its last row")
    return image


def _greyed(content: Bytes, end: int, image: Image) -> bool:
    """Whether the scan ended too early behind a proper end marker, as a camera's or a proxy's repair leaves it.

    libjpeg then leaves the blocks that it lacks at 128 and says nothing. A picture may end in just that grey by
    itself: so bytes are put behind its scan, which a whole picture ignores and one that lacks some shows.
    """
    if not (image[-8:, -8:] == 128).all():
        return False
    # They begin with 0, so that they do not make a marker of a 0xff behind which the scan was cut.
    more = bytes(content[: end - 2]) + bytes(range(200)) + bytes(content[end - 2 : end])
    other = cv2.imdecode(np.frombuffer(more, np.uint8), cv2.IMREAD_COLOR)
    return other is None or not np.array_equal(image, other)
