"""What streams of events have sent lately, so that one whose connection broke goes on where it was (Last-Event-ID).

Each event is called `STREAM.NUMBER`: the name is nobody else's, the numbers have no gaps.  When its connection ends, a
stream gathers on for a while what it would have been sent, within bounds; whatever is not there any more is told to the
client as missing, never passed over.
"""

import secrets
from collections import OrderedDict, deque
from typing import Final, final

from gateway.connectors.http.answering import Answering
from gateway.connectors.http.settings import HttpSettings
from gateway.core.chores import Chore
from gateway.core.flow import Publisher
from gateway.core.footprint import Footprint, Share, pattern_bytes
from gateway.core.limits import LimitReached
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.ports import NOTHING
from gateway.core.router import Broker
from gateway.core.subscription import Binding, Sink

MESSAGE_OVERHEAD: Final = 512
"""Bytes of an event beside its message's body, about."""

NUMBER_LENGTH_MAX: Final = 18
"""Digits of an event's number; ours have fewer."""


@final
class Kept:
    """An event that was sent, or would have been."""

    __slots__ = ("message", "number", "size")

    def __init__(self, number: int, message: Message) -> None:
        self.number = number
        self.message = message
        self.size = message.size * 4 // 3 + MESSAGE_OVERHEAD


@final
class Trail(Sink):
    """One stream."""

    __slots__ = (
        "_bindings",
        "_trails",
        "bytes",
        "bytes_max",
        "kept",
        "name",
        "number",
        "patterns",
        "publisher",
        "reader",
        "share",
        "unfinished",
        "until_ms",
    )

    def __init__(
        self, trails: "Trails", patterns: list[Pattern], publisher: Publisher, bytes_max: int
    ) -> None:
        self._trails = trails
        self._bindings: list[Binding] = []
        self.name = secrets.token_urlsafe(16)
        self.patterns = patterns
        self.publisher = publisher
        """As whom its client was let in last."""
        self.reader: Answering | None = None
        """Its connection; None while that is broken."""
        self.number = 0
        """Of its last event."""
        self.kept: deque[Kept] = deque()
        self.bytes = 0
        self.bytes_max = bytes_max
        self.until_ms = 0
        self.share = Share(trails.footprint)
        """What its filters take, from its beginning until nobody will ask for it any more."""
        self.unfinished = False
        """Its connection broke before all last values had been sent."""

    def id_of(self, number: int) -> bytes:
        """What an event is called."""
        return b"%s.%d" % (self.name.encode(), number)

    def add(self, message: Message) -> int:
        """One more event; returns its number."""
        self.number += 1
        kept = Kept(self.number, message)
        trails = self._trails
        self.kept.append(kept)
        self.bytes += kept.size
        trails.bytes += kept.size
        settings = trails.settings
        while self.kept and (
            len(self.kept) > settings.event_kept_max
            or self.bytes > self.bytes_max
            or trails.bytes > settings.event_kept_total_bytes_max
        ):
            self._drop()
        return self.number

    def _drop(self) -> None:
        size = self.kept.popleft().size
        self.bytes -= size
        self._trails.bytes -= size

    def clear(self) -> None:
        """Nobody will ask for it."""
        self.share.count(-self.share.bytes)
        while self.kept:
            self._drop()

    def missing_after(self, number: int) -> int:
        """How many events behind this one are not there any more."""
        first = self.kept[0].number if self.kept else self.number + 1
        return max(first - number - 1, 0)

    # -- while its connection is broken

    def gather(self, broker: Broker) -> None:
        """Take what it would be sent.  Raises LimitReached."""
        for pattern in self.patterns:
            binding = Binding(pattern, self, None, self.publisher)
            broker.bind(binding, self.publisher)
            self._bindings.append(binding)

    def rest(self, broker: Broker) -> None:
        """Undo `gather`."""
        for binding in self._bindings:
            broker.unbind(binding)
        self._bindings = []

    def passes(self, message: Message, binding: Binding) -> bool:
        """See Sink."""
        return True

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink."""
        self.add(message)
        return NOTHING


@final
class Trails(Chore):
    """All of them."""

    __slots__ = ("_broken", "_broker", "_by_name", "_now_ms", "_working", "bytes", "settings")

    def __init__(self, broker: Broker, settings: HttpSettings) -> None:
        self._broker = broker
        self.settings = settings
        self._now_ms = 0
        self._working = False
        self._by_name: dict[str, Trail] = {}
        # Those without a connection, in the order of their time-outs.
        self._broken: OrderedDict[str, Trail] = OrderedDict()
        self.bytes = 0
        """Of all events that are kept, about."""

    @property
    def footprint(self) -> Footprint:
        """For their filters."""
        return self._broker.footprint

    @property
    def broken(self) -> int:
        """Streams that wait for their clients."""
        return len(self._broken)

    def begin(self, patterns: list[Pattern], publisher: Publisher, bytes_max: int) -> Trail:
        """A new stream.  Raises LimitReached."""
        settings = self.settings
        kept_max = min(bytes_max, settings.event_kept_bytes_max) if settings.event_kept_ms else 0
        trail = Trail(self, patterns, publisher, kept_max)
        trail.share.claim(sum([2 * pattern_bytes(pattern) for pattern in patterns]))
        if settings.event_kept_ms:
            self._by_name[trail.name] = trail
        return trail

    def resume(self, last_id: str, patterns: list[Pattern], publisher: Publisher) -> tuple[Trail, int] | None:
        """The stream to which this event belongs, and its number; None when that cannot go on for this client."""
        name, _, digits = last_id.rpartition(".")
        trail = self._by_name.get(name)
        if trail is None or not (digits.isascii() and digits.isdigit()) or len(digits) > NUMBER_LENGTH_MAX:
            return None
        number = int(digits)
        if (
            number > trail.number
            or trail.publisher.user != publisher.user
            or set(trail.patterns) != set(patterns)
        ):
            return None
        if trail.reader is not None:
            trail.reader.supersede()
            trail.reader = None
        else:
            trail.rest(self._broker)
            self._broken.pop(name, None)
        trail.publisher = publisher
        return trail, number

    def broke(self, trail: Trail) -> None:
        """Its connection is over."""
        trail.reader = None
        if trail.name not in self._by_name:
            trail.clear()
            return
        try:
            trail.gather(self._broker)
        except LimitReached:
            self._forget(trail)
            return
        trail.until_ms = self._broker.now_ms + self.settings.event_kept_ms
        self._broken[trail.name] = trail
        if len(self._broken) > self.settings.event_streams_max:
            self._forget(self._first())

    def _first(self) -> Trail:
        return self._broken[next(iter(self._broken))]

    def _forget(self, trail: Trail) -> None:
        trail.rest(self._broker)
        trail.clear()
        self._broken.pop(trail.name, None)
        self._by_name.pop(trail.name, None)

    def tick(self, now_ms: int) -> None:
        """Forget those whose clients have not come again in time, in this turn of the loop or later ones."""
        self._now_ms = now_ms
        if not self._working and self._is_due():
            self._working = True
            self._broker.chores.add(self)

    def go_on(self) -> bool:
        """See Chore.  One of them: it may have kept a thousand events, and has as many filters as its client asked for."""
        # Not only at the end: were one to fail, the next tick would begin anew.
        self._working = False
        if self._is_due():
            self._forget(self._first())
        self._working = self._is_due()
        return self._working

    def _is_due(self) -> bool:
        return len(self._broken) > 0 and self._first().until_ms <= self._now_ms

    def close(self) -> None:
        """Nobody will come any more."""
        while self._broken:
            self._forget(self._first())
