"""What a connection may do when (RFC 6455 §7): our direction and the peer's end apart."""

from typing import Final

OPEN: Final = "open"
CLOSE_SENT: Final = "close sent"
"""We have said Close, and wait for the peer's or for the end of the socket."""
CLOSED: Final = "closed"
"""Both have said it, or the peer broke the protocol: the socket is to be closed."""

SEND_CLOSE: Final = "send close"
RECEIVE_CLOSE: Final = "receive close"
FAIL: Final = "fail"

TRANSITIONS: Final[dict[tuple[str, str], str]] = {
    (OPEN, SEND_CLOSE): CLOSE_SENT,
    (OPEN, RECEIVE_CLOSE): CLOSED,
    (OPEN, FAIL): CLOSED,
    (CLOSE_SENT, RECEIVE_CLOSE): CLOSED,
    (CLOSE_SENT, FAIL): CLOSED,
}
"""What is not here does nothing: frames may cross each other on the wire."""
