"""Credit: how many deliveries an outlet will take before it settles some.

MQTT's Receive Maximum, STOMP's prefetch, AMQP's link credit and OpenWire's prefetchSize are all this.
"""

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from gateway.core.subscription import Consumer

UNLIMITED: Final = 1 << 62


@final
class Credit:
    """One window, shared by all consumers that deliver into it (an MQTT session has one for all its queues)."""

    __slots__ = ("_again", "_waking", "available", "consumers")

    def __init__(self, available: int) -> None:
        self.available = available
        self.consumers: list[Consumer] = []
        self._waking = False
        self._again = False

    def give(self, count: int) -> None:
        """Add to the window and let the queues behind it deliver."""
        self.available += count
        if self.available > 0:
            self.wake()

    def wake(self) -> None:
        """Let the queues behind this window look again whether they can deliver."""
        consumers = self.consumers
        if len(consumers) == 1:
            consumers[0].queue.wake()
            return
        # A delivery that is settled at once gives credit and wakes in turn: another round, not a call deeper.
        self._again = True
        if self._waking:
            return
        self._waking = True
        try:
            while self._again:
                self._again = False
                # A copy, because a delivery may end a subscription.
                for consumer in list(consumers):
                    consumer.queue.wake()
        finally:
            self._waking = False
