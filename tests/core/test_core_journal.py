"""What waits for its commit: batches, groups, what is struck, what cannot be written."""

import pytest
from core_doubles import COMPILED
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.destination import QUEUE, Destination
from gateway.core.journal import ENTRY_COLUMNS, OPERATION_BYTES, Batch, Journal
from gateway.core.message import PRIORITY_NONE, Message
from gateway.core.ports import (
    SEQUENCE_BITS,
    Dequeued,
    Enqueued,
    Noted,
    Operation,
    QueueDeleted,
    QueueMade,
    Retained,
)
from gateway.core.record import BareOrigin


class LogJournal(Journal):
    """Commits when told to; remembers how often it was woken."""

    def __init__(
        self, bytes_max: int = 1 << 40, operations: int = 1_000_000, batch_bytes: int = 1 << 40
    ) -> None:
        super().__init__(bytes_max, operations, batch_bytes)
        self.woken = 0
        self.calls = 0

    def wake(self) -> None:
        self.woken += 1

    def cleared(self) -> None:
        self.calls += 1

    def commit(self) -> Batch | None:
        batch = self.take()
        if batch is not None:
            self.finish(batch.position)
        self.advance()
        return batch

    def commit_all(self) -> list[Batch]:
        batches = []
        while self.position > self.taken:
            batch = self.commit()
            if batch is not None:
                batches.append(batch)
        return batches


def message(size: int = 1, expires_at_ms: int = 0) -> Message:
    to = Destination(QUEUE, "q")
    return Message(1, to, BareOrigin(b"", 0), size, 0, True, 1, False, PRIORITY_NONE, expires_at_ms, None)


def put(journal: Journal, sequence: int, size: int = 1, queue: int = 1) -> int:
    return journal.append(Enqueued(queue, sequence, message(size)))


def take(journal: Journal, sequence: int, enqueued: int, queue: int = 1) -> int:
    return journal.append(Dequeued(queue, sequence, enqueued))


def places(batch: Batch | None) -> list[tuple[int, int]]:
    """Queue and sequence of what comes in with a batch."""
    assert batch is not None
    keys = [key for key in batch.entries[::ENTRY_COLUMNS] if isinstance(key, int)]
    return [(key >> SEQUENCE_BITS, key & ((1 << SEQUENCE_BITS) - 1)) for key in keys]


TOO_LONG = 1 << 63
"""A time that no record holds."""


# -- batches are bounded


def test_a_batch_has_no_more_operations_than_its_limit_and_the_rest_follows_in_order() -> None:
    journal = LogJournal(operations=3)
    for sequence in range(1, 9):
        put(journal, sequence)
    batches = journal.commit_all()
    assert [batch.operations for batch in batches] == [3, 3, 2]
    assert [batch.position for batch in batches] == [3, 6, 8]
    assert [place[1] for batch in batches for place in places(batch)] == list(range(1, 9))
    assert journal.uncommitted_bytes == journal.waiting == 0


def test_a_batch_is_full_once_its_operations_weigh_enough() -> None:
    journal = LogJournal(batch_bytes=2 * OPERATION_BYTES + 2_000)
    for sequence in range(1, 5):
        put(journal, sequence, 1_000)
    assert [batch.position for batch in journal.commit_all()] == [2, 4]


def test_a_position_is_durable_only_with_its_own_batch() -> None:
    journal = LogJournal(operations=2)
    positions = [put(journal, sequence) for sequence in (1, 2, 3)]
    journal.commit()
    assert journal.durable == positions[1]
    journal.commit()
    assert journal.durable == positions[2]


def test_struck_operations_do_not_fill_a_batch() -> None:
    journal = LogJournal(operations=2)
    first = [put(journal, sequence) for sequence in (1, 2, 3)]
    put(journal, 4)
    put(journal, 5)
    take(journal, 2, first[1])
    take(journal, 3, first[2])
    assert places(journal.commit()) == [(1, 1), (1, 4)]
    assert places(journal.commit()) == [(1, 5)]


@pytest.mark.parametrize("operations", [1, 2, 3, 4])
def test_a_group_is_never_split(operations: int) -> None:
    journal = LogJournal(operations=operations)
    put(journal, 1)
    journal.begin()
    for sequence in (2, 3, 4):
        put(journal, sequence)
    journal.end()
    put(journal, 5)
    for batch in journal.commit_all():
        assert len({2, 3, 4} & {place[1] for place in places(batch)}) in (0, 3)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=20), st.integers(1, 7))
