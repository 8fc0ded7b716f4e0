"""What a store holds at start, and what becomes of a store that cannot be read in full.

A damaged file is never written to: what can be read of it is copied into a new file (`salvage.py`), which takes its
place while it is kept under another name (`replace.py`), and what cannot is named in a report.
"""

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from gateway.core.ports import SEQUENCE_BITS, LaneFound, QueueFound, Recovered
from gateway.core.queue_key import NAMED_PREFIX, recovered
from gateway.core.record import head_of
from gateway.store.database import Database
from gateway.store.errors import StoreDamaged, StoreError, StoreFailed, StoreFull, StoreRefused, full_or
from gateway.store.replace import DAMAGED, doubt, doubted, finish, kept_for, part_of, remove, replace
from gateway.store.salvage import is_ours, salvage
from gateway.store.schema import (
    VERSION,
    Opener,
    check_header,
    configure,
    create,
    is_cut_short,
    migrate,
    missing_from,
    statements,
)
from gateway.store.segments import directory_of, segments_in
from gateway.store.shapes import INTEGER_MAX, LANE_MAX, Shape, shapes_of
from gateway.store.wal import Index, forget_index, found_index, is_cut, log_of, may_lack, read_index, read_log

log = logging.getLogger("gateway.store")

CHECK_BYTES_MAX: Final = 67_108_864
"""A file up to this size is looked at in full at each start, a larger one where a start reads it, unless told otherwise."""

Lanes = dict[int, list[LaneFound]]
"""Queue number → what each of its lanes holds."""


def open_database(
    path: Path,
    opener: Opener,
    damages: list[str],
    check_bytes_max: int = CHECK_BYTES_MAX,
    rebooted: bool = False,
) -> tuple[Database, Lanes]:
    """The store at `path`, made if it is not there, saved if it is damaged (`damages` then says what was lost).

    `rebooted`: the machine was, since somebody used it.  Raises StoreError.
    """
    try:
        return _open_or_save(path, opener, damages, check_bytes_max, rebooted)
    except OSError as error:
        # Of a name that cannot be given, or of what cannot be read.
        raise full_or(StoreFailed, f"{path}: cannot be opened", error) from None


def _open_or_save(
    path: Path, opener: Opener, damages: list[str], check_bytes_max: int, rebooted: bool
) -> tuple[Database, Lanes]:
    prepare(path)
    damages += finish(path)
    index = found_index(path, rebooted)
    if not path.exists() and not _has_log(path):
        damages += _left_behind(path)
        create(path, opener)
    fault = _fault_of(path, index, opener, check_bytes_max)
    if fault:
        _save(path, index, opener, fault, damages)
    else:
        forget_index(path)
    try:
        return _open(path, opener)
    except StoreDamaged as error:
        if fault:
            raise
        # It shows only now, in what was made of an older version.
        _save(path, read_index(path), opener, str(error), damages)
        return _open(path, opener)


def prepare(path: Path) -> None:
    """See that there can be a store at `path`.  Raises StoreRefused."""
    if path.is_dir():
        raise StoreRefused(f"{path}: a directory, where the store's file should be")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise full_or(StoreRefused, str(path.parent), error) from None
    for needed in (path.parent, path):
        if needed.exists() and not os.access(needed, os.W_OK):
            raise StoreRefused(f"{needed}: not writable")


def is_unbegun(path: Path) -> bool:
    """Is there an empty file with nothing beside it?  No store was ever there, which leaves its lock at the least."""
    if not path.is_file() or path.stat().st_size:
        return False
    return not any(one.name.startswith(path.name) and one != path for one in path.parent.iterdir())


def refusal(path: Path) -> str:
    """Why the file at `path` would be refused, as no store of ours; empty when it would not.  Raises StoreRefused."""
    fault = check_header(path)
    return "" if not fault or is_cut_short(path) or is_ours(path, read_index(path)) else fault


