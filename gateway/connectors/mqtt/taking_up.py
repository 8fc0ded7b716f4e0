"""Deliveries that were under way when an earlier run ended: their sessions go on with them (MQTT 5.0 §4.4)."""

from gateway.connectors.mqtt.binding import MqttBinding, binding_of
from gateway.connectors.mqtt.journal import AT_QOS_1, AT_QOS_2, PUBREC_CAME
from gateway.connectors.mqtt.session import PACKET_ID_MAX, MqttSession
from gateway.connectors.sources import may_read
from gateway.core.bodies_away import let_go
from gateway.core.destination import QUEUE, TOPIC
from gateway.core.paging import PAGE_BYTES_MAX, PAGE_MESSAGES_MAX
from gateway.core.pattern import literal
from gateway.core.ports import Entry, Page
from gateway.core.queue import Queue
from gateway.core.queue_key import SHARED
from gateway.core.record import BadRecord
from gateway.core.router import Broker
from gateway.core.subscription import NOBODY, Consumer

Sent = tuple[int, int, str, int, int]
"""Queue, sequence, client id, packet id, and its state: see `journal.note_sent`."""

Left = tuple[MqttSession, int]
"""A packet id of a message that is gone: the client may hold it (§4.3.3)."""


def take_up(
    broker: Broker, sent: list[Sent], sessions: dict[str, MqttSession], taken: dict[str, set[int]]
) -> tuple[list[str], list[Left]]:
    """Have the sessions go on with what was `sent`; returns the keys of notes that say nothing any more, and what is over
    but for its packet id.

    After a crash `taken` has the packet ids of each session: what went out before a noted message of its queue, and is
    not noted, was of QoS 1 and comes again before that one [MQTT-4.6.0-1].
    """
    stale: list[str] = []
    left: list[Left] = []
    # Queue, lane → up to where it has been looked through.
    through: dict[tuple[int, int], int] = {}
    for number, sequence, client_id, packet_id, state in sent:
        session = sessions.get(client_id)
        queue = broker.kept.get(number)
        entries = [] if session is None or queue is None else broker.store.fetch(number, [sequence])
        taken_up = False
        for entry in entries:
            assert session is not None and queue is not None
            if client_id in taken and session.owns(queue):
                place = (number, entry.lane)
                first = through.get(place, 0) + 1
                through[place] = sequence
                for earlier in _between(broker, number, entry.lane, first, sequence - 1):
                    _take_up_unnoted(session, queue, earlier, taken[client_id])
            taken_up = _take_up_one(session, queue, entry, packet_id, state)
        if taken_up:
            continue
        # Kept as it is, a note of what is gone would name another message once the number is given again.  What others
        # are to have instead must not be released to this client as well.
        if session is None or entries or state == AT_QOS_1:
            stale.append(f"{client_id}\0{packet_id}")
        else:
            left.append((session, packet_id))
    return stale, left


def _between(broker: Broker, queue: int, lane: int, first: int, last: int) -> list[Entry]:
    """The stored messages of QoS 1 from `first` to `last`, which a client had not acknowledged: no more than its window."""
    found: list[Entry] = []
    while first <= last:
        entries = broker.store.page(Page(queue, lane, first, last, PAGE_MESSAGES_MAX, PAGE_BYTES_MAX))
        if not entries:
            break
        found += [entry for entry in entries if _qos(broker, entry) == 1]
        first = entries[-1].sequence + 1
    return found


def _qos(broker: Broker, entry: Entry) -> int:
    """At which a stored message was sent; 0 when it cannot be read."""
    try:
        binding = broker.decoder.binding(entry.note)
        qos = broker.decoder.message(entry.record).qos
    except BadRecord:
        return 0
    return min(qos, binding.qos) if isinstance(binding, MqttBinding) else 0


def _take_up_unnoted(session: MqttSession, queue: Queue, entry: Entry, taken: set[int]) -> None:
    """A delivery of the session's own queue that was under way too, though nobody knows under which packet id: not
    under one of `taken`, nor is it noted under the one that it gets."""
    packet_id = session.last_packet_id
    while True:
        packet_id = 1 if packet_id >= PACKET_ID_MAX else packet_id + 1
        if packet_id not in taken:
            break
    taken.add(packet_id)
    _take_up_one(session, queue, entry, packet_id, AT_QOS_1)
    if session.kept_ids is not None:
        session.kept_ids.discard(packet_id)


def _take_up_one(session: MqttSession, queue: Queue, entry: Entry, packet_id: int, state: int) -> bool:
    """Go on with one of them, if it can be read, and the client may have it; answers whether it does."""
    consumer = session.consumer_of(queue)
    if consumer is None and (state == PUBREC_CAME or (state == AT_QOS_2 and _may_have(session, queue))):
        consumer = _finishing(session, queue)
    delivery = None if consumer is None else queue.reacquire(entry, consumer)
    if delivery is None:
        return False
    if session.inflight is None:
        session.inflight = {}
    session.inflight[packet_id] = delivery
    session.last_packet_id = max(session.last_packet_id, packet_id)
    broker = session.broker
    if broker.resident_bytes >= broker.limits.memory_max and session.owns(queue):
        let_go(delivery)
    if min(delivery.message.qos, binding_of(delivery).qos) == 1:
        if session.kept_ids is None:
            session.kept_ids = set()
        session.kept_ids.add(packet_id)
    if state == PUBREC_CAME:
        if session.awaiting_pubcomp is None:
            session.awaiting_pubcomp = set()
        session.awaiting_pubcomp.add(packet_id)
    return True


def _may_have(session: MqttSession, queue: Queue) -> bool:
    """Would the client be let in to read that today?  It may not be subscribed any more because the rules have changed."""
    broker = session.broker
    if queue.key.kind == SHARED:
        # Without members it takes nothing in any more, and what it took before goes to whoever joins.
        patterns = [binding.pattern for binding in queue.bindings]
        return len(patterns) > 0 and all(
            may_read(broker, session.publisher, TOPIC, pattern, True) for pattern in patterns
        )
    return may_read(broker, session.publisher, QUEUE, literal(queue.key.name), False)


def _finishing(session: MqttSession, queue: Queue) -> Consumer:
    """Through which the client finishes what it has of a queue that it does not read any more [MQTT-3.10.4-3].

    It takes nothing new; what was sent before it unsubscribed is sent again under its packet id, and what a PUBREC has
    come for is the client's, and nobody else is to be given it (§4.3.3).
    """
    binding = MqttBinding(literal(queue.key.name), session, None, 2, False, [], owner=session.publisher)
    return Consumer(queue, NOBODY, session.credit, False, binding)
