"""A message as the store keeps it: a fixed index, then the origin's wire form, which reading back does not decode.

    crc32 of all that follows | index | destination | original | publisher | user | deaths | wire form

Integers are little-endian.  `version` comes first in the index, so a later form can be told from this one.
"""

import json
from struct import Struct
from struct import error as StructError
from typing import Final, final
from zlib import crc32

from mypy_extensions import mypyc_attr

from gateway.core.destination import Destination
from gateway.core.flow import Publisher
from gateway.core.message import BYTES, Death, Fields, Message, Origin
from gateway.core.subscription import Binding

RECORD_VERSION: Final = 1

# version, wire form, flags, priority, id, received, expires, size, lengths of: destination, original, publisher,
# user, deaths.
_INDEX: Final = Struct("<BBBhqqqIHHHHI")
_CRC: Final = Struct("<I")
_INDEX_AT: Final = 4
_NAMES_AT: Final = 4 + _INDEX.size

_PERSISTENT: Final = 1
_RETAIN: Final = 2
_TOPIC: Final = 4
_ORIGINAL_TOPIC: Final = 8
_USER: Final = 16
_QOS_SHIFT: Final = 6

_TEXT_MAX: Final = 65_535


class BadRecord(Exception):
    """A record that cannot be read; `str(error)` says why."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Restorer:
    """Reads back what one protocol's connector stored.  One per `Origin.wire_id`, registered with the broker."""

    __slots__ = ()

    def origin(self, data: bytes, start: int) -> Origin:
        """The origin whose `stored` form is `data` from `start` on; keep slices, decode nothing."""
        raise NotImplementedError

    def binding(self, note: bytes) -> Binding | None:
        """The binding whose `stored` form is `note`."""
        return None


@final
@mypyc_attr(acyclic=True)
class BareOrigin(Origin):
    """A body of which nothing else is known."""

    __slots__ = ("_data", "_start")

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._start = start

    def body(self) -> bytes:
        """See Origin."""
        return self._data[self._start :]

    def bare(self) -> bool:
        """See Origin."""
        return True

    def decode(self) -> Fields:
        """See Origin."""
        fields = Fields()
        fields.body_kind = BYTES
        return fields


@final
class BareRestorer(Restorer):
    """Reads back the bodies of origins that have no protocol (`Origin.wire_id` 0)."""

    __slots__ = ()

    def origin(self, data: bytes, start: int) -> Origin:
        """See Restorer."""
        return BareOrigin(data, start)


LONG_RECORD: Final = 16_384
"""Bytes of a message from which on its record is not put together on the loop's thread: a batch has megabytes of them."""


@final
class LongRecord:
    """A record in parts, of which whoever writes it makes one, or not even that.

    The checksum of 90 MB takes 36 ms, and each copy of them more; summing up holds no other thread up, and nor does writing.
    """

    __slots__ = ("_before", "_parts", "_size")

    def __init__(self, message: Message, before: bytes = b"") -> None:
        """`before`: what a note says ahead of it.  Raises what `encode_record` raises."""
        self._before = before
        parts: list[bytes | memoryview] = [b"".join(_head_of_record(message)), *message.origin.stored_parts()]
        self._parts = parts
        self._size = len(before) + _INDEX_AT + sum([len(part) for part in parts])

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return True

    def sealed(self) -> list[bytes | memoryview]:
        """The parts of the whole record, one behind the other."""
        checksum = 0
        for part in self._parts:
            checksum = crc32(part, checksum)
        return [self._before + _CRC.pack(checksum), *self._parts]

    def whole(self) -> bytes:
        """The whole record."""
        return b"".join(self.sealed())


def record_of(message: Message, before: bytes = b"") -> bytes | LongRecord:
    """`message` as the store keeps it, behind what a note says `before` it."""
    if message.size >= LONG_RECORD:
        return LongRecord(message, before)
    record = encode_record(message)
    return before + record if before else record


def encode_record(message: Message) -> bytes:
    """`message` as the store keeps it."""
    parts = _head_of_record(message)
    parts.append(message.origin.stored())
    content = b"".join(parts)
    return _CRC.pack(crc32(content)) + content


def _head_of_record(message: Message) -> list[bytes]:
    """What stands before the wire form, without the checksum."""
    origin = message.origin
    destination = message.destination
    original = message.original
    publisher = message.publisher
    flags = message.qos << _QOS_SHIFT
    if message.persistent:
        flags |= _PERSISTENT
    if message.retain:
        flags |= _RETAIN
    if destination.kind:
        flags |= _TOPIC
    name = destination.name.encode()
    original_name = b""
    if original is not None:
        original_name = original.name.encode()
        if original.kind:
            flags |= _ORIGINAL_TOPIC
    publisher_id = b""
    user = b""
    if publisher is not None:
        publisher_id = _cut(publisher.id)
        if publisher.user is not None:
            flags |= _USER
            user = _cut(publisher.user)
    deaths = b"" if message.deaths is None else _encode_deaths(message.deaths)
    index = _INDEX.pack(
        RECORD_VERSION,
        origin.wire_id(),
        flags,
        message.priority,
        message.id,
        message.received_at_ms,
        message.expires_at_ms,
        message.size,
        len(name),
        len(original_name),
        len(publisher_id),
        len(user),
        len(deaths),
    )
    return [index, name, original_name, publisher_id, user, deaths]


def _cut(text: str) -> bytes:
    """As much of a name as there is room for, never half a character."""
    data = text.encode("utf-8", "replace")
    return data if len(data) <= _TEXT_MAX else data[:_TEXT_MAX].decode("utf-8", "ignore").encode()


