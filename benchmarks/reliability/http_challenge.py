"""A camera's side of HTTP authentication: basic (RFC 7617) and digest (RFC 7616), the clear words of both checked."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Literal, TypeAlias

Login: TypeAlias = Literal["none", "basic", "digest", "digest sha-256"]
REALM, NONCE = "shop camera", "9d1c8e2f"


def challenge(login: Login) -> str:
    """The header line with which the camera asks who is there."""
    if login == "basic":
        return f'WWW-Authenticate: Basic realm="{REALM}"\r\n'
    algorithm = "SHA-256" if login == "digest sha-256" else "MD5"
    return f'WWW-Authenticate: Digest realm="{REALM}", qop="auth", nonce="{NONCE}", algorithm={algorithm}\r\n'


def passes(login: Login, request: str, user: str, password: str) -> bool:
    """Whether an HTTP request carries the right answer."""
    if login == "none":
        return True
    given = re.search(r"^Authorization: (\w+) (.*?)\r$", request, re.MULTILINE)
    if given is None:
        return False
    if login == "basic":
        return given[1] == "Basic" and base64.b64decode(given[2]).decode() == f"{user}:{password}"
    said = {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', given[2])}
    kind = hashlib.sha256 if login == "digest sha-256" else hashlib.md5

    def hashed(*words: str) -> str:
        return kind(":".join(words).encode()).hexdigest()

    target = request.split(" ")[1]
    secret, asked = hashed(user, REALM, password), hashed("GET", target)
    right = hashed(secret, NONCE, said.get("nc", ""), said.get("cnonce", ""), "auth", asked)
    return given[1] == "Digest" and said.get("uri") == target and said.get("response") == right
