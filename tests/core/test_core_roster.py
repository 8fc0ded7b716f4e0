"""gateway/core/roster.py"""

import pytest
from core_doubles import COMPILED, needs_outlet
from core_messages import message
from core_queues import broker_with, consume

from gateway.core.credit import Credit
from gateway.core.delivery import ACCEPTED
from gateway.core.queue import Queue
from gateway.core.roster import Roster
from gateway.core.subscription import Consumer, Outlet

if not COMPILED:
    from core_doubles import LogOutlet, LookedAtOutlet

QUEUE = broker_with().queue("q")


def consumer(credit: int = 1, *, exclusive: bool = False) -> Consumer:
    return Consumer(QUEUE, Outlet(), Credit(credit), False, None, None, exclusive)


def roster_of(*consumers: Consumer) -> Roster:
    roster = Roster()
    for one in consumers:
        roster.add(one)
    return roster


def turns(roster: Roster, count: int) -> list[Consumer | None]:
    return [roster.next_ready() for _ in range(count)]


def test_an_empty_roster_has_nobody_ready() -> None:
    roster = Roster()
    assert roster.next_ready() is None
    assert (roster.count, roster.all(), roster.has_ready()) == (0, [], False)


def test_each_has_its_turn() -> None:
    a, b, c = consumer(), consumer(), consumer()
    assert turns(roster_of(a, b, c), 5) == [a, b, c, a, b]


def test_who_was_not_ready_is_not_looked_at_until_its_credit_calls() -> None:
    a, b = consumer(0), consumer()
    roster = roster_of(a, b)
    assert turns(roster, 2) == [b, b]
    a.credit.available = 1
    assert turns(roster, 2) == [b, b]
    roster.call(a)
    assert turns(roster, 2) == [b, a]


@pytest.mark.parametrize("leaver", range(3))
def test_the_others_go_on_when_one_leaves(leaver: int) -> None:
    everybody = [consumer(), consumer(), consumer()]
    roster = roster_of(*everybody)
    assert roster.remove(everybody[leaver])
    assert not roster.remove(everybody[leaver])
    left = [one for one in everybody if one is not everybody[leaver]]
    assert turns(roster, 4) == left + left
    assert roster.count == 2


def test_who_leaves_while_it_is_parked_is_not_called_any_more() -> None:
    a = consumer(0)
    roster = roster_of(a)
    assert roster.next_ready() is None
    assert a.parked
    assert roster.remove(a)
    assert not a.parked
    a.credit.give(1)
    assert (roster.count, roster.next_ready()) == (0, None)


def test_an_exclusive_one_has_all_turns_and_the_oldest_heir_follows() -> None:
    plain, first, second, third = (consumer(), *[consumer(exclusive=True) for _ in range(3)])
    roster = roster_of(plain, first, second, third)
    assert turns(roster, 2) == [first, first]
    assert roster.remove(second)
    assert roster.remove(first)
    assert turns(roster, 2) == [third, third]
    assert roster.remove(third)
    assert turns(roster, 2) == [plain, plain]
    assert roster.all() == [plain]


def test_who_is_called_while_another_is_exclusive_stands_by() -> None:
    plain, alone = consumer(0), consumer(exclusive=True)
    roster = roster_of(plain)
    assert roster.next_ready() is None
    roster.add(alone)
    plain.credit.available = 1
    roster.call(plain)
    assert turns(roster, 2) == [alone, alone]
    roster.remove(alone)
    assert roster.next_ready() is plain


@needs_outlet
def test_one_ready_consumer_is_found_without_looking_at_all_others() -> None:
    queue = _queue()
    others = [LookedAtOutlet() for _ in range(200)]
    for outlet in others:
        consume(queue, outlet, 0)
    ready = LogOutlet(ACCEPTED)
    consume(queue, ready)
    for _ in range(100):
        queue.offer(message(queue.broker))
    assert len(ready.taken) == 100
    assert sum(outlet.looks for outlet in others) <= len(others)


@needs_outlet
def test_leaving_looks_at_nobody_else() -> None:
    queue = _queue()
    outlets = [LookedAtOutlet() for _ in range(50)]
    consumers = [consume(queue, outlet) for outlet in outlets]
    for one in consumers:
        queue.detach(one)
    assert queue.consumers_count == 0
    assert sum(outlet.looks for outlet in outlets) == 0


def _queue() -> Queue:
    return broker_with().queue("q")
