"""A paho client set up as the settings say."""

from __future__ import annotations

import logging
import random
import ssl
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.properties import Properties

    from edgekit.sinks.mqtt import MqttSettings

log = logging.getLogger(__name__)

IN_FLIGHT = 20  # what brokers take unacknowledged from one client by default; paho queues the rest, in order
HELD = 2000  # events that paho may hold, above any window: it queues without a bound unless told


def open_client(settings: MqttSettings, client_id: str, tls: ssl.SSLContext | None) -> Client:
    """A client that is not connected yet and knows no password. `EdgekitError` where paho-mqtt is not installed."""
    try:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as error:
        raise EdgekitError("MQTT needs paho-mqtt: pip install 'edgekit[mqtt]'") from error
    if settings.version == "5":
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
    else:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False)
    if tls is not None:
        client.tls_set_context(tls)
    elif settings.password is not None:
        log.warning("the broker's password travels unencrypted: there is no [sinks.mqtt.tls]")
    client.connect_timeout = settings.connect_s
    client.max_inflight_messages_set(IN_FLIGHT)
    client.max_queued_messages_set(HELD)
    # paho doubles the wait, without jitter; so that a shop's devices are not in step, each has a first wait of its own
    first_s = settings.retry_s * random.uniform(0.5, 1.0)
    client.reconnect_delay_set(first_s, settings.retry_cap_s)  # type: ignore[arg-type]  # any number of seconds works
    return client


def session(settings: MqttSettings) -> dict[str, Any]:
    """What connecting needs so that the broker keeps the session; in version 3.1.1 that is the client's
    `clean_session`."""
    if settings.version != "5":
        return {}
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = settings.session_s
    return {"clean_start": False, "properties": properties}


def event_properties(version: str) -> Properties | None:
    """What version 5 says of a message in CloudEvents JSON (the MQTT binding's structured mode)."""
    if version != "5":
        return None
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/cloudevents+json; charset=utf-8"
    properties.PayloadFormatIndicator = 1
    return properties
