"""The device of the broker rig, the process that is killed: 200 events a second, each noted down once it is stored.

`python -m edgekit.benchmarks.reliability.broker_device FOLDER PORT WAY ACK START` runs until FOLDER/finish is there and
everything is delivered.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, cast

from edgekit.backoff import Backoff
from edgekit.events import OBSERVATION, Author, Event
from edgekit.outbox import Outbox, Row
from edgekit.relay import Relay, run_relays
from edgekit.sinks.mqtt import MqttSettings, MqttSink

Way: TypeAlias = Literal["outbox", "acked at publish", "no outbox"]
Ack: TypeAlias = Literal["broker", "application"]

DRAIN_S = 60.0
_PERIOD_S = 0.005
_RETRY_S, _RETRY_CAP_S, _ACK_TIMEOUT_S = 0.05, 0.2, 1.0


class Publisher(Protocol):
    """One way of publishing."""

    def publish(self, event: Event) -> bool:
        """Whether it may be counted on."""

    def is_up(self) -> bool: ...

    def is_drained(self) -> bool: ...

    def close(self) -> None: ...


class Durable:
    """Through the outbox, the relay and the sink, as the runtime does."""

    def __init__(self, folder: Path, sink: MqttSink) -> None:
        self._outbox = Outbox(folder / "outbox.db", [sink.name])
        self._sink = sink
        backoff = Backoff(_RETRY_S, _RETRY_CAP_S, random.Random())
        relay = Relay(self._outbox, sink, time.monotonic, backoff, ack_timeout_s=_ACK_TIMEOUT_S)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=run_relays, args=([relay], self._stop), daemon=True)
        self._thread.start()

    def publish(self, event: Event) -> bool:
        return self._outbox.put(event)

    def is_up(self) -> bool:
        return self._sink.up

    def is_drained(self) -> bool:
        return self._outbox.depth() == 0

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._sink.close()
        self._outbox.close()


class AckedAtPublish(MqttSink):
    """The wrong sink: says that a row has arrived when the MQTT client has taken it."""

    _published: tuple[int, ...] = ()

    def send(self, row: Row) -> None:
        super().send(row)
        self._published += (row.seq,)

    def acked(self) -> list[int]:
        super().acked()
        published, self._published = self._published, ()
        return list(published)


class InMemory:
    """The wrong publisher: QoS 1 and nothing else."""

    def __init__(self, port: int) -> None:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "edgekit-rig", clean_session=False)
        self._client.reconnect_delay_set(_RETRY_S, _RETRY_CAP_S)  # type: ignore[arg-type]
        self._client.connect_async("127.0.0.1", port)
        self._published = self._acked = 0
        self._client.on_publish = self._on_publish
        self._client.loop_start()

    def publish(self, event: Event) -> bool:
        self._client.publish("edgekit/rig/events/x", event.to_json(), qos=1)
        self._published += 1
        return True

    def is_up(self) -> bool:
        return self._client.is_connected()

    def is_drained(self) -> bool:
        return self._acked == self._published

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_publish(self, client: Any, userdata: Any, mid: int, code: Any, properties: Any) -> None:
        self._acked += 1


def open_publisher(way: Way, folder: Path, port: int, ack: Ack) -> Publisher:
    if way == "no outbox":
        return InMemory(port)
    settings = MqttSettings(
        "127.0.0.1", port, ack=ack, retry_s=_RETRY_S, retry_cap_s=_RETRY_CAP_S, ack_timeout_s=_ACK_TIMEOUT_S
    )
    return Durable(folder, settings.open("rig") if way == "outbox" else AckedAtPublish(settings, "rig"))


def main(folder: Path, port: int, way: Way, ack: Ack, start: str) -> int:
    logging.disable(logging.WARNING)  # a connection that is lost is no news here
    author, publisher = Author("rig"), open_publisher(way, folder, port, ack)
    notes = os.open(folder / "stored", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    count = 0
    while not (folder / "finish").exists():
        count += 1
        happening = f"{start}-{count}"
        if publisher.publish(author.event(OBSERVATION, "front", {"happening": happening})):
            os.write(notes, f"{happening}\n".encode())  # in one write: kill -9 tears none
        if publisher.is_up():
            (folder / "up").touch()
        time.sleep(_PERIOD_S)
    deadline = time.monotonic() + DRAIN_S
    while not publisher.is_drained():
        if time.monotonic() > deadline:
            return 1
        time.sleep(0.01)
    publisher.close()
    return 0


if __name__ == "__main__":
    folder, port, way, ack, start = sys.argv[1:]
    sys.exit(main(Path(folder), int(port), cast(Way, way), cast(Ack, ack), start))
