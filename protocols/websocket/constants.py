"""The tables of RFC 6455."""

from typing import Final

# Opcodes (§5.2).
CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
RSV1: Final = 0x40
"""The message is compressed (RFC 7692 §6)."""
RSV2_RSV3: Final = 0x30
MASKED: Final = 0x80

CONTROL_MAX: Final = 125
"""Bytes of a control frame's payload (§5.5)."""

# Close codes (§7.4.1, and the registry it founded).
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013

# What the protocol inside may be carried in.
EITHER: Final = 0
TEXT_ONLY: Final = TEXT
BINARY_ONLY: Final = BINARY


def may_be_received(code: int) -> bool:
    """May a Close frame carry this code (§7.4.1, §7.4.2)?"""
    if 1000 <= code <= 1014:
        return code not in (1004, NO_STATUS, ABNORMAL)
    return 3000 <= code <= 4999
