"""What a store holds at start, and what becomes of a store that cannot be read in full.

A damaged file is never written to: it gets another name, what can be read of it is copied into a new file, and what
cannot is named in a report.
"""

import logging
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any, Final

from gateway.core.ports import SEQUENCE_BITS, LaneFound, QueueFound, Recovered
from gateway.store.database import Database
from gateway.store.errors import StoreDamaged, StoreError, StoreRefused
from gateway.store.schema import (
    FANOUT_SINCE,
    PARTS_SINCE,
    Opener,
    configure,
    create,
    look,
    migrate,
    missing_from,
    size_of,
    sync_directory,
)

log = logging.getLogger("gateway.store")

COPIED_PER_STEP: Final = 1_000
"""Rows copied in one transaction."""

_COPIED_TABLES: Final = {
    "meta": "key, value",
    "queue": "number, key, note",
    "gone": "number",
    "retained": "topic, record",
    "note": "space, key, value",
    "quarantine": "place, reason, record",
    "part": "id, segment, offset, length",
    "fanout": "id, lane, size, expires, record, copies",
}

_SINCE: Final = {"part": PARTS_SINCE, "fanout": FANOUT_SINCE}
"""Tables that older versions do not have."""


Lanes = dict[int, list[LaneFound]]
"""Queue number → what each of its lanes holds."""


def open_database(path: Path, opener: Opener, damages: list[str]) -> tuple[Database, Lanes]:
    """The store at `path`, made if it is not there, saved if it is damaged (`damages` then says what was lost)."""
    prepare(path)
    if not path.exists():
        create(path, opener)
    look(path)
    try:
        database = _open(path, opener)
        try:
            return database, _touch_everything(database)
        except StoreDamaged:
            database.close()
            raise
    except StoreDamaged as error:
        damages.append(str(error))
        cut = missing_from(path)
        if cut is not None:
            damages.append(f"{path}: offset {cut}: the file ends here, parts are missing")
        database = _save(path, opener, damages)
        return database, lanes(database)


def prepare(path: Path) -> None:
    """See that there can be a store at `path`.  Raises StoreRefused."""
    if path.is_dir():
        raise StoreRefused(f"{path}: a directory, where the store's file should be")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreRefused(f"{path.parent}: {error.strerror or error}") from None
    for needed in (path.parent, path):
        if needed.exists() and not os.access(needed, os.W_OK):
            raise StoreRefused(f"{needed}: not writable")


def _open(path: Path, opener: Opener) -> Database:
    database = opener(str(path))
    try:
        configure(path, database)
        migrate(path, database)
    except StoreError:
        database.close()
        raise
    return database


def _touch_everything(database: Database) -> Lanes:
    """Read every page that a start needs: damage shows here, not in the middle of service."""
    found = lanes(database)
    for table, columns in _COPIED_TABLES.items():
        database.rows(f"SELECT count(*), max(length({columns.split(', ')[-1]})) FROM {table}")
    return found


def lanes(database: Database) -> Lanes:
    """What is in the queues: one walk over all messages."""
    found: Lanes = {}
    mask = (1 << SEQUENCE_BITS) - 1
    for number, lane, count, size, first, last, expires in database.rows(
        f"SELECT id >> {SEQUENCE_BITS}, lane, count(*), sum(size), min(id), max(id),"
        " min(CASE WHEN expires > 0 THEN expires END) FROM entry GROUP BY 1, 2"
    ):
        found.setdefault(number, []).append(
            LaneFound(lane, count, size, first & mask, last & mask, expires or 0)
        )
    return found


def add_lanes(found: Lanes, more: Lanes) -> None:
    """Count what is in `more` among `found`."""
    for number, lanes in more.items():
        mine = {lane.lane: lane for lane in found.get(number, [])}
        for lane in lanes:
            same = mine.get(lane.lane)
            mine[lane.lane] = lane if same is None else _sum(same, lane)
        found[number] = [mine[lane] for lane in sorted(mine)]


