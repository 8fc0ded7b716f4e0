"""gateway/core/message.py"""

from core_doubles import needs_outlet
from core_messages import message
from core_queues import broker_with

from gateway.core.destination import QUEUE, Destination
from gateway.core.message import Death, Fields, Typed

BROKER = broker_with()


@needs_outlet
def test_fields_are_decoded_once() -> None:
    one = message(BROKER, body=b"subject")
    assert one.fields().subject == "subject"
    assert one.fields() is one.fields()


def test_forms_are_remembered_by_variant() -> None:
    one = message(BROKER)
    assert one.form(1) is None
    one.remember(1, b"one")
    one.remember(2, b"two")
    assert (one.form(1), one.form(2), one.form(3)) == (b"one", b"two", None)


def test_expiry_is_absolute_and_zero_is_never() -> None:
    assert not message(BROKER).expired(1 << 60)
    one = message(BROKER, expires_at_ms=100)
    assert not one.expired(99)
    assert one.expired(100)


def test_a_redirected_copy_remembers_the_first_destination_and_is_not_retained() -> None:
    one = message(BROKER, "a", retain=True, persistent=True, priority=7, expires_at_ms=5)
    one.remember(1, b"form")
    copy = one.redirected(Destination(QUEUE, "b")).redirected(Destination(QUEUE, "c"))
    assert (copy.id, copy.priority, copy.persistent, copy.expires_at_ms) == (one.id, 7, True, 5)
    assert str(copy.destination) == "queue:c"
    assert str(copy.original) == "queue:a"
    assert not copy.retain
    # Its encoded forms name another destination.
    assert copy.form(1) is None
    assert copy.origin is one.origin


def test_ids_rise() -> None:
    assert message(BROKER).id < message(BROKER).id


def test_records_compare_and_print() -> None:
    assert Typed("i8", 3) == Typed("i8", 3)
    assert Typed("i8", 3) != Typed("u8", 3)
    assert repr(Typed("i8", 3)) == "Typed(token='i8', value=3)"
    assert Fields() == Fields()
    assert Death("q", "expired", 1, 2, 3) == Death("q", "expired", 1, 2, 3)
