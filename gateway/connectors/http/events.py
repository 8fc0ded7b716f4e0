"""Server-sent events: topics, read only, for as long as the connection lasts (WHATWG HTML §9.2)."""

from typing import Final, final

from gateway.connectors.http.answering import Answering
from gateway.connectors.http.requests import HttpRefusal
from gateway.connectors.replay import Replays, RetainedOutlet
from gateway.connectors.sources import may_read
from gateway.connectors.websocket.addresses import pattern_of
from gateway.connectors.websocket.messages import json_of
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
    """One stream of them."""

    __slots__ = ("_bindings", "_connector", "_replays")

    def __init__(self, connector: Answering, patterns: list[Pattern]) -> None:
        super().__init__(connector)
        self._connector = connector
        self._bindings = [Binding(pattern, self, None, connector.publisher) for pattern in patterns]
        self._replays = Replays(connector)
        self.congested = connector.congested

    def begin(self, retained: bool) -> None:
        """Let it have what comes, and the last values if it wants them.  Raises LimitReached, with nothing bound."""
        broker = self._connector.broker
        bound: list[Binding] = []
        try:
            for binding in self._bindings:
                broker.bind(binding)
                bound.append(binding)
        finally:
            self._bindings = bound
        if retained:
            patterns = [binding.pattern for binding in bound]
            self._replays.begin(self, broker.values.search(patterns, self._connector.publisher))

    def go_on(self) -> None:
        """The client has been written what was there."""
        self._replays.go_on()

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink."""
        self.replay(message)
        return NOTHING

    def replay(self, message: Message) -> None:
        """See RetainedOutlet.  An event says nothing of how it came."""
        connector = self._connector
        connector.counters.messages_out += 1
        connector.push(connector.wire.stream(event_of(message, connector.limits.publish_identity)))

    def end(self) -> None:
        """No more of it."""
        self._replays.end()
        for binding in self._bindings:
            self._connector.broker.unbind(binding)
        self._bindings = []


def event_of(message: Message, identity: bool) -> bytes:
    """One event, named after its message; JSON without needless spaces has no line breaks."""
    return b"id: %d" % message.id + _DATA + json_of(message, identity) + _END


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
