"""What is legal when, as a table.  What is absent is a protocol error.

The server's side: NEW until a CONNECT has come, CONNECTING until it is answered, CONNECTED, DISCONNECTED after the
client's DISCONNECT (which may still be answered with a reason), CLOSING once we have said our last word.
"""

from typing import Final

from protocols.mqtt import constants as c

NEW: Final = 0
CONNECTING: Final = 1
CONNECTED: Final = 2
DISCONNECTED: Final = 3
CLOSING: Final = 4

STATE_NAMES: Final = ("new", "connecting", "connected", "disconnected", "closing")

_FROM_CLIENT: Final = (
    c.PUBLISH,
    c.PUBACK,
    c.PUBREC,
    c.PUBREL,
    c.PUBCOMP,
    c.SUBSCRIBE,
    c.UNSUBSCRIBE,
    c.PINGREQ,
    c.DISCONNECT,
    c.AUTH,
)

LEGAL: Final = {
    NEW: frozenset((c.CONNECT,)),
    # A client may send on before it has seen the CONNACK (§3.1.4); AUTH may be part of connecting (§4.12).
    CONNECTING: frozenset(_FROM_CLIENT),
    CONNECTED: frozenset(_FROM_CLIENT),
    DISCONNECTED: frozenset[int](),
    CLOSING: frozenset[int](),
}
"""Packets that a client may send in each state; a second CONNECT never ([MQTT-3.1.0-2])."""


def may_receive(state: int, packet_type: int) -> bool:
    """May a client send such a packet now?"""
    return packet_type in LEGAL[state]
