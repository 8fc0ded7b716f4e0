"""A look at what waits in queues, in the order in which it would leave; nothing is taken.

It goes at the pace of who is shown it, and knows only how far it has come: what a queue holds in memory is looked up some
at a time, what only the store holds comes in small pages.  So it costs next to nothing however long nobody goes on.
"""

from typing import TYPE_CHECKING, Final, final

from gateway.core.message import Message
from gateway.core.paging import Stretch
from gateway.core.ports import Entry, Page, PageReader
from gateway.core.queue_key import NAMED
from gateway.core.record import BadRecord
from gateway.core.roll import Round

if TYPE_CHECKING:
    from gateway.core.queue import Queue
    from gateway.core.router import Broker


SHOWN_AT_ONCE: Final = 64
"""Messages that are shown, or queues that are looked at, in one step."""

PAGE_BYTES_MAX: Final = 65_536
"""Bytes of messages that are asked of the store at once; one message may be longer."""

# What comes of a step.
GOES_ON: Final = 0
"""There is more to be shown."""
WAITS: Final = 1
"""The store is asked; `Viewer.found` is called when it has answered."""
OVER: Final = 2
"""That was all."""


class Viewer:
    """Is shown what waits."""

    __slots__ = ()

    def wants(self, queue: "Queue") -> bool:
        """Is it to be shown what waits in `queue`?"""
        raise NotImplementedError

    def takes(self) -> bool:
        """Can it be shown one more now?"""
        raise NotImplementedError

    def show(self, message: Message, failures: int) -> bool:
        """One message; False ends it."""
        raise NotImplementedError

    def found(self) -> None:
        """The store has answered: `Browsing.look` goes on."""
        raise NotImplementedError


@final
class Browsing(PageReader):
    """One look at some queues, one after the other: at what waited in each when its turn came."""

    __slots__ = (
        "_broker",
        "_found",
        "_lanes",
        "_last",
        "_looked_into",
        "_page",
        "_queues",
        "_round",
        "_sequence",
        "_viewer",
        "queue",
    )

    def __init__(
        self, broker: "Broker", queues: "list[Queue]", viewer: Viewer, everywhere: bool = False
    ) -> None:
        """`everywhere`: then at all named queues that the viewer wants; each that has messages is looked at once."""
        self._broker = broker
        self._viewer = viewer
        self._queues = [*reversed(queues)]
        self._round = Round(broker.roll) if everywhere else None
        # Those that were wanted.
        self._looked_into: set[Queue] = set()
        self.queue: Queue | None = None
        """What is being looked into."""
        # Of that: the lanes that are left, the highest last, and how far it is in that.
        self._lanes: list[int] = []
        self._sequence = 0
        self._last = 0
        self._page: Page | None = None
        # What the store has answered and is not shown yet.
        self._found: list[Entry] | None = None

    def look(self) -> int:
        """Show as much as one step may and the viewer takes; GOES_ON, WAITS or OVER."""
        left = SHOWN_AT_ONCE
        while left > 0:
            queue = self.queue
            if queue is None:
                left -= 1
                if not self._look_into_next():
                    return OVER
            elif self._page is not None:
                return WAITS
            elif not self._lanes or queue.deleted:
                self.queue = None
                # It may have been deleted since the store was asked.
                self._found = None
            elif self._found is not None:
                left -= len(self._found)
                if not self._show_found(queue, self._found):
                    return self._state()
            else:
                lane = self._lanes[-1]
                stretch = self._stretch(queue, lane)
                # What the store has is newer than what is in memory, but for what was taken out of turn.
                last = self._last if stretch is None else min(self._last, stretch.first - 1)
                waiting = queue.contents.backlog.after(lane, self._sequence, last, left)
                left -= len(waiting)
                page = None if waiting or stretch is None else self._next_page(queue, stretch)
                if page is not None:
                    if not self._viewer.takes():
                        return GOES_ON
                    self._page = page
                    self._broker.store.load(page)
                elif not waiting:
                    self._lanes.pop()
                    self._sequence = 0
                for delivery in waiting:
                    if not self._show(delivery.sequence, delivery.message, delivery.failures):
                        return self._state()
        return GOES_ON

    def end(self) -> None:
        """Nobody wants the rest."""
        self._queues = []
        self._round = None
        self.queue = None
        self._page = None
        self._found = None

    def _state(self) -> int:
        return OVER if self.queue is None and not self._queues and self._round is None else GOES_ON

    def _look_into_next(self) -> bool:
        """False when there is no queue any more."""
        if self._queues:
            queue: Queue | None = self._queues.pop()
        else:
            queue = None if self._round is None else self._round.next()
        if queue is None:
            self._round = None
            return False
        if not queue.waiting or queue.key.kind != NAMED or queue in self._looked_into:
            return True
        if not self._viewer.wants(queue):
            return True
        self._looked_into.add(queue)
        self.queue = queue
        paged = [stretch.lane for stretch in queue.stretches()]
        self._lanes = sorted({*queue.contents.backlog.lanes(), *paged})
        self._sequence = 0
        self._last = queue.last_sequence
        return True

    def _show(self, sequence: int, message: Message, failures: int) -> bool:
        """False when it was not taken; what has expired needs nobody who takes it."""
        if not message.expired(self._broker.now_ms):
            if not self._viewer.takes():
                return False
            if not self._viewer.show(message, failures):
                self.end()
                return False
        self._sequence = sequence
        return True

    # -- what only the store has

    def _stretch(self, queue: "Queue", lane: int) -> Stretch | None:
        for stretch in queue.stretches():
            if stretch.lane == lane:
                return stretch
        return None

    def _next_page(self, queue: "Queue", stretch: Stretch) -> Page | None:
        """None when it has no more that is to be shown."""
        first = max(stretch.first, self._sequence + 1)
        last = min(stretch.last, self._last)
        if first > last:
            return None
        page = Page(queue.number, stretch.lane, first, last, SHOWN_AT_ONCE, PAGE_BYTES_MAX)
        page.reader = self
        return page

    def on_page(self, page: Page, entries: list[Entry]) -> None:
        """See PageReader."""
        if page is not self._page:
            return
        self._page = None
        self._found = entries
        if not entries:
            # Whatever was thought to be there.
            self._sequence = page.last
        self._viewer.found()

    def _show_found(self, queue: "Queue", entries: list[Entry]) -> bool:
        """Show what the store has answered; False when not all of it was shown.

        What the viewer does not take now is asked for again when it does: nothing is kept for who does not read.
        """
        self._found = None
        shown = True
        for entry in entries:
            shown = shown and self._show_entry(queue, entry)
        return shown

    def _show_entry(self, queue: "Queue", entry: Entry) -> bool:
        sequence = entry.sequence
        if queue.elsewhere(sequence):
            # Somebody has it, or it waits in memory.
            for delivery in queue.contents.backlog.after(entry.lane, sequence - 1, sequence, 1):
                if not self._show(sequence, delivery.message, delivery.failures):
                    return False
        else:
            try:
                message = self._broker.decoder.message(entry.record, entry.checked)
            except BadRecord:
                # The queue sets it aside when its turn comes.
                self._sequence = sequence
                return True
            if not self._show(sequence, message, entry.failures):
                return False
        self._sequence = sequence
        return True
