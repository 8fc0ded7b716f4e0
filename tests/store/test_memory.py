"""Stores that keep nothing beyond the process."""

from gateway.core.ports import Dequeued
from gateway.store.memory import HeldStore, MemoryStore


def test_memory_store_calls_everything_durable_at_once() -> None:
    store = MemoryStore()
    store.begin()
    positions = [store.append(Dequeued("queue:q", sequence)) for sequence in (1, 2, 3)]
    store.end()
    assert positions == [1, 2, 3]
    assert store.durable == 3


def test_held_store_makes_nothing_durable_until_released() -> None:
    store = HeldStore()
    operation = Dequeued("queue:q", 1)
    assert store.append(operation) == 1
    assert store.durable == 0
    assert store.operations == [operation]
    assert store.release() == 1
    assert store.durable == 1
