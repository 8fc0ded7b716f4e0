"""One HTTP client: requests to calls on the core, and on to WebSocket when it asks for that."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, final

from gateway.connectors.base import Connector, Counters, Limits, Turn
from gateway.connectors.carriage import Handover
from gateway.connectors.envelope import InvalidEnvelope, envelope_from
from gateway.connectors.http.origins import allowed, host_allowed, site_allowed
from gateway.connectors.http.requests import (
    ENVELOPE_TYPE,
    META,
    HttpRefusal,
    credentials_of,
    envelope_in,
    number_of,
    wants_envelope,
    without_framing,
)
from gateway.connectors.http.streams import Events, Pull, event_of
from gateway.connectors.websocket.addresses import (
    destination_of,
    pattern_of,
    queue_named,
    topic_named,
)
from gateway.connectors.websocket.messages import (
    BYTES_TYPE,
    HTTP,
    dump,
    is_forged,
    json_of,
    message_from,
    raw_parts,
)
from gateway.core.delivery import ACCEPTED, REJECTED, RELEASED, Delivery
from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName
from gateway.core.pattern import Pattern
from gateway.core.queue import REFUSED
from gateway.core.router import Broker, LimitReached
from gateway.core.schedule import ScheduleRefused
from gateway.core.transaction import Transaction, TransactionRefused, TransactionTooLarge
from protocols.gatewayjson.codec import load
from protocols.gatewayjson.errors import JsonError
from protocols.http.connection import HttpConnection, HttpLimits
from protocols.http.frames import Request, RequestFailed
from protocols.websocket.connection import WebSocketLimits
from protocols.websocket.handshake import SWITCHING, Handshake

if TYPE_CHECKING:
    from gateway.connectors.http.service import HttpAcceptor, HttpService

_PLAIN: Final = "text/plain; charset=utf-8"
_METHODS: Final = "GET, HEAD, POST, DELETE, OPTIONS"
_API: Final = ("queues", "topics", "receipts", "events", "messages")

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the live page may do: nothing but what came with it, and talk to a gateway."""


