"""Unmasking (RFC 6455 §5.3): what every byte of every client has to go through."""

from typing import Final

from librt.strings import BytesWriter, read_i64_le, write_i64_le
from mypy_extensions import i64, u8

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

COMPILED: Final = not __file__.endswith(".py")

# Compiled, eight bytes a step beat a call into the package's C function up to about this size; it has wider steps.
STEPS_MAX: Final = 1_024 if COMPILED else 0


def unmask(out: BytesWriter, data: bytes, start: i64, end: i64, mask: i64) -> None:
    """Append `data[start:end]` to `out`, unmasked.  `mask` is the key, its first byte the lowest."""
    if end - start > STEPS_MAX:
        key = int(mask).to_bytes(4, "little")
        out.write(apply_mask(data[start:end], key))
        return
    wide: i64 = mask | mask << 32
    pos = start
    while pos + 8 <= end:
        write_i64_le(out, read_i64_le(data, pos) ^ wide)
        pos += 8
    while pos < end:
        out.append(u8((data[pos] ^ wide) & 0xFF))
        wide >>= 8
        pos += 1


def rotated(mask: i64, count: i64) -> i64:
    """The key as it stands after `count` bytes."""
    shift = (count & 3) * 8
    return (mask >> shift | mask << (32 - shift)) & 0xFFFFFFFF
