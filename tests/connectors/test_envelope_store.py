"""Messages that came as envelopes are read back from the store as they were."""

from gateway.connectors.envelope import Envelope, EnvelopeOrigin, EnvelopeRestorer
from gateway.core.destination import QUEUE, Destination
from gateway.core.message import TEXT, Typed


def test_every_kind_of_field_comes_back() -> None:
    envelope = Envelope()
    fields = envelope.fields
    fields.message_id = Typed("u64", 1 << 63)
    fields.correlation_id = b"\xff\x00"
    fields.reply_to = Destination(QUEUE, "answers")
    fields.body_kind = TEXT
    fields.properties = [("a", 1), ("a", None), ("b", Typed("i8", 5)), ("c", [1.5, {"k": b"v"}]), ("d", True)]
    fields.annotations = [("x-opt", "y")]
    envelope.body = "körper".encode()
    stored = EnvelopeOrigin(envelope, "HT").stored()
    again = EnvelopeRestorer().origin(b"before" + stored, 6)
    assert (again.protocol(), again.body()) == ("HT", envelope.body)
    assert again.decode() == fields
    assert again.stored() == stored
