"""Bytes to packets: framing, and the memory that decoding needs (topics seen, aliases, the version agreed on)."""

from typing import Final, final

from protocols.mqtt import constants as c
from protocols.mqtt.accepted import ANYTHING, Accepted
from protocols.mqtt.codec import check_first, decode_control
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.errors import MalformedPacket, ProtocolViolation
from protocols.mqtt.frames import LongPayload, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel
from protocols.mqtt.framing import NEED_MORE, body_start, frame_end
from protocols.mqtt.properties import decode_properties, refuse_control_characters
from protocols.mqtt.strings import check_minimal, decode_varint
from protocols.mqtt.topics import check_topic_name
from protocols.pieces import Pieces
from protocols.wire import u16

TOPICS_REMEMBERED_MAX: Final = 65_536
"""Topic names whose check is remembered, for all connections: what one publisher sends, others send too."""

TOPIC_REMEMBERED_BYTES: Final = 256
REMEMBERED_BYTES_MAX: Final = 512
"""Longest topic name and longest property block that are remembered: longer ones are rare, and would add up."""

# Bytes of a topic name → the name, checked; without control characters, and with.
_strict: Final[dict[bytes, str]] = {}
_lax: Final[dict[bytes, str]] = {}

PACKETS_A_CALL: Final = 128
"""Packets decoded at a time: who has to be heard no further than to one of them has only so many waiting."""

FRESH_BYTES_A_CALL: Final = 4_096
"""No more are decoded behind so many bytes of properties, other than those like the ones before, and of packets but PUBLISH:
a thousand user properties or filters cost as much as some hundred short packets."""


TAIL_BYTES_MIN: Final = 262_144
"""Bytes of a PUBLISH from which on its payload is kept beside its head: cutting it off takes a millisecond a megabyte."""


