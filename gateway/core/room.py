"""How much a queue may hold, and who waits while it is full."""

from typing import Final, final

from gateway.core.contents import Contents
from gateway.core.flow import Gate, Places, Publisher
from gateway.core.limits import QueuePolicy
from gateway.core.message import Message

REFUSED: Final = -2
"""What `offer` answers when the queue is full and its policy is to reject."""


@final
class Room:
    """The limits of one queue's policy against what is in it."""

    __slots__ = ("_contents", "_gate", "_own", "_places", "lax", "moved", "policy")

    def __init__(self, contents: Contents, policy: QueuePolicy, places: Places) -> None:
        self._contents = contents
        self._places = places
        self.policy = policy
        self.lax = False
        """Others have waited too long for it: what is not kept makes room.  See Stalls."""
        self.moved = False
        """Something has left while others waited, since this was last set to False."""
        self._gate: Gate | None = None
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

    def full_of_kept(self, pages: bool) -> bool:
        """Is there no room but what memory need not hold (where the store `pages`), and nothing that may go first?"""
        policy = self.policy
        contents = self._contents
        if (
            (pages or policy.bytes_max == 0 or contents.resident_bytes < policy.bytes_max)
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

    # -- who waits

    @property
    def shut(self) -> bool:
        """Does anybody wait?"""
        return self._gate is not None

    def hold(self, publisher: Publisher | None) -> bool:
        """Have it wait until there is room; False for who cannot be stopped."""
        if self._gate is None:
            self._gate = Gate(self.again)
            self._places.shut += 1
        return self._gate.hold(publisher)

    def keeps_waiting(self, publisher: Publisher, pages: bool) -> bool:
        """Is `publisher` to be held?  Before anybody waits here there is room for one more: this need not be asked."""
        return (
            self._gate is not None
            and self.full
            and (not self.lax or self.full_of_kept(pages))
            and not self.owned_by(publisher)
        )

    def again(self) -> None:
        """Something has left, or somebody that was let in has had its turn: let producers go on while a good part of the
        queue is free."""
        gate = self._gate
        if gate is None:
            return
        self.moved = True
        if self.within(3, 4):
            gate.let_in()
            if not gate.waiting:
                self._forget_gate()

    def close(self) -> None:
        """Nothing comes here any more: let everybody go on."""
        gate = self._gate
        if gate is not None:
            self._forget_gate()
            gate.open()

    def _forget_gate(self) -> None:
        self._gate = None
        self._places.shut -= 1

    # -- who must not wait: it would wait for itself

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

    def owned_by(self, publisher: Publisher | None) -> bool:
        """Is it a client that consumes here, so that its own acknowledgements make room?"""
        return self._own is not None and publisher is not None and publisher in self._own
