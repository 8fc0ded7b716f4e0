"""What becomes of deliveries that a consumer leaves behind without a word."""

from gateway.core.delivery import FAILED, RELEASED, Delivery
from gateway.core.queue import Queue


def give_back(deliveries: list[Delivery], tried: bool) -> None:
    """Let all of them, in the order of delivery, wait in their queues again, as redelivered.

    `tried`: the consumer was lost, perhaps over the one that it had at hand: the oldest of each queue.  That counts as
    failed, so that what ends each consumer ends in the dead letters.  The others it had only been sent ahead; they must
    not get nearer to the dead letters with each client that comes and goes.
    """
    at_hand: set[Queue] = set()
    for delivery in deliveries:
        delivery.returned = True
        if tried and delivery.queue not in at_hand:
            at_hand.add(delivery.queue)
            delivery.settle(FAILED)
        else:
            delivery.settle(RELEASED)
