"""gateway/core/committing.py: a large transaction goes on in later turns, and stays one thing."""

import gc
import itertools
from contextlib import suppress

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message, pattern, topic_message
from core_queues import broker_with, consume, store_of, waiting_ids

from gateway.core.committing import CARRIED_OUT_AT_ONCE, SMALL, SMALL_DEAR, Committing
from gateway.core.dedup import Once, summed
from gateway.core.delivery import ACCEPTED, REJECTED
from gateway.core.destination import Destination
from gateway.core.flow import Publisher
from gateway.core.leaving import LEFT_AT_ONCE
from gateway.core.limits import REJECT, CoreLimits, QueuePolicy
from gateway.core.message import Message
from gateway.core.once import publish_once
from gateway.core.pattern import ONE, Pattern
from gateway.core.ports import NOTHING, Authorizer
from gateway.core.releasing import RELEASED_AT_ONCE
from gateway.core.router import Broker
from gateway.core.subscription import Binding
from gateway.core.transaction import Transaction
from gateway.store.memory import MemoryStore

if not COMPILED:
    from core_doubles import LogOutlet, LogValve

    class BrokenOutlet(LogOutlet):
        """Cannot be offered anything."""

        def offer(self, message: Message, binding: Binding) -> int:
            raise ValueError

    class TellingValve(LogValve):
        """Remembers in which order it was told."""

        def __init__(self) -> None:
            super().__init__()
            self.told: list[str] = []

        def cut_off(self, why: str) -> None:
            self.told.append("cut off")

        def resume(self) -> None:
            self.told.append("resume")


pytestmark = needs_outlet

MANY = SMALL + 2 * CARRIED_OUT_AT_ONCE