def test_any_groups_stay_whole_and_in_order(shape: list[tuple[int, int]], operations: int) -> None:
    journal = LogJournal(operations=operations)
    groups: list[set[int]] = []
    sequence = 0
    for inside, outside in shape:
        journal.begin()
        groups.append(set())
        for _ in range(inside):
            sequence += 1
            put(journal, sequence)
            groups[-1].add(sequence)
        journal.end()
        for _ in range(outside):
            sequence += 1
            put(journal, sequence)
    batches = [[place[1] for place in places(batch)] for batch in journal.commit_all()]
    assert [one for batch in batches for one in batch] == list(range(1, sequence + 1))
    for group in groups:
        assert sum(bool(group & set(batch)) for batch in batches) == 1


# -- what leaves before its commit


def test_a_message_that_leaves_on_its_own_is_durable_at_once() -> None:
    journal = LogJournal()
    first = put(journal, 1)
    put(journal, 2)
    take(journal, 1, first)
    assert journal.calls == 1
    assert journal.advance()
    assert journal.durable == first


def test_a_message_that_moves_within_a_group_is_durable_only_with_the_group() -> None:
    journal = LogJournal()
    first = put(journal, 1)
    journal.begin()
    take(journal, 1, first)
    moved = put(journal, 1, queue=2)
    journal.end()
    assert journal.calls == 0
    assert not journal.advance()
    assert journal.durable < first
    batch = journal.commit()
    # Both in one batch: what has moved on never touches the disk.
    assert places(batch) == [(2, 1)]
    assert batch is not None
    assert batch.removed == []
    assert journal.durable == moved


def test_a_message_that_moves_in_a_later_batch_than_it_came_with_is_written_and_removed() -> None:
    journal = LogJournal(operations=1)
    first = put(journal, 1)
    journal.begin()
    take(journal, 1, first)
    put(journal, 1, queue=2)
    journal.end()
    came, moved = journal.commit_all()
    assert places(came) == [(1, 1)]
    assert places(moved) == [(2, 1)]
    assert moved.removed == [((1 << SEQUENCE_BITS) + 1, (1 << SEQUENCE_BITS) + 1)]


def test_what_moved_and_is_consumed_before_its_commit_still_leaves_its_old_place() -> None:
    journal = LogJournal()
    first = put(journal, 1)
    journal.begin()
    take(journal, 1, first)
    moved = put(journal, 1, queue=2)
    journal.end()
    take(journal, 1, moved, queue=2)
    assert journal.commit() is None
    assert journal.durable == journal.position
    assert journal.uncommitted_bytes == 0


def test_while_a_group_is_open_no_batch_goes_beyond_its_beginning() -> None:
    journal = LogJournal()
    before = put(journal, 1)
    journal.begin()
    put(journal, 2)
    assert journal.takes_more()
    assert places(journal.commit()) == [(1, 1)]
    assert journal.durable == before
    # Somebody else's operation, in a later turn.
    put(journal, 1, queue=2)
    assert not journal.takes_more()
    woken = journal.woken
    journal.begin()
    put(journal, 3)
    journal.end()
    assert journal.woken == woken
    journal.end()
    assert journal.woken == woken + 1
    assert places(journal.commit()) == [(1, 2), (2, 1), (1, 3)]


def test_what_leaves_within_an_open_group_and_was_taken_meanwhile_is_removed() -> None:
    journal = LogJournal()
    first = put(journal, 1)
    journal.begin()
    take(journal, 1, first)
    assert places(journal.commit()) == [(1, 1)]
    journal.end()
    batch = journal.commit()
    assert batch is not None
    assert batch.removed == [((1 << SEQUENCE_BITS) + 1, (1 << SEQUENCE_BITS) + 1)]
    assert journal.uncommitted_bytes == 0


def test_what_an_open_group_has_brought_is_encoded_once_ahead_of_its_batch() -> None:
    journal = LogJournal()
    journal.begin()
    for sequence in range(3):
        operation = Enqueued(1, sequence, message())
        journal.append(operation)
        assert operation.record is None
        weight = journal.uncommitted_bytes
        journal.encode_ahead()
        assert operation.record is not None
        # What is held ready counts.
        assert journal.uncommitted_bytes == weight + len(operation.record)
    journal.append(Enqueued(1, 3, message(expires_at_ms=TOO_LONG)))
    journal.encode_ahead()
    journal.end()
    assert journal.commit() is None
    # As a whole, where one cannot be written.
    assert [len(refused.operations) for refused in journal.refused] == [4]
    assert journal.uncommitted_bytes == 0


