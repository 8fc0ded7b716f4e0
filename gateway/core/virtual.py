"""Virtual topics, as ActiveMQ has them: the queue `Consumer.NAME.VirtualTopic.X` gets what is sent to the topic
`VirtualTopic.X`, so that several consumers share one subscription.
"""

from typing import Final, final

from gateway.core.flow import Publisher
from gateway.core.message import Message
from gateway.core.pattern import literal
from gateway.core.queue import Queue
from gateway.core.subscription import Binding, Sink

VIRTUAL_CONSUMER: Final = "Consumer."
VIRTUAL_TOPIC: Final = "VirtualTopic."


def virtual_topic_of(queue_name: str) -> str:
    """The topic of which the queue gets copies; empty when it is no virtual consumer's."""
    if not queue_name.startswith(VIRTUAL_CONSUMER):
        return ""
    start = queue_name.find(VIRTUAL_TOPIC, len(VIRTUAL_CONSUMER))
    if start > len(VIRTUAL_CONSUMER) and queue_name[start - 1] == ".":
        return queue_name[start:]
    return ""


@final
class VirtualConsumer(Sink):
    """A queue behind a virtual topic: it gets copies that are its own and remember the topic."""

    __slots__ = ("_queue",)

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink."""
        return self._queue.offer(message.redirected(self._queue.destination), binding)

    def keeps_waiting(self, publisher: Publisher, persistent: bool) -> bool:
        """See Sink."""
        return self._queue.keeps_waiting(publisher, persistent)

    def refuser(self, message: Message, binding: Binding) -> Queue | None:
        """See Sink."""
        return self._queue.refuser(message, binding)


def bindings_of_name(queue: Queue) -> list[Binding]:
    """What a named queue is bound to by its name alone, and nothing else: a topic of which it is a virtual consumer."""
    topic = virtual_topic_of(queue.key.name)
    return [Binding(literal(topic), VirtualConsumer(queue))] if topic else []
