"""Which messages may have been delivered before, in an earlier run.

Deliveries are not written down.  After a crash all that a queue then held is suspect; after an orderly stop, what was in
a queue that had deliveries without an outcome.  This is noted for each queue as a sequence, since it must be known
until those messages have left, however often the gateway is stopped and started in between.
"""

from typing import TYPE_CHECKING, Final

from gateway.core.ports import SEQUENCE_MAX, Noted, QueueFound, Recovered, Store

if TYPE_CHECKING:
    from gateway.core.queue import Queue

SPACE: Final = "core.suspect"
"""Notes: a queue's number → the last suspect sequence."""


def note_suspects(store: Store, number: int, through: int) -> None:
    """Messages of a queue up to this sequence are suspect; 0 forgets it."""
    store.append(Noted(SPACE, str(number), str(through).encode() if through else None))


def read_suspects(found: Recovered) -> dict[int, int]:
    """What earlier runs have noted: a queue's number → the last suspect sequence."""
    notes = found.notes.get(SPACE, {})
    return {int(number): _sequence(value) for number, value in notes.items() if number.isdecimal()}


def _sequence(value: bytes) -> int:
    """Where the note is damaged, everything may have been delivered."""
    try:
        return int(value)
    except ValueError:
        return SEQUENCE_MAX


def suspect_since(queue: "Queue", found: QueueFound, noted: int, store: Store) -> None:
    """Let a recovered queue know its suspects; `noted` by an earlier run, 0 for none."""
    first = min([lane.first for lane in found.lanes], default=0)
    # Sequences above the last one are given anew.
    through = min(max(queue.suspect_through, noted), queue.last_sequence)
    if through < first:
        through = 0
    queue.suspect_through = through
    if through != noted:
        note_suspects(store, found.number, through)