def test_a_group_in_which_nothing_comes_strikes_what_leaves() -> None:
    journal = LogJournal()
    first = put(journal, 1)
    second = put(journal, 2)
    journal.begin()
    journal.append(Noted("sent", "1", None))
    take(journal, 2, second)
    take(journal, 1, first)
    journal.end()
    assert journal.waiting == 1
    assert journal.advance()
    assert journal.durable == second
    batch = journal.commit()
    assert batch is not None
    assert (batch.entries, batch.removed, len(batch.notes)) == ([], [], 1)


@pytest.mark.parametrize(
    "operation", [Noted("space", "key", b"value"), Retained("t", None), QueueMade(3, "queue:3")]
)
def test_whatever_a_group_puts_in_is_waited_for(operation: Operation) -> None:
    journal = LogJournal()
    first = put(journal, 1)
    journal.begin()
    take(journal, 1, first)
    journal.append(operation)
    journal.end()
    assert not journal.advance()
    journal.commit()
    assert journal.durable == journal.position


# -- how much waits


def test_everything_that_waits_is_counted() -> None:
    journal = LogJournal(bytes_max=20 * OPERATION_BYTES)
    for number in range(10):
        journal.append(Noted("space", str(number), b"x" * OPERATION_BYTES))
    assert journal.congested
    journal.commit()
    assert not journal.congested
    for number in range(10):
        journal.append(Retained(str(number), message(OPERATION_BYTES)))
    assert journal.congested
    journal.commit()
    for number in range(21):
        journal.append(QueueDeleted(number))
    assert journal.congested


def test_publishers_may_go_on_once_all_that_waited_has_been_struck() -> None:
    journal = LogJournal(bytes_max=1_000)
    put(journal, 1, 100)
    journal.commit()
    position = put(journal, 2, 2_000)
    assert journal.congested
    take(journal, 2, position)
    assert journal.advance()
    assert not journal.congested


# -- what cannot be written


def test_what_cannot_be_written_costs_nobody_else_anything() -> None:
    journal = LogJournal()
    put(journal, 1)
    bad = Enqueued(1, 2, message(expires_at_ms=TOO_LONG))
    journal.append(bad)
    put(journal, 3)
    batch = journal.commit()
    assert places(batch) == [(1, 1), (1, 3)]
    assert [group.operations for group in journal.refused] == [[bad]]
    assert "error" in journal.refused[0].why
    assert journal.uncommitted_bytes == journal.waiting == 0


def test_a_group_that_cannot_be_written_is_refused_as_a_whole_and_keeps_what_it_would_have_moved() -> None:
    journal = LogJournal()
    first = put(journal, 1)
    journal.begin()
    take(journal, 1, first)
    journal.append(Enqueued(2, 1, message(expires_at_ms=TOO_LONG)))
    put(journal, 2, queue=2)
    journal.end()
    put(journal, 2)
    batch = journal.commit()
    assert places(batch) == [(1, 1), (1, 2)]
    assert batch is not None
    assert batch.removed == []
    assert [len(group.operations) for group in journal.refused] == [3]
    assert journal.uncommitted_bytes == journal.waiting == 0


@pytest.mark.parametrize(
    "operation",
    [
        Noted("space", "\ud800", b""),
        QueueMade(1, "queue:\udfff"),
        Retained("\ud800", None),
        Retained("t", message(expires_at_ms=TOO_LONG)),
    ],
)
def test_no_operation_that_cannot_be_written_reaches_the_database(operation: Operation) -> None:
    journal = LogJournal()
    journal.append(operation)
    assert journal.commit() is None
    assert [group.operations for group in journal.refused] == [[operation]]


if not COMPILED:

    def test_a_batch_that_fails_for_a_bug_of_ours_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
        journal = LogJournal()
        put(journal, 1)

        def fail(self: Journal, count: int) -> Batch:
            raise MemoryError

        with monkeypatch.context() as patched:
            patched.setattr(Journal, "_encode", fail)
            with pytest.raises(MemoryError):
                journal.take()
        assert journal.durable == 0
        assert places(journal.commit()) == [(1, 1)]
