"""gateway/core/checking.py: what a large transaction needs is looked at in later turns, before anything of it is done."""

import gc

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message
from core_queues import broker_with

from gateway.core.checking import CHECKED_AT_ONCE, Checking, TransactionDenied, TransactionRefused
from gateway.core.committing import SMALL
from gateway.core.destination import Destination
from gateway.core.flow import Publisher
from gateway.core.limits import REJECT, CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.purging import purge
from gateway.core.queue import Queue
from gateway.core.router import Broker, LimitReached
from gateway.core.transaction import FEW_TO_ASK, Transaction

if not COMPILED:
    from core_doubles import LogStore, LogValve

pytestmark = needs_outlet

MANY = SMALL + 3 * CHECKED_AT_ONCE


class Rules(Authorizer):
    """Rules that may change, and count how often they are asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.denied = ""

    def may_publish(self, publisher: Publisher, destination: Destination) -> bool:
        self.asked += 1
        return destination.name != self.denied


class Sender:
    """A client whose transaction goes to very many queues, and a broker whose chores go on step by step."""

    def __init__(self, count: int = MANY, limits: CoreLimits | None = None) -> None:
        self.rules = Rules()
        self.broker = Broker(LogStore(), self.rules, limits or CoreLimits(), QueuePolicy())
        self.broker.chores.driven_by(lambda: None)
        self.valve = LogValve()
        self.publisher = Publisher("p", self.valve)
        self.transaction: Transaction = self.broker.transaction(self.publisher)
        for number in range(count):
            self.transaction.publish(message(self.broker, f"q.{number}"))

    def change_rules(self, denied: str = "") -> None:
        self.rules.generation += 1
        self.rules.denied = denied

    def waits(self) -> bool:
        return self.transaction.must_wait(self.publisher)

    def steps(self) -> list[int]:
        """Go on until the publisher may; how many queues there were after each step."""
        seen = []
        while self.valve.shut:
            self.broker.chores.step()
            seen.append(len(self.broker.queues))
        return seen


def test_the_queues_of_a_large_transaction_are_made_some_a_step_and_then_it_is_committed() -> None:
    sender = Sender()
    assert sender.waits()
    assert sender.valve.shut
    assert sender.steps() == list(range(CHECKED_AT_ONCE, MANY + 1, CHECKED_AT_ONCE))
    assert not sender.waits()
    sender.transaction.commit()
    sender.broker.chores.finish()
    assert {queue.depth for queue in sender.broker.queues.values()} == {1}
    assert len(sender.broker.queues) == MANY
    assert sender.broker.places.shut == 0


def test_a_small_one_is_looked_at_in_one_go() -> None:
    sender = Sender(SMALL)
    assert not sender.waits()
    sender.transaction.commit()
    assert len(sender.broker.queues) == SMALL


def test_rules_that_have_changed_are_asked_some_a_step() -> None:
    sender = Sender(FEW_TO_ASK + 2 * CHECKED_AT_ONCE)
    sender.change_rules()
    assert sender.waits()
    asked = 0
    while sender.valve.shut:
        sender.broker.chores.step()
        assert sender.rules.asked - asked <= CHECKED_AT_ONCE
        asked = sender.rules.asked
    assert not sender.waits()
    sender.transaction.commit()
    assert sender.rules.asked == FEW_TO_ASK + 2 * CHECKED_AT_ONCE


def test_rules_that_change_between_two_steps_are_asked_about_all_of_it() -> None:
    sender = Sender()
    sender.change_rules()
    assert sender.waits()
    sender.broker.chores.step()
    # One that was allowed a step before.
    sender.change_rules(denied="q.0")
    sender.steps()
    assert sender.waits()
    sender.steps()
    assert not sender.waits()
    with pytest.raises(TransactionDenied):
        sender.transaction.commit()
    sender.broker.chores.finish()
    assert {queue.depth for queue in sender.broker.queues.values()} <= {0}


def test_whom_others_wait_for_commits_whatever_room_there_is() -> None:
    sender = Sender()
    full = sender.broker.queue("q.3", QueuePolicy(messages_max=1))
    full.offer(message(sender.broker))
    assert full.room.hold(Publisher("other", LogValve()), False)
    assert sender.waits()
    while sender.broker.chores:
        sender.broker.chores.step()
    assert sender.valve.shut
    assert sender.publisher.wait_no_longer()
    # It is looked at once more, which is not to have committed it.
    waits = sender.waits()
    sender.publisher.went_on()
    while sender.broker.chores:
        sender.broker.chores.step()
    assert waits
    assert not sender.valve.shut
    assert not sender.waits()
    sender.transaction.commit()
    sender.publisher.went_on()
    assert not sender.publisher.overdue
    sender.broker.chores.finish()
    assert full.depth == 2


def test_rules_that_change_before_the_commit_are_asked_by_it() -> None:
    sender = Sender()
    sender.waits()
    sender.steps()
    assert not sender.waits()
    sender.change_rules(denied="q.7")
    with pytest.raises(TransactionDenied):
        sender.transaction.commit()


@pytest.mark.parametrize("why", ["limit", "full"])
def test_what_is_found_to_stand_in_its_way_is_said_by_the_commit_and_nothing_is_done(why: str) -> None:
    sender = Sender(limits=CoreLimits(queues_max=MANY - 1 if why == "limit" else MANY + 1))
    broker = sender.broker
    if why == "full":
        full: Queue = broker.queue(f"q.{MANY - 1}", QueuePolicy(messages_max=1, when_full=REJECT))
        full.offer(message(broker))
    assert sender.waits()
    sender.steps()
    assert not sender.waits()
    # Only what is new is looked at: nothing that fails leaves a cycle.
    gc.freeze()
    gc.disable()
    try:
        with pytest.raises(LimitReached if why == "limit" else TransactionRefused):
            sender.transaction.commit()
        failures = (Checking, LimitReached, TransactionRefused)
        del sender
        assert not [thing for thing in gc.get_objects() if isinstance(thing, failures)]
    finally:
        gc.enable()
        gc.unfreeze()
    assert broker.counters.transactions_aborted == 1
    assert sum(queue.depth for queue in broker.queues.values()) == (1 if why == "full" else 0)


def test_one_whose_client_leaves_between_two_steps_is_looked_at_no_further() -> None:
    sender = Sender()
    sender.waits()
    sender.broker.chores.step()
    sender.publisher.leave()
    sender.transaction.abort()
    sender.broker.chores.finish()
    assert len(sender.broker.queues) == CHECKED_AT_ONCE


def test_a_queue_that_is_deleted_between_check_and_commit_is_made_again() -> None:
    sender = Sender()
    sender.waits()
    sender.steps()
    sender.broker.delete_queue(sender.broker.queue("q.3"))
    assert not sender.waits()
    sender.transaction.commit()
    sender.broker.chores.finish()
    assert sender.broker.queue("q.3").depth == 1


def test_where_there_is_no_room_it_waits_for_that_and_only_there_it_is_looked_at_again() -> None:
    sender = Sender()
    broker = sender.broker
    sender.change_rules()
    full = [broker.queue(f"q.{number}", QueuePolicy(messages_max=1)) for number in (5, 6, MANY - 1)]
    others = [Publisher(queue.key.text, LogValve()) for queue in full]
    for queue, other in zip(full, others, strict=True):
        queue.offer(message(broker))
        queue.room.hold(other, False)
    assert sender.waits()
    sender.broker.chores.finish()
    # It waits at all of them at the same time.
    for queue, other in zip(full, others, strict=True):
        assert sender.valve.shut
        purge(queue)
        queue.room.again()
        other.went_on()
    assert not sender.valve.shut
    # Others were faster at one of them.
    full[1].offer(message(broker))
    full[1].room.hold(others[1], False)
    sender.publisher.went_on()
    assert sender.waits()
    # Whose turn is over only now is not let go on by that.
    sender.publisher.went_on()
    assert sender.valve.shut
    broker.chores.step()
    assert not broker.chores
    assert sender.valve.shut
    purge(full[1])
    full[1].room.again()
    others[1].went_on()
    sender.publisher.went_on()
    assert sender.waits()
    assert sender.steps() == [MANY]
    assert not sender.waits()
    # However often it has waited, each message was looked at once.
    assert sender.rules.asked == MANY
    sender.transaction.commit()
    broker.chores.finish()
    assert {queue.depth for queue in broker.queues.values()} == {1}


def test_one_that_is_asked_about_while_it_is_looked_at_is_looked_at_once() -> None:
    sender = Sender()
    assert sender.waits() and sender.waits()
    assert len(sender.broker.chores) == 1
    assert sender.steps()[-1] == MANY


def test_where_nobody_drives_the_chores_it_is_looked_at_at_once() -> None:
    broker = broker_with()
    publisher = Publisher("p", LogValve())
    transaction = broker.transaction(publisher)
    for number in range(MANY):
        transaction.publish(message(broker, f"q.{number}"))
    assert not transaction.must_wait(publisher)
    assert not publisher.held
    transaction.commit()
    assert len(broker.queues) == MANY
