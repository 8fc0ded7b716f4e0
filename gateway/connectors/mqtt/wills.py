"""The message that a client leaves behind."""

from typing import final

from gateway.connectors import side
from gateway.connectors.mqtt.addresses import destination_of
from gateway.connectors.mqtt.mapping import MqttOrigin, has_items, message_from, take_items
from gateway.core.destination import TOPIC
from gateway.core.flow import Publisher
from gateway.core.footprint import wire_bytes
from gateway.core.message import Message
from gateway.core.router import Broker
from protocols.mqtt.constants import WILL
from protocols.mqtt.frames import Publish, Will
from protocols.mqtt.properties import decode_properties


@final
class WillMessage:
    """The message that a client leaves behind (MQTT 5.0 §3.1.2.5)."""

    __slots__ = ("delay_s", "size", "version", "will")

    def __init__(self, will: Will, version: int) -> None:
        self.will = will
        self.version = version
        self.delay_s = will.delay_s
        self.size = wire_bytes(will.topic) + len(will.payload) + len(will.properties)
        """Bytes of it."""

    def message(self, broker: Broker, publisher: Publisher) -> Message:
        """The message to publish now; its expiry starts now (§3.1.3.2.4).  Raises InvalidName."""
        will = self.will
        expiry_s = -1
        if will.properties:
            found = decode_properties(will.properties).message_expiry_s
            expiry_s = -1 if found is None else found
        publish = Publish(
            will.payload,
            will.topic,
            0,
            will.qos,
            will.retain,
            False,
            0,
            will.properties,
            0,
            expiry_s,
            self.version,
        )
        items = has_items(publish)
        if items:
            take_items(publish)
        message = message_from(publish, destination_of(will.topic), broker, publisher, items)
        message.retain = message.retain and message.destination.kind == TOPIC
        # There is no packet that could go on as it is.
        message.origin = MqttOrigin(publish, 0)
        message.size = len(will.payload) + len(will.properties) + len(will.topic)
        return message


def claims_of(will: Will) -> str | None:
    """The user that a will claims to be from."""
    if side.PREFIX_BYTES not in will.properties:
        return None
    return side.routing(decode_properties(will.properties, WILL).user).claimed_user
