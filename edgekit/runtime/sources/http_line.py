"""One HTTP/1.1 connection to a camera at a time, on which no wait goes past a set moment, however slowly bytes drip.

Basic and digest authentication (RFC 7617, RFC 7616) by the user and password of the address, sent only when asked for.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from edgekit.errors import SourceError

CHUNK = 64 << 10


@dataclass(frozen=True)
class HttpAddress:
    """Taken apart; `repr` shows none of it, since it may be logged by whoever holds it."""

    secure: bool = field(repr=False)
    host: str = field(repr=False)
    port: int = field(repr=False)
    target: str = field(repr=False)
    user: str = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def parse(cls, address: str) -> HttpAddress:
        """`ValueError` where there is no host, or a port that is none."""
        parts = urlsplit(address)
        if not parts.hostname or re.search(r"[\x00-\x20\x7f]", address):
            raise ValueError("no host, or blanks in the address")
        secure = parts.scheme == "https"
        return cls(
            secure=secure,
            host=parts.hostname,
            port=parts.port or (443 if secure else 80),
            target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


class HttpLine:
    """Gets a camera's address, again and again if need be.

    shown: what errors call the camera. `allow` sets how long everything from then on may take, all together.
    """

    def __init__(self, address: str, shown: str) -> None:
        try:
            self._to = HttpAddress.parse(address)
        except ValueError:
            raise SourceError(f"{shown}: not an address of the form http://user:password@host:port/path") from None
        self._shown = shown
        self._until = 0.0
        self._allowed_s = 0.0
        self._line: _Timed | None = None
        self._response: HTTPResponse | None = None

    def allow(self, seconds: float) -> None:
        self._allowed_s = seconds
        self._until = time.monotonic() + seconds
        if self._line is not None:
            self._line.until = self._until

    def get(self) -> HTTPResponse:
        """The answer's headers, its body to be read by `read`; `SourceError` unless the camera answers 200."""
        response = self._ask(None)
        if response.status == 401 and self._to.user:
            response = self._ask(_authorise(response.headers.get_all("WWW-Authenticate") or (), self._to))
            if response.status == 401:
                raise self._error("refuses the user or the password")
        if response.status == 401:
            raise self._error("asks for a user and a password: http://user:password@host/path")
        if response.status != 200:
            raise self._error(f"answers with HTTP status {response.status}, 200 was expected")
        return response

    def read(self) -> bytes:
        """What has come of the body, at least a byte; b"" at its end."""
        assert self._response is not None, "get() comes first"
        try:
            return self._response.read1(CHUNK)
        except (OSError, HTTPException, ValueError) as error:
            raise self._broken(error, "no whole picture") from error

    def close(self) -> None:
        """May be called from another thread, whose wait then ends."""
        if self._line is not None:
            self._line.hang_up()

    def _ask(self, authorisation: str | None) -> HTTPResponse:
        self.close()
        try:
            self._line = _Timed(self._connect(), self._until)
            self._line.send(self._request(authorisation))
            self._response = HTTPResponse(cast(socket.socket, self._line), method="GET")
            self._response.begin()
        except ssl.SSLError:
            # What ssl says of a certificate holds the host's name, and so does the exception behind this one.
            raise self._error("no trusted TLS connection; SSL_CERT_FILE names the certificate to trust") from None
        except (OSError, HTTPException, ValueError) as error:
            raise self._broken(error, "no answer") from error
        return self._response

    def _connect(self) -> socket.socket:
        line = socket.create_connection(
            (self._to.host, self._to.port), timeout=max(0.001, self._until - time.monotonic())
        )
        if not self._to.secure:
            return line
        try:
            return ssl.create_default_context().wrap_socket(line, server_hostname=self._to.host)
        except BaseException:
            line.close()
            raise

    def _request(self, authorisation: str | None) -> bytes:
        host = f"[{self._to.host}]" if ":" in self._to.host else self._to.host
        lines = [f"GET {self._to.target} HTTP/1.1", f"Host: {host}:{self._to.port}", "Connection: close"]
        lines += ["User-Agent: edgekit", "Accept: multipart/x-mixed-replace, image/jpeg"]
        lines += [f"Authorization: {authorisation}"] if authorisation else []
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _broken(self, error: Exception, missing: str) -> SourceError:
        if isinstance(error, TimeoutError):
            return self._error(f"{missing} within {self._allowed_s:g} s")
        if isinstance(error, RemoteDisconnected):
            return self._error("hangs up without an answer")
        if isinstance(error, OSError):
            return self._error(error.strerror or type(error).__name__)
        return self._error(f"not HTTP ({type(error).__name__})")

    def _error(self, reason: str) -> SourceError:
        return SourceError(f"{self._shown}: {reason}")


class _Timed(io.RawIOBase):
    """A socket as a file whose reads end at `until`, where a socket's own limit begins anew with every byte."""

    def __init__(self, line: socket.socket, until: float) -> None:
        self._line = line
        self.until = until

    def makefile(self, mode: str) -> io.BufferedReader:
        """What HTTPResponse asks of a socket."""
        return io.BufferedReader(self, CHUNK)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._line.settimeout(self._left_s())
        return self._line.recv_into(buffer)

    def send(self, content: bytes) -> None:
        self._line.settimeout(self._left_s())
        self._line.sendall(content)

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):  # it is down already
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()

    def _left_s(self) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _authorise(challenges: Sequence[str], to: HttpAddress) -> str | None:
    """What to answer to the best of the camera's challenges; None where it asks for nothing that we can do."""
    digests = [_fields(each) for each in challenges if each.lower().startswith("digest ")]
    digests = [each for each in digests if each.get("algorithm", "MD5").upper() in ("MD5", "SHA-256")]
    if digests:
        return _digest(max(digests, key=lambda each: each.get("algorithm", "").upper() == "SHA-256"), to)
    if any(each.lower().startswith("basic") for each in challenges):
        return "Basic " + base64.b64encode(f"{to.user}:{to.password}".encode()).decode()
    return None


def _fields(challenge: str) -> dict[str, str]:
    pairs = re.findall(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', challenge)
    return {name.lower(): quoted or bare for name, quoted, bare in pairs}


def _digest(challenge: dict[str, str], to: HttpAddress, cnonce: str | None = None) -> str:
    """RFC 7616, section 3.4, with quality of protection 'auth' or, as old cameras have it, none."""
    kind = hashlib.sha256 if challenge.get("algorithm", "").upper() == "SHA-256" else hashlib.md5

    def hashed(*words: str) -> str:
        return kind(":".join(words).encode()).hexdigest()

    realm, nonce, cnonce = challenge.get("realm", ""), challenge.get("nonce", ""), cnonce or os.urandom(8).hex()
    secret, asked = hashed(to.user, realm, to.password), hashed("GET", to.target)
    protected = "auth" in re.split(r"[\s,]+", challenge.get("qop", ""))
    response = hashed(secret, nonce, "00000001", cnonce, "auth", asked) if protected else hashed(secret, nonce, asked)
    quoted = {"username": to.user, "realm": realm, "nonce": nonce, "uri": to.target, "response": response}
    quoted |= {"opaque": challenge["opaque"]} if "opaque" in challenge else {}
    quoted |= {"cnonce": cnonce} if protected else {}
    plain = ["qop=auth", "nc=00000001"] if protected else []
    plain += [f"algorithm={challenge['algorithm']}"] if "algorithm" in challenge else []
    return "Digest " + ", ".join([f'{name}="{value}"' for name, value in quoted.items()] + plain)
