"""One MQTT connection: packets to calls on the core, deliveries to packets."""

from typing import Final, final

from gateway.connectors.base import Connector, Counters, Limits, Turn
from gateway.connectors.mqtt import journal
from gateway.connectors.mqtt.addresses import NAME_REMEMBERED_MAX, Filter, destination_of, filter_of
from gateway.connectors.mqtt.handshake import Handshake
from gateway.connectors.mqtt.mapping import (
    MqttOrigin,
    acknowledged_frame,
    fitted_frame,
    has_items,
    message_from,
    qos0_frame,
    take_items,
)
from gateway.connectors.mqtt.properties_out import MqttTarget
from gateway.connectors.mqtt.replay import Replay
from gateway.connectors.mqtt.session import MqttBinding, MqttSession
from gateway.connectors.mqtt.sessions import Sessions
from gateway.connectors.mqtt.settings import ACKNOWLEDGE, MqttSettings
from gateway.connectors.text import is_utf8
from gateway.core.delivery import Delivery
from gateway.core.destination import QUEUE, TEMPORARY_PREFIX, TOPIC, InvalidName
from gateway.core.message import Message
from gateway.core.pattern import literal
from gateway.core.ports import NOTHING
from gateway.core.queue import REFUSED
from gateway.core.router import UNROUTED, Broker, LimitReached
from gateway.core.topics import Topic
from protocols.mqtt.alias import ALIAS_BYTES, TopicAliases
from protocols.mqtt.codec import encode_puback, encode_pubcomp, encode_pubrec, encode_pubrel
from protocols.mqtt.connection import MqttConnection, MqttLimits
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.frames import (
    Auth,
    Connect,
    ConnectionFailed,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)
from protocols.mqtt.properties import Properties, decode_properties
from protocols.mqtt.topics import filter_error

TOPICS_SHARED_MAX: Final = 65_536
"""Topics whose lookup is remembered for all connections."""

TOPICS_REMEMBERED_MAX: Final = 4_096
"""Topics whose lookup and access check are remembered for one connection, where there are rules."""

PACKET_SIZE_MAX: Final = 268_435_460
"""No MQTT packet is larger than this (§2.1.4)."""

ACKNOWLEDGEMENT_BYTES: Final = 20
"""What there is in an acknowledgement beside its reason string, at most."""

_ELSEWHERE: Final = (ReasonCode.USE_ANOTHER_SERVER, ReasonCode.SERVER_MOVED)
"""Reasons that come with a Server Reference (§4.11)."""

UNSPECIFIED: Final = 0x80
"""The first reason code that is a failure (§2.4)."""


