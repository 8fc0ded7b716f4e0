"""gateway/core/ordered.py"""

from random import Random

import pytest
from core_messages import message
from core_queues import broker_with

from gateway.core.delivery import Delivery
from gateway.core.limits import QueuePolicy
from gateway.core.ordered import BLOCK, SPARSE, Ordered
from gateway.core.queue import Queue
from gateway.core.queue_key import named

BROKER = broker_with()
QUEUE = Queue(BROKER, named("q"), QueuePolicy())
ONE = message(BROKER)


def delivery(sequence: int) -> Delivery:
    return Delivery(QUEUE, ONE, sequence, None)


def check(ordered: Ordered, there: dict[int, Delivery]) -> None:
    """It holds just these, in order, in blocks as they are to be."""
    assert [one for block in ordered.blocks for one in block] == [there[key] for key in sorted(there)]
    assert ordered.empty == (not there)
    assert max(len(block) for block in ordered.blocks) <= 2 * BLOCK
    assert len(ordered.blocks) == 1 or min(len(block) for block in ordered.blocks) > 0


@pytest.mark.parametrize("seed", range(6))
def test_it_holds_what_came_and_did_not_go_in_order_and_in_blocks(seed: int) -> None:
    random = Random(seed)
    ordered = Ordered()
    there: dict[int, Delivery] = {}
    last = 0
    # Pushes, pops, removals, and what comes back: more of one or the other.
    weights = [[5, 1, 1, 2], [2, 3, 1, 2], [1, 1, 6, 2], [3, 1, 2, 8], [1, 8, 1, 1], [4, 2, 3, 3]][seed]
    for _ in range(8 * BLOCK):
        last += 1
        there[last] = delivery(last)
        ordered.push(there[last])
    for _ in range(6 * BLOCK):
        act = random.choices(["push", "pop", "remove", "put"], weights)[0]
        if act == "push":
            last += 1
            there[last] = delivery(last)
            ordered.push(there[last])
        elif act == "put":
            sequence = random.randint(1, last)
            back = delivery(sequence)
            assert ordered.put(back) == (sequence not in there)
            there[sequence] = back
        elif there and act == "pop":
            lowest = min(there)
            assert ordered.first() is there[lowest]
            assert ordered.pop() is there.pop(lowest)
        elif there:
            ordered.remove(there.pop(random.choice(list(there))))
        start = random.randint(0, last)
        stop = random.randint(start, last + 2)
        count = random.choice([1, 7, 3 * BLOCK])
        wanted = [there[key] for key in sorted(there) if start < key <= stop][:count]
        assert ordered.after(start, stop, count) == wanted
    check(ordered, there)


def test_what_comes_back_in_order_makes_no_block_too_large_and_none_that_is_empty() -> None:
    ordered = Ordered()
    there = {}
    for sequence in [*range(5_000, 6_000), *range(1, 4_000), *range(4_999, 3_999, -1)]:
        there[sequence] = delivery(sequence)
        ordered.put(there[sequence])
    check(ordered, there)


def test_few_that_are_left_of_very_many_do_not_keep_a_block_each() -> None:
    ordered = Ordered()
    there = {sequence: delivery(sequence) for sequence in range(1, 64 * BLOCK)}
    for one in there.values():
        ordered.push(one)
    for sequence in list(there):
        if sequence % BLOCK:
            ordered.remove(there.pop(sequence))
    check(ordered, there)
    assert len(ordered.blocks) <= 1 + 2 * len(there) // SPARSE