class Committer:
    """A client with a large transaction, and a broker whose chores go on step by step."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.valve = LogValve()
        self.publisher = Publisher("p", self.valve)
        self.transaction: Transaction = broker.transaction(self.publisher)
        self.sent: list[Message] = []
        broker.chores.driven_by(lambda: None)

    def send(self, count: int = MANY, **fields: object) -> "Committer":
        for _ in range(count):
            one = message(self.broker, **fields)  # type: ignore[arg-type]
            self.transaction.publish(one)
            self.sent.append(one)
        return self

    @property
    def ids(self) -> list[int]:
        return [one.id for one in self.sent]

    def steps(self) -> int:
        """Go on until nothing is left to do; how many steps that took."""
        count = 0
        while self.broker.chores:
            self.broker.chores.step()
            count += 1
        return count


def test_a_large_transaction_is_carried_out_so_many_operations_a_step() -> None:
    broker = broker_with()
    client = Committer(broker).send(persistent=True)
    client.transaction.commit()
    queue = broker.queue("q")
    assert queue.depth == 0
    seen = []
    while broker.chores:
        broker.chores.step()
        seen.append(queue.depth)
    assert seen == list(range(CARRIED_OUT_AT_ONCE, MANY + 1, CARRIED_OUT_AT_ONCE))
    assert broker.counters.transactions_committed == 1


def test_a_small_one_is_carried_out_at_once() -> None:
    broker = broker_with()
    client = Committer(broker).send(SMALL, persistent=True)
    assert client.transaction.commit() == broker.store.position
    assert not broker.chores
    assert client.valve.turns == []


def test_where_look_ups_are_long_few_operations_are_carried_out_at_once_and_one_a_step() -> None:
    broker = broker_with()
    for levels in itertools.product((ONE, "a"), repeat=7):
        broker.bind(Binding(Pattern(levels), LogOutlet()))
    assert broker.looks_up_long
    Committer(broker).send(SMALL_DEAR).transaction.commit()
    assert not broker.chores
    assert broker.queue("q").depth == SMALL_DEAR
    client = Committer(broker).send(SMALL_DEAR + 1)
    client.transaction.commit()
    assert broker.queue("q").depth == SMALL_DEAR
    assert client.steps() >= SMALL_DEAR + 1
    assert broker.queue("q").depth == 2 * SMALL_DEAR + 1


def test_the_group_of_the_store_is_open_until_the_last_step_and_the_sender_waits() -> None:
    broker = broker_with()
    client = Committer(broker).send(persistent=True)
    position = client.transaction.commit()
    while broker.chores:
        assert store_of(broker).depth == 1
        assert client.valve.shut
        assert client.valve.suspended == 1
        broker.chores.step()
    assert store_of(broker).depth == 0
    assert not client.valve.shut
    assert client.valve.suspended == 0
    # Within the group, so safe when all of it is.
    assert 0 < position <= broker.store.position


@pytest.mark.parametrize("persistent", [True, False])
def test_consumers_see_nothing_before_all_of_it_is_safe_and_others_go_on(persistent: bool) -> None:
    broker = broker_with()
    reader, listener, other = LogOutlet(), LogOutlet(), LogOutlet()
    consume(broker.queue("q"), reader, MANY + 10)
    consume(broker.queue("other"), other, 10)
    broker.bind(Binding(pattern("t"), listener))
    client = Committer(broker)
    topical = topic_message(broker, "t")
    client.transaction.publish(topical)
    client.send(persistent=persistent)
    client.transaction.commit()
    broker.chores.step()
    aside, behind = message(broker, "other"), topic_message(broker, "t")
    broker.publish_to(aside.destination, aside)
    broker.publish_to(behind.destination, behind)
    small = broker.transaction()
    within = message(broker, "other", persistent=True)
    small.publish(within)
    small.commit()
    assert (reader.ids, listener.ids, other.ids) == ([], [], [aside.id])
    client.steps()
    if persistent:
        assert (reader.ids, listener.ids, other.ids) == ([], [], [aside.id])
    store_of(broker).release(broker)
    client.steps()
    assert reader.ids == client.ids
    assert listener.ids == [topical.id, behind.id]
    assert other.ids == [aside.id, within.id]


def test_what_was_held_is_released_so_many_messages_a_step() -> None:
    broker = broker_with()
    reader = LogOutlet()
    consume(broker.queue("q"), reader, 10_000)
    client = Committer(broker).send(3 * RELEASED_AT_ONCE, persistent=True)
    client.transaction.commit()
    client.steps()
    store_of(broker).release(broker)
    seen = [len(reader.ids)]
    late = message(broker)
    broker.publish_to(late.destination, late)
    while broker.chores:
        broker.chores.step()
        seen.append(len(reader.ids))
    assert seen[:3] == [RELEASED_AT_ONCE, 2 * RELEASED_AT_ONCE, 3 * RELEASED_AT_ONCE]
    # What came behind keeps its place.
    assert reader.ids == [*client.ids, late.id]


def test_what_was_held_on_topics_counts_for_each_subscriber() -> None:
    broker = broker_with()
    outlets = [LogOutlet() for _ in range(31)]
    for outlet in outlets:
        broker.bind(Binding(pattern("t"), outlet))
    client = Committer(broker)
    for _ in range(64):
        client.transaction.publish(topic_message(broker, "t"))
    client.transaction.publish(message(broker, persistent=True))
    client.transaction.commit()
    store_of(broker).release(broker)
    assert len(outlets[0].ids) == 32
    broker.chores.step()
    assert [len(outlet.ids) for outlet in outlets] == [64] * 31


def test_room_that_it_was_promised_may_be_exceeded_but_nothing_of_it_is_refused() -> None:
    policy = QueuePolicy(messages_max=MANY, when_full=REJECT)
    broker = broker_with(CoreLimits(queues_max=2), policy)
    client = Committer(broker).send(persistent=True)
    client.transaction.commit()
    broker.chores.step()
    other = message(broker, "q")
    broker.publish_to(other.destination, other)
    # Nor by a store that takes nothing new from now on.
    broker.store.accepting = False
    client.steps()
    assert broker.queue("q").depth == MANY + 1
    one_more = message(broker, "q")
    assert broker.publish_to(one_more.destination, one_more) < 0
    assert broker.counters.transactions_committed == 1


@pytest.mark.parametrize("outcome", [ACCEPTED, REJECTED])
def test_outcomes_are_a_part_of_it(outcome: int) -> None:
    broker = broker_with(policy=QueuePolicy(dead_letters="DLQ"))
    queue = broker.queue("q")
    reader = LogOutlet()
    consume(queue, reader, MANY)
    for _ in range(MANY):
        queue.offer(message(broker, persistent=True))
    store_of(broker).release(broker)
    client = Committer(broker)
    for delivery in reader.taken:
        client.transaction.settle(delivery, outcome)
    client.transaction.commit()
    assert queue.unsettled == MANY
    broker.chores.step()
    assert queue.unsettled == MANY - CARRIED_OUT_AT_ONCE
    client.steps()
    assert (queue.depth, broker.queue("DLQ").depth) == (0, MANY if outcome == REJECTED else 0)
    assert waiting_ids(broker.queue("DLQ")) == []
    store_of(broker).release(broker)
    client.steps()
    assert len(waiting_ids(broker.queue("DLQ"))) == (MANY if outcome == REJECTED else 0)


def test_where_nothing_has_to_be_stored_after_all_the_sender_is_confirmed_by_a_position_that_comes() -> None:
    broker = broker_with()
    client = Committer(broker)
    for _ in range(MANY):
        client.transaction.publish(topic_message(broker, "nobody", persistent=True))
    position = client.transaction.commit()
    client.steps()
    assert NOTHING < position <= broker.store.position


def test_a_client_that_leaves_meanwhile_has_committed() -> None:
    broker = broker_with()
    client = Committer(broker).send(persistent=True)
    client.transaction.commit()
    broker.chores.step()
    client.publisher.leave()
    client.steps()
    assert broker.queue("q").depth == MANY


def test_to_others_its_keys_are_used_from_the_beginning() -> None:
    broker = broker_with()
    client = Committer(broker)
    once = broker.dedup.once(client.publisher, "key", summed([b"content"]))
    client.send(persistent=True)
    once.messages = [client.sent[0].id]
    client.transaction.remember(once)
    position = client.transaction.commit()
    again = Once(once.name, once.producer, once.content)
    for step in (broker.chores.step, client.steps):
        done = broker.dedup.find(again)
        assert done is not None
        assert done.message == client.sent[0].id
        assert done.position >= position
        step()
    assert broker.dedup.count == 1


def test_a_key_whose_time_was_over_is_used_too_from_the_beginning() -> None:
    broker = broker_with()
    client = Committer(broker)
    once = broker.dedup.once(client.publisher, "key", summed([]))
    publish_once(broker, Once(once.name, once.producer, once.content), [message(broker)], None)
    broker.now_ms += broker.limits.dedup_window_ms
    client.send(persistent=True)
    client.transaction.remember(once)
    client.transaction.commit()
    assert broker.dedup.find(Once(once.name, once.producer, once.content)) is not None


def test_a_crash_in_the_middle_of_it_leaves_nothing_and_one_behind_it_all() -> None:
    store = MemoryStore(held=True)
    broker = Broker(store, Authorizer(), CoreLimits(), QueuePolicy())
    store.listener = broker
    before = message(broker, "before", persistent=True)
    broker.publish_to(before.destination, before)
    client = Committer(broker).send(persistent=True)
    client.transaction.commit()
    broker.chores.step()
    beside = message(broker, "beside", persistent=True)
    broker.publish_to(beside.destination, beside)
    store.commit()
    assert len(store.kept.entries) == 1
    client.steps()
    store.commit()
    assert len(store.kept.entries) == MANY + 2


def test_large_ones_that_follow_each_other_without_end_become_safe_one_after_the_other() -> None:
    store = MemoryStore(held=True)
    broker = Broker(store, Authorizer(), CoreLimits(), QueuePolicy())
    store.listener = broker
    client = Committer(broker).send(persistent=True)
    position = client.transaction.commit()
    for _ in range(3):
        broker.chores.step()
        other = Committer(broker).send(persistent=True)
        assert broker.places.shut
        assert other.transaction.keeps_waiting(other.publisher)
        assert other.valve.shut
        client.steps()
        assert not other.valve.shut
        assert not other.transaction.keeps_waiting(other.publisher)
        position, before = other.transaction.commit(), position
        store.commit()
        assert before <= store.durable < position
        client = other
    client.steps()
    assert broker.places.shut == 0


def test_a_small_one_waits_for_no_large_one() -> None:
    broker = broker_with()
    Committer(broker).send(persistent=True).transaction.commit()
    small = Committer(broker).send(SMALL, persistent=True)
    assert not small.transaction.keeps_waiting(small.publisher)


def test_a_large_one_that_nobody_made_wait_is_carried_out_at_once() -> None:
    broker = broker_with()
    client = Committer(broker).send(persistent=True)
    client.transaction.commit()
    Committer(broker).send(persistent=True).transaction.commit()
    assert broker.queue("q").depth == MANY
    client.steps()
    assert broker.queue("q").depth == 2 * MANY
    assert store_of(broker).depth == 0


class Failing(Exception):
    """A bug of ours."""


@pytest.mark.parametrize("count", [SMALL // 2, MANY], ids=["small", "large"])
def test_where_one_operation_fails_the_others_are_done_and_what_it_consumed_comes_again(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = broker_with()
    source = broker.queue("source")
    consumed = message(broker, "source", persistent=True)
    source.offer(consumed)
    reader = LogOutlet()
    consume(source, reader, 1)
    client = Committer(broker).send(count, persistent=True)
    client.transaction.settle(reader.open[0], ACCEPTED)
    publish_to = Broker.publish_to

    def fails_once(self: Broker, destination: Destination, one: Message) -> int:
        if one.id == client.ids[10]:
            raise Failing
        return publish_to(self, destination, one)

    monkeypatch.setattr(Broker, "publish_to", fails_once)
    with pytest.raises(Failing):
        client.transaction.commit()
        client.steps()
    assert store_of(broker).depth == 0
    store_of(broker).release(broker)
    client.steps()
    assert waiting_ids(broker.queue("q")) == [*client.ids[:10], *client.ids[11:]]
    # Nothing is confirmed, so its sender does all of it again, and can.
    assert reader.ids == [consumed.id, consumed.id]
    assert reader.open[1].failures == 1
    if count > SMALL:
        assert client.valve.cut_offs == ["its transaction could not be carried out"]
    assert broker.counters.transactions_committed == 0
    assert broker.committing is None


def test_where_one_operation_fails_the_sender_is_cut_off_before_what_waits_may_be_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Committer(broker_with())
    valve = client.publisher.valve = TellingValve()
    client.send(MANY).transaction.commit()
    monkeypatch.setattr(Broker, "publish_to", None)
    with pytest.raises(TypeError):
        client.steps()
    assert valve.told == ["cut off", "resume"]


@pytest.mark.parametrize("count", [SMALL // 2, MANY], ids=["small", "large"])
def test_a_failed_one_leaves_no_cycle(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Committer(broker_with()).send(count)

    def fails(self: Broker, destination: Destination, one: Message) -> int:
        raise Failing

    monkeypatch.setattr(Broker, "publish_to", fails)
    # Only what is new is looked at.
    gc.freeze()
    gc.disable()
    try:
        with suppress(Failing):
            client.transaction.commit()
            client.steps()
        left = [thing for thing in gc.get_objects() if isinstance(thing, (Failing, Committing))]
        assert not left
    finally:
        gc.enable()
        gc.unfreeze()


def test_what_an_abort_gives_back_goes_back_some_a_step() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    count = 10 * LEFT_AT_ONCE
    for _ in range(count):
        queue.offer(message(broker))
    outlet = LogOutlet()
    consumer = consume(queue, outlet, count)
    client = Committer(broker)
    broker.chores.finish()
    for delivery in outlet.open:
        client.transaction.settle(delivery, ACCEPTED)
    queue.detach(consumer)
    client.transaction.abort()
    waiting = [queue.waiting]
    while broker.chores:
        broker.chores.step()
        waiting.append(queue.waiting)
    assert waiting == [*range(0, count + 1, LEFT_AT_ONCE)]
    assert {delivery.failures for delivery in queue.browse()} == {1}


def test_where_one_of_those_that_get_it_fails_the_sender_goes_on() -> None:
    committer = Committer(broker_with())
    broker = committer.broker
    broker.bind(Binding(pattern("t"), BrokenOutlet()))
    for _ in range(MANY):
        committer.transaction.publish(topic_message(broker, "t"))
    committer.transaction.commit()
    failures = 0
    while broker.chores:
        try:
            broker.chores.step()
        except ValueError:
            failures += 1
    assert failures > 0
    assert committer.valve.suspended == 0
    assert not committer.publisher.held
