"""Where the messages of one queue are, and how many are at each place.

    place      held as                             seen by      counts as
    READY      `Contents.backlog`                  consumers    waiting, resident
    HELD       `Contents.held`                     nobody       waiting, resident
    PAGED      a range of `Contents.paged`         nobody       waiting
    ACQUIRED   by its consumer                     that one     unsettled, resident
    SETTLED    nothing                             nobody       -

    step                  when                                    store        order
    new -> READY          nothing speaks against it               Enqueued     last of its lane
    new -> HELD           its transaction is not safe yet, or     Enqueued     last of its lane
                          something before it is held
    new -> PAGED          its lane has a stretch; or memory is    Enqueued     last of its stretch
                          full, and nobody is ready, and
                          nothing is held
    HELD -> READY         the transaction is safe                 -            as it came
    PAGED -> READY        it is next, or expired, or there is     a question   by sequence
                          memory to fetch ahead
    PAGED -> ACQUIRED     a session had it before a restart       -            out of turn
    READY -> ACQUIRED     a consumer is ready (credit is taken)   -            the first, or the first selected
                                                                               that nothing paged goes before, as
                                                                               far as memory takes that back
    ACQUIRED -> READY     released, or failed and tried again     Redelivered  its old place
    any -> SETTLED        accepted, buried, dropped, expired,     Dequeued,    -
                          purged (credit is given back)           Cleared

What is not stored is never PAGED.  Of what is stored, everything in memory is older than its lane's stretch, but for
what was taken out of turn (`Paged.elsewhere`): so a range of sequences says which messages only the store has, and none
is delivered twice or forgotten.  `faults` checks all of this.
"""

from typing import TYPE_CHECKING, final

from gateway.core.backlog import Backlog
from gateway.core.delivery import HELD, READY, Delivery
from gateway.core.holding import HeldDeliveries
from gateway.core.journal import lane_of
from gateway.core.paging import Paged
from gateway.core.timetable import Appointment
from gateway.core.unstored import RESIDENT_OVERHEAD

if TYPE_CHECKING:
    from gateway.core.queue import Queue


@final
class Contents:
    """See the module."""

    __slots__ = (
        "backlog",
        "dropping",
        "expiring",
        "held",
        "looked_at",
        "paged",
        "resident_bytes",
        "unsettled",
    )

    def __init__(self) -> None:
        self.backlog = Backlog()
        self.expiring = False
        """It is being looked through for messages whose time has run out.  See Expiring."""
        self.dropping = False
        """The oldest are going, to make room for what has come in."""
        self.held: HeldDeliveries | None = None
        self.paged: Paged | None = None
        self.unsettled = 0
        """Deliveries that wait for their outcome."""
        self.resident_bytes = 0
        """Of the messages in memory."""
        self.looked_at: Appointment[Queue] | None = None
        """When it is looked here for expired messages next; None for never.  See QueueExpiry."""

    @property
    def waiting(self) -> int:
        """Messages that wait for a consumer."""
        held = 0 if self.held is None else self.held.count
        return self.backlog.count + held + self.paged_count

    @property
    def paged_count(self) -> int:
        """Those of them that only the store holds."""
        return 0 if self.paged is None else self.paged.count

    @property
    def resident(self) -> int:
        """Messages in memory."""
        return self.waiting - self.paged_count + self.unsettled

    @property
    def depth(self) -> int:
        """All of them, waiting or unsettled."""
        return self.waiting + self.unsettled

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return self.resident_bytes + (0 if self.paged is None else self.paged.bytes)

    @property
    def expires_at_ms(self) -> int:
        """When the first of those that wait may expire; 0 when none can."""
        here = self.backlog.expires_at_ms
        there = 0 if self.paged is None else self.paged.expires_at_ms
        return min(here, there) if here and there else here or there


def faults(queue: "Queue") -> list[str]:
    """What is not as it must be in `queue`, between calls into the core; for tests and simulations."""
    contents = queue.contents
    found: list[str] = []
    waiting = contents.backlog.all()
    held = [] if contents.held is None else contents.held.all()
    _check_counts(contents, waiting, held, found)
    alone = [one.message.size for one in [*waiting, *held] if queue.room.is_alone(one.message)]
    size = sum(alone) + RESIDENT_OVERHEAD * len(alone)
    share = queue.room.share.bytes
    if size > share or (not contents.unsettled and size != share):
        found.append(f"{size} bytes wait in memory alone, counted {share}")
    paged = contents.paged
    for delivery in [*waiting, *held]:
        if paged is not None and delivery.stored:
            for stretch in paged.all():
                newer = stretch.lane == lane_of(delivery.message) and stretch.first <= delivery.sequence
                if newer and not paged.elsewhere(delivery.sequence):
                    found.append(f"message {delivery.sequence} is in memory, and within a stretch")
    if held and waiting:
        newest = {lane_of(delivery.message): delivery.sequence for delivery in waiting}
        for delivery in held:
            if delivery.sequence < newest.get(lane_of(delivery.message), 0):
                found.append(f"message {delivery.sequence} is held, and a newer one of its lane is not")
    return found


def _check_counts(
    contents: Contents, waiting: list[Delivery], held: list[Delivery], found: list[str]
) -> None:
    if len(waiting) != contents.backlog.count:
        found.append(f"{len(waiting)} wait in memory, counted {contents.backlog.count}")
    if [delivery for delivery in waiting if delivery.state != READY]:
        found.append("somebody waits who is not READY")
    if [delivery for delivery in held if delivery.state != HELD]:
        found.append("somebody is held who is not HELD")
    sequences = [delivery.sequence for delivery in [*waiting, *held]]
    if len(set(sequences)) != len(sequences):
        found.append("a message waits twice")
    size = sum([delivery.message.size for delivery in [*waiting, *held]])
    if size > contents.resident_bytes or (not contents.unsettled and size != contents.resident_bytes):
        found.append(f"{size} bytes wait in memory, counted {contents.resident_bytes}")
    paged = contents.paged
    if paged is not None:
        if paged.count != sum([stretch.count for stretch in paged.all()]):
            found.append("the stretches hold another number of messages than counted")
        if paged.bytes != sum([stretch.bytes for stretch in paged.all()]):
            found.append("the stretches hold other bytes than counted")
        if [stretch for stretch in paged.all() if stretch.count <= 0]:
            found.append("a stretch is empty")
