"""GET of messages from a queue, and what becomes of them: receipts."""

from typing import Any, Final, final

from gateway.connectors.http.answering import Answering
from gateway.connectors.http.codings import header_of
from gateway.connectors.http.meta import header_text
from gateway.connectors.http.receipts import Receipts
from gateway.connectors.http.requests import (
    ENVELOPE_TYPE,
    META,
    HttpRefusal,
    not_allowed,
    number_of,
    wants_envelope,
)
from gateway.connectors.http.settings import HttpSettings
from gateway.connectors.parts import LONG, Parts, Several
from gateway.connectors.reading import Reading
from gateway.connectors.sources import may_read
from gateway.connectors.websocket.long_messages import JsonParts
from gateway.connectors.websocket.messages import BYTES_TYPE, HTTP, dump, json_of, raw_parts
from gateway.core.credit import Credit
from gateway.core.delivery import ACCEPTED, REJECTED, RELEASED, Delivery
from gateway.core.destination import QUEUE, Destination
from gateway.core.pattern import Pattern
from gateway.core.queue import Queue
from gateway.core.subscription import Consumer, Outlet
from protocols.http.frames import Request

_INERT: Final = (
    "text/plain",
    "text/csv",
    "application/json",
    "application/octet-stream",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
)
"""Kinds of body that a browser may show in place."""

TYPE_MAX: Final = 256
"""Characters of a content type that is a header of its own; nobody's is longer."""

TOO_MANY: Final = "too many deliveries wait for their outcome"

FETCH_LOOK_MS: Final = 20
"""How often a pull looks whether the store has answered or the queue has gone on, and there was nothing for it."""

FETCH_MAX_MS: Final = 10_000
"""Longest a pull waits for the store."""


@final
class Pull(Outlet):
    """One GET: takes up to so many deliveries, now or when they come."""

    __slots__ = (
        "_bytes",
        "_connector",
        "_consumer",
        "_fetch_until_ms",
        "_look_ms",
        "_meta_bytes_max",
        "_receipts",
        "_request",
        "_until_ms",
        "deliveries",
    )

    def __init__(
        self,
        connector: Answering,
        request: Request,
        receipts: Receipts | None,
        queue: Queue,
        count: int,
        wait_ms: int,
        meta_bytes_max: int,
    ) -> None:
        super().__init__()
        self._meta_bytes_max = meta_bytes_max
        self._connector = connector
        self._request = request
        self._receipts = receipts
        """None: the answer is the end of it."""
        self._consumer = Consumer(queue, self, Credit(count), False)
        self.deliveries: list[Delivery] = []
        self._bytes = 0
        now_ms = connector.broker.now_ms
        # When to answer with what there is.
        self._until_ms = now_ms + wait_ms
        # What waits may be in the store alone, or for a later turn: before that it is not said that there is nothing.
        self._fetch_until_ms = self._until_ms + FETCH_MAX_MS
        self._look_ms = 0

    def begin(self) -> None:
        """Take what is there."""
        self._consumer.queue.attach(self._consumer)

    def broke(self, error: Exception) -> None:
        """See Outlet."""
        self._connector.broke(error)

    def deliver(self, delivery: Delivery) -> None:
        """See Outlet.  The answer is made at the end of the turn, with all that has come by then."""
        self.deliveries.append(delivery)
        self._bytes += delivery.message.size
        if self._bytes >= self._connector.limits.output_buffer:
            # The answer is long enough: the rest is for the next request.
            self.congested = True
        self._connector.turn.mark(self._connector)

    @property
    def next_ms(self) -> int:
        """When `over` is to be asked."""
        return max(self._until_ms, self._look_ms)

    @property
    def reading(self) -> Reading:
        """What it reads."""
        destination = self._consumer.queue.destination
        return Reading(str(destination), QUEUE, Pattern((destination.name,)))

    def over(self, now_ms: int) -> bool:
        """Is it to be answered, with what there is?"""
        if self.deliveries:
            return True
        if now_ms < self.next_ms:
            return False
        if self._consumer.queue.fetching and now_ms < self._fetch_until_ms:
            self._look_ms = now_ms + FETCH_LOOK_MS
            return False
        return True

    def answer(self) -> None:
        """Answer with what there is."""
        self._end()
        connector = self._connector
        deliveries = self.deliveries
        if not deliveries:
            if self._consumer.queue.fetching and connector.broker.now_ms >= self._fetch_until_ms:
                connector.deny(503, "the store does not answer")
            else:
                connector.respond(204, "", b"")
            return
        receipts = self._receipts
        if receipts is not None and receipts.room < len(deliveries):
            # Others that waited have taken the room since: what has none was not tried.
            room = max(receipts.room, 0)
            for delivery in deliveries[room:]:
                delivery.settle(RELEASED)
            del deliveries[room:]
            connector.counters.limit_hits += 1
            if not deliveries:
                connector.deny(507, TOO_MANY)
                return
        connector.counters.messages_out += len(deliveries)
        names: list[str] = []
        if receipts is not None:
            user = connector.publisher.user
            names = [receipts.add(delivery, user, connector.broker.now_ms) for delivery in deliveries]
        if not wants_envelope(self._request):
            self._respond_raw(deliveries[0], names)
        elif max([delivery.message.size for delivery in deliveries]) >= LONG:
            connector.respond_parts(200, ENVELOPE_TYPE, self._long_envelopes(names))
        else:
            connector.respond(200, ENVELOPE_TYPE, self._envelopes(names))
        if receipts is None:
            for delivery in deliveries:
                delivery.settle(ACCEPTED)

    def _envelopes(self, receipts: list[str]) -> bytes:
        identity = self._connector.limits.publish_identity
        parts: list[bytes] = []
        for at, delivery in enumerate(self.deliveries):
            parts.append(self._head(at, receipts) + json_of(delivery.message, identity)[1:])
        return b"[" + b",".join(parts) + b"]"

    def _long_envelopes(self, receipts: list[str]) -> Parts:
        """The same, of which something is too large to be made in one go."""
        identity = self._connector.limits.publish_identity
        last = len(self.deliveries) - 1
        parts: list[Parts] = []
        for at, delivery in enumerate(self.deliveries):
            head = (b"," if at else b"[") + self._head(at, receipts)
            parts.append(JsonParts(delivery.message, identity, head, b"]" if at == last else b""))
        return Several(parts)

    def _head(self, at: int, receipts: list[str]) -> bytes:
        """What stands before a message's own members, its opening brace included."""
        head: dict[str, Any] = {}
        if receipts:
            head["receipt"] = receipts[at]
        head |= _earlier(self.deliveries[at])
        return dump(head)[:-1] + b"," if head else b"{"

    def _respond_raw(self, delivery: Delivery, receipts: list[str]) -> None:
        """One message as HTTP's own body, what HTTP has no header for in X-Mx-Meta."""
        connector = self._connector
        message = delivery.message
        meta, content_type, body = raw_parts(message, connector.limits.publish_identity)
        meta |= _earlier(delivery)
        packed = header_of(message.fields().content_encoding)
        if packed is not None:
            del meta["content_encoding"]
        if content_type is not None and len(content_type) > TYPE_MAX:
            meta["content_type"] = content_type
            content_type = None
        text, lost = header_text(meta, self._meta_bytes_max)
        if lost:
            connector.broker.counters.omit(message.origin.protocol(), HTTP, lost)
        headers = [(META, text)]
        if packed is not None:
            headers.append(("Content-Encoding", packed))
        if receipts:
            headers.append(("Location", f"/receipts/{receipts[0]}"))
        if not _is_inert(content_type or BYTES_TYPE):
            # Whoever published it says what it is; a browser that knows no sandbox must not make a page of it.
            headers.append(("Content-Disposition", "attachment"))
        connector.respond(200, content_type or BYTES_TYPE, body, headers)

    def give_back(self) -> None:
        """The client is gone before it had its answer: nothing was tried."""
        self._end()
        for delivery in self.deliveries:
            delivery.settle(RELEASED)
        self.deliveries = []

    def _end(self) -> None:
        """Take no more."""
        queue = self._consumer.queue
        queue.detach(self._consumer)
        self._connector.broker.drop_unused(queue)