def _sum(one: LaneFound, other: LaneFound) -> LaneFound:
    expires = [at for at in (one.expires_at_ms, other.expires_at_ms) if at]
    return LaneFound(
        one.lane,
        one.count + other.count,
        one.bytes + other.bytes,
        min(one.first, other.first),
        max(one.last, other.last),
        min(expires, default=0),
    )


def recover(database: Database, found_lanes: Lanes) -> Recovered:
    """Everything but the bodies in queues, of which `lanes` has told; see `count_start`."""
    by_number = dict(found_lanes)
    queues = [
        QueueFound(number, key, note, by_number.pop(number, []))
        for number, key, note in database.rows("SELECT number, key, note FROM queue ORDER BY number")
    ]
    gone = {row[0] for row in database.rows("SELECT number FROM gone")}
    # Entries without their queue can only come of damage: their name is lost, they are not.
    for number, found in by_number.items():
        if number not in gone:
            key = f"queue:recovered.{number}"
            log.error("store: the name of queue %d is lost; its messages are in %s", number, key)
            database.execute("INSERT INTO queue VALUES (?,?,x'')", (number, key))
            queues.append(QueueFound(number, key, b"", found))
    notes: dict[str, dict[str, bytes]] = {}
    for space, key, value in database.rows("SELECT space, key, value FROM note"):
        notes.setdefault(space, {})[key] = value
    retained = [(topic, record) for topic, record in database.rows("SELECT topic, record FROM retained")]
    meta: dict[str, int] = dict(database.rows("SELECT key, value FROM meta"))
    epoch = meta.get("epoch", 0) + 1
    used = {queue.number for queue in queues} | gone | _numbers_left(database)
    return Recovered(epoch, bool(meta.get("clean", 0)), queues, retained, notes, used)


def count_start(database: Database, epoch: int) -> None:
    """Have the store remember this start, which has not ended in order yet."""
    database.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?), ('clean', 0)", (epoch,))


def _numbers_left(database: Database) -> set[int]:
    """Numbers of queues that are no more, which places and what was set aside still bear."""
    parts = {row[0] for row in database.rows(f"SELECT DISTINCT id >> {SEQUENCE_BITS} FROM part")}
    places = [row[0] for row in database.rows("SELECT place FROM quarantine")]
    return parts | {int(found[1]) for place in places if (found := _PLACE.match(place)) is not None}


_PLACE: Final = re.compile(r"queue (\d+), message \d+$")


# -- saving what can be read


def _save(path: Path, opener: Opener, damages: list[str]) -> Database:
    """Copy what can be read into a new file, under the store's name; the damaged one is kept beside it, untouched."""
    kept = _free_name(path)
    # SQLite would write to what it reads: it carries over its log, and refuses a file that is too short.
    work = path.with_name(path.name + ".work")
    fresh = path.with_name(path.name + ".saved")
    for suffix in SUFFIXES:
        for name in (work, fresh):
            name.with_name(name.name + suffix).unlink(missing_ok=True)
        if suffix != "-shm" and path.with_name(path.name + suffix).exists():
            shutil.copyfile(path.with_name(path.name + suffix), work.with_name(work.name + suffix))
    size = size_of(path)
    if work.stat().st_size < size:
        os.truncate(work, size)
    create(fresh, opener)
    copy = opener(str(fresh))
    try:
        configure(fresh, copy)
        source = opener(str(work))
        try:
            _copy_readable(source, copy, damages)
            copy.execute("DELETE FROM part WHERE id NOT IN (SELECT id FROM entry)")
        finally:
            source.close()
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        copy.close()
    for suffix in SUFFIXES:
        work.with_name(work.name + suffix).unlink(missing_ok=True)
        old = path.with_name(path.name + suffix)
        if old.exists():
            os.replace(old, kept.with_name(kept.name + suffix))
    os.replace(fresh, path)
    sync_directory(path.parent)
    damages.append(f"{path}: was damaged; it is kept as {kept}, what could be read goes on")
    return _open(path, opener)


SUFFIXES: Final = ("", "-wal", "-shm")
"""The files that make one SQLite database."""


