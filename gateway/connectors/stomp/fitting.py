"""No MESSAGE has more in its headers than we would take back in a SEND: what does not fit is named in `x-mx-omit`."""

from typing import Final, final

from gateway.connectors.stomp.escaping import LIST_NAME, encode_lines
from gateway.connectors.text import encode_name
from protocols.stomp.headers import encode_header

OMIT_NAME: Final = "x-mx-omit"

SERVERS_BYTES: Final = 2_048
"""Left for what a server writes itself, beside the destination."""
SERVERS_LINES: Final = 16

_NAME_SHOWN_MAX: Final = 255
"""Characters of the name of something that was left out."""
_LIST_BYTES_MAX: Final = 4_096
"""How long that list gets: the counters have all."""
_ROUNDS_MAX: Final = 16


@final
class Room:
    """What the head of a frame may hold."""

    __slots__ = ("bytes_max", "line_bytes_max", "lines_max")

    def __init__(self, lines_max: int, bytes_max: int, line_bytes_max: int) -> None:
        self.lines_max = lines_max
        self.bytes_max = bytes_max
        self.line_bytes_max = line_bytes_max

    def holds(self, lines: list[bytes], destination: int) -> bool:
        """Is there room for these lines, where the destination takes so many bytes?"""
        if len(lines) + SERVERS_LINES > self.lines_max:
            return False
        size = SERVERS_BYTES + destination + len(lines)
        longest = 0
        for line in lines:
            size += len(line)
            if len(line) > longest:
                longest = len(line)
        return size <= self.bytes_max and longest <= self.line_bytes_max


def fitted_lines(
    headers: list[tuple[str, str]], version: str, exact: bool, room: Room, destination: int, says_so: bool
) -> tuple[list[bytes], list[str]]:
    """Header lines for `version` that fit, and the names of the headers that were left out, the largest first."""
    lines = encode_lines(headers, version, exact)
    if room.holds(lines, destination):
        return lines, []
    omitted: list[tuple[str, int]] = []
    kept: list[tuple[str, str]] = []
    sizes: list[int] = []
    plain = len(lines) == len(headers)
    for at, (name, value) in enumerate(headers):
        # With its place among the escaped ones, if there are any.
        alone = lines[at : at + 1] if plain else encode_lines([(name, value)], version, exact)
        if len(alone[0]) > room.line_bytes_max:
            omitted.append((name, len(value.encode())))
        else:
            kept.append((name, value))
            sizes.append(sum([len(line) for line in alone]))
    for attempt in range(_ROUNDS_MAX):
        lines = encode_lines(kept, version, exact)
        if says_so:
            lines.append(encode_header(OMIT_NAME, _listed(omitted), version))
        excess = SERVERS_BYTES + destination + sum([len(line) + 1 for line in lines]) - room.bytes_max
        too_many = len(lines) + SERVERS_LINES - room.lines_max
        escapes = _length_of(lines, LIST_NAME) - room.line_bytes_max
        if attempt == _ROUNDS_MAX - 1:
            # Names longer than what they name: then without all that.
            excess = room.bytes_max
        if excess <= 0 and too_many <= 0 and escapes <= 0:
            break
        gone = _largest(sizes, max(excess, 2 * escapes), too_many)
        omitted.extend([(kept[at][0], len(kept[at][1].encode())) for at in gone])
        lost = frozenset(gone)
        kept = [pair for at, pair in enumerate(kept) if at not in lost]
        sizes = [size for at, size in enumerate(sizes) if at not in lost]
    return lines, [name for name, _ in omitted]


def _largest(sizes: list[int], excess: int, count: int) -> list[int]:
    """Where the largest are that together have `excess` bytes, and are at least `count`."""
    order = sorted([(-size, at) for at, size in enumerate(sizes)])
    gone: list[int] = []
    for size, at in order:
        if excess <= 0 and len(gone) >= count:
            break
        gone.append(at)
        excess += size
    return gone


def _length_of(lines: list[bytes], name: str) -> int:
    start = name.encode() + b":"
    for line in lines:
        if line.startswith(start):
            return len(line)
    return 0


def _listed(omitted: list[tuple[str, int]]) -> str:
    entries: list[str] = []
    size = 0
    for name, length in omitted:
        shown = name if len(name) <= _NAME_SHOWN_MAX else name[:_NAME_SHOWN_MAX] + "…"
        entry = f"{encode_name(shown)}({length})"
        size += len(entry.encode()) + 1
        if size > _LIST_BYTES_MAX:
            break
        entries.append(entry)
    return ",".join(entries)
