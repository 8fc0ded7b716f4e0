"""How a session is written to the store and read back.

| space | key | value |
|---|---|---|
| mqtt.session | client id | number, expiry, when it lost its connection, user, will |
| mqtt.subscription | client id, filter | the options of one subscription, and the number of its session |
| mqtt.received | client id, packet id | the message's checksum: of QoS 2, it has come, its PUBREL has not |
| mqtt.sent | client id, packet id | which message was sent under it, and whether its PUBREC has come |

What waits for the client is in a queue, which the core brings back.  At QoS 1 packet ids are written at an orderly stop
only: after a crash, what was not acknowledged is sent again under a new one.  Of a QoS 2 message that is not kept the
packet id is: the client may have the message, and take another one under that id for a repetition.

Of a session that ends with its connection there is a row as long as it has a will, which is due after a crash.

A session has a number, since its subscriptions may be forgotten some time after itself: those with another number than
the session's are an earlier one's.
"""

import json
from base64 import b64decode, b64encode
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from gateway.core.delivery import Delivery
from gateway.core.ports import NOTHING, Noted
from protocols.mqtt.frames import Will

if TYPE_CHECKING:
    from gateway.connectors.mqtt.binding import MqttSubscription
    from gateway.connectors.mqtt.session import MqttSession

SESSION: Final = "mqtt.session"
SUBSCRIPTION: Final = "mqtt.subscription"
RECEIVED: Final = "mqtt.received"

UNKNOWN: Final = -1
"""The checksum of a message of which only the packet id is known."""
SENT: Final = "mqtt.sent"

NOT_KEPT: Final = 0
"""In place of the number of a queue: the message ends with the process."""

AT_QOS_2: Final = 0
"""Sent at QoS 2, and its PUBREC has not come."""
PUBREC_CAME: Final = 1
"""Its PUBREC has."""
AT_QOS_1: Final = 2
"""Sent at QoS 1.  Earlier versions wrote AT_QOS_2 for that."""

# Queue, sequence, and which of these.
_SENT: Final = Struct("<IQB")


def _key(session: "MqttSession", rest: str) -> str:
    """Client ids and filters hold no U+0000 (MQTT 5.0 §1.5.4)."""
    return f"{session.client_id}\0{rest}"


def split_key(key: str) -> tuple[str, str]:
    """The client id, and what follows it."""
    client_id, _, rest = key.partition("\0")
    return client_id, rest


# -- writing; each returns the position to wait for, NOTHING for a session that is not kept


def note_session(session: "MqttSession") -> int:
    """Its expiry, clock and will, as they are now."""
    will = session.will
    if not session.noted:
        if not session.will_noted:
            return NOTHING
        if will is None:
            session.will_noted = False
            return _put(session, SESSION, session.client_id, None)
    state: dict[str, Any] = {
        "whole": session.noted,
        "number": session.number,
        "expiry_s": session.expiry_s,
        "ended_at_ms": session.ended_at_ms,
        "user": session.publisher.user,
        "will": None if will is None else _will_out(will.will, will.version),
        "will_due_ms": session.will_due_ms,
    }
    return _put(session, SESSION, session.client_id, json.dumps(state).encode())


def note_subscription(session: "MqttSession", subscription: "MqttSubscription") -> int:
    """One subscription, new or with other options."""
    if not session.noted:
        return NOTHING
    binding = subscription.binding
    identifier = binding.identifiers[0] if binding.identifiers else 0
    options = [
        binding.qos,
        binding.no_local is not None,
        binding.retain_as_published,
        identifier,
        session.number,
    ]
    return _put(session, SUBSCRIPTION, _key(session, subscription.filter.text), json.dumps(options).encode())


def forget_subscription(session: "MqttSession", text: str) -> int:
    """The client has unsubscribed."""
    return _put(session, SUBSCRIPTION, _key(session, text), None) if session.noted else NOTHING


