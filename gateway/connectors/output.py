"""What one connection has to write: messages under the slow-consumer policy, answers, and confirmations.

`Turn` gathers those that have something to write in this turn of the loop.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, final

from gateway.connectors.confirmations import FRAME_BYTES, Confirmations
from gateway.connectors.limits import Counters, Limits
from gateway.connectors.parts import BEGINS, ENDS, WHOLE, Parts, Pieces
from gateway.core.flow import Gate, Publisher, Valve
from gateway.core.limits import BLOCK, DISCONNECT, DROP_OLDEST
from gateway.core.ports import NOTHING
from gateway.core.quota import address_of
from gateway.core.router import Broker
from gateway.core.waiters import DONE, GOES_ON, WAITS, Waiter

HEARD_MS: Final = 4
"""How long one client is heard in one turn of the loop, about: what it has said beyond that is for a later one."""

HEARD_TOGETHER_MS: Final = 20
"""How long all are heard like that in one turn: behind it each has one step, so that whoever says little waits for no more
than that, however many say very much."""

RESUME_BYTES: Final = 262_144
"""Bytes of what a slow client was to have that are handed over at a time, once it reads again."""

RESUME_FRAMES: Final = 2_048
"""And frames, however small they are."""

HELD_FRAME_MIN: Final = 64
"""A frame that is held takes at least so many bytes of what may be held: tiny ones cost their objects."""

HELD_FRAMES_MIN: Final = 1_024
"""Frames that may be held however small that is."""

DROPPED_AT_ONCE: Final = 1_024
"""Of those so many make way for one that comes; where that is not enough it does not come in itself."""

TOO_SLOW: Final = "reads too slowly"

TAKES_NOTHING: Final = "acknowledges nothing"


def no_time_passes() -> int:
    """The clock where nobody else waits for a turn to end."""
    return 0


@final
class Turn:
    """The outputs that have something to write, or changed their mind about reading, in this turn of the loop.

    And each client's share of it: net gives one (`share`) before it has a client heard, and who hears it asks `over`.
    """

    __slots__ = ("_began_ms", "_clock", "_marked", "_over_ms", "_schedule")

    def __init__(self, schedule: Callable[[], None], clock: Callable[[], int] = no_time_passes) -> None:
        self._schedule = schedule
        """Called once when the first output is marked; arranges for `take` at the end of the turn."""
        self._marked: list[Output] = []
        self._clock = clock
        """Milliseconds."""
        self._over_ms = HEARD_MS
        # When the first had its share in this turn; -1 before that.
        self._began_ms = -1

    def share(self) -> None:
        """A client has its share from now on."""
        now_ms = self._clock()
        if self._began_ms < 0:
            self._began_ms = now_ms
        self._over_ms = now_ms + HEARD_MS if now_ms - self._began_ms < HEARD_TOGETHER_MS else now_ms

    @property
    def over(self) -> bool:
        """Is the share used up?  Asking costs as much as a tenth of a small message: not after each of them."""
        return self._clock() >= self._over_ms

    def mark(self, output: "Output") -> None:
        """Have `output` flushed before the turn ends; once is enough."""
        if not output.marked:
            output.marked = True
            marked = self._marked
            marked.append(output)
            if len(marked) == 1:
                self._schedule()

    def take(self) -> "list[Output]":
        """The marked outputs; net flushes each of them, and the next turn begins."""
        self._began_ms = -1
        marked = self._marked
        self._marked = []
        for output in marked:
            output.marked = False
        return marked


class Output(Valve):
    """The writing side of a connection; `Connector` adds the reading side, and is its only subclass.

    A subclass says what happens when a reader falls behind (`congestion_changed`, `on_too_slow`), has caught up
    (`resumed`), or has so many answers to read that it is to say nothing more (`answers_changed`).
    """

    __slots__ = (
        "_confirmations",
        "_held",
        "_held_bytes",
        "_parts",
        "_parts_bytes",
        "_slow_gate",
        "_unanswered",
        "_waiter",
        "broker",
        "closing",
        "congested",
        "counters",
        "cut",
        "failure",
        "fault",
        "limits",
        "marked",
        "out",
        "out_bytes",
        "paused",
        "publisher",
        "said_bytes",
        "shut",
        "slow_by_ms",
        "turn",
    )

    def __init__(self, broker: Broker, turn: Turn, limits: Limits, counters: Counters, peer: str) -> None:
        self.broker = broker
        self.turn = turn
        self.limits = limits
        self.counters = counters
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
        self.paused = False
        """The socket takes no more for now."""
        self.congested = False
        """So much is waiting to be written that queues should hold and settled messages fall under the policy."""
        self.shut = False
        """There is no room for more, and those who publish to it wait."""
        self.slow_by_ms = 0
        """When the client is given up, unless it has read something by then; 0 while nobody waits for it."""
        self.marked = False
        self.cut = WHOLE
        """What `bytes_out` gave last: whole frames, or one part of one."""
        # Frames that are written a part at a time, and the bytes of those and of what is ahead of them.
        self._parts: deque[Parts] | None = None
        self._parts_bytes = 0
        self._held: deque[bytes | Parts] | None = None
        self._held_bytes = 0
        self._slow_gate: Gate | None = None
        self._unanswered = False
        self._confirmations: Confirmations | None = None
        self._waiter: _ConfirmationWaiter | None = None

    # -- what a subclass says

    def answers_changed(self) -> None:
        """Whether too many answers wait (`_unanswered`) may have changed: look whether the client is to be read."""
        raise NotImplementedError

    def congestion_changed(self) -> None:
        """`congested` has a new value: pass it on to this connection's outlets."""
        raise NotImplementedError

    def resumed(self) -> None:
        """The congestion is over: let queues deliver again."""
        raise NotImplementedError

    def on_too_slow(self, now_ms: int) -> None:
        """Others have waited too long for the client: tell it `failure` (it may still read that) and set `closing`."""
        raise NotImplementedError

    # -- driven by net

    def prepare_out(self, now_ms: int) -> None:
        """Just before `bytes_out` takes the frames: the last chance to add some, or to note the time."""

    def bytes_out(self, now_ms: int) -> list[bytes]:
        """Take the frames to write.  Net calls `written` afterwards."""
        self.prepare_out(now_ms)
        if self._parts is not None:
            return self._next_part(self._parts)
        self.cut = WHOLE
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
        if self.congested and not self.paused and self._parts is None:
            self._resume()

    def writable(self, yes: bool) -> None:
        """The socket takes no more (False), or takes more again (True)."""
        self.paused = not yes
        if not yes:
            self._congest()
            if self._unanswered:
                self._wait_for_reader()
        elif self.congested and self._parts is None:
            self._resume()

    # -- messages and answers

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

    def push_parts(self, frame: Parts, sure: bool) -> None:
        """As `push` (or `push_sure`) of a frame that is written a part at a time; what is said from here on waits for it."""
        if self.congested and not sure:
            self._hold(frame)
            return
        self._begin_parts(frame)
        if self.out_bytes > self.limits.output_buffer and not self.congested:
            self._congest()

    def say_parts(self, frame: Parts) -> None:
        """As `say` of an answer that is written so."""
        self._begin_parts(frame)
        self.said_bytes += frame.size + FRAME_BYTES
        if self.said_bytes > self.limits.output_buffer:
            self._look_at_answers()

    def _begin_parts(self, frame: Parts) -> None:
        frame.ahead = self.out
        self.out = []
        frame.weight = self.out_bytes - self._parts_bytes + frame.size
        self.out_bytes += frame.size
        self._parts_bytes = self.out_bytes
        if self._parts is None:
            self._parts = deque()
        self._parts.append(frame)
        self.turn.mark(self)

    def _next_part(self, line: deque[Parts]) -> list[bytes]:
        """What stands before the first of the frames in parts; then a part of it."""
        frame = line[0]
        # There is more: another part, or what was said behind it.
        self.turn.mark(self)
        if frame.ahead:
            ahead = frame.ahead
            frame.ahead = []
            self.cut = WHOLE
            return ahead
        part = frame.next()
        cut = 0 if frame.begun else BEGINS
        if frame.over:
            cut |= ENDS
            self.out_bytes -= frame.weight
            self._parts_bytes -= frame.weight
            line.popleft()
            if not line:
                self._parts = None
        elif not part:
            self.cut = WHOLE
            return []
        frame.begun = True
        self.cut = cut
        return [part] if part or cut != WHOLE else []

    def seal(self, now_ms: int) -> None:
        """What has been said ends with the last words, behind frames in parts: nothing is written that is said later."""
        self.prepare_out(now_ms)
        # With nothing of its own, it has what is ahead of it written.
        self._begin_parts(Pieces([]))

    @property
    def unwritten(self) -> bool:
        """Are there frames that are written a part at a time?  What `bytes_out` gives next is such a part, about."""
        return self._parts is not None

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
        self.answers_changed()

    # -- confirmations

    def confirm(self, position: int, frame: bytes) -> None:
        """Write a confirmation once `position` is durable, behind the confirmations before it."""
        waiting = self._confirmations
        if position <= self.broker.store.durable and not waiting:
            self.say(frame)
            return
        waiting = self._waiting_confirmations()
        waiting.add(position, frame)
        if waiting.bytes > self.limits.output_buffer:
            self._look_at_answers()

    def _waiting_confirmations(self) -> Confirmations:
        """Those that wait; one will from now on."""
        waiting = self._confirmations
        if waiting is None:
            waiting = self._confirmations = Confirmations()
        if not waiting:
            self._waiter = _ConfirmationWaiter(self)
            self.broker.wait(self._waiter)
        return waiting

    def suspend(self) -> None:
        """See Valve."""
        self._waiting_confirmations().suspended += 1

    def resume(self) -> None:
        """See Valve."""
        waiting = self._confirmations
        if waiting is not None and waiting.suspended:
            waiting.suspended -= 1
            self.broker.waiters.on_durable(self.broker.store.durable)

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

    def _confirm_no_more(self) -> None:
        self._confirmations = None
        if self._waiter is not None:
            self._waiter.output = None
            self._waiter = None

    def broke(self, error: Exception) -> None:
        """A bug of ours while the core served this client: it costs this connection, at the end of the turn."""
        self._confirm_no_more()
        self.fault = error
        self.turn.mark(self)

    # -- slow readers

    def _congest(self) -> None:
        self.congested = True
        self.congestion_changed()

    def _hold(self, frame: bytes | Parts) -> None:
        """The client does not keep up: keep the frame if there is room, else follow the policy."""
        held = self._held
        if held is None:
            held = self._held = deque()
        size = _bytes_of(frame)
        room = self._room_for(held)
        if self.limits.slow_consumer == BLOCK:
            # Nothing is dropped: who publishes waits from here on.
            if size >= room and not self.shut:
                self._shut_out()
        elif size > room and not self._make_room(held, size):
            return
        held.append(frame)
        self._held_bytes += size

    def _room_for(self, held: deque[bytes | Parts]) -> int:
        """Bytes that may be held more."""
        limit = self.limits.output_buffer
        if len(held) >= HELD_FRAMES_MIN and len(held) * HELD_FRAME_MIN >= limit:
            return 0
        return limit - self._held_bytes

    def _make_room(self, held: deque[bytes | Parts], size: int) -> bool:
        """Something has to go; False when it is the frame."""
        policy = self.limits.slow_consumer
        if policy == DROP_OLDEST and size <= self.limits.output_buffer:
            for _ in range(DROPPED_AT_ONCE):
                if not held or size <= self._room_for(held):
                    break
                self.counters.dropped_slow += 1
                self._held_bytes -= _bytes_of(held.popleft())
            if size <= self._room_for(held):
                return True
        self.counters.dropped_slow += 1
        if policy == DISCONNECT:
            self.give_up(self.broker.now_ms)
        return False

    def give_up(self, now_ms: int, why: str = TOO_SLOW) -> None:
        """Others have waited too long for the client, which is told so, in case it reads that."""
        if self.closing:
            return
        self.counters.limit_hits += 1
        self.counters.ended_slow += 1
        held = self._held
        if held is not None and self.limits.slow_consumer == BLOCK:
            self.counters.dropped_slow += len(held)
        self.failure = why
        begun = self._cut_off()
        self.on_too_slow(now_ms)
        if begun:
            # Within a frame there is no place for words.
            self.out = []
        self._open_up()
        self.turn.mark(self)

    def _cut_off(self) -> bool:
        """Give up what is written a part at a time; answers whether a part of one has been written.

        What was said behind it would be taken for what follows it: the end of its body, or the next event.
        """
        line = self._parts
        if line is None:
            return False
        self._parts = None
        first = line[0]
        self.out = first.ahead
        return first.begun

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
            if self.shut and self._room_for(held) > 0:
                self._open_up()
            if held:
                return
        self._held = None
        self.congested = False
        self.congestion_changed()
        self.resumed()

    def _hand_over(self, held: deque[bytes | Parts]) -> None:
        size = 0
        for _ in range(RESUME_FRAMES):
            if not held or size >= RESUME_BYTES:
                break
            frame = held.popleft()
            size += _bytes_of(frame)
            if isinstance(frame, Parts):
                self._begin_parts(frame)
            else:
                self.out.append(frame)
                self.out_bytes += len(frame)
        self._held_bytes -= size
        self.turn.mark(self)

    def _write_no_more(self) -> None:
        """The connection is over: nobody waits for it, and it waits for nothing."""
        self._open_up()
        self._held = None
        self._held_bytes = 0
        self._parts = None
        self._confirm_no_more()


def _bytes_of(frame: bytes | Parts) -> int:
    return frame.size if isinstance(frame, Parts) else len(frame)


@final
class _ConfirmationWaiter(Waiter):
    """Stands in the broker's list for a output that waits, and lets go of it when the connection ends."""

    __slots__ = ("output",)

    def __init__(self, output: Output) -> None:
        self.output: Output | None = output

    def on_durable(self, position: int) -> int:
        """See Waiter."""
        output = self.output
        if output is None:
            return DONE
        try:
            if not output.release_confirmations(position):
                return DONE
        except Exception as error:
            output.broke(error)
            return DONE
        return GOES_ON if output.may_confirm(position) else WAITS
