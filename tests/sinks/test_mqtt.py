"""Events through a broker: when it is there, when it is away, when it says no, and how it tells of a dead device."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgekit.benchmarks.reliability.mosquitto import Mosquitto, free_port
from edgekit.errors import EdgekitError, SettingsError
from edgekit.schema import dump, parse
from edgekit.secret import KeepOut, Secret, no_log
from edgekit.sinks import Row, SinkDown
from edgekit.sinks.mqtt import MqttSettings, MqttSink, acknowledged_ids
from edgekit.sinks.tls import Tls

Rows = Callable[[int], list[Row]]
Wait = Callable[[Callable[[], object]], None]
Listen = Callable[[str], list[tuple[str, str]]]

PASSWORD = "hunter2-of-the-shop"


@contextmanager
def sink_to(port: int, keep_out: KeepOut = no_log, **settings: Any) -> Iterator[MqttSink]:
    settings = {"retry_s": 0.1, "retry_cap_s": 0.2, **settings}
    sink = MqttSettings("127.0.0.1", port, **settings).open("cart-17", keep_out)
    try:
        yield sink
    finally:
        sink.close()


def collect(sink: MqttSink, seqs: list[int]) -> bool:
    """Whether exactly these have arrived, over several askings."""
    arrived: list[int] = []

    def so() -> bool:
        arrived.extend(sink.acked())
        assert len(arrived) <= len(seqs)
        return sorted(arrived) == sorted(seqs)

    deadline = time.monotonic() + 10
    while not so() and time.monotonic() < deadline:
        time.sleep(0.005)
    return sorted(arrived) == sorted(seqs)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_events_arrive_in_order_under_their_type_and_are_acknowledged(
    broker: Mosquitto, listen: Listen, rows: Rows, until: Wait, version: str
) -> None:
    broker.start()
    heard = listen("shop/4/+/events/#")
    with sink_to(broker.port, prefix="shop/4", version=version) as sink:
        until(lambda: sink.up)
        sent = rows(50)
        for row in sent:
            sink.send(row)
        assert collect(sink, [row.seq for row in sent])
    until(lambda: len(heard) == 50)
    assert heard == [("shop/4/cart-17/events/edgekit.observation", row.json) for row in sent]


def test_a_broker_that_is_not_there_yet_is_waited_for(broker: Mosquitto, rows: Rows, until: Wait) -> None:
    with sink_to(broker.port) as sink:
        until(lambda: "refused" in sink.reason)
        with pytest.raises(SinkDown, match="the broker: Connection refused"):
            sink.send(rows(1)[0])
        broker.start()
        until(lambda: sink.up)
        [row] = rows(1)
        sink.send(row)
        assert collect(sink, [row.seq])


def test_a_broker_that_is_killed_and_comes_back_gets_what_it_had_not_acknowledged(
    broker: Mosquitto, listen: Listen, rows: Rows, until: Wait
) -> None:
    broker.start()
    with sink_to(broker.port) as sink:
        until(lambda: sink.up)
        broker.freeze()
        sent = rows(30)
        for row in sent:
            sink.send(row)
        broker.kill()
        until(lambda: not sink.up)
        assert sink.acked() == []
        with pytest.raises(SinkDown):
            sink.send(rows(1)[0])
        broker.start()
        assert collect(sink, [row.seq for row in sent])


def test_a_row_that_paho_still_holds_is_not_sent_twice(
    broker: Mosquitto, listen: Listen, rows: Rows, until: Wait
) -> None:
    broker.start()
    heard = listen("edgekit/#")
    with sink_to(broker.port) as sink:
        until(lambda: sink.up)
        broker.freeze()
        [row] = rows(1)
        sink.send(row)
        sink.send(row)
        broker.thaw()
        assert collect(sink, [row.seq])
        sink.send(row)  # now it is not held any more: the relay may have its reasons
        assert collect(sink, [row.seq])
    until(lambda: any("offline" in text for _, text in heard))
    assert [text for topic, text in heard if "events" in topic] == [row.json] * 2


def test_a_connection_that_was_idle_is_not_given_up_before_the_broker_had_its_time(
    broker: Mosquitto, rows: Rows, until: Wait
) -> None:
    broker.start()
    with sink_to(broker.port, ack_timeout_s=0.5) as sink:
        until(lambda: sink.up)
        time.sleep(0.6)
        broker.freeze()
        [row] = rows(1)
        sink.send(row)
        assert sink.acked() == []
        assert sink.up
        broker.thaw()
        assert collect(sink, [row.seq])
        assert sink.up


def test_a_connection_on_which_nothing_is_acknowledged_is_given_up_for_a_new_one(
    broker: Mosquitto, rows: Rows, until: Wait
) -> None:
    broker.start()
    with sink_to(broker.port, ack_timeout_s=0.1) as sink:
        until(lambda: sink.up)
        broker.freeze()
        [row] = rows(1)
        sink.send(row)
        until(lambda: sink.acked() or not sink.up)
        assert sink.reason == "the broker acknowledged nothing for 0.1 s"
        broker.thaw()
        assert collect(sink, [row.seq])
        until(lambda: sink.up)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_wrong_password_is_said_once_and_tried_on(
    tmp_path: Path, broker: Mosquitto, until: Wait, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-c", "-b", passwords, "cart", "another"], check=True, stderr=subprocess.DEVNULL
    )
    passwords.chmod(0o644)
    locked = Mosquitto(broker.log.parent, f"allow_anonymous false\npassword_file {passwords}")
    with caplog.at_level(logging.DEBUG), locked:
        locked.start()
        with sink_to(locked.port, user="cart", password=Secret(PASSWORD), version=version) as sink:
            until(lambda: locked.log.read_text().count("not authorised") >= 3)
            assert not sink.up
            assert "broker refuses the connection" in sink.reason
    refusals = [record for record in caplog.records if "refuses" in record.getMessage()]
    assert len(refusals) == 1
    assert PASSWORD not in caplog.text
    assert "unencrypted" in caplog.text


def test_the_right_password_opens(tmp_path: Path, broker: Mosquitto, until: Wait) -> None:
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "cart", PASSWORD], check=True, stderr=subprocess.DEVNULL)
    secret.write_text(PASSWORD + "\n")
    with Mosquitto(broker.log.parent, f"allow_anonymous false\npassword_file {passwords}") as locked:
        locked.start()
        with sink_to(locked.port, user="cart", password=Secret(f"file:{secret}")) as sink:
            until(lambda: sink.up)


def test_a_password_that_is_replaced_while_it_runs_is_used_and_kept_out_of_logs(
    tmp_path: Path, broker: Mosquitto, until: Wait
) -> None:
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"

    def let_in(password: str) -> None:
        subprocess.run(
            ["mosquitto_passwd", "-c", "-b", passwords, "cart", password], check=True, stderr=subprocess.DEVNULL
        )
        passwords.chmod(0o644)

    let_in("the old one")
    secret.write_text("the old one")
    kept_out: list[str] = []
    with Mosquitto(broker.log.parent, f"allow_anonymous false\npassword_file {passwords}") as locked:
        locked.start()
        login = {"user": "cart", "password": Secret(f"file:{secret}"), "keep_out": kept_out.append}
        with sink_to(locked.port, **login) as sink:
            until(lambda: sink.up)
            let_in(PASSWORD)
            locked.kill()
            locked.start()
            until(lambda: "refuses the connection" in sink.reason)
            secret.unlink()  # between two writes of whoever rotates it
            time.sleep(0.5)
            secret.write_text(PASSWORD)
            until(lambda: sink.up)
    assert set(kept_out) == {"the old one", PASSWORD}


def test_events_that_the_brokers_access_list_forbids_stay_and_are_told_once(
    tmp_path: Path, broker: Mosquitto, rows: Rows, until: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic write edgekit/cart-17/status\n")
    rules.chmod(0o644)
    with Mosquitto(broker.log.parent, f"allow_anonymous true\nacl_file {rules}") as strict:
        strict.start()
        with sink_to(strict.port) as sink, caplog.at_level(logging.WARNING):
            until(lambda: sink.up)
            for row in rows(3):
                sink.send(row)

            def told() -> bool:
                assert sink.acked() == []
                return "does not take events: Not authorized" in caplog.text

            until(told)
            time.sleep(0.05)
            assert sink.acked() == []
            # Mosquitto 2.0 ends the connection as well.
            until(lambda: sink.up and sink.reason == "the broker does not take events: Not authorized")
            rules.write_text("topic write edgekit/cart-17/#\n")
            strict.kill()
            until(lambda: not sink.up)
            strict.start()
            until(lambda: sink.up)
            assert sink.reason.startswith("the broker does not take events"), "nothing says otherwise yet"
            [row] = rows(1)
            sink.send(row)
            arrived: list[int] = []
            until(lambda: arrived.extend(sink.acked()) or row.seq in arrived)
            assert sink.reason == ""
    assert caplog.text.count("does not take events") == 1


def test_with_application_acknowledgement_an_event_arrives_when_a_consumer_says_so(
    broker: Mosquitto, listen: Listen, rows: Rows, until: Wait
) -> None:
    broker.start()
    heard = listen("edgekit/cart-17/events/#")
    with sink_to(broker.port, ack="application") as sink:
        until(lambda: sink.up)
        sent = rows(4)
        for row in sent:
            sink.send(row)
        until(lambda: len(heard) == 4)
        time.sleep(0.05)
        assert sink.acked() == []
        publish(broker, "edgekit/cart-17/ack", sent[0].id)
        assert collect(sink, [sent[0].seq])
        publish(broker, "edgekit/cart-17/ack", json.dumps([sent[1].id, "cart-17/0f1e2d3c4b5a/999", sent[3].id]))
        assert collect(sink, [sent[1].seq, sent[3].seq])
        sink.send(sent[2])  # nobody acknowledged it in time: it goes out again, under the same id
        until(lambda: len(heard) == 5)
        assert json.loads(heard[4][1])["id"] == sent[2].id


def test_a_device_that_may_not_hear_its_consumers_asks_again_and_sends_nothing_until_it_may(
    rows: Rows, until: Wait
) -> None:
    [row] = rows(1)
    # By hand: mosquitto's access lists let everybody subscribe, and then deliver nothing.
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        sink_to(server.getsockname()[1], ack="application", version="3.1.1") as sink,
    ):
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            packet_of(connection, 0x10)
            connection.sendall(b"\x20\x02\x00\x00")
            connection.sendall(b"\x90\x03" + packet_of(connection, 0x82)[:2] + b"\x80")
            until(lambda: sink.reason.startswith("the broker refuses to let it read edgekit/cart-17/ack"))
            with pytest.raises(SinkDown, match="refuses to let it read"):
                sink.send(row)
            connection.sendall(b"\x90\x03" + packet_of(connection, 0x82)[:2] + b"\x01")
            until(lambda: sink.up)
            sink.send(row)
            assert row.json.encode() in packet_of(connection, 0x32)


def packet_of(connection: socket.socket, kind: int) -> bytes:
    """The content of the next MQTT packet of that kind; others, such as the status, are passed over."""
    while True:
        found = connection.recv(1)[0]
        length = shift = 0
        while True:
            byte = connection.recv(1)[0]
            length, shift = length | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        content = b""
        while len(content) < length:
            content += connection.recv(length - len(content))
        if found == kind:
            return content


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_acknowledgements_wait_at_the_broker_for_a_device_that_is_away(
    broker: Mosquitto, rows: Rows, until: Wait, version: str
) -> None:
    broker.start()
    with sink_to(broker.port, ack="application", version=version) as sink:
        until(lambda: sink.up)
    [row] = rows(1)
    publish(broker, "edgekit/cart-17/ack", row.id)
    with sink_to(broker.port, ack="application", version=version) as sink:
        until(lambda: row.id in sink._known_ids)


def publish(broker: Mosquitto, topic: str, text: str) -> None:
    from paho.mqtt.publish import single

    single(topic, text, qos=1, hostname="127.0.0.1", port=broker.port)


DEVICE = """
import sys, time
from edgekit.sinks.mqtt import MqttSettings
sink = MqttSettings("127.0.0.1", int(sys.argv[1])).open("cart-17")
while not sink.up:
    time.sleep(0.01)
