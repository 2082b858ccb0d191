"""Network cameras with faults on demand: they play a real sequence of pictures over HTTP or RTSP on the loopback.

    with MjpegServer(Film.read("aisle.mp4", limit=60)) as server, open_source(server.address, timeout_s=2) as camera:
        ...
        server.fault = Fault.FREEZE
        ...
        server.well()

Everything is real but the lens: sockets, HTTP with basic or digest authentication, and RTSP 1.0 (RFC 2326) with JPEG in
RTP (RFC 2435) interleaved on the one TCP connection, as OpenCV's FFmpeg plays it. Which bytes are garbage and where a
picture is cut follows from the seed.
"""

from __future__ import annotations

from edgekit.benchmarks.reliability.faulty_camera import PASSWORD, USER, CameraServer, Fault, Shot
from edgekit.benchmarks.reliability.film import Film
from edgekit.benchmarks.reliability.http_challenge import Login, challenge, passes
from edgekit.benchmarks.reliability.line import Line, Reset
from edgekit.benchmarks.reliability.rtp_jpeg import rtp_packets

__all__ = ["PASSWORD", "USER", "CameraServer", "Fault", "Film", "MjpegServer", "RtspServer"]


class MjpegServer(CameraServer):
    """Streams multipart/x-mixed-replace at `address`, and gives one JPEG for each request at `snapshot`.

    login: how it asks for user and password. lengths: whether parts say their length. Pictures carry an X-Timestamp.
    """

    scheme = "http"

    def __init__(
        self,
        film: Film,
        fps: float = 25.0,
        seed: int = 0,
        slow_s: float = 1.0,
        login: Login = "digest",
        lengths: bool = True,
    ) -> None:
        super().__init__(film, fps, seed, slow_s)
        self._login = login
        self._lengths = lengths

    @property
    def snapshot(self) -> str:
        return self.address.replace("/aisle", "/snapshot.jpg")

    def _talk(self, line: Line) -> None:
        request = line.request()
        self._thaw(line)
        if not request:
            return
        if not passes(self._login, request, USER, PASSWORD):
            line.send(f"HTTP/1.1 401 Unauthorized\r\n{challenge(self._login)}Content-Length: 0\r\n\r\n".encode())
        elif request.startswith("GET /snapshot.jpg "):
            self._give(line, next(self._shots(line)))
        else:
            line.send(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=--next\r\n\r\n")
            for shot in self._shots(line):
                self._stream(line, shot)

    def _give(self, line: Line, shot: Shot) -> None:
        content = self._cut(shot.jpeg) if shot.fault is Fault.TRUNCATE else shot.jpeg
        content = self._noise(len(content)) if shot.fault is Fault.GARBAGE else content
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
        self._send(line, head.encode() + content, shot)

    def _stream(self, line: Line, shot: Shot) -> None:
        content, length = shot.jpeg, len(shot.jpeg)
        if shot.fault is Fault.TRUNCATE:
            content = self._cut(content)
            how = self._any(("length of the whole", "length of the rest", "mended"))
            content += b"\xff\xd9" if how == "mended" else b""
            length = length if how == "length of the whole" else len(content)
        if shot.fault is Fault.GARBAGE:
            content = self._noise(length)
            if self._any(("in a part", "in between")) == "in between":
                return line.send(content)
        says = f"Content-Length: {length}\r\n" if self._lengths else ""
        head = f"--next\r\nContent-Type: image/jpeg\r\nX-Timestamp: {shot.stamp:.6f}\r\n{says}\r\n"
        return self._send(line, head.encode() + content + b"\r\n", shot)

    def _send(self, line: Line, content: bytes, shot: Shot) -> None:
        if shot.fault is Fault.RESET:
            line.send(content[: len(content) // 2])
            raise Reset
        line.send(content)


class RtspServer(CameraServer):
    """Plays over RTSP to any client that takes RTP over the RTSP connection; `transports` is what clients asked for.

    It lets everybody in: FFmpeg's authentication is not what is tested here.
    """

    scheme = "rtsp"

    def __init__(self, film: Film, fps: float = 25.0, seed: int = 0, slow_s: float = 1.0) -> None:
        super().__init__(film, fps, seed, slow_s)
        self.transports: list[str] = []

    def _talk(self, line: Line) -> None:
        while request := line.request():
            self._thaw(line)
            self._reply(line, request)
            if request.startswith("PLAY"):
                return self._play(line)
        return None

    def _reply(self, line: Line, request: str) -> None:
        fields = dict(each.split(": ", 1) for each in request.split("\r\n")[1:] if ": " in each)
        body, extra = "", ""
        if request.startswith("OPTIONS"):
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n"
        elif request.startswith("DESCRIBE"):
            body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=aisle\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            body += f"m=video 0 RTP/AVP 26\r\na=framerate:{self.fps:g}\r\na=control:track0\r\n"
            extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif request.startswith("SETUP"):
            self.transports.append(fields.get("Transport", ""))
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        line.send(f"RTSP/1.0 200 OK\r\nCSeq: {fields.get('CSeq', '0')}\r\n{extra}\r\n{body}".encode())

    def _play(self, line: Line) -> None:
        sequence = 0
        for shot in self._shots(line):
            if not self._listen(line):
                return
            if shot.fault is Fault.GARBAGE and self._any(("in a packet", "in between")) == "in between":
                line.send(self._noise(len(shot.jpeg)))
                continue
            jpeg = self._cut(shot.jpeg) if shot.fault is Fault.TRUNCATE else shot.jpeg
            packets = list(rtp_packets(jpeg, shot.stamp, sequence))
            if shot.fault is Fault.RESET:
                line.send(b"".join(packets)[: sum(map(len, packets)) // 2])
                raise Reset
            if shot.fault is Fault.GARBAGE:
                packets = [packet[:16] + self._noise(len(packet) - 16) for packet in packets]
            line.send(b"".join(packets))
            sequence += len(packets)

    def _listen(self, line: Line) -> bool:
        """Answer what a client says while it watches, its RTCP reports left aside; False where it leaves."""
        said = line.receive(0)
        if said == b"" or (said and b"TEARDOWN" in said):
            return False
        for method in (b"OPTIONS ", b"GET_PARAMETER "):  # sent from time to time to keep the session alive
            if said and (at := said.find(method)) >= 0:
                self._reply(line, said[at:].decode("latin-1"))
        return True
