"""How many bytes sessions take beside the messages that wait for them: ids, filters and wills."""

from typing import TYPE_CHECKING, final

from gateway.core.router import LimitReached

if TYPE_CHECKING:
    from gateway.connectors.mqtt.session import MqttSession


@final
class Footprint:
    """The bytes of all sessions together, and the bounds for one and for all.  Shared by the sessions of a broker."""

    __slots__ = ("all_max", "each_max", "total")

    def __init__(self, each_max: int, all_max: int) -> None:
        self.each_max = each_max
        self.all_max = all_max
        self.total = 0

    def claim(self, session: "MqttSession", size: int) -> None:
        """`session` is to take `size` bytes more.  Raises LimitReached, and then it does not."""
        if size > 0:
            self.check(session.bytes, size)
        self.count(session, size)

    def check(self, before: int, more: int) -> None:
        """Raise LimitReached if a session that takes `before` bytes may not take so many `more`."""
        if before + more > self.each_max:
            raise LimitReached("too many bytes of filters and will")
        if self.total + more > self.all_max:
            raise LimitReached("too many bytes in all sessions")

    def count(self, session: "MqttSession", size: int) -> None:
        """It takes `size` bytes more, or less, whatever the bounds: what an earlier run has granted stays."""
        session.bytes += size
        self.total += size


def bytes_of(text: str) -> int:
    """Bytes of `text` on the wire."""
    return len(text) if text.isascii() else len(text.encode())
