"""gateway/core/transaction.py"""

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with, consume, store_of, waiting_ids

from gateway.core.delivery import ACCEPTED, REJECTED
from gateway.core.flow import Publisher
from gateway.core.limits import BLOCK, CoreLimits, QueuePolicy
from gateway.core.ports import NOTHING
from gateway.core.queue_key import DURABLE, QueueKey
from gateway.core.router import LimitReached
from gateway.core.subscription import Binding
from gateway.core.transaction import TransactionRefused, TransactionTooLarge

if not COMPILED:
    from core_doubles import LogOutlet


def test_nothing_is_published_before_commit_and_all_in_order_by_it() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    bound = broker.bound_queue(QueueKey(DURABLE, "c", "n"), QueuePolicy())
    broker.bind_queue(bound, Binding(pattern("t.>"), bound))
    transaction = broker.transaction()
    messages = [message(broker), topic_message(broker, "t.a"), message(broker)]
    for one in messages:
        transaction.publish(one)
    assert (queue.depth, bound.depth) == (0, 0)
    assert transaction.commit() == NOTHING
    assert waiting_ids(queue) == [messages[0].id, messages[2].id]
    assert waiting_ids(bound) == [messages[1].id]
    assert broker.counters.transactions_committed == 1


def test_commit_answers_the_position_that_makes_all_of_it_durable() -> None:
    broker = broker_with()
    transaction = broker.transaction()
    transaction.publish(message(broker, persistent=True))
    transaction.publish(message(broker, persistent=True))
    transaction.publish(message(broker))
    assert transaction.commit() == 3
    assert store_of(broker).depth == 0


@needs_outlet
def test_while_the_store_keeps_nothing_new_a_transaction_that_only_consumes_is_committed() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    queue.offer(message(broker, persistent=True))
    outlet = LogOutlet()
    consume(queue, outlet, 1)
    store_of(broker).accepting = False
    refused = broker.transaction()
    refused.publish(message(broker, persistent=True))
    with pytest.raises(TransactionRefused, match="the broker's disk is full"):
        refused.commit()
    transaction = broker.transaction()
    transaction.settle(outlet.taken[0], ACCEPTED)
    transaction.commit()
    assert (queue.depth, queue.unsettled) == (0, 0)


@needs_outlet
def test_outcomes_wait_for_commit() -> None:
    broker = broker_with(policy=QueuePolicy(dead_letters="DLQ"))
    queue = broker.queue("q")
    for _ in range(2):
        queue.offer(message(broker))
    outlet = LogOutlet()
    consume(queue, outlet, 2)
    transaction = broker.transaction()
    transaction.settle(outlet.taken[0], ACCEPTED)
    transaction.settle(outlet.taken[1], REJECTED)
    assert queue.unsettled == 2
    transaction.commit()
    assert queue.depth == 0
    assert broker.queue("DLQ").depth == 1


@needs_outlet
def test_abort_publishes_nothing_and_fails_the_deliveries() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    queue.offer(message(broker))
    outlet = LogOutlet()
    queue.detach(consume(queue, outlet))
    transaction = broker.transaction()
    transaction.publish(message(broker))
    transaction.settle(outlet.taken[0], ACCEPTED)
    transaction.abort()
    (back,) = queue.browse()
    assert back is outlet.taken[0]
    assert back.failures == 1
    assert broker.counters.transactions_aborted == 1
    assert broker.counters.transactions_committed == 0


def test_a_transaction_is_bounded() -> None:
    broker = broker_with(CoreLimits(transaction_operations_max=2))
    transaction = broker.transaction()
    transaction.publish(message(broker))
    transaction.publish(message(broker))
    with pytest.raises(TransactionTooLarge, match="2 operations"):
        transaction.publish(message(broker))
    transaction.commit()
    assert broker.queue("q").depth == 2


def test_open_transactions_are_bounded_in_bytes_each_and_together() -> None:
    broker = broker_with(CoreLimits(transaction_bytes_max=3_000, transactions_bytes_max=4_000))
    first = broker.transaction()
    first.publish(message(broker, size=2_000))
    with pytest.raises(TransactionTooLarge, match="may hold 3000 bytes"):
        first.publish(message(broker, size=1_000))
    second = broker.transaction()
    with pytest.raises(TransactionTooLarge, match="4000 bytes together"):
        second.publish(message(broker, size=1_000))
    first.commit()
    second.publish(message(broker, size=1_000))
    second.abort()
    assert broker.transactions_bytes == 0
    assert broker.queue("q").depth == 1


@needs_outlet
def test_room_is_asked_for_before_deliveries_are_let_go_of() -> None:
    broker = broker_with(CoreLimits(transaction_operations_max=2))
    queue = broker.queue("q")
    queue.offer(message(broker))
    outlet = LogOutlet()
    consume(queue, outlet)
    transaction = broker.transaction()
    transaction.check_room(2)
    transaction.settle(outlet.taken[0], ACCEPTED)
    with pytest.raises(TransactionTooLarge):
        transaction.check_room(2)
    transaction.abort()


def test_a_commit_that_needs_too_many_queues_does_nothing_of_it() -> None:
    broker = broker_with(CoreLimits(queues_max=1))
    queue = broker.queue("q")
    transaction = broker.transaction()
    transaction.publish(message(broker, "q", persistent=True))
    transaction.publish(message(broker, "other", persistent=True))
    with pytest.raises(LimitReached):
        transaction.commit()
    assert queue.depth == 0
    assert store_of(broker).depth == 0
    assert store_of(broker).operations == []
    assert broker.counters.transactions_committed == 0


@needs_outlet
def test_what_a_consumer_sends_to_its_own_full_queue_comes_in_whole_or_is_refused_whole() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=2, when_full=BLOCK))
    queue = broker.queue("q")
    outlet = LogOutlet()
    outlet.publishes_as = sender = Publisher("c", None)
    consume(queue, outlet, 2)
    first = broker.transaction(sender)
    for _ in range(6):
        first.publish(message(broker, publisher=sender))
    first.commit()
    # It had room when it began, and is no half.
    assert queue.depth == 6
    second = broker.transaction(sender)
    second.publish(message(broker, "other", publisher=sender))
    second.publish(message(broker, publisher=sender))
    with pytest.raises(TransactionRefused, match="queue:q is full"):
        second.commit()
    assert (queue.depth, broker.queue("other").depth) == (6, 0)
    third = broker.transaction(sender)
    third.settle(outlet.open.pop(), ACCEPTED)
    third.publish(message(broker, publisher=sender))
    third.commit()
    assert queue.depth == 6
