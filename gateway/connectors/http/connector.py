"""One HTTP client: requests to calls on the core, and on to WebSocket when it asks for that."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, final

from gateway.connectors.base import ORIGINS, Counters, Limits, Turn, shown
from gateway.connectors.carriage import Handover
from gateway.connectors.envelope import InvalidEnvelope
from gateway.connectors.http.answering import PLAIN, POLICY, Answering
from gateway.connectors.http.events import Events, patterns_in
from gateway.connectors.http.origins import allowed, host_allowed, site_allowed
from gateway.connectors.http.publish import post, post_many
from gateway.connectors.http.pull import Pull, methods_at, needs, pull_from, settle
from gateway.connectors.http.requests import (
    PARAMETERS,
    HttpRefusal,
    check_parameters,
    credentials_of,
    not_allowed,
    without_framing,
)
from gateway.connectors.reading import Reading
from gateway.connectors.websocket.addresses import queue_named, topic_named
from gateway.core.dedup import KeyReused
from gateway.core.destination import InvalidName
from gateway.core.router import Broker, LimitReached
from gateway.core.schedule import ScheduleRefused
from gateway.core.transaction import TransactionDenied, TransactionRefused, TransactionTooLarge
from protocols.gatewayjson.errors import JsonError
from protocols.http.frames import Event, Request, RequestBegun, RequestFailed
from protocols.websocket.connection import WebSocketLimits
from protocols.websocket.handshake import SWITCHING, Handshake

if TYPE_CHECKING:
    from gateway.connectors.http.service import HttpAcceptor, HttpService

KNOWN: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
"""Methods that are known; those that are not are not merely wrong where they are used (RFC 9110 §9.1)."""

_API: Final = ("queues", "topics", "receipts", "events", "messages")


@final
class HttpConnector(Answering):
    """See the module and Connector."""

    __slots__ = (
        "_acceptor",
        "_authorization",
        "_begun",
        "_body_since_ms",
        "_due_ms",
        "_events",
        "_last_out_ms",
        "_pull",
        "_refusing",
        "_service",
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
        super().__init__(broker, turn, limits, counters, peer, service.settings.handshake_bytes_max)
        self._service = service
        self._acceptor = acceptor
        self._refusing = False
        # When a request (the first, or the next) must be whole; 0 while one is being answered.
        self._due_ms = now_ms + limits.connect_timeout_ms
        # `request` is only the head of one whose body may not be taken yet.
        self._begun = False
        # When the body that is coming began; 0 while none is.
        self._body_since_ms = 0
        self._last_out_ms = now_ms
        # As whom this connection was let in last; None is nobody yet.
        self._authorization: str | None = None
        self._pull: Pull | None = None
        self._events: Events | None = None

    # -- driven by net

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        """See Connector."""
        self.counters.bytes_in += len(data)
        if self.untaken:
            self._try_again(now_ms)
        too_much = self.over_rate(0, len(data), now_ms)
        events = self.wire.receive_data(data)
        self._look_at_body(now_ms)
        if too_much:
            self.on_rate_exceeded()
        else:
            self._take(events, now_ms)

    def _look_at_body(self, now_ms: int) -> None:
        """A long body may take its time, but has to come all the while."""
        if not self.wire.in_body:
            self._body_since_ms = 0
        elif self._due_ms:
            if self._body_since_ms == 0:
                self._body_since_ms = now_ms
            self._due_ms = self.limits.whole_by_ms(self._body_since_ms, self.wire.body_bytes)

    def _try_again(self, now_ms: int) -> None:
        """What the request publishes had to wait for room."""
        request = self.request
        self.untaken = False
        if request is not None:
            self._attempt(self._carry_out, request)
            if not self.untaken and not self.stored_later:
                self._go_on(now_ms)

    def _take(self, events: list[Event], now_ms: int) -> None:
        """Carry out a request, and those behind it, as long as each is answered at once and others need not wait."""
        while events and not self.closing:
            for event in events:
                if isinstance(event, RequestFailed):
                    self._on_failed(event)
                elif isinstance(event, RequestBegun):
                    self._on_begun(event)
                elif self.over_rate(1, 0, now_ms):
                    self.request = event
                    self.on_rate_exceeded()
                else:
                    self._due_ms = 0
                    self._on_request(event)
            if self.handover is not None or self.request is not None:
                break
            self.collect()
            if self.throttled:
                # Many requests fit into one read, and each may be answered with a large message.
                break
            if self.turn.over:
                self.resumes = True
                self.turn.mark(self)
                break
            events = self._next(now_ms)
        self.collect()

    def _next(self, now_ms: int) -> list[Event]:
        """A request that came behind the one that has just been answered."""
        self._due_ms = now_ms + (self.limits.idle_timeout_ms or self.limits.connect_timeout_ms)
        return self.wire.receive_data(b"")

    def _go_on(self, now_ms: int) -> None:
        """A response that had to wait is written: take the next request if it is there."""
        self.collect()
        if not self.closing:
            self._take(self._next(now_ms), now_ms)

    def eof(self, now_ms: int) -> None:
        """See Connector."""
        self.broker.now_ms = now_ms
        self._let_go()
        self.detach()

    def next_deadline_ms(self) -> int | None:
        """See Connector."""
        if self._pull is not None:
            return self._pull.next_ms
        if self._events is not None:
            return self._last_out_ms + self._service.settings.event_ping_ms
        return self._due_ms or None

    def deadline(self, now_ms: int) -> None:
        """See Connector."""
        if self._pull is not None:
            self._look_at_pull(now_ms)
        elif self._events is not None:
            if now_ms >= self._last_out_ms + self._service.settings.event_ping_ms:
                self._last_out_ms = now_ms
                self.say(self.wire.stream(b":\n\n"))
        elif self._due_ms and now_ms >= self._due_ms:
            self._due_ms = 0
            if self.wire.started or self.handover is not None:
                self.counters.protocol_errors += 1
                self.failure = "a request took too long"
            if self.wire.started and self.handover is None:
                self.wire.fail()
                self.respond(408, PLAIN, b"the request took too long\n")
                self.collect()
            self.hang_up()

    def prepare_out(self, now_ms: int) -> None:
        """See Connector.  A pull is answered once for all that has come in a turn."""
        if self._pull is not None and self._pull.deliveries:
            self._look_at_pull(now_ms)
        if self.out:
            self._last_out_ms = now_ms

    def _look_at_pull(self, now_ms: int) -> None:
        """Answer the pull if it is over."""
        pull = self._pull
        if pull is not None and pull.over(now_ms):
            self._pull = None
            pull.answer()
            self._go_on(now_ms)

    def shutdown(self, now_ms: int) -> None:
        """See Connector."""
        pull = self._pull
        if pull is not None:
            self._pull = None
            pull.answer()
        elif self._events is not None:
            self._end_events()
        self.collect()
        self.hang_up()

    def forget_permissions(self) -> None:
        """See Connector.  Who asks for something is asked who that is; what goes on now is not asked for again."""
        self._authorization = None
        # Of a request with many messages, those that are made already were allowed by other rules.
        self.posted = []
        self.known = self._pull is not None or self._events is not None

    def readings(self) -> Iterator[Reading]:
        """See Connector."""
        if self._pull is not None:
            return iter([self._pull.reading])
        return iter([] if self._events is None else self._events.readings())

    def revoke(self, why: str) -> None:
        """See Connector."""
        pull = self._pull
        self.failure = why
        if pull is not None:
            self._pull = None
            pull.give_back()
            self.deny(403, why)
        else:
            self._end_events()
        self.collect()
        self.hang_up()

    def refuse(self, now_ms: int) -> None:
        """See Connector."""
        self._refusing = True

    def written(self) -> None:
        """See Connector."""
        super().written()
        if self._events is not None:
            self._events.go_on()

    def resumed(self) -> None:
        """See Connector."""
        if self._events is not None:
            self._events.go_on()

    def congestion_changed(self) -> None:
        """See Connector."""
        if self._events is not None:
            self._events.congested = self.congested

    def on_rate_exceeded(self) -> None:
        """See Connector."""
        self._take_no_more(429, "sends faster than its limit")

    @property
    def unfinished(self) -> int:
        """See Connector."""
        return self.wire.unfinished

    def on_unfinished(self, why: str) -> None:
        """See Connector."""
        self._take_no_more(503, why)

    def _take_no_more(self, status: int, why: str) -> None:
        """What has been done is confirmed all the same, and the connection ends with that."""
        if self.closing:
            return
        self.counters.limit_hits += 1
        self.failure = why
        self.wire.fail()
        if self.stored_later:
            return
        if self._events is None and (self.request is not None or self.wire.started):
            self._let_go()
            self.respond(status, PLAIN, why.encode() + b"\n")
            self.collect()
        self.hang_up()

    def on_too_slow(self, now_ms: int) -> None:
        """See Connector."""
        if self._events is not None:
            self.say(self.wire.stream(b": " + self.failure.encode() + b"\n\n"))
        self.shutdown(now_ms)

    def finish(self, now_ms: int) -> None:
        """See Connector.  Who waits for a message waits no longer; events never end by themselves."""
        pull = self._pull
        if pull is not None:
            self._pull = None
            pull.answer()
            self._go_on(now_ms)
        elif self._events is not None:
            self._end_events()
            self.collect()

    def release_confirmations(self, position: int) -> bool:
        """See Connector.  The store has it: the response may go."""
        more = super().release_confirmations(position)
        if self.stored_later and not more:
            self.stored_later = False
            self.respond(202, PLAIN, b"", self.more_later)
            self._go_on(self.broker.now_ms)
        return more

    # -- requests

    def _on_failed(self, failed: RequestFailed) -> None:
        self.counters.protocol_errors += 1
        self.failure = failed.reason
        if self.stored_later:
            # The wire room takes nothing more: the response that waits is the last.
            return
        if self._events is not None:
            self._end_events()
            return
        self._let_go()
        self.respond(failed.status, PLAIN, failed.reason.encode() + b"\n")

    def _on_begun(self, begun: RequestBegun) -> None:
        """A large body is to come: who sends it must be known before it is taken."""
        self.request = begun.head
        self.cors = None
        self._begun = True
        self._due_ms = 0
        self._attempt(self._route_begun, begun.head)

    def _route_begun(self, head: Request) -> None:
        self._check(head)
        segments = head.segments()
        if segments is None or segments[0] not in _API or head.wants_upgrade():
            raise HttpRefusal(413, "no body is wanted here")
        self._identify(head)

    def _accept_body(self) -> None:
        """It is known who sends it."""
        self._begun = False
        self.request = None
        self._body_since_ms = self.broker.now_ms
        self._due_ms = self.limits.whole_by_ms(self.broker.now_ms, 0)
        self.wire.accept_body()

    def _on_request(self, request: Request) -> None:
        self.request = request
        self.cors = None
        self._attempt(self._route, request)

    def _attempt(self, step: Callable[[Request], None], request: Request) -> None:
        """Take `step`, or say why it cannot be."""
        try:
            step(request)
        except HttpRefusal as refusal:
            self.deny(refusal.status, refusal.reason, refusal.more)
        except KeyReused as reused:
            # draft-ietf-httpapi-idempotency-key-header §2.7
            self.deny(422, str(reused))
        except (InvalidName, InvalidEnvelope, JsonError) as bad:
            self.deny(400, str(bad))
        except TransactionDenied as denied:
            self.deny(403, str(denied))
        except (LimitReached, TransactionTooLarge, TransactionRefused, ScheduleRefused) as limit:
            self.counters.limit_hits += 1
            self.deny(507, str(limit))

    def _route(self, request: Request) -> None:
        self._check(request)
        if request.method not in KNOWN:
            raise HttpRefusal(501, "unknown method")
        if request.method == "OPTIONS":
            allowed_here = methods_at(request.segments() or [])
            self.respond(204, "", b"", [("Allow", ", ".join([*allowed_here, "OPTIONS"]))])
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

    def _check(self, request: Request) -> None:
        if self._refusing:
            self.failure = "maximumConnections is reached"
            raise HttpRefusal(503, self.failure)
        expected = request.header("expect")
        if expected is not None and expected.strip().lower() != "100-continue":
            # RFC 9110 §10.1.1
            raise HttpRefusal(417, "nothing but 100-continue can be expected here")
        self._check_origin(request)

    def _check_origin(self, request: Request) -> None:
        """A page of another site must not use what its visitor may reach."""
        settings = self._service.settings
        on_loopback = self._acceptor.on_loopback
        host = request.header("host") or ""
        if not host_allowed(host, settings.origins, on_loopback):
            self.notice(ORIGINS, f"asked for as {shown(host)}, which is not its name")
            raise HttpRefusal(403, "this gateway is for this machine, and goes by no such name")
        origin = request.header("origin")
        if origin is None:
            segments = request.segments()
            only_looks = segments is not None and segments[0] not in _API
            site = request.header("sec-fetch-site")
            if not site_allowed(site, request.header("sec-fetch-mode"), only_looks, on_loopback):
                self.notice(ORIGINS, "a page of another site, which is not named, may not use this gateway")
                raise HttpRefusal(403, "pages of other sites may not use this gateway")
            return
        if not allowed(origin, host, settings.origins, on_loopback):
            self.notice(ORIGINS, f"pages of {shown(origin)} may not use this gateway")
            raise HttpRefusal(403, "pages of this origin may not use this gateway")
        self.cors = origin

    def _serve(self, request: Request) -> None:
        """A page, or what this port is for."""
        if request.method not in ("GET", "HEAD"):
            raise not_allowed("only GET and HEAD", ("GET", "HEAD"))
        path = request.path()
        page = self._service.pages.get(path)
        if page is not None:
            self.respond(200, page.content_type, page.body, [("Cache-Control", "no-cache")], POLICY)
        elif path in self._service.settings.paths:
            names = ", ".join(self._acceptor.names)
            text = f"This is a message broker's WebSocket port.  Open it as a WebSocket; subprotocols: {names}.\n"
            self.respond(426, PLAIN, text.encode(), [("Upgrade", "websocket"), ("Connection", "Upgrade")])
        else:
            raise HttpRefusal(404, "there is nothing here")

    # -- WebSocket

    def _upgrade(self, request: Request) -> None:
        service = self._service
        settings = service.settings
        if request.path() not in settings.paths:
            raise HttpRefusal(404, "WebSocket is spoken at " + ", ".join(settings.paths))
        if request.method != "GET":
            raise not_allowed("a WebSocket begins with GET", ("GET",))
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
            self.respond(handshake.status, PLAIN, handshake.body, without_framing(handshake.headers))
            return
        credentials = credentials_of(request, self.peer, self.certificate_user)
        offered = credentials if credentials.user is not None or credentials.secret is not None else None
        self.wire.send_switch(handshake.headers)
        limits = WebSocketLimits(self.limits.max_frame_size, settings.unpacked_max)
        self._due_ms = self.broker.now_ms + self.limits.connect_timeout_ms
        self.handover = Handover(self._acceptor.routes, handshake, limits, self.wire.upgraded(), offered)

    # -- who is it?

    def _identify(self, request: Request) -> None:
        """Find out who asks, unless that is known from the request before."""
        authorization = request.header("authorization") or ""
        if authorization == self._authorization:
            self._carry_out(request)
            return
        credentials = credentials_of(request, self.peer, self.certificate_user)
        if self.says_too_little(credentials.user, credentials.secret):
            raise HttpRefusal(401, "who are you?")
        self._authorization = None
        self.ask(credentials)

    def identified(self, granted: bool, user: str | None) -> None:
        """See Connector."""
        request = self.request
        if request is None:
            return
        if granted:
            self._authorization = request.header("authorization") or ""
            self.publisher.user = user
            self._attempt(self._carry_out, request)
        else:
            self.deny(401, "bad user, password or token")
        self.collect()

    def _carry_out(self, request: Request) -> None:
        if self._begun:
            self._accept_body()
            return
        segments = request.segments() or []
        room = segments[0]
        method = request.method
        if room in PARAMETERS and "?" in request.target:
            check_parameters(request, room)
        if room == "messages" and len(segments) == 1:
            needs(method, methods_at(segments))
            settings = self._service.settings
            post_many(self, request, settings.messages_max, settings.values_max)
        elif room == "events" and len(segments) == 1:
            needs(method, methods_at(segments))
            self._get_events(request)
        elif room == "receipts" and len(segments) in (2, 3):
            settle(self, method, segments, self._service.receipts)
        elif room == "topics" and len(segments) == 2:
            needs(method, methods_at(segments))
            post(self, request, topic_named(segments[1]), self._service.settings.values_max)
        elif room == "queues" and len(segments) == 2:
            needs(method, methods_at(segments))
            if method == "POST":
                post(self, request, queue_named(segments[1]), self._service.settings.values_max)
            else:
                self._get(request, segments[1])
        else:
            raise HttpRefusal(404, "there is nothing here; a slash in a name is written %2F")

    # -- answers that wait

    def _get(self, request: Request, name: str) -> None:
        service = self._service
        pull = pull_from(self, request, queue_named(name), service.receipts, service.settings)
        self._pull = pull
        pull.begin()
        if pull.over(self.broker.now_ms):
            self._pull = None
            pull.answer()

    def _get_events(self, request: Request) -> None:
        patterns = patterns_in(self, request)
        events = self._events = Events(self, patterns, self._service.trails)
        self.wire.start_stream(200, self.headers("text/event-stream"))
        self.collect()
        self._last_out_ms = self.broker.now_ms
        events.begin(request.parameter("retained") == "true", request.header("last-event-id"))

    def supersede(self) -> None:
        """See Answering."""
        self.failure = "its stream of events goes on at another connection"
        self._end_events(True)
        self.collect()
        self.hang_up()

    def _end_events(self, superseded: bool = False) -> None:
        events = self._events
        if events is not None:
            self._events = None
            events.end(superseded)
            self.wire.end_stream()

    def deny(self, status: int, reason: str, more: tuple[tuple[str, str], ...] = ()) -> None:
        """See Answering."""
        if self._events is not None:
            # Its head is sent already: all there is left to say is that it ends.
            self._end_events()
            return
        super().deny(status, reason, more)

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
        self.forget_request()
        self.stored_later = False
