"""Stores that keep nothing beyond the process."""

from gateway.core.ports import Dequeued
from gateway.store.memory import HeldStore
from gateway.store.passing import PassingStore


def test_passing_store_calls_everything_durable_at_once() -> None:
    store = PassingStore()
    store.begin()
    positions = [store.append(Dequeued(1, sequence)) for sequence in (1, 2, 3)]
    store.end()
    assert positions == [1, 2, 3]
    assert (store.durable, store.position) == (3, 3)
    assert store.recover().queues == []


def test_held_store_makes_nothing_durable_until_released() -> None:
    store = HeldStore()
    operation = Dequeued(1, 1)
    assert store.append(operation) == 1
    assert store.durable == 0
    assert store.operations == [operation]
    assert store.release() == 1
    assert store.durable == 1
