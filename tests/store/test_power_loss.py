"""Power fails at every sync and at every confirmation: nothing confirmed is missing, and the file is never corrupt."""

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from power_loss import (
    ApswDatabase,
    CarelessDatabase,
    CarelessFiles,
    Disk,
    ForgetfulFiles,
    Image,
    RecordingFiles,
    RecordingVfs,
)
from store_doubles import SqliteHarness, everything, make, message

import gateway.store.chores
import gateway.store.writer
from gateway.core.ports import Dequeued, Enqueued, Noted, QueueDeleted, Redelivered, Retained
from gateway.store.database import Database
from gateway.store.fanout import Fanout
from gateway.store.merging import Merging
from gateway.store.segments import LARGE
from gateway.store.sqlite import SqliteStore
from gateway.store.tables import Tables

BATCHES = 40
LARGE_HERE = 2_000
"""Bytes from which on a record goes to a segment."""
SEEDS = [1] if settings().max_examples <= 100 else list(range(1, 21))
"""More of them under the soak profile."""

MEMORY_DISK = Path("/dev/shm")
"""Crashed files are looked at where a sync costs nothing, if there is such a place."""

CRASHES_PER_MOMENT = 3
"""One with nothing of what was not synced, the others with some of it."""

State = dict[Any, Any]


def state_of(path: Path) -> State:
    """What a store holds, opened as the gateway opens it.  Fails if anything in it is damaged."""
    harness = SqliteHarness(path)
    try:
        assert harness.sqlite.damages == []
        found = harness.sqlite.recover()
        harness.start()
        state: State = {("note", s, k): v for s, values in found.notes.items() for k, v in values.items()}
        state.update({("retained", topic): record for topic, record in found.retained})
        for queue in found.queues:
            state[("queue", queue.number)] = queue.key
            for entry in harness.load(everything(queue.number)):
                state[("entry", queue.number, entry.sequence)] = (entry.failures, entry.record)
        database = Database(str(path), read_only=True)
        assert database.rows("PRAGMA integrity_check") == [("ok",)]
        database.close()
        return state
    finally:
        harness.close()


class Workload:
    """Random operations, a batch at a time, with the state that each batch should lead to."""

    def __init__(
        self,
        path: Path,
        opener: Callable[[str], Database],
        disk: Disk,
        seed: int,
        files: RecordingFiles | None = None,
    ) -> None:
        self.chance = random.Random(seed)
        self.disk = disk
        large = LARGE if files is None else LARGE_HERE
        self.harness = SqliteHarness(path, opener, large=large, segment_bytes=50_000, files=files)
        self.harness.sqlite.recover()
        self.harness.start()
        self.listener = self.harness.listener
        self.live: list[tuple[int, int]] = []
        self.sequence = 0
        self.queues = [1, 2]

    def run(self) -> list[int]:
        """Carry out all batches; returns the position that each ends at."""
        store = self.harness.sqlite
        positions = []
        make(store, 1, 2)
        for _ in range(BATCHES):
            for _ in range(self.chance.choice((1, 2, 5, 40))):
                self._one(store)
            positions.append(store.position)
            self.harness.settle()
            self.disk.events.append(("durable", store.durable))
        self.harness.close()
        return positions

    def _one(self, store: SqliteStore) -> None:
        chance = self.chance
        kind = chance.random()
        if kind < 0.5 or not self.live:
            self.sequence += 1
            queue = chance.choice(self.queues)
            body = chance.randbytes(chance.choice((10, 700, 3_000, 20_000)))
            sent = message(self.sequence, body)
            store.append(Enqueued(queue, self.sequence, sent))
            self.live.append((queue, self.sequence))
            # Now and then it goes to so many that it is written once.
            for _ in range(chance.choice((0, 0, 0, 20))):
                self.sequence += 1
                queue = chance.choice(self.queues)
                store.append(Enqueued(queue, self.sequence, sent))
                self.live.append((queue, self.sequence))
        elif kind < 0.8:
            queue, sequence = self.live.pop(chance.randrange(len(self.live)))
            store.append(Dequeued(queue, sequence))
        elif kind < 0.85:
            queue, sequence = chance.choice(self.live)
            store.append(Redelivered(queue, sequence, chance.randrange(9)))
        elif kind < 0.9:
            store.append(Retained(chance.choice("abc"), message(1, chance.randbytes(50))))
        elif kind < 0.98 or len(self.queues) < 2:
            store.append(Noted("s", chance.choice("abc"), chance.randbytes(30)))
        else:
            gone = self.queues.pop()
            store.append(QueueDeleted(gone))
            self.live = [key for key in self.live if key[0] != gone]


