"""Broker and device killed with -9 in turn while events are on their way: each stored event reaches the consumer, once.

The device is a process with the real outbox, relay and MQTT sink; the broker is a real mosquitto. In every round the
broker freezes for a moment, as on a stalled disk, and is killed; the device is killed too, in half of the rounds while
the broker is away. The device notes down every event that it stored, the consumer every event that it got.

Two controls must lose: 'no outbox', plain QoS 1 with paho's queue in memory, and 'acked at publish', where an event
leaves the outbox when the MQTT client has taken it.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from edgekit.benchmarks.reliability.broker_device import DRAIN_S, Ack, Way
from edgekit.benchmarks.reliability.figures import Figures
from edgekit.benchmarks.reliability.mortal import Mortal
from edgekit.benchmarks.reliability.mosquitto import Mosquitto
from edgekit.errors import EdgekitError

PROMISE = "broker and device killed: every stored event arrives, and once after repeated ids are removed"
CONTROLS: tuple[Way, ...] = ("no outbox", "acked at publish")
_CONTROL_TIMES = 10  # at most: they need no more to be caught


def run(times: int, seed: int, progress: Callable[[int], None] = lambda _: None, ack: Ack = "application") -> Figures:
    """`times` kills of the broker and as many of the device, about 1.5 s each; `progress` hears of every round.

    ack: the level that the sink waits for, see `MqttSettings`. With 'broker' the promise is as good as the broker's:
    mosquitto acknowledges an event before it has written it down.
    """
    started = time.monotonic()
    counts = trial("outbox", times, seed, ack, progress)
    wrong = {way: control(times, seed, way) for way in CONTROLS}
    return Figures(
        rig="broker",
        times=times,
        seed=seed,
        promise=PROMISE,
        kept=counts["stored"] > 0 and not counts["lost"] and not counts["duplicates"],
        counts=counts,
        seconds=round(time.monotonic() - started, 1),
        control={f"{what}, {way}": each[what] for way, each in wrong.items() for what in ("stored", "lost")},
        caught=all(each["lost"] > 0 for each in wrong.values()),
    )


def control(times: int, seed: int, way: Way = "no outbox") -> dict[str, float]:
    """The same with a device that does it wrongly; what it lost."""
    return trial(way, min(times, _CONTROL_TIMES), seed, "broker")


def trial(
    way: Way, times: int, seed: int, ack: Ack, progress: Callable[[int], None] = lambda _: None
) -> dict[str, float]:
    """The rounds with one way of publishing. stored: by the device's notes. duplicates: happenings under two ids."""
    chance = random.Random(f"{way} {seed}")
    with tempfile.TemporaryDirectory(prefix="edgekit-broker-") as name:
        folder = Path(name)
        with (
            Mosquitto(folder) as broker,
            Consumer(broker.port, acknowledges=ack == "application") as consumer,
            Device(folder, broker.port, way, ack) as device,
        ):
            broker.start()
            consumer.connect()
            device.start()
            for done in range(times):
                _round(broker, device, chance)
                progress(done + 1)
            device.finish()
            stored = set((folder / "stored").read_text().splitlines())
            wait_for(lambda: stored <= consumer.happenings.keys(), 5.0 if way == "outbox" else 1.0)
            return _count(stored, consumer)


def _round(broker: Mosquitto, device: Device, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.1, 0.5))
    broker.freeze()
    time.sleep(chance.uniform(0.05, 0.15))  # what is published now stays unacknowledged
    broker.kill()
    both_are_down = chance.random() < 0.5
    if both_are_down:
        device.kill()
    time.sleep(chance.uniform(0.02, 0.3))
    broker.start()
    if not both_are_down:
        time.sleep(chance.uniform(0.1, 0.5))
        device.kill()
    device.start()
    device.wait_until_up()


def _count(stored: set[str], consumer: Consumer) -> dict[str, float]:
    got = consumer.happenings
    return {
        "stored": len(stored),
        "lost": len(stored - got.keys()),
        "received": consumer.received,
        "repeated_ids": consumer.received - sum(map(len, got.values())),
        "duplicates": sum(len(ids) - 1 for ids in got.values()),
    }


class Device(Mortal):
    """The process that is killed; `folder` is its disk."""

    def __init__(self, folder: Path, port: int, way: Way, ack: Ack) -> None:
        program = "edgekit.benchmarks.reliability.broker_device"
        self._command = [sys.executable, "-m", program, str(folder), str(port), way, ack]
        self._folder = folder
        self._starts = 0

    def start(self) -> None:
        self._starts += 1
        (self._folder / "up").unlink(missing_ok=True)
        self._process = subprocess.Popen([*self._command, str(self._starts)])

    def wait_until_up(self) -> None:
        """Until it has reached the broker."""
        if not wait_for((self._folder / "up").exists, 30.0):
            raise EdgekitError("the rig's device did not reach the broker within 30 s")

    def finish(self) -> None:
        """Let it make no more events and end when all it knows of are delivered."""
        (self._folder / "finish").touch()
        if self._process is not None and self._process.wait(DRAIN_S + 10) != 0:
            raise EdgekitError(f"the rig's device ended with code {self._process.returncode}")


class Consumer:
    """Subscribes with a session that the broker keeps; `happenings` maps what happened to the event ids it came as."""

    def __init__(self, port: int, acknowledges: bool) -> None:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        self.happenings: dict[str, set[str]] = {}
        self.received = 0
        self._acknowledges = acknowledges
        self._port = port
        self._subscribed: list[bool] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "consumer", clean_session=False)
        self._client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]  # any number of seconds works
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._subscribed.append(True)
        self._client.on_message = self._take

    def __enter__(self) -> Consumer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def connect(self) -> None:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        if not wait_for(lambda: bool(self._subscribed), 10.0):
            raise EdgekitError("the rig's consumer could not subscribe")

    def _subscribe(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        client.subscribe("edgekit/+/events/#", qos=1)

    def _take(self, client: Any, userdata: Any, message: Any) -> None:
        event = json.loads(message.payload)
        self.received += 1
        self.happenings.setdefault(event["data"]["happening"], set()).add(event["id"])
        if self._acknowledges:
            client.publish("edgekit/rig/ack", event["id"], qos=1)


def wait_for(so: Callable[[], bool], seconds: float) -> bool:
    """Whether it came to be so in that time."""
    deadline = time.monotonic() + seconds
    while not so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
