"""What selectors have selected among the messages that wait in a queue, and who gets what where consumers have selectors.

Each message is looked at once by each selector that could want it when it comes, and once more when it comes back; a
consumer that is ready finds the first one that it wants without looking at the others.  A selector that needs a property
to equal something is not asked about messages where it does not: see `gateway.core.selection_index`.  Where more than a
few are to be asked, that goes on in later turns, for one message after the other, so that order stays what it is.

A consumer that wants nothing of what waits rests until there is something for its selector, so giving out a message costs
the same however many there are.  Whenever a selection has entries, one of its consumers is in turn, or none rests.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, final

from gateway.core.backlog import Backlog
from gateway.core.burying import bury_expired
from gateway.core.chores import Chore
from gateway.core.credit import Line
from gateway.core.crowding import RESIDENT_MIN
from gateway.core.delivery import ACQUIRED, READY, Delivery
from gateway.core.passage import Passage
from gateway.core.ports import SEQUENCE_MAX
from gateway.core.selection_index import SelectionIndex
from gateway.core.selector import Selector
from gateway.core.subscription import Consumer

if TYPE_CHECKING:
    from gateway.core.queue import Queue

ENTRIES_SPARE: Final = 64
"""Entries beyond twice as many as wait in the queue: then those of messages that are gone are cleared away."""

CLEARED_AT_ONCE: Final = 16
"""Entries that are looked at for that with each that comes."""

LOOKS_AT_ONCE: Final = 32
"""Selectors that are asked about one message at once."""

LOOKS_A_STEP: Final = 64
"""Questions to selectors in one step of what goes on later."""


@final
class Selection:
    """The entries of one selector.  An entry counts only while its delivery is READY: others may have taken it."""

    __slots__ = ("_cleared", "_entries", "_lane", "complete", "consumers", "resting", "selector")

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.consumers = 0
        """How many share it."""
        self.complete = False
        """It has been asked about everything that waited before it came.  Until then it gives out nothing."""
        self.resting = Line()
        """Its consumers that wait for something that it selects."""
        self._entries = Backlog()
        # How far it has been looked for messages that are gone: in which of the lanes, up to which sequence.
        self._lane = 0
        self._cleared = 0

    @property
    def entries(self) -> int:
        """How many it has, those of messages that are gone included."""
        return self._entries.count

    def offer(self, delivery: Delivery, waiting: int) -> bool:
        """Look at a message that has come to the queue, or back to it, where `waiting` wait; is it selected?"""
        if not self._wants(delivery):
            return False
        entries = self._entries
        if entries.count > 2 * waiting + ENTRIES_SPARE:
            self._clear_some_away()
        # By sequence: others may have been looked at before it.
        entries.push_back(delivery)
        return True

    def _clear_some_away(self) -> None:
        """Look at some more entries, round and round, and take out those of messages that are gone."""
        entries = self._entries
        lanes = entries.lanes()
        if self._lane >= len(lanes):
            self._lane = 0
        found = entries.after(lanes[self._lane], self._cleared, SEQUENCE_MAX, CLEARED_AT_ONCE)
        for delivery in found:
            if delivery.state != READY:
                entries.remove(delivery)
        if len(found) < CLEARED_AT_ONCE:
            self._lane += 1
            self._cleared = 0
        else:
            self._cleared = found[-1].sequence

    def first(self) -> Delivery | None:
        """The first that still waits, left in place; None when there is none."""
        entries = self._entries
        while entries.count and self.complete:
            delivery = entries.first()
            # What has been with another consumer since it was looked at is not what it was: JMSRedelivered.
            if delivery.state == READY and (not _came_back(delivery) or self._wants(delivery)):
                return delivery
            entries.pop()
        return None

    def take_first(self) -> None:
        """Take out the entry of what `first` has answered."""
        self._entries.pop()

    def _wants(self, delivery: Delivery) -> bool:
        return self.selector.matches(delivery.message, delivery.failures, delivery.redelivered)


def _came_back(delivery: Delivery) -> bool:
    return delivery.failures > 0 or delivery.returned


@final
class _Look:
    """A message about which many selectors are to be asked."""

    __slots__ = ("at", "delivery", "selections")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        # Who is to be asked, known when its turn comes.
        self.selections: list[Selection] | None = None
        self.at = 0


@final
class Selections(Chore):
    """The selections of one queue: one for each selector that its consumers have, however many have the same."""

    __slots__ = (
        "_by_text",
        "_index",
        "_looks",
        "_looks_for",
        "_newcomers",
        "_older",
        "_queue",
        "_working",
    )

    def __init__(self, queue: "Queue") -> None:
        self._queue = queue
        self._by_text: dict[str, Selection] = {}
        self._index = SelectionIndex()
        # What is looked at in later turns, in order; and the sequences of those that nobody has been asked about yet.
        self._looks: deque[_Look] = deque()
        self._looks_for: set[int] = set()
        # Those that are to be asked about what waited before they came; and what that is, for the first of them.
        self._newcomers: deque[Selection] = deque()
        self._older: Passage | None = None
        self._working = False

    # -- who comes and goes

    def begin(self, consumer: Consumer, selector: Selector) -> None:
        """One more consumer has this selector; the first one has all that waits looked through, once."""
        selection = self._by_text.get(selector.text)
        if selection is None:
            selection = self._by_text[selector.text] = Selection(selector)
            self._index.add(selection)
            self._newcomers.append(selection)
        selection.consumers += 1
        consumer.selection = selection
        if self._newcomers and not self._working and self._look_on():
            self._work()

    def end(self, consumer: Consumer) -> bool:
        """One less; answers whether any consumer has a selector."""
        selection = consumer.selection
        assert selection is not None
        consumer.selection = None
        selection.consumers -= 1
        if selection.consumers == 0:
            self._index.remove(selection)
            del self._by_text[selection.selector.text]
        return bool(self._by_text)

    # -- messages come

    def offer(self, delivery: Delivery) -> None:
        """Note for whom a message is that has come, or come back."""
        if not self._looks:
            selections = self._index.candidates(delivery)
            if len(selections) <= LOOKS_AT_ONCE:
                for selection in selections:
                    self._ask(selection, delivery)
                return
        # Not twice: one that comes and goes again and again must not pile up.
        if delivery.sequence not in self._looks_for:
            self._looks_for.add(delivery.sequence)
            self._looks.append(_Look(delivery))
            self._work()

    def _ask(self, selection: Selection, delivery: Delivery) -> None:
        queue = self._queue
        if selection.offer(delivery, queue.contents.backlog.count) and selection.complete:
            queue.roster.rouse(selection)

    # -- what goes on later

    def _work(self) -> None:
        if not self._working:
            self._working = True
            self._queue.broker.chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        queue = self._queue
        # Not only at the end: were a step to fail, the next message would begin anew.
        self._working = False
        if queue.selections is not self:
            return False
        more = self._look_on()
        self._working = more
        queue.wake()
        return more

    def _look_on(self) -> bool:
        """Ask a few about what came, and one that is new about what was there; is there more to do?"""
        self._look_at_what_came()
        if self._newcomers:
            self._look_at_what_was_there(self._newcomers[0])
        return len(self._looks) > 0 or len(self._newcomers) > 0

    def _look_at_what_came(self) -> None:
        left = LOOKS_A_STEP
        while self._looks and left > 0:
            look = self._looks[0]
            selections = look.selections
            if selections is None:
                self._looks_for.discard(look.delivery.sequence)
                selections = look.selections = self._index.candidates(look.delivery)
            end = min(look.at + left, len(selections))
            left -= end - look.at + 1
            for selection in selections[look.at : end]:
                if look.delivery.state == READY and selection.consumers:
                    self._ask(selection, look.delivery)
            look.at = end
            if end == len(selections):
                self._looks.popleft()

    def _look_at_what_was_there(self, selection: Selection) -> None:
        older = self._older
        if older is None:
            older = self._older = Passage(self._queue)
        waiting = self._queue.contents.backlog.count
        # Unless they have left meanwhile.
        if selection.consumers:
            for delivery in older.next(LOOKS_A_STEP):
                selection.offer(delivery, waiting)
        if older.over or not selection.consumers:
            self._older = None
            self._newcomers.popleft()
            selection.complete = True
            while selection.resting.first is not None:
                self._queue.roster.rouse(selection)

    # -- messages go

    def dispatch(self, expired_max: int) -> None:
        """Give out what waits: in turn, each consumer takes the first that it wants, or rests.

        It stops when as many messages have been found expired as the counter is to say at most.
        """
        queue = self._queue
        contents = queue.contents
        backlog = contents.backlog
        if contents.paged is not None and backlog.count < RESIDENT_MIN:
            contents.paged.ask()
        while backlog.count and queue.left > 0:
            consumer = queue.roster.next_ready()
            if consumer is None:
                break
            selection = consumer.selection
            delivery = backlog.first() if selection is None else selection.first()
            if delivery is None:
                queue.roster.rest(consumer)
                continue
            paged = contents.paged
            if (
                paged is not None
                and paged.goes_before(delivery)
                and (selection is None or paged.may_come_back)
            ):
                # An older one of the same sender may be there, which only the store can show.
                paged.ask()
                return
            self._take(delivery, selection)
            if delivery.message.expired(queue.broker.now_ms):
                bury_expired(queue, delivery)
                if queue.broker.counters.expired >= expired_max:
                    return
            else:
                queue.hand_over(delivery, consumer)
        paged = contents.paged
        if paged is not None and paged.may_come_back and queue.roster.has_ready():
            # What waits is wanted by nobody who is ready; what they want may be further back.
            paged.ask()

    def _take(self, first: Delivery, selection: Selection | None) -> None:
        """Take what is first, for all or of a selection, out of the backlog."""
        backlog = self._queue.contents.backlog
        if selection is None:
            backlog.pop()
            first.state = ACQUIRED
        else:
            selection.take_first()
            backlog.remove(first)
            first.state = ACQUIRED
