"""Messages that are to be delivered later, once or again and again.

A job waits in a heap for its time, which `run` is told.  A cron line starts its job anew at each of its times.
"""

import json
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.cron import Cron
from gateway.core.destination import QUEUE
from gateway.core.fan_out import FEW
from gateway.core.message import Message
from gateway.core.ports import NOTHING, Noted
from gateway.core.record import record_of

if TYPE_CHECKING:
    from gateway.core.router import Broker

SPACE: Final = "core.schedule"
"""Where the store keeps the jobs of persistent messages."""

FOREVER: Final = -1
"""As a number of repeats."""

REFUSED_AGAIN_MS: Final = 1_000
"""How long a delivery waits that its queue or the store has refused."""

FAILED_AGAIN_MAX_MS: Final = 3_600_000
"""One that has raised, a bug of ours, waits twice as long with each time, up to this: it is not lost, but some of those
that are to have it may get it each time."""

FIRED_AT_ONCE: Final = 16
"""Deliveries in one step; one to a topic counts once for each of its subscribers beyond the first few."""


# What came of one delivery.
FIRED: Final = 0
REFUSED: Final = 1
ENDED: Final = 2


class ScheduleRefused(Exception):
    """The schedule cannot take this; `str(error)` says why, fit for the client."""


@final
@dataclass(init=False, slots=True)
class Timing:
    """When a message is to be delivered."""

    delay_ms: int
    """From now, or from each time of `cron`, to the first delivery."""
    period_ms: int
    """Between deliveries."""
    repeats: int
    """Deliveries after the first; FOREVER for no end."""
    cron: Cron | None

    def __init__(
        self, delay_ms: int = 0, period_ms: int = 0, repeats: int = 0, cron: Cron | None = None
    ) -> None:
        self.delay_ms = delay_ms
        self.period_ms = period_ms
        self.repeats = repeats
        self.cron = cron


@final
class _Job:
    """A message and when it is due next."""

    __slots__ = (
        "due_ms",
        "failures",
        "message",
        "number",
        "remaining",
        "start_ms",
        "timing",
        "wait_ms",
    )

    def __init__(self, message: Message, timing: Timing, number: int) -> None:
        self.message = message
        self.timing = timing
        self.number = number
        self.remaining = 0
        """Deliveries that follow the next one before the job ends, or waits for its cron line again."""
        self.due_ms = 0
        self.start_ms = -1
        """The time of the cron line that began this round."""
        self.wait_ms = 0
        """Beyond `due_ms`, because it was refused or has raised then."""
        self.failures = 0
        """How often it has raised since it was delivered last."""

    def put_off(self, now_ms: int) -> None:
        """It stays due, and the store knows of it as before: nobody is there to be told that it cannot be now."""
        pause_ms = min(REFUSED_AGAIN_MS << min(self.failures, 16), FAILED_AGAIN_MAX_MS)
        self.wait_ms = now_ms + pause_ms - self.due_ms

    @property
    def next_ms(self) -> int:
        """When to try."""
        return self.due_ms + self.wait_ms

    def __lt__(self, other: "_Job") -> bool:
        if self.next_ms != other.next_ms:
            return self.next_ms < other.next_ms
        return self.number < other.number