def note_received(session: "MqttSession", packet_id: int, checksum: int) -> int:
    """A QoS 2 message has come under this packet id."""
    if not session.noted:
        return NOTHING
    return _put(session, RECEIVED, _key(session, str(packet_id)), checksum.to_bytes(4, "big"))


def checksum_of(value: bytes) -> int:
    """What `note_received` has written; UNKNOWN where that was before there were checksums."""
    return int.from_bytes(value, "big") if len(value) == 4 else UNKNOWN


def forget_received(session: "MqttSession", packet_id: int) -> int:
    """Its PUBREL has come: the packet id may mean another message now."""
    return _put(session, RECEIVED, _key(session, str(packet_id)), None) if session.noted else NOTHING


def note_sent(session: "MqttSession", packet_id: int, delivery: Delivery, state: int) -> int:
    """A message goes out under this packet id; `state` is AT_QOS_2, AT_QOS_1, or PUBREC_CAME."""
    if not session.noted:
        return NOTHING
    if delivery.stored:
        value = _SENT.pack(delivery.queue.number, delivery.sequence, state)
    elif state == PUBREC_CAME:
        # Nothing that is not known.
        return NOTHING
    else:
        value = _SENT.pack(NOT_KEPT, 0, AT_QOS_2)
    return _put(session, SENT, _key(session, str(packet_id)), value)


def note_left(session: "MqttSession", packet_id: int) -> int:
    """The message that was sent under it is gone; the packet id means no other one before its PUBCOMP."""
    if not session.noted:
        return NOTHING
    return _put(session, SENT, _key(session, str(packet_id)), _SENT.pack(NOT_KEPT, 0, AT_QOS_2))


def forget_sent(session: "MqttSession", packet_id: int) -> int:
    """The exchange is finished."""
    return _put(session, SENT, _key(session, str(packet_id)), None) if session.noted else NOTHING


def forget_session(session: "MqttSession") -> None:
    """The session ends.  Its subscriptions are forgotten one by one."""
    if session.will_noted:
        session.will_noted = False
        _put(session, SESSION, session.client_id, None)
    if session.noted:
        for packet_id in session.received or ():
            forget_received(session, packet_id)
        for packet_id in (*(session.inflight or ()), *sorted(session.left_ids or ())):
            forget_sent(session, packet_id)
        _put(session, SESSION, session.client_id, None)


def _put(session: "MqttSession", space: str, key: str, value: bytes | None) -> int:
    return session.broker.store.append(Noted(space, key, value))


# -- reading back


def read_session(session: "MqttSession", value: bytes) -> tuple[Will, int] | None:
    """Fill `session`; returns its will and the version that it was written in.  The will is the caller's to set."""
    state = json.loads(value)
    session.noted = state.get("whole", True)
    session.will_noted = not session.noted
    session.number = state.get("number", 0)
    session.expiry_s = state["expiry_s"]
    session.ended_at_ms = state["ended_at_ms"]
    session.will_due_ms = state["will_due_ms"]
    session.publisher.user = state["user"]
    return None if state["will"] is None else _will_in(state["will"])


def read_subscription(value: bytes) -> tuple[int, bool, bool, int, int]:
    """QoS, no local, retain as published, identifier, and the number of the session: 0 in stores of earlier versions."""
    options = json.loads(value)
    qos, no_local, retain_as_published, identifier = options[:4]
    return qos, no_local, retain_as_published, identifier, options[4] if len(options) > 4 else 0


def read_sent(value: bytes) -> tuple[int, int, int]:
    """Queue number, sequence, and its state: see `note_sent`."""
    queue, sequence, state = _SENT.unpack(value)
    return queue, sequence, state


def _will_out(will: Will, version: int) -> list[Any]:
    return [
        will.topic,
        b64encode(will.payload).decode(),
        will.qos,
        will.retain,
        b64encode(will.properties).decode(),
        will.delay_s,
        version,
    ]


def _will_in(row: list[Any]) -> tuple[Will, int]:
    topic, payload, qos, retain, properties, delay_s, version = row
    return Will(topic, b64decode(payload), qos, retain, b64decode(properties), delay_s), version
