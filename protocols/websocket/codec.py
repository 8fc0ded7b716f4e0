"""Frames as a server writes them: never masked (RFC 6455 §5.1)."""

from typing import Final

from protocols.websocket.constants import CLOSE, CONTROL_MAX, FIN, NO_STATUS

REASON_BYTES_MAX: Final = CONTROL_MAX - 2


def frame_head(first: int, size: int) -> bytes:
    """What stands before `size` bytes of payload; `first` is FIN, RSV bits and opcode (§5.2)."""
    if size <= 125:
        return bytes((first, size))
    if size <= 0xFFFF:
        return bytes((first, 126, size >> 8, size & 0xFF))
    return bytes((first, 127)) + size.to_bytes(8, "big")


def encode_control(opcode: int, payload: bytes) -> bytes:
    """A Ping or Pong; at most 125 bytes of payload (§5.5)."""
    assert len(payload) <= CONTROL_MAX
    return bytes((FIN | opcode, len(payload))) + payload


def encode_close(code: int, reason: str) -> bytes:
    """A Close; NO_STATUS is written as no payload at all (§7.4.1).  A reason that is too long is cut."""
    if code == NO_STATUS:
        return bytes((FIN | CLOSE, 0))
    text = reason.encode()[:REASON_BYTES_MAX]
    # A character that the cut went through must not spoil the UTF-8 (§5.5.1).
    text = text.decode("utf-8", "ignore").encode()
    return encode_control(CLOSE, code.to_bytes(2, "big") + text)
