"""Any sequence of operations and restarts, on every implementation, against a plain model."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from store_doubles import IMPLEMENTATIONS, SqliteHarness, everything, harness_of, message

from gateway.core.ports import (
    Cleared,
    Dequeued,
    Enqueued,
    Noted,
    Operation,
    Page,
    QueueDeleted,
    QueueMade,
    Redelivered,
    Retained,
)
from gateway.core.record import Decoder

queues = st.integers(1, 3)
bodies = st.binary(max_size=40)
lanes = st.sampled_from([-1, 0, 4, 9])
EXAMPLES = settings().max_examples // 4
"""Each restart syncs a disk."""

names = st.sampled_from(["a", "b", "c"])


class StoreMachine(RuleBasedStateMachine):
    """The model: dictionaries that change at once.  The store must show the same whenever it is asked."""

    implementation = ""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.harness = harness_of(self.implementation, Path(self.directory.name))
        self.decoder = Decoder()
        self.made: set[int] = set()
        self.gone: set[int] = set()
        self.sequence = 0
        # (queue, sequence) → lane, failures, body; positions of this run by the same.
        self.entries: dict[tuple[int, int], list[object]] = {}
        self.positions: dict[tuple[int, int], int] = {}
        self.notes_of: dict[tuple[int, int], bytes] = {}
        self.retained: dict[str, bytes] = {}
        self.notes: dict[str, dict[str, bytes]] = {}
        self.number = 0

    @initialize()
    def begin(self) -> None:
        self.harness.store.recover()
        self.harness.start()

    def append(self, operation: Operation) -> int:
        return self.harness.store.append(operation)

    @rule()
    @precondition(lambda self: len(self.made) < 3)
    def make(self) -> None:
        self.number += 1
        self.append(QueueMade(self.number, f"queue:{self.number}"))
        self.made.add(self.number)

    @rule(data=st.data(), body=bodies, lane=lanes)
    @precondition(lambda self: self.made)
    def enqueue(self, data: st.DataObject, body: bytes, lane: int) -> None:
        queue = data.draw(st.sampled_from(sorted(self.made)))
        self.sequence += 1
        key = (queue, self.sequence)
        self.positions[key] = self.append(Enqueued(queue, self.sequence, message(1, body, priority=lane)))
        self.entries[key] = [4 if lane == -1 else lane, 0, body]

    @rule(data=st.data(), body=bodies, lane=lanes, count=st.integers(2, 12), expires=st.sampled_from([0, 5]))
    @precondition(lambda self: self.made)
    def fan_out(self, data: st.DataObject, body: bytes, lane: int, count: int, expires: int) -> None:
        sent = message(1, body, priority=lane, expires_at_ms=expires)
        for _ in range(count):
            queue = data.draw(st.sampled_from(sorted(self.made)))
            self.sequence += 1
            key = (queue, self.sequence)
            note = data.draw(st.sampled_from([b"", b"a", b"bc"]))
            self.positions[key] = self.append(Enqueued(queue, self.sequence, sent, note))
            self.entries[key] = [4 if lane == -1 else lane, 0, body]
            self.notes_of[key] = note

    @rule(data=st.data(), known=st.booleans())
    @precondition(lambda self: self.entries)
    def dequeue(self, data: st.DataObject, known: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.entries)))
        self.append(Dequeued(key[0], key[1], self.positions.get(key, 0) if known else 0))
        del self.entries[key]

    @rule(data=st.data(), failures=st.integers(1, 9))
    @precondition(lambda self: self.entries)
    def fail(self, data: st.DataObject, failures: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.entries)))
        self.append(Redelivered(key[0], key[1], failures))
        self.entries[key][1] = failures

    @rule(data=st.data(), lane=lanes)
    @precondition(lambda self: self.entries)
    def clear(self, data: st.DataObject, lane: int) -> None:
        queue, last = data.draw(st.sampled_from(sorted(self.entries)))
        self.append(Cleared(queue, lane, 0, last))
        for key, row in list(self.entries.items()):
            if key[0] == queue and key[1] <= last and lane in (-1, row[0]):
                del self.entries[key]

    @rule(data=st.data())
    @precondition(lambda self: self.made)
    def delete(self, data: st.DataObject) -> None:
        queue = data.draw(st.sampled_from(sorted(self.made)))
        self.append(QueueDeleted(queue))
        self.made.discard(queue)
        self.entries = {key: row for key, row in self.entries.items() if key[0] != queue}

    @rule(topic=names, body=st.none() | bodies)
    def retain(self, topic: str, body: bytes | None) -> None:
        self.append(Retained(topic, None if body is None else message(1, body)))
        if body is None:
            self.retained.pop(topic, None)
        else:
            self.retained[topic] = body

    @rule(space=names, key=names, value=st.none() | bodies)
    def note(self, space: str, key: str, value: bytes | None) -> None:
        self.append(Noted(space, key, value))
        values = self.notes.setdefault(space, {})
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value

    @rule()
    def clean(self) -> None:
        """What is done when there is quiet."""
        self.harness.settle()
        if isinstance(self.harness, SqliteHarness):
            with self.harness.sqlite._writer.lock:
                self.harness.sqlite._opened.tables.clean()

    @rule()
    def merge(self) -> None:
        """What is done where too many copies wait."""
        self.harness.settle()
        if isinstance(self.harness, SqliteHarness):
            with self.harness.sqlite._writer.lock:
                self.harness.sqlite._opened.tables.merge()

    @rule()
    def settle(self) -> None:
        self.harness.settle()

    @rule(data=st.data(), count=st.integers(1, 5))
    @precondition(lambda self: self.made)
    def page(self, data: st.DataObject, count: int) -> None:
        queue = data.draw(st.sampled_from(sorted(self.made)))
        first = data.draw(st.integers(0, self.sequence + 1))
        found = self.harness.load(Page(queue, -1, first, 1 << 39, count, 1 << 30))
        expected = [key for key in sorted(self.entries) if key[0] == queue and key[1] >= first][:count]
        assert [entry.sequence for entry in found] == [key[1] for key in expected]

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.harness.reopen(clean)
        found = self.harness.store.recover()
        assert found.clean == clean
        assert {queue.number for queue in found.queues} == self.made
        for queue in found.queues:
            for lane in queue.lanes:
                keys = [k for k, row in self.entries.items() if k[0] == queue.number and row[0] == lane.lane]
                assert (lane.count, lane.bytes, lane.first, lane.last) == (
                    len(keys),
                    sum(len(self.entries[key][2]) for key in keys),
                    min(key[1] for key in keys),
                    max(key[1] for key in keys),
                )
            assert sum(lane.count for lane in queue.lanes) == len(
                [k for k in self.entries if k[0] == queue.number]
            )
        assert {t: self.decoder.message(r).origin.body() for t, r in found.retained} == self.retained
        assert found.notes == {space: values for space, values in self.notes.items() if values}
        self.positions.clear()
        self.harness.start()

    @invariant()
    def nothing_failed(self) -> None:
        assert self.harness.listener.failures == []

    def teardown(self) -> None:
        for queue in sorted(self.made):
            found = self.harness.load(everything(queue))
            rows = {
                entry.sequence: [entry.lane, entry.failures, self.decoder.message(entry.record).origin.body()]
                for entry in found
            }
            notes = [(entry.note, self.notes_of.get((queue, entry.sequence), b"")) for entry in found]
            assert all(there == expected for there, expected in notes)
            assert rows == {key[1]: row for key, row in self.entries.items() if key[0] == queue}
        self.harness.close()
        self.directory.cleanup()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_any_sequence_of_operations_matches_the_model(
    implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.groups.COPIES_MIN", 3)
    machine = type("Machine", (StoreMachine,), {"implementation": implementation})
    run_state_machine_as_test(machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=40))