sink.publish_status({"state": "ok"})
print("up", flush=True)
time.sleep(60)
"""


def test_the_broker_tells_of_a_device_that_was_killed(broker: Mosquitto, listen: Listen, until: Wait) -> None:
    broker.start()
    heard = listen("edgekit/+/status")
    with subprocess.Popen([sys.executable, "-c", DEVICE, str(broker.port)], stdout=subprocess.PIPE) as device:
        try:
            assert device.stdout is not None
            assert device.stdout.readline() == b"up\n"
            until(lambda: len(heard) == 2)
            assert [json.loads(text) for _, text in heard] == [{"state": "online"}, {"state": "ok"}]
        finally:
            device.kill()
    until(lambda: heard[-1] == ("edgekit/cart-17/status", '{"state": "offline"}'))
    late = listen("edgekit/+/status")
    until(lambda: late == heard[-1:])  # retained, for who asks later


def test_the_status_is_retained_and_goes_out_when_it_changes_or_has_become_old(
    broker: Mosquitto, listen: Listen, until: Wait
) -> None:
    broker.start()
    heard = listen("edgekit/+/status")
    with sink_to(broker.port, status_every_s=0.3) as sink:
        until(lambda: sink.up)
        for frames in range(50):
            sink.publish_status({"state": "ok", "reasons": [], "frames": frames, "recent_events": [{"id": "x"}]})
        sink.publish_status({"state": "degraded", "reasons": ["heat"], "frames": 50})
        until(lambda: len(heard) == 3)
        assert [json.loads(text).get("frames") for _, text in heard] == [None, 0, 50]
        assert all("recent_events" not in text for _, text in heard)
        until(lambda: sink.publish_status({"state": "degraded", "reasons": ["heat"], "frames": 51}) or len(heard) == 4)
        late = listen("edgekit/cart-17/status")
        until(lambda: [json.loads(text)["frames"] for _, text in late] == [51])
    until(lambda: heard[-1][1] == '{"state": "offline"}')


def test_the_status_comes_back_over_the_last_will_when_the_broker_does(
    broker: Mosquitto, listen: Listen, until: Wait
) -> None:
    broker.start()
    with sink_to(broker.port) as sink:
        until(lambda: sink.up)
        sink.publish_status({"state": "degraded"})
        broker.kill()
        until(lambda: not sink.up)
        sink.publish_status({"state": "ok"})
        broker.start()
        until(lambda: sink.up)
        status = listen("edgekit/cart-17/status")
        until(lambda: [json.loads(text) for _, text in status] == [{"state": "ok"}])


@pytest.mark.parametrize(
    "answer",
    [
        b"\x20\x05\x00\x00\xff\xff\xff",  # a CONNACK whose properties promise more than there is
        b"\x20\x03\x00\x00\x00" + b"\x40\x01\x00",  # a good one, and a PUBACK that is too short
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 64,
    ],
    ids=["torn", "torn later", "a web server", "noise"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # paho's thread may end at it
def test_whatever_answers_instead_of_a_broker_does_not_end_the_trying(
    broker: Mosquitto, rows: Rows, until: Wait, answer: bytes
) -> None:
    server = socket.create_server(("127.0.0.1", broker.port))
    server.settimeout(10)
    with sink_to(broker.port) as sink:
        with server:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(answer)
            connection.close()
            until(lambda: sink.acked() or sink.reason not in ("", "not connected yet"))
        broker.start()
        until(lambda: sink.acked() or sink.up)
        [row] = rows(1)
        sink.send(row)
        assert collect(sink, [row.seq])


def test_an_encrypted_broker_is_checked_against_the_authority_that_is_given(
    certificates: tuple[Path, Path, Path], broker: Mosquitto, rows: Rows, until: Wait
) -> None:
    authority, key, cert = certificates
    port = free_port()
    more = f"allow_anonymous true\nlistener {port} 127.0.0.1\ncertfile {cert}\nkeyfile {key}\nallow_anonymous true"
    with Mosquitto(broker.log.parent, more) as encrypted:
        encrypted.start()
        with sink_to(port, tls=parse(MqttSettings, {"host": "x", "tls": {"ca": str(authority)}}, "t").tls) as sink:
            until(lambda: sink.up)
            [row] = rows(1)
            sink.send(row)
            assert collect(sink, [row.seq])
        with sink_to(port, tls=parse(MqttSettings, {"host": "x", "tls": {}}, "t").tls) as sink:
            until(lambda: "CERTIFICATE_VERIFY_FAILED" in sink.reason)
            assert not sink.up


def test_a_certificate_that_is_replaced_while_it_runs_is_shown_to_the_broker(
    certificates: tuple[Path, Path, Path], own_certificate: tuple[Path, Path], broker: Mosquitto, until: Wait
) -> None:
    authority, key, cert = certificates
    own_cert, own_key = own_certificate
    port = free_port()
    more = f"listener {port} 127.0.0.1\ncafile {authority}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true"
    with Mosquitto(broker.log.parent, f"{more}\nallow_anonymous true") as strict:
        strict.start()
        with sink_to(port, tls=Tls(authority, own_cert, own_key)) as sink:
            until(lambda: sink.reason not in ("", "not connected yet"))
            own_cert.write_bytes(cert.read_bytes())  # before its key: the two do not fit
            time.sleep(0.5)
            assert not sink.up
            own_key.write_bytes(key.read_bytes())
            until(lambda: sink.up)


@pytest.mark.parametrize(
    ("payload", "ids"),
    [
        (b"cart-17/0f/1", ["cart-17/0f/1"]),
        (b' "cart-17/0f/1"\n', ["cart-17/0f/1"]),
        (b'["a/b/1", "a/b/2"]', ["a/b/1", "a/b/2"]),
        (b'["a/b/1", 7, null, ["x"]]', ["a/b/1"]),
        (b"[]", []),
        (b"", []),
        (b'["a/b/1"', []),
        (b"\xff\xfe", []),
        (b"x" * (1 << 20 | 1), []),
    ],
)
def test_what_consumers_may_publish_as_an_acknowledgement(payload: bytes, ids: list[str]) -> None:
    assert acknowledged_ids(payload) == ids


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"host": "mqtt://cart:hunter2@shop"}, "host is a name or an address"),
        ({"host": "shop:1883"}, "host is a name or an address"),
        ({"port": 70000}, "port must be in 1..65535; got 70000"),
        ({"password": "env:X"}, "a password needs a user"),
        ({"prefix": "shop/#"}, "prefix begins topics"),
        ({"prefix": "/shop"}, "prefix begins topics"),
        ({"retry_s": 0}, "times must be above 0"),
        ({"tls": {"key": "key.pem"}}, "a key needs its cert"),
        ({"passwrd": "hunter2"}, "unknown key 'passwrd', did you mean 'password'?"),
        ({"user": "x", "password": 7}, "a secret is text"),
    ],
)
def test_settings_that_make_no_sense_are_named_without_a_secret(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(MqttSettings, {"host": "shop", **wrong}, "store.toml")
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_password_is_in_no_repr_and_no_dump() -> None:
    settings = parse(MqttSettings, {"host": "shop", "user": "cart", "password": PASSWORD}, "store.toml")
    assert settings.password is not None
    assert settings.password.read() == PASSWORD
    assert PASSWORD not in repr(settings) + str(dump(settings))


def test_a_device_whose_name_would_be_several_topics_is_refused() -> None:
    with pytest.raises(ValueError, match="part of topics"):
        MqttSettings("shop").open("aisle/3")


def test_without_paho_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(EdgekitError, match=r"pip install 'edgekit\[mqtt\]'"):
        MqttSettings("shop").open("cart-17")
