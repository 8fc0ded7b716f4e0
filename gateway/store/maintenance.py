"""Looking after a store from outside: check, copy, count.  All but `restore` are safe beside a running gateway."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from gateway.core.ports import SEQUENCE_BITS, SEQUENCE_MAX
from gateway.core.queue_key import DURABLE, SESSION, BadKey, read_key
from gateway.core.record import BadRecord, check_record
from gateway.store.database import Database, translated
from gateway.store.errors import StoreDamaged, StoreError, StoreFailed, StoreRefused, full_or
from gateway.store.fanout import Fanout
from gateway.store.lock import StoreLock
from gateway.store.old_keys import new_keys
from gateway.store.recovery import is_unbegun, prepare
from gateway.store.replace import BEFORE_RESTORE, BESIDE, finish, kept_for, part_of, remove, replace
from gateway.store.schema import FANOUT_SINCE, KEYS_SINCE, PARTS_SINCE, look, missing_from, sync_directory
from gateway.store.segments import KEPT_SUFFIX, Place, directory_of, name_of, read_at, segments_in
from gateway.store.tables import NEEDED

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""

ROWS_PER_STEP: Final = 2_000
PAGES_PER_STEP: Final = 2_048

BACKUP_ATTEMPTS: Final = 3
"""A running gateway may remove large messages faster than they are copied."""

SEGMENTS_HELD_MAX: Final = 64
"""Segments, the oldest first, that are held open while the database is copied: they are the ones that leave soonest."""

FAULTS_MAX: Final = 100
"""Faults that a check names; there may be more."""


@dataclass
class QueueStats:
    """What one queue holds."""

    key: str
    messages: int
    bytes: int
    oldest: int
    """Sequence of the first message."""
    newest: int


@dataclass
class Stats:
    """What a store holds."""

    version: int
    file_bytes: int
    log_bytes: int
    free_bytes: int
    epoch: int
    clean: bool
    queues: list[QueueStats]
    retained: int
    notes: dict[str, int]
    """By space."""
    quarantined: int
    segments: int
    segment_bytes: int
    """Of the files in which large messages are."""


def _reader(path: Path) -> Database:
    """The store, for reading.  Raises StoreRefused for what is none."""
    if not path.exists() or is_unbegun(path):
        raise StoreRefused(f"{path}: there is no store")
    look(path)
    return Database(str(path), read_only=True)


def check(path: Path, progress: Progress) -> list[str]:
    """Read everything; returns what is wrong, one line each, none for a sound store.  Raises StoreRefused."""
    database = _reader(path)
    try:
        faults = _structure(path, database)
        faults += _records(path, database, progress)
    except StoreDamaged as error:
        faults = [str(error)]
        cut = missing_from(path)
        if cut is not None:
            faults.append(f"{path}: offset {cut}: the file ends here, parts are missing")
    finally:
        database.close()
    faults += [f"{kept}: a damaged store, kept by an earlier start" for kept in _kept(path)]
    faults += [
        f"{kept}: messages of a damaged store or a missing one, kept by an earlier start"
        for kept in sorted(directory_of(path).glob(f"*{KEPT_SUFFIX}"))
    ]
    return faults


def _structure(path: Path, database: Database) -> list[str]:
    found = database.rows(f"PRAGMA integrity_check({FAULTS_MAX})")
    return [f"{path}: {row[0]}" for row in found if row[0] != "ok"]


def _records(path: Path, database: Database, progress: Progress) -> list[str]:
    """Messages whose checksum does not match, those that have no queue, and those set aside."""
    faults: list[str] = []
    queues = dict(database.rows("SELECT number, key FROM queue"))
    leaving = {row[0] for row in database.rows("SELECT number FROM gone")}
    total = database.value("SELECT count(*) FROM entry")
    done = 0
    after = -1
    while rows := database.rows(
        "SELECT id, record FROM entry WHERE id > ? ORDER BY id LIMIT ?", (after, ROWS_PER_STEP)
    ):
        for id, record in rows:
            number = id >> SEQUENCE_BITS
            place = f"{queues.get(number, f'queue {number}')}, message {id & SEQUENCE_MAX}"
            if number not in queues and number not in leaving:
                faults.append(f"{place}: its queue is not there")
            try:
                if record:
                    check_record(record)
                elif fault := _large_fault(path, database, id):
                    faults.append(f"{place}: {fault}")
            except BadRecord as error:
                faults.append(f"{place}: {error}")
        done += len(rows)
        after = rows[-1][0]
        progress(done, total)
        if len(faults) >= FAULTS_MAX:
            break
    faults += _fanout_faults(database)
    for topic, record in database.rows("SELECT topic, record FROM retained"):
        try:
            check_record(record)
        except BadRecord as error:
            faults.append(f"retained {topic}: {error}")
    for place, reason in database.rows("SELECT place, reason FROM quarantine"):
        faults.append(f"{place}: set aside: {reason}")
    return faults


def _fanout_faults(database: Database) -> list[str]:
    """What is wrong with the messages that many queues took."""
    if database.value("PRAGMA user_version") < FANOUT_SINCE:
        return []
    # At one moment: a queue that is deleted takes its copies along.
    database.execute("BEGIN")
    fanout = Fanout(database)
    known = {row[0] for row in database.rows("SELECT number FROM queue UNION SELECT number FROM gone")}
    faults = [f"fanout, row {id}: {reason}" for id, reason in fanout.unreadable]
    for id, record in database.each("SELECT id, record FROM fanout WHERE record <> x''"):
        try:
            check_record(record)
        except BadRecord as error:
            faults.append(f"fanout, row {id}: {error}")
    database.execute("COMMIT")
    return faults + [
        f"queue {number}, {lane.count} messages of many queues: their queue is not there"
        for number, lanes in fanout.lanes().items()
        for lane in lanes
        if number not in known
    ]


def _large_fault(path: Path, database: Database, id: int) -> str:
    """What is wrong with a record that lies in a segment; empty when nothing is, or it has gone meanwhile."""
    place = _place_of(database, id)
    if place is None:
        there = database.rows("SELECT 1 FROM entry WHERE id = ?", (id,))
        return "nothing tells where its record lies" if there else ""
    where = f"{directory_of(path) / name_of(place.segment)}: offset {place.offset}"
    try:
        check_record(_large(path, place))
        return ""
    except OSError as error:
        fault = f"{where}: {error.strerror or error}"
    except BadRecord as error:
        fault = f"{where}: {error}"
    # It may have been moved, or taken, while it was read.
    return fault if _place_of(database, id) == place else ""


def _place_of(database: Database, id: int) -> Place | None:
    if not _has_parts(database):
        return None
    for where in database.rows("SELECT segment, offset, length FROM part WHERE id = ?", (id,)):
        return Place(*where)
    return None


def _has_parts(database: Database) -> bool:
    return bool(database.value("PRAGMA user_version") >= PARTS_SINCE)


def _large(path: Path, place: Place) -> bytes:
    with (directory_of(path) / name_of(place.segment)).open("rb") as file:
        return read_at(file.fileno(), place)


def _kept(path: Path) -> list[Path]:
    """Damaged files that earlier starts kept."""
    found = sorted(path.parent.glob(path.name + ".damaged-*"))
    return [kept for kept in found if not kept.name.endswith((*BESIDE, "-segments"))]


def backup(path: Path, target: Path, progress: Progress) -> int:
    """Copy a store, which may be in use, to a new file; returns its bytes.  Raises StoreError.

    It is one file, whatever the store has: large records are rows of it.
    """
    if target.exists():
        raise StoreRefused(f"{target}: is there already")
    part = target.with_name(target.name + ".part")
    try:
        _copy_store(path, part, progress)
        os.replace(part, target)
        sync_directory(target.parent)
    except sqlite3.Error as error:
        raise translated(str(target), error) from None
    except OSError as error:
        raise full_or(StoreFailed, str(target), error) from None
    finally:
        remove(part)
    return target.stat().st_size


def _copy_store(path: Path, part: Path, progress: Progress) -> None:
    """Copy a store, which may be in use, to one file.  Raises StoreError."""
    source = _reader(path)
    try:
        for _ in range(BACKUP_ATTEMPTS):
            if _copy_whole(path, source, part, progress):
                return
    finally:
        source.close()
    raise StoreError(f"{path}: cannot be copied: large messages are missing, or leave too fast")


def _copy_whole(path: Path, source: Database, part: Path, progress: Progress) -> bool:
    """Copy the database, then what is in segments; False when something of that was gone by then."""
    # A file that is open can be read though it is removed.
    with ExitStack() as stack:
        files: dict[int, BinaryIO] = {}
        for number, file in list(segments_in(directory_of(path)).items())[:SEGMENTS_HELD_MAX]:
            with suppress(FileNotFoundError):
                files[number] = stack.enter_context(file.open("rb"))
        _copy(source, part, progress)
        copy = sqlite3.connect(part)
        try:
            if copy.execute("PRAGMA user_version").fetchone()[0] < PARTS_SINCE:
                return True
            with copy:
                for id, *where in copy.execute("SELECT id, segment, offset, length FROM part").fetchall():
                    place = Place(*where)
                    held = files.get(place.segment)
                    record = b""
                    with suppress(FileNotFoundError):
                        record = _large(path, place) if held is None else read_at(held.fileno(), place)
                    if len(record) < place.length:
                        return False
                    copy.execute("UPDATE entry SET record = ? WHERE id = ?", (record, id))
                copy.execute("DELETE FROM part")
        finally:
            copy.close()
    with part.open("rb") as done:
        os.fsync(done.fileno())
    return True


def _copy(source: Database, part: Path, progress: Progress) -> None:
    """By SQLite's own backup, which begins anew when the source changes under it: in steps, the last one whole."""
    remove(part)
    copy = sqlite3.connect(part)
    try:
        source.raw().backup(
            copy,
            pages=PAGES_PER_STEP,
            progress=lambda _, left, total: progress(total - left, total),
            sleep=0.001,
        )
        # One file, complete in itself.
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()
    with part.open("rb") as file:
        os.fsync(file.fileno())


