"""What the gateway believes of itself, held against what is there; each function answers with what does not agree.

`disagreements` holds between any two calls into the core, `waits_in_vain` while nothing goes on, `left_over` of a store
that was closed.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gateway.app import Gateway
from gateway.connectors.base import Connector
from gateway.core.contents import faults
from gateway.core.flow import Gate
from gateway.core.ports import SEQUENCE_BITS
from gateway.core.queue import Queue
from gateway.core.queue_key import NAMED, SESSION
from gateway.core.router import Broker
from gateway.core.suspects import SPACE as SUSPECTS
from gateway.core.unstored import RESIDENT_OVERHEAD
from gateway.store.segments import KEPT_SUFFIX, directory_of

READ: Final = (NAMED, SESSION)
"""Queues that somebody reads to the end in any case.  A shared one waits for its next member."""


def disagreements(gateway: Gateway) -> list[str]:
    """Of the queues, of what is counted of memory, and of who makes publishers wait."""
    broker = gateway.broker
    found: list[str] = []
    resident = 0
    for queue in broker.queues.values():
        found += [f"{queue.key}: {fault}" for fault in faults(queue)]
        contents = queue.contents
        resident += contents.resident_bytes + RESIDENT_OVERHEAD * contents.resident
    if resident != broker.resident_bytes:
        found.append(f"{resident} bytes are in memory, counted {broker.resident_bytes}")
    rooms = [queue.room for queue in broker.queues.values()]
    shut = sum(room.shut + room.share.shut for room in rooms)
    shut += broker.committing is not None
    shut += sum(connector.shut for connector in connectors(gateway))
    if shut != broker.places.shut:
        found.append(f"{shut} places make publishers wait, counted {broker.places.shut}")
    return found


def miscounted(gateway: Gateway, heard: int, published: int) -> list[str]:
    """What its status says, against what is there, and the messages that clients have heard and were confirmed."""
    status = gateway.status()
    went = sum(connector["messages_out"] for connector in status["connectors"])
    came = sum(connector["messages_in"] for connector in status["connectors"])
    found: list[str] = []
    if went < heard:
        found.append(f"{went} messages went by the status, and {heard} were received")
    for counted in (came, status["core"]["published"]):
        if counted < published:
            found.append(f"{counted} messages came by the status, and {published} were confirmed")
    if status["core"]["queues"] != len(gateway.broker.queues):
        found.append(
            f"{status['core']['queues']} queues by the status, {len(gateway.broker.queues)} are there"
        )
    return found


def unread(gateway: Gateway) -> list[str]:
    """What is left although everybody has read all there is."""
    broker = gateway.broker
    found = [
        f"{queue.key}: {queue.depth} messages are left"
        for queue in broker.queues.values()
        if queue.depth and queue.key.kind in READ
    ]
    due = sum(job.timing.cron is None for job in broker.schedule._heap)
    if due:
        found.append(f"{due} messages are still to be delivered, and were all due")
    return found


def connectors(gateway: Gateway) -> Iterator[Connector]:
    """Of all connections that there are."""
    for listener in gateway.listeners:
        for transport in listener.transports:
            if transport.connector is not None:
                yield transport.connector


def waits_in_vain(gateway: Gateway) -> list[str]:
    """Who could go on, and does not."""
    broker = gateway.broker
    found: list[str] = []
    for queue in broker.queues.values():
        if (fault := _is_not_delivered(queue)) is not None:
            found.append(f"{queue.key}: {fault}")
    known = _gates(gateway)
    for connector in connectors(gateway):
        for gate in connector.publisher._behind or ():
            if gate._open or gate not in known:
                found.append(f"{connector.peer} waits at a place that is gone")
            elif not known[gate]:
                found.append(f"{connector.peer} waits at a place that has room")
    if broker.store.congested and not broker.store.position > broker.store.durable:
        found.append("the store has nothing to do, and makes publishers wait")
    if broker.transactions_bytes and not any(_transactions(connector) for connector in connectors(gateway)):
        found.append(f"no transaction is open, and {broker.transactions_bytes} bytes are counted")
    return found


def _is_not_delivered(queue: Queue) -> str | None:
    backlog = queue.contents.backlog
    for consumer in queue.roster.all():
        standby = queue.roster.exclusive is not None and consumer is not queue.roster.exclusive
        if not consumer.ready or standby:
            continue
        selection = consumer.selection
        wanted = backlog.count if selection is None else selection.first() is not None
        if wanted or (queue.paged and selection is None):
            return f"{queue.waiting} messages wait, and a consumer that could take one"
    return None


def _gates(gateway: Gateway) -> dict[Gate, bool]:
    """All gates of places that are there; with whether it is right that they are shut."""
    broker = gateway.broker
    known: dict[Gate, bool] = {}
    for queue in broker.queues.values():
        if queue.room._gate is not None:
            known[queue.room._gate] = not queue.room.within(3, 4)
        if queue.room.share._gate is not None:
            # Others make room for it, of which it hears in its turn.
            known[queue.room.share._gate] = True
    for connector in connectors(gateway):
        if connector._slow_gate is not None:
            known[connector._slow_gate] = connector.shut
    if broker._gate is not None:
        known[broker._gate] = broker.store.congested
    return known


def _transactions(connector: Connector) -> Any:
    return getattr(connector, "_transactions", None)


def stored(broker: Broker) -> Counter[int]:
    """How many messages the store should have of each queue, by number, while nothing is delivered."""
    found: Counter[int] = Counter()
    for queue in broker.queues.values():
        if queue.number:
            kept = queue.paged + sum(delivery.stored for delivery in queue.browse())
            found[queue.number] = kept
    return found


def left_over(path: Path, expected: Counter[int], spaces: set[str]) -> list[str]:
    """What a closed store has that nobody needs, or lacks.

    `expected`: how many messages of each queue, by number, it should have; notes it may have of `spaces`.
    """
    database = sqlite3.connect(path)
    try:
        return [*_rows_left(database, expected, spaces), *_segments_left(database, path)]
    finally:
        database.close()


def _rows_left(database: sqlite3.Connection, expected: Counter[int], spaces: set[str]) -> list[str]:
    found: list[str] = []
    rows: Counter[int] = Counter()
    for number, count in database.execute(f"SELECT id >> {SEQUENCE_BITS}, count(*) FROM entry GROUP BY 1"):
        rows[number] = count
    queues = dict(database.execute("SELECT number, key FROM queue").fetchall())
    for number in sorted({*rows, *expected}):
        if rows[number] != expected[number]:
            name = queues.get(number, "one that is gone")
            found.append(f"queue {number} ({name}): {rows[number]} rows for {expected[number]} messages")
    for number in sorted(queues.keys() - expected.keys()):
        found.append(f"queue {number} ({queues[number]}) is kept, and nobody knows it")
    for table in ("gone", "fanout", "quarantine"):
        (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
        if count:
            found.append(f"{count} rows are left in {table}")
    for space, key in database.execute("SELECT space, key FROM note"):
        # What may have been delivered before is remembered as long as it is there.
        if space not in spaces and not (space == SUSPECTS and expected[int(key)]):
            found.append(f"a note is left of {space}: {key!r}")
    return found


def _segments_left(database: sqlite3.Connection, path: Path) -> list[str]:
    named = {f"{segment:010}.seg" for (segment,) in database.execute("SELECT DISTINCT segment FROM part")}
    directory = directory_of(path)
    there = {file.name for file in directory.iterdir()} if directory.is_dir() else set()
    # What a damaged store that is kept may name is kept too.
    there = {name for name in there if not name.endswith(KEPT_SUFFIX)}
    return [f"{name} is {'left' if name in there else 'missing'}" for name in sorted(there ^ named)]
