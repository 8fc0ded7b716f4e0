"""What net drives and core feeds: one Connector a connection.

Net calls `bytes_in`, `eof`, `deadline`, `writable` and, once per loop turn for each connector that marked itself,
`bytes_out`.  Time comes in as an argument.  Nothing here waits, and nothing knows a socket.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, final

from gateway.connectors.limits import Counters, Limits
from gateway.core.flow import Gate, Publisher, Valve
from gateway.core.limits import BLOCK, DISCONNECT, DROP_NEWEST
from gateway.core.ports import NOTHING, Asker, Credentials
from gateway.core.quota import address_of
from gateway.core.router import Broker
from gateway.core.waiters import DONE, GOES_ON, WAITS, Waiter

__all__ = [
    "FRAME_BYTES",
    "REFUSED_TALKING_MAX",
    "RESUME_BYTES",
    "TOO_SLOW",
    "Confirmations",
    "Connector",
    "Counters",
    "Limits",
    "Turn",
]

REFUSED_TALKING_MAX: Final = 64
"""Connections above maximumConnections that are heard far enough to be refused in their own words."""

FRAME_BYTES: Final = 64
"""What an answer takes beside its own bytes, about: most are shorter than that."""

RESUME_BYTES: Final = 262_144
"""Bytes of what a slow client was to have that are handed over at a time, once it reads again."""

TOO_SLOW: Final = "reads too slowly"


@final
class Turn:
    """The connectors that have something to write, or changed their mind about reading, in this turn of the loop."""

    __slots__ = ("_marked", "_schedule")

    def __init__(self, schedule: Callable[[], None]) -> None:
        self._schedule = schedule
        """Called once when the first connector is marked; arranges for `take` at the end of the turn."""
        self._marked: list[Connector] = []

    def mark(self, connector: "Connector") -> None:
        """Have `connector` flushed before the turn ends; once is enough."""
        if not connector.marked:
            connector.marked = True
            marked = self._marked
            marked.append(connector)
            if len(marked) == 1:
                self._schedule()

    def take(self) -> "list[Connector]":
        """The marked connectors; net flushes each of them."""
        marked = self._marked
        self._marked = []
        for connector in marked:
            connector.marked = False
        return marked


CONFIRMED_MAX: Final = 256
"""Confirmations that one connection writes before it is the next one's turn."""


@final
class Confirmations:
    """Confirmations to a publisher, in order, each held until its position is durable."""

    __slots__ = ("_pending", "bytes")

    def __init__(self) -> None:
        self._pending: deque[tuple[int, bytes]] = deque()
        self.bytes = 0
        """What they take."""

    def __len__(self) -> int:
        return len(self._pending)

    def __bool__(self) -> bool:
        return bool(self._pending)

    def add(self, position: int, frame: bytes) -> None:
        """Hold `frame` until `position` is durable and all before it have gone."""
        self._pending.append((position, frame))
        self.bytes += len(frame) + FRAME_BYTES

    def take(self, durable: int) -> list[bytes]:
        """The frames that may go now, CONFIRMED_MAX at most."""
        pending = self._pending
        ready: list[bytes] = []
        while pending and pending[0][0] <= durable and len(ready) < CONFIRMED_MAX:
            frame = pending.popleft()[1]
            self.bytes -= len(frame) + FRAME_BYTES
            ready.append(frame)
        return ready

    def due(self, durable: int) -> bool:
        """May one more go now?"""
        return bool(self._pending) and self._pending[0][0] <= durable


