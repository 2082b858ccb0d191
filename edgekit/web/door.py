"""Who may come in: a token for programs, a session made from it for browsers, and no page of anybody else's.

A session is `<expires>.<HMAC-SHA256 of it under the token>`: it tells nothing of the token, needs no table of sessions,
outlives a restart of the box, and ends at once when the token is changed.

Without a token the page is for this host alone. Then the request's Host must be a loopback name, or a website could
point its own name at 127.0.0.1 and read the pages through a visitor's browser (DNS rebinding), and what a browser marks
as another site's request is refused (https://web.dev/articles/fetch-metadata).
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "edgekit_session"
SESSION_S = 30 * 86400
SHORTEST = 16  # letters of a token: what is sent over a shop's network must not be guessed

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
OPEN = ("/login", "/healthz")  # and /page/: the style of the login form, and code without data

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "manifest-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Key:
    """The token, and what it opens. wall: seconds since 1970, by which sessions end."""

    def __init__(self, token: str, wall: Callable[[], float] = time.time) -> None:
        if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError(
                f"a token has at least {SHORTEST} letters, all ASCII and none a space; got one of {len(token)}: "
                "make one by python3 -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        self._token = token.encode()
        self._wall = wall

    def is_token(self, given: str) -> bool:
        """In a time that does not tell how much of it was right."""
        return hmac.compare_digest(given.encode(), self._token)

    def session(self) -> str:
        """A new session, for whoever has shown the token."""
        expires = str(int(self._wall()) + SESSION_S)
        return f"{expires}.{self._sign(expires)}"

    def is_session(self, given: str) -> bool:
        """Whether it was made by `session` of this token and has not ended."""
        expires, _, sign = given.partition(".")
        if not hmac.compare_digest(sign.encode(), self._sign(expires).encode()):
            return False
        return int(expires) > self._wall()

    def _sign(self, expires: str) -> str:
        return hmac.new(self._token, b"edgekit session " + expires.encode(), hashlib.sha256).hexdigest()


class Door:
    """The middleware: lets in who may, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, key: Key | None) -> None:
        self.app = app
        self.key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope["path"], Headers(scope=scope), scope["method"])
        await (refusal or self.app)(scope, receive, _with_headers(send))

    def _refusal(self, path: str, headers: Headers, method: str) -> Response | None:
        if headers.get("sec-fetch-site") == "cross-site" and not _follows_a_link(headers, method):
            return said("not for other sites' pages", 403)
        if self.key is None:
            return (
                None if is_loopback_name(headers.get("host", "")) else said("this page answers to localhost only", 421)
            )
        if path in OPEN or path.startswith("/page/") or self._knows(headers, self.key):
            return None
        if path == "/":
            return RedirectResponse("/login", 303)
        return said(
            "a token is needed: Authorization: Bearer <token>", 401, {"WWW-Authenticate": 'Bearer realm="edgekit"'}
        )

    def _knows(self, headers: Headers, key: Key) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and key.is_token(token.strip()):
            return True
        return key.is_session(cookie(headers))


def said(reason: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """A refusal, as JSON."""
    return JSONResponse({"error": reason}, status, headers)


def cookie(headers: Headers) -> str:
    """The session that a browser sent; empty where it sent none."""
    try:
        sent = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return sent.value if sent else ""


def is_loopback_name(host: str) -> bool:
    """Whether a Host header names this host itself, with any port: it may come through a tunnel."""
    name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
    return name.lower() in LOOPBACK_NAMES


def _follows_a_link(headers: Headers, method: str) -> bool:
    return (
        method == "GET" and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    )


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