@final
class MqttConnector(Connector):
    """See the module and Connector."""

    __slots__ = (
        "_aliases",
        "_explains",
        "_forwards",
        "_handshake",
        "_itemless",
        "_packet_size_max",
        "_refusing",
        "_replays",
        "_target",
        "_topics",
        "_version",
        "_wire",
        "session",
        "sessions",
        "settings",
    )

    def __init__(
        self,
        broker: Broker,
        turn: Turn,
        limits: Limits,
        counters: Counters,
        peer: str,
        sessions: Sessions,
        settings: MqttSettings,
        topics: dict[str, Topic],
        now_ms: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self.sessions = sessions
        self.settings = settings
        self._wire = MqttConnection(
            MqttLimits(
                max_packet_size=limits.max_frame_size,
                connect_timeout_ms=limits.connect_timeout_ms,
                topic_alias_maximum=settings.topic_alias_maximum,
                levels=settings.accepted_levels,
                client_id_max_3_1=settings.client_id_max_3_1,
                control_characters=settings.control_characters,
            ),
            now_ms,
        )
        self._version = 0
        # Packets of this origin go to this client as they are: 3 before MQTT 5, else 5.
        self._forwards = 0
        # Properties in which nothing has a reserved name.
        self._itemless = b""
        self._packet_size_max = PACKET_SIZE_MAX
        # The client wants to be told why (Request Problem Information, §3.1.2.11.7).
        self._explains = False
        self._aliases: TopicAliases | None = None
        # Shared by all connections, unless what one client may do another may not.
        self._topics: dict[str, Topic] = {} if broker.authorizer.restricts_publish else topics
        self._refusing = False
        self._replays: list[Replay] | None = None
        self._handshake: Handshake | None = None
        self.session: MqttSession | None = None

    # -- driven by net

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        """See Connector."""
        self.counters.bytes_in += len(data)
        self._take(data, now_ms)
        while self._wire.more and not self.closing:
            self._take(b"", now_ms)
        self._collect()

    def _take(self, data: bytes, now_ms: int) -> None:
        packets = self._wire.receive_data(data, now_ms)
        count = len(packets)
        admitted = self.admit(count, len(data), now_ms)
        if count:
            for packet in packets if admitted == count else packets[:admitted]:
                if isinstance(packet, Publish):
                    self._on_publish(packet)
                else:
                    self._on_packet(packet, now_ms)
                if self.closing:
                    return
            if admitted < count:
                self.on_rate_exceeded()

    def eof(self, now_ms: int) -> None:
        """See Connector."""
        self._end_session(now_ms)
        self.detach()

    def next_deadline_ms(self) -> int | None:
        """See Connector."""
        return self._wire.next_deadline_ms()

    def deadline(self, now_ms: int) -> None:
        """See Connector."""
        for packet in self._wire.handle_deadline(now_ms):
            self._on_packet(packet, now_ms)
        self._collect()

    def shutdown(self, now_ms: int) -> None:
        """See Connector."""
        elsewhere = self.settings.server_reference != ""
        self._say_goodbye(ReasonCode.USE_ANOTHER_SERVER if elsewhere else ReasonCode.SERVER_SHUTTING_DOWN)

    def dismiss(self, why: str, now_ms: int) -> None:
        """See Connector."""
        self.failure = why
        self._say_goodbye(ReasonCode.ADMINISTRATIVE_ACTION)

    def refuse(self, now_ms: int) -> None:
        """See Connector."""
        self._refusing = True

    def reading_changed(self) -> None:
        """See Connector."""
        self._wire.listen(not self.throttled, self.broker.now_ms)

    def resumed(self) -> None:
        """See Connector."""
        if self.session is not None:
            self.session.credit.wake()
            self.session.go_on_replaying()

    def congestion_changed(self) -> None:
        """See Connector."""
        if self.session is not None:
            self.session.congested = self.congested

    def on_rate_exceeded(self) -> None:
        """See Connector."""
        self.counters.limit_hits += 1
        self.fail(ReasonCode.MESSAGE_RATE_TOO_HIGH, "sends faster than its limit")

    # -- packets

    def _on_packet(self, packet: Packet, now_ms: int) -> None:
        if isinstance(packet, Publish):
            self._on_publish(packet)
        elif isinstance(packet, Puback):
            self._session().acknowledged(packet.packet_id, packet.reason_code >= UNSPECIFIED)
        elif isinstance(packet, Pubrec):
            self._on_pubrec(packet)
        elif isinstance(packet, Pubrel):
            self._on_pubrel(packet)
        elif isinstance(packet, Pubcomp):
            self._session().acknowledged(packet.packet_id, False)
        elif isinstance(packet, Subscribe):
            self._on_subscribe(packet)
        elif isinstance(packet, Unsubscribe):
            self._on_unsubscribe(packet)
        elif isinstance(packet, Connect):
            self._on_connect(packet)
        elif isinstance(packet, Disconnect):
            self._on_disconnect(packet, now_ms)
        elif isinstance(packet, ConnectionFailed):
            self._on_failed(packet, now_ms)
        elif isinstance(packet, Auth):
            handshake = self._handshake
            assert handshake is not None
            handshake.on_auth(packet)

    def _session(self) -> MqttSession:
        session = self.session
        assert session is not None
        return session

    # -- connecting

    def _on_connect(self, connect: Connect) -> None:
        self._version = connect.protocol_version
        self._forwards = 5 if self._version == 5 else 3
        self._target = MqttTarget(
            self._version, self.limits.carry, self.limits.publish_identity, self.broker.counters
        )
        properties = connect.properties
        self._explains = self._version == 5 and (
            properties is None or properties.request_problem_information != 0
        )
        if properties is not None and properties.maximum_packet_size is not None:
            self._packet_size_max = properties.maximum_packet_size
        if self._refusing:
            self.refuse_connect(ReasonCode.QUOTA_EXCEEDED, "maximumConnections is reached")
            return
        self._handshake = Handshake(self, connect)
        self._handshake.begin()

    def identified(self, granted: bool, user: str | None) -> None:
        """See Connector."""
        handshake = self._handshake
        assert handshake is not None
        if granted:
            handshake.welcome(user, Properties())
        else:
            handshake.refuse(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "bad user name or password")

    def adopt(self, session: MqttSession, properties: Properties) -> None:
        """Become the session's connection, within what the CONNECT's properties allow us."""
        self.session = session
        self.publisher = session.publisher
        self._shut = session.publisher.held
        self._look_at_reading()
        aliases = min(properties.topic_alias_maximum or 0, self.settings.topic_alias_send_maximum)
        if aliases:
            self._aliases = TopicAliases(aliases)
        window = self.settings.inflight_max
        if self._version == 5:
            # Absent means 65,535 (§3.1.2.11.3); ours is the smaller.
            window = properties.receive_maximum or 65_535
        session.connected(self, min(window, self.limits.max_inflight))

    def send_connack(self, present: bool, answer: Properties) -> None:
        """Welcome the client; its keep-alive rules from now on."""
        handshake = self._handshake
        assert handshake is not None
        keep_alive_s = answer.server_keep_alive_s or handshake.connect.keep_alive_s
        self._wire.keep_alive_ms = keep_alive_s * 1000
        if keep_alive_s == 0 and self.limits.idle_timeout_ms:
            self._wire.keep_alive_ms = self.limits.idle_timeout_ms * 2 // 3
        self._wire.send_connack(present, ReasonCode.SUCCESS, answer if self._version == 5 else None)
        self._collect()

    def send_auth(self, reason: ReasonCode, answer: Properties) -> None:
        """Go on with an enhanced authentication, or end it."""
        self._wire.send_auth(reason, answer)
        self._collect()

    def refuse_connect(self, reason: ReasonCode, why: str) -> None:
        """CONNACK with a failure, then the end."""
        answer: Properties | None = None
        if self._version == 5:
            # A CONNACK may say why whether it was asked to or not (§3.1.2.11.7).
            answer = self._reason_string(why, 0)
            if self.settings.server_reference and reason in _ELSEWHERE:
                answer = answer or Properties()
                answer.server_reference = self.settings.server_reference
        self._wire.send_connack(False, reason, answer)
        self._collect()
        self.failure = why
        self.hang_up()

    def _why(self, why: str, codes: int = 1) -> Properties | None:
        """A reason string for an acknowledgement with so many codes, if the client wants one (§3.4.2.2.2)."""
        return self._reason_string(why, codes) if self._explains else None

    def _reason_string(self, why: str, codes: int) -> Properties | None:
        """A reason string, if the client has room for it [MQTT-3.2.2-19] and so on."""
        if self._packet_size_max < len(why.encode()) + codes + ACKNOWLEDGEMENT_BYTES:
            return None
        properties = Properties()
        properties.reason_string = why
        return properties

    # -- publishing

    def _on_publish(self, publish: Publish) -> None:
        items = False
        if publish.properties and publish.properties is not self._itemless:
            items = has_items(publish)
            if not items:
                # The decoder hands out the same object as long as the properties do not change.
                self._itemless = publish.properties
        if items:
            claimed = take_items(publish)
            user = self.publisher.user
            if claimed is not None and user is not None and claimed != user:
                self._refuse_publish(publish, ReasonCode.NOT_AUTHORIZED, "it claims to be from another user")
                return
        topic = self._topics.get(publish.topic)
        if topic is None:
            topic = self._resolve(publish)
            if topic is None:
                return
        self.counters.messages_in += 1
        if publish.retain and not self.settings.retain_available:
            self.fail(ReasonCode.RETAIN_NOT_SUPPORTED, "retained messages are not available")
            return
        if self.settings.check_payload_format and not self._is_what_it_says(publish):
            return
        broker = self.broker
        if publish.qos == 0:
            broker.publish(message_from(publish, topic.destination, broker, self.publisher, items), topic)
        elif self._begin_exchange(publish):
            message = message_from(publish, topic.destination, broker, self.publisher, items)
            if publish.qos == 1:
                self._confirm_publish(publish, broker.publish(message, topic))
                return
            # The message and its packet id are kept, or lost, together.
            broker.store.begin()
            try:
                self._confirm_publish(publish, broker.publish(message, topic))
            finally:
                broker.store.end()

    def _is_what_it_says(self, publish: Publish) -> bool:
        """Payload Format Indicator 1 says UTF-8 (§3.3.2.3.2); False when it lies, which has been dealt with."""
        if not publish.properties or decode_properties(publish.properties).payload_format != 1:
            return True
        if is_utf8(publish.payload()):
            return True
        self._refuse_publish(
            publish, ReasonCode.PAYLOAD_FORMAT_INVALID, "the payload is not the UTF-8 that it says it is"
        )
        return False

    def _resolve(self, publish: Publish) -> Topic | None:
        """The topic of a PUBLISH, looked up and checked; None when it was a queue's or was refused, and is dealt with."""
        try:
            destination = destination_of(publish.topic)
        except InvalidName as error:
            self._refuse_publish(publish, ReasonCode.TOPIC_NAME_INVALID, str(error))
            return None
        if not self.broker.authorizer.may_publish(self.publisher, destination):
            self._refuse_publish(publish, ReasonCode.NOT_AUTHORIZED, "not allowed to publish there")
            return None
        if destination.kind == QUEUE:
            self._publish_to_queue(publish, destination.name)
            return None
        topic = self.broker.topics.topic(destination.name)
        if len(publish.topic) > NAME_REMEMBERED_MAX:
            return topic
        topics = self._topics
        if len(topics) >= (
            TOPICS_REMEMBERED_MAX if self.broker.authorizer.restricts_publish else TOPICS_SHARED_MAX
        ):
            topics.clear()
        topics[publish.topic] = topic
        return topic

    def _publish_to_queue(self, publish: Publish, name: str) -> None:
        """PUBLISH to `$queue/NAME`; RETAIN means nothing there."""
        self.counters.messages_in += 1
        if publish.qos and not self._begin_exchange(publish):
            return
        try:
            queue = self.broker.queue(name)
        except LimitReached as error:
            self.counters.limit_hits += 1
            self._refuse_publish(publish, ReasonCode.QUOTA_EXCEEDED, str(error))
            return
        message = message_from(
            publish, destination_of(publish.topic), self.broker, self.publisher, has_items(publish)
        )
        message.retain = False
        store = self.broker.store
        store.begin()
        try:
            position = self.broker.enqueue(message, queue)
            if position == REFUSED:
                self._refuse_publish(publish, ReasonCode.QUOTA_EXCEEDED, "the queue is full")
            elif publish.qos:
                self._confirm_publish(publish, position)
        finally:
            store.end()

    def _begin_exchange(self, publish: Publish) -> bool:
        """Look whether a QoS 1 or 2 PUBLISH is to be published; False when it is a repeat, or too much."""
        if publish.qos > self.settings.qos_max:
            self.fail(ReasonCode.QOS_NOT_SUPPORTED, "the QoS is above the maximum")
            return False
        received = self._session().received
        if publish.qos == 2 and received is not None and publish.packet_id in received:
            # The message was published when it came first (§4.3.3, method B); only the answer was lost.
            # The answer may still wait for the message to be safe.
            self.confirm(self.broker.store.position, encode_pubrec(publish.packet_id, 0, self._version))
            return False
        if self._version == 5 and received is not None and publish.packet_id in received:
            # A QoS 2 exchange has it, which this PUBLISH of QoS 1 cannot be a part of (§2.2.1).
            self._refuse_publish(publish, ReasonCode.PACKET_IDENTIFIER_IN_USE, "the packet id is in use")
            return False
        unfinished = self.unconfirmed + (0 if received is None else len(received))
        if self._version == 5 and unfinished >= self.settings.receive_maximum:
            self.counters.limit_hits += 1
            self.fail(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, "more than Receive Maximum in flight")
            return False
        return True

    def _confirm_publish(self, publish: Publish, position: int) -> None:
        """PUBACK or PUBREC, once the message is safe."""
        reason = 0
        if position == REFUSED:
            self._refuse_publish(publish, ReasonCode.QUOTA_EXCEEDED, "the store is full")
            return
        if position == UNROUTED:
            position = NOTHING
            if self._version == 5:
                reason = ReasonCode.NO_MATCHING_SUBSCRIBERS.value
        if publish.qos == 1:
            self.confirm(position, encode_puback(publish.packet_id, reason, self._version))
            return
        position = max(position, self._note_received(publish.packet_id))
        self.confirm(position, encode_pubrec(publish.packet_id, reason, self._version))

    def _note_received(self, packet_id: int) -> int:
        """A QoS 2 message has come; the same packet id means the same message until its PUBREL (§4.3.3).

        Returns the position to wait for.
        """
        session = self._session()
        if session.received is None:
            session.received = set()
        session.received.add(packet_id)
        return journal.note_received(session, packet_id)

    def _refuse_publish(self, publish: Publish, reason: ReasonCode, why: str) -> None:
        """Answer a PUBLISH that is not taken.

        3.1.1 has no word for it but closing, or acknowledging what is thrown away (MQTT 3.1.1 §3.3.5).  The latter is
        for who may not publish there; a message that cannot be kept for want of room is never acknowledged.
        """
        version = self._version
        code = reason.value
        if version != 5:
            if reason != ReasonCode.NOT_AUTHORIZED or self.settings.publish_denied != ACKNOWLEDGE:
                self.fail(reason, why)
                return
            code = 0
        if publish.qos == 1:
            self.confirm(NOTHING, encode_puback(publish.packet_id, code, version, self._why(why)))
        elif publish.qos == 2:
            if code == 0:
                self._note_received(publish.packet_id)
            self.confirm(NOTHING, encode_pubrec(publish.packet_id, code, version, self._why(why)))
        self.broker.counters.discarded += 1

    def _on_pubrel(self, pubrel: Pubrel) -> None:
        session = self._session()
        received = session.received
        known = received is not None and pubrel.packet_id in received
        position = NOTHING
        if known and received is not None:
            received.discard(pubrel.packet_id)
            # Were it still known after a crash, the next message under this packet id would be taken for a repeat.
            position = journal.forget_received(session, pubrel.packet_id)
        reason = 0 if known or self._version != 5 else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND.value
        self.confirm(position, encode_pubcomp(pubrel.packet_id, reason, self._version))

    # -- subscribing

    def _on_subscribe(self, subscribe: Subscribe) -> None:
        session = self._session()
        codes: list[int] = []
        replays: list[tuple[MqttBinding, Filter]] = []
        for request in subscribe.requests:
            before = None if session.subscriptions is None else session.subscriptions.get(request.filter)
            code = self._subscribe_one(session, request, subscribe.subscription_id)
            codes.append(code)
            if (
                code < UNSPECIFIED
                and request.retain_handling != 2
                and not (before and request.retain_handling == 1)
            ):
                assert session.subscriptions is not None
                subscription = session.subscriptions[request.filter]
                if subscription.consumer is None:
                    replays.append((subscription.binding, subscription.filter))
        why = (
            None
            if max(codes) < UNSPECIFIED or self._version != 5
            else self._why(_explained(max(codes)), len(codes))
        )
        self._collect()
        self._wire.send_suback(subscribe.packet_id, codes, why)
        self._confirm_collected()
        # Retained messages follow the SUBACK, which some clients rely on.
        for binding, filter in replays:
            messages = self.broker.retained_for(filter.pattern, session.publisher)
            if messages:
                self._replay(Replay(binding.replaying(), messages))

    def _confirm_collected(self) -> None:
        """Write what the wire room wants to say once the session is safe as it is now."""
        position = self.broker.store.position if self._session().noted else NOTHING
        for frame in self._wire.data_to_send():
            self.confirm(position, frame)

    def _replay(self, replay: Replay) -> None:
        """Send retained messages, behind the SUBACK that may still wait."""
        if self.unconfirmed:
            if self._replays is None:
                self._replays = []
            self._replays.append(replay)
        else:
            self._session().replay(replay)

    def release_confirmations(self, position: int) -> bool:
        """See Connector."""
        more = super().release_confirmations(position)
        replays = self._replays
        if replays is not None and not more and self.session is not None:
            self._replays = None
            for replay in replays:
                self.session.replay(replay)
        return more

    def _subscribe_one(self, session: MqttSession, request: SubscriptionRequest, identifier: int) -> int:
        """The reason code of one filter: the granted QoS, or why not."""
        if filter_error(request.filter):
            return self._subscription_failed(ReasonCode.TOPIC_FILTER_INVALID)
        qos = min(request.qos, self.settings.qos_max)
        try:
            filter = filter_of(request.filter)
        except InvalidName:
            return self._subscription_failed(ReasonCode.TOPIC_FILTER_INVALID)
        kind = QUEUE if filter.queue else TOPIC
        pattern = literal(filter.queue) if filter.queue else filter.pattern
        # A temporary queue is read by its owner alone, which speaks another protocol.
        foreign = filter.queue.startswith(TEMPORARY_PREFIX)
        if foreign or not self.broker.authorizer.may_subscribe(
            self.publisher, kind, pattern, bool(filter.group)
        ):
            return self._subscription_failed(ReasonCode.NOT_AUTHORIZED)
        count = 0 if session.subscriptions is None else len(session.subscriptions)
        if count >= self.limits.max_subscriptions and (
            session.subscriptions is None or request.filter not in session.subscriptions
        ):
            self.counters.limit_hits += 1
            return self._subscription_failed(ReasonCode.QUOTA_EXCEEDED)
        try:
            session.subscribe(filter, qos, request.no_local, request.retain_as_published, identifier)
        except LimitReached:
            self.counters.limit_hits += 1
            return self._subscription_failed(ReasonCode.QUOTA_EXCEEDED)
        return qos

    def _subscription_failed(self, reason: ReasonCode) -> int:
        """MQTT 3.1.1 has one code for every failure (§3.9.3)."""
        return reason.value if self._version == 5 else UNSPECIFIED

    def _on_unsubscribe(self, unsubscribe: Unsubscribe) -> None:
        session = self._session()
        codes: list[int] = []
        for text in unsubscribe.filters:
            found = session.unsubscribe(text)
            codes.append(0 if found else ReasonCode.NO_SUBSCRIPTION_EXISTED.value)
        self._collect()
        self._wire.send_unsuback(unsubscribe.packet_id, codes)
        self._confirm_collected()

    # -- delivering

    def send_qos0(self, message: Message, binding: MqttBinding, failures: int = 0) -> None:
        """Send a QoS 0 delivery, or let the slow-consumer policy have it."""
        origin = message.origin
        if binding.plain and isinstance(origin, MqttOrigin) and origin.forwardable == self._forwards:
            frame = origin.publish.frame
        else:
            frame = qos0_frame(message, binding, self._target, self.broker.now_ms, failures)
        if len(frame) > self._packet_size_max:
            fitted = self._fitted(message, binding, 0, 0, False, failures)
            if fitted is None:
                return
            frame = fitted
        if self._aliases is not None and len(frame) + ALIAS_BYTES <= self._packet_size_max:
            frame = self._aliases.shorten(frame, not self.congested)
        self.counters.messages_out += 1
        if self.congested:
            self.hold_publisher(message.publisher)
        self.push(frame)

    def send_delivery(
        self, delivery: Delivery, binding: MqttBinding, qos: int, packet_id: int, dup: bool, position: int
    ) -> bool:
        """Send a QoS 1 or 2 delivery, once `position` is durable.

        False when it is larger than the client takes (§3.1.2.11.4).
        """
        frame = acknowledged_frame(
            delivery.message,
            binding,
            self._target,
            qos,
            packet_id,
            dup,
            self.broker.now_ms,
            delivery.failures,
        )
        if len(frame) > self._packet_size_max:
            fitted = self._fitted(delivery.message, binding, qos, packet_id, dup, delivery.failures)
            if fitted is None:
                return False
            frame = fitted
        waits = position > self.broker.store.durable
        if self._aliases is not None and len(frame) + ALIAS_BYTES <= self._packet_size_max:
            # Others will overtake one that waits: it must not be the one that says what an alias means.
            frame = self._aliases.shorten(frame, not waits)
        self.counters.messages_out += 1
        if waits:
            self.confirm(position, frame)
        else:
            self.push_sure(frame)
        return True

    def _fitted(
        self, message: Message, binding: MqttBinding, qos: int, packet_id: int, dup: bool, failures: int
    ) -> bytes | None:
        """A packet above the client's maximum, made to fit by leaving things out; None, and counted, if it cannot be."""
        frame = fitted_frame(
            message,
            binding,
            self._target,
            qos,
            packet_id,
            dup,
            self.broker.now_ms,
            failures,
            self._packet_size_max,
        )
        if frame is None:
            self.counters.dropped_large += 1
        return frame

    def send_pubrel(self, packet_id: int) -> None:
        """Go on with a QoS 2 delivery that the client has."""
        self._say_pubrel(packet_id, 0)

    def _say_pubrel(self, packet_id: int, reason: int) -> None:
        """PUBREL, once it is sure that the client's PUBREC will not be forgotten."""
        position = self.broker.store.position if self._session().noted else NOTHING
        self.confirm(position, encode_pubrel(packet_id, reason, self._version))

    def _on_pubrec(self, pubrec: Pubrec) -> None:
        session = self._session()
        if pubrec.reason_code >= UNSPECIFIED:
            session.acknowledged(pubrec.packet_id, True)
            return
        reason = 0
        if not session.note_pubrec(pubrec.packet_id) and self._version == 5:
            reason = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND.value
        self._say_pubrel(pubrec.packet_id, reason)

    # -- the end

    def _on_disconnect(self, disconnect: Disconnect, now_ms: int) -> None:
        session = self.session
        properties = disconnect.properties
        if session is None:
            # It gave up while it was being authenticated.
            self.hang_up()
            return
        if properties is not None and properties.session_expiry_s is not None:
            if session.expiry_s == 0 and properties.session_expiry_s != 0:
                # A session that was to end with the connection cannot be kept after all (§3.14.2.2.2).
                self.fail(ReasonCode.PROTOCOL_ERROR, "session expiry changed from 0")
                return
            session.expiry_s = min(properties.session_expiry_s, self.settings.session_expiry_max_s)
        if disconnect.reason_code == 0:
            # Every other reason leaves the will in force [MQTT-3.1.2-10].
            session.will = None
        self.closing = True
        self._end_session(now_ms)
        self.turn.mark(self)

    def _on_failed(self, failed: ConnectionFailed, now_ms: int) -> None:
        self.counters.protocol_errors += 1
        self.failure = failed.reason
        self._collect()
        self.closing = True
        self._end_session(now_ms)
        self.turn.mark(self)

    def taken_over(self, now_ms: int) -> None:
        """Another connection has come with the same client id (§3.1.4)."""
        self._say_goodbye(ReasonCode.SESSION_TAKEN_OVER)
        self._end_session(now_ms)

    def fail(self, reason: ReasonCode, why: str) -> None:
        """The client did what it may not: say why and close; its will is due."""
        self.counters.protocol_errors += 1
        self.failure = why
        self._say_goodbye(reason)

    def _say_goodbye(self, reason: ReasonCode) -> None:
        if self._version:
            properties: Properties | None = None
            if self.settings.server_reference and reason in _ELSEWHERE:
                properties = Properties()
                properties.server_reference = self.settings.server_reference
            self._wire.send_disconnect(reason, properties)
        self._collect()
        self.hang_up()

    def _end_session(self, now_ms: int) -> None:
        """The session goes on without this connection, if it was this one's."""
        session = self.session
        self.session = None
        if session is not None and session.connector is self:
            self.broker.now_ms = now_ms
            self.sessions.disconnected(session, now_ms)

    def _collect(self) -> None:
        """Take over what the wire room wants to say, behind what we have said."""
        wire = self._wire
        if wire.out:
            self.say_all(wire.data_to_send())
        if wire.closing and not self.closing:
            self.hang_up()


def _explained(code: int) -> str:
    """A reason code in words, for a reason string."""
    return ReasonCode(code).name.replace("_", " ").lower()
