"""Fields that messages share because their publisher says the same of each: decoded once, and encoded once.

All that is each message's own is the body, of which only the kind counts and whether it looks like text, and what the
router knows.
"""

from typing import Final, final

from gateway.connectors.bodies import known_text
from gateway.connectors.text import is_utf8
from gateway.core.message import Fields, Message

# What the router knows of a message and its fields do not say: beside a variant, in the key of a shared form.
_PERSISTENT: Final = 0x1000
_RETAINED: Final = 0x2000
# Of a body, what an echo without further words would be judged by.
_UTF8: Final = 0x4000
_NUL: Final = 0x8000


@final
class SharedFields:
    """The fields behind one set of headers or properties, by kind of body, and what tells the kind."""

    __slots__ = ("_by_kind", "content_encoding", "content_type", "hint", "payload_format")

    def __init__(self, content_type: str | None, fields: Fields, hint: str | None) -> None:
        self.content_type = content_type
        """As the frame says it, even where the kind of the body says enough."""
        self.content_encoding = fields.content_encoding
        self.payload_format = fields.payload_format
        self.hint = hint
        self._by_kind: dict[int, Fields] = {}

    def get(self, kind: int) -> Fields | None:
        """The fields of messages with this kind of body, if there was one."""
        return self._by_kind.get(kind)

    def keep(self, fields: Fields) -> None:
        """Let other messages have `fields`."""
        fields.forms = {}
        self._by_kind[fields.body_kind] = fields


def form_key(message: Message, body: bytes, variant: int) -> int:
    """The key of a shared form of this message for `variant` (below 0x1000)."""
    key = variant
    if message.persistent:
        key |= _PERSISTENT
    if message.retain:
        key |= _RETAINED
    if is_utf8(body, known_text(message.fields())):
        key |= _UTF8
    if 0 in body:
        key |= _NUL
    return key


def may_share(message: Message, fields: Fields) -> bool:
    """Is there nothing in the way of sharing what is made of the fields?"""
    return fields.forms is not None and message.deaths is None