def pull_from(
    connector: Answering,
    request: Request,
    destination: Destination,
    receipts: Receipts,
    settings: HttpSettings,
) -> Pull:
    """GET /queues/NAME: the pull, not yet begun.  Raises HttpRefusal and LimitReached."""
    if not may_read(connector.broker, connector.publisher, QUEUE, Pattern((destination.name,))):
        raise HttpRefusal(403, f"not allowed to read from {destination}")
    count = number_of(request, "max", 1, 1, settings.pull_max)
    wait_ms = number_of(request, "wait", 0, 0, settings.wait_max_ms)
    if count > 1 and not wants_envelope(request):
        raise HttpRefusal(406, f"several messages come as {ENVELOPE_TYPE}: say so in Accept")
    keeps = _keeps(request)
    if not keeps and receipts.room <= 0:
        connector.counters.limit_hits += 1
        raise HttpRefusal(507, TOO_MANY)
    queue = connector.broker.queue(destination.name, maker=connector.publisher)
    return Pull(
        connector, request, None if keeps else receipts, queue, count, wait_ms, settings.meta_bytes_max
    )


def settle(connector: Answering, method: str, segments: list[str], receipts: Receipts) -> None:
    """DELETE /receipts/R, POST /receipts/R/release or /reject."""
    outcome = ACCEPTED
    needs(method, methods_at(segments))
    if len(segments) == 3:
        if segments[2] == "release":
            outcome = RELEASED
        elif segments[2] == "reject":
            outcome = REJECTED
        else:
            raise HttpRefusal(404, "a receipt can be deleted, or have POST …/release or …/reject")
    position = receipts.settle(segments[1], connector.publisher.user, outcome)
    if position < 0:
        raise HttpRefusal(404, "there is no such receipt, or its time has run out")
    connector.stored(position)


_METHODS: Final[dict[tuple[str, int], tuple[str, ...]]] = {
    ("messages", 1): ("POST",),
    ("events", 1): ("GET",),
    ("topics", 2): ("POST",),
    ("queues", 2): ("POST", "GET"),
    ("receipts", 2): ("DELETE",),
    ("receipts", 3): ("POST",),
}


def methods_at(segments: list[str]) -> tuple[str, ...]:
    """What can be done at that path, beside OPTIONS."""
    if not segments:
        return ("GET", "HEAD")
    return _METHODS.get((segments[0], len(segments)), ("GET", "HEAD"))


def needs(method: str, methods: tuple[str, ...]) -> None:
    """Raise HttpRefusal unless `method` is one of them."""
    if method not in methods:
        raise not_allowed("here: " + ", ".join(methods), methods)


def _is_inert(content_type: str) -> bool:
    """Is it of a kind in which browsers run nothing?"""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in _INERT


def _keeps(request: Request) -> bool:
    """Is the answer the end of it, without a receipt?"""
    ack = request.parameter("ack")
    if ack not in (None, "auto", "client"):
        raise HttpRefusal(400, "ack is auto or client")
    return ack == "auto"


def _earlier(delivery: Delivery) -> dict[str, Any]:
    """What an envelope says of earlier deliveries of the message."""
    said: dict[str, Any] = {}
    if delivery.redelivered:
        said["redelivered"] = True
    if delivery.failures:
        said["delivery_count"] = delivery.failures
    return said
