"""What every implementation of Store promises."""

import pytest
from store_doubles import Harness, everything, make, message, put, sequences, take

from gateway.core.ports import (
    Cleared,
    Dequeued,
    Enqueued,
    LaneFound,
    Noted,
    Page,
    Quarantined,
    QueueDeleted,
    QueueFound,
    QueueMade,
    Redelivered,
    Retained,
)
from gateway.core.record import Decoder


def test_positions_rise_and_become_durable(harness: Harness) -> None:
    harness.start()
    store = harness.store
    make(store, 1)
    first = put(store, 1, 1)
    second = put(store, 1, 2)
    assert 0 < first < second == store.position
    assert store.durable < first
    harness.settle()
    assert store.durable == second
    assert harness.listener.durable[-1] == second


def test_what_was_durable_is_there_after_a_restart_in_order(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1, 2)
    put(harness.store, 2, 1, 2)
    put(harness.store, 1, 3, 1, 2, body=b"abc")
    harness.settle()
    harness.reopen()
    found = harness.store.recover()
    assert [(queue.number, queue.key) for queue in found.queues] == [(1, "queue:1"), (2, "queue:2")]
    assert found.queues[0].lanes == [LaneFound(4, 3, 9, 1, 3, 0)]
    harness.start()
    assert sequences(harness.load(everything(1))) == [1, 2, 3]
    assert sequences(harness.load(everything(2))) == [1, 2]


