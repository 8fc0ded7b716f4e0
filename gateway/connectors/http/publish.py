"""POST of messages: one to a queue or topic, or several as one."""

from typing import Final

from gateway.connectors.envelope import envelope_from
from gateway.connectors.http.answering import Answering
from gateway.connectors.http.codings import coding_of, needs_plain
from gateway.connectors.http.requests import (
    MESSAGE_ID,
    HttpRefusal,
    envelope_in,
    idempotency_key,
    is_envelope,
)
from gateway.connectors.websocket.addresses import destination_of
from gateway.connectors.websocket.messages import HTTP, message_from
from gateway.core.dedup import Once
from gateway.core.destination import QUEUE, Destination
from gateway.core.message import Message
from gateway.core.once import done_before, publish_once
from gateway.core.room import REFUSED
from gateway.core.schedule import Timing
from protocols.http.frames import Request

MADE_AT_ONCE: Final = 32
"""Messages of a request that are made in one step."""


def post(connector: Answering, request: Request, destination: Destination, values_max: int) -> None:
    """POST /queues/NAME and /topics/NAME."""
    broker = connector.broker
    _check(connector, destination)
    whole = is_envelope(request)
    if whole:
        needs_plain(request)
        if not connector.has_read(request.body, values_max):
            return
    elif not connector.has_looked(request.body):
        return
    key = idempotency_key(request)
    once = None if key is None else _once(connector, request, key)
    if connector.untaken or (once is not None and _done(connector, once)):
        return
    coding = coding_of(request)
    envelope = envelope_in(
        request, whole, connector.json, destination, values_max, coding, connector.body_is_utf8
    )
    if broker.places.shut and broker.keeps_waiting_at(connector.publisher, destination, envelope.durable):
        connector.untaken = True
        return
    connector.counters.messages_in += 1
    if not broker.authorizer.may_claim(connector.publisher, envelope.fields.user_id):
        raise HttpRefusal(403, "it claims to be from another user")
    if destination.kind == QUEUE or destination.temporary:
        envelope.retain = False
    size = len(request.body) + len(request.header("x-mx-meta") or "")
    message = message_from(envelope, HTTP, size, destination, broker, connector.publisher)
    timing = envelope.timing(broker.now_ms)
    named = [(MESSAGE_ID, str(message.id))]
    if once is not None:
        connector.stored(publish_once(broker, once, [message], timing).position, named)
        return
    if timing is not None:
        connector.stored(broker.schedule.add(message, timing), named)
        return
    position = broker.publish_to(destination, message)
    if position == REFUSED:
        connector.counters.limit_hits += 1
        raise HttpRefusal(507, broker.why_refused(message.persistent, str(destination)))
    connector.stored(position, named)


def _once(connector: Answering, request: Request, key: str) -> Once | None:
    """What the request is, which is to be done once; None while it goes on."""
    content = connector.content_of(request)
    return connector.broker.dedup.once(connector.publisher, key, content) if content else None


def _done(connector: Answering, once: Once) -> bool:
    """Was it done before?  Then it is answered as it was, as soon as that is safe.  Raises KeyReused."""
    outcome = done_before(connector.broker, once)
    if outcome is None:
        return False
    more = [("Idempotent-Replayed", "true")]
    if outcome.message:
        more.append((MESSAGE_ID, str(outcome.message)))
    connector.stored(outcome.position, more)
    return True


def post_many(connector: Answering, request: Request, messages_max: int, values_max: int) -> None:
    """POST /messages: an array of envelopes, each with its `to`, all of them or none."""
    needs_plain(request)
    if not connector.has_read(request.body, values_max):
        return
    items = connector.json
    if not isinstance(items, list):
        raise HttpRefusal(400, "the body is an array of messages")
    if len(items) > messages_max:
        raise HttpRefusal(413, f"one request may bring {messages_max} messages")
    if not _made(connector, items, len(request.body) // max(len(items), 1)):
        return
    key = idempotency_key(request)
    once = None if key is None else _once(connector, request, key)
    if connector.untaken or (once is not None and _done(connector, once)):
        return
    transaction = connector.broker.transaction(connector.publisher)
    try:
        for message, timing in connector.posted:
            transaction.hold([message], timing)
    except Exception:
        transaction.abort()
        raise
    if connector.broker.places.shut and transaction.keeps_waiting(connector.publisher):
        transaction.abort()
        connector.untaken = True
        return
    if once is not None:
        transaction.remember(once)
    connector.counters.messages_in += len(items)
    connector.stored(transaction.commit())


def _made(connector: Answering, items: list[object], size: int) -> bool:
    """Make some more of the messages, of `size` bytes each about; answers whether all are there."""
    posted = connector.posted
    until = min(len(posted) + MADE_AT_ONCE, len(items))
    while len(posted) < until:
        posted.append(_message_in(connector, items[len(posted)], size))
    if len(posted) == len(items):
        return True
    connector.goes_on()
    return False


def _message_in(connector: Answering, item: object, size: int) -> tuple[Message, Timing | None]:
    """One envelope of several, and when it is to be delivered."""
    to = item.get("to") if isinstance(item, dict) else None
    if not isinstance(to, str):
        raise HttpRefusal(400, "each message has `to`: queue:NAME or topic:NAME")
    assert isinstance(item, dict)
    broker = connector.broker
    destination = destination_of(to)
    _check(connector, destination)
    envelope = envelope_from(item)
    if not broker.authorizer.may_claim(connector.publisher, envelope.fields.user_id):
        raise HttpRefusal(403, "it claims to be from another user")
    if destination.kind == QUEUE or destination.temporary:
        envelope.retain = False
    message = message_from(envelope, HTTP, size, destination, broker, connector.publisher)
    return message, envelope.timing(broker.now_ms)


def _check(connector: Answering, destination: Destination) -> None:
    """Raise HttpRefusal when nothing can be sent there."""
    if not connector.broker.authorizer.may_publish(connector.publisher, destination):
        raise HttpRefusal(403, f"not allowed to send to {destination}")
    if connector.broker.is_gone(destination):
        raise HttpRefusal(404, f"{destination} is gone")
