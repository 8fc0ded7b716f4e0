"""One client's session: what it subscribed to and which exchanges are unfinished.  It outlives its connections.

MQTT 5.0 §4.1 lists what a session holds.  Messages that wait for the client are in a core Queue bound to its
filters; what has been sent and not acknowledged is in `inflight`, in the order of sending (§4.6).
"""

from typing import TYPE_CHECKING, Final, final

from gateway.connectors.base import TAKES_NOTHING
from gateway.connectors.mqtt import journal
from gateway.connectors.mqtt.addresses import Filter
from gateway.connectors.mqtt.binding import (
    MqttBinding,
    MqttSubscription,
    binding_of,
    comes_again,
    merged_bindings,
)
from gateway.connectors.mqtt.json_view import JsonView
from gateway.connectors.mqtt.replay import Replay, Replays
from gateway.connectors.mqtt.resending import Resending
from gateway.connectors.mqtt.settings import NEVER, MqttSettings
from gateway.connectors.sources import share_key
from gateway.core.bodies_away import let_go
from gateway.core.credit import Credit
from gateway.core.delivery import ACCEPTED, REJECTED, UNREPRESENTABLE, Delivery
from gateway.core.flow import Publisher
from gateway.core.footprint import Footprint, Share, wire_bytes
from gateway.core.leaving import be_done_with, give_back
from gateway.core.limits import QueuePolicy
from gateway.core.message import Message
from gateway.core.ports import NOTHING
from gateway.core.queue import Queue
from gateway.core.queue_key import SESSION, QueueKey
from gateway.core.router import Broker, LimitReached
from gateway.core.subscription import Binding, Consumer, Outlet
from gateway.core.timetable import Appointment
from protocols.mqtt.constants import PUBACK, PUBCOMP, PUBREC

if TYPE_CHECKING:
    from gateway.connectors.mqtt.connector import MqttConnector
    from gateway.connectors.mqtt.wills import WillMessage

PACKET_ID_MAX: Final = 65_535


