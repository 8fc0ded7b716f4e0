"""What selectors have selected among the messages that wait in a queue.

Each message is looked at once for each selector when it comes, and once more when it comes back; a consumer that is
ready finds the first one that it wants without looking at the others.
"""

from typing import Final, final

from gateway.core.backlog import Backlog
from gateway.core.delivery import ACQUIRED, READY, Delivery
from gateway.core.selector import Selector
from gateway.core.subscription import Consumer

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
        if not self._wants(delivery):
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
            # What has been with another consumer since it was looked at is not what it was: JMSRedelivered.
            if delivery.state == READY and (not _came_back(delivery) or self._wants(delivery)):
                return delivery
        return None

    def _wants(self, delivery: Delivery) -> bool:
        return self.selector.matches(delivery.message, delivery.failures, delivery.redelivered)


def _came_back(delivery: Delivery) -> bool:
    return delivery.failures > 0 or delivery.returned


@final
class Selections:
    """The selections of one queue: one for each selector that its consumers have, however many have the same."""

    __slots__ = ("_backlog", "_by_text")

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        """What waits in the queue, whoever wants it."""
        self._by_text: dict[str, Selection] = {}

    def begin(self, selector: Selector) -> None:
        """One more consumer has this selector; the first one has all that waits looked through, once."""
        selection = self._by_text.get(selector.text)
        if selection is None:
            selection = self._by_text[selector.text] = Selection(selector)
            for delivery in self._backlog.all():
                selection.offer(delivery, self._backlog.count, False)
        selection.consumers += 1

    def end(self, selector: Selector) -> bool:
        """One less; answers whether any consumer has a selector."""
        selection = self._by_text[selector.text]
        selection.consumers -= 1
        if selection.consumers == 0:
            del self._by_text[selector.text]
        return bool(self._by_text)

    def offer(self, delivery: Delivery, back: bool) -> None:
        """Note for whom a message is that has come, or come `back`."""
        for selection in self._by_text.values():
            selection.offer(delivery, self._backlog.count, back)

    def take(self, consumer: Consumer) -> Delivery | None:
        """Take the first that `consumer` wants out of the backlog; None when it wants nothing."""
        backlog = self._backlog
        if consumer.selector is None:
            if not backlog.count:
                return None
            first = backlog.pop()
            first.state = ACQUIRED
            return first
        selected = self._by_text[consumer.selector.text].take()
        if selected is not None:
            selected.state = ACQUIRED
            backlog.taken()
        return selected