def _has_log(path: Path) -> bool:
    found = log_of(path)
    return found.exists() and found.stat().st_size > 0


def _left_behind(path: Path) -> list[str]:
    """What tells that there was a store where none is."""
    if segments_in(directory_of(path)):
        return [f"{path}: is missing, though {directory_of(path)} is there; a new store is begun"]
    return []


def _open(path: Path, opener: Opener) -> tuple[Database, Lanes]:
    database = opener(str(path))
    try:
        configure(path, database)
        migrate(path, database)
        return database, lanes(database)
    except StoreError:
        database.close()
        raise


# -- is it sound?


def _fault_of(path: Path, index: Index, opener: Opener, check_bytes_max: int) -> str:
    """What is wrong with the store; empty for nothing.  Raises StoreRefused for what is no store of ours.

    `index` is that of the log, as it was found.
    """
    if not path.exists():
        return f"{path}: is missing, its log is there"
    fault = check_header(path)
    if fault:
        if not is_cut_short(path) and not is_ours(path, index):
            raise StoreRefused(fault)
        # The header is damaged: what is behind it tells.
        return fault
    if why := doubted(path):
        return why
    if is_cut(path, index):
        return read_log(path, index).fault
    cut = missing_from(path)
    missing = f"{path}: offset {cut}: the file ends here, parts are missing" if cut is not None else ""
    if missing and not _has_log(path):
        return missing
    try:
        _look_through(path, opener, check_bytes_max)
    except StoreDamaged as error:
        # Where there is a log, what is missing may be in it.
        return f"{error}; {missing}" if missing else str(error)
    if may_lack(path, index, read_index(path)):
        return read_log(path, index).fault
    return ""


def _has_rollback(path: Path) -> bool:
    """Was the last process killed while it went over to a log?  Only who may write can take back what it had begun."""
    journal = path.with_name(path.name + "-journal")
    return journal.exists() and journal.stat().st_size > 0


def _look_through(path: Path, opener: Opener, check_bytes_max: int) -> None:
    """Look at everything that a start reads; at everything there is, if it is not too much.  Raises StoreDamaged.

    To let go of a database that was opened for writing would carry its log over, into a damaged file perhaps.
    """
    if not _has_rollback(path):
        try:
            database = Database(str(path), read_only=True)
            try:
                _look(database, path.stat().st_size <= check_bytes_max)
                return
            finally:
                database.close()
        except StoreFull:
            # There is no room for what several processes would share.
            pass
    database = opener(str(path))
    try:
        _look(database, path.stat().st_size <= check_bytes_max)
    finally:
        database.close()


