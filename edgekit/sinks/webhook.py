"""Events by HTTP POST, as the CloudEvents HTTP binding has it: one a request, or a batch of them.

What the answer means: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md, with one difference:
an address or a key that is wrong (401, 403, 404, 405, 407, 410, 415 and every redirect) says nothing about the event,
which therefore waits in the outbox until somebody has put that right. Another 4xx refuses the event itself: it is
counted, logged and passed over.
"""

from __future__ import annotations

import http.client
import logging
import random
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from edgekit.backoff import Backoff
from edgekit.errors import SettingsError
from edgekit.schema import STRICT
from edgekit.secret import KeepOut, Secret, no_log
from edgekit.sinks import Refused, Row, SinkDown
from edgekit.sinks.courier import Courier
from edgekit.sinks.tls import Tls

log = logging.getLogger(__name__)

_LATER = frozenset({408, 425, 429})
_LOCKED_OUT = frozenset({401, 403, 407})
_WRONG_DOOR = frozenset({401, 403, 404, 405, 407, 410, 415})
_LONGEST_WAIT_S = 3600.0  # what a Retry-After may ask for: a server whose clock is wrong must not silence a device
_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True)
class WebhookSettings:
    """url: http or https, without user and password; no log shows more of it than the host. headers: sent with every
    request, their values secrets: `Authorization = "env:SHOP_TOKEN"`. tls: another authority than the system's, a
    certificate of this device.

    batch: events in one request; 1 is what every CloudEvents receiver takes, more needs one that takes batches.
    connect_s, read_s: how long connecting and each piece of an answer may take. retry_s, retry_cap_s: the first and the
    longest wait after a failure.
    """

    __pydantic_config__ = STRICT

    url: str = field(repr=False)
    headers: Mapping[str, Secret] = field(default_factory=dict)
    tls: Tls | None = None
    batch: int = 1
    connect_s: float = 5.0
    read_s: float = 10.0
    retry_s: float = 1.0
    retry_cap_s: float = 300.0

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not 1 <= self.batch <= 100:
            raise ValueError(f"batch must be in 1..100; got {self.batch}")
        if min(self.connect_s, self.read_s, self.retry_s) <= 0 or self.retry_cap_s < self.retry_s:
            raise ValueError("connect_s, read_s and retry_s must be above 0, and retry_cap_s at least retry_s")

    def within(self, folder: Path) -> WebhookSettings:
        """With paths relative to `folder` made whole."""
        headers = {name: secret.within(folder) for name, secret in self.headers.items()}
        return replace(self, headers=headers, tls=self.tls and self.tls.within(folder))

    def open(self, keep_out: KeepOut = no_log) -> WebhookSink:
        """The sink; `SettingsError` where a secret or a certificate is not where it should be. keep_out: told every
        secret that is read."""
        return WebhookSink(self, keep_out=keep_out)


class WebhookSink(Courier):
    """Posts events over one connection that is kept open. Redirects are not followed, proxies not asked.

    Where the server does not accept who this is, or cannot prove who it is, secrets and certificates are read anew for
    the next try: they may have been replaced.
    """

    def __init__(self, settings: WebhookSettings, name: str = "webhook", keep_out: KeepOut = no_log) -> None:
        self._endpoint = _Endpoint(settings, keep_out)
        backoff = Backoff(settings.retry_s, settings.retry_cap_s, random.Random())
        super().__init__(name, self._endpoint.post, backoff, log, batch=settings.batch)

    def close(self) -> None:
        super().close()
        self._endpoint.close()


