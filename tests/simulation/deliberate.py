"""Deliberate faults, to check the checker: each breaks a promise, and must be found by some seed.

Many of them were once made without meaning to, and mended; here they come back as patches of a few lines.  They are put
into plain Python classes, so they work in the uncompiled gateway only.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest import mock

from gateway.connectors.confirmations import Confirmations
from gateway.connectors.mqtt.publishing import MqttPublishing
from gateway.connectors.mqtt.resending import Resending
from gateway.connectors.mqtt.sending import MqttSender
from gateway.connectors.output import Output
from gateway.connectors.stomp import subscription as stomp_subscription
from gateway.connectors.stomp.connector import StompConnector
from gateway.connectors.stomp.subscription import StompSubscription
from gateway.core import journal, kept, paging
from gateway.core import queue as queues
from gateway.core.backlog import Backlog
from gateway.core.checking import Checks
from gateway.core.committing import Committing
from gateway.core.credit import Credit
from gateway.core.delivery import Delivery
from gateway.core.flow import Gate
from gateway.core.holding import HeldDeliveries
from gateway.core.journal import Journal
from gateway.core.kept import KeptQueues
from gateway.core.limits import BLOCK, REJECT
from gateway.core.ports import NOTHING, Dequeued, Enqueued, Noted, Operation, Redelivered
from gateway.core.queue import Queue
from gateway.core.room import REFUSED
from gateway.core.router import Broker
from gateway.core.selector import Selector
from gateway.core.transaction import Transaction
from gateway.store import writer
from gateway.store.errors import StoreFull
from gateway.store.segments import Segments
from gateway.store.writer import Writer
from protocols.mqtt.codec import encode_pubrel
from tests.simulation.deliberate_services import SERVICES
from tests.simulation.disk import FaultyFile, SegmentFiles

ALWAYS: Final = 1 << 60

Fault = Callable[[], Any]
"""Puts a fault in place for a while: a context manager."""


# -- kinds of patches


def _in_place(owner: Any, name: str, make: Callable[[Any], Any]) -> Fault:
    """`make` gets what is there, and gives what takes its place."""
    return lambda: mock.patch.object(owner, name, make(getattr(owner, name)))


def _instead(owner: Any, name: str, other: Any) -> Fault:
    """`other` takes the place of what is there."""
    return lambda: mock.patch.object(owner, name, other)


def _all(*faults: Fault) -> Fault:
    """Several at once."""

    @contextmanager
    def together() -> Iterator[None]:
        with ExitStack() as stack:
            for fault in faults:
                stack.enter_context(fault())
            yield

    return together


def _nothing(*_: Any) -> None:
    pass


def _never(*_: Any) -> bool:
    return False


def _without(is_lost: Callable[[Operation], bool], share: int = 1) -> Fault:
    """One in `share` of such operations never gets to the store."""

    def make(append: Any) -> Any:
        seen = [0]

        def careless(self: Journal, operation: Any) -> Any:
            if is_lost(operation):
                seen[0] += 1
                if seen[0] % share == 0:
                    return self.position
            return append(self, operation)

        return careless

    return _in_place(Journal, "append", make)


def _is(kind: type) -> Callable[[Operation], bool]:
    return lambda operation: isinstance(operation, kind)


def _every(count: int, instead: Callable[..., Any]) -> Callable[[Any], Any]:
    """Each so-many-th call does something else."""

    def make(real: Any) -> Any:
        seen = [0]

        def sometimes(*arguments: Any) -> Any:
            seen[0] += 1
            return (instead if seen[0] % count == 0 else real)(*arguments)

        return sometimes

    return make


# -- what is called safe


def _strikes_in_groups(append: Any) -> Any:
    """What leaves within a group is struck at once, though the group also puts something in."""

    def careless(self: Any, operation: Operation) -> Any:
        if not isinstance(operation, Dequeued):
            return append(self, operation)
        depth, self._depth = self._depth, 0
        try:
            return append(self, operation)
        finally:
            self._depth = depth

    return careless


def _refuses_batches(self: Any, count: int) -> None:
    """Of a batch in which something cannot be encoded nothing is left."""
    for place in range(count):
        if self._pending[place] is not None:
            self._drop(place)


def _cannot_encode(*_: Any) -> bytes:
    raise ValueError("deliberate")


def _takes_full_for_done(apply: Any) -> Any:
    def careless(self: Writer, batch: Any) -> Any:
        try:
            return apply(self, batch)
        except StoreFull:
            return 0.0

    return careless


def _disconnects_early(self: Any, disconnect: Any) -> None:
    self._let_go(tried=False)
    self.confirm_frame(NOTHING, disconnect.receipt)
    self._collect()
    if self.unconfirmed:
        self._leaving = True
    else:
        self.hang_up()


# -- numbers and places


def _frees_numbers(forget: Any) -> Any:
    """The number of a deleted queue is given again although the store still has what bears it."""

    def careless(self: Any, queue: Queue) -> None:
        forget(self, queue)
        self._used.discard(queue.number)
        self.next_number = queue.number

    return careless


def _begins_anew(recovered: Any) -> Any:
    def careless(self: Any, found: Any, clean: bool) -> None:
        recovered(self, found, clean)
        self._sequence = 0

    return careless


def _forgets_failures(delivery_of: Any) -> Any:
    def careless(self: Any, entry: Any) -> Delivery | None:
        delivery: Delivery | None = delivery_of(self, entry)
        if delivery is not None:
            delivery.failures = 0
        return delivery

    return careless


def _changes_order(begin: Any) -> Any:
    """What is sent again at QoS 1 comes before all of QoS 2."""

    def careless(self: Any) -> None:
        session = self._session
        if session.inflight:
            session.inflight = dict(sorted(session.inflight.items(), key=lambda pair: pair[1].message.qos))
        begin(self)

    return careless


# -- room


def _cuts_transactions(make_room: Any) -> Any:
    """Of a transaction for which there is no room a part is dropped."""

    def careless(queue: Queue, message: Any, binding: Any) -> bool:
        if queue.policy.when_full == REJECT and queue.broker.assured:
            queue.broker.counters.dropped_full += 1
            return False
        return bool(make_room(queue, message, binding))

    return careless


def _drops_where_it_blocks(make_room: Any) -> Any:
    def careless(queue: Queue, message: Any, binding: Any) -> bool:
        if queue.policy.when_full == BLOCK:
            queue.broker.counters.dropped_full += 1
            return queue.room.owned_by(message.publisher)
        return bool(make_room(queue, message, binding))

    return careless


def _swallows_refusals(offer: Any) -> Any:
    def careless(self: Queue, message: Any, binding: Any = None) -> Any:
        position = offer(self, message, binding)
        return NOTHING if position == REFUSED else position

    return careless


def _goes_beyond_limits(check_room: Any) -> Any:
    """A cumulative acknowledgement is not looked at as a whole."""

    def careless(self: Transaction, operations: int, size: int = 0) -> None:
        if operations == 1:
            check_room(self, operations, size)

    return careless


def _miscounts_memory(forget: Any) -> Any:
    def careless(self: Queue, delivery: Delivery) -> Any:
        before = self.broker.resident_bytes
        position = forget(self, delivery)
        if delivery.sequence % 10 == 0:
            self.broker.resident_bytes = before
        return position

    return careless


def _stays_congested(self: Any) -> None:
    self.congested = self.congested or self._bytes + self._committing_bytes > self._bytes_max


def _forgets_segments(self: Any, number: int) -> None:
    if self._live.get(number, 0) <= 0:
        self._live.pop(number, None)


FAULTS: Final[dict[str, Fault]] = {
    **SERVICES,
    # What is called safe.
    "confirmations leave before they are safe": _all(
        _in_place(Confirmations, "take", lambda take: lambda self, _: take(self, ALWAYS)),
        _in_place(Confirmations, "due", lambda due: lambda self, _: due(self, ALWAYS)),
    ),
    "the receipt of DISCONNECT waits for nothing": _instead(
        StompConnector, "_on_disconnect", _disconnects_early
    ),
    "subscriptions are confirmed before they are safe": _instead(
        Output, "appended_since", lambda self, before: NOTHING
    ),
    "the database is not synced": _instead(FaultyFile, "xSync", _nothing),
    "segments are not synced": _instead(SegmentFiles, "sync", _nothing),
    "names of segments are not synced": _instead(SegmentFiles, "sync_directory", _nothing),
    "a full disk is taken for a commit": _in_place(Writer, "_apply", _takes_full_for_done),
    "what cannot be encoded takes its batch with it": _all(
        _in_place(journal, "encode_record", _every(30, _cannot_encode)),
        _instead(Journal, "_refuse", _refuses_batches),
    ),
    "what leaves within a group is struck at once": _in_place(Journal, "append", _strikes_in_groups),
    "transactions are not one group": _all(
        _instead(Journal, "begin", _nothing), _instead(Journal, "end", _nothing)
    ),
    "transactions are seen before they are safe": _in_place(
        Committing, "_open", lambda real: lambda self, _: real(self, False)
    ),
    "what is held goes with the next commit": _in_place(
        HeldDeliveries, "take", lambda take: lambda self, _: take(self, ALWAYS << 2)
    ),
    "dead letters are seen before they are safe": _instead(Broker, "hold", _nothing),
    # What is written.
    "what left is not written": _without(_is(Dequeued)),
    "some of what left is not written": _without(_is(Dequeued), 20),
    "some messages are not written": _without(_is(Enqueued), 20),
    "notes are not written": _without(_is(Noted)),
    "notes are not removed": _without(
        lambda operation: isinstance(operation, Noted) and operation.value is None
    ),
    "failures are not written": _without(_is(Redelivered)),
    "failures are not read": _in_place(paging.Paged, "_delivery_of", _forgets_failures),
    "segments are removed too early": _instead(Segments, "committed", _nothing),
    "segments are never removed": _instead(Segments, "_drop_if_empty", _forgets_segments),
    "deleted queues are never swept": _instead(writer.Chores, "sweep", _never),
    # Numbers, places, order.
    "numbers of deleted queues are used at once": _in_place(KeptQueues, "forget", _frees_numbers),
    "sequences begin anew after a start": _in_place(Queue, "recovered", _begins_anew),
    "stretches overlap with what is in memory": _instead(paging.Paged, "holds", _never),
    "what is newer overtakes what is paged": _instead(paging.Paged, "goes_before", _never),
    "some pages are not asked for": _in_place(paging.Paged, "ask", _every(5, _nothing)),
    "what is put back goes to the end": _instead(Backlog, "push_back", Backlog.push),
    "QoS 1 is sent again before QoS 2": _in_place(Resending, "begin", _changes_order),
    # Flags.
    "after a crash nothing is suspect": _instead(Delivery, "suspect", property(_never)),
    "suspects are forgotten with the next start": _instead(kept, "suspect_since", _nothing),
    "what is in flight at a stop is not suspect": _instead(KeptQueues, "note_unsettled", _nothing),
    # Exactly once.
    "QoS 2 is taken twice": _instead(
        MqttPublishing, "_note_received", lambda self, _: self.broker.store.position
    ),
    "QoS 2 goes out before its packet id is safe": _in_place(
        MqttSender,
        "send_delivery",
        lambda send: lambda *arguments: send(*arguments[:6], NOTHING),
    ),
    "PUBREL goes out before the PUBREC is safe": _instead(
        MqttSender,
        "_say_pubrel",
        lambda self, packet_id, reason: self.confirm(
            NOTHING, encode_pubrel(packet_id, reason, self._version)
        ),
    ),
    # Who gets what.
    "selectors want everything": _instead(Selector, "matches", lambda *_: True),
    "cumulative acknowledgements mean one": _instead(
        StompSubscription, "meant", lambda self, handle: [handle] if handle in self.unacked else []
    ),
    "acknowledgements beyond a limit are nobody's": _in_place(Transaction, "check_room", _goes_beyond_limits),
    "who leaves takes deliveries along": _in_place(stomp_subscription, "give_back", _every(5, _nothing)),
    # Who waits.
    "some calls of consumers are forgotten": _in_place(Queue, "call", _every(10, _nothing)),
    "some credit is not given back": _in_place(Credit, "regain", _every(10, _nothing)),
    "gates stay shut": _instead(Gate, "open", _nothing),
    "gates let in nobody": _in_place(Gate, "let_in", _every(3, _nothing)),
    "publishers wait for a store that is idle": _instead(Journal, "_look_at_room", _stays_congested),
    # Room, and what is counted.
    "full queues drop what they should hold up": _in_place(queues, "make_room", _drops_where_it_blocks),
    "refusals are swallowed": _in_place(Queue, "offer", _swallows_refusals),
    "transactions are cut where there is no room": _all(
        _in_place(queues, "make_room", _cuts_transactions), _instead(Checks, "_take_room", _nothing)
    ),
    "dead letters are refused where their queue is full": _instead(
        Queue, "inter", lambda self, message: self.offer(message)
    ),
    "memory is not counted back": _in_place(Queue, "forget", _miscounts_memory),
}
"""What is wrong → puts it in place for a while."""
