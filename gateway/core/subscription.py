"""Who wants messages: sinks bound to topic patterns, and consumers of queues."""

from typing import TYPE_CHECKING, Final, final

from gateway.core.credit import Credit, Line
from gateway.core.flow import Publisher
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.selector import Selector

if TYPE_CHECKING:
    from gateway.core.delivery import Delivery
    from gateway.core.queue import Queue
    from gateway.core.selection import Selection


class Sink:
    """Takes the messages of the topics it is bound to: a live subscriber (Outlet) or a Queue."""

    __slots__ = ()

    def offer(self, message: Message, binding: "Binding") -> int:
        """Take one message that came through `binding`.

        Returns the store's position that makes it durable here; 0 when nothing durable took it.
        """
        raise NotImplementedError

    def passes(self, message: Message, binding: "Binding") -> bool:
        """Would `offer` show the message to a client at once, and keep nothing of it?"""
        return False

    def refuser(self, message: Message, binding: "Binding") -> "Queue | None":
        """The queue that `offer` would put the message into and that may say no to it; None when there is none."""
        return None

    def keeps_waiting(self, publisher: Publisher, persistent: bool) -> bool:
        """Has it no room, and makes publishers wait?  Then `publisher` waits until it has, and this is to be asked again.

        `persistent`: is what it is about to send?  Where memory is what is short, that need not wait.
        Asked before a message is made, where Broker.places says that there are such places at all.
        """
        return False

    def merge(self, bindings: "list[Binding]") -> "Binding":
        """One binding to stand for several of this sink that match the same topic: it gets one copy."""
        return bindings[0]


class Binding:
    """One claim of a sink on the topic space.  Connectors subclass it for what their protocol adds."""

    __slots__ = ("no_local", "owner", "pattern", "place", "selector", "sink")

    def __init__(
        self, pattern: Pattern, sink: Sink, no_local: Publisher | None = None, owner: Publisher | None = None
    ) -> None:
        self.pattern = pattern
        self.place = -1
        """Its place among those of its pattern while it is bound, for TopicTree."""
        self.sink = sink
        self.owner = owner
        """Whose subscription it is, where rules about receiving apply; None for what belongs to several."""
        self.no_local = no_local
        """Messages of this client are not wanted; see Publisher.is_also."""
        self.selector: Selector | None = None
        """Only what it selects is wanted.  For queues: live subscribers look at their selectors themselves."""

    @final
    def is_own(self, publisher: Publisher | None) -> bool:
        """Is this the subscriber itself, who does not want its own messages?"""
        return self.no_local is not None and self.no_local.is_also(publisher)

    @final
    def unwanted(self, message: Message) -> bool:
        """Has the subscription said that it does not want this message?"""
        if self.is_own(message.publisher):
            return True
        selector = self.selector
        return selector is not None and not selector.matches(message)

    def stored(self) -> bytes:
        """What a message that came through it must know again after a restart; see Restorer.binding."""
        return b""


class Outlet(Sink):
    """A subscriber's end of the broker, implemented by connectors."""

    __slots__ = ("congested", "publishes_as")

    def __init__(self) -> None:
        self.congested = False
        """The peer reads too slowly: queues keep what they have until `Credit.wake`."""
        self.publishes_as: Publisher | None = None
        """Who the same client is as a publisher: a queue must not keep it waiting for itself."""

    def passes(self, message: Message, binding: "Binding") -> bool:
        """See Sink."""
        return True

    def deliver(self, delivery: "Delivery") -> None:
        """Pass on one delivery of a queue; its consumer says to whom.  Called only while there is credit.

        For an automatic consumer the delivery is settled on return, otherwise by Delivery.settle.
        Must not call back into the queue.
        """
        raise NotImplementedError

    def holds_up(self) -> None:
        """Its queue is full, and others have waited too long for it to take something: end its connection."""

    def broke(self, error: Exception) -> None:
        """A bug of ours while it was given something: that is to cost this subscriber's connection alone."""
        raise error


NOBODY: Final = Outlet()
"""Stands for the outlet of a consumer that has left its queue."""
NOBODY.congested = True


@final
class Consumer:
    """One claim on a queue's messages: competing with the others, as far as its credit goes."""

    __slots__ = (
        "automatic",
        "before",
        "behind",
        "credit",
        "exclusive",
        "following",
        "line",
        "outlet",
        "parked",
        "preceding",
        "queue",
        "resting",
        "selection",
        "selector",
        "tag",
    )

    def __init__(
        self,
        queue: "Queue",
        outlet: Outlet,
        credit: Credit,
        automatic: bool,
        tag: object = None,
        selector: Selector | None = None,
        exclusive: bool = False,
    ) -> None:
        self.queue = queue
        self.outlet = outlet
        self.credit = credit
        self.automatic = automatic
        """Deliveries count as accepted once they are written; they take no credit."""
        self.tag = tag
        """Whatever the connector wants to find again on delivery."""
        self.selector = selector
        """It wants only what this selects; the rest is for the others, or waits."""
        self.exclusive = exclusive
        """While it is there no other gets anything; the next one takes over when it leaves."""
        self.parked = False
        """Its queue has found it not ready, and waits for its Credit to call."""
        self.line: Line | None = None
        """Where it waits for its Credit, while it is parked."""
        self.selection: Selection | None = None
        """What its selector selects, while it is attached."""
        self.resting = False
        """Nothing of what waits is selected for it, and its selection calls it when something is."""
        self.following: Consumer | None = None
        self.preceding: Consumer | None = None
        """Its neighbours in a Ring of its queue's Roster."""
        self.before: Consumer | None = None
        self.behind: Consumer | None = None
        """Its neighbours in a Line: of its Credit while it is parked, of its selection while it rests."""

    @property
    def ready(self) -> bool:
        """Can it take a delivery now?"""
        return not self.outlet.congested and (self.automatic or self.credit.open)
