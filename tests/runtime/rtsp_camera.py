"""An RTSP camera in a thread: serves JPEG pictures over TCP (RTP by RFC 2435, interleaved by RFC 2326), and freezes
when told to. It is here so that the real RTSP path is tested without a camera."""

from __future__ import annotations

import socket
import struct
import threading
import time

import cv2
import numpy as np

PIECE = 1400  # bytes of a picture in one packet


class RtspCamera:
    """`frames` pictures of a brightness that grows by 10 a picture, 25 a second, then silence with the line open.

    `transports` collects what clients asked for. Width and height must be multiples of 16.
    """

    def __init__(self, frames: int, size: tuple[int, int] = (160, 96)) -> None:
        self.frames = frames
        self.size = size
        self.transports: list[str] = []
        self._leaving = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    @property
    def address(self) -> str:
        return f"rtsp://clerk:s3cret@127.0.0.1:{self._server.getsockname()[1]}/aisle"

    def __enter__(self) -> RtspCamera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        try:
            line, _ = self._server.accept()
        except OSError:
            return
        with line:
            request = b""
            while not self._leaving.is_set() and (more := line.recv(4096)):
                request += more
                if request.endswith(b"\r\n\r\n"):
                    self._answer(line, request.decode())
                    request = b""

    def _answer(self, line: socket.socket, request: str) -> None:
        method = request.split()[0]
        fields = dict(each.split(": ", 1) for each in request.split("\r\n")[1:] if ": " in each)
        body, extra = "", ""
        if method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=aisle\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            body += "m=video 0 RTP/AVP 26\r\na=framerate:25\r\na=control:track0\r\n"
            extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            self.transports.append(fields["Transport"])
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        line.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {fields['CSeq']}\r\n{extra}\r\n{body}".encode())
        if method == "PLAY":
            self._play(line)

    def _play(self, line: socket.socket) -> None:
        sequence = 0
        for index in range(self.frames):
            picture = np.full((self.size[1], self.size[0], 3), 20 + 10 * (index % 20), np.uint8)
            for payload, last in self._payloads(cv2.imencode(".jpg", picture)[1].tobytes()):
                header = struct.pack(">BBHII", 0x80, 26 | 0x80 * last, sequence, index * 3600, 1)
                line.sendall(struct.pack(">cBH", b"$", 0, len(header + payload)) + header + payload)
                sequence += 1
            time.sleep(0.04)
        self._leaving.wait()

    def _payloads(self, jpeg: bytes) -> list[tuple[bytes, bool]]:
        tables, scan = read_jpeg(jpeg)
        payloads = []
        for start in range(0, len(scan), PIECE):
            main = struct.pack(">IBBBB", start, 1, 255, self.size[0] // 8, self.size[1] // 8)
            quantisation = struct.pack(">BBH", 0, 0, len(tables)) + tables if start == 0 else b""
            payloads.append((main + quantisation + scan[start : start + PIECE], start + PIECE >= len(scan)))
        return payloads


def read_jpeg(jpeg: bytes) -> tuple[bytes, bytes]:
    """The quantisation tables and the scan of a baseline JPEG with the standard Huffman tables."""
    tables, at = b"", 2
    while True:
        marker, length = struct.unpack(">HH", jpeg[at : at + 4])
        segment = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xFFDB:
            tables += b"".join(segment[i + 1 : i + 65] for i in range(0, len(segment), 65))
        if marker == 0xFFDA:
            return tables, jpeg[at : jpeg.rindex(b"\xff\xd9")]
