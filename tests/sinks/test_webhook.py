"""Events by POST to a real server: what each of its answers means, and that none of them holds up the others."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgekit.benchmarks.reliability.mosquitto import free_port
from edgekit.errors import SettingsError
from edgekit.schema import parse
from edgekit.secret import KeepOut, Secret, no_log
from edgekit.sinks import Row, SinkDown
from edgekit.sinks.tls import Tls
from edgekit.sinks.webhook import WebhookSettings, WebhookSink

Rows = Callable[[int], list[Row]]
Wait = Callable[[Callable[[], object]], None]
TOKEN = "Bearer hunter2-of-the-shop"


@dataclass
class Shop:
    """A web server: answers with `answers` in turn, the last of them for ever; keeps what was posted."""

    answers: list[int | tuple[int, dict[str, str]]]
    posts: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def url(self, path: str = "/events") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self) -> tuple[int, dict[str, str]]:
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return found if isinstance(found, tuple) else (found, {})


@contextmanager
def serving(shop: Shop, encrypted: ssl.SSLContext | None = None) -> Iterator[Shop]:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            shop.connections += 1

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            shop.posts.append((self.path, dict(self.headers.items()), content))
            shop.at.append(time.monotonic())
            status, headers = shop.answer()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            body = b"" if status == 204 else b"ok"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", shop.port), Answer) as server:
        shop.port = server.server_port
        if encrypted is not None:
            server.socket = encrypted.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield shop
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def sink_to(url: str, keep_out: KeepOut = no_log, **settings: Any) -> Iterator[WebhookSink]:
    settings = {"retry_s": 0.02, "retry_cap_s": 0.05, **settings}
    sink = WebhookSettings(url, **settings).open(keep_out)
    try:
        yield sink
    finally:
        sink.close()


def arrived(sink: WebhookSink, seqs: Sequence[int]) -> bool:
    found: list[int] = []
    deadline = time.monotonic() + 10
    while len(found) < len(seqs) and time.monotonic() < deadline:
        found += sink.acked()
        time.sleep(0.002)
    return found == list(seqs)


def test_each_event_is_posted_in_order_over_one_connection(rows: Rows) -> None:
    with serving(Shop([204])) as shop, sink_to(shop.url(), headers={"Authorization": Secret(TOKEN)}) as sink:
        sent = rows(20)
        for row in sent:
            sink.send(row)
        assert arrived(sink, [row.seq for row in sent])
    assert [content for _, _, content in shop.posts] == [json.loads(row.json) for row in sent]
    path, headers, _ = shop.posts[0]
    assert path == "/events"
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["Authorization"] == TOKEN
    assert shop.connections == 1


def test_a_batch_is_one_request(rows: Rows) -> None:
    with serving(Shop([(429, {"Retry-After": "0"}), 200])) as shop, sink_to(shop.url(), batch=10) as sink:
        sent = rows(25)
        for row in sent:  # some wait behind the first refusal, so that batches fill
            while True:
                try:
                    sink.send(row)
                    break
                except SinkDown:
                    time.sleep(0.001)
        assert arrived(sink, [row.seq for row in sent])
    assert all(headers["Content-Type"].startswith("application/cloudevents-batch+json") for _, headers, _ in shop.posts)
    assert max(len(content) for _, _, content in shop.posts) == 10
    taken = [event["id"] for _, _, content in shop.posts[1:] for event in content]
    assert taken == [row.id for row in sent]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 401, 403, 404, 410, 415, 302])
def test_an_event_waits_where_the_answer_says_nothing_against_it(rows: Rows, until: Wait, status: int) -> None:
    with serving(Shop([status, status, 200])) as shop, sink_to(shop.url()) as sink:
        [row, after] = rows(2)
        sink.send(row)
        until(lambda: not sink.up or len(shop.posts) > 2)
        assert arrived(sink, [row.seq])
        assert sink.up
        sink.send(after)
        assert arrived(sink, [after.seq])
        assert sink.refused() == []
    assert [content["id"] for _, _, content in shop.posts] == [row.id] * 3 + [after.id]


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_an_event_that_is_refused_is_counted_and_does_not_hold_up_the_next(
    rows: Rows, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    with serving(Shop([status, 200])) as shop, sink_to(shop.url("/hooks/secret-path")) as sink:
        sent = rows(2)
        for row in sent:
            sink.send(row)
        assert arrived(sink, [sent[1].seq])
        assert (sink.refused(), sink.up) == ([sent[0].seq], True)
    assert f"{sent[0].id} is passed over, it was refused: the server answered {status}" in caplog.text
    assert "secret-path" not in caplog.text


def test_of_a_refused_batch_only_the_event_that_is_wrong_is_passed_over(rows: Rows, until: Wait) -> None:
    answers: list[int | tuple[int, dict[str, str]]] = [503, 400, 200, 400, 200]
    with serving(Shop(answers)) as shop, sink_to(shop.url(), batch=3, retry_s=0.3, retry_cap_s=0.3) as sink:
        first, *others = rows(4)
        sink._held |= {row.seq: row for row in (first, *others[:2])}  # at once, so that they are one batch
        sink.send(others[2])
        assert arrived(sink, [first.seq, *(row.seq for row in others[1:])])
        assert sink.refused() == [others[0].seq]
    singles = [content[0]["id"] for _, _, content in shop.posts[2:5]]
    assert singles == [first.id, others[0].id, others[1].id]


@pytest.mark.parametrize("asked", ["1", "date", "never mind"])
def test_a_server_that_asks_to_be_left_alone_is(rows: Rows, asked: str) -> None:
    after = formatdate(time.time() + 2, usegmt=True) if asked == "date" else asked  # of whole seconds
    with serving(Shop([(503, {"Retry-After": after}), 200])) as shop, sink_to(shop.url()) as sink:
        [row] = rows(1)
        sink.send(row)
        assert arrived(sink, [row.seq])
    waited = shop.at[1] - shop.at[0]
    assert (waited < 0.5) if asked == "never mind" else (0.5 < waited < 5)


def test_a_redirect_is_not_followed(rows: Rows, until: Wait) -> None:
    with serving(Shop([200])) as elsewhere:
        moved = (307, {"Location": elsewhere.url("/?token=hunter2")})
        with serving(Shop([moved])) as shop, sink_to(shop.url(), headers={"X-Key": Secret(TOKEN)}) as sink:
            sink.send(rows(1)[0])
            until(lambda: len(shop.posts) >= 2)
            assert "redirects are not followed" in sink.reason
            assert "hunter2" not in sink.reason
    assert elsewhere.posts == []


def test_a_server_that_is_away_is_waited_for_and_said_once(
    rows: Rows, until: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with sink_to(f"http://127.0.0.1:{port}/x?key=hunter2", headers={"X-Key": Secret(TOKEN)}) as sink:
        [row, after] = rows(2)
        sink.send(row)
        until(lambda: not sink.up)
        with pytest.raises(SinkDown, match="the server: Connection refused"):
            sink.send(after)
        sink.send(row)  # it is on its way already, however often it is given
        time.sleep(0.15)
        with serving(Shop([200], port=port)) as shop:
            assert arrived(sink, [row.seq])
        assert len(shop.posts) == 1
    assert caplog.text.count("Connection refused") == 1
    assert "hunter2" not in caplog.text


def test_a_connection_that_the_server_closed_while_idle_costs_nothing(
    rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = rows(2)
    with serving(Shop([200])) as shop, sink_to(shop.url()) as sink:
        sink.send(first)
        assert arrived(sink, [first.seq])
        assert sink._endpoint._connection is not None
        sink._endpoint._connection.sock.shutdown(2)
        sink.send(second)
        assert arrived(sink, [second.seq])
    assert len(shop.posts) == shop.connections == 2
    assert caplog.text == ""


def test_a_server_that_takes_the_event_and_says_nothing_is_given_up(rows: Rows, until: Wait) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        sink_to(f"http://127.0.0.1:{silent.getsockname()[1]}", read_s=0.1) as sink,
    ):
        sink.send(rows(1)[0])
        until(lambda: "no answer in time" in sink.reason)


def test_what_is_no_http_is_told_without_repeating_it(rows: Rows, until: Wait) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as odd,
        sink_to(f"http://127.0.0.1:{odd.getsockname()[1]}") as sink,
    ):
        sink.send(rows(1)[0])
        connection, _ = odd.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(b"220 hunter2 ESMTP\r\n")
        until(lambda: "not an HTTP answer (BadStatusLine)" in sink.reason)


def test_the_queue_is_bounded(rows: Rows, until: Wait) -> None:
    held = threading.Event()
    with serving(Shop([200])) as shop, sink_to(shop.url()) as sink:
        sink._deliver = lambda rows: held.wait()  # type: ignore[assignment]
        *some, one_more = rows(257)
        for row in some:
            sink.send(row)
        with pytest.raises(SinkDown, match="256 events are on their way"):
            sink.send(one_more)
        assert sink.up
        held.set()


def test_an_encrypted_server_must_prove_who_it_is(
    certificates: tuple[Path, Path, Path], rows: Rows, until: Wait
) -> None:
    authority, key, cert = certificates
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    [row] = rows(1)
    with serving(Shop([200]), context) as shop:
        url = shop.url().replace("http:", "https:")
        with sink_to(url, tls=Tls(ca=authority)) as sink:
            sink.send(row)
            assert arrived(sink, [row.seq])
        with sink_to(url) as sink:
            sink.send(row)
            until(lambda: "CERTIFICATE_VERIFY_FAILED" in sink.reason)
    assert len(shop.posts) == 1


def test_a_certificate_that_is_replaced_while_it_runs_is_shown_to_the_server(
    certificates: tuple[Path, Path, Path], own_certificate: tuple[Path, Path], rows: Rows, until: Wait
) -> None:
    authority, key, cert = certificates
    own_cert, own_key = own_certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    [row] = rows(1)
    with serving(Shop([200]), context) as shop:
        url = shop.url().replace("http:", "https:")
        with sink_to(url, tls=Tls(authority, own_cert, own_key), retry_s=0.05, retry_cap_s=0.1) as sink:
            sink.send(row)
            until(lambda: not sink.up)
            own_cert.write_bytes(cert.read_bytes())  # before its key: the two do not fit
            time.sleep(0.3)
            own_key.write_bytes(key.read_bytes())
            assert arrived(sink, [row.seq])


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_token_that_is_replaced_while_it_runs_is_used_and_kept_out_of_logs(
    tmp_path: Path, rows: Rows, until: Wait, status: int
) -> None:
    token, kept_out = tmp_path / "token", []
    token.write_text("the old one")
    [row] = rows(1)
    with serving(Shop([status])) as shop:
        headers = {"Authorization": Secret(f"file:{token}")}
        with sink_to(shop.url(), keep_out=kept_out.append, headers=headers) as sink:
            sink.send(row)
            until(lambda: len(shop.posts) >= 2)
            token.unlink()  # between two writes of whoever rotates it
            posts = len(shop.posts)
            until(lambda: len(shop.posts) >= posts + 2)
            assert shop.posts[-1][1]["Authorization"] == "the old one"
            token.write_text(TOKEN)
            until(lambda: shop.posts[-1][1]["Authorization"] == TOKEN)
            shop.answers[:] = [200]
            assert arrived(sink, [row.seq])
    assert set(kept_out) == {"the old one", TOKEN}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "ftp://shop/x"}, "url must be"),
        ({"url": "http:///hunter2"}, "url must be"),
        ({"url": "http://shop/a b?key=hunter2"}, "url must be"),
        ({"url": "http://shop:99999/hunter2"}, "url must be"),
        ({"url": "https://cart:hunter2@shop/"}, "url must hold no user and password"),
        ({"batch": 0}, "batch must be in 1..100; got 0"),
        ({"read_s": 0}, "must be above 0"),
        ({"headers": {"X": 1}}, "a secret is text"),
    ],
)
def test_settings_that_make_no_sense_are_named_without_a_secret(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(WebhookSettings, {"url": "http://shop/", **wrong}, "store.toml")
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_header_that_would_be_two_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="header X-Key: ") as caught:
        WebhookSettings("http://shop/", headers={"X-Key": Secret("hunter2\r\nX-Other: 1")}).open()
    assert "hunter2" not in str(caught.value)


def test_secrets_are_in_no_repr() -> None:
    settings = WebhookSettings("https://shop/hooks/hunter2", headers={"X-Key": Secret("hunter2")})
    assert "hunter2" not in repr(settings)


def test_a_secret_over_plain_http_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), sink_to("http://127.0.0.1:9/", headers={"X-Key": Secret("hunter2")}):
        pass
    assert "travel unencrypted" in caplog.text
    assert "hunter2" not in caplog.text