def is_whole(record: bytes) -> bool:
    """Would `check_record` find nothing?"""
    try:
        check_record(record)
    except BadRecord:
        return False
    return True


def check_record(record: bytes) -> None:
    """Raise BadRecord unless `record` is whole."""
    if len(record) < _NAMES_AT:
        raise BadRecord(f"{len(record)} bytes, shorter than any record")
    if crc32(memoryview(record)[_INDEX_AT:]) != _CRC.unpack_from(record, 0)[0]:
        raise BadRecord("its checksum does not match")
    version = record[_INDEX_AT]
    if version != RECORD_VERSION:
        raise BadRecord(f"it has the form {version}, this program knows {RECORD_VERSION}")


@final
class Head:
    """What a record says of itself at its beginning, whether or not it is whole."""

    __slots__ = ("expires_at_ms", "id", "name", "size", "topic")

    def __init__(self, id: int, expires_at_ms: int, size: int, name: str, topic: bool) -> None:
        self.id = id
        self.expires_at_ms = expires_at_ms
        self.size = size
        self.name = name
        """Of its destination."""
        self.topic = topic
        """Is that a topic?"""

    def is_whole(self, data: bytes, start: int, end: int) -> bool:
        """Is `data` from `start` to `end` a whole record?"""
        expected: int = _CRC.unpack_from(data, start)[0]
        return crc32(memoryview(data)[start + _INDEX_AT : end]) == expected


def head_of(data: bytes, start: int) -> Head | None:
    """The head of a record that begins at `start`, if one does."""
    if len(data) < start + _NAMES_AT or data[start + _INDEX_AT] != RECORD_VERSION:
        return None
    index = _INDEX.unpack_from(data, start + _INDEX_AT)
    at = start + _NAMES_AT
    name = data[at : at + index[8]].decode("utf-8", "replace")
    return Head(index[4], index[6], index[7], name, index[2] & _TOPIC != 0)


def id_of(record: bytes) -> int:
    """The number of the message in a whole record.  Raises BadRecord."""
    if len(record) < _NAMES_AT:
        raise BadRecord(f"{len(record)} bytes, shorter than any record")
    id: int = _INDEX.unpack_from(record, _INDEX_AT)[4]
    return id


@final
class Decoder:
    """Makes messages of records.  Publishers are remembered: most records of a page have the same few."""

    __slots__ = ("_publishers", "restorers")

    def __init__(self) -> None:
        self.restorers: dict[int, Restorer] = {0: BareRestorer()}
        """By `Origin.wire_id`."""
        self._publishers: dict[tuple[str, str | None], Publisher] = {}

    def message(self, record: bytes, checked: bool = False) -> Message:
        """The message that `encode_record` was given; `checked`: `is_whole` has said yes.  Raises BadRecord."""
        if not checked:
            check_record(record)
        try:
            return self._message(record)
        except (StructError, UnicodeDecodeError, ValueError, IndexError, KeyError, TypeError) as error:
            # The checksum held: it was written so.
            raise BadRecord(f"it cannot be read: {error}") from None

    def binding(self, note: bytes) -> Binding | None:
        """The binding whose `stored` form is `note`, which begins with its protocol's number; None for an empty one."""
        if not note:
            return None
        restorer = self.restorers.get(note[0])
        return None if restorer is None else restorer.binding(note)

    def _message(self, record: bytes) -> Message:
        index = _INDEX.unpack_from(record, _INDEX_AT)
        flags: int = index[2]
        at = _NAMES_AT
        end = at + index[8]
        destination = Destination(1 if flags & _TOPIC else 0, record[at:end].decode())
        at = end
        end = at + index[9]
        original = None
        if end > at:
            original = Destination(1 if flags & _ORIGINAL_TOPIC else 0, record[at:end].decode())
        at = end
        end = at + index[10]
        publisher_id = record[at:end].decode()
        at = end
        end = at + index[11]
        user = record[at:end].decode() if flags & _USER else None
        at = end
        end = at + index[12]
        deaths = None if end == at else _decode_deaths(record[at:end])
        wire_id: int = index[1]
        restorer = self.restorers.get(wire_id)
        if restorer is None:
            raise BadRecord(f"it came by a protocol that is not served (form {wire_id})")
        message = Message(
            index[4],
            destination,
            restorer.origin(record, end),
            index[7],
            index[5],
            flags & _PERSISTENT != 0,
            flags >> _QOS_SHIFT,
            flags & _RETAIN != 0,
            index[3],
            index[6],
            self._publisher(publisher_id, user),
        )
        message.original = original
        message.deaths = deaths
        return message

    def _publisher(self, id: str, user: str | None) -> Publisher:
        key = (id, user)
        publisher = self._publishers.get(key)
        if publisher is None:
            if len(id) > PUBLISHER_LENGTH_MAX or (user is not None and len(user) > PUBLISHER_LENGTH_MAX):
                publisher = Publisher(id, None)
                publisher.user = user
                return publisher
            if len(self._publishers) >= PUBLISHERS_REMEMBERED_MAX:
                self._publishers.clear()
            publisher = self._publishers[key] = Publisher(id, None)
            publisher.user = user
        return publisher


PUBLISHERS_REMEMBERED_MAX: Final = 1_024
PUBLISHER_LENGTH_MAX: Final = 256
"""Publishers that are remembered, and characters of their ids and names."""


def _encode_deaths(deaths: list[Death]) -> bytes:
    return json.dumps([[d.queue, d.reason, d.count, d.first_ms, d.last_ms] for d in deaths]).encode()


def _decode_deaths(data: bytes) -> list[Death]:
    return [Death(row[0], row[1], row[2], row[3], row[4]) for row in json.loads(data)]