class Connector(Valve):
    """One client's connection, between its wire room and the core.

    Subclasses implement the methods that raise NotImplementedError, and use `push`, `confirm` and `say` to write.
    """

    __slots__ = (
        "_asker",
        "_confirmations",
        "_held",
        "_held_bytes",
        "_late",
        "_rate_bytes",
        "_rate_messages",
        "_rate_second",
        "_shut",
        "_slow_gate",
        "_unanswered",
        "_waiter",
        "broker",
        "certificate_user",
        "closing",
        "congested",
        "counters",
        "failure",
        "fault",
        "handover",
        "limits",
        "marked",
        "offered",
        "out",
        "out_bytes",
        "paused",
        "peer",
        "publisher",
        "resumes",
        "said_bytes",
        "shut",
        "slow_by_ms",
        "stranger",
        "throttled",
        "turn",
        "untaken",
    )

    def __init__(self, broker: Broker, turn: Turn, limits: Limits, counters: Counters, peer: str) -> None:
        self.broker = broker
        self.turn = turn
        self.limits = limits
        self.counters = counters
        self.peer = peer
        """Address of the client, for logs."""
        self.certificate_user: str | None = None
        """Whom its TLS certificate names; set before the first bytes."""
        self.offered: Credentials | None = None
        """What it said of itself to what carries it (HTTP's Authorization); set before the first bytes."""
        self.handover: object | None = None
        """Set by a connector whose client goes on in another protocol: see `carriage.Handover`."""
        self.publisher = Publisher(peer, self)
        self.publisher.address = address_of(peer)
        self.out: list[bytes] = []
        """Frames for the socket, in order; net takes them once per turn."""
        self.out_bytes = 0
        """Bytes of messages among them."""
        self.said_bytes = 0
        """Bytes that the answers and acknowledgements among them take."""
        self.closing = False
        """Write what is in `out`, then close."""
        self.failure = ""
        """Why the connection was ended against the client's will, for the log."""
        self.fault: Exception | None = None
        """A bug of ours that it has run into: net reports it and ends the connection."""
        self.throttled = False
        """Do not read from this client for now, and handle nothing more of what it has sent."""
        self.resumes = False
        """It may go on: `go_on` is to be called before it is read again."""
        self.stranger = False
        """It is not known yet who the client is, and that matters: little is kept of what it says.  For those carried."""
        self.untaken = False
        """The frame that is being handled is to be handled again when the client may go on."""
        self.paused = False
        """The socket takes no more for now."""
        self.congested = False
        """So much is waiting to be written that queues should hold and settled messages fall under the policy."""
        self.shut = False
        """There is no room for more, and those who publish to it wait."""
        self.slow_by_ms = 0
        """When the client is given up, unless it has read something by then; 0 while nobody waits for it."""
        self.marked = False
        self._held: deque[bytes] | None = None
        self._held_bytes = 0
        self._slow_gate: Gate | None = None
        self._asker: _ConnectionAsker | None = None
        self._late = False
        self._shut = False
        self._unanswered = False
        self._confirmations: Confirmations | None = None
        self._waiter: _ConfirmationWaiter | None = None
        self._rate_second = 0
        self._rate_messages = 0
        self._rate_bytes = 0

    # -- driven by net

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        """The client sent `data`, any part of any number of frames.  Never raises for what a client may send."""
        raise NotImplementedError

    def eof(self, now_ms: int) -> None:
        """The connection is gone, whoever ended it.  Called exactly once, last."""
        raise NotImplementedError

    def go_on(self, now_ms: int) -> None:
        """The client may go on: handle what has waited.  Called in a turn of its own, once `resumes` is set."""
        self.resumes = False
        if not self.throttled and not self.closing:
            self.bytes_in(b"", now_ms)
        self.publisher.went_on()

    @property
    def owes(self) -> bool:
        """Is there something to be said to the client that still has to wait?"""
        return (
            self.unconfirmed > 0
            or self._asker is not None
            or self.resumes
            or self.throttled
            or len(self.out) > 0
            or self._held is not None
        )

    def finish(self, now_ms: int) -> None:
        """The client will say no more, and may still read: what it can be told at once is not to wait."""

    def next_deadline_ms(self) -> int | None:
        """When `deadline` wants to be called; looked at after each call in."""
        raise NotImplementedError

    def deadline(self, now_ms: int) -> None:
        """The time that `next_deadline_ms` named has come (or passed)."""
        raise NotImplementedError

    def shutdown(self, now_ms: int) -> None:
        """The gateway stops: tell the client in its protocol's words, and set `closing`."""
        raise NotImplementedError

    def dismiss(self, why: str, now_ms: int) -> None:
        """This client may not stay: tell it, and set `closing`."""
        self.failure = why
        self.shutdown(now_ms)

    def refuse(self, now_ms: int) -> None:
        """This connection is one too many: answer its CONNECT with a refusal in its protocol's words, then close.

        Called once, straight after construction.
        """
        raise NotImplementedError

    def resumed(self) -> None:
        """The congestion is over: let queues deliver again."""
        raise NotImplementedError

    def on_rate_exceeded(self) -> None:
        """The client sends faster than it may: tell it so and set `closing`."""
        raise NotImplementedError

    def on_too_slow(self, now_ms: int) -> None:
        """The client reads more slowly than it may: tell it so (it may still read that) and set `closing`."""
        self.shutdown(now_ms)

    def prepare_out(self, now_ms: int) -> None:
        """Just before `bytes_out` takes the frames: the last chance to add some, or to note the time."""

    def bytes_out(self, now_ms: int) -> list[bytes]:
        """Take the frames to write.  Net calls `written` afterwards."""
        self.prepare_out(now_ms)
        frames = self.out
        self.out = []
        self.out_bytes = 0
        if self.said_bytes:
            self.said_bytes = 0
            if self._unanswered:
                self._look_at_answers()
        return frames

    def written(self) -> None:
        """The socket has taken what `bytes_out` gave."""
        if self.congested and not self.paused:
            self._resume()

    def writable(self, yes: bool) -> None:
        """The socket takes no more (False), or takes more again (True)."""
        self.paused = not yes
        if not yes:
            self._congest()
            if self._unanswered:
                self._wait_for_reader()
        elif self.congested:
            self._resume()

    # -- used by the subclasses

    def push(self, frame: bytes) -> None:
        """Write a message that needs no acknowledgement; the slow-consumer policy applies."""
        if self.congested:
            self._hold(frame)
            return
        self.out.append(frame)
        self.out_bytes += len(frame)
        if not self.marked:
            self.turn.mark(self)
        if self.out_bytes > self.limits.output_buffer:
            self._congest()

    def push_sure(self, frame: bytes) -> None:
        """Write a message that waits for its acknowledgement: bounded by credit, so never dropped."""
        self.out.append(frame)
        self.out_bytes += len(frame)
        if not self.marked:
            self.turn.mark(self)
        if self.out_bytes > self.limits.output_buffer and not self.congested:
            self._congest()

    def push_halves(self, head: bytes, tail: bytes, sure: bool) -> None:
        """As `push` (or `push_sure`) of a frame in two halves, for a tail that is too large to be copied for nothing."""
        if self.congested and not sure:
            self._hold(head + tail)
            return
        self.out.append(head)
        self.out.append(tail)
        self.out_bytes += len(head) + len(tail)
        if not self.marked:
            self.turn.mark(self)
        if self.out_bytes > self.limits.output_buffer and not self.congested:
            self._congest()

    def say(self, frame: bytes) -> None:
        """Write an answer.  While more of them wait than `outputBuffer`, the client is not read."""
        self.out.append(frame)
        self.said_bytes += len(frame) + FRAME_BYTES
        if not self.marked:
            self.turn.mark(self)
        if self.said_bytes > self.limits.output_buffer:
            self._look_at_answers()

    def say_all(self, frames: list[bytes]) -> None:
        """Write several answers."""
        for frame in frames:
            self.said_bytes += len(frame) + FRAME_BYTES
        self.out.extend(frames)
        if not self.marked:
            self.turn.mark(self)
        if self.said_bytes > self.limits.output_buffer:
            self._look_at_answers()

    def hang_up(self) -> None:
        """Write what is in `out`, then close."""
        self.closing = True
        self.turn.mark(self)

    def confirm(self, position: int, frame: bytes) -> None:
        """Write a confirmation once `position` is durable, behind the confirmations before it."""
        waiting = self._confirmations
        if position <= self.broker.store.durable and not waiting:
            self.say(frame)
            return
        if waiting is None:
            waiting = self._confirmations = Confirmations()
        if not waiting:
            self._waiter = _ConfirmationWaiter(self)
            self.broker.wait(self._waiter)
        waiting.add(position, frame)
        if waiting.bytes > self.limits.output_buffer:
            self._look_at_answers()

    def appended_since(self, before: int) -> int:
        """The position to wait for when the store has been told something since it stood at `before`."""
        position = self.broker.store.position
        return position if position > before else NOTHING

    @property
    def unconfirmed(self) -> int:
        """Confirmations that still wait."""
        return 0 if self._confirmations is None else len(self._confirmations)

    def release_confirmations(self, position: int) -> bool:
        """Write the confirmations that waited for `position`; answers whether there are more."""
        waiting = self._confirmations
        if waiting is None:
            return False
        frames = waiting.take(position)
        self.broker.waiters.confirmed += len(frames)
        for frame in frames:
            self.say(frame)
        if self._unanswered:
            self._look_at_answers()
        return len(waiting) > 0

    def may_confirm(self, position: int) -> bool:
        """Is there a confirmation that `position` allows?"""
        return self._confirmations is not None and self._confirmations.due(position)

    def over_rate(self, messages: int, size: int, now_ms: int) -> bool:
        """Count what the client sent in this second; True when that is more than it may."""
        limits = self.limits
        second = now_ms // 1000
        if second != self._rate_second:
            self._rate_second = second
            self._rate_messages = 0
            self._rate_bytes = 0
        self._rate_messages += messages
        self._rate_bytes += size
        return (limits.message_rate != 0 and self._rate_messages > limits.message_rate) or (
            limits.byte_rate != 0 and self._rate_bytes > limits.byte_rate
        )

    def admit(self, messages: int, size: int, now_ms: int) -> int:
        """Count what the client sent in this second; how many of these messages, the first ones, it may.

        The rest must not be carried out, since the client is told that it was too much (`on_rate_exceeded`).
        """
        if not self.over_rate(messages, size, now_ms):
            return messages
        limits = self.limits
        if limits.byte_rate and self._rate_bytes > limits.byte_rate:
            return 0
        return max(messages - (self._rate_messages - limits.message_rate), 0)

    def detach(self) -> None:
        """The connection is over: forget whatever would keep it in memory or make others wait for it."""
        if self.publisher.valve is self:
            self.publisher.leave()
        self._open_up()
        self._held = None
        self._held_bytes = 0
        self._confirm_no_more()
        if self._asker is not None:
            self._asker.connector = None
            self._asker = None

    def _confirm_no_more(self) -> None:
        self._confirmations = None
        if self._waiter is not None:
            self._waiter.connector = None
            self._waiter = None

    # -- what is no fault of whoever called in

    def cut_off(self, why: str) -> None:
        """See Valve."""
        self._confirm_no_more()
        if not self.closing:
            self.dismiss(why, self.broker.now_ms)
            self.turn.mark(self)

    def broke(self, error: Exception) -> None:
        """A bug of ours while the core served this client: it costs this connection, at the end of the turn."""
        self._confirm_no_more()
        self.fault = error
        self.turn.mark(self)

    # -- Valve, turned by core

    def throttle(self, shut: bool) -> None:
        """See Valve."""
        self._shut = shut
        self._look_at_reading()

    def _look_at_reading(self) -> None:
        """A client is not read while publishers must wait, while it does not read its answers, nor before it is known."""
        shut = self._shut or self._unanswered or self._asker is not None
        if shut != self.throttled:
            self.throttled = shut
            if not shut:
                self.resumes = True
            self.reading_changed()
            self.turn.mark(self)

    def _look_at_answers(self) -> None:
        """Do more answers wait, for the client or for the store, than there is room for?"""
        waiting = self._confirmations
        size = self.said_bytes + (0 if waiting is None else waiting.bytes)
        self._unanswered = size > self.limits.output_buffer
        if self._unanswered:
            if self.paused:
                self._wait_for_reader()
        elif not self.shut:
            self.slow_by_ms = 0
        self._look_at_reading()

    def reading_changed(self) -> None:
        """`throttled` has a new value: a client that is not read cannot be blamed for its silence."""

    # -- who is it?

    def ask(self, credentials: Credentials) -> None:
        """Ask the authorizer about this client; `identified` gets the answer, perhaps at once."""
        asker = _ConnectionAsker(self)
        self._asker = asker
        self.broker.authorizer.authenticate(credentials, asker)
        if asker.connector is not None:
            self._late = True
            self._look_at_reading()

    def identified(self, granted: bool, user: str | None) -> None:
        """The answer to `ask`: the client is `user`, or it may not connect."""
        raise NotImplementedError

    def take_answer(self, granted: bool, user: str | None) -> None:
        """The authorizer has answered."""
        self._asker = None
        late = self._late
        self._late = False
        self._look_at_reading()
        if user is None and not self.limits.allow_anonymous:
            # Whatever it has shown, it is nobody in particular.
            granted = False
        self.identified(granted, user)
        if late and not self.closing:
            # For what the client has sent behind its CONNECT.
            self.bytes_in(b"", self.broker.now_ms)

    # -- slow readers

    def _congest(self) -> None:
        self.congested = True
        self.congestion_changed()

    def congestion_changed(self) -> None:
        """`congested` has a new value: pass it on to this connection's outlets."""
        raise NotImplementedError

    def _hold(self, frame: bytes) -> None:
        """The client does not keep up: keep the frame if there is room, else follow the policy."""
        held = self._held
        if held is None:
            held = self._held = deque()
        room = self.limits.output_buffer - self._held_bytes
        if self.limits.slow_consumer == BLOCK:
            # Nothing is dropped: who publishes waits from here on.
            if len(frame) >= room and not self.shut:
                self._shut_out()
        elif len(frame) > room and not self._make_room(held, frame):
            return
        held.append(frame)
        self._held_bytes += len(frame)

    def _make_room(self, held: deque[bytes], frame: bytes) -> bool:
        """Something has to go; False when it is the frame."""
        policy = self.limits.slow_consumer
        self.counters.dropped_slow += 1
        if policy == DISCONNECT:
            self.give_up(self.broker.now_ms)
            return False
        if policy == DROP_NEWEST or not held:
            return False
        while held and self._held_bytes + len(frame) > self.limits.output_buffer:
            self._held_bytes -= len(held.popleft())
        return True

    def give_up(self, now_ms: int) -> None:
        """The client reads too slowly, and is told so, in case it reads that."""
        if self.closing:
            return
        self.counters.limit_hits += 1
        self.counters.ended_slow += 1
        held = self._held
        if held is not None and self.limits.slow_consumer == BLOCK:
            self.counters.dropped_slow += len(held)
        self.failure = TOO_SLOW
        self.on_too_slow(now_ms)
        self._open_up()
        self.turn.mark(self)

    def keeps_waiting(self, publisher: Publisher) -> bool:
        """For its outlets: see Sink.

        A client waits for itself too, but not before it has said as much as one frame may hold: many send all they have
        to say before they read the first of it.
        """
        if not self.shut:
            return False
        if publisher is self.publisher and self._held_bytes < self.limits.max_frame_size:
            return False
        if self._slow_gate is None:
            self._slow_gate = Gate(self._let_publishers_in)
        if not self._slow_gate.hold(publisher):
            return False
        self._wait_for_reader()
        return True

    def _shut_out(self) -> None:
        self.shut = True
        self.broker.places.shut += 1

    def _open_up(self) -> None:
        """Nobody needs to wait for this client any more."""
        if self.shut:
            self.shut = False
            self.broker.places.shut -= 1
            if not self._unanswered:
                self.slow_by_ms = 0
            self._let_publishers_in()

    def _let_publishers_in(self) -> None:
        """Some of those that wait go on; when they have, the gate calls this again."""
        gate = self._slow_gate
        if gate is not None and not self.shut:
            gate.let_in()
            if not gate.waiting:
                self._slow_gate = None

    def _wait_for_reader(self) -> None:
        """From now on the client's time runs out, unless it reads."""
        if self.slow_by_ms == 0:
            self.slow_by_ms = self.broker.now_ms + self.limits.slow_consumer_timeout_ms
            # Net looks at the deadline.
            self.turn.mark(self)

    def _resume(self) -> None:
        """The client reads again: hand over some of what was held, and the rest in later turns."""
        held = self._held
        if held:
            self._hand_over(held)
            if self.shut and self._held_bytes < self.limits.output_buffer:
                self._open_up()
            if held:
                return
        self._held = None
        self.congested = False
        self.congestion_changed()
        self.resumed()

    def _hand_over(self, held: deque[bytes]) -> None:
        size = 0
        while held and size < RESUME_BYTES:
            frame = held.popleft()
            size += len(frame)
            self.out.append(frame)
        self._held_bytes -= size
        self.out_bytes += size
        self.turn.mark(self)


@final
class _ConfirmationWaiter(Waiter):
    """Stands in the broker's list for a connector that waits, and lets go of it when the connection ends."""

    __slots__ = ("connector",)

    def __init__(self, connector: Connector) -> None:
        self.connector: Connector | None = connector

    def on_durable(self, position: int) -> int:
        """See Waiter."""
        connector = self.connector
        if connector is None:
            return DONE
        try:
            if not connector.release_confirmations(position):
                return DONE
        except Exception as error:
            connector.broke(error)
            return DONE
        return GOES_ON if connector.may_confirm(position) else WAITS


@final
class _ConnectionAsker(Asker):
    """Carries the authorizer's answer to a connector, if that is still there."""

    __slots__ = ("connector",)

    def __init__(self, connector: Connector) -> None:
        self.connector: Connector | None = connector

    def answer(self, granted: bool, user: str | None) -> None:
        """See Asker."""
        connector = self.connector
        self.connector = None
        if connector is not None:
            connector.take_answer(granted, user)
