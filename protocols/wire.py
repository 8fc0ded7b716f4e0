"""Integers and strings as wires carry them, for all rooms.  The caller has checked that the bytes are there."""


def u16(data: bytes, pos: int) -> int:
    """Two bytes, big-endian, at `pos`."""
    return data[pos] << 8 | data[pos + 1]


def u32(data: bytes, pos: int) -> int:
    """Four bytes, big-endian, at `pos`."""
    return data[pos] << 24 | data[pos + 1] << 16 | data[pos + 2] << 8 | data[pos + 3]


def pack_u16(value: int) -> bytes:
    """`value` as two bytes, big-endian."""
    return value.to_bytes(2, "big")


def pack_u32(value: int) -> bytes:
    """`value` as four bytes, big-endian."""
    return value.to_bytes(4, "big")
