"""What a queue has let go of: messages that only the store holds, known by their range and number alone.

In each lane (priority) they are one stretch.  While there is one, what comes into the lane joins it, so everything that
the queue itself holds of the stored messages is older than the stretch.
"""

from typing import TYPE_CHECKING, Final, final

from gateway.core.backlog import Backlog
from gateway.core.crowding import RESIDENT_MIN, crowded
from gateway.core.delivery import Delivery
from gateway.core.journal import lane_of
from gateway.core.ports import Cleared, Entry, LaneFound, Page, Quarantined
from gateway.core.record import BadRecord

if TYPE_CHECKING:
    from gateway.core.queue import Queue

PAGE_MESSAGES_MAX: Final = 1_024
PAGE_BYTES_MAX: Final = 1_048_576
"""Messages, and bytes of them, that are asked of the store at once."""

EXPIRED_MAX: Final = 256
"""Expired messages that are asked for at once: each is buried, which holds up the loop."""

EXPIRY_AGAIN_MS: Final = 1_000
"""How often the store is asked for expired messages, while there are some that can expire."""


@final
class Stretch:
    """The stored messages of one lane."""

    __slots__ = ("bytes", "count", "expired_from", "expires_at_ms", "first", "lane", "last")

    def __init__(self, lane: int, first: int, last: int, count: int, bytes: int, expires_at_ms: int) -> None:
        self.lane = lane
        self.first = first
        """The lowest sequence that may be there."""
        self.last = last
        self.count = count
        self.bytes = bytes
        self.expires_at_ms = expires_at_ms
        """When the store is to be asked for expired ones; 0 for never."""
        self.expired_from = 0
        """Before this sequence it has been asked for them already, the last time."""


