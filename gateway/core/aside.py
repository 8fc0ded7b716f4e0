"""What earlier runs noted and this one cannot read: it is set aside in the store, named and counted, and stops nobody."""

from typing import TYPE_CHECKING, Final, final

from gateway.core.ports import Noted

if TYPE_CHECKING:
    from gateway.core.router import Broker

SPACE_PREFIX: Final = "damaged."
"""Notes that were set aside are notes still, in a space of their own: `damaged.mqtt.session`."""

QUEUE_SPACE: Final = "queue"
RETAINED_SPACE: Final = "retained"
"""What is no note becomes one in these spaces."""

NAMED_MAX: Final = 1_000
"""What is named of it; all of it is counted."""


@final
class Aside:
    """See the module.  One a broker."""

    __slots__ = ("_broker", "count", "lines")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self.count = 0
        self.lines: list[str] = []
        """What was set aside, one line each, for whoever runs the broker."""

    def note(self, space: str, key: str, value: bytes, error: Exception) -> None:
        """The note `key` of `space` cannot be read."""
        self.keep(space, key, value, f"{type(error).__name__}: {error}")
        self._broker.store.append(Noted(space, key, None))

    def keep(self, space: str, key: str, value: bytes, why: str) -> None:
        """What was kept as `key` cannot be read; to forget it there is the caller's part."""
        self.count += 1
        self._broker.counters.quarantined += 1
        self.say(f"{space} {_shown(key)} cannot be read and is set aside: {why}")
        self._broker.store.append(Noted(SPACE_PREFIX + space, key, value))

    def lost(self, line: str) -> None:
        """What is not there any more, of which something else is kept."""
        self.count += 1
        self.say(line)

    def say(self, line: str) -> None:
        """Something else that was lost."""
        if len(self.lines) < NAMED_MAX:
            self.lines.append(line)


def _shown(key: str) -> str:
    return key.replace("\0", " ")