@final
class MqttSession(Outlet):
    """See the module."""

    __slots__ = (
        "_consumer",
        "_json",
        "_queue",
        "_replays",
        "awaiting_pubcomp",
        "broker",
        "client_id",
        "connector",
        "credit",
        "ended",
        "ended_at_ms",
        "expiry_s",
        "inflight",
        "kept_ids",
        "last_packet_id",
        "left_ids",
        "noted",
        "number",
        "planned",
        "publisher",
        "received",
        "resending",
        "settings",
        "share",
        "subscriptions",
        "will",
        "will_due_ms",
        "will_noted",
    )

    def __init__(self, broker: Broker, settings: MqttSettings, client_id: str, footprint: Footprint) -> None:
        super().__init__()
        self.broker = broker
        self.settings = settings
        self.client_id = client_id
        self.share = Share(footprint)
        """Of the bytes of all sessions: its client id, filters and will."""
        self.number = broker.next_message_id()
        """Tells it from an earlier session of the same client, of which the store may still have something."""
        self.publisher = Publisher(client_id, None)
        self.publisher.client_id = client_id
        self.publishes_as = self.publisher
        self.connector: MqttConnector | None = None
        self.expiry_s = 0
        """Seconds it is kept after the connection has closed; NEVER for good."""
        self.ended_at_ms = 0
        """When its last connection closed; 0 while there is one."""
        self.planned: Appointment[MqttSession] | None = None
        """Its entry in the agenda."""
        self.ended = False
        """Nobody will come back to it; its subscriptions may still have to be undone."""
        self.will: WillMessage | None = None
        self.will_due_ms = 0
        """When the will is to be published; 0 when nothing is pending."""
        self.noted = False
        """The store keeps it."""
        self.will_noted = False
        """The store keeps its will, and nothing else of it: what ends with the connection would end silently."""
        self.credit = Credit(0)
        # Made when first used: most sessions of a large broker only publish, or only subscribe at QoS 0.
        self.subscriptions: dict[str, MqttSubscription] | None = None
        self.inflight: dict[int, Delivery] | None = None
        """Sent and unfinished, by packet id, in the order of sending."""
        self.awaiting_pubcomp: set[int] | None = None
        """Those of `inflight` whose PUBREC has come."""
        self.received: dict[int, int] | None = None
        """Packet ids of QoS 2 messages that have come and whose PUBREL has not (§4.3.3), and which message it was: its
        checksum (where this ends with the connection, its packet's hash), or UNKNOWN."""
        self.kept_ids: set[int] | None = None
        """Packet ids of deliveries of QoS 1 that the store knows: an earlier run stopped in order while they were out."""
        self.left_ids: set[int] | None = None
        """Packet ids of QoS 2 messages that an earlier run sent, and that it did not keep: the client may hold such an id
        (§4.3.3), so it means no other message before its PUBCOMP."""
        self.last_packet_id = 0
        """The one that was given last."""
        self._queue: Queue | None = None
        self._consumer: Consumer | None = None
        self._json: JsonView | None = None
        self._replays: Replays | None = None
        self.resending: Resending | None = None
        """What this connection has not been sent again yet."""
        self.congested = True

    @property
    def key(self) -> QueueKey:
        """Its queue's key in the broker."""
        return QueueKey(SESSION, self.client_id, "")

    @property
    def queued(self) -> int:
        """Messages that wait to be sent."""
        return 0 if self._queue is None else self._queue.waiting

    # -- subscribing

    def subscribe(
        self, filter: Filter, qos: int, no_local: bool, retain_as_published: bool, identifier: int
    ) -> MqttBinding:
        """Add a subscription or replace the options of the same filter (§3.8.4).  Raises LimitReached."""
        if self.subscriptions is None:
            self.subscriptions = {}
        if filter.text in self.subscriptions:
            return self._subscribe(filter, qos, no_local, retain_as_published, identifier)
        size = filter.size
        if self.connector is None:
            # An earlier run has granted it.
            self.share.count(size)
        else:
            self.share.claim(size)
        try:
            return self._subscribe(filter, qos, no_local, retain_as_published, identifier)
        except LimitReached:
            self.share.count(-size)
            raise

    def _subscribe(
        self, filter: Filter, qos: int, no_local: bool, retain_as_published: bool, identifier: int
    ) -> MqttBinding:
        subscriptions = self.subscriptions
        assert subscriptions is not None
        binding = MqttBinding(
            filter.pattern,
            self._json_view() if filter.json else self,
            self.publisher if no_local else None,
            qos,
            retain_as_published,
            [identifier] if identifier else [],
            owner=self.publisher,
            json=filter.json,
        )
        consumer: Consumer | None = None
        # What may be refused comes first: what there was stays then.
        if filter.queue:
            queue = self.broker.queue(filter.queue, maker=self.publisher)
            consumer = Consumer(queue, self, self.credit, qos == 0, binding)
        elif filter.group:
            consumer = Consumer(self._shared_queue(filter), self, self.credit, qos == 0, binding)
        elif qos:
            self.ensure_queue()
        before = subscriptions.pop(filter.text, None)
        if consumer is None:
            if before is not None:
                self._unbind(before)
            # The same filter again adds nothing.
            self.broker.bind(binding, self._asker if before is None else None)
        subscription = MqttSubscription(filter, binding, consumer)
        subscriptions[filter.text] = subscription
        journal.note_subscription(self, subscription)
        if consumer is not None:
            consumer.queue.attach(consumer)
        if before is not None and before.consumer is not None:
            # Not earlier: a shared subscription without members would lose what waits in it [MQTT-3.8.4-3].
            before.consumer.queue.detach(before.consumer)
        return binding

    @property
    def _asker(self) -> Publisher | None:
        """Who asks for a subscription: nobody where an earlier run has left it."""
        return None if self.connector is None else self.publisher

    def unsubscribe(self, text: str) -> bool:
        """Drop a subscription; False when there was none.  What was sent stays to be finished (§3.10.4)."""
        if self.subscriptions is None:
            return False
        subscription = self.subscriptions.pop(text, None)
        if subscription is None:
            return False
        journal.forget_subscription(self, text)
        self._undo(subscription)
        return True

    def _undo(self, subscription: MqttSubscription) -> None:
        self.share.count(-subscription.filter.size)
        consumer = subscription.consumer
        if consumer is None:
            self._unbind(subscription)
        else:
            self._leave(subscription.filter, consumer)

    def _json_view(self) -> "JsonView":
        """One for all `$json/` filters, so that overlapping ones give one copy."""
        if self._json is None:
            self._json = JsonView(self)
        return self._json

    def _unbind(self, subscription: MqttSubscription) -> None:
        """Nothing more comes through a subscription to topics, its retained messages included."""
        binding = subscription.binding
        self.broker.unbind(binding)
        if self._replays is not None:
            self._replays.drop(binding)

    def _shared_queue(self, filter: Filter) -> Queue:
        key = share_key(filter.group, filter.pattern)
        queue = self.broker.bound_queue(key, self.broker.policy)
        if not queue.bindings:
            # The members' own options decide on delivery; the queue takes everything.
            try:
                self.broker.bind_queue(queue, Binding(filter.pattern, queue), self._asker)
            except LimitReached:
                if queue.depth == 0:
                    self.broker.delete_queue(queue)
                raise
        return queue

    def _leave(self, filter: Filter, consumer: Consumer) -> None:
        queue = consumer.queue
        queue.detach(consumer)
        if filter.group and queue.consumers_count == 0:
            self.broker.delete_queue(queue)

    def ensure_queue(self) -> None:
        """The queue for QoS 1 and 2 messages; its consumer is this session for as long as it lives."""
        if self._queue is None:
            settings = self.settings
            policy = QueuePolicy(
                settings.queued_messages_max,
                settings.queued_bytes_max,
                settings.when_full,
                deliveries_max=0,
                dead_letters=self.broker.policy.dead_letters,
                durable=self.expiry_s > 0,
                buries_refused_only=True,
                topic_wait_max_ms=self.broker.policy.topic_wait_max_ms,
            )
            # One that an earlier run left has the broker's policy so far, and nobody's.
            self._queue = self.broker.bound_queue(self.key, policy, self)
            self._queue.adopt(policy, self)
            self._consumer = Consumer(self._queue, self, self.credit, False)
            self._queue.attach(self._consumer)

    def owns(self, queue: Queue) -> bool:
        """Is it the queue of this session, and of nobody else?"""
        return queue is self._queue

    def consumer_of(self, queue: Queue) -> Consumer | None:
        """The one through which it reads `queue`; None when it does not."""
        if queue is self._queue:
            return self._consumer
        if self.subscriptions is not None:
            for subscription in self.subscriptions.values():
                consumer = subscription.consumer
                if consumer is not None and consumer.queue is queue:
                    return consumer
        return None

    # -- Sink: messages of the topics it subscribed to

    def offer(self, message: Message, binding: Binding) -> int:
        """See Sink.  QoS 0 goes straight to the connection, or nowhere when there is none (§3.1.2.11.2 allows it)."""
        assert isinstance(binding, MqttBinding)
        if message.qos == 0 or binding.qos == 0:
            connector = self.connector
            if binding.is_own(message.publisher):
                return NOTHING
            if connector is not None:
                connector.send_qos0(message, binding)
                return NOTHING
            if not self.settings.queue_qos0 or not self._has_queue():
                return NOTHING
        queue = self._queue
        if queue is None:
            # It has ended, and this subscription is still to be undone.
            return NOTHING
        return queue.offer(message, binding)

    def _has_queue(self) -> bool:
        """Have the queue made, for a message; False, and counted, if that cannot be, which is no fault of who sent it."""
        if self.ended:
            return False
        try:
            self.ensure_queue()
        except LimitReached:
            self.broker.counters.dropped_full += 1
            return False
        return True

    def passes(self, message: Message, binding: Binding) -> bool:
        """See Sink."""
        assert isinstance(binding, MqttBinding)
        return (message.qos == 0 or binding.qos == 0) and self.connector is not None

    def refuser(self, message: Message, binding: Binding) -> Queue | None:
        """See Sink."""
        queue = self._queue
        return None if queue is None or self.passes(message, binding) else queue.refuser(message, binding)

    def keeps_waiting(self, publisher: Publisher, persistent: bool) -> bool:
        """See Sink."""
        connector = self.connector
        queue = self._queue
        waits = connector is not None and connector.keeps_waiting(publisher)
        return (queue is not None and queue.keeps_waiting(publisher, persistent)) or waits

    def merge(self, bindings: list[Binding]) -> Binding:
        """One copy for overlapping filters: the highest QoS, all identifiers (§3.3.4)."""
        return merged_bindings(bindings, self, self.publisher, False)

    # -- Outlet: messages of its queues

    def holds_up(self) -> None:
        """See Outlet."""
        if self.connector is not None:
            self.connector.give_up(self.broker.now_ms, TAKES_NOTHING)

    def broke(self, error: Exception) -> None:
        """See Outlet."""
        if self.connector is not None:
            self.connector.broke(error)

    def deliver(self, delivery: Delivery) -> None:
        """See Outlet.  Gives the delivery a packet id and sends it."""
        connector = self.connector
        assert connector is not None
        binding = binding_of(delivery)
        message = delivery.message
        qos = min(message.qos, binding.qos)
        if qos == 0:
            connector.send_qos0(message, binding, delivery.failures, delivery.redelivered)
            consumer = delivery.consumer
            assert consumer is not None
            if not consumer.automatic:
                delivery.settle(ACCEPTED)
            return
        packet_id = self._take_packet_id(delivery)
        position = NOTHING
        if qos == 2:
            # After a crash the client must get it under the same packet id, or it could take it for another.
            position = journal.note_sent(self, packet_id, delivery, journal.AT_QOS_2)
        if not connector.send_delivery(delivery, binding, qos, packet_id, delivery.suspect, position):
            self.skip(packet_id)

    def skip(self, packet_id: int) -> None:
        """A message above the client's Maximum Packet Size is done with, as if it had been sent (§3.1.2.11.4).

        One that came from a queue of everybody's is not lost for that: it goes to the dead letters.
        """
        assert self.inflight is not None
        delivery = self.inflight.pop(packet_id)
        self._finish(packet_id, delivery, UNREPRESENTABLE)

    def skip_late(self, packet_id: int) -> None:
        """The same of one whose size is known only now: it counted as sent, and the client may have had it before."""
        if self.awaited(packet_id) in (PUBACK, PUBREC):
            self.skip(packet_id)
            if self.resending is not None:
                self.resending.freed(packet_id)

    def _finish(self, packet_id: int, delivery: Delivery, outcome: int) -> None:
        """The exchange is over, and so is what the store knows of it, in one step."""
        if not self.noted:
            delivery.settle(outcome)
            return
        store = self.broker.store
        store.begin()
        try:
            self._finish_noted(packet_id, delivery, outcome)
        finally:
            store.end()

    def _finish_noted(self, packet_id: int, delivery: Delivery, outcome: int) -> None:
        if self._is_noted(packet_id, delivery):
            journal.forget_sent(self, packet_id)
            if self.kept_ids is not None:
                self.kept_ids.discard(packet_id)
        delivery.settle(outcome)

    def _is_noted(self, packet_id: int, delivery: Delivery) -> bool:
        """Does the store know under which packet id it was sent?"""
        if min(delivery.message.qos, binding_of(delivery).qos) == 2:
            return True
        return delivery.stored and self.kept_ids is not None and packet_id in self.kept_ids

    def _take_packet_id(self, delivery: Delivery) -> int:
        """The next free packet id, now in use for `delivery`.  Credit keeps fewer in flight than there are ids."""
        inflight = self.inflight
        if inflight is None:
            inflight = self.inflight = {}
        packet_id = self.last_packet_id
        while True:
            packet_id = 1 if packet_id >= PACKET_ID_MAX else packet_id + 1
            if packet_id not in inflight and (self.left_ids is None or packet_id not in self.left_ids):
                break
        self.last_packet_id = packet_id
        inflight[packet_id] = delivery
        return packet_id

    def awaited(self, packet_id: int) -> int:
        """The packet type with which the client is to go on (§4.3): PUBACK, PUBREC or PUBCOMP; 0: no such exchange."""
        delivery = None if self.inflight is None else self.inflight.get(packet_id)
        return 0 if delivery is None else self._awaited(packet_id, delivery)

    def _awaited(self, packet_id: int, delivery: Delivery) -> int:
        if self.awaiting_pubcomp is not None and packet_id in self.awaiting_pubcomp:
            return PUBCOMP
        return PUBREC if delivery.message.qos == 2 and binding_of(delivery).qos == 2 else PUBACK

    def acknowledged(self, packet_id: int, refused: bool, by: int) -> bool:
        """A PUBACK or PUBCOMP came, or a PUBREC that refuses: `by` is its packet type.

        False when the exchange waits for another one.  Where none is open there is nothing to be done.
        """
        delivery = None if self.inflight is None else self.inflight.get(packet_id)
        if delivery is None:
            if self.left_ids is not None and packet_id in self.left_ids and by == PUBCOMP:
                self.left_ids.discard(packet_id)
                journal.forget_sent(self, packet_id)
            return True
        if self._awaited(packet_id, delivery) != by:
            return False
        if not (refused and delivery.message.hollow):
            # Else refused before it was sent again: it goes to the dead letters with its body, so it is asked once more.
            self._over(packet_id, delivery, refused)
        return True

    def give_up(self, packet_id: int) -> None:
        """What is to be sent again cannot be had any more."""
        if self.inflight is not None and packet_id in self.inflight:
            self._over(packet_id, self.inflight[packet_id], False)

    def _over(self, packet_id: int, delivery: Delivery, refused: bool) -> None:
        assert self.inflight is not None
        del self.inflight[packet_id]
        if self.awaiting_pubcomp is not None:
            self.awaiting_pubcomp.discard(packet_id)
        self._finish(packet_id, delivery, REJECTED if refused else ACCEPTED)
        if self.resending is not None:
            self.resending.freed(packet_id)
        if self._replays is not None:
            self.go_on_replaying()

    def note_pubrec(self, packet_id: int) -> None:
        """The client has the QoS 2 message, which is in flight."""
        assert self.inflight is not None
        if self.awaiting_pubcomp is None:
            self.awaiting_pubcomp = set()
        self.awaiting_pubcomp.add(packet_id)
        if self.noted:
            journal.note_sent(self, packet_id, self.inflight[packet_id], journal.PUBREC_CAME)

    # -- connections come and go

    def connected(self, connector: "MqttConnector", receive_maximum: int) -> int:
        """A connection serves it from now on; `resume` starts the deliveries.  Returns the position to wait for."""
        self.connector = connector
        self.publisher.valve = connector
        self.ended_at_ms = 0
        self.will_due_ms = 0
        self.credit.available = receive_maximum - (0 if self.inflight is None else len(self.inflight))
        if self.broker.store.keeps:
            if self.expiry_s:
                self._begin_noting()
            else:
                self.will_noted = self.will is not None
        return journal.note_session(self)

    def set_will(self, will: "WillMessage | None") -> None:
        """Have this will from now on, or none.  Raises LimitReached, and keeps the one it has."""
        before = 0 if self.will is None else self.will.size
        self.share.claim((0 if will is None else will.size) - before)
        self.will = will

    def keep_will(self, will: "WillMessage") -> None:
        """The will that an earlier run has granted."""
        self.share.count(will.size)
        self.will = will

    def _begin_noting(self) -> None:
        """The session outlives its connection, so it is to outlive the process."""
        if self._queue is not None:
            self._queue.policy.durable = True
        self.noted = True
        self.will_noted = False

    def resume(self) -> None:
        """Send again what is unfinished, in its order (§4.4), then what has been waiting."""
        inflight = self.inflight
        self.resending = None
        if inflight or self.left_ids:
            self.resending = Resending(self, self.credit.available + len(inflight or ()))
            self.resending.begin()
        self.went_on()

    def went_on(self) -> None:
        """What was to be sent again has been, or more of it: what has been waiting may follow."""
        if self.resending is not None and self.resending.finished:
            self.resending = None
        self.look_at_congestion()
        if not self.congested:
            self.credit.wake()
            self.go_on_replaying()

    def look_at_congestion(self) -> None:
        """Whether its queues are to hold: as long as the client does not keep up, or something older is to be sent first."""
        connector = self.connector
        resending = self.resending
        self.congested = (
            connector is None or connector.congested or (resending is not None and resending.waits)
        )

    # -- retained messages for new subscriptions

    def replay(self, replay: Replay) -> None:
        """Send what it holds, at the client's pace."""
        if self._replays is None:
            self._replays = Replays(self)
        self._replays.add(replay)
        self.go_on_replaying()

    def go_on_replaying(self) -> None:
        """Send retained messages as long as the client takes them, as many as one turn may bring."""
        replays = self._replays
        if replays is not None:
            replays.go_on()
            if replays.over:
                self._replays = None

    def disconnected(self, now_ms: int) -> None:
        """Its connection is gone; what comes from now on waits."""
        self.connector = None
        self.congested = True
        self.resending = None
        self.ended_at_ms = now_ms
        broker = self.broker
        if self.inflight and broker.resident_bytes >= broker.limits.memory_max:
            for delivery in self.inflight.values():
                # Of queues that others read too, they may be given it.
                if self.owns(delivery.queue):
                    let_go(delivery)

    # -- its end

    def expires_at_ms(self) -> int:
        """When it ends if nobody connects; 0 for never, or while connected."""
        if self.ended_at_ms == 0 or self.expiry_s == NEVER:
            return 0
        return self.ended_at_ms + self.expiry_s * 1000

    def due_ms(self) -> int:
        """When something is due if nobody connects: its will or its end; 0 for never, or while connected."""
        expires_at_ms = self.expires_at_ms()
        if self.ended_at_ms == 0 or self.will_due_ms == 0:
            return expires_at_ms
        return min(self.will_due_ms, expires_at_ms) if expires_at_ms else self.will_due_ms

    def note_unfinished(self) -> None:
        """The run ends in order: the next one goes on with what is out, under its packet ids (§4.4).

        QoS 2 is known already.  Of QoS 1 nothing is written before: after a crash it gets new packet ids.
        """
        for packet_id, delivery in (self.inflight or {}).items():
            if delivery.stored and not self._is_noted(packet_id, delivery):
                journal.note_sent(self, packet_id, delivery, journal.AT_QOS_1)

    def end(self) -> None:
        """Forget everything (§4.1) but the subscriptions: see `forget_subscriptions`.

        What others may have instead goes back to its queue.
        """
        self.ended = True
        if self._replays is not None:
            self._replays.drop(None)
            self._replays = None
        journal.forget_session(self)
        self.share.count(-wire_bytes(self.client_id))
        self.set_will(None)
        self.awaiting_pubcomp = None
        self.received = None
        queue = self._queue
        if queue is not None:
            self.broker.delete_queue(queue)
            self._queue = None
            self._consumer = None
        unfinished = self.inflight
        self.inflight = None
        if unfinished is not None:
            # Those of its own queue are gone with that.
            done: list[Delivery] = []
            left: list[Delivery] = []
            for delivery in unfinished.values():
                (left if delivery.queue is not queue and comes_again(delivery) else done).append(delivery)
            be_done_with(done)
            give_back(left, True)

    def forget_subscriptions(self, count_max: int, successor: "MqttSession | None") -> bool:
        """Undo so many subscriptions of an ended session; answers whether there are more.

        `successor` is the session that its client has now: what it has noted under the same key stays.
        """
        subscriptions = self.subscriptions
        assert subscriptions is not None
        for _ in range(min(count_max, len(subscriptions))):
            text, subscription = subscriptions.popitem()
            if successor is None or successor.subscriptions is None or text not in successor.subscriptions:
                journal.forget_subscription(self, text)
            self._undo(subscription)
        return len(subscriptions) > 0
