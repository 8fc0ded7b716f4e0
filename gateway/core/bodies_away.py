"""Bodies of messages that a consumer has acquired and is not there to be sent: the store alone has them meanwhile.

The delivery stays, with what its queue has to know of the message.
"""

from gateway.core.delivery import Delivery
from gateway.core.message import Message


def let_go(delivery: Delivery) -> None:
    """Leave the body to the store, if that has it; what was appended must be durable, or it could not give it back."""
    queue = delivery.queue
    store = queue.broker.store
    if (
        delivery.message.hollow
        or queue.deleted
        or not store.pages
        or not delivery.stored
        or delivery.position > store.durable
    ):
        return
    _count(delivery, -delivery.message.size)
    delivery.message = delivery.message.hollowed()


def bring_back(delivery: Delivery, message: Message) -> None:
    """Undo `let_go` with what the store has given back."""
    delivery.message = message
    _count(delivery, message.size)


def _count(delivery: Delivery, size: int) -> None:
    queue = delivery.queue
    queue.contents.resident_bytes += size
    queue.broker.resident_bytes += size