@final
class HttpConnector(Connector):
    """See the module and Connector."""

    __slots__ = (
        "_acceptor",
        "_authorization",
        "_cors",
        "_due_ms",
        "_events",
        "_last_out_ms",
        "_position_waits",
        "_pull",
        "_refusing",
        "_request",
        "_service",
        "_wire",
        "node",
    )

    def __init__(
        self,
        broker: Broker,
        turn: Turn,
        limits: Limits,
        counters: Counters,
        peer: str,
        service: "HttpService",
        acceptor: "HttpAcceptor",
        now_ms: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self._service = service
        self._acceptor = acceptor
        self.node = service.node
        """This gateway, in message ids."""
        self._wire = HttpConnection(HttpLimits(service.settings.handshake_bytes_max, limits.max_frame_size))
        self._refusing = False
        # When a request (the first, or the next) must be whole; 0 while one is being answered.
        self._due_ms = now_ms + limits.connect_timeout_ms
        self._last_out_ms = now_ms
        # The request that is being answered.
        self._request: Request | None = None
        self._cors: str | None = None
        # As whom this connection was let in last; None is nobody yet.
        self._authorization: str | None = None
        self._pull: Pull | None = None
        self._events: Events | None = None
        # A response waits until the store has what it speaks of.
        self._position_waits = False

    # -- driven by net

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        """See Connector."""
        self.counters.bytes_in += len(data)
        if self._due_ms and self._wire.in_body:
            # A long body may take its time, as long as it comes.
            self._due_ms = now_ms + self.limits.connect_timeout_ms
        requests = 0
        events = self._wire.receive_data(data)
        while events and not self.closing:
            for event in events:
                if isinstance(event, Request):
                    requests += 1
                    self._due_ms = 0
                    self._on_request(event)
                else:
                    self._on_failed(event)
            events = [] if self.handover is not None or self._request is not None else self._next(now_ms)
        self._collect()
        if self.over_rate(requests, len(data), now_ms):
            self.on_rate_exceeded()

    def _next(self, now_ms: int) -> list[Request | RequestFailed]:
        """A request that came behind the one that has just been answered."""
        self._due_ms = now_ms + (self.limits.idle_timeout_ms or self.limits.connect_timeout_ms)
        return self._wire.receive_data(b"")

    def eof(self, now_ms: int) -> None:
        """See Connector."""
        self.broker.now_ms = now_ms
        self._let_go()
        self.detach()

    def next_deadline_ms(self) -> int | None:
        """See Connector."""
        if self._pull is not None:
            return self._pull.until_ms
        if self._events is not None:
            return self._last_out_ms + self._service.settings.event_ping_ms
        return self._due_ms or None

    def deadline(self, now_ms: int) -> None:
        """See Connector."""
        if self._pull is not None:
            if now_ms >= self._pull.until_ms:
                self._answer_pull()
                self._go_on(now_ms)
        elif self._events is not None:
            if now_ms >= self._last_out_ms + self._service.settings.event_ping_ms:
                self._last_out_ms = now_ms
                self.say(self._wire.stream(b":\n\n"))
        elif self._due_ms and now_ms >= self._due_ms:
            self._due_ms = 0
            if self._wire.started or self.handover is not None:
                self.counters.protocol_errors += 1
                self.failure = "a request took too long"
            if self._wire.started and self.handover is None:
                self._wire.fail()
                self._respond(408, _PLAIN, b"the request took too long\n")
                self._collect()
            self.hang_up()

    def prepare_out(self, now_ms: int) -> None:
        """See Connector.  A pull is answered once for all that has come in a turn."""
        if self._pull is not None and self._pull.deliveries:
            self._answer_pull()
            self._go_on(now_ms)
        if self.out:
            self._last_out_ms = now_ms

    def shutdown(self, now_ms: int) -> None:
        """See Connector."""
        if self._pull is not None:
            self._answer_pull()
        elif self._events is not None:
            self._end_events()
        self._collect()
        self.hang_up()

    def refuse(self, now_ms: int) -> None:
        """See Connector."""
        self._refusing = True

    def resumed(self) -> None:
        """See Connector."""

    def congestion_changed(self) -> None:
        """See Connector."""
        if self._events is not None:
            self._events.congested = self.congested

    def on_rate_exceeded(self) -> None:
        """See Connector."""
        if self.closing:
            return
        self.counters.limit_hits += 1
        self.failure = "sends faster than its limit"
        if self._request is not None and self._events is None:
            self._respond(429, _PLAIN, b"you send faster than you may\n")
            self._collect()
        self.hang_up()

    def release_confirmations(self, position: int) -> bool:
        """See Connector.  The store has it: the response may go."""
        more = super().release_confirmations(position)
        if self._position_waits and not more:
            self._position_waits = False
            self._respond(202, _PLAIN, b"")
            self._go_on(self.broker.now_ms)
        return more

    def _go_on(self, now_ms: int) -> None:
        """A response that had to wait is written: take the next request if it is there."""
        self._collect()
        if not self.closing:
            for event in self._next(now_ms):
                if isinstance(event, Request):
                    self._due_ms = 0
                    self._on_request(event)
                else:
                    self._on_failed(event)
            self._collect()

    # -- requests

    def _on_failed(self, failed: RequestFailed) -> None:
        self.counters.protocol_errors += 1
        self.failure = failed.reason
        if self._events is not None:
            self._end_events()
            return
        self._let_go()
        self._respond(failed.status, _PLAIN, failed.reason.encode() + b"\n")

    def _on_request(self, request: Request) -> None:
        self._request = request
        self._cors = None
        self._attempt(self._route, request)

    def _attempt(self, step: Callable[[Request], None], request: Request) -> None:
        """Take `step`, or say why it cannot be."""
        try:
            step(request)
        except HttpRefusal as refusal:
            self._refuse(refusal.status, refusal.reason)
        except (InvalidName, InvalidEnvelope, JsonError) as bad:
            self._refuse(400, str(bad))
        except (LimitReached, TransactionTooLarge, TransactionRefused, ScheduleRefused) as limit:
            self.counters.limit_hits += 1
            self._refuse(507, str(limit))

    def _route(self, request: Request) -> None:
        if self._refusing:
            self.failure = "maximumConnections is reached"
            raise HttpRefusal(503, self.failure)
        self._check_origin(request)
        if request.method == "OPTIONS":
            self._respond(204, "", b"")
            return
        if request.wants_upgrade():
            self._upgrade(request)
            return
        segments = request.segments()
        if segments is None:
            raise HttpRefusal(400, "the path is not UTF-8")
        if segments[0] in _API:
            self._identify(request)
            return
        self._serve(request)

    def _check_origin(self, request: Request) -> None:
        """A page of another site must not use what its visitor may reach."""
        settings = self._service.settings
        on_loopback = self._acceptor.on_loopback
        host = request.header("host") or ""
        if not host_allowed(host, settings.origins, on_loopback):
            self.failure = f"asked for as {host[:100]}"
            raise HttpRefusal(403, "this gateway is for this machine, and goes by no such name")
        origin = request.header("origin")
        if origin is None:
            segments = request.segments()
            only_looks = segments is not None and segments[0] not in _API
            site = request.header("sec-fetch-site")
            if not site_allowed(site, request.header("sec-fetch-mode"), only_looks, on_loopback):
                raise HttpRefusal(403, "pages of other sites may not use this gateway")
            return
        if not allowed(origin, host, settings.origins, on_loopback):
            self.failure = f"origin {origin[:100]} is not allowed"
            raise HttpRefusal(403, "pages of this origin may not use this gateway")
        self._cors = origin

    def _serve(self, request: Request) -> None:
        """A page, or what this port is for."""
        if request.method not in ("GET", "HEAD"):
            raise HttpRefusal(405, "only GET and HEAD")
        path = request.path()
        page = self._service.pages.get(path)
        if page is not None:
            self._respond(200, page.content_type, page.body, [("Cache-Control", "no-cache")])
        elif path in self._service.settings.paths:
            names = ", ".join(self._acceptor.names)
            text = f"This is a message broker's WebSocket port.  Open it as a WebSocket; subprotocols: {names}.\n"
            self._respond(426, _PLAIN, text.encode(), [("Upgrade", "websocket"), ("Connection", "Upgrade")])
        else:
            raise HttpRefusal(404, "there is nothing here")

    # -- WebSocket

    def _upgrade(self, request: Request) -> None:
        service = self._service
        settings = service.settings
        if request.path() not in settings.paths:
            raise HttpRefusal(404, "WebSocket is spoken at " + ", ".join(settings.paths))
        if request.method != "GET":
            raise HttpRefusal(405, "a WebSocket begins with GET")
        handshake = Handshake(
            request.target,
            request.headers,
            self._acceptor.names,
            # Before the protocol is known, frames are looked at as they are.
            settings.compression and request.header("sec-websocket-protocol") is not None,
            settings.compression_window_bits,
            settings.unpacked_max,
        )
        if handshake.status != SWITCHING:
            self._respond(handshake.status, _PLAIN, handshake.body, without_framing(handshake.headers))
            return
        credentials = credentials_of(request, self.peer, self.certificate_user)
        offered = credentials if credentials.user is not None or credentials.secret is not None else None
        self._wire.send_switch(handshake.headers)
        limits = WebSocketLimits(self.limits.max_frame_size, settings.unpacked_max)
        self._due_ms = self.broker.now_ms + self.limits.connect_timeout_ms
        self.handover = Handover(self._acceptor.routes, handshake, limits, self._wire.upgraded(), offered)

    # -- who is it?

    def _identify(self, request: Request) -> None:
        """Find out who asks, unless that is known from the request before."""
        authorization = request.header("authorization") or ""
        if authorization == self._authorization:
            self._carry_out(request)
            return
        credentials = credentials_of(request, self.peer, self.certificate_user)
        if (
            credentials.user is None
            and credentials.secret is None
            and self.certificate_user is None
            and not self.limits.allow_anonymous
        ):
            raise HttpRefusal(401, "who are you?")
        self._authorization = None
        self.ask(credentials)

    def identified(self, granted: bool, user: str | None) -> None:
        """See Connector."""
        request = self._request
        if request is None:
            return
        if granted:
            self._authorization = request.header("authorization") or ""
            self.publisher.user = user
            self._attempt(self._carry_out, request)
        else:
            self._refuse(401, "bad user, password or token")
        self._collect()

    def _carry_out(self, request: Request) -> None:
        segments = request.segments() or []
        room = segments[0]
        method = request.method
        if room == "messages" and len(segments) == 1:
            self._need(method, ("POST",))
            self._post_many(request)
        elif room == "events" and len(segments) == 1:
            self._need(method, ("GET",))
            self._get_events(request)
        elif room == "receipts" and len(segments) in (2, 3):
            self._settle(request, segments)
        elif room == "topics" and len(segments) == 2:
            self._need(method, ("POST",))
            self._post(request, topic_named(segments[1]))
        elif room == "queues" and len(segments) == 2:
            self._need(method, ("POST", "GET"))
            if method == "POST":
                self._post(request, queue_named(segments[1]))
            else:
                self._get(request, queue_named(segments[1]))
        else:
            raise HttpRefusal(404, "there is nothing here; a slash in a name is written %2F")

    def _need(self, method: str, methods: tuple[str, ...]) -> None:
        if method not in methods:
            raise HttpRefusal(405, "here: " + ", ".join(methods))

    # -- publishing

    def _post(self, request: Request, destination: Destination) -> None:
        self.counters.messages_in += 1
        broker = self.broker
        if not broker.authorizer.may_publish(self.publisher, destination):
            raise HttpRefusal(403, f"not allowed to send to {destination}")
        if broker.is_gone(destination):
            raise HttpRefusal(404, f"{destination} is gone")
        envelope = envelope_in(request, destination)
        if is_forged(envelope, self.publisher):
            raise HttpRefusal(403, "it claims to be from another user")
        if destination.kind == QUEUE or destination.temporary:
            envelope.retain = False
        size = len(request.body) + len(request.header("x-mx-meta") or "")
        message = message_from(envelope, HTTP, size, destination, broker, self.publisher)
        timing = envelope.timing(broker.now_ms)
        if timing is not None:
            self._stored(broker.schedule.add(message, timing))
            return
        position = broker.publish_to(destination, message)
        if position == REFUSED:
            self.counters.limit_hits += 1
            raise HttpRefusal(507, f"{destination} can take nothing more")
        self._stored(position)

    def _post_many(self, request: Request) -> None:
        """An array of envelopes, each with its `to`: all of them, or none."""
        items = load(request.body)
        if not isinstance(items, list):
            raise HttpRefusal(400, "the body is an array of messages")
        transaction = self.broker.transaction()
        size = len(request.body) // max(len(items), 1)
        try:
            for item in items:
                self._add_to(transaction, item, size)
        except Exception:
            transaction.abort()
            raise
        self.counters.messages_in += len(items)
        self._stored(transaction.commit())

    def _add_to(self, transaction: Transaction, item: object, size: int) -> None:
        """Make one of several envelopes a part of their transaction."""
        broker = self.broker
        to = item.get("to") if isinstance(item, dict) else None
        if not isinstance(to, str):
            raise HttpRefusal(400, "each message has `to`: queue:NAME or topic:NAME")
        assert isinstance(item, dict)
        destination = destination_of(to)
        if not broker.authorizer.may_publish(self.publisher, destination):
            raise HttpRefusal(403, f"not allowed to send to {destination}")
        if broker.is_gone(destination):
            raise HttpRefusal(404, f"{destination} is gone")
        envelope = envelope_from(item)
        if is_forged(envelope, self.publisher):
            raise HttpRefusal(403, "it claims to be from another user")
        if destination.kind == QUEUE or destination.temporary:
            envelope.retain = False
        message = message_from(envelope, HTTP, size, destination, broker, self.publisher)
        timing = envelope.timing(broker.now_ms)
        if timing is None:
            transaction.publish(message)
        else:
            transaction.schedule(message, timing)

    def _stored(self, position: int) -> None:
        """202, once the store has it."""
        if position <= self.broker.store.durable and not self.unconfirmed:
            self._respond(202, _PLAIN, b"")
            return
        self._position_waits = True
        self.confirm(position, b"")

    # -- reading a queue

    def _get(self, request: Request, destination: Destination) -> None:
        if not self.broker.authorizer.may_subscribe(self.publisher, QUEUE, Pattern((destination.name,))):
            raise HttpRefusal(403, f"not allowed to read from {destination}")
        if destination.temporary:
            raise HttpRefusal(403, "a temporary queue is read by its owner alone")
        settings = self._service.settings
        count = number_of(request, "max", 1, 1, settings.pull_max)
        wait_ms = number_of(request, "wait", 0, 0, settings.wait_max_ms)
        if count > 1 and not wants_envelope(request):
            raise HttpRefusal(406, f"several messages come as {ENVELOPE_TYPE}: say so in Accept")
        if not self._keeps(request) and self._service.receipts.room < count:
            self.counters.limit_hits += 1
            raise HttpRefusal(507, "too many deliveries wait for their outcome")
        queue = self.broker.queue(destination.name)
        pull = self._pull = Pull(self, queue, count, self.broker.now_ms + wait_ms)
        pull.begin()
        if pull.deliveries or not wait_ms:
            self._answer_pull()

    def _keeps(self, request: Request) -> bool:
        """Is the answer the end of it, without a receipt?"""
        ack = request.parameter("ack")
        if ack not in (None, "auto", "client"):
            raise HttpRefusal(400, "ack is auto or client")
        return ack == "auto"

    def pulled(self) -> None:
        """Something has come for the request that waits."""
        self.turn.mark(self)

    def _answer_pull(self) -> None:
        pull = self._pull
        request = self._request
        assert pull is not None
        assert request is not None
        self._pull = None
        pull.end()
        deliveries = pull.deliveries
        if not deliveries:
            self._respond(204, "", b"")
            return
        self.counters.messages_out += len(deliveries)
        receipts: list[str] = []
        if not self._keeps(request):
            known = self._service.receipts
            user = self.publisher.user
            receipts = [known.add(delivery, user, self.broker.now_ms) for delivery in deliveries]
        if wants_envelope(request):
            self._respond(200, ENVELOPE_TYPE, self._envelopes(deliveries, receipts))
        else:
            self._respond_raw(deliveries[0], receipts)
        if not receipts:
            for delivery in deliveries:
                delivery.settle(ACCEPTED)

    def _envelopes(self, deliveries: list[Delivery], receipts: list[str]) -> bytes:
        parts: list[bytes] = []
        for at, delivery in enumerate(deliveries):
            head: dict[str, Any] = {}
            if receipts:
                head["receipt"] = receipts[at]
            head |= _earlier(delivery)
            text = json_of(delivery.message, self.limits.publish_identity)
            parts.append(dump(head)[:-1] + b"," + text[1:] if head else text)
        return b"[" + b",".join(parts) + b"]"

    def _respond_raw(self, delivery: Delivery, receipts: list[str]) -> None:
        """One message as HTTP's own body, what HTTP has no header for in X-Mx-Meta."""
        meta, content_type, body = raw_parts(delivery.message, self.limits.publish_identity)
        meta |= _earlier(delivery)
        headers = [(META, json.dumps(meta))]
        if receipts:
            headers.append(("Location", f"/receipts/{receipts[0]}"))
        self._respond(200, content_type or BYTES_TYPE, body, headers)

    def _settle(self, request: Request, segments: list[str]) -> None:
        """DELETE /receipts/R, POST /receipts/R/release or /reject."""
        outcome = ACCEPTED
        if len(segments) == 2:
            self._need(request.method, ("DELETE",))
        else:
            self._need(request.method, ("POST",))
            if segments[2] == "release":
                outcome = RELEASED
            elif segments[2] == "reject":
                outcome = REJECTED
            else:
                raise HttpRefusal(404, "a receipt can be deleted, or have POST …/release or …/reject")
        position = self._service.receipts.settle(segments[1], self.publisher.user, outcome)
        if position < 0:
            raise HttpRefusal(404, "there is no such receipt, or its time has run out")
        self._stored(position)

    # -- events

    def _get_events(self, request: Request) -> None:
        patterns: list[Pattern] = []
        for name, value in request.query():
            if name == "destination":
                if not value.startswith("topic:"):
                    raise HttpRefusal(400, "events are for topics: destination=topic:FILTER")
                patterns.append(pattern_of(value.removeprefix("topic:")))
        if not patterns or len(patterns) > self.limits.max_subscriptions:
            raise HttpRefusal(400, "say what you want to see: /events?destination=topic:FILTER")
        for pattern in patterns:
            if not self.broker.authorizer.may_subscribe(self.publisher, TOPIC, pattern):
                raise HttpRefusal(403, f"not allowed to read from topic:{pattern}")
        events = Events(self, patterns, self.publisher)
        events.congested = self.congested
        self._events = events
        self._wire.start_stream(200, self._headers("text/event-stream", [("Cache-Control", "no-store")]))
        self._collect()
        self._last_out_ms = self.broker.now_ms
        if request.parameter("retained") == "true":
            for pattern in patterns:
                for message in self.broker.retained_for(pattern, self.publisher):
                    self.push(self.chunk(event_of(message, self.limits.publish_identity)))
        events.begin()

    def chunk(self, data: bytes) -> bytes:
        """A piece of the stream as it goes on the wire."""
        return self._wire.stream(data)

    def _end_events(self) -> None:
        events = self._events
        if events is not None:
            self._events = None
            events.end()
            self._wire.end_stream()

    # -- responses

    def _headers(self, content_type: str, more: list[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
        headers = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]
        if content_type:
            headers.append(("Content-Type", content_type))
        if content_type.startswith("text/html"):
            headers.append(("Content-Security-Policy", POLICY))
        if self._cors is not None:
            headers += [
                ("Access-Control-Allow-Origin", self._cors),
                ("Access-Control-Allow-Methods", _METHODS),
                ("Access-Control-Allow-Headers", f"Authorization, Content-Type, X-Mx-Ttl, {META}"),
                ("Access-Control-Expose-Headers", f"Location, {META}"),
                ("Vary", "Origin"),
            ]
        return headers + more if more else headers

    def _respond(
        self, status: int, content_type: str, body: bytes, more: list[tuple[str, str]] | None = None
    ) -> None:
        request = self._request
        self._request = None
        head = request is not None and request.method == "HEAD"
        self._wire.send_response(status, self._headers(content_type, more), body, head)

    def _refuse(self, status: int, reason: str) -> None:
        if self._events is not None:
            # Its head is sent already: all there is left to say is that it ends.
            self._end_events()
            return
        more: list[tuple[str, str]] = []
        if status == 401:
            more.append(("WWW-Authenticate", 'Basic realm="gateway", charset="UTF-8"'))
        elif status == 405:
            more.append(("Allow", _METHODS))
        if status == 503:
            more.append(("Connection", "close"))
        self._respond(status, _PLAIN, reason.encode("utf-8", "replace") + b"\n", more)

    # -- the end

    def _let_go(self) -> None:
        pull = self._pull
        self._pull = None
        if pull is not None:
            pull.give_back()
        events = self._events
        self._events = None
        if events is not None:
            events.end()
        self._request = None
        self._position_waits = False

    def _collect(self) -> None:
        wire = self._wire
        if wire.out:
            pieces = wire.out
            wire.out = []
            self.say_all(pieces)
        if wire.closing and not self.closing:
            self.hang_up()


def _earlier(delivery: Delivery) -> dict[str, Any]:
    """What an envelope says of earlier deliveries of the message."""
    said: dict[str, Any] = {}
    if delivery.redelivered:
        said["redelivered"] = True
    if delivery.failures:
        said["delivery_count"] = delivery.failures
    return said
