"""Events by MQTT: QoS 1 to a broker, a retained status, and a last will that says when the device is gone.

<prefix>/<device>/events/<type>   the events, CloudEvents JSON
<prefix>/<device>/status          retained: the last status, or {"state": "offline"}
<prefix>/<device>/ack             consumers publish here the ids that they have, one or a JSON list of them
"""

from __future__ import annotations

import json
import logging
import re
import socket
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekit.errors import SettingsError
from edgekit.schema import STRICT
from edgekit.secret import KeepOut, Secret, no_log
from edgekit.sinks import Row, SinkDown
from edgekit.sinks.health import Health, Reporting
from edgekit.sinks.mqtt_client import HELD, event_properties, open_client, session
from edgekit.sinks.tls import Tls

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger(__name__)

_OFFLINE = json.dumps({"state": "offline"})
_ACK_BYTES = 1 << 20
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f.]*(:[0-9A-Fa-f.]*){2,}")
_NOT_IN_A_TOPIC = re.compile(r"[+#/\0]")


@dataclass(frozen=True)
class MqttSettings:
    """host, port: of the broker; the port is 1883, with tls 8883, unless it is said. user, password: the password as
    'env:NAME' or 'file:PATH'. tls: an empty table trusts the system's authorities.

    prefix: what all topics begin with. ack: when an event has arrived: 'broker' when the broker acknowledges it,
    'application' when a consumer publishes its id on the ack topic; only that tells of a broker that loses what it
    took. version: of the protocol; 3.1.1 has no way to tell of an event that the broker's access list forbids.

    keepalive_s: a dead connection is noticed within one and a half of these. ack_timeout_s: a broker that acknowledges
    nothing for so long is connected to anew, and an event that no consumer acknowledged is sent again. session_s: how
    long the broker keeps acknowledgements for a device that is away (version 5). connect_s: how long connecting may
    take. retry_s, retry_cap_s: the first and the longest wait between tries. status_every_s: how often the status goes
    out while its state stays the same.
    """

    __pydantic_config__ = STRICT

    host: str
    port: int | None = None
    user: str | None = None
    password: Secret | None = None
    tls: Tls | None = None
    prefix: str = "edgekit"
    ack: Literal["broker", "application"] = "broker"
    version: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = 30
    ack_timeout_s: float = 30.0
    session_s: int = 24 * 3600
    connect_s: float = 5.0
    retry_s: float = 1.0
    retry_cap_s: float = 60.0
    status_every_s: float = 10.0

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ValueError("host is a name or an address, without port, user and 'mqtt://'")
        if self.password is not None and self.user is None:
            raise ValueError("a password needs a user")
        if not self.prefix or re.search(r"[+#\0]|^[/$]|/$", self.prefix):
            raise ValueError(f"prefix begins topics: no '+', '#', '$' or '/' at its ends; got '{self.prefix}'")
        if self.port is not None and not 0 < self.port < 1 << 16:
            raise ValueError(f"port must be in 1..65535; got {self.port}")
        limits = (self.keepalive_s, self.ack_timeout_s, self.connect_s, self.retry_s, self.status_every_s)
        if min(limits) <= 0 or self.retry_cap_s < self.retry_s or self.session_s < 0:
            raise ValueError("times must be above 0, and retry_cap_s at least retry_s")

    def within(self, folder: Path) -> MqttSettings:
        """With paths relative to `folder` made whole."""
        secret, tls = self.password, self.tls
        return replace(self, password=secret and secret.within(folder), tls=tls and tls.within(folder))

    def open(self, device: str, keep_out: KeepOut = no_log) -> MqttSink:
        """The sink, connecting by itself from now on. `SettingsError` where a secret or a certificate is not where it
        should be, `EdgekitError` where paho-mqtt is not installed. keep_out: told every password that is read."""
        return MqttSink(self, device, keep_out=keep_out)


