"""The JSON of a large message for one reader, a part at a time."""

from typing import final

from gateway.connectors.long_json import json_form
from gateway.connectors.parts import Parts
from gateway.core.message import Message


@final
class JsonParts(Parts):
    """Such a form for one reader: `head`, the members behind its opening brace, and `tail`."""

    __slots__ = ("_at", "_form", "_head", "_message", "_tail")

    def __init__(self, message: Message, identity: bool, head: bytes, tail: bytes = b"") -> None:
        super().__init__(message.size + len(head) + len(tail))
        self._message = message
        self._form = json_form(message, identity)
        self._head = head
        self._tail = tail
        self._at = 0

    def next(self) -> bytes:
        """See Parts."""
        form = self._form
        at = self._at
        if not form.has(at, self._message):
            self.over = form.over
            return self._tail if self.over else b""
        part = form.part(at)
        self._at = at + 1
        if at == 0:
            part = self._head + part[1:]
        if form.over and self._at == form.count:
            self.over = True
            part += self._tail
        return part