def _free_name(path: Path) -> Path:
    """Where the damaged file is to be kept."""
    base = f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    kept = path.with_name(base)
    number = 1
    while kept.exists():
        kept = path.with_name(f"{base}-{number}")
        number += 1
    return kept


def _copy_readable(source: Database, copy: Database, damages: list[str]) -> None:
    version = source.value("PRAGMA user_version")
    for table, columns in _COPIED_TABLES.items():
        if version < _SINCE.get(table, 1):
            continue
        places = ",".join("?" * len(columns.split(", ")))
        insert = f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({places})"
        try:
            rows: list[Any] = source.rows(f"SELECT {columns} FROM {table}")
        except StoreDamaged as error:
            damages.append(f"table {table}: {error}")
            rows = _rows_one_by_one(source, table, columns)
        _copy_rows(copy, insert, rows)
    lost = _copy_entries(source, copy)
    if lost:
        damages.append(f"table entry: {lost} stretches of messages cannot be read")


def _copy_rows(copy: Database, insert: str, rows: list[Any]) -> None:
    copy.execute("BEGIN IMMEDIATE")
    for row in rows:
        copy.execute(insert, row)
    copy.execute("COMMIT")


def _rows_one_by_one(source: Database, table: str, columns: str) -> list[Any]:
    """What can be read before the first row that cannot."""
    rows: list[Any] = []
    while True:
        try:
            found = source.rows(f"SELECT {columns} FROM {table} LIMIT 1 OFFSET ?", (len(rows),))
        except StoreDamaged:
            return rows
        if not found:
            return rows
        rows += found


def _copy_entries(source: Database, copy: Database) -> int:
    """Copy the messages, leaping over what cannot be read; returns how often."""
    columns = "id, lane, failures, size, expires, note, record"
    insert = f"INSERT OR REPLACE INTO entry ({columns}) VALUES (?,?,?,?,?,?,?)"
    lost = 0
    after = -1
    step = COPIED_PER_STEP
    while True:
        try:
            rows = source.rows(
                f"SELECT {columns} FROM entry NOT INDEXED WHERE id >= ? ORDER BY id LIMIT ?",
                (after + 1, step),
            )
        except StoreDamaged:
            if step > 1:
                # Up to the very edge of the damage, one by one.
                step = 1
                continue
            lost += 1
            following = _next_readable(source, after)
            if following is None:
                return lost
            after = following - 1
            step = COPIED_PER_STEP
            continue
        if not rows:
            return lost
        _copy_rows(copy, insert, rows)
        if rows[-1][0] <= after:
            # Pages that lead in a circle: there is no telling what follows.
            return lost + 1
        after = rows[-1][0]


def _next_readable(source: Database, after: int) -> int | None:
    """The next key above `after` whose row can be read; None when there is none.

    Ever larger leaps find the far side of the damage, halving finds its edge: a page holds a few messages of one
    queue, so the damage is a stretch of keys.
    """
    unreadable = after
    leap = 1
    while True:
        key = min(after + leap, KEY_MAX)
        try:
            found = _readable_from(source, key)
            break
        except StoreDamaged:
            if key == KEY_MAX:
                return None
            unreadable = key
            leap *= 2
    if found is None:
        found = KEY_MAX + 1
    low, high = unreadable, found
    while low + 1 < high:
        middle = (low + high) // 2
        try:
            nearer = _readable_from(source, middle)
            high = middle if nearer is None else min(nearer, middle)
            found = found if nearer is None else nearer
        except StoreDamaged:
            low = middle
    return None if found > KEY_MAX else found


def _readable_from(source: Database, key: int) -> int | None:
    """The first key from `key` on, its row read in full; None when there is none.  Raises StoreDamaged."""
    rows = source.rows(
        "SELECT id, note, record FROM entry NOT INDEXED WHERE id >= ? ORDER BY id LIMIT 1", (key,)
    )
    if not rows:
        return None
    found: int = rows[0][0]
    return found


KEY_MAX: Final = (1 << 63) - 1