class MqttSink(Reporting):
    """Publishes rows for `device`, whose name no other device may have: the broker would cut each off for the other.

    The outbox is the queue: rows are taken while connected only. What was taken and is not acknowledged when the
    connection breaks, paho sends again on the next one, as MQTT wants it; before a connection's end nothing is sent
    twice. The session at the broker outlives connections, so that acknowledgements of consumers wait for a device that
    is away. Password and certificates are read anew for each connection: they may be replaced while it runs.
    """

    def __init__(self, settings: MqttSettings, device: str, name: str = "mqtt", keep_out: KeepOut = no_log) -> None:
        if not device or _NOT_IN_A_TOPIC.search(device):
            raise ValueError(f"a device's name is part of topics: no '/', '+' or '#'; got '{device}'")
        self.name = name
        self.ack_timeout_s = settings.ack_timeout_s
        self._settings = settings
        self._topic = f"{settings.prefix}/{device}"
        self._health = Health(name, log)
        self._mids: dict[int, int] = {}  # seq -> paho's number, of rows that paho holds
        self._seqs: dict[int, int] = {}  # and the other way round
        self._awaited: OrderedDict[str, int] = OrderedDict()  # id -> seq, of rows that a consumer has to acknowledge
        # What paho's thread hands over; it must take no lock of ours, for it calls back while it holds its own.
        self._pubacks: deque[tuple[int, str]] = deque()
        self._known_ids: deque[str] = deque(maxlen=HELD)
        self._moved_at = time.monotonic()
        self._denied = ""
        self._answered = self._is_deaf = False
        self._status: dict[str, Any] = {"state": "online"}
        self._status_at = float("-inf")
        self._status_lock = threading.Lock()
        self._closed = False
        self._keep_out = keep_out
        self._tls = None if settings.tls is None else settings.tls.context()
        self._client = open_client(settings, f"edgekit-{device}", self._tls)
        self._log_in()
        self._connect()

    @property
    def reason(self) -> str:
        """While the broker's access list forbids events, they go on being sent: whoever keeps it may allow them."""
        return super().reason or (self._denied and f"the broker does not take events: {self._denied}")

    def send(self, row: Row) -> None:
        if not self.up:
            if self._is_deaf:
                self._subscribe()  # whoever keeps the broker may have allowed it since
            raise SinkDown(self.reason)
        if row.seq in self._mids:
            return
        if not self._mids:
            self._moved_at = time.monotonic()
        kind = _NOT_IN_A_TOPIC.sub("_", str(json.loads(row.json)["type"]))
        sent = self._client.publish(
            f"{self._topic}/events/{kind}", row.json, qos=1, properties=event_properties(self._settings.version)
        )
        if sent.rc not in (0, 4):  # MQTT_ERR_SUCCESS; MQTT_ERR_NO_CONN: paho sends it when it is connected again
            raise SinkDown(f"paho takes no more events (code {int(sent.rc)})")
        self._mids[row.seq] = sent.mid
        self._seqs[sent.mid] = row.seq
        if self._settings.ack == "application":
            self._awaited[row.id] = row.seq
            if len(self._awaited) > HELD:  # of rows that the outbox dropped
                self._awaited.popitem(last=False)

    def acked(self) -> list[int]:
        self._revive()
        taken = self._taken()
        self._give_up_if_stalled()
        return taken if self._settings.ack == "broker" else self._acknowledged()

    def refused(self) -> list[int]:
        return []  # a broker has no way to refuse one event for good

    def publish_status(self, snapshot: Mapping[str, Any]) -> None:
        """Keep `snapshot` as the retained status, without its `recent_events`, which go as events. Any thread may call
        it as often as it likes: it goes out when `state` or `reasons` change, and every `status_every_s`."""
        status = {key: value for key, value in snapshot.items() if key != "recent_events"}
        with self._status_lock:
            changed = any(status.get(key) != self._status.get(key) for key in ("state", "reasons"))
            self._status = status
            if changed or time.monotonic() - self._status_at >= self._settings.status_every_s:
                self._publish_status()

    def close(self) -> None:
        """Says that the device is offline, and ends the connection."""
        if self._closed:
            return
        self._closed = True
        self._health.close()
        if self._client.is_connected():
            said = self._client.publish(f"{self._topic}/status", _OFFLINE, qos=1, retain=True)
            if said.rc == 0:
                said.wait_for_publish(timeout=1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _connect(self) -> None:
        settings, client = self._settings, self._client
        client.will_set(f"{self._topic}/status", _OFFLINE, qos=1, retain=True)
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        port = settings.port or (1883 if settings.tls is None else 8883)
        client.connect_async(settings.host, port, settings.keepalive_s, **session(settings))
        client.loop_start()

    def _log_in(self) -> None:
        """With the password that there is now."""
        user, password = self._settings.user, self._settings.password
        if user is not None:
            secret = None if password is None else password.read()
            self._keep_out(secret or "")
            self._client.username_pw_set(user, secret)

    def _subscribe(self) -> None:
        self._client.subscribe(f"{self._topic}/ack", qos=1)

    def _taken(self) -> list[int]:
        """Rows that the broker has acknowledged since the last call."""
        taken = []
        while self._pubacks:
            mid, denied = self._pubacks.popleft()
            seq = self._seqs.pop(mid, None)
            if seq is None:
                continue
            del self._mids[seq]
            self._moved_at = time.monotonic()
            if not denied:
                taken.append(seq)
            elif denied != self._denied:  # the relay sends it again; once is enough to say it
                log.warning("%s: the broker does not take events: %s", self.name, denied)
            self._denied = denied
        return taken

    def _acknowledged(self) -> list[int]:
        """Rows that consumers have acknowledged since the last call."""
        seqs = []
        while self._known_ids:
            seq = self._awaited.pop(self._known_ids.popleft(), None)
            if seq is not None:
                seqs.append(seq)
        return seqs

    def _give_up_if_stalled(self) -> None:
        """Nothing may be sent again on a connection that is open (MQTT 5, 4.4), so it is ended."""
        if not self.up or not self._mids or time.monotonic() - self._moved_at < self.ack_timeout_s:
            return
        self._health.is_down(f"the broker acknowledged nothing for {self.ack_timeout_s:g} s")
        self._hang_up()

    def _revive(self) -> None:
        """Start paho's thread anew where it has ended, as it does at an answer that it cannot parse."""
        if not self._closed and self._client.loop_start() == 0:  # else it is running
            self._health.is_down("the broker's answer could not be read")
            self._hang_up()

    def _hang_up(self) -> None:
        """End the connection; paho's thread sees that and opens another."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with suppress(OSError):  # it has ended by itself
                # Not a TLS socket's own shutdown, which takes the encryption away under paho's thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _publish_status(self) -> None:
        if self._client.is_connected():
            self._status_at = time.monotonic()
            self._client.publish(f"{self._topic}/status", json.dumps(self._status), qos=0, retain=True)

    # By paho's thread:

    def _on_pre_connect(self, client: Client, userdata: Any) -> None:
        self._answered = False
        try:
            self._log_in()
            if self._settings.tls is not None and self._tls is not None:
                self._settings.tls.renew(self._tls)
        except SettingsError as error:
            log.warning("%s: goes on with what it read before: %s", self.name, error)

    def _on_connect(self, client: Client, userdata: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        self._answered = True
        if code.is_failure:
            self._health.is_down(f"the broker refuses the connection: {code}")
            return
        self._moved_at = time.monotonic()
        with self._status_lock:
            self._publish_status()  # over the last will
        if self._settings.ack == "application":
            self._subscribe()
        else:
            self._health.is_up()

    def _on_subscribe(self, client: Client, userdata: Any, mid: int, codes: list[ReasonCode], properties: Any) -> None:
        self._is_deaf = codes[0].is_failure
        if self._is_deaf:
            self._health.is_down(f"the broker refuses to let it read {self._topic}/ack: {codes[0]}")
        else:
            self._health.is_up()

    def _on_connect_fail(self, client: Client, userdata: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this where it has caught it, and tells it nobody
        told = (error.strerror or str(error)) if isinstance(error, OSError) else type(error).__name__
        self._health.is_down(f"the broker: {told}")

    def _on_disconnect(self, client: Client, userdata: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        if self.up:
            self._health.is_down(f"the connection is lost: {code}")
        elif not self._answered:  # else it is known why: a refusal is followed by its disconnection
            self._health.is_down("the connection ended before a broker answered")

    def _on_publish(self, client: Client, userdata: Any, mid: int, code: ReasonCode, properties: Any) -> None:
        self._pubacks.append((mid, str(code) if code.is_failure else ""))

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self._known_ids.extend(acknowledged_ids(message.payload))


def acknowledged_ids(payload: bytes | bytearray) -> list[str]:
    """The event ids that a consumer publishes: one as it is, one as a JSON string, or a JSON list of them. Empty, with
    a warning, for anything else."""
    if len(payload) > _ACK_BYTES:
        log.warning("an acknowledgement of %d bytes is passed over", len(payload))
        return []
    try:
        text = payload.decode().strip()
        found = json.loads(text) if text[:1] in ("[", '"') else text
    except ValueError:
        log.warning("an acknowledgement that is neither an id nor JSON is passed over")
        return []
    ids = found if isinstance(found, list) else [found]
    return [each for each in ids if isinstance(each, str) and each]
