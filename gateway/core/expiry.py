"""What happens to retained values when their time runs out, a few at a time."""

from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore

if TYPE_CHECKING:
    from gateway.core.router import Broker

VALUES_AT_ONCE: Final = 32
"""Retained values that are looked at in one step."""


@final
class ValueExpiry(Chore):
    """Forgets retained values whose time has run out, here and in the store."""

    __slots__ = ("_broker", "_working")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._working = False

    def look(self, now_ms: int) -> None:
        """See to it that what is due goes, in this turn of the loop or a later one."""
        if not self._working and self._broker.retained.is_due(now_ms):
            self._working = True
            self._broker.chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        broker = self._broker
        # Not only at the end: were a step to fail, the next tick would begin anew.
        self._working = False
        broker.expire_values(VALUES_AT_ONCE)
        self._working = broker.retained.is_due(broker.now_ms)
        return self._working
