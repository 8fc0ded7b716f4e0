"""What a client has not acknowledged is sent again to its next connection (MQTT 5.0 §4.4), as far as that takes it.

The bodies may be in the store alone: a client that is away for long does not keep them in memory.
"""

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from gateway.connectors.mqtt.binding import binding_of
from gateway.core.bodies_away import bring_back
from gateway.core.chores import Chore
from gateway.core.delivery import Delivery
from gateway.core.paging import PAGE_BYTES_MAX
from gateway.core.ports import ANY_LANE, NOTHING, Entry, Page, PageReader
from gateway.core.record import BadRecord

if TYPE_CHECKING:
    from gateway.connectors.mqtt.session import MqttSession

FETCHED_AT_ONCE: Final = 256
"""Bodies that are asked of the store at a time, at most."""

ASKED_AFTER: Final = 4 * FETCHED_AT_ONCE
"""And of how many exchanges, from the first one on."""

LOOKED_AT_ONCE: Final = 64
"""Unfinished exchanges that are looked at in one step, and sent again if that may be."""


@final
class Resending(PageReader):
    """One connection's.  `room`: how many its Receive Maximum allows."""

    __slots__ = ("_asked", "_room", "_sent", "_session", "_unseen", "_unsent", "_wanted")

    def __init__(self, session: "MqttSession", room: int) -> None:
        self._session = session
        self._room = room
        # Packet ids, in the order in which they were sent first [MQTT-4.6.0-1]: those that have not been looked at, and
        # those before them that wait for room or for their bodies.
        self._unseen: deque[int] = deque()
        self._unsent: deque[int] = deque()
        # Those that have taken room: a PUBREL takes none, nor gives any when its PUBCOMP comes [MQTT-3.3.4-9].
        self._sent: set[int] = set()
        self._asked: Page | None = None
        # By sequence: what is asked for.
        self._wanted: dict[int, int] = {}

    @property
    def waits(self) -> bool:
        """Is the store asked for what is next, or has not all been looked at?  Nothing newer may be sent before it."""
        return self._asked is not None or len(self._unseen) > 0

    @property
    def finished(self) -> bool:
        """Has all been sent?"""
        return not self._unsent and not self._unseen

    def begin(self) -> None:
        """Send what may be sent, in this turn of the loop or later ones."""
        session = self._session
        self._unseen.extend(sorted(session.left_ids or ()))
        self._unseen.extend(session.inflight or ())
        if self._look_at_some():
            self._session.broker.chores.add(_Looking(self))

    def go_on(self) -> bool:
        """Look at some more, for a chore; answers whether there is more to do."""
        session = self._session
        if session.resending is not self or session.connector is None:
            return False
        if self._look_at_some():
            return True
        session.went_on()
        return False

    def _look_at_some(self) -> bool:
        """A PUBREL needs no room and no body."""
        session = self._session
        connector = session.connector
        assert connector is not None
        unseen = self._unseen
        for _ in range(min(LOOKED_AT_ONCE, len(unseen))):
            packet_id = unseen.popleft()
            if self._is_received(packet_id):
                connector.send_pubrel(packet_id)
            else:
                self._unsent.append(packet_id)
                self._go_on()
        return len(unseen) > 0

    def freed(self, packet_id: int) -> None:
        """That exchange is finished: there is room for one more, if it had taken any."""
        if packet_id in self._sent:
            self._sent.discard(packet_id)
            self._room += 1
        self._go_on()

    def _go_on(self) -> None:
        unsent = self._unsent
        while unsent and self._room > 0 and self._asked is None:
            packet_id = unsent[0]
            delivery = self._open_delivery(packet_id)
            if delivery is not None and delivery.message.hollow:
                self._ask(delivery)
                return
            unsent.popleft()
            # One that has become too large for this connection takes no room.
            if delivery is not None and self._send(packet_id, delivery):
                self._room -= 1
                self._sent.add(packet_id)

    def _open_delivery(self, packet_id: int) -> Delivery | None:
        """The delivery, unless the client has answered meanwhile: after its PUBREC it is not sent again [MQTT-4.3.3-6]."""
        session = self._session
        if session.inflight is None or self._is_received(packet_id):
            return None
        return session.inflight.get(packet_id)

    def _is_received(self, packet_id: int) -> bool:
        """Has the client the QoS 2 message, so that only its PUBCOMP is missing?  It may have had it of an earlier run."""
        session = self._session
        awaiting = session.awaiting_pubcomp
        left = session.left_ids
        return (awaiting is not None and packet_id in awaiting) or (left is not None and packet_id in left)

    def _send(self, packet_id: int, delivery: Delivery) -> bool:
        session = self._session
        connector = session.connector
        assert connector is not None
        binding = binding_of(delivery)
        qos = min(delivery.message.qos, binding.qos)
        position = session.broker.store.position if qos == 2 and session.noted else NOTHING
        if connector.send_delivery(delivery, binding, qos, packet_id, True, position):
            return True
        session.skip(packet_id)
        return False

    def _ask(self, first: Delivery) -> None:
        """Ask the store for this body, and for those of others that follow."""
        inflight = self._session.inflight
        assert inflight is not None
        wanted = self._wanted
        wanted.clear()
        last = first.sequence
        for packet_id in islice(self._unsent, ASKED_AFTER):
            delivery = inflight.get(packet_id)
            if delivery is not None and delivery.message.hollow and delivery.sequence >= first.sequence:
                wanted[delivery.sequence] = packet_id
                last = max(last, delivery.sequence)
                if len(wanted) == FETCHED_AT_ONCE:
                    break
        page = Page(first.queue.number, ANY_LANE, first.sequence, last, FETCHED_AT_ONCE, PAGE_BYTES_MAX)
        page.reader = self
        self._asked = page
        first.queue.broker.store.load(page)

    def on_page(self, page: Page, entries: list[Entry]) -> None:
        """See PageReader.  What is not there any more, or cannot be read, is over."""
        session = self._session
        if page is not self._asked or session.resending is not self:
            return
        self._asked = None
        for entry in entries:
            packet_id = self._wanted.pop(entry.sequence, None)
            if packet_id is not None:
                self._fill(packet_id, entry)
        if not entries or entries[0].sequence > page.first:
            # The next one was asked for first, and only what is safe was ever let go.
            self._give_up(self._unsent[0])
        self._go_on()
        session.went_on()

    def _fill(self, packet_id: int, entry: Entry) -> None:
        inflight = self._session.inflight
        delivery = None if inflight is None else inflight.get(packet_id)
        if delivery is None or not delivery.message.hollow:
            return
        broker = self._session.broker
        try:
            bring_back(delivery, broker.decoder.message(entry.record, entry.checked))
        except BadRecord:
            broker.counters.quarantined += 1
            self._give_up(packet_id)

    def _give_up(self, packet_id: int) -> None:
        self._session.give_up(packet_id)


@final
class _Looking(Chore):
    """Has it go on in later turns: a client may have tens of thousands unfinished."""

    __slots__ = ("_resending",)

    def __init__(self, resending: Resending) -> None:
        self._resending = resending

    def go_on(self) -> bool:
        """See Chore."""
        return self._resending.go_on()
