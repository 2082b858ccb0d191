"""A real broker, somebody who listens to it, and rows to send."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekit.benchmarks.reliability.mosquitto import Mosquitto, find_mosquitto
from edgekit.events import OBSERVATION, Author
from edgekit.sinks import Row

Wait = Callable[[Callable[[], object]], None]
Messages = list[tuple[str, str]]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Not started yet."""
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: pip install 'edgekit[mqtt]'")
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as broker:
        yield broker


@pytest.fixture
def until() -> Wait:
    """Wait until something is so, ten seconds at most."""

    def wait(so: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not so():
            assert time.monotonic() < deadline, "it did not come to pass within 10 s"
            time.sleep(0.005)

    return wait


@pytest.fixture
def listen(broker: Mosquitto) -> Iterator[Callable[..., Messages]]:
    """`listen("edgekit/#")`: what is published there from now on, topic and text, retained messages first."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    clients = []

    def start(topic: str) -> Messages:
        heard: Messages = []
        subscribed = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.on_message = lambda c, u, message: heard.append((message.topic, message.payload.decode()))
        client.on_subscribe = lambda *_: subscribed.append(True)
        client.connect("127.0.0.1", broker.port)
        client.subscribe(topic, qos=1)
        client.loop_start()
        clients.append(client)
        deadline = time.monotonic() + 10
        while not subscribed and time.monotonic() < deadline:
            time.sleep(0.005)
        return heard

    yield start
    for client in clients:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def rows() -> Callable[..., list[Row]]:
    author = Author("cart-17", boot="0f1e2d3c4b5a")

    def write(count: int) -> list[Row]:
        events = [author.event(OBSERVATION, "front", {"n": n}) for n in range(count)]
        return [Row(event.sequence, event.id, event.to_json()) for event in events]

    return write


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Path, Path]:
    """An authority, and a key and certificate that it gave to 127.0.0.1; by OpenSSL's command line."""
    authority, authority_key, key, cert = (tmp_path / name for name in ("ca.pem", "ca.key", "key.pem", "cert.pem"))
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-days", "2"]
    extension = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    # Python 3.13 verifies strictly (RFC 5280): an authority must say that it may sign certificates.
    may_sign = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    subprocess.run(
        [*new, *may_sign, "-subj", "/CN=shop", "-keyout", authority_key, "-out", authority],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    signed = ["-CA", authority, "-CAkey", authority_key]
    subprocess.run(
        [*new, *signed, "-subj", "/CN=broker", *extension, "-keyout", key, "-out", cert],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return authority, key, cert


@pytest.fixture
def own_certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that only this device itself vouches for, and its key."""
    cert, key = tmp_path / "own.pem", tmp_path / "own.key"
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-days", "2"]
    subprocess.run([*new, "-subj", "/CN=cart", "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    return cert, key
