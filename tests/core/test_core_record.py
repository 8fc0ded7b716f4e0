"""gateway/core/record.py"""

import pytest

from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.flow import Publisher
from gateway.core.message import Death, Message
from gateway.core.record import (
    LONG_RECORD,
    BadRecord,
    BareOrigin,
    Decoder,
    LongRecord,
    encode_record,
    record_of,
)


def message(publisher: Publisher | None = None, expires_at_ms: int = 0) -> Message:
    to = Destination(QUEUE, "q" * 65_535)
    return Message(7, to, BareOrigin(b"body", 0), 4, 5, True, 2, False, 255, expires_at_ms, publisher)


def test_a_record_holds_what_a_message_is() -> None:
    publisher = Publisher("client", None)
    publisher.user = "user"
    one = message(publisher, (1 << 63) - 1)
    one.original = Destination(TOPIC, "é.t")
    one.deaths = [Death("queue:q", "rejected", 2, 1, 3)]
    back = Decoder().message(encode_record(one))
    assert (back.id, back.destination, back.original, back.deaths) == (
        7,
        one.destination,
        one.original,
        one.deaths,
    )
    assert (back.priority, back.expires_at_ms, back.origin.body()) == (255, (1 << 63) - 1, b"body")
    assert back.publisher is not None
    assert (back.publisher.id, back.publisher.user) == ("client", "user")


@pytest.mark.parametrize("character", ["x", "é", "🥕", "\ud800"])
@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_the_name_of_a_publisher_is_cut_between_characters(character: str, before: str) -> None:
    publisher = Publisher(before + character * 70_000, None)
    publisher.user = publisher.id
    back = Decoder().message(encode_record(message(publisher)))
    assert back.publisher is not None
    assert back.publisher.user == back.publisher.id
    assert 65_530 < len(back.publisher.id.encode()) <= 65_535


def test_a_record_that_was_changed_is_not_read() -> None:
    record = bytearray(encode_record(message()))
    record[-1] ^= 1
    with pytest.raises(BadRecord, match="checksum"):
        Decoder().message(bytes(record))


def test_a_record_in_parts_is_the_same_record() -> None:
    long = LongRecord(message(Publisher("p", None)))
    assert long.whole() == encode_record(message(Publisher("p", None)))
    assert len(long) == len(long.whole())


@pytest.mark.parametrize("before", [b"", b"head"])
def test_what_a_note_says_before_it_is_not_summed_up_with_it(before: bytes) -> None:
    long = LongRecord(message(), before)
    assert long.whole() == before + encode_record(message())
    assert len(long) == len(long.whole())


def test_that_of_a_large_message_is_put_together_by_whoever_writes_it() -> None:
    one = message()
    assert record_of(one, b"head") == b"head" + encode_record(one)
    one.size = LONG_RECORD
    record = record_of(one, b"head")
    assert isinstance(record, LongRecord)
    assert record.whole() == b"head" + encode_record(one)