def crashes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database: type[ApswDatabase],
    seed: int,
    enough: int = 1_000,
    files: type[RecordingFiles] = RecordingFiles,
) -> tuple[list[str], int]:
    """Run a workload on a recorded disk and crash it everywhere, until it went wrong often `enough`.

    Returns what was wrong, and how many crashes there were.
    """
    # Small steps: the log is moved into the file and begun anew all the time.
    monkeypatch.setattr(gateway.store.chores, "CHECKPOINT_PAGES", 8)
    path = tmp_path / "store.db"
    SqliteStore(path).close(True)
    image = Image()
    image.synced["store.db"] = bytearray(path.read_bytes())
    disk = Disk()
    layer = f"recording-{seed}-{database.__name__}"
    vfs = RecordingVfs(layer, disk)
    workload = Workload(path, lambda name: database(name, layer), disk, seed, files(disk))
    positions = workload.run()
    states = replay(tmp_path / "model", positions, seed)
    chance = random.Random(seed)
    crashed = Path(tempfile.mkdtemp(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else tmp_path))
    confirmed = 0
    wrong: list[str] = []
    count = 0
    for number, event in enumerate(disk.events):
        if event[0] == "durable":
            confirmed = event[1]
        if event[0] in ("sync", "durable") and len(wrong) < enough:
            for attempt in range(CRASHES_PER_MOMENT):
                left = image.crash(chance if attempt else None)
                count += 1
                fault = judge(crashed / f"{number}-{attempt}", left, confirmed, positions, states)
                if fault:
                    wrong.append(f"event {number} {event[:2]}, attempt {attempt}: {fault}")
        if event[0] != "durable":
            image.apply(event)
    vfs.unregister()
    shutil.rmtree(crashed)
    return wrong, count


def replay(directory: Path, positions: list[int], seed: int) -> list[State]:
    """The state after each batch, from the same operations on an undisturbed store, read after each batch."""
    directory.mkdir()
    path = directory / "store.db"
    SqliteStore(path).close(True)
    states: list[State] = [state_of(path)]
    workload = Workload(path, Database, Disk(), seed)
    store = workload.harness.sqlite
    make(store, 1, 2)
    for position in positions:
        for _ in range(workload.chance.choice((1, 2, 5, 40))):
            workload._one(store)
        assert store.position == position
        workload.harness.settle()
        reader = Database(str(path), read_only=True)
        states.append(_read(reader, workload.harness))
        reader.close()
    workload.harness.close()
    return states


def _read(reader: Database, harness: SqliteHarness) -> State:
    state: State = {}
    for space, key, value in reader.rows("SELECT space, key, value FROM note"):
        state[("note", space, key)] = value
    for topic, record in reader.rows("SELECT topic, record FROM retained"):
        state[("retained", topic)] = record
    for number, key in reader.rows("SELECT number, key FROM queue"):
        state[("queue", number)] = key
        for entry in harness.load(everything(number)):
            state[("entry", number, entry.sequence)] = (entry.failures, entry.record)
    return state


def judge(
    directory: Path, files: dict[str, bytes], confirmed: int, positions: list[int], states: list[State]
) -> str:
    """What is wrong with a crashed store; empty when it shows a state that it may show."""
    directory.mkdir()
    for name, data in files.items():
        if not name.endswith("-shm"):
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_bytes(data)
    try:
        found = state_of(directory / "store.db")
    except Exception as error:
        return f"cannot be opened: {error!r}"
    after = len([position for position in positions if position <= confirmed])
    if found in states[after:]:
        return ""
    if found in states:
        return f"confirmed up to batch {after}, but shows batch {states.index(found)}"
    return f"shows a state that never was (confirmed up to batch {after})"


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_confirmed_is_lost_when_power_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    wrong, count = crashes(tmp_path, monkeypatch, ApswDatabase, seed)
    print(f"power failed {count} times, {len(wrong)} faults")
    assert wrong == []
    assert count > 200


