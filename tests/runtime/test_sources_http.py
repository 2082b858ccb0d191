"""Cameras that speak HTTP: who may look, how long is waited, and what a stream may look like."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from network_cameras import FILM, within
from painted import Ticks

from edgekit.benchmarks.reliability.camera_server import PASSWORD, Fault, MjpegServer
from edgekit.errors import PictureError, SourceError
from edgekit.runtime.sources import CameraMode, open_source
from edgekit.runtime.sources.http_line import CHUNK, HttpAddress, _digest
from edgekit.runtime.sources.jpeg import decode_jpeg, jpeg_end
from edgekit.runtime.sources.multipart import MAX_PART, Part, Parts

JPEG = FILM.pictures[0]
OTHER = FILM.pictures[1]


def parts(*chunks: bytes, boundary: str = "next") -> list[Part]:
    """What a stream that comes in these chunks holds."""
    rest = iter([*chunks, b""])
    return list(Parts(lambda: next(rest), boundary))


def one(content: bytes, length: int | str | None = None, end: bytes = b"\r\n") -> bytes:
    says = "" if length is None else f"Content-Length: {length}\r\n"
    return b"--next\r\nContent-Type: image/jpeg\r\n" + says.encode() + b"\r\n" + content + end


@pytest.mark.parametrize("login", ["none", "basic", "digest", "digest sha-256"])
def test_user_and_password_are_given_in_the_way_the_camera_asks_for(login: str) -> None:
    with MjpegServer(FILM, login=login) as server, open_source(server.address, timeout_s=2) as camera:
        assert len(list(islice(camera, 3))) == 3


def test_a_wrong_password_and_none_at_all_are_told_apart() -> None:
    with MjpegServer(FILM) as server:
        with pytest.raises(SourceError, match="refuses the user or the password") as caught:
            open_source(server.address.replace(PASSWORD, "gue%24s"), timeout_s=2)
        assert "gue" not in str(caught.value)
        with pytest.raises(SourceError, match="asks for a user and a password"):
            open_source(re.sub("//.*@", "//", server.address), timeout_s=2)


def test_the_digest_is_the_one_of_the_standards_own_example() -> None:
    address = HttpAddress.parse("http://Mufasa:Circle%20of%20Life@www.example.org/dir/index.html")
    challenge = {
        "realm": "http-auth@example.org",
        "qop": "auth, auth-int",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    md5 = _digest({**challenge, "algorithm": "MD5"}, address, cnonce)
    sha = _digest({**challenge, "algorithm": "SHA-256"}, address, cnonce)
    assert 'response="8ca523f5e9506fed4657c9700eebdbec"' in md5
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in sha


def test_an_address_can_be_printed_without_its_password() -> None:
    assert "s3cret" not in repr(HttpAddress.parse("http://clerk:s3cret@10.0.0.7/s?key=s3cret"))


@pytest.mark.parametrize("address", ["http://", "http://shop:port/x", "http://a b/x", "http://h/x\r\nX-Evil: 1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SourceError, match="not an address of the form"):
        open_source(address)


def test_a_camera_that_is_asked_for_each_picture_is_asked_at_the_rate_of_its_mode() -> None:
    with MjpegServer(FILM) as server:
        with within(0.35, 3), open_source(server.snapshot, mode=CameraMode(fps=10), timeout_s=2) as camera:
            seen = list(islice(camera, 5))
        assert (camera.fps, camera.live) == (10, True)
        assert all(not np.array_equal(a.image, b.image) for a, b in pairwise(seen))
        with open_source(server.snapshot, timeout_s=2) as camera:
            server.fault = Fault.TRUNCATE
            threading.Timer(0.5, server.well).start()
            assert len(list(islice(camera, 2))) == 2
        assert 1 <= camera.damaged["cut short"] <= 3
        with pytest.raises(ValueError, match="can only take fps"):
            open_source(server.snapshot, mode=CameraMode(width=640), timeout_s=2)
        with pytest.raises(ValueError, match="streams in a mode of its own"):
            open_source(server.address, mode=CameraMode(fps=5), timeout_s=2)


def test_a_stream_whose_parts_do_not_say_their_length_comes_without_delay() -> None:
    with MjpegServer(FILM, fps=2, lengths=False) as server, open_source(server.address, timeout_s=2) as camera:
        frames = iter(camera)
        next(frames)
        with within(0.3, 0.9):  # one period, not two
            next(frames)


def test_frames_are_timed_by_the_clock_that_was_given() -> None:
    with MjpegServer(FILM) as server, open_source(server.address, clock=Ticks(step=0.5)) as camera:
        assert [frame.taken_at for frame in islice(camera, 3)] == [100.5, 101.0, 101.5]


# A server for one connection that says exactly what it is told to.


@contextlib.contextmanager
def saying(say: Callable[[socket.socket], None], wrap: ssl.SSLContext | None = None) -> Iterator[str]:
    door = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            line, _ = door.accept()
            with wrap.wrap_socket(line, server_side=True) if wrap else line as line:
                line.recv(4096)
                say(line)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"{'https' if wrap else 'http'}://clerk:s3cret@127.0.0.1:{door.getsockname()[1]}/aisle"
    door.close()
    thread.join(5)


STREAM = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n"


def test_a_camera_that_drips_bytes_cannot_stretch_the_limit() -> None:
    def drip(line: socket.socket) -> None:
        for i in range(200):
            line.sendall(STREAM[i : i + 1])
            time.sleep(0.05)

    with saying(drip) as address, within(0.4, 2), pytest.raises(SourceError, match=r"no answer within 0\.5 s"):
        open_source(address, timeout_s=0.5)


def test_a_picture_that_drips_cannot_stretch_the_limit_either() -> None:
    def drip(line: socket.socket) -> None:
        line.sendall(STREAM + one(JPEG, len(JPEG))[:-40])
        for _ in range(40):
            line.sendall(b"x")
            time.sleep(0.1)

    with saying(drip) as address, open_source(address, timeout_s=0.5) as camera:
        frames = iter(camera)
        with within(0.4, 2), pytest.raises(SourceError, match=r"no whole picture within 0\.5 s"):
            next(frames)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answers with HTTP status 404, 200 was expected"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://other/\r\n\r\n", "answers with HTTP status 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "'text/html', which is neither a stream"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n", "neither a stream"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500, "not HTTP"),
        (b"", "hangs up without an answer"),
    ],
)
def test_what_is_no_camera_is_named(answer: bytes, message: str) -> None:
    with saying(lambda line: line.sendall(answer)) as address, pytest.raises(SourceError, match=message) as caught:
        open_source(address, timeout_s=2)
    assert "s3cret" not in str(caught.value)


def test_a_stream_that_the_camera_ends_says_so_and_what_was_damaged() -> None:
    stream = STREAM + one(JPEG) + one(JPEG[:-50]) + one(OTHER) + b"--next--\r\n"
    with saying(lambda line: line.sendall(stream)) as address, open_source(address, timeout_s=2) as camera:
        frames = iter(camera)
        assert len(list(islice(frames, 2))) == 2
        with pytest.raises(SourceError, match=r"after 2: it has ended its stream; damaged so far: 1 cut short$"):
            next(frames)


def test_a_chunked_stream_is_read_like_any_other() -> None:
    def chunked(line: socket.socket) -> None:
        line.sendall(STREAM.replace(b"1.0", b"1.1").replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
        for piece in (one(JPEG)[:100], one(JPEG)[100:], one(OTHER, len(OTHER))):
            line.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    with saying(chunked) as address, open_source(address, timeout_s=2) as camera:
        assert len(list(islice(camera, 2))) == 2


def test_a_certificate_that_nobody_vouches_for_is_refused_and_one_that_is_trusted_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    order = f"req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2 -subj /CN=camera"
    try:
        subprocess.run(
            ["openssl", *order.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with saying(lambda _: None, context) as address, pytest.raises(SourceError, match="no trusted TLS") as caught:
        open_source(address, timeout_s=2)
    assert "127.0.0.1" not in str(caught.value.__cause__)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusted = saying(lambda line: line.sendall(STREAM + one(JPEG)), context)
    with trusted as address, open_source(address, timeout_s=2) as camera:
        assert next(iter(camera)).width == FILM.size[0]


# The parts of a stream.


@pytest.mark.parametrize(
    "stream",
    [
        one(JPEG) + one(OTHER),
        one(JPEG, len(JPEG)) + one(OTHER, len(OTHER)),
        one(JPEG, len(JPEG), end=b"") + one(OTHER, len(OTHER), end=b""),
        one(JPEG, end=b"") + one(OTHER, end=b""),
        one(JPEG + b"\0" * 9, len(JPEG) + 9) + one(OTHER + b"\0" * 9, len(OTHER) + 9),
        (one(JPEG) + one(OTHER)).replace(b"--next", b"----next"),
        one(JPEG).replace(b"Content-Type: image/jpeg\r\n", b"") + one(OTHER).replace(b"\r\n\r\n", b"\n\n", 1),
        b"a preamble\r\n" + one(JPEG) + one(OTHER) + b"--next--\r\nan epilogue",
        b"\r\n" + one(JPEG) + one(OTHER) + b"--next\r\n",
    ],
)
@pytest.mark.parametrize("size", [1 << 20, 700, 1])
def test_what_cameras_send_is_understood_however_it_is_cut_into_chunks(stream: bytes, size: int) -> None:
    seen = parts(*(stream[i : i + size] for i in range(0, len(stream), size)))
    assert [part.content.rstrip(b"\0") for part in seen if not part.fault] == [JPEG, OTHER]
    assert [part.fault for part in seen if part.fault] in ([], ["no end of its headers"])


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (one(JPEG[:-400]), "cut short"),
        (one(JPEG[:-400], len(JPEG) - 400), "cut short"),
        (one(JPEG[:-400], len(JPEG)), "cut short"),
        (one(JPEG, len(JPEG) - 9), "cut short"),
        (one(JPEG, "many"), "a length that cannot be"),
        (one(JPEG, MAX_PART + 1), "a length that cannot be"),
        (one(b"", 0), "cut short"),
        (one(b"GIF89a" + JPEG), "not a JPEG"),
        (one(b"<error/>", 8), "not a JPEG"),
        (one(JPEG) + b"noise" * 30 + b"\r\n", "bytes between two pictures"),
    ],
)
def test_a_part_that_is_bad_is_named_and_the_next_one_is_found(bad: bytes, fault: str) -> None:
    seen = parts(one(JPEG) + bad + one(OTHER))
    assert [part.fault for part in seen if part.fault] == [fault]
    assert [part.content for part in seen if not part.fault][-1] == OTHER


@pytest.mark.parametrize(
    "start",
    [
        b"no boundary",
        b"--next\r\na header: without an end",
        b"--next\r\n\r\n" + JPEG[: JPEG.index(b"\xff\xda") + 14],
    ],
)
def test_memory_is_bounded_whatever_comes(start: bytes) -> None:
    chunk = b"\x11" * CHUNK
    rest = iter([start, *[chunk] * (MAX_PART // CHUNK + 9), one(OTHER), b""])
    held = []

    def read() -> bytes:
        held.append(len(reader._buffer))
        return next(rest)

    reader = Parts(read, "next")
    assert list(reader)[-1].content == OTHER
    assert max(held) <= MAX_PART + CHUNK


# JPEGs.


@pytest.mark.parametrize(
    "options",
    [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2], [cv2.IMWRITE_JPEG_OPTIMIZE, 1]],
)
def test_the_end_of_a_jpeg_is_found_by_its_markers(options: list[int]) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", noise, options)[1].tobytes()
    assert jpeg_end(jpeg + JPEG) == len(jpeg)
    thumbnail = b"\xff\xe1" + (len(JPEG) + 2).to_bytes(2, "big") + JPEG
    assert jpeg_end(jpeg[:2] + thumbnail + jpeg[2:]) == len(jpeg) + len(thumbnail)
    assert {jpeg_end(jpeg[:end]) for end in range(len(jpeg))} == {None}
    assert decode_jpeg(jpeg).shape == (64, 96, 3)


def test_a_picture_that_was_mended_after_it_was_cut_is_told_from_one_that_ends_in_grey() -> None:
    scan = JPEG.index(b"\xff\xda") + 14
    for cut in range(scan, len(JPEG) * 9 // 10, 7):
        with pytest.raises(PictureError, match="ends before its last row"):
            decode_jpeg(JPEG[:cut] + b"\xff\xd9")
    grey = np.full((64, 96, 3), 128, np.uint8)
    assert (decode_jpeg(cv2.imencode(".jpg", grey)[1].tobytes()) == grey).all()


def test_a_picture_of_more_pixels_than_memory_is_refused_before_it_is_decoded() -> None:
    at = JPEG.index(b"\xff\xc0") + 5
    with pytest.raises(PictureError, match="more than 50 megapixels"):
        decode_jpeg(JPEG[:at] + b"\xff\xff\xff\xff" + JPEG[at + 4 :])
