"""A message for very many reaches them in later turns of the loop, some at a time, whoever has published it and however.

The line: such messages go one after the other.  Who publishes one is not heard until all have it, nor is anything
confirmed to it, so order stays what it is for each publisher; others go on meanwhile.  What subscribes later gets what
is published later.

What must survive a crash is noted with whatever belongs to it (a packet id of MQTT's QoS 2, the rest of a transaction),
and each step notes, with the copies it makes, which queues have theirs.  So after a crash the next run gives it to those
that are left, and to nobody twice:

| space | key | value |
|---|---|---|
| core.fan_out | number | the message |
| core.fan_out.done | number, part | the numbers of queues that have it, four bytes each |
"""

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.copying import Copying
from gateway.core.flow import Gate, Publisher, Valve, nobody_is_next
from gateway.core.holding import HoldPoint
from gateway.core.message import Message
from gateway.core.ports import NOTHING, Noted, Recovered
from gateway.core.record import BadRecord, record_of
from gateway.core.routes import WIDE, Route, may_have

if TYPE_CHECKING:
    from gateway.core.router import Broker

FEW: Final = 32
"""Who publishes to more than these is asked whether it has had its share of the turn."""

OFFERED_AT_ONCE: Final = 64
"""Of those on a wide route, so many in one step."""

PART: Final = 1_024
"""Queues that one note names, about: it is written anew with each step until it is full."""

SPACE: Final = "core.fan_out"
DONE_SPACE: Final = "core.fan_out.done"

_NUMBER: Final = Struct("<I")


@final
class FanOut:
    """One such message and how far it has come."""

    __slots__ = (
        "_gate",
        "_valve",
        "at",
        "bindings",
        "copying",
        "loose",
        "message",
        "noted",
        "number",
        "part",
        "point",
        "unasked",
    )

    def __init__(
        self,
        number: int,
        message: Message,
        route: Route,
        point: HoldPoint | None,
    ) -> None:
        self.number = number
        self.message = message
        self.bindings = route.bindings or []
        """Those of its route when it was published."""
        self.unasked = route.unasked
        """See Route."""
        self.loose = route.loose()
        """Those of them that stand for several and are never bound themselves."""
        self.point = point
        """Not before this is safe."""
        self.at = 0
        self.noted = False
        """The store knows of it."""
        self.part = 0
        self.copying = Copying()
        self._gate = Gate(nobody_is_next)
        self._valve: Valve | None = None

    @property
    def finished(self) -> bool:
        """Have all been offered it?"""
        return self.at == len(self.bindings)

    def stop_publisher(self) -> None:
        """Who published it is not heard, and gets no confirmation."""
        publisher = self.message.publisher
        self._valve = None if publisher is None else publisher.valve
        if self._valve is not None:
            self._valve.suspend()
        self._gate.hold(publisher)

    def release_publisher(self) -> None:
        """All have it."""
        if self._valve is not None:
            self._valve.resume()
        self._gate.open()