@final
class Paged:
    """The stretches of one queue, and what is asked of the store about them.

    The queue asks for what is to leave next, hands in the answers, and does with the deliveries what queues do.
    """

    __slots__ = ("_asked_at", "_elsewhere", "_fading", "_queue", "_stretches", "asked", "bytes", "count")

    def __init__(self, queue: "Queue") -> None:
        self._queue = queue
        # The highest lane first.
        self._stretches: list[Stretch] = []
        # Sequences within the stretches that do not count there, though the store may give them: they were taken
        # out, out of turn.
        self._elsewhere: set[int] | None = None
        # The same of those that have expired and left; the next whole answer knows of them no more.
        self._fading: set[int] = set()
        self.count = 0
        self.bytes = 0
        self.asked: Page | None = None
        """The question to the store that is not answered yet."""
        self._asked_at = 0

    # -- messages come in

    def found(self, lanes: list[LaneFound]) -> None:
        """Begin with what the store had at start."""
        for lane in lanes:
            self._stretches.append(
                Stretch(lane.lane, lane.first, lane.last, lane.count, lane.bytes, lane.expires_at_ms)
            )
            self.count += lane.count
            self.bytes += lane.bytes
        self._stretches.sort(key=_descending)

    def all(self) -> list[Stretch]:
        """The stretches, the highest lane first."""
        return list(self._stretches)

    @property
    def done(self) -> bool:
        """Is there nothing left, nor anything to remember?"""
        return self.count == 0 and self.asked is None

    def elsewhere(self, sequence: int) -> bool:
        """Was this message taken out, out of turn?"""
        return self._elsewhere is not None and sequence in self._elsewhere

    def holds(self, lane: int) -> bool:
        """Is there a stretch in this lane?"""
        return self._stretch(lane) is not None

    def add(self, delivery: Delivery) -> None:
        """One more message, the newest of its lane."""
        message = delivery.message
        lane = lane_of(message)
        sequence = delivery.sequence
        expires_at_ms = message.expires_at_ms
        stretch = self._stretch(lane)
        if stretch is None:
            self._stretches.append(Stretch(lane, sequence, sequence, 1, message.size, expires_at_ms))
            self._stretches.sort(key=_descending)
        else:
            stretch.last = sequence
            stretch.count += 1
            stretch.bytes += message.size
            if expires_at_ms and (stretch.expires_at_ms == 0 or expires_at_ms < stretch.expires_at_ms):
                stretch.expires_at_ms = expires_at_ms
        self.count += 1
        self.bytes += message.size

    # -- the store is asked

    def next_before(self, backlog: Backlog) -> bool:
        """Is the next message to leave one of these, and not the first of `backlog`, the queue's own?"""
        if self.count == 0:
            return False
        return backlog.count == 0 or self.goes_before(backlog.first())

    def goes_before(self, delivery: Delivery) -> bool:
        """Is one of these to leave before `delivery`, which waits in memory?"""
        if self.count == 0:
            return False
        lane = lane_of(delivery.message)
        head = self._stretches[0]
        return head.lane > lane or (head.lane == lane and head.first < delivery.sequence)

    def fetch_before(self, backlog: Backlog) -> bool:
        """As `next_before`, and have it fetched, or fetch ahead when the queue has few of its own left."""
        if self.next_before(backlog):
            self.ask()
            return True
        if backlog.count < RESIDENT_MIN:
            self.ask()
        return False

    def ask(self) -> None:
        """Ask for the next messages to leave, unless a question is open or there is nothing."""
        if self.count and self.asked is None:
            head = self._stretches[0]
            self._load(head.lane, head.first, head.last, 0)

    @property
    def may_come_back(self) -> bool:
        """Is there memory for what is passed over, since nobody who is ready wants it?

        For a few of the lane there always is: what others hold in memory, or what waits behind them, must not keep what is
        wanted in the store.
        """
        queue = self._queue
        if not self.count or not crowded(queue):
            return self.count > 0
        head = self._stretches[0]
        before = queue.contents.backlog.after(head.lane, 0, head.first - 1, RESIDENT_MIN)
        return len(before) < RESIDENT_MIN

    @property
    def expires_at_ms(self) -> int:
        """When the store is to be asked for expired ones; 0 for never."""
        return min([stretch.expires_at_ms for stretch in self._stretches if stretch.expires_at_ms], default=0)

    def ask_expired(self, now_ms: int) -> None:
        """Ask for messages whose time has run out, if there may be any and no question is open."""
        if self.asked is not None:
            return
        for stretch in self._stretches:
            if 0 < stretch.expires_at_ms <= now_ms:
                first, last = self._together(stretch)
                if first <= last:
                    self._load(stretch.lane, first, last, now_ms)
                    return
                self._looked_through(stretch, now_ms)

    def _together(self, stretch: Stretch) -> tuple[int, int]:
        """What is to be asked for expired ones next: all, or as far as none was taken out.

        Those that were, the store would give each time, for they are not told to leave; and they would fill the answer.
        """
        first = max(stretch.first, stretch.expired_from)
        last = stretch.last
        taken = self._elsewhere
        if taken:
            while first in taken:
                first += 1
            for sequence in taken:
                if first < sequence <= last:
                    last = sequence - 1
        return first, last

    def _looked_through(self, stretch: Stretch, now_ms: int) -> None:
        """The store knows of none that have expired by now.  Nobody knows when the next one is due."""
        stretch.expired_from = 0
        stretch.expires_at_ms = now_ms + EXPIRY_AGAIN_MS

    def _load(self, lane: int, first: int, last: int, expired_by_ms: int) -> None:
        queue = self._queue
        count_max = EXPIRED_MAX if expired_by_ms else PAGE_MESSAGES_MAX
        page = Page(queue.number, lane, first, last, count_max, PAGE_BYTES_MAX, expired_by_ms)
        self.asked = page
        store = queue.broker.store
        self._asked_at = store.position
        store.load(page)

    # -- messages leave

    def whole(self, page: Page) -> bool:
        """Does the answer take account of everything that the store had been told before the question?"""
        return page.complete and self._queue.broker.store.durable >= self._asked_at

    def answered(self, page: Page, entries: list[Entry]) -> list[Delivery]:
        """Take the answer to what was asked; returns the messages that the queue is to hold again, in order."""
        self.asked = None
        stretch = self._stretch(page.lane)
        if stretch is None:
            return []
        whole = self.whole(page)
        if whole and self._fading:
            self._fading = set()
        back: list[Delivery] = []
        for entry in entries:
            if not page.expired_by_ms:
                stretch.first = entry.sequence + 1
            elif not whole:
                # What is told to leave may still be there.
                break
            if self.elsewhere(entry.sequence) or entry.sequence in self._fading:
                continue
            if page.expired_by_ms:
                self._fading.add(entry.sequence)
            self._take(stretch, entry.size)
            delivery = self._delivery_of(entry)
            if delivery is not None:
                back.append(delivery)
        if page.expired_by_ms:
            if not whole:
                stretch.expires_at_ms = page.expired_by_ms + EXPIRY_AGAIN_MS
            elif entries:
                # There may be more: an answer can be short because of its bytes.
                stretch.expires_at_ms = page.expired_by_ms
            elif self.elsewhere(page.last + 1):
                stretch.expires_at_ms = page.expired_by_ms
                stretch.expired_from = page.last + 1
            else:
                self._looked_through(stretch, page.expired_by_ms)
        elif not entries and whole and stretch.count:
            # Nothing is left of what was counted: it was lost with a damaged file.
            self._drop(stretch)
        if not self._stretches:
            self._elsewhere = None
        return back

    def take_out(self, entry: Entry) -> Delivery | None:
        """Take out one message of an earlier run, whatever is before it; None when it cannot be read."""
        stretch = self._stretch(entry.lane)
        assert stretch is not None
        self._take(stretch, entry.size)
        delivery = self._delivery_of(entry)
        if delivery is None:
            return None
        if self._elsewhere is None:
            self._elsewhere = set()
        self._elsewhere.add(entry.sequence)
        return delivery

    def clear(self) -> list[Cleared]:
        """Forget everything; returns what the store is to be told, unless it forgets the queue as a whole."""
        cleared: list[Cleared] = []
        for stretch in self._stretches:
            self._clear(stretch, cleared)
        self._stretches = []
        self.count = 0
        self.bytes = 0
        self.asked = None
        return cleared

    def _clear(self, stretch: Stretch, cleared: list[Cleared]) -> None:
        """Add all of the stretch but what was taken out of it."""
        if self._queue.deleted:
            return
        number = self._queue.number
        first = stretch.first
        for kept in sorted(self._elsewhere or ()):
            if first <= kept <= stretch.last:
                if first < kept:
                    cleared.append(Cleared(number, stretch.lane, first, kept - 1))
                first = kept + 1
        if first <= stretch.last:
            cleared.append(Cleared(number, stretch.lane, first, stretch.last))

    # -- pieces

    def _stretch(self, lane: int) -> Stretch | None:
        for stretch in self._stretches:
            if stretch.lane == lane:
                return stretch
        return None

    def _take(self, stretch: Stretch, size: int) -> None:
        """One message has left the stretch."""
        stretch.count -= 1
        stretch.bytes -= size
        self.count -= 1
        self.bytes -= size
        if stretch.count <= 0:
            self._drop(stretch)

    def _drop(self, stretch: Stretch) -> None:
        """The stretch is over."""
        self.count -= stretch.count
        self.bytes -= stretch.bytes
        self._stretches.remove(stretch)

    def _delivery_of(self, entry: Entry) -> Delivery | None:
        """The delivery that was stored; None when it cannot be read, and the store is to set it aside."""
        queue = self._queue
        broker = queue.broker
        try:
            message = broker.decoder.message(entry.record, entry.checked)
            binding = broker.decoder.binding(entry.note)
        except BadRecord as error:
            broker.counters.quarantined += 1
            broker.store.append(Quarantined(queue.number, entry.sequence, str(error)))
            return None
        delivery = Delivery(queue, message, entry.sequence, binding)
        delivery.failures = entry.failures
        return delivery


def _descending(stretch: Stretch) -> int:
    return -stretch.lane