@final
class Schedule(Chore):
    """All jobs of a broker, within its limits."""

    __slots__ = ("_broker", "_heap", "_jobs_made", "_until_ms", "_working", "bytes")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._heap: list[_Job] = []
        self._jobs_made = 0
        # It delivers what is due up to then.
        self._until_ms = 0
        self._working = False
        self.bytes = 0
        """Of the messages that wait."""

    def __len__(self) -> int:
        return len(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    @property
    def next_ms(self) -> int:
        """When the next job is due; 0 when there is none."""
        return self._heap[0].next_ms if self._heap else 0

    def add(self, message: Message, timing: Timing) -> int:
        """Deliver `message` by `timing`; returns the position to wait for.  Raises ScheduleRefused."""
        if not self._broker.assured:
            self.check(message, timing, 0, 0)
        self._jobs_made += 1
        job = _Job(message, timing, self._jobs_made)
        if not self._begin(job, self._broker.now_ms):
            return NOTHING
        # What cannot be noted is not scheduled.
        position = self._note(job)
        self.bytes += message.size
        heappush(self._heap, job)
        return position

    def _note(self, job: _Job) -> int:
        """Have the store know of the job as it is now."""
        store = self._broker.store
        if not job.message.persistent or not store.keeps:
            return NOTHING
        timing = job.timing
        state = {
            "delay_ms": timing.delay_ms,
            "period_ms": timing.period_ms,
            "repeats": timing.repeats,
            "cron": None if timing.cron is None else timing.cron.line,
            "remaining": job.remaining,
            "due_ms": job.due_ms,
            "start_ms": job.start_ms,
        }
        head = json.dumps(state).encode()
        value = record_of(job.message, len(head).to_bytes(4, "little") + head)
        return store.append(Noted(SPACE, str(job.number), value))

    def _forget(self, job: _Job) -> None:
        """The job is done."""
        self.bytes -= job.message.size
        if job.message.persistent and self._broker.store.keeps:
            self._broker.store.append(Noted(SPACE, str(job.number), None))

    def recover(self, notes: dict[str, bytes]) -> None:
        """Begin with the jobs of earlier runs."""
        for number, value in notes.items():
            try:
                job = self._noted_job(int(number), value)
            except Exception as error:
                # Whatever damage makes of a note.
                self._broker.aside.note(SPACE, number, value, error)
                continue
            self._jobs_made = max(self._jobs_made, job.number)
            self.bytes += job.message.size
            heappush(self._heap, job)

    def _noted_job(self, number: int, value: bytes) -> _Job:
        """What `_note` has written.  Raises BadRecord, and whatever comes of what is no note."""
        head_end = 4 + int.from_bytes(value[:4], "little")
        state = json.loads(value[4:head_end])
        message = self._broker.decoder.message(value[head_end:])
        cron = None if state["cron"] is None else Cron(state["cron"])
        timing = Timing(int(state["delay_ms"]), int(state["period_ms"]), int(state["repeats"]), cron)
        job = _Job(message, timing, number)
        job.remaining = int(state["remaining"])
        job.due_ms = int(state["due_ms"])
        job.start_ms = int(state["start_ms"])
        return job

    def check(self, message: Message, timing: Timing, more: int, more_bytes: int) -> None:
        """Raise ScheduleRefused if `add` would, with `more` jobs of `more_bytes` added before."""
        limits = self._broker.limits
        if message.persistent and not self._broker.store.accepting:
            raise ScheduleRefused(self._broker.store.refusal)
        if len(self._heap) + more >= limits.scheduled_messages_max:
            raise ScheduleRefused("too many messages are scheduled")
        if self.bytes + more_bytes + message.size > limits.scheduled_bytes_max:
            raise ScheduleRefused("the scheduled messages take too much memory")
        if timing.delay_ms > limits.scheduled_delay_max_ms:
            raise ScheduleRefused(f"a message may be delayed by {limits.scheduled_delay_max_ms} ms at most")
        if timing.repeats and timing.period_ms < limits.scheduled_period_min_ms:
            raise ScheduleRefused(
                f"a message may be repeated every {limits.scheduled_period_min_ms} ms at most"
            )

    def _begin(self, job: _Job, now_ms: int) -> bool:
        """Set when `job` is due first, or first after a round; False when never."""
        timing = job.timing
        job.remaining = timing.repeats
        start_ms = now_ms
        if timing.cron is not None:
            start_ms = timing.cron.after(max(now_ms, job.start_ms))
            if start_ms < 0:
                return False
        job.start_ms = start_ms
        job.due_ms = start_ms + timing.delay_ms
        return True

    def run(self, now_ms: int) -> None:
        """Deliver what is due, in this turn of the loop or later ones."""
        self._until_ms = now_ms
        if not self._working and self._is_due():
            self._working = True
            self._broker.chores.add(self)

    def rest(self) -> None:
        """Deliver no more: the process is to end, and what is noted comes after the next start.

        Who repeats faster than can be delivered would keep it for ever.
        """
        self._until_ms = 0

    def _is_due(self) -> bool:
        heap = self._heap
        return len(heap) > 0 and heap[0].next_ms <= self._until_ms

    def go_on(self) -> bool:
        """See Chore."""
        store = self._broker.store
        # Not only at the end: were a step to fail, the next look at the clock would begin anew.
        self._working = False
        if store.congested:
            # Nobody else who publishes is heard until it has written more; the next look at the clock goes on.
            return False
        left = FIRED_AT_ONCE
        while left > 0 and self._is_due():
            job = heappop(self._heap)
            left -= 1 + self._broker.reach(job.message.destination) // FEW
            # The message and what is left of its job change together.  Seen before that is safe, the message would come
            # again after a crash, as one that never came before.
            store.begin()
            if job.message.persistent and not store.immediate:
                self._broker.hold()
            try:
                self._run_job(job, self._until_ms)
            except Exception:
                # Whatever is wrong with one of them, it is the turn of the next.
                self.run(self._until_ms)
                raise
            finally:
                self._broker.release_hold()
                store.end()
        self._working = self._is_due()
        return self._working

    def _run_job(self, job: _Job, now_ms: int) -> None:
        try:
            done = self._fire(job, now_ms)
        except Exception:
            job.failures += 1
            job.put_off(now_ms)
            heappush(self._heap, job)
            raise
        if done == REFUSED:
            job.put_off(now_ms)
            heappush(self._heap, job)
        elif done == FIRED and self._again(job, now_ms):
            heappush(self._heap, job)
            self._note(job)
        else:
            self._forget(job)

    def _again(self, job: _Job, now_ms: int) -> bool:
        """Set when `job` is due again; False when it is done."""
        job.wait_ms = 0
        job.failures = 0
        if job.remaining:
            if job.remaining != FOREVER:
                job.remaining -= 1
            job.due_ms += job.timing.period_ms
            if job.timing.repeats == FOREVER and job.due_ms <= now_ms:
                # What has no end need not make up for what it missed.
                job.due_ms = now_ms + job.timing.period_ms
            return True
        return job.timing.cron is not None and self._begin(job, now_ms)

    def _fire(self, job: _Job, now_ms: int) -> int:
        """Deliver once: FIRED, REFUSED for now, or ENDED when there is no use in another time."""
        broker = self._broker
        message = job.message
        destination = message.destination
        if destination.temporary and destination.kind == QUEUE and not broker.has_queue(destination.name):
            # Its owner has gone, and it with them.
            broker.counters.unroutable += 1
            return ENDED
        # One that has expired is published too: its queue knows what becomes of those.
        if not broker.publish_late(_copy(message, broker.next_message_id(), now_ms)):
            return REFUSED
        return ENDED if message.expired(now_ms) else FIRED


def _copy(message: Message, id: int, now_ms: int) -> Message:
    """The same message as a new one: each delivery of a job is one."""
    return Message(
        id,
        message.destination,
        message.origin,
        message.size,
        now_ms,
        message.persistent,
        message.qos,
        message.retain,
        message.priority,
        message.expires_at_ms,
        message.publisher,
    )