@final
class PacketDecoder:
    """One direction of one connection.  `push` bytes, then take frames and decode each."""

    __slots__ = (
        "_accepted",
        "_aliases",
        "_block",
        "_block_alias",
        "_block_expiry_s",
        "_control_characters",
        "_data",
        "_first",
        "_fresh",
        "_head",
        "_needed",
        "_pieces",
        "_pos",
        "_tail",
        "_topics",
        "_whole",
        "alias_maximum",
        "limit",
        "version",
    )

    def __init__(
        self,
        limit: int,
        version: int = 0,
        alias_maximum: int = 0,
        control_characters: bool = True,
        accepted: Accepted = ANYTHING,
    ) -> None:
        self.limit = limit
        """Largest packet in bytes."""
        self.version = version
        """3, 4 or 5; 0 until it is known."""
        self.alias_maximum = alias_maximum
        self._accepted = accepted
        self._data = b""
        self._pos = 0
        # A packet that is not whole yet: its pieces are joined once, when all of them are there, so that the
        # work stays linear in the bytes received.
        self._pieces: Pieces | None = None
        self._first = 0
        self._needed = 0
        # One that is; its payload, if that is kept beside its head.
        self._whole: bytes | None = None
        self._head = b""
        self._tail = b""
        # Are they allowed in topic names?
        self._control_characters = control_characters
        self._topics = _lax if control_characters else _strict
        self._aliases: dict[int, str] | None = None
        # The last property block of a PUBLISH and what it says: most publishers send the same one again.
        self._block = b""
        self._block_alias = 0
        self._block_expiry_s = -1
        # Bytes of what had to be read anew since `begin_call`.
        self._fresh = 0

    def begin_call(self) -> None:
        """As many packets as one call may bring are to be decoded from now on."""
        self._fresh = 0

    def enough(self, packets: list[Packet]) -> bool:
        """Has as much been decoded as one call may bring?"""
        return len(packets) >= PACKETS_A_CALL or self._fresh >= FRESH_BYTES_A_CALL

    @property
    def buffered(self) -> int:
        """Bytes held of a packet that is not whole."""
        return self._pieces.size if self._pieces is not None else len(self._data) - self._pos

    @property
    def unfinished(self) -> int:
        """Those of them that are kept beside the read they came in: of a large packet."""
        return self._pieces.size if self._pieces is not None else 0

    def head(self) -> bytes:
        """The first bytes, sixteen at most, of a packet that is not whole."""
        return self._data[self._pos : self._pos + 16]

    def begun(self) -> int:
        """The first byte of a packet that is not whole; -1 when there is none."""
        if self._pieces is not None:
            return self._first
        return self._data[self._pos] if self._pos < len(self._data) else -1

    def push(self, data: bytes) -> None:
        """Take what has been read.  Call `next_frame` until it has no more before pushing again."""
        if not data:
            return
        pieces = self._pieces
        if pieces is None:
            if self._pos < len(self._data):
                # At most four bytes: a length that was cut.
                data = self._data[self._pos :] + data
            self._data = data
            self._pos = 0
            return
        missing = self._needed - pieces.size
        if missing > len(data):
            pieces.add(data)
            return
        # What is behind it is not joined to it, since that would have to be undone by copying it.
        pieces.add(data[:missing])
        self._whole = pieces.take()
        self._pieces = None
        if self._head:
            self._tail = self._whole
            self._whole = self._head
            self._head = b""
        self._data = data[missing:]
        self._pos = 0

    def next_frame(self) -> bytes | None:
        """The next whole packet; None when more bytes are needed.  Raises MqttError for a length that may not be."""
        if self._pieces is not None:
            return None
        whole = self._whole
        if whole is not None:
            self._whole = None
            whole += self._tail
            self._tail = b""
            return whole
        data = self._data
        start = self._pos
        end = frame_end(data, start, self.limit)
        if end == NEED_MORE:
            self._data = data[start:]
            self._pos = 0
            return None
        if end > len(data):
            behind = self._head_end(data, start) if end - start >= TAIL_BYTES_MIN else -1
            if behind > 0:
                self._head = data[start:behind]
                start = behind
            self._pieces = Pieces(data[start:], end - start)
            self._first = self._head[0] if self._head else data[start]
            self._needed = end - start
            self._data = b""
            self._pos = 0
            return None
        self._pos = end
        if start == 0 and end == len(data):
            return data
        return data[start:end]

    def take_publishes(self, packets: list[Packet]) -> bytes | None:
        """Decode packets into `packets` as long as they are PUBLISH; returns the next other frame, None at the end, and
        when that is `enough`.

        One loop over a read, because on a busy connection nearly all of it is this.  Raises MqttError.
        """
        if self._pieces is not None:
            return None
        whole = self._whole
        if whole is not None:
            if whole[0] & 0xF0 != 0x30:
                return self.next_frame()
            self._whole = None
            publish = self._decode_publish(whole)
            if self._tail:
                publish.tail = LongPayload(self._tail)
                self._tail = b""
            packets.append(publish)
            if self.enough(packets):
                return None
        data = self._data
        have = len(data)
        limit = self.limit
        start = self._pos
        while start + 2 <= have:
            length = data[start + 1]
            end = (
                start + 2 + length if length < 128 and length + 2 <= limit else frame_end(data, start, limit)
            )
            if end == NEED_MORE or end > have:
                break
            self._pos = end
            frame = data[start:end]
            if data[start] & 0xF0 != 0x30:
                return frame
            packets.append(self._decode_publish(frame))
            start = end
            if self.enough(packets):
                return None
        return self.next_frame()

    def discard(self) -> None:
        """Forget what was pushed: nothing more will be decoded."""
        self._data = b""
        self._pos = 0
        self._pieces = None
        self._whole = None
        self._head = b""
        self._tail = b""

    def _head_end(self, data: bytes, start: int) -> int:
        """Where the payload begins of a PUBLISH that is coming; -1 for other packets, or if that is not there yet."""
        have = len(data)
        if data[start] & 0xF0 != 0x30 or self.version == 0:
            return -1
        pos = start + 1
        while data[pos] > 127:
            pos += 1
        pos += 1
        if pos + 2 > have:
            return -1
        pos += 2 + u16(data, pos) + (2 if data[start] & 0x06 else 0)
        if self.version == c.VERSION_5:
            if pos + 4 > have:
                return -1
            size, pos = decode_varint(data, pos, have)
            pos += size
        return pos if pos < have else -1

    def decode(self, frame: bytes) -> Packet:
        """The packet in a whole frame.  Raises MqttError."""
        first = frame[0]
        if first >> 4 == c.PUBLISH:
            return self._decode_publish(frame)
        if len(frame) == 4:
            # The short acknowledgements, which come once or twice for every QoS 1 or 2 message.
            packet_id = u16(frame, 2)
            if packet_id:
                if first == 0x40:
                    return Puback(packet_id)
                if first == 0x50:
                    return Pubrec(packet_id)
                if first == 0x62:
                    return Pubrel(packet_id)
                if first == 0x70:
                    return Pubcomp(packet_id)
        self._fresh += len(frame)
        return decode_control(frame, self.version, self._accepted)

    def _decode_publish(self, frame: bytes) -> Publish:
        """PUBLISH (§3.3)."""
        first = frame[0]
        qos = first >> 1 & 3
        dup = first & 8 != 0
        if qos == 3 or (dup and qos == 0):
            check_first(first, self.version)
        end = len(frame)
        pos = 2 if frame[1] < 128 else body_start(frame)
        if pos + 2 > end:
            raise MalformedPacket("PUBLISH is cut off")
        stop = pos + 2 + u16(frame, pos)
        if stop > end:
            raise MalformedPacket("the topic is longer than its packet")
        raw = frame[pos + 2 : stop]
        pos = stop
        packet_id = 0
        if qos:
            if pos + 2 > end:
                raise MalformedPacket("PUBLISH is cut off")
            packet_id = u16(frame, pos)
            if packet_id == 0:
                raise ProtocolViolation("packet id 0")
            pos += 2
        if self.version != c.VERSION_5:
            known = self._topics.get(raw)
            topic = self._topic(raw) if known is None else known
            return Publish(frame, topic, pos, qos, first & 1 != 0, dup, packet_id, b"", 0, -1, self.version)
        return self._decode_publish_5(frame, raw, pos, qos, packet_id)

    def _decode_publish_5(self, frame: bytes, raw: bytes, pos: int, qos: int, packet_id: int) -> Publish:
        """The rest of a PUBLISH that has properties."""
        first = frame[0]
        end = len(frame)
        if frame[1] > 127:
            check_minimal(frame, 1, body_start(frame))
        size, pos = decode_varint(frame, pos, end)
        stop = pos + size
        if stop > end:
            raise MalformedPacket("the properties are longer than their packet")
        block = b""
        alias = 0
        expiry_s = -1
        if size:
            block = frame[pos:stop]
            if block != self._block:
                self._read_block(block)
            block = self._block
            alias = self._block_alias
            expiry_s = self._block_expiry_s
            if size > REMEMBERED_BYTES_MAX:
                self._block = b""
        topic = self._topic_or_alias(raw, alias)
        return Publish(
            frame,
            topic,
            stop,
            qos,
            first & 1 != 0,
            first & 8 != 0,
            packet_id,
            block,
            alias,
            expiry_s,
            self.version,
        )

    def _read_block(self, block: bytes) -> None:
        """Check the properties of a PUBLISH, and note those that decide how it is handled."""
        self._fresh += len(block)
        properties = decode_properties(block, c.PUBLISH, self._accepted.user_properties_max)
        if not self._control_characters:
            refuse_control_characters(properties)
        if properties.subscription_ids and self.alias_maximum >= 0:
            # [MQTT-3.3.4-6]: only a server may send them; a client's decoder has alias_maximum -1.
            raise ProtocolViolation("a subscription identifier in a client's PUBLISH")
        alias = 0
        if properties.topic_alias is not None:
            alias = properties.topic_alias
            if alias == 0 or (self.alias_maximum >= 0 and alias > self.alias_maximum):
                raise ProtocolViolation(f"topic alias {alias}", ReasonCode.TOPIC_ALIAS_INVALID)
        self._block = block
        self._block_alias = alias
        self._block_expiry_s = -1 if properties.message_expiry_s is None else properties.message_expiry_s

    def _topic_or_alias(self, raw: bytes, alias: int) -> str:
        """The topic, which an alias may stand for (§3.3.2.3.4)."""
        if not alias:
            return self._topic(raw)
        aliases = self._aliases
        if aliases is None:
            aliases = self._aliases = {}
        if raw:
            topic = aliases[alias] = self._topic(raw)
            return topic
        known = aliases.get(alias)
        if known is None:
            raise ProtocolViolation(f"topic alias {alias} was never set")
        return known

    def _topic(self, raw: bytes) -> str:
        """The name in `raw`, checked once."""
        topics = self._topics
        topic = topics.get(raw)
        if topic is None:
            topic = check_topic_name(raw, self._control_characters)
            if len(raw) > TOPIC_REMEMBERED_BYTES:
                return topic
            if len(topics) >= TOPICS_REMEMBERED_MAX:
                topics.clear()
            topics[raw] = topic
        return topic
