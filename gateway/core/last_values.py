"""The last value of each topic: what is published to be retained, kept by the store, and gone when its time runs out."""

from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.destination import TEMPORARY_PREFIX
from gateway.core.flow import Publisher
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.ports import NOTHING, Retained
from gateway.core.retained import RetainedTree
from gateway.core.searching import Search

if TYPE_CHECKING:
    from gateway.core.router import Broker

VALUES_AT_ONCE: Final = 32
"""Values that are looked at in one step of forgetting those whose time has run out."""


@final
class LastValues(Chore):
    """All of a broker's, within its limits."""

    __slots__ = ("_broker", "_unkept", "_working", "tree")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self.tree = RetainedTree()
        # Topics whose value has changed while the store had no room.
        self._unkept: dict[str, None] = {}
        self._working = False

    def take(self, message: Message, name: str) -> int:
        """Replace the value of the topic `name`; an empty body clears it (MQTT 5.0 §3.3.1.3).

        Returns the position for which who published it is to wait.
        """
        if name.startswith(TEMPORARY_PREFIX):
            # It dies with its owner, and nobody else may see it.
            return NOTHING
        if not message.origin.body():
            return self.clear(message, name)
        broker = self._broker
        tree = self.tree
        if self._is_full_for(name, message):
            if tree.is_due(broker.now_ms):
                # Values whose time has run out must not stand in the way.
                self._expire()
            if self._is_full_for(name, message):
                # What it was to replace goes too: an outdated value must not pass for the last one.
                broker.counters.dropped_full += 1
                return self.clear(message, name)
        tree.set(name, message)
        return self._keep(name, message, message)

    def _is_full_for(self, name: str, message: Message) -> bool:
        limits = self._broker.limits
        tree = self.tree
        if tree.bytes + tree.more_bytes(name, message) > limits.retained_bytes_max:
            return True
        return tree.count >= limits.retained_messages_max and tree.get(name) is None

    def clear(self, message: Message, name: str) -> int:
        """The topic `name` has no value any more, because of `message`; returns as `take`."""
        return self._keep(name, None, message) if self.tree.clear(name) else NOTHING

    def _keep(self, name: str, value: Message | None, message: Message) -> int:
        """Have the store keep what `message` has set or cleared.

        Whether it is persistent decides who waits, not what is kept: a topic has its last value after a restart too.
        Only what the broker says of itself is not kept, since the next run says it anew.
        """
        if message.publisher is None and not message.persistent:
            return NOTHING
        broker = self._broker
        store = broker.store
        if not store.accepting:
            # Not persistent, or it would have been refused.  It is kept when there is room again.
            self._note_unkept(name)
            return NOTHING
        position = store.append(Retained(name, value))
        if store.congested:
            broker.hold_publisher(message.publisher)
        return position if message.persistent else NOTHING

    def _note_unkept(self, name: str) -> None:
        if len(self._unkept) < self._broker.limits.retained_messages_max:
            self._unkept[name] = None

    def catch_up(self) -> None:
        """Bring the store up to date with the values for which it had no room."""
        if self._unkept:
            self._broker.chores.add(_CatchingUp(self))

    def catch_up_with_some(self) -> bool:
        """With no more than a step may; is there more, and room for it?"""
        unkept = self._unkept
        store = self._broker.store
        for _ in range(VALUES_AT_ONCE):
            if not unkept or not store.accepting:
                return False
            name = unkept.popitem()[0]
            store.append(Retained(name, self.tree.get(name)))
        return len(unkept) > 0

    def search(self, patterns: list[Pattern], receiver: Publisher) -> Search:
        """What `receiver` may have of the values that topics under `patterns` have now; to be begun whenever it likes."""
        return Search(self._broker, patterns, receiver)

    # -- those whose time runs out go, a few at a time

    def look(self, now_ms: int) -> None:
        """See to it that what is due goes, in this turn of the loop or a later one."""
        if not self._working and self.tree.is_due(now_ms):
            self._working = True
            self._broker.chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        # Not only at the end: were a step to fail, the next tick would begin anew.
        self._working = False
        self._expire()
        self._working = self.tree.is_due(self._broker.now_ms)
        return self._working

    def _expire(self) -> None:
        """Forget some whose time has run out, here and in the store."""
        broker = self._broker
        for name in self.tree.take_expired(broker.now_ms, VALUES_AT_ONCE):
            broker.counters.expired += 1
            if broker.store.accepting:
                broker.store.append(Retained(name, None))
            else:
                self._note_unkept(name)


@final
class _CatchingUp(Chore):
    """The store learns what has changed while it had no room, some at a time."""

    __slots__ = ("_values",)

    def __init__(self, values: LastValues) -> None:
        self._values = values

    def go_on(self) -> bool:
        """See Chore."""
        return self._values.catch_up_with_some()
