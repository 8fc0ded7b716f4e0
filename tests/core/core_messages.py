"""Short ways to messages for the core's tests, and to what they are sent to."""

from core_doubles import COMPILED

from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.flow import Publisher
from gateway.core.message import PRIORITY_NONE, Fields, Message, Origin
from gateway.core.pattern import MANY, ONE, Pattern
from gateway.core.router import Broker

if not COMPILED:

    class BodyOrigin(Origin):
        """A bare body."""

        __slots__ = ("_body",)

        def __init__(self, body: bytes) -> None:
            self._body = body

        def body(self) -> bytes:
            return self._body

        def decode(self) -> Fields:
            fields = Fields()
            fields.subject = self._body.decode()
            return fields


def pattern(text: str) -> Pattern:
    """`a.*.>`: ONE is written `*`, MANY `>`."""
    return Pattern(tuple([ONE if x == "*" else MANY if x == ">" else x for x in text.split(".")]))


def origin_of(body: bytes) -> Origin:
    if not COMPILED:
        return BodyOrigin(body)
    from gateway.connectors.mqtt.mapping import MqttOrigin
    from protocols.mqtt.frames import Publish

    return MqttOrigin(Publish(body, "t", 0, 2, False, False, 1, b"", 0, -1, 4), 0)


def message(
    broker: Broker,
    to: str = "q",
    body: bytes = b"x",
    *,
    kind: int = QUEUE,
    persistent: bool = False,
    priority: int = PRIORITY_NONE,
    expires_at_ms: int = 0,
    retain: bool = False,
    publisher: Publisher | None = None,
    size: int = 0,
) -> Message:
    return Message(
        broker.next_message_id(),
        Destination(kind, to),
        origin_of(body),
        size or len(body),
        broker.now_ms,
        persistent,
        2,
        retain,
        priority,
        expires_at_ms,
        publisher,
    )


def topic_message(
    broker: Broker, to: str, body: bytes = b"x", *, retain: bool = False, persistent: bool = False
) -> Message:
    return message(broker, to, body, kind=TOPIC, retain=retain, persistent=persistent)
