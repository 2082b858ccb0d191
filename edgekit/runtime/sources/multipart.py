"""The parts of a multipart/x-mixed-replace stream, as cameras really send them, read with a bounded memory.

Follows RFC 2046, section 5.1, and forgives what cameras do: a boundary given with or without its two dashes, no line
end behind a picture, no Content-Length, bytes between the parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from edgekit.errors import PictureError
from edgekit.runtime.sources.jpeg import jpeg_end

MAX_PART = 8 << 20  # bytes of one picture; one of 4K is about 2 MB
MAX_BETWEEN = 64 << 10  # bytes that are no part's, or of one part's headers


@dataclass(frozen=True)
class Part:
    """One picture with its headers (names in lower case), or the reason why there is none: then `fault` says it."""

    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""


class Parts:
    """Iterates the parts of what `read` gives, chunk by chunk (b"" at the end), divided by `boundary`.

    A JPEG is handed over as soon as its last byte is there: waiting for the next boundary would make every frame one
    period older. Behind a fault the reader goes on at the next boundary, which may lie within the part that was bad.
    """

    def __init__(self, read: Callable[[], bytes], boundary: str) -> None:
        token = re.escape(boundary.strip('"').lstrip("-").encode("latin-1"))
        self._delimiter = re.compile(rb"--+" + token + rb"(--)?[ \t]*\r?\n")
        self._read = read
        self._buffer = bytearray()
        self._ended = False

    def __iter__(self) -> Iterator[Part]:
        begun = lost = False
        while not self._ended:
            between = self._skip()
            if between and begun and not lost:
                yield Part(fault="bytes between two pictures")
                lost = True
            if between is None:
                continue
            begun = True
            part = self._part()
            lost = bool(part.fault)
            yield part

    def _skip(self) -> bool | None:
        """Go behind the next boundary: whether anything but white space lay before it; None where there is none yet."""
        while not self._ended:
            found = self._delimiter.search(self._buffer)
            if found:
                between = bool(self._buffer[: found.start()].strip())
                self._ended = bool(found[1])
                del self._buffer[: found.end()]
                return None if self._ended else between
            if len(self._buffer) > MAX_BETWEEN:
                del self._buffer[: -MAX_BETWEEN // 2]
            self._more()
        return None

    def _part(self) -> Part:
        headers: Mapping[str, str] = {}
        try:
            headers = self._headers()
            length = self._length(headers)
            end = self._whole() if length is None else self._of(length)
        except PictureError as error:
            return Part(headers=headers, fault=str(error))
        content = bytes(self._buffer[:end])
        del self._buffer[:end]
        return Part(content, headers)

    def _headers(self) -> dict[str, str]:
        while (found := re.search(rb"\r?\n\r?\n|\A\r?\n", self._buffer)) is None:
            if len(self._buffer) > MAX_BETWEEN or not self._more():
                raise PictureError("no end of its headers")
        lines = self._buffer[: found.start()].decode("latin-1").splitlines()
        del self._buffer[: found.end()]
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        return {name.strip().lower(): value.strip() for name, value in pairs}

    def _length(self, headers: Mapping[str, str]) -> int | None:
        given = headers.get("content-length")
        if given is None:
            return None
        if not given.isascii() or not given.isdigit() or int(given) > MAX_PART:
            raise PictureError("a length that cannot be")
        return int(given)

    def _of(self, length: int) -> int:
        """The end of a picture whose length was given, which must hold what it says."""
        while len(self._buffer) < length:
            if not self._more():
                raise PictureError("cut short")
        if jpeg_end(self._buffer[:length]) is None:
            raise PictureError("cut short")
        return length

    def _whole(self) -> int:
        """The end of a picture whose length was not given: where the JPEG itself ends."""
        while (end := jpeg_end(self._buffer)) is None:
            if self._delimiter.search(self._buffer):
                raise PictureError("cut short")
            if len(self._buffer) > MAX_PART:
                raise PictureError(f"more than {MAX_PART >> 20} MiB")
            if not self._more():
                raise PictureError("cut short")
        return end

    def _more(self) -> bool:
        """Read on; False where the stream has ended."""
        chunk = self._read()
        self._buffer += chunk
        self._ended = not chunk
        return bool(chunk)
