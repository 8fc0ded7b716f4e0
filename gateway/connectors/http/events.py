"""Server-sent events: topics, read only; a client that comes again goes on where it was (WHATWG HTML §9.2)."""

from typing import Final, final

from gateway.connectors.http.answering import Answering
from gateway.connectors.http.requests import HttpRefusal
from gateway.connectors.http.stream_parts import StreamParts
from gateway.connectors.http.trails import Trail, Trails
from gateway.connectors.parts import LONG
from gateway.connectors.reading import Reading
from gateway.connectors.replay import Replays, RetainedOutlet
from gateway.connectors.sources import may_read
from gateway.connectors.websocket.addresses import pattern_of
from gateway.connectors.websocket.long_messages import JsonParts
from gateway.connectors.websocket.messages import dump, json_of
from gateway.core.destination import TOPIC
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.ports import NOTHING
from gateway.core.subscription import Binding
from protocols.http.frames import Request

_DATA: Final = b"\ndata: "
_END: Final = b"\n\n"


@final
class Events(RetainedOutlet):
    """One stream of them, on one connection."""

    __slots__ = ("_bindings", "_connector", "_replays", "_trail", "_trails")

    def __init__(self, connector: Answering, patterns: list[Pattern], trails: Trails) -> None:
        super().__init__(connector)
        self._connector = connector
        self._bindings = [Binding(pattern, self, None, connector.publisher) for pattern in patterns]
        self._replays = Replays(connector)
        self._trails = trails
        self._trail: Trail | None = None
        self.congested = connector.congested

    def begin(self, retained: bool, last_id: str | None) -> None:
        """Let it have what comes, and the last values if it wants them; or what came since the event `last_id`.

        Raises LimitReached, with nothing bound.
        """
        connector = self._connector
        broker = connector.broker
        patterns = [binding.pattern for binding in self._bindings]
        bound: list[Binding] = []
        try:
            for binding in self._bindings:
                broker.bind(binding, connector.publisher)
                bound.append(binding)
        finally:
            self._bindings = bound
        found = None if last_id is None else self._trails.resume(last_id, patterns, connector.publisher)
        if found is None:
            # What waits for an answer at most fills half of the buffer: so none of it falls under a policy.
            bytes_max = connector.limits.output_buffer // 2
            trail = self._trails.begin(patterns, connector.publisher, bytes_max)
        else:
            trail = found[0]
            retained = retained and trail.unfinished
        self._trail = trail
        trail.reader = connector
        trail.unfinished = False
        # An id without data is no event, but the last id from here on (§9.2.6): who has got nothing yet can go on too.
        self._write(b"id: " + trail.id_of(trail.number if found is None else found[1]) + _END)
        if found is not None:
            self._catch_up(trail, found[1])
        elif last_id is not None:
            self._write(_gap(last_id, "this stream is not known, or not any more", 0))
        if retained:
            self._replays.begin(self, broker.values.search(patterns, connector.publisher))

    def _catch_up(self, trail: Trail, number: int) -> None:
        """Send what is there of what came behind that event."""
        connector = self._connector
        broker = connector.broker
        missing = trail.missing_after(number)
        if missing:
            last_id = trail.id_of(number).decode()
            self._write(_gap(last_id, "more has come since than is kept", missing))
        authorizer = broker.authorizer
        for kept in trail.kept:
            message = kept.message
            if kept.number <= number or message.expired(broker.now_ms):
                continue
            # The rules may have changed since.
            if authorizer.restricts_receive and not authorizer.may_receive(
                connector.publisher, message.destination
            ):
                continue
            self._send(trail, kept.number, message)

    def go_on(self) -> None:
        """The client has been written what was there."""
        self._replays.go_on()

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink."""
        self.replay(message)
        return NOTHING

    def replay(self, message: Message) -> None:
        """See RetainedOutlet.  An event says nothing of how it came."""
        trail = self._trail
        assert trail is not None
        self._send(trail, trail.add(message), message)

    def _send(self, trail: Trail, number: int, message: Message) -> None:
        connector = self._connector
        connector.counters.messages_out += 1
        identity = connector.limits.publish_identity
        id = trail.id_of(number)
        if message.size >= LONG:
            # JSON without needless spaces has no line breaks.
            event = JsonParts(message, identity, b"id: " + id + _DATA + b"{", _END)
            connector.push_parts(StreamParts(event, connector.wire.chunked), False)
        else:
            self._write(event_of(id, message, identity))

    def _write(self, data: bytes) -> None:
        self._connector.push(self._connector.wire.stream(data))

    def readings(self) -> list[Reading]:
        """What it reads."""
        return [Reading(f"topic:{binding.pattern}", TOPIC, binding.pattern) for binding in self._bindings]

    def end(self, superseded: bool = False) -> None:
        """No more of it on this connection; what comes is kept for a while, unless it goes on at another."""
        unfinished = not self._replays.over
        self._replays.end()
        for binding in self._bindings:
            self._connector.broker.unbind(binding)
        self._bindings = []
        trail = self._trail
        self._trail = None
        if trail is not None:
            trail.unfinished = unfinished
            if not superseded:
                self._trails.broke(trail)


def event_of(id: bytes, message: Message, identity: bool) -> bytes:
    """One event; JSON without needless spaces has no line breaks."""
    return b"id: " + id + _DATA + json_of(message, identity) + _END


def _gap(last_id: str, reason: str, missing: int) -> bytes:
    """An event of the name `gap`: what came behind `after` is not all there."""
    said: dict[str, object] = {"after": last_id[:200], "reason": reason}
    if missing:
        said["missing"] = missing
    return b"event: gap" + _DATA + dump(said) + _END


def patterns_in(connector: Answering, request: Request) -> list[Pattern]:
    """GET /events?destination=topic:FILTER&…: what it wants to see, and may.  Raises HttpRefusal."""
    patterns: list[Pattern] = []
    for name, value in request.query():
        if name == "destination":
            if not value.startswith("topic:"):
                raise HttpRefusal(400, "events are for topics: destination=topic:FILTER")
            patterns.append(pattern_of(value.removeprefix("topic:")))
    if not patterns or len(patterns) > connector.limits.max_subscriptions:
        raise HttpRefusal(400, "say what you want to see: /events?destination=topic:FILTER")
    for pattern in patterns:
        if not may_read(connector.broker, connector.publisher, TOPIC, pattern):
            raise HttpRefusal(403, f"not allowed to read from topic:{pattern}")
    return patterns
