"""gateway/connectors/envelope.py: what came as an envelope, written to the store and read back."""

import json

import pytest

from gateway.connectors.envelope import EnvelopeOrigin, EnvelopeRestorer, envelope_from, json_envelope
from gateway.core.destination import TOPIC, Destination
from gateway.core.message import PRIORITY_NONE, Message

ENVELOPES = [
    {"to": "topic:a", "body": "hi"},
    {"to": "queue:q", "body": {"a": [1, {"b": None}]}, "content_type": "application/json"},
    {"to": "topic:a", "body_b64": "AP8="},
    {"to": "topic:a", "body": None},
    {
        "to": "topic:a",
        "body": "é🥕",
        "correlation_id": "AMQP_BINARY:00FF",
        "reply_to": "queue:r",
        "subject": "s",
        "priority": 200,
        "properties": {"n": 5, "f": 1.5, "t": True, "z": None, "u": 7},
        "ext": {"types": "u:u8"},
        "created_at": 1_700_000_000_000,
    },
]


@pytest.mark.parametrize("members", ENVELOPES, ids=range(len(ENVELOPES)))
@pytest.mark.parametrize("protocol", ["JS", "HT"])
def test_what_comes_back_from_the_store_is_what_was_sent(members: dict[str, object], protocol: str) -> None:
    origin = EnvelopeOrigin(envelope_from(members), protocol)
    back = EnvelopeRestorer().origin(b"before" + origin.stored(), 6)
    assert back.protocol() == protocol
    assert back.body() == origin.body()
    assert back.decode() == origin.decode()
    assert shown(back) == shown(origin)


def shown(origin: object) -> object:
    message = Message(1, Destination(TOPIC, "t"), origin, 1, 1, True, 2, False, PRIORITY_NONE, 0, None)  # type: ignore[arg-type]
    return json.loads(json_envelope(message))
