"""What net drives and core feeds: one Connector a connection.

Net calls `bytes_in`, `eof`, `deadline`, `writable` and, once per loop turn for each connector that marked itself,
`bytes_out`.  Time comes in as an argument.  Nothing here waits, and nothing knows a socket.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from gateway.core.flow import Gate, Publisher, Valve
from gateway.core.limits import BLOCK, DISCONNECT, DROP_NEWEST
from gateway.core.ports import NOTHING, Asker, Credentials, Recovered
from gateway.core.router import Broker
from gateway.core.waiters import DONE, GOES_ON, WAITS, Waiter

REFUSED_TALKING_MAX: Final = 64
"""Connections above maximumConnections that are heard far enough to be refused in their own words."""


@final
@dataclass(init=False, slots=True)
class Limits:
    """Bounds on each connection of one listener, with the names they have in its URI."""

    maximum_connections: int
    """`maximumConnections`"""
    max_frame_size: int
    """Bytes; `wireFormat.maxFrameSize`"""
    connect_timeout_ms: int
    """From accept until the protocol's CONNECT is whole; `connectTimeout`"""
    idle_timeout_ms: int
    """For clients that ask for no keep-alive or heart-beat; 0 is never; `maxInactivityDuration`"""
    max_subscriptions: int
    """`maximumSubscriptions`"""
    max_inflight: int
    """Deliveries that wait for this client's acknowledgement; `maximumInflight`"""
    output_buffer: int
    """Bytes held for a client that reads slowly; `outputBuffer`"""
    slow_consumer: str
    """What happens above that to messages that need no acknowledgement; `slowConsumer`"""
    message_rate: int
    """Messages a second a client may send; 0 is any; `messageRate`"""
    byte_rate: int
    """Bytes a second a client may send; 0 is any; `byteRate`"""
    allow_anonymous: bool
    """`allowAnonymous`"""
    carry: int
    """How much travels beside a translated message, a number of `side.CARRY_NAMES`; `carry`"""
    publish_identity: bool
    """Subscribers of other protocols are told who published; `publishIdentity`"""

    def __init__(
        self,
        maximum_connections: int = 10_000,
        max_frame_size: int = 104_857_600,
        connect_timeout_ms: int = 10_000,
        idle_timeout_ms: int = 0,
        max_subscriptions: int = 1_000,
        max_inflight: int = 1_000,
        output_buffer: int = 8_388_608,
        slow_consumer: str = BLOCK,
        message_rate: int = 0,
        byte_rate: int = 0,
        allow_anonymous: bool = True,
        carry: int = 0,
        publish_identity: bool = False,
    ) -> None:
        self.maximum_connections = maximum_connections
        self.max_frame_size = max_frame_size
        self.connect_timeout_ms = connect_timeout_ms
        self.idle_timeout_ms = idle_timeout_ms
        self.max_subscriptions = max_subscriptions
        self.max_inflight = max_inflight
        self.output_buffer = output_buffer
        self.slow_consumer = slow_consumer
        self.message_rate = message_rate
        self.byte_rate = byte_rate
        self.allow_anonymous = allow_anonymous
        self.carry = carry
        self.publish_identity = publish_identity


