"""A long payload is looked at before its PUBLISH is handled, some of it at a time: a look takes a millisecond a megabyte."""

from typing import Final, final
from zlib import crc32

from gateway.connectors.text import LONG_TEXT, Looking
from gateway.core.dedup import Content
from protocols.mqtt.frames import LongPayload, Publish

_MARK: Final = b"x-mx-dedup"

SUMMED_AT_ONCE: Final = 524_288
"""Bytes whose checksum is made in one step."""


@final
class Looks:
    """Finds out all that a PUBLISH with such a payload may need: is it UTF-8, and, where that matters, its checksum and what
    tells it from others.  Call `step` until it says that `tail` knows."""

    __slots__ = ("_at", "_content", "_sum", "_text", "tail")

    def __init__(self, publish: Publish, tail: LongPayload) -> None:
        self.tail = tail
        topic = publish.topic.encode()
        self._text = Looking(tail.data) if len(tail.data) > LONG_TEXT and tail.is_utf8 is None else None
        self._content: Content | None = None
        if _MARK in publish.properties and not tail.content:
            self._content = Content([topic, tail.data])
        self._sum = crc32(topic)
        # Of the payload, so much is in it.
        self._at = 0 if publish.qos == 2 and tail.checksum < 0 else len(tail.data)

    def step(self) -> bool:
        """Go on for a moment; answers whether that was all."""
        self._go_on()
        return self._over

    @property
    def _over(self) -> bool:
        return self._text is None and self._content is None and self._at == len(self.tail.data)

    def _go_on(self) -> None:
        tail = self.tail
        text = self._text
        if text is not None:
            if text.step():
                tail.is_utf8 = text.found
                self._text = None
        elif self._content is not None:
            if self._content.step():
                tail.content = self._content.digest
                self._content = None
        elif self._at < len(tail.data):
            end = min(self._at + SUMMED_AT_ONCE, len(tail.data))
            self._sum = crc32(memoryview(tail.data)[self._at : end], self._sum)
            self._at = end
            if end == len(tail.data):
                tail.checksum = self._sum