class _Endpoint:
    def __init__(self, settings: WebhookSettings, keep_out: KeepOut) -> None:
        url = urlsplit(settings.url)
        self._settings = settings
        self._keep_out = keep_out
        self._encrypted = url.scheme == "https"
        self._host, self._port = url.hostname or "", url.port
        self._path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._connection: http.client.HTTPConnection | None = None
        self._locked_out = False
        self._read_secrets()
        if self._headers and not self._encrypted:
            log.warning("the headers' secrets travel unencrypted over http")

    def post(self, rows: Sequence[Row]) -> None:
        """`SinkDown` or `Refused` where the answer is not 2xx."""
        kind, body = _content(rows, self._settings.batch)
        if self._locked_out:
            self._read_secrets_anew()
        try:
            status, retry_after = self._ask(kind, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            self._locked_out = isinstance(error, (ssl.SSLError, ConnectionResetError))  # TLS 1.3 may end in either
            raise SinkDown(f"the server: {_told(error)}") from error
        self._locked_out = status in _LOCKED_OUT
        _judge(status, retry_after)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read_secrets(self) -> None:
        headers = {name: _header(name, secret) for name, secret in self._settings.headers.items()}
        self._context = (self._settings.tls or Tls()).context() if self._encrypted else None
        self._headers = headers
        for secret in headers.values():
            self._keep_out(secret)

    def _read_secrets_anew(self) -> None:
        self.close()
        try:
            self._read_secrets()
        except SettingsError as error:
            log.warning("goes on with what it read before: %s", error)

    def _ask(self, kind: str, body: bytes) -> tuple[int, str | None]:
        kept = self._connection
        if kept is not None:
            try:
                return self._request(kept, kind, body)
            except ConnectionError:
                self.close()  # the server closed what had been idle; that is no failure yet
        self._connection = self._connected()
        return self._request(self._connection, kind, body)

    def _connected(self) -> http.client.HTTPConnection:
        limit = self._settings.connect_s
        connection = (
            http.client.HTTPConnection(self._host, self._port, timeout=limit)
            if self._context is None
            else http.client.HTTPSConnection(self._host, self._port, timeout=limit, context=self._context)
        )
        connection.connect()
        connection.sock.settimeout(self._settings.read_s)
        return connection

    def _request(self, connection: http.client.HTTPConnection, kind: str, body: bytes) -> tuple[int, str | None]:
        connection.request("POST", self._path, body, {"User-Agent": "edgekit", **self._headers, "Content-Type": kind})
        answer = connection.getresponse()
        answer.read(_ANSWER_BYTES)
        if answer.will_close or not answer.isclosed():
            self.close()
        return answer.status, answer.headers["Retry-After"]


def _content(rows: Sequence[Row], batch: int) -> tuple[str, bytes]:
    if batch == 1:
        return "application/cloudevents+json; charset=utf-8", rows[0].json.encode()
    return "application/cloudevents-batch+json; charset=utf-8", f"[{','.join(row.json for row in rows)}]".encode()


def _judge(status: int, retry_after: str | None) -> None:
    if 200 <= status < 300:
        return
    answered = f"the server answered {status} {http.client.responses.get(status, '')}".rstrip()
    if 300 <= status < 400:
        raise SinkDown(f"{answered}; redirects are not followed, give the address that it leads to")
    if 400 <= status < 500 and status not in _LATER | _WRONG_DOOR:
        raise Refused(answered)
    raise SinkDown(answered, _seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    """What a Retry-After header asks for, seconds or a date (RFC 9110, 10.2.3); None where it cannot be read."""
    if retry_after is None:
        return None
    try:
        asked = (
            float(retry_after)
            if retry_after.strip().isdecimal()
            else parsedate_to_datetime(retry_after).timestamp() - time.time()
        )
    except (ValueError, OverflowError):
        log.warning("a Retry-After that is neither seconds nor a date is passed over")
        return None
    return min(max(0.0, asked), _LONGEST_WAIT_S)


def _told(error: OSError | http.client.HTTPException) -> str:
    """An error in words of our own: http.client's may repeat what the server sent."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"not an HTTP answer ({type(error).__name__})"


def _check_url(url: str) -> None:
    """Faults are told without the URL, whose path or query may be its key."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        usable = parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(each.isspace() for each in url):
        raise ValueError("url must be 'http://host...' or 'https://host...', in ASCII without spaces")
    if "@" in parts.netloc:
        raise ValueError("url must hold no user and password; give a header Authorization instead")


def _header(name: str, secret: Secret) -> str:
    value = secret.read()
    if not value.isascii() or not value.isprintable():
        raise SettingsError(f"header {name}: {secret} holds what a header cannot: line ends, or other than ASCII")
    return value