def restore(path: Path, source: Path, progress: Progress) -> Path | None:
    """Put a copy of the backup `source` in the place of the store; returns where the present one is kept.

    `source` may also be a store with segments, like one that an earlier restore has kept.

    Raises StoreRefused while the store is in use, or when the backup is damaged.
    """
    prepare(path)
    faults = check(source, progress)
    if faults:
        raise StoreRefused(f"{source}: {faults[0]}")
    lock = StoreLock(path)
    try:
        finish(path)
        part = part_of(path, BEFORE_RESTORE)
        _copy_store(source, part, progress)
        there = path.exists() or directory_of(path).exists()
        kept = kept_for(path, BEFORE_RESTORE)
        replace(path, part, kept)
        return kept if there else None
    except sqlite3.Error as error:
        raise translated(str(path), error) from None
    except OSError as error:
        raise full_or(StoreFailed, str(path), error) from None
    finally:
        remove(path.with_name(path.name + ".restoring"))
        lock.release()


def stats(path: Path) -> Stats:
    """What the store holds."""
    database = _reader(path)
    try:
        return _stats(path, database)
    finally:
        database.close()


def _stats(path: Path, database: Database) -> Stats:
    names = dict(database.rows("SELECT number, key FROM queue"))
    if database.value("PRAGMA user_version") < KEYS_SINCE:
        names |= new_keys(database)
    held: dict[int, tuple[int, int, int, int]] = {}
    for number, count, size, first, last in database.rows(
        f"SELECT id >> {SEQUENCE_BITS}, count(*), sum(size), min(id), max(id) FROM entry GROUP BY 1"
    ):
        held[number] = (count, size, first & SEQUENCE_MAX, last & SEQUENCE_MAX)
    if database.value("PRAGMA user_version") >= FANOUT_SINCE:
        for number, lanes in Fanout(database).lanes().items():
            for lane in lanes:
                count, size, first, last = held.get(number, (0, 0, lane.first, lane.last))
                held[number] = (
                    count + lane.count,
                    size + lane.bytes,
                    min(first, lane.first),
                    max(last, lane.last),
                )
    queues = [QueueStats(key, *held.get(number, (0, 0, 0, 0))) for number, key in sorted(names.items())]
    meta: dict[str, int] = dict(database.rows("SELECT key, value FROM meta"))
    log = path.with_name(path.name + "-wal")
    segments = _sizes(path)
    return Stats(
        version=database.value("PRAGMA user_version"),
        file_bytes=path.stat().st_size,
        log_bytes=log.stat().st_size if log.exists() else 0,
        free_bytes=database.value("PRAGMA freelist_count") * database.value("PRAGMA page_size"),
        epoch=meta.get("epoch", 0),
        clean=bool(meta.get("clean", 0)),
        queues=queues,
        retained=database.value("SELECT count(*) FROM retained"),
        notes=dict(database.rows("SELECT space, count(*) FROM note GROUP BY space")),
        quarantined=database.value("SELECT count(*) FROM quarantine"),
        segments=len(segments),
        segment_bytes=sum(segments),
    )


