"""A store that is damaged at random, and what must be left of it.

Every message and value is made of marks that are found nowhere else, so the oracle knows in which page of which file it
lies without knowing SQLite's format: what no damage has touched must be there.
"""

import json
import random
import re
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from store_doubles import SqliteHarness, everything, make, message, put, take

from gateway.core.ports import Enqueued, Noted, Quarantined, QueueDeleted, QueueMade, Retained
from gateway.core.record import BadRecord, check_record
from gateway.store.database import Database

PAGE = 4_096
WHOLE = 1 << 30
"""Bytes up to which a store is looked at in full."""
FRAME = 24 + PAGE
LOG_HEADER = 32
LARGE = 20_000
"""Bytes from which on a record goes to a segment."""
SEGMENT = 100_000

MARK = re.compile(rb"([a-z])(\d\d)-(\d{5})-\d{4};")
SLACK = 160
"""Bytes before the first mark of a row in which its index, names and cell header may be."""

Row = tuple[Any, ...]
State = dict[Row, bytes]


def marked(kind: str, place: int, number: int, size: int) -> bytes:
    """So many bytes, give or take, that say all over whose they are."""
    return b"".join(f"{kind}{place:02}-{number:05}-{n:04};".encode() for n in range(max(1, size // 15)))


def row_of(match: "re.Match[bytes]") -> Row:
    return match[1].decode(), int(match[2]), int(match[3])


@dataclass
class Original:
    """A whole store in a directory of its own, and what is in it."""

    directory: Path
    state: State = field(default_factory=dict)
    """Row → its record or value."""
    places: dict[tuple[str, int], dict[Row, tuple[int, int]]] = field(default_factory=dict)
    """File and where a page begins in it → the rows that lie there, from where to where."""
    tables: dict[str, list[int]] = field(default_factory=dict)
    """Table or index → its pages."""

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file()
        )


def build(directory: Path, crashed: bool) -> Original:
    """A store with everything in it; `crashed`: its log is there, with much that the database has not."""
    path = directory / "work" / "store.db"
    path.parent.mkdir(parents=True)
    harness = SqliteHarness(path, large=LARGE, segment_bytes=SEGMENT)
    harness.sqlite.recover()
    harness.start()
    chance = random.Random(7)
    store = harness.store
    make(store, 1, 2, 3, 4)
    for number in range(40):
        store.append(QueueMade(10 + number, "queue:" + marked("k", 0, number, 30).decode()))
    for round in range(4):
        base = round * 400
        for sequence in range(base + 1, base + 401):
            put(store, 1, sequence, body=marked("m", 1, sequence, chance.randrange(60, 500)))
            if sequence % 8 == 0:
                put(store, 2, sequence, body=marked("m", 2, sequence, chance.randrange(3_000, 12_000)))
            if sequence % 50 == 0:
                large = message(sequence, marked("m", 3, sequence, 30_000), expires_at_ms=2_000_000_000_000)
                store.append(Enqueued(3, sequence, large, marked("m", 3, sequence, 15)))
            if sequence % 3 == 0:
                put(store, 4, sequence, body=b"gone" * 50)
            topic = f"topic/{sequence % 500}"
            store.append(Retained(topic, message(sequence, marked("r", 0, sequence, 200), retain=True)))
            key = f"client{sequence}\0{sequence}"
            store.append(
                Noted("mqtt.subscription", key, json.dumps([marked("n", 0, sequence, 60).decode()]).encode())
            )
        harness.settle()
        take(store, 1, *range(base + 1, base + 120))
        store.append(QueueDeleted(10 + round))
        harness.settle()
        if crashed and round == 2:
            reader = sqlite3.connect(path)
            reader.execute("PRAGMA wal_checkpoint(PASSIVE)")
            reader.close()
    take(store, 4, *range(3, 1601, 3))
    harness.settle()
    found = Original(directory / "whole")
    if crashed:
        _copy(path.parent, found.directory)
    harness.close()
    if not crashed:
        _copy(path.parent, found.directory)
    shutil.rmtree(path.parent)
    look = directory / "look"
    _copy(found.directory, look)
    found.state = state_of(look / "store.db")[0]
    found.tables = _tables(look / "store.db")
    shutil.rmtree(look)
    found.places = _places(found)
    return found


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.lock", "*-reserve"))


def _tables(path: Path) -> dict[str, list[int]]:
    connection = sqlite3.connect(path)
    try:
        found: dict[str, list[int]] = {}
        for name, page in connection.execute("SELECT name, pageno FROM dbstat ORDER BY pageno"):
            found.setdefault(name, []).append(page)
        return found
    except sqlite3.Error:
        # This build of SQLite does not tell.
        return {}
    finally:
        connection.close()


def _places(original: Original) -> dict[tuple[str, int], dict[Row, tuple[int, int]]]:
    found: dict[tuple[str, int], dict[Row, tuple[int, int]]] = {}
    known = {row[:3] for row in original.state}
    for name, at, data in pages_of(original):
        rows: dict[Row, tuple[int, int]] = {}
        for match in MARK.finditer(data):
            row = row_of(match)
            if row in known:
                first, _ = rows.get(row, (match.start(), 0))
                rows[row] = (first, match.end())
        if rows:
            found[(name, at)] = rows
    return found


def pages_of(original: Original) -> list[tuple[str, int, bytes]]:
    """The pages that count: file, offset, content.  A segment is in pieces as large as a page."""
    database = (original.directory / "store.db").read_bytes()
    log = original.directory / "store.db-wal"
    newest: dict[int, int] = {}
    frames = log.read_bytes() if log.exists() else b""
    for at in range(LOG_HEADER, len(frames) - FRAME + 1, FRAME):
        if frames[at + 8 : at + 16] == frames[16:24]:
            newest[int.from_bytes(frames[at : at + 4], "big")] = at + 24
    found = []
    for number in range(1, max(len(database) // PAGE, *newest, 0) + 1):
        if number in newest:
            found.append(("store.db-wal", newest[number], frames[newest[number] : newest[number] + PAGE]))
        else:
            at = (number - 1) * PAGE
            found.append(("store.db", at, database[at : at + PAGE]))
    for path in sorted((original.directory / "store.db-segments").glob("*.seg")):
        data = path.read_bytes()
        name = f"store.db-segments/{path.name}"
        found += [(name, at, data[at : at + PAGE]) for at in range(0, len(data), PAGE)]
    return found


def state_of(path: Path, check_bytes_max: int = WHOLE) -> tuple[State, list[str]]:
    """Start with the store as the gateway does, if need be more than once; what is there, and what it says is lost."""
    damages: list[str] = []
    for _ in range(4):
        harness = SqliteHarness(path, large=LARGE, segment_bytes=SEGMENT, check_bytes_max=check_bytes_max)
        damages += harness.sqlite.damages
        try:
            state = _state(harness)
        finally:
            harness.sqlite.close(True)
        if state is not None:
            return state, damages + _aside(path)
        damages += [str(failure) for failure in harness.listener.failures]
    raise AssertionError(f"it does not come to rest: {damages}")


def _state(harness: SqliteHarness) -> State | None:
    found = harness.sqlite.recover()
    harness.start()
    state: State = {}
    for topic, record in found.retained:
        try:
            check_record(record)
        except BadRecord:
            # As the broker does.
            harness.store.append(Noted("damaged.retained", topic, record))
            harness.store.append(Retained(topic, None))
            continue
        if match := MARK.search(record):
            state[(*row_of(match), topic)] = record
    for space, values in found.notes.items():
        for value in () if space.startswith("damaged.") else values.values():
            if match := MARK.search(value):
                state[row_of(match)] = value
    for queue in found.queues:
        if match := MARK.search(queue.key.encode()):
            state[row_of(match)] = queue.key.encode()
        page = everything(queue.number)
        before = len(harness.listener.pages)
        harness.sqlite.load(page)
        harness.loop.turn_until(
            lambda heard=harness.listener, before=before: len(heard.pages) > before or bool(heard.failures)
        )
        if harness.listener.failures:
            return None
        for entry in harness.listener.pages.pop():
            try:
                check_record(entry.record)
            except BadRecord as error:
                # As a queue does.
                harness.store.append(Quarantined(queue.number, entry.sequence, str(error)))
                continue
            if match := MARK.search(entry.record):
                state[row_of(match)] = entry.record
            else:
                state[("x", queue.number, entry.sequence)] = entry.record
    harness.settle()
    return state


def _aside(path: Path) -> list[str]:
    """What is set aside in the store."""
    database = Database(str(path), read_only=True)
    try:
        notes = database.rows("SELECT space || ' ' || key FROM note WHERE space LIKE 'damaged.%'")
        rows = database.rows("SELECT place || ': ' || reason FROM quarantine")
        return [line for (line,) in notes + rows]
    finally:
        database.close()


# -- damages


@dataclass
class Damage:
    """What was done to the files of a store."""

    what: list[str] = field(default_factory=list)
    spoilt: list[tuple[str, int, int]] = field(default_factory=list)
    """File, from where, to where."""
    flipped: list[tuple[str, int]] = field(default_factory=list)
    log: bool = False
    """The log was hit, so older forms of pages may be there again."""


def damage(directory: Path, original: Original, seed: int) -> Damage:
    """Spoil the copy in `directory`."""
    chance = random.Random(seed)
    done = Damage()
    for _ in range(chance.choice((1, 1, 1, 2))):
        kind = chance.choice(
            (flip, flip, flip, spoil_page, spoil_page, spoil_table, spoil_table, cut, lose, flip_header)
        )
        kind(directory, original, chance, done)
    return done


def _some_file(directory: Path, chance: random.Random) -> str:
    names = [name for name in ("store.db", "store.db", "store.db-wal") if (directory / name).exists()]
    names += [str(path.relative_to(directory)) for path in sorted(directory.glob("*-segments/*.seg"))[:2]]
    return chance.choice(names)


def _write(directory: Path, name: str, at: int, data: bytes, done: Damage) -> None:
    with (directory / name).open("r+b") as file:
        file.seek(at)
        file.write(data)
    done.spoilt.append((name, at, at + len(data)))
    done.log = done.log or name.endswith("-wal")


def flip(directory: Path, original: Original, chance: random.Random, done: Damage) -> None:
    name = _some_file(directory, chance)
    data = (directory / name).read_bytes()
    for _ in range(chance.choice((1, 1, 1, 8))):
        at = chance.randrange(len(data))
        _flip_at(directory, name, at, 1 << chance.randrange(8), done)


def _flip_at(directory: Path, name: str, at: int, bits: int, done: Damage) -> None:
    data = (directory / name).read_bytes()
    with (directory / name).open("r+b") as file:
        file.seek(at)
        file.write(bytes([data[at] ^ bits]))
    done.flipped.append((name, at))
    done.what.append(f"flipped {name} at {at}")
    done.log = done.log or name.endswith("-wal")


def flip_header(directory: Path, original: Original, chance: random.Random, done: Damage) -> None:
    """In the first page: the header, or what tells of the tables."""
    path = directory / "store.db"
    if path.exists() and path.stat().st_size >= PAGE:
        at = chance.choice((chance.randrange(100), chance.randrange(PAGE)))
        _flip_at(directory, "store.db", at, 1 << chance.randrange(8), done)


def _spoil(directory: Path, name: str, at: int, chance: random.Random, done: Damage) -> None:
    data = chance.choice((bytes(PAGE), chance.randbytes(PAGE), chance.randbytes(512), bytes(512)))
    size = (directory / name).stat().st_size
    _write(directory, name, at, data[: size - at], done)
    done.what.append(f"spoilt {len(data)} bytes of {name} at {at}")


def spoil_page(directory: Path, original: Original, chance: random.Random, done: Damage) -> None:
    name = _some_file(directory, chance)
    size = (directory / name).stat().st_size
    if size:
        _spoil(directory, name, chance.randrange(size) // PAGE * PAGE, chance, done)


def spoil_table(directory: Path, original: Original, chance: random.Random, done: Damage) -> None:
    """A page of each table or index in turn."""
    if not original.tables:
        spoil_page(directory, original, chance, done)
        return
    table = chance.choice(sorted(original.tables))
    at = (chance.choice(original.tables[table]) - 1) * PAGE
    if (directory / "store.db").exists() and at < (directory / "store.db").stat().st_size:
        _spoil(directory, "store.db", at, chance, done)
        done.what.append(f"of {table}")


def cut(directory: Path, original: Original, chance: random.Random, done: Damage) -> None:
    name = _some_file(directory, chance)
    path = directory / name
    size = path.stat().st_size
    end = chance.choice(
        (chance.randrange(size + 1), chance.randrange(size + 1) // PAGE * PAGE, chance.randrange(150))
    )
    end = min(end, size)
    with path.open("r+b") as file:
        file.truncate(end)
    done.spoilt.append((name, end, size))
    done.log = done.log or name.endswith("-wal")
    done.what.append(f"cut {name} at {end} of {size}")


def lose(directory: Path, original: Original, chance: random.Random, done: Damage) -> None:
    names = [str(path.relative_to(directory)) for path in sorted(directory.rglob("*")) if path.is_file()]
    name = chance.choice(names)
    size = (directory / name).stat().st_size
    (directory / name).unlink()
    if size:
        done.spoilt.append((name, 0, size))
    done.log = done.log or name.endswith("-wal")
    done.what.append(f"lost {name}")


# -- the oracle


def must_be_there(original: Original, done: Damage) -> tuple[set[Row], list[set[Row]]]:
    """Rows that no damage has touched; and sets of rows of which one may be missing, since something may have named it."""
    touched: set[Row] = set()
    perhaps: list[set[Row]] = []
    for (name, at), rows in original.places.items():
        end = at + PAGE
        if any(spoilt == name and low < end and high > at for spoilt, low, high in done.spoilt):
            touched |= rows.keys()
        for flipped, where in done.flipped:
            if flipped != name or not at <= where < end:
                continue
            inside = where - at
            hit = {row for row, (low, high) in rows.items() if low - SLACK <= inside <= high + SLACK}
            touched |= hit
            if not hit and inside < 8:
                touched |= rows.keys()
            elif not hit:
                perhaps.append(set(rows))
    known = {row[:3] for row in original.state}
    return known - touched, perhaps
