"""Topic aliases that a server sets up for its client (§3.3.2.3.4): a patch on a PUBLISH that is ready to go."""

from typing import Final, final

from protocols.mqtt.constants import TOPIC_ALIAS
from protocols.mqtt.framing import body_start
from protocols.mqtt.strings import decode_varint, encode_varint
from protocols.wire import u16

ALIAS_BYTES: Final = 5
"""What an alias adds to a packet at most: the property, and a longer length before it and before the packet."""


@final
class TopicAliases:
    """One connection's, first come, first served: topics seldom change their weight so much that it would pay to swap."""

    __slots__ = ("_by_topic", "_maximum")

    def __init__(self, maximum: int) -> None:
        self._by_topic: dict[bytes, int] = {}
        self._maximum = maximum
        """The client's Topic Alias Maximum, or our own if that is less."""

    def shorten(self, frame: bytes, sure: bool) -> bytes:
        """The MQTT 5 PUBLISH `frame` with an alias, if its topic has or gets one; it must not have one already.

        `sure`: the packet will reach the client.  One that may still be dropped sets up no alias.
        """
        start = body_start(frame)
        stop = start + 2 + u16(frame, start)
        topic = frame[start + 2 : stop]
        alias = self._by_topic.get(topic, 0)
        if alias:
            return _with_alias(frame, start, start, stop, alias)
        if not sure or len(self._by_topic) >= self._maximum:
            return frame
        alias = self._by_topic[topic] = len(self._by_topic) + 1
        return _with_alias(frame, start, stop, stop, alias)


def _with_alias(frame: bytes, start: int, topic_stop: int, stop: int, alias: int) -> bytes:
    """`frame` with the alias; its topic stays when `topic_stop` is where it ends, goes when that is `start`."""
    topic = frame[start:topic_stop] if topic_stop > start else b"\0\0"
    block_start = stop + 2 if frame[0] & 0x06 else stop
    size, block_at = decode_varint(frame, block_start, len(frame))
    block_end = block_at + size
    body = b"".join(
        [
            topic,
            frame[stop:block_start],
            encode_varint(size + 3),
            frame[block_at:block_end],
            bytes((TOPIC_ALIAS, alias >> 8, alias & 255)),
            frame[block_end:],
        ]
    )
    return frame[:1] + encode_varint(len(body)) + body