def _sizes(path: Path) -> list[int]:
    """Bytes of each segment.  One may be removed meanwhile."""
    sizes: list[int] = []
    for file in segments_in(directory_of(path)).values():
        with suppress(FileNotFoundError):
            sizes.append(file.stat().st_size)
    return sizes


def why_kept(path: Path) -> list[str]:
    """What makes the file as large as it is, the largest first, one line each."""
    database = _reader(path)
    try:
        found: list[tuple[int, str]] = []
        held = _stats(path, database)
        for queue in held.queues:
            if queue.messages:
                found.append((queue.bytes, _why(queue, database)))
        size = database.value("SELECT coalesce(sum(length(record)), 0) FROM retained")
        if held.retained:
            found.append(
                (size, f"{held.retained} retained messages: until an empty one is published to their topics")
            )
        for space, count in held.notes.items():
            found.append((count * 100, f"{count} entries of {space}: until their sessions end"))
        leaving = database.value("SELECT count(*) FROM gone")
        if leaving:
            found.append((0, f"{leaving} deleted queues: their messages are being removed"))
        if held.quarantined:
            found.append((0, f"{held.quarantined} messages set aside because they could not be read"))
        needed = sum(row[1] for row in database.rows(NEEDED)) if _has_parts(database) else 0
        if held.segment_bytes > needed:
            found.append(
                (
                    held.segment_bytes - needed,
                    "segments of which parts are still needed, or that are being filled",
                )
            )
        if held.free_bytes:
            found.append(
                (held.free_bytes, "free pages: used again, or given back while there is nothing to do")
            )
        found.sort(key=lambda entry: -entry[0])
        return [f"{size:>14,} bytes  {why}" for size, why in found]
    finally:
        database.close()


def _why(queue: QueueStats, database: Database) -> str:
    where = f"{queue.messages:,} messages in {queue.key}, from {queue.oldest} to {queue.newest}"
    try:
        key = read_key(queue.key)
    except BadKey:
        return f"{where}: its name is damaged"
    if key.kind == SESSION:
        known = database.value("SELECT 1 FROM note WHERE space = 'mqtt.session' AND key = ?", (key.owner,))
        return f"{where}: until the MQTT client {key.owner} fetches them" + (
            "" if known else ", whose session is gone"
        )
    if key.kind == DURABLE:
        return f"{where}: until the durable subscriber fetches them or unsubscribes"
    return f"{where}: until a consumer acknowledges them"
