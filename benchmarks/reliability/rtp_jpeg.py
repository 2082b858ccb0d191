"""A JPEG as RTP packets (RFC 2435), framed as RTSP interleaves them on its own connection (RFC 2326, section 10.12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

PIECE = 1400  # bytes of the picture in one packet
TICKS = 90_000  # of RTP's clock for video, a second
JPEG = 26  # RTP's number for it
SUBSAMPLED = 1  # RFC 2435's type of a 4:2:0 picture with the standard Huffman tables, as OpenCV writes them


def rtp_packets(jpeg: bytes, stamp: float, sequence: int) -> Iterator[bytes]:
    """The packets of one picture, taken `stamp` seconds after some moment, numbered from `sequence` on.

    The picture is a baseline 4:2:0 JPEG with the standard Huffman tables, its sides multiples of 16; one whose scan is
    cut short is sent as far as it goes.
    """
    tables, size, scan = read_jpeg(jpeg)
    for number, start in enumerate(range(0, len(scan), PIECE)):
        last = start + PIECE >= len(scan)
        packet = struct.pack(
            ">BBHII", 0x80, JPEG | 0x80 * last, (sequence + number) & 0xFFFF, round(stamp * TICKS) & 0xFFFFFFFF, 1
        )
        packet += struct.pack(">IBBBB", start, SUBSAMPLED, 255, size[0] // 8, size[1] // 8)
        if start == 0:
            packet += struct.pack(">BBH", 0, 0, len(tables)) + tables
        packet += scan[start : start + PIECE]
        yield struct.pack(">cBH", b"$", 0, len(packet)) + packet


def read_jpeg(jpeg: bytes) -> tuple[bytes, tuple[int, int], bytes]:
    """Quantisation tables, (width, height), and the scan without its end marker."""
    tables, size, at = b"", (0, 0), 2
    while True:
        marker, length = struct.unpack(">HH", jpeg[at : at + 4])
        segment = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xFFDB:
            tables += b"".join(segment[i + 1 : i + 65] for i in range(0, len(segment), 65))
        elif marker == 0xFFC0:
            size = int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[1:3], "big")
        elif marker == 0xFFDA:
            return tables, size, jpeg[at:].removesuffix(b"\xff\xd9")
