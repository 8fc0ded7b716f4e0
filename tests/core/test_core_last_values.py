"""gateway/core/last_values.py"""

from core_messages import message
from core_queues import broker_with, store_of

from gateway.core.destination import TOPIC
from gateway.core.flow import Publisher
from gateway.core.last_values import VALUES_AT_ONCE
from gateway.core.limits import CoreLimits
from gateway.core.ports import Retained
from gateway.core.router import Broker

SOMEBODY = Publisher("c", None)


def retain(broker: Broker, name: str, expires_at_ms: int = 0) -> None:
    one = message(broker, name, kind=TOPIC, retain=True, expires_at_ms=expires_at_ms, publisher=SOMEBODY)
    broker.publish(one, broker.topics.topic(name))


def values_in_store(broker: Broker) -> set[str]:
    kept: dict[str, bool] = {}
    for operation in store_of(broker).operations:
        if isinstance(operation, Retained):
            kept[operation.topic] = operation.message is not None
    return {topic for topic, there in kept.items() if there}


def test_an_expired_value_leaves_the_memory_and_the_store() -> None:
    broker = broker_with()
    retain(broker, "a", 500)
    retain(broker, "b")
    broker.tick(499)
    assert (broker.retained.count, values_in_store(broker)) == (2, {"a", "b"})
    broker.tick(500)
    assert (broker.retained.count, values_in_store(broker)) == (1, {"b"})
    assert broker.counters.expired == 1


def test_expired_values_do_not_stand_in_the_way_of_new_ones() -> None:
    broker = broker_with(CoreLimits(retained_messages_max=2))
    retain(broker, "a", 500)
    retain(broker, "b", 500)
    broker.now_ms = 600
    retain(broker, "c")
    assert broker.retained.get("c") is not None
    assert broker.retained.count == 1
    assert broker.counters.dropped_full == 0


def test_many_expire_a_few_in_each_turn() -> None:
    broker = broker_with()
    broker.chores.driven_by(lambda: None)
    count = 3 * VALUES_AT_ONCE
    for number in range(count):
        retain(broker, f"a.{number}", 500)
    broker.tick(1_000)
    assert broker.retained.count == count
    assert broker.chores.step()
    assert broker.retained.count == count - VALUES_AT_ONCE
    broker.tick(2_000)
    assert len(broker.chores) == 1
    broker.chores.finish()
    assert broker.retained.count == 0
    assert broker.counters.expired == count


def test_values_that_expire_while_the_store_has_no_room_leave_it_later() -> None:
    broker = broker_with()
    retain(broker, "a", 500)
    store_of(broker).accepting = False
    broker.tick(600)
    assert (broker.retained.count, values_in_store(broker)) == (0, {"a"})
    store_of(broker).accepting = True
    broker.on_accepting(True)
    assert values_in_store(broker) == set()
