"""What is legal when.  The tables are the whole truth; tests walk every pair."""

from typing import Final

from protocols.stomp.constants import (
    ABORT,
    ACK,
    BEGIN,
    COMMAND_NAMES,
    COMMIT,
    CONNECT,
    DISCONNECT,
    NACK,
    SEND,
    SUBSCRIBE,
    UNSUBSCRIBE,
)
from protocols.stomp.errors import FrameNotAllowed

NEW: Final = 0
"""Nothing but CONNECT may come (§Connecting)."""
CONNECTED: Final = 1
"""From the client's CONNECT on: it may send more without waiting for our CONNECTED."""
CLOSING: Final = 2
"""After DISCONNECT or ERROR: what the peer still sends is not looked at (§ERROR, §DISCONNECT)."""

STATES: Final = (NEW, CONNECTED, CLOSING)

TRANSITIONS: Final[dict[tuple[int, int], int]] = {
    (NEW, CONNECT): CONNECTED,
    (CONNECTED, SEND): CONNECTED,
    (CONNECTED, SUBSCRIBE): CONNECTED,
    (CONNECTED, UNSUBSCRIBE): CONNECTED,
    (CONNECTED, ACK): CONNECTED,
    (CONNECTED, NACK): CONNECTED,
    (CONNECTED, BEGIN): CONNECTED,
    (CONNECTED, COMMIT): CONNECTED,
    (CONNECTED, ABORT): CONNECTED,
    (CONNECTED, DISCONNECT): CLOSING,
}
"""(state, command of a whole frame from the client) to state; what is absent is the peer's error."""


def after(state: int, command: int) -> int:
    """The state after `command`.  Raises FrameNotAllowed."""
    if command == SEND and state == CONNECTED:
        # As the table says, without asking it.
        return CONNECTED
    follows = TRANSITIONS.get((state, command))
    if follows is not None:
        return follows
    if state == NEW:
        raise FrameNotAllowed(f"{COMMAND_NAMES[command]} before CONNECT")
    if command == CONNECT:
        raise FrameNotAllowed("a second CONNECT")
    raise FrameNotAllowed(f"{COMMAND_NAMES[command]} after the end of the connection")