def test_a_message_comes_back_as_it_was(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    kept = message(7, b"body", name="orders", priority=9, expires_at_ms=5_000)
    harness.store.append(Enqueued(1, 12, kept, b"note"))
    harness.settle()
    (entry,) = harness.load(everything(1))
    assert (entry.sequence, entry.lane, entry.size, entry.expires_at_ms, entry.note) == (
        12,
        9,
        4,
        5_000,
        b"note",
    )
    again = Decoder().message(entry.record)
    assert (again.id, again.destination, again.origin.body()) == (7, kept.destination, b"body")
    assert (again.priority, again.expires_at_ms, again.persistent, again.qos) == (9, 5_000, True, 1)


def test_heads_come_without_their_bodies(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1, 2, body=b"long")
    heads = harness.load(everything(1, heads_only=True))
    assert [(head.sequence, head.size, head.record) for head in heads] == [(1, 4, b""), (2, 4, b"")]


def test_a_page_sees_what_was_appended_before_it_was_asked_for(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1)
    harness.settle()
    put(harness.store, 1, 2)
    take(harness.store, 1, 1)
    assert sequences(harness.load(everything(1))) == [2]


def test_a_page_is_bounded_by_range_count_bytes_and_lane(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, *range(1, 10), body=b"0123456789")
    put(harness.store, 1, 10, priority=7)
    assert sequences(harness.load(Page(1, 4, 3, 6, 100, 1 << 30))) == [3, 4, 5, 6]
    assert sequences(harness.load(Page(1, 4, 1, 99, 2, 1 << 30))) == [1, 2]
    assert sequences(harness.load(Page(1, 4, 1, 99, 100, 35))) == [1, 2, 3]
    assert sequences(harness.load(Page(1, 4, 1, 99, 100, 1))) == [1]
    assert sequences(harness.load(Page(1, 7, 1, 99, 100, 1 << 30))) == [10]


def test_expired_messages_are_found_among_the_others(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1, 2)
    put(harness.store, 1, 1)
    put(harness.store, 1, 2, expires_at_ms=100)
    put(harness.store, 1, 3, expires_at_ms=300)
    put(harness.store, 2, 1, expires_at_ms=50)
    assert sequences(harness.load(Page(1, -1, 0, 1 << 39, 10, 1 << 30, expired_by_ms=200))) == [2]
    assert sequences(harness.load(Page(1, -1, 0, 1 << 39, 10, 1 << 30, expired_by_ms=300))) == [2, 3]


def test_dequeued_messages_are_gone(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, *range(1, 21))
    harness.settle()
    take(harness.store, 1, 2, 3, 4, 9, 7, 20)
    harness.settle()
    harness.reopen()
    harness.store.recover()
    harness.start()
    gone = {2, 3, 4, 7, 9, 20}
    assert sequences(harness.load(everything(1))) == [n for n in range(1, 21) if n not in gone]


def test_what_leaves_before_its_commit_needs_no_disk(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    harness.settle()
    enqueued = put(harness.store, 1, 1)
    put(harness.store, 1, 2)
    position = harness.store.append(Dequeued(1, 1, enqueued))
    assert position == harness.store.position
    harness.settle()
    assert harness.store.durable >= position
    assert sequences(harness.load(everything(1))) == [2]


def test_failures_are_kept(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1, 2)
    harness.store.append(Redelivered(1, 2, 1))
    harness.store.append(Redelivered(1, 2, 2))
    harness.settle()
    assert [entry.failures for entry in harness.load(everything(1))] == [0, 2]


def test_cleared_ranges_are_gone_lane_by_lane(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1, 3, 5)
    put(harness.store, 1, 2, 4, priority=9)
    harness.store.append(Cleared(1, 4, 1, 4))
    assert sequences(harness.load(everything(1))) == [2, 4, 5]
    harness.store.append(Cleared(1, -1, 1, 4))
    assert sequences(harness.load(everything(1))) == [5]


def test_a_deleted_queue_takes_its_messages_along(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1, 2)
    put(harness.store, 1, 1, 2)
    put(harness.store, 2, 1)
    harness.store.append(QueueDeleted(1))
    harness.settle()
    harness.reopen()
    found = harness.store.recover()
    assert [queue.number for queue in found.queues] == [2]
    assert found.queues[0].lanes[0].count == 1


def test_a_queue_made_and_deleted_in_one_commit_is_not_there(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1)
    harness.store.append(QueueDeleted(1))
    harness.store.append(QueueMade(2, "queue:1"))
    put(harness.store, 2, 1)
    harness.settle()
    harness.reopen()
    assert [(queue.number, queue.key) for queue in harness.store.recover().queues] == [(2, "queue:1")]


def test_what_a_queue_is_bound_to_can_change(harness: Harness) -> None:
    harness.start()
    harness.store.append(QueueMade(3, "durable:1:a/b", b"one"))
    harness.store.append(QueueMade(3, "durable:1:a/b", b"two"))
    harness.settle()
    harness.reopen()
    assert harness.store.recover().queues == [QueueFound(3, "durable:1:a/b", b"two", [])]


def test_retained_values_are_replaced_and_cleared(harness: Harness) -> None:
    harness.start()
    for topic, body in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("c", b"4")):
        harness.store.append(Retained(topic, message(1, body)))
    harness.store.append(Retained("c", None))
    harness.settle()
    harness.store.append(Retained("b", None))
    harness.settle()
    harness.reopen()
    decoder = Decoder()
    found = {
        topic: decoder.message(record).origin.body() for topic, record in harness.store.recover().retained
    }
    assert found == {"a": b"3"}


def test_notes_are_kept_by_space_and_key(harness: Harness) -> None:
    harness.start()
    for space, key, value in (("s", "a", b"1"), ("s", "b", b"2"), ("t", "a", b"3"), ("s", "a", b"4")):
        harness.store.append(Noted(space, key, value))
    harness.store.append(Noted("s", "b", None))
    harness.settle()
    harness.reopen()
    assert harness.store.recover().notes == {"s": {"a": b"4"}, "t": {"a": b"3"}}


def test_what_cannot_be_read_is_set_aside(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1, 2)
    harness.settle()
    harness.store.append(Quarantined(1, 1, "its checksum does not match"))
    assert sequences(harness.load(everything(1))) == [2]


def test_single_messages_can_be_had_at_start(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1, 2, 3)
    harness.settle()
    harness.reopen()
    harness.store.recover()
    assert sequences(harness.store.fetch(1, [3, 9, 1])) == [3, 1]


def test_each_start_counts_and_knows_whether_the_last_end_was_in_order(harness: Harness) -> None:
    first = harness.store.recover()
    assert first.clean
    harness.start()
    harness.reopen(clean=True)
    second = harness.store.recover()
    assert (second.epoch, second.clean) == (first.epoch + 1, True)
    harness.start()
    harness.reopen(clean=False)
    third = harness.store.recover()
    assert (third.epoch, third.clean) == (first.epoch + 2, False)


@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 1_500])
def test_batches_of_any_size(harness: Harness, count: int) -> None:
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, *range(1, count + 1))
    harness.settle()
    assert len(harness.load(everything(1, heads_only=True))) == count
    take(harness.store, 1, *range(count, 0, -1))
    harness.settle()
    assert harness.load(everything(1)) == []


def test_largest_keys(harness: Harness) -> None:
    harness.start()
    number = (1 << 23) - 1
    make(harness.store, number)
    put(harness.store, number, (1 << 40) - 1)
    assert sequences(harness.load(everything(number))) == [(1 << 40) - 1]


def test_the_number_of_a_deleted_queue_is_free_once_nothing_is_left_of_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.writer.IDLE_S", 0.01)
    harness.start()
    make(harness.store, 1, 2)
    put(harness.store, 1, 1, 2, 3)
    harness.settle()
    assert harness.store.numbers_free == []
    harness.store.append(QueueDeleted(1))
    harness.until(lambda: harness.store.numbers_free == [1])
    assert sequences(harness.load(everything(1))) == []


def test_numbers_that_anything_in_the_store_bears_are_not_free_at_a_start(harness: Harness) -> None:
    harness.start()
    make(harness.store, 1, 2)
    put(harness.store, 2, 1)
    harness.store.append(Quarantined(2, 1, "for a test"))
    harness.settle()
    harness.store.append(QueueDeleted(2))
    harness.settle()
    harness.reopen()
    used = harness.store.recover().numbers_used
    assert 1 in used
    # Either the queue is still being removed, or what was set aside is all there is.
    assert harness.implementation == "memory" or 2 in used
