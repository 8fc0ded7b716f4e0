"""The packet of a large message for a `$json/` filter: written a part at a time, once all of its JSON has been made so."""

from collections.abc import Callable
from typing import final

from gateway.connectors.long_json import json_form
from gateway.connectors.parts import Parts
from gateway.core.message import Message
from protocols.mqtt.codec import publish_head


@final
class JsonPacket(Parts):
    """See the module.  How long a packet is stands at its beginning (§2.1.4), so all of the JSON is made first."""

    __slots__ = (
        "_at",
        "_begin",
        "_block",
        "_dup",
        "_message",
        "_packet_id",
        "_qos",
        "_retain",
        "_takes",
        "_topic",
    )

    def __init__(
        self,
        message: Message,
        topic: str,
        qos: int,
        retain: bool,
        dup: bool,
        packet_id: int,
        block: bytes | None,
        begin: bytes,
    ) -> None:
        """`begin`: what the JSON begins with instead of its brace."""
        super().__init__(message.size)
        self._message = message
        self._topic = topic
        self._qos = qos
        self._retain = retain
        self._dup = dup
        self._packet_id = packet_id
        self._block = block
        self._begin = begin
        self._takes: Callable[[int, int], bool] | None = None
        # Of the JSON, the part that is next.
        self._at = 0

    def ask(self, takes: Callable[[int, int], bool]) -> None:
        """Ask, before it is begun, whether its client takes a packet with this id of so many bytes; else it is empty."""
        self._takes = takes

    def next(self) -> bytes:
        """See Parts."""
        form = json_form(self._message, False)
        at = self._at
        if at == 0:
            form.has(form.count, self._message)
            if not form.over:
                return b""
            size = form.size - 1 + len(self._begin)
            head = b""
            if self._fits(size):
                head = publish_head(
                    self._topic, size, self._qos, self._retain, self._dup, self._packet_id, self._block
                )
            if not head or not self._fits(len(head) + size):
                self.over = True
                return b""
            part = head + self._begin + form.part(0)[1:]
        else:
            part = form.part(at)
        self._at = at + 1
        self.over = self._at == form.count
        return part

    def _fits(self, size: int) -> bool:
        takes = self._takes
        return takes is None or takes(self._packet_id, size)
