"""One message for very many: it reaches them in later turns of the loop, some at a time.

Who publishes waits until all have it, so that order stays what it is; others go on meanwhile.  What subscribes later gets
what is published later.
"""

from typing import Final

from gateway.core.chores import Chore
from gateway.core.flow import Gate
from gateway.core.message import Message
from gateway.core.subscription import Binding

WIDE: Final = 1_024
"""Up to so many get a message at once."""

OFFERED_AT_ONCE: Final = 64
"""Of those beyond that, so many in one step."""

GOES_ON: Final = -4
"""What publishing answers when `FanOut.fanned_out` will be told the position."""


class FanOut(Chore):
    """One such message; made by who publishes it, begun by the broker."""

    __slots__ = ("_at", "_bindings", "_gate", "_loose", "_message", "_position")

    def __init__(self) -> None:
        self._at = 0
        self._bindings: list[Binding] = []
        self._gate = Gate(_nobody_is_next)
        # Those that stand for several and are never bound themselves.
        self._loose: set[Binding] = set()
        self._message: Message | None = None
        self._position = 0

    def begin(self, message: Message, bindings: list[Binding], position: int) -> None:
        """All of `bindings` are to have `message`; `position` is to be waited for already.  For Broker."""
        self._message = message
        # The list is the route's, and changes.
        self._bindings = list(bindings)
        self._loose = {binding for binding in bindings if binding.place < 0}
        self._position = position
        self._gate.hold(message.publisher)

    def go_on(self) -> bool:
        """See Chore."""
        message = self._message
        assert message is not None
        bindings = self._bindings
        end = min(self._at + OFFERED_AT_ONCE, len(bindings))
        while self._at < end:
            binding = bindings[self._at]
            self._at += 1
            # Who has left since gets nothing more.
            if binding.place >= 0 or binding in self._loose:
                self._position = max(self._position, binding.sink.offer(message, binding))
        if end < len(bindings):
            return True
        self._bindings = []
        self._loose = set()
        self._message = None
        self.fanned_out(self._position)
        self._gate.open()
        return False

    def fanned_out(self, position: int) -> None:
        """All have it: what `publish` would have answered."""
        raise NotImplementedError


def _nobody_is_next() -> None:
    """Its gate is opened once, for all."""
