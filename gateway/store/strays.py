"""Large records of which the row that names their place is lost: found again in their segments.

A segment is records one after the other, without marks between them.  What a record begins with is regular enough to be
looked for, and its checksum says whether it was one.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gateway.core.ports import SEQUENCE_BITS
from gateway.core.record import Head, head_of
from gateway.store.database import Database
from gateway.store.segments import Place, directory_of, segments_in

EXTRA_MAX: Final = 262_144
"""Bytes of a record beside its body: headers and names, which every protocol bounds."""

_START: Final = re.compile(rb"....\x01[\x00-\x1f].(?:.\x00|\xff\xff).{7}\x00.{6}\x00\x00", re.DOTALL)
"""Checksum, form, protocol, flags, priority, number, time: what each record begins with."""


class Stray(NamedTuple):
    """A whole record that no row names."""

    place: Place
    head: Head


class Wanted(NamedTuple):
    """A message whose record is wanted."""

    id: int
    size: int
    expires: int
    queue: str
    """The name of its queue, as keys have it; empty where that is lost."""


def find_strays(store: Path, copy: Database) -> int:
    """Give the entries in `copy` that have no record the ones that must be theirs; returns how many."""
    wanted = _wanted(copy)
    if not wanted:
        return 0
    strays: dict[tuple[int, int], list[Stray]] = {}
    for stray in _strays(store, copy):
        strays.setdefault((stray.head.size, stray.head.expires_at_ms), []).append(stray)
    groups: dict[tuple[int, int, str], list[Wanted]] = {}
    for message in wanted:
        groups.setdefault((message.size, message.expires, message.queue), []).append(message)
    found = 0
    for (size, expires, queue), messages in groups.items():
        likely = _likely(strays.get((size, expires), []), queue)
        # Those that left were mostly the older ones; numbers rise with the order in a queue.
        for message, stray in zip(reversed(messages), reversed(likely), strict=False):
            copy.execute("INSERT INTO part VALUES (?,?,?,?)", (message.id, *stray.place))
            found += 1
    return found


def _wanted(copy: Database) -> list[Wanted]:
    """In order of their keys."""
    names = dict(copy.rows("SELECT number, key FROM queue"))
    return [
        Wanted(id, size, expires, names.get(id >> SEQUENCE_BITS, ""))
        for id, size, expires in copy.rows(
            "SELECT id, size, expires FROM entry WHERE record = x'' AND id NOT IN (SELECT id FROM part) ORDER BY id"
        )
    ]


def _likely(strays: list[Stray], queue: str) -> list[Stray]:
    """Those that were sent to this queue, if any were; in order of their numbers."""
    sent = [stray for stray in strays if queue == f"queue:{stray.head.name}"]
    return sorted(sent or strays, key=lambda stray: stray.head.id)


def _strays(store: Path, copy: Database) -> Iterator[Stray]:
    for number, path in segments_in(directory_of(store)).items():
        try:
            data = path.read_bytes()
        except OSError:
            continue
        rows = copy.rows(
            "SELECT DISTINCT offset, length FROM part WHERE segment = ? ORDER BY offset", (number,)
        )
        at = 0
        for offset, length in [*rows, (len(data), 0)]:
            yield from _in_gap(data, number, at, min(offset, len(data)))
            at = max(at, offset + length)


def _in_gap(data: bytes, segment: int, at: int, end: int) -> Iterator[Stray]:
    """The records between two that are named."""
    starts = [match.start() for match in _START.finditer(data, at, end)]
    edges = sorted({at, *starts, end})
    for place, start in enumerate(edges[:-1]):
        if start < at:
            # Within the record before.
            continue
        head = head_of(data, start)
        if head is None:
            continue
        least = start + head.size
        most = least + EXTRA_MAX
        for edge in edges[place + 1 :]:
            if edge > most:
                break
            if edge >= least and head.is_whole(data, start, edge):
                yield Stray(Place(segment, start, edge - start), head)
                at = edge
                break
