"""A look at what waits in queues, in the order in which it would leave; nothing is taken.

What a queue holds in memory is there at once, what only the store holds comes page by page.
"""

from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.delivery import Delivery
from gateway.core.message import Message
from gateway.core.paging import PAGE_BYTES_MAX, PAGE_MESSAGES_MAX
from gateway.core.ports import Entry, Page, PageReader
from gateway.core.queue_key import NAMED
from gateway.core.record import BadRecord
from gateway.core.roll import Round

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker


SHOWN_AT_ONCE: Final = 64
"""Messages that are shown, or queues that are looked at, in one step."""


class Viewer:
    """Is shown what waits."""

    __slots__ = ()

    def wants(self, queue: "Queue") -> bool:
        """Is it to be shown what waits in `queue`?"""
        raise NotImplementedError

    def show(self, message: Message, failures: int) -> bool:
        """One message; False ends it."""
        raise NotImplementedError

    def shown(self) -> None:
        """That was all."""
        raise NotImplementedError


@final
class Browsing(PageReader):
    """One look at some queues, one after the other, in later turns where they or their messages are many.

    `begin` starts it; it may end before that returns.
    """

    __slots__ = ("_broker", "_queues", "_round", "_seen", "_viewer", "_waiting")

    def __init__(
        self, broker: "Broker", queues: "list[Queue]", viewer: Viewer, everywhere: bool = False
    ) -> None:
        """`everywhere`: then at all named queues that the viewer wants; each that has messages is looked at once."""
        self._broker = broker
        self._viewer = viewer
        # What is still to be looked at, last first: messages in memory, or pages of the store.
        self._waiting: list[_Part | Page] = []
        self._queues = [*reversed(queues)]
        self._round = Round(broker.roll) if everywhere else None
        # Those that have been looked into.
        self._seen: set[Queue] = set()

    def begin(self) -> None:
        """Show what can be shown at once, and ask for the rest."""
        self._go_on()

    def on_page(self, page: Page, entries: list[Entry]) -> None:
        """See PageReader."""
        found: list[tuple[Message, int]] = []
        queue = self._broker.kept.get(page.queue)
        for entry in entries:
            if queue is not None and queue.elsewhere(entry.sequence):
                # Somebody has it, or it has been shown among what is in memory.
                continue
            try:
                found.append((self._broker.decoder.message(entry.record), entry.failures))
            except BadRecord:
                # The queue sets it aside when its turn comes.
                continue
        if entries and entries[-1].sequence < page.last:
            self._waiting.append(self._page(page.queue, page.lane, entries[-1].sequence + 1, page.last))
        self._waiting.append(_Part([], found))
        self._go_on()

    def _go_on(self) -> None:
        if self.look():
            self._broker.chores.add(_Looking(self))

    def look(self) -> bool:
        """Show some; answers whether there is more that needs not be waited for."""
        left = SHOWN_AT_ONCE
        while left > 0:
            if self._waiting:
                part = self._waiting[-1]
                if isinstance(part, Page):
                    self._waiting.pop()
                    self._broker.store.load(part)
                    return False
                left -= 1
                if not part.more:
                    self._waiting.pop()
                    continue
                message, failures = part.next()
                if not message.expired(self._broker.now_ms) and not self._viewer.show(message, failures):
                    self._end()
                    return False
                continue
            left -= 1
            queue = self._next()
            if queue is None:
                self._end()
                return False
            if self._is_to_be_seen(queue):
                self._seen.add(queue)
                self._look_into(queue)
        return True

    def _next(self) -> "Queue | None":
        """The next queue that may be to be looked into."""
        if self._queues:
            return self._queues.pop()
        return None if self._round is None else self._round.next()

    def _is_to_be_seen(self, queue: "Queue") -> bool:
        if not queue.waiting or queue.key.kind != NAMED or queue in self._seen:
            return False
        return self._viewer.wants(queue)

    def _end(self) -> None:
        self._waiting = []
        self._queues = []
        self._round = None
        self._seen = set()
        self._viewer.shown()

    def _look_into(self, queue: "Queue") -> None:
        """In each lane what is in memory is older than what only the store has."""
        lanes = dict(queue.browse_lanes())
        pages: dict[int, Page] = {}
        for stretch in queue.stretches():
            pages[stretch.lane] = self._page(queue.number, stretch.lane, stretch.first, stretch.last)
        for lane in sorted({*lanes, *pages}):
            page = pages.get(lane)
            if page is not None:
                self._waiting.append(page)
            self._waiting.append(_Part(lanes.get(lane, []), []))

    def _page(self, queue: int, lane: int, first: int, last: int) -> Page:
        page = Page(queue, lane, first, last, PAGE_MESSAGES_MAX, PAGE_BYTES_MAX)
        page.reader = self
        return page


@final
class _Part:
    """Messages that are shown one after the other: those of a lane in memory, or those of a page."""

    __slots__ = ("_at", "_deliveries", "_found")

    def __init__(self, deliveries: list[Delivery], found: list[tuple[Message, int]]) -> None:
        self._deliveries = deliveries
        # Message and failures.
        self._found = found
        self._at = 0

    @property
    def more(self) -> bool:
        """Is there another one?"""
        return self._at < len(self._deliveries) + len(self._found)

    def next(self) -> tuple[Message, int]:
        """It, and how often it failed."""
        at = self._at
        self._at = at + 1
        if at < len(self._deliveries):
            delivery = self._deliveries[at]
            return delivery.message, delivery.failures
        return self._found[at - len(self._deliveries)]


@final
class _Looking(Chore):
    """Goes on with it."""

    __slots__ = ("_browsing",)

    def __init__(self, browsing: Browsing) -> None:
        self._browsing = browsing

    def go_on(self) -> bool:
        """See Chore."""
        return self._browsing.look()
