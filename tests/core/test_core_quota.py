"""gateway/core/quota.py"""

import pytest
from core_messages import message
from core_queues import broker_with

from gateway.core.destination import QUEUE, Destination
from gateway.core.flow import Publisher
from gateway.core.limits import CoreLimits
from gateway.core.quota import Quota, address_of
from gateway.core.router import LimitReached


def somebody(user: str | None, address: str) -> Publisher:
    publisher = Publisher("c", None)
    publisher.user = user
    publisher.address = address
    return publisher


@pytest.mark.parametrize(
    ("peer", "address"), [("10.0.0.1:1883", "10.0.0.1"), ("[fe80::1]:80", "[fe80::1]"), ("local", "")]
)
def test_the_address_of_a_peer(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_users_and_addresses_are_counted_apart_and_nobody_is_not() -> None:
    quota = Quota(2, 3)
    for number in range(2):
        quota.made(number, somebody("ann", "1"))
    assert not quota.has_room(somebody("ann", "2"))
    assert quota.has_room(somebody("bob", "1"))
    quota.made(2, somebody(None, "1"))
    assert not quota.has_room(somebody("bob", "1"))
    assert quota.has_room(somebody(None, ""))
    assert quota.has_room(None)
    quota.gone(0)
    quota.gone(0)
    assert quota.has_room(somebody("ann", "1"))
    for number in range(3):
        quota.gone(number)
    assert (quota._by_user, quota._by_address, quota._made) == ({}, {}, {})


def test_0_is_no_limit() -> None:
    quota = Quota(0, 0)
    for number in range(10):
        quota.made(number, somebody("ann", "1"))
    assert quota.has_room(somebody("ann", "1"))


def test_a_user_who_has_made_too_many_queues_makes_no_more_until_some_are_gone() -> None:
    broker = broker_with(CoreLimits(queues_per_user_max=2))
    ann, bob = somebody("ann", "1"), somebody("bob", "1")
    first = broker.queue("a", maker=ann)
    broker.publish_to(Destination(QUEUE, "b"), message(broker, "b", publisher=ann))
    with pytest.raises(LimitReached, match="one user"):
        broker.queue("c", maker=ann)
    assert broker.counters.over_quota == 1
    # Others may, and what is there is everybody's.
    assert broker.queue("a", maker=ann) is first
    broker.queue("c", maker=bob)
    broker.delete_queue(first)
    broker.queue("d", maker=ann)
