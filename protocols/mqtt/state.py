"""What is legal when, as a table.  What is absent is a protocol error.

The server's side: NEW until a CONNECT has come, CONNECTING while it (or an AUTH) waits for our answer, AUTHENTICATING
while our AUTH waits for the client's, CONNECTED, DISCONNECTED after the client's DISCONNECT (which may still be
answered with a reason), CLOSING once we have said our last word.
"""

from typing import Final

from protocols.mqtt import constants as c

NEW: Final = 0
CONNECTING: Final = 1
AUTHENTICATING: Final = 2
CONNECTED: Final = 3
DISCONNECTED: Final = 4
CLOSING: Final = 5

STATE_NAMES: Final = ("new", "connecting", "authenticating", "connected", "disconnected", "closing")

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
    # A client may send on before it has seen the CONNACK (§3.1.4); it is kept until there is one.
    CONNECTING: frozenset[int](),
    # [MQTT-4.12.0-2 to -5]: nothing else until the CONNACK.
    AUTHENTICATING: frozenset((c.AUTH, c.DISCONNECT)),
    CONNECTED: frozenset(_FROM_CLIENT),
    DISCONNECTED: frozenset[int](),
    CLOSING: frozenset[int](),
}
"""Packets that a client may send in each state; a second CONNECT never ([MQTT-3.1.0-2])."""


# The same as bits, by state: it is asked for each packet that is no PUBLISH.
_BITS: Final = [sum(1 << packet_type for packet_type in LEGAL[state]) for state in range(len(STATE_NAMES))]


def may_receive(state: int, packet_type: int) -> bool:
    """May a client send such a packet now?"""
    return _BITS[state] >> packet_type & 1 != 0
