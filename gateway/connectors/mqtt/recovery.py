"""Sessions and messages of earlier runs."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

from gateway.connectors.mqtt import journal
from gateway.connectors.mqtt.addresses import Filter, filter_of
from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.mqtt.mapping import MqttOrigin
from gateway.connectors.mqtt.session import MqttSession
from gateway.connectors.mqtt.stored import restored_options, restored_publish
from gateway.connectors.mqtt.taking_up import Sent, take_up
from gateway.connectors.mqtt.wills import WillMessage
from gateway.connectors.sources import may_read
from gateway.core.destination import QUEUE, TOPIC, InvalidName
from gateway.core.message import Origin
from gateway.core.pattern import literal
from gateway.core.ports import Noted, Recovered
from gateway.core.queue_key import SESSION, SHARED, QueueKey
from gateway.core.record import Restorer
from gateway.core.router import Broker, LimitReached
from gateway.core.subscription import Binding, Sink

BINDINGS_REMEMBERED_MAX: Final = 1_024
"""Different options that are made into objects once; real sessions have a handful."""


@final
class MqttRestorer(Restorer):
    """See Restorer."""

    __slots__ = ("_bindings",)

    def __init__(self) -> None:
        self._bindings: dict[bytes, MqttBinding] = {}

    def origin(self, data: bytes, start: int) -> Origin:
        """See Restorer."""
        return MqttOrigin(restored_publish(data, start), 0)

    def binding(self, note: bytes) -> Binding | None:
        """See Restorer."""
        binding = self._bindings.get(note)
        if binding is None:
            if len(self._bindings) >= BINDINGS_REMEMBERED_MAX:
                self._bindings.clear()
            qos, retain_as_published, replay, json, identifiers = restored_options(note)
            # Where it leads to need not be known: the message is there.
            binding = MqttBinding(
                literal("-"), Sink(), None, qos, retain_as_published, identifiers, replay, json=json
            )
            self._bindings[note] = binding
        return binding


def recover_sessions(
    broker: Broker, found: Recovered, make: Callable[[str], MqttSession]
) -> list[MqttSession]:
    """All sessions that were kept; `make(client_id)` adds an empty one.  Their clocks are the caller's to start."""
    sessions: dict[str, MqttSession] = {}
    for client_id, value in found.notes.get(journal.SESSION, {}).items():
        session = make(client_id)
        try:
            will = journal.read_session(session, value)
        except Exception as error:
            # Whatever damage makes of a note: what waits for the client is there, and its subscriptions are.
            broker.aside.note(journal.SESSION, client_id, value, error)
            _make_do(session, found)
            will = None
        if will is not None:
            session.keep_will(WillMessage(will[0], will[1]))
        sessions[client_id] = session
    if found.damaged:
        _keep_orphans(broker, found, sessions, make)
    _recover_subscriptions(broker, found, sessions)
    for session in sessions.values():
        if session.key.text in broker.queues:
            session.ensure_queue()
    _recover_exchanges(broker, found, sessions)
    _drop_orphans(broker, sessions)
    return list(sessions.values())


def _make_do(session: MqttSession, found: Recovered) -> None:
    """A session of which only the name is left: it has lost its connection, and is kept for a while."""
    session.noted = True
    session.expiry_s = MADE_DO_EXPIRY_S
    session.ended_at_ms = 0
    session.will_due_ms = 0
    for key, value in found.notes.get(journal.SUBSCRIPTION, {}).items():
        if journal.split_key(key)[0] == session.client_id:
            with suppress(Exception):
                session.number = max(session.number, journal.read_subscription(value)[4])


def _keep_orphans(
    broker: Broker, found: Recovered, sessions: dict[str, MqttSession], make: Callable[[str], MqttSession]
) -> None:
    """A damage may have taken sessions and left what waits for their clients: that is kept as for one not readable.

    It goes as any session does: when its client asks for a new one, or when its time is over.
    """
    for queue in list(broker.queues.values()):
        client_id = _client_of(queue.key)
        if client_id is not None and client_id not in sessions:
            session = sessions[client_id] = make(client_id)
            _make_do(session, found)
            broker.aside.lost(
                f"{journal.SESSION} {client_id} is lost; {queue.depth} messages that wait for it are kept "
                f"for {MADE_DO_EXPIRY_S // 86_400} days"
            )


