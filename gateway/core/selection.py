"""What one selector has selected among the messages that wait in a queue.

Each message is looked at once for each selector when it comes, and once more when it comes back; a consumer that is
ready finds the first one that it wants without looking at the others.
"""

from typing import Final, final

from gateway.core.backlog import Backlog
from gateway.core.delivery import READY, Delivery
from gateway.core.selector import Selector

ENTRIES_SPARE: Final = 64
"""Entries beyond twice as many as wait in the queue: then those of messages that are gone are cleared away."""


@final
class Selection:
    """The entries of one selector.  An entry counts only while its delivery is READY: others may have taken it."""

    __slots__ = ("_entries", "consumers", "selector")

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.consumers = 0
        """How many share it."""
        self._entries = Backlog()

    def offer(self, delivery: Delivery, waiting: int, back: bool) -> None:
        """Look at a message that has come to the queue (or `back` to it), where `waiting` wait."""
        if not self.selector.matches(delivery.message, delivery.failures):
            return
        entries = self._entries
        if entries.count > 2 * waiting + ENTRIES_SPARE:
            entries.keep_ready()
        if back:
            entries.push_back(delivery)
        else:
            entries.push(delivery)

    def take(self) -> Delivery | None:
        """The first that still waits, its entry taken out; None when there is none."""
        entries = self._entries
        while entries.count:
            delivery = entries.pop()
            if delivery.state == READY:
                return delivery
        return None