def test_nothing_is_lost_when_power_fails_while_records_are_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[int] = []
    move = Tables.move

    def counted(tables: Tables, segment: int) -> bool:
        moved.append(segment)
        return move(tables, segment)

    # The writer thread is never at rest, and gives up what is not full of what is needed.
    monkeypatch.setattr(gateway.store.writer, "IDLE_S", 0)
    monkeypatch.setattr("gateway.store.tables.SPARSE", 1)
    monkeypatch.setattr(Tables, "move", counted)
    wrong, count = crashes(tmp_path, monkeypatch, ApswDatabase, 1)
    print(f"power failed {count} times, {len(moved)} moves, {len(wrong)} faults")
    assert wrong == []
    assert moved


def test_nothing_is_lost_when_power_fails_while_the_log_of_copies_is_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleaned: list[int] = []
    clean = Fanout.clean

    def counted(fanout: Fanout) -> None:
        cleaned.append(fanout.live)
        clean(fanout)

    monkeypatch.setattr(gateway.store.writer, "IDLE_S", 0)
    monkeypatch.setattr("gateway.store.fanout.WASTE_MIN", 0)
    monkeypatch.setattr("gateway.store.fanout.WASTE_MAX", 0)
    monkeypatch.setattr("gateway.store.fanout.WASTE_SHARE", 0)
    monkeypatch.setattr("gateway.store.fanout.CLEANED_PER_STEP", 20_000)
    monkeypatch.setattr(Fanout, "clean", counted)
    wrong, count = crashes(tmp_path, monkeypatch, ApswDatabase, 1)
    print(f"power failed {count} times, {len(cleaned)} steps, {len(wrong)} faults")
    assert wrong == []
    # Some of it was needed.
    assert any(cleaned)


def merging_all_the_time(monkeypatch: pytest.MonkeyPatch, merge: Callable[[Tables], None]) -> list[int]:
    """Have some copies become entries after every commit that leaves ten; returns how many there were, each time."""
    merged: list[int] = []

    def counted(tables: Tables) -> None:
        merged.append(tables.fanout.live)
        merge(tables)

    monkeypatch.setattr(Merging, "due", property(lambda merging: merging._fanout.live > 10))
    monkeypatch.setattr("gateway.store.merging.MERGED_PER_STEP", 7)
    monkeypatch.setattr(Tables, "merge", counted)
    return merged


def test_nothing_is_lost_when_power_fails_while_copies_become_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = merging_all_the_time(monkeypatch, Tables.merge)
    wrong, count = crashes(tmp_path, monkeypatch, ApswDatabase, 1)
    print(f"power failed {count} times, {len(merged)} merges, {len(wrong)} faults")
    assert wrong == []
    assert len(merged) > 20


def test_the_test_itself_finds_a_merge_that_is_two_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(tables: Tables) -> None:
        tables._begin()
        values = tables.merging.take()
        tables._commit([])
        tables._begin()
        tables._insert(values)
        tables._commit([])

    merging_all_the_time(monkeypatch, careless)
    wrong, count = crashes(tmp_path, monkeypatch, ApswDatabase, 1, enough=5)
    print(f"power failed {count} times, {len(wrong)} faults found")
    assert wrong


def test_the_test_itself_finds_a_store_that_does_not_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, count = crashes(tmp_path, monkeypatch, CarelessDatabase, 1, enough=20)
    print(f"power failed {count} times, {len(wrong)} faults found")
    assert any("confirmed up to" in fault for fault in wrong)


@pytest.mark.parametrize("files", [CarelessFiles, ForgetfulFiles])
def test_the_test_itself_finds_segments_that_are_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: type[RecordingFiles]
) -> None:
    wrong, count = crashes(tmp_path, monkeypatch, ApswDatabase, 1, enough=20, files=files)
    print(f"power failed {count} times, {len(wrong)} faults found")
    assert wrong