def _client_of(key: QueueKey) -> str | None:
    """Whose session a queue belongs to; None for one that belongs to none."""
    return key.owner if key.kind == SESSION else None


MADE_DO_EXPIRY_S: Final = 604_800
"""How long a session is kept whose own expiry is lost: a week."""


def _recover_subscriptions(broker: Broker, found: Recovered, sessions: dict[str, MqttSession]) -> None:
    for key, value in found.notes.get(journal.SUBSCRIPTION, {}).items():
        client_id, text = journal.split_key(key)
        session = sessions.get(client_id)
        try:
            qos, no_local, retain_as_published, identifier, number = journal.read_subscription(value)
        except Exception as error:
            broker.aside.note(journal.SUBSCRIPTION, key, value, error)
            continue
        if session is None or number != session.number:
            # Of a session that had ended, but not with everything.
            broker.store.append(Noted(journal.SUBSCRIPTION, key, None))
            continue
        try:
            filter = filter_of(text)
            if not _may_keep(broker, session, filter):
                # The rules have changed since.
                broker.store.append(Noted(journal.SUBSCRIPTION, key, None))
                continue
            _restore(session, filter, qos, no_local, retain_as_published, identifier)
        except (InvalidName, LimitReached):
            # Limits have been lowered since.
            broker.counters.discarded += 1


def _restore(
    session: MqttSession, filter: Filter, qos: int, no_local: bool, retain_as_published: bool, identifier: int
) -> None:
    """A subscription that the store kept, and need not be told of.  Raises LimitReached."""
    noted = session.noted
    session.noted = False
    try:
        session.subscribe(filter, qos, no_local, retain_as_published, identifier)
    finally:
        session.noted = noted


def _may_keep(broker: Broker, session: MqttSession, filter: Filter) -> bool:
    """May the session's client still subscribe to it?

    A damage may have taken the user's name: then it keeps what it has of topics, for what it may receive is looked at
    with each; of a share or a queue nothing could be held back.
    """
    kind = QUEUE if filter.queue else TOPIC
    pattern = literal(filter.queue) if filter.queue else filter.pattern
    if may_read(broker, session.publisher, kind, pattern, bool(filter.group)):
        return True
    return (
        session.expiry_s == MADE_DO_EXPIRY_S
        and session.publisher.user is None
        and kind == TOPIC
        and not filter.group
    )


def _recover_exchanges(broker: Broker, found: Recovered, sessions: dict[str, MqttSession]) -> None:
    for key, value in found.notes.get(journal.RECEIVED, {}).items():
        client_id, packet_id = journal.split_key(key)
        session = sessions.get(client_id)
        if session is not None and packet_id.isdecimal():
            if session.received is None:
                session.received = {}
            session.received[int(packet_id)] = journal.checksum_of(value)
    sent: list[Sent] = []
    taken: dict[str, set[int]] = {}
    for key, value in found.notes.get(journal.SENT, {}).items():
        client_id, packet_id = journal.split_key(key)
        try:
            number, sequence, state = journal.read_sent(value)
            if number == journal.NOT_KEPT and client_id in sessions:
                _leave(sessions[client_id], int(packet_id))
            else:
                sent.append((number, sequence, client_id, int(packet_id), state))
            taken.setdefault(client_id, set()).add(int(packet_id))
        except Exception as error:
            broker.aside.note(journal.SENT, key, value, error)
    # In the order in which they were sent: that of the queue.
    sent.sort()
    stale, left = take_up(broker, sent, sessions, {} if found.clean else taken)
    for session, number in left:
        _leave(session, number)
        journal.note_left(session, number)
    for key in stale:
        broker.store.append(Noted(journal.SENT, key, None))


def _leave(session: MqttSession, packet_id: int) -> None:
    if session.left_ids is None:
        session.left_ids = set()
    session.left_ids.add(packet_id)


def _drop_orphans(broker: Broker, sessions: dict[str, MqttSession]) -> None:
    """Queues of sessions that are gone; and shared ones nobody is a member of take nothing more in."""
    for queue in list(broker.queues.values()):
        client_id = _client_of(queue.key)
        if client_id is not None:
            if client_id not in sessions:
                broker.delete_queue(queue)
        elif queue.key.kind == SHARED and queue.consumers_count == 0:
            if queue.depth == 0:
                broker.delete_queue(queue)
            else:
                # What is in it waits for the next member.
                for binding in list(queue.bindings):
                    broker.unbind_queue(queue, binding)