def _look(database: Database, whole: bool) -> None:
    version = database.value("PRAGMA user_version")
    texts = {row[0] for row in database.rows("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if texts != {text for text in statements(version) if text.startswith("CREATE")}:
        raise StoreDamaged(f"{database.path}: its tables are not those of store version {version}")
    if database.value("PRAGMA auto_vacuum") == 0 or database.value("PRAGMA encoding") != "UTF-8":
        raise StoreDamaged(f"{database.path}: its header says what no store's does")
    if whole:
        for (fault,) in database.rows("PRAGMA integrity_check(1)"):
            if fault != "ok":
                raise StoreDamaged(f"{database.path}: {fault}")
    for shape in shapes_of(version):
        if whole or not shape.bulk:
            _look_at(database, shape)
    meta = dict(database.rows("SELECT key, value FROM meta"))
    if not meta.keys() >= {"epoch", "clean"}:
        raise StoreDamaged(f"{database.path}: table meta: rows are missing")
    lanes(database)


def _look_at(database: Database, shape: Shape) -> None:
    bad = database.value(f"SELECT count(*) FROM {shape.table} NOT INDEXED WHERE NOT ({shape.condition()})")
    if bad:
        raise StoreDamaged(f"{database.path}: table {shape.table}: {bad} rows have values that none may have")
    texts = ", ".join(column.name for column in shape.columns if column.type is str)
    if texts:
        # Text that is none shows when it is read.
        database.rows(f"SELECT {texts} FROM {shape.table}")


def lanes(database: Database) -> Lanes:
    """What is in the queues: one walk over all messages.  Raises StoreDamaged for what cannot be."""
    found: Lanes = {}
    mask = (1 << SEQUENCE_BITS) - 1
    for number, lane, count, size, first, last, expires in database.rows(
        f"SELECT id >> {SEQUENCE_BITS}, lane, count(*), sum(size), min(id), max(id),"
        " min(CASE WHEN expires > 0 THEN expires END) FROM entry GROUP BY 1, 2"
    ):
        if not (number > 0 and _is_number(lane, LANE_MAX) and _is_number(size) and _is_number(expires or 0)):
            raise StoreDamaged(
                f"{database.path}: table entry: rows of queue {number} have values that none may have"
            )
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


def _is_number(value: Any, most: int = INTEGER_MAX) -> bool:
    return type(value) is int and 0 <= value <= most


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
            key = _name_of(database, number, {queue.key for queue in queues})
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
    damaged = bool(meta.get("damaged", 0))
    return Recovered(epoch, bool(meta.get("clean", 0)), queues, retained, notes, used, damaged)


def _name_of(database: Database, number: int, taken: set[str]) -> str:
    """A name for a queue that has lost its own: that to which its messages were sent, if it is free."""
    first = number << SEQUENCE_BITS
    record = database.value("SELECT record FROM entry WHERE id >= ? ORDER BY id LIMIT 1", (first,)) or b""
    head = head_of(record, 0)
    if head is not None and not head.topic and f"{NAMED_PREFIX}{head.name}" not in taken:
        return f"{NAMED_PREFIX}{head.name}"
    return recovered(number, taken).text


def count_start(database: Database, epoch: int, damaged: bool) -> None:
    """Have the store remember this start, which has not ended in order yet."""
    database.execute(
        "INSERT OR REPLACE INTO meta VALUES ('epoch', ?), ('clean', 0), ('damaged', ?), ('version', ?)",
        (epoch, damaged, VERSION),
    )


def count_end(database: Database, seen_to: bool) -> None:
    """It has; `seen_to`: so was what a damage had left, if there was one."""
    database.execute("UPDATE meta SET value = 1 WHERE key = 'clean'")
    if seen_to:
        database.execute("UPDATE meta SET value = 0 WHERE key = 'damaged' AND value = 1")


def _numbers_left(database: Database) -> set[int]:
    """Numbers of queues that are no more, which places and what was set aside still bear."""
    parts = {row[0] for row in database.rows(f"SELECT DISTINCT id >> {SEQUENCE_BITS} FROM part")}
    places = [row[0] for row in database.rows("SELECT place FROM quarantine")]
    return parts | {int(found[1]) for place in places if (found := _PLACE.match(place)) is not None}


_PLACE: Final = re.compile(r"queue (\d+), message \d+$")


# -- saving what can be read


def _save(path: Path, index: Index, opener: Opener, fault: str, damages: list[str]) -> None:
    """Put what can be read of a damaged store into its place; `damages` then says what was lost."""
    # The index of the log is no longer as it was found: should this start end here, the next one must know.
    doubt(path, fault)
    damages.append(fault)
    kept = kept_for(path, DAMAGED)
    part = part_of(path, DAMAGED)
    try:
        damages += salvage(path, part, index, opener)
        replace(path, part, kept)
    except OSError as error:
        raise full_or(StoreFailed, f"{path}: is damaged ({fault}), and cannot be saved", error) from None
    except StoreFull as error:
        raise StoreFull(f"{path}: is damaged ({fault}), and cannot be saved: {error}") from None
    finally:
        # What cannot be removed now is by the next start.
        with suppress(OSError):
            remove(part)
    damages.append(f"{path}: was damaged; it is kept as {kept}, what could be read goes on")