@final
class FanOuts(Chore):
    """The line.  One a broker."""

    __slots__ = ("_broker", "_found", "_line", "_of", "_working", "count")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._line: deque[FanOut] = deque()
        # Publisher → how many of its messages are in the line.
        self._of: dict[Publisher, int] = {}
        self._working = False
        self._found: Recovered | None = None
        self.count = 0
        """Messages in the line."""

    def takes(self, message: Message, receivers: int) -> bool:
        """Does it go this way?  One for few does too where an earlier one of its publisher's has not reached all."""
        return receivers > WIDE or message.publisher in self._of

    def begin(self, message: Message, route: "Route", point: HoldPoint | None) -> int:
        """All of `route` are to have `message`, once `point` is safe; returns the position to wait for."""
        broker = self._broker
        # Its own id will not do: one message may be published twice.
        fan_out = FanOut(broker.next_message_id(), message, route, point)
        position = NOTHING
        if message.persistent and broker.store.keeps:
            position = self._note(fan_out)
        self._join(fan_out)
        return position

    def _join(self, fan_out: FanOut) -> None:
        publisher = fan_out.message.publisher
        if publisher is not None:
            publisher.looks = None
            self._of[publisher] = self._of.get(publisher, 0) + 1
        fan_out.stop_publisher()
        self._line.append(fan_out)
        self.count += 1
        self.look()

    def _note(self, fan_out: FanOut) -> int:
        try:
            record = record_of(fan_out.message)
        except Exception:
            # No copy of it can be kept either: its publisher will hear that.
            return NOTHING
        fan_out.noted = True
        return self._broker.store.append(Noted(SPACE, str(fan_out.number), record))

    # -- going on

    def look(self) -> None:
        """Go on with the first, if it may."""
        if self.count and not self._working and self._may():
            self._working = True
            self._broker.chores.add(self)

    def _may(self) -> bool:
        """May the first go on?  Not while its transaction is not safe, nor while the store is behind."""
        store = self._broker.store
        point = self._line[0].point
        return not store.congested and (point is None or point.position <= store.durable)

    def go_on(self) -> bool:
        """See Chore."""
        if self.count and self._may():
            try:
                self._step(self._line[0])
            except Exception:
                # Whatever is wrong with one of them, it is the turn of the next.
                self._broker.chores.add(self)
                raise
        self._working = self.count > 0 and self._may()
        return self._working

    def _step(self, fan_out: FanOut) -> None:
        """Some more get it, and the store is told who, in one."""
        broker = self._broker
        store = broker.store
        store.begin()
        broker.copying = fan_out.copying if fan_out.noted else None
        # Whether a queue refuses it was asked before: its publisher is told nothing else any more.
        assured, broker.assured = broker.assured, True
        try:
            self._offer(fan_out)
        finally:
            broker.assured = assured
            broker.copying = None
            if fan_out.noted:
                self._note_done(fan_out)
            store.end()
        if fan_out.finished:
            self._leave(fan_out)

    def _offer(self, fan_out: FanOut) -> None:
        bindings = fan_out.bindings
        message = fan_out.message
        authorizer = self._broker.authorizer
        end = min(fan_out.at + OFFERED_AT_ONCE, len(bindings))
        while fan_out.at < end:
            binding = bindings[fan_out.at]
            fan_out.at += 1
            # Who has left since gets nothing more.
            there = binding.place >= 0 or binding in fan_out.loose
            if there and may_have(binding, fan_out.unasked, authorizer):
                binding.sink.offer(message, binding)

    def _note_done(self, fan_out: FanOut) -> None:
        if fan_out.finished:
            self._forget(str(fan_out.number), fan_out.part)
            return
        copied = fan_out.copying.queues
        if copied:
            value = b"".join([_NUMBER.pack(number) for number in copied])
            self._broker.store.append(Noted(DONE_SPACE, f"{fan_out.number} {fan_out.part}", value))
        if len(copied) >= PART:
            fan_out.part += 1
            fan_out.copying.queues = []

    def _forget(self, number: str, part: int) -> None:
        """Of one that all have the store need not know any more."""
        store = self._broker.store
        store.append(Noted(SPACE, number, None))
        for one in range(part + 1):
            store.append(Noted(DONE_SPACE, f"{number} {one}", None))

    def _leave(self, fan_out: FanOut) -> None:
        self._line.popleft()
        self.count -= 1
        publisher = fan_out.message.publisher
        if publisher is not None:
            left = self._of.pop(publisher) - 1
            if left:
                self._of[publisher] = left
        fan_out.release_publisher()

    # -- what an earlier run has not finished

    def recover(self, found: Recovered) -> None:
        """Remember what there is; `finish_found` goes on with it."""
        self._found = found

    def finish_found(self) -> None:
        """All who subscribe are there again: give them what they have not got."""
        found = self._found
        if found is None:
            return
        self._found = None
        done: dict[str, set[int]] = {}
        parts: dict[str, int] = {}
        for key, value in found.notes.get(DONE_SPACE, {}).items():
            number, _, part = key.partition(" ")
            whole = len(value) - len(value) % _NUMBER.size
            done.setdefault(number, set()).update([queue for (queue,) in _NUMBER.iter_unpack(value[:whole])])
            parts[number] = max(parts.get(number, 0), int(part) if part.isdecimal() else 0)
        unfinished = found.notes.get(SPACE, {})
        for key in found.notes.get(DONE_SPACE, {}):
            if key.partition(" ")[0] not in unfinished:
                # Of one that could not be read.
                self._broker.store.append(Noted(DONE_SPACE, key, None))
        for number in sorted(unfinished, key=_as_number):
            try:
                message = self._broker.decoder.message(unfinished[number])
            except BadRecord as error:
                self._broker.aside.note(SPACE, number, unfinished[number], error)
            else:
                self._finish(number, message, done.get(number, set()), parts.get(number, -1) + 1)

    def _finish(self, number: str, message: Message, done: set[int], part: int) -> None:
        broker = self._broker
        topic = broker.topics.topic(message.destination.name)
        broker.route(topic)
        fan_out = FanOut(_as_number(number), message, topic.route, None)
        if message.expired(broker.now_ms):
            fan_out.bindings = []
        fan_out.bindings = [one for one in fan_out.bindings if not one.is_own(message.publisher)]
        fan_out.noted = True
        fan_out.part = part
        fan_out.copying.had = done
        self._join(fan_out)


def _as_number(key: str) -> int:
    return int(key) if key.isdecimal() else 0