@final
class Counters:
    """What one listener and its connections count.  Rises only, but for `connections`."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "connections",
        "connections_total",
        "dropped_large",
        "dropped_slow",
        "limit_hits",
        "messages_in",
        "messages_out",
        "protocol_errors",
        "refused",
    )

    def __init__(self) -> None:
        self.connections = 0
        """Open now."""
        self.connections_total = 0
        self.refused = 0
        """Turned away above maximumConnections."""
        self.protocol_errors = 0
        """Connections ended because the peer broke the protocol or ran into a time-out."""
        self.limit_hits = 0
        """Times a limit other than maximumConnections was hit."""
        self.messages_in = 0
        self.messages_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.dropped_slow = 0
        """Messages dropped because a subscriber read too slowly."""
        self.dropped_large = 0
        """Messages not sent because they were larger than the subscriber takes."""

    def as_dict(self) -> dict[str, int]:
        """All of them by name."""
        return {
            "connections": self.connections,
            "connections_total": self.connections_total,
            "refused": self.refused,
            "protocol_errors": self.protocol_errors,
            "limit_hits": self.limit_hits,
            "messages_in": self.messages_in,
            "messages_out": self.messages_out,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "dropped_slow": self.dropped_slow,
            "dropped_large": self.dropped_large,
        }


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

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: deque[tuple[int, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._pending)

    def __bool__(self) -> bool:
        return bool(self._pending)

    def add(self, position: int, frame: bytes) -> None:
        """Hold `frame` until `position` is durable and all before it have gone."""
        self._pending.append((position, frame))

    def take(self, durable: int) -> list[bytes]:
        """The frames that may go now, CONFIRMED_MAX at most."""
        pending = self._pending
        ready: list[bytes] = []
        while pending and pending[0][0] <= durable and len(ready) < CONFIRMED_MAX:
            ready.append(pending.popleft()[1])
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
        "throttled",
        "turn",
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
        self.out: list[bytes] = []
        """Frames for the socket, in order; net takes them once per turn."""
        self.out_bytes = 0
        """Bytes of messages among them; answers and acknowledgements are not counted."""
        self.closing = False
        """Write what is in `out`, then close."""
        self.failure = ""
        """Why the connection was ended against the client's will, for the log."""
        self.fault: Exception | None = None
        """A bug of ours that it has run into: net reports it and ends the connection."""
        self.throttled = False
        """Do not read from this client for now."""
        self.paused = False
        """The socket takes no more for now."""
        self.congested = False
        """So much is waiting to be written that queues should hold and settled messages fall under the policy."""
        self.marked = False
        self._held: deque[bytes] | None = None
        self._held_bytes = 0
        self._slow_gate: Gate | None = None
        self._asker: _ConnectionAsker | None = None
        self._late = False
        self._shut = False
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

    def prepare_out(self, now_ms: int) -> None:
        """Just before `bytes_out` takes the frames: the last chance to add some, or to note the time."""

    def bytes_out(self, now_ms: int) -> list[bytes]:
        """Take the frames to write.  Net calls `written` afterwards."""
        self.prepare_out(now_ms)
        frames = self.out
        self.out = []
        self.out_bytes = 0
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
        """Write an answer."""
        self.out.append(frame)
        if not self.marked:
            self.turn.mark(self)

    def say_all(self, frames: list[bytes]) -> None:
        """Write several answers."""
        self.out.extend(frames)
        if not self.marked:
            self.turn.mark(self)

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
            self.publisher.valve = None
        if self._slow_gate is not None:
            self._slow_gate.open()
            self._slow_gate = None
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
        """A client is not read while publishers must wait, nor before it is known who it is."""
        shut = self._shut or self._asker is not None
        if shut != self.throttled:
            self.throttled = shut
            self.reading_changed()
            self.turn.mark(self)

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
        policy = self.limits.slow_consumer
        if self._held is None:
            self._held = deque()
        if self._held_bytes + len(frame) > self.limits.output_buffer:
            self.counters.dropped_slow += 1
            if policy == DISCONNECT:
                self._give_up()
                return
            if policy == DROP_NEWEST or policy == BLOCK or not self._held:
                return
            while self._held and self._held_bytes + len(frame) > self.limits.output_buffer:
                self._held_bytes -= len(self._held.popleft())
        self._held.append(frame)
        self._held_bytes += len(frame)

    def _give_up(self) -> None:
        if self.closing:
            return
        self.counters.limit_hits += 1
        self.failure = "reads too slowly"
        self.hang_up()

    def hold_publisher(self, publisher: Publisher | None) -> None:
        """Make a publisher wait for this slow reader, if that is the policy.  Called for each message it takes."""
        if self.limits.slow_consumer == BLOCK and publisher is not self.publisher:
            if self._slow_gate is None:
                self._slow_gate = Gate()
            self._slow_gate.hold(publisher)

    def _resume(self) -> None:
        self.congested = False
        held = self._held
        if held:
            self._held = None
            self.out.extend(held)
            self.out_bytes += self._held_bytes
            self._held_bytes = 0
            self.turn.mark(self)
        if self._slow_gate is not None:
            self._slow_gate.open()
            self._slow_gate = None
        self.congestion_changed()
        self.resumed()


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


@final
@dataclass(init=False, slots=True)
class Carriage:
    """How a protocol travels inside WebSocket."""

    names: tuple[str, ...]
    """Its subprotocols (RFC 6455 §1.9)."""
    whole: bool
    """It lives in messages; otherwise they are a stream of bytes that may be cut anywhere."""
    only: int
    """The opcode of its messages: 1 is text, 2 binary, 0 either."""
    starts: tuple[bytes, ...]
    """How what a client says first begins, for those that name no subprotocol."""

    def __init__(self, names: tuple[str, ...], whole: bool, only: int, starts: tuple[bytes, ...]) -> None:
        self.names = names
        self.whole = whole
        self.only = only
        self.starts = starts


class Acceptor:
    """Makes a connector for each connection of one listener."""

    __slots__ = ("counters", "limits", "name", "protocol")

    def __init__(self, name: str, protocol: str, limits: Limits) -> None:
        self.name = name
        """The listener's name in the configuration."""
        self.protocol = protocol
        """The scheme of its URI."""
        self.limits = limits
        self.counters = Counters()

    def accept(self, peer: str, turn: Turn, now_ms: int) -> Connector:
        """A connector for a connection from `peer` that has just been accepted."""
        raise NotImplementedError


class Service:
    """What all connectors of one protocol share (for MQTT: its sessions).  One per broker and protocol."""

    __slots__ = ()

    def acceptor(self, name: str, scheme: str, limits: Limits) -> Acceptor:
        """The acceptor for one listener of this protocol."""
        return _ServiceAcceptor(name, scheme, limits, self)

    def connector(self, acceptor: Acceptor, peer: str, turn: Turn, now_ms: int) -> Connector:
        """A connector for a connection that `acceptor` has accepted; see there."""
        raise NotImplementedError

    def recover(self, found: Recovered, now_ms: int) -> None:
        """Bring back what earlier runs left of this protocol.  Called once, after the broker's own."""

    def carriage(self) -> Carriage | None:
        """How it travels inside WebSocket; None when it does not."""
        return None

    def tick(self, now_ms: int) -> None:
        """Let time pass where no connection does it: about four times a second."""

    def stats(self) -> dict[str, int]:
        """What there is to report beside the listeners' counters."""
        return {}

    def close(self, now_ms: int) -> None:
        """The gateway has stopped: everything that waits for a time will not come."""


@final
class _ServiceAcceptor(Acceptor):
    """Has the service make the connectors, for those that need no more of their listener than any."""

    __slots__ = ("_service",)

    def __init__(self, name: str, protocol: str, limits: Limits, service: Service) -> None:
        super().__init__(name, protocol, limits)
        self._service = service

    def accept(self, peer: str, turn: Turn, now_ms: int) -> Connector:
        """See Acceptor."""
        return self._service.connector(self, peer, turn, now_ms)
