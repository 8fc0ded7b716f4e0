"""How much a queue may hold, and who waits while it is full."""

from typing import Final, final

from gateway.core.contents import Contents
from gateway.core.flow import Place, Places, Publisher
from gateway.core.limits import BLOCK, QueuePolicy
from gateway.core.message import Message
from gateway.core.unstored import Share, Unstored

REFUSED: Final = -2
"""What `offer` answers when the queue is full and its policy is to reject."""


@final
class Room(Place):
    """The limits of one queue's policy, and of memory, against what is in it.

    Publishers wait here for what the policy leaves, and at `share` for memory: whoever sends what the store takes over has
    nothing to do with that.
    """

    __slots__ = ("_contents", "_own", "lax", "moved", "policy", "share")

    def __init__(self, contents: Contents, policy: QueuePolicy, places: Places, unstored: Unstored) -> None:
        super().__init__(places)
        self._contents = contents
        self.policy = policy
        self.share = Share(unstored)
        """What it has of the memory for messages that the store does not keep."""
        self.lax = False
        """Others have waited too long for it: what is not kept makes room.  See Stalls."""
        self.moved = False
        """Something has left while others waited, since this was last set to False."""
        # Who publishes as one client with a consumer of this queue, and how many consumers those are.
        self._own: dict[Publisher, int] | None = None

    # -- how much

    def takes(self, more: int, more_bytes: int) -> bool:
        """Is there room for a message once `more`, of `more_bytes` together, have come in?"""
        policy = self.policy
        contents = self._contents
        return (
            (policy.bytes_max == 0 or contents.resident_bytes + more_bytes < policy.bytes_max)
            and (policy.messages_max == 0 or contents.depth + more < policy.messages_max)
            and (policy.stored_bytes_max == 0 or contents.bytes + more_bytes < policy.stored_bytes_max)
        )

    @property
    def full(self) -> bool:
        """Is there no room for one more?"""
        return not self.takes(0, 0)

    def full_for(self, message: Message) -> bool:
        """Is there no room for this one, be it the queue's own limits or memory?"""
        return not self.takes(0, 0) or self.short_for(message)

    def short_for(self, message: Message) -> bool:
        """Is there no memory for it?"""
        return not self.share.takes(0) and self.is_alone(message)

    def within_for(self, message: Message, numerator: int, denominator: int) -> bool:
        """Is there no more than this part of what there may be, as far as `message` is concerned?"""
        return self.within(numerator, denominator) and (
            self.share.within(numerator, denominator) or not self.is_alone(message)
        )

    def within(self, numerator: int, denominator: int) -> bool:
        """Is there no more than this part of what there may be?"""
        policy = self.policy
        contents = self._contents
        return (
            (policy.bytes_max == 0 or contents.resident_bytes * denominator <= policy.bytes_max * numerator)
            and (policy.messages_max == 0 or contents.depth * denominator <= policy.messages_max * numerator)
            and (
                policy.stored_bytes_max == 0
                or contents.bytes * denominator <= policy.stored_bytes_max * numerator
            )
        )

    @property
    def full_of_kept(self) -> bool:
        """Is there no room but what memory need not hold, and nothing that may go first?"""
        policy = self.policy
        contents = self._contents
        bytes_max = 0 if self.share.pages else policy.bytes_max
        if (
            (bytes_max == 0 or contents.resident_bytes < bytes_max)
            and (self.share.pages or self.share.takes(0))
            and (policy.messages_max == 0 or contents.depth < policy.messages_max)
            and (policy.stored_bytes_max == 0 or contents.bytes < policy.stored_bytes_max)
        ):
            return False
        return not self.has_passing

    @property
    def has_passing(self) -> bool:
        """Is the first of those that wait in memory one that nobody keeps?"""
        backlog = self._contents.backlog
        return backlog.count > 0 and not self.keeps(backlog.first().message)

    def keeps(self, message: Message) -> bool:
        """Is it one that the store keeps for this queue?"""
        return message.persistent and self.policy.durable

    def is_alone(self, message: Message) -> bool:
        """Is the queue's memory the only place where it is, so that memory cannot let go of it?"""
        return self._needs_memory(message.persistent)

    # -- who waits

    @property
    def anybody_waits(self) -> bool:
        """For what the policy leaves, or for memory?"""
        return self.waiting > 0 or self.share.waiting > 0

    def hold(self, publisher: Publisher | None, persistent: bool) -> bool:
        """Have it wait until there is room for what it sends; False for who cannot be stopped."""
        held = self.full and self.keep_out(publisher)
        if self._needs_memory(persistent) and not self.share.takes(0) and self.share.keep_out(publisher):
            held = True
        return held

    def keeps_waiting(self, publisher: Publisher, persistent: bool) -> bool:
        """Is `publisher` to be held?

        Before anybody waits here there is room for one more, and this need not be asked; but memory is everybody's.
        """
        if self.policy.when_full != BLOCK:
            return False
        waits = (self.shut and self.full) or (not self.share.takes(0) and self._needs_memory(persistent))
        return waits and (not self.lax or self.full_of_kept) and not self.never_holds(publisher)

    def _needs_memory(self, persistent: bool) -> bool:
        return not (persistent and self.policy.durable and self.share.pages)

    def again(self) -> None:
        """See Place.  Something has left too: let producers go on while a good part of the queue is free."""
        if self.share.shut:
            self.moved = True
            self.share.again()
        if self.shut:
            self.moved = True
            if self.within(3, 4):
                self.let_in()

    def close(self) -> None:
        """Nothing comes here any more: let everybody go on."""
        self.share.let_all_in()
        self.let_all_in()

    # -- who must not wait: it would wait for itself, or has waited so long that others wait for it

    def count_own(self, publisher: Publisher | None, change: int) -> None:
        """The client that publishes so has one consumer more or less."""
        if publisher is None:
            return
        own = self._own
        if own is None:
            own = self._own = {}
        count = own.get(publisher, 0) + change
        if count > 0:
            own[publisher] = count
        else:
            own.pop(publisher, None)
            if not own:
                self._own = None

    def never_holds(self, publisher: Publisher | None) -> bool:
        """Is it a client that consumes here, so that its own acknowledgements make room, or one that is overdue?"""
        if publisher is None:
            return False
        return publisher.overdue or (self._own is not None and publisher in self._own)
