"""One MQTT connection: packets to calls on the core, deliveries to packets."""

import secrets
from typing import Final, final

from gateway.connectors.base import Acceptor, Carriage, Connector, Counters, Limits, Service, Turn
from gateway.connectors.mqtt.addresses import Filter, destination_of, filter_of
from gateway.connectors.mqtt.handshake import Handshake
from gateway.connectors.mqtt.mapping import (
    MqttOrigin,
    WillMessage,
    acknowledged_frame,
    message_from,
    qos0_frame,
)
from gateway.connectors.mqtt.session import MqttBinding, MqttSession
from gateway.connectors.mqtt.sessions import Sessions
from gateway.connectors.mqtt.settings import NEVER, MqttSettings
from gateway.core.delivery import Delivery
from gateway.core.destination import QUEUE, InvalidName
from gateway.core.message import Message
from gateway.core.ports import NOTHING
from gateway.core.queue import REFUSED
from gateway.core.router import UNROUTED, Broker, LimitReached
from gateway.core.topics import Topic
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
from protocols.mqtt.properties import Properties
from protocols.mqtt.topics import filter_error

TOPICS_REMEMBERED_MAX: Final = 1_024
"""Topics whose lookup and access check a connection remembers."""

PACKET_SIZE_MAX: Final = 268_435_460
"""No MQTT packet is larger than this (§2.1.4)."""

UNSPECIFIED: Final = 0x80
"""The first reason code that is a failure (§2.4)."""


@final
class MqttConnector(Connector):
    """See the module and Connector."""

    __slots__ = (
        "_forwards",
        "_handshake",
        "_packet_size_max",
        "_refusing",
        "_sessions",
        "_settings",
        "_topics",
        "_version",
        "_wire",
        "session",
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
        now_ms: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self._sessions = sessions
        self._settings = settings
        self._wire = MqttConnection(
            MqttLimits(
                max_packet_size=limits.max_frame_size,
                connect_timeout_ms=limits.connect_timeout_ms,
                topic_alias_maximum=settings.topic_alias_maximum,
            ),
            now_ms,
        )
        self._version = 0
        # Packets of this origin go to this client as they are: 3 before MQTT 5, else 5.
        self._forwards = 0
        self._packet_size_max = PACKET_SIZE_MAX
        self._topics: dict[str, Topic] | None = None
        self._refusing = False
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
        if packets:
            for packet in packets:
                if isinstance(packet, Publish):
                    self._on_publish(packet)
                else:
                    self._on_packet(packet, now_ms)
                if self.closing:
                    return
            if self.over_rate(len(packets), len(data), now_ms):
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
        self._say_goodbye(ReasonCode.SERVER_SHUTTING_DOWN)

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
        if self._refusing:
            self.refuse_connect(ReasonCode.QUOTA_EXCEEDED, "maximumConnections is reached")
            return
        self._handshake = Handshake(self, connect)
        self._handshake.begin()

    def identified(self, granted: bool, user: str | None) -> None:
        """See Connector."""
        if granted:
            self.welcome(user, Properties())
        else:
            self.refuse_connect(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "bad user name or password")

    def welcome(self, user: str | None, answer: Properties) -> None:
        """The client is `user`: open its session and say so.  `answer` holds what is to be in the CONNACK already."""
        handshake = self._handshake
        assert handshake is not None
        connect = handshake.connect
        now_ms = self.broker.now_ms
        self.publisher.user = user
        will = None if connect.will is None else WillMessage(connect.will, self._version)
        if will is not None and not self._will_allowed(connect):
            return
        client_id = connect.client_id
        if not client_id:
            if self._version != 5 and not connect.clean_start:
                # MQTT 3.1.1 [MQTT-3.1.3-8]: return code 2.
                self.refuse_connect(
                    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "an empty client id needs a clean session"
                )
                return
            client_id = "auto-" + secrets.token_hex(12)
            answer.assigned_client_id = client_id
        try:
            session, present = self._sessions.open(client_id, connect.clean_start, now_ms)
        except LimitReached as error:
            self.counters.limit_hits += 1
            self.refuse_connect(ReasonCode.QUOTA_EXCEEDED, str(error))
            return
        session.will = will
        session.expiry_s = self._session_expiry(connect, handshake.properties, answer)
        session.publisher.user = user
        self._adopt(session, handshake.properties)
        self._negotiate(connect, answer)
        self._wire.send_connack(present, ReasonCode.SUCCESS, answer if self._version == 5 else None)
        self._collect()
        session.resume()

    def challenge(self, answer: Properties) -> None:
        """Go on with an enhanced authentication."""
        self._wire.send_auth(ReasonCode.CONTINUE_AUTHENTICATION, answer)
        self._collect()

    def reauthenticated(self, answer: Properties) -> None:
        """The client has shown anew who it is (§4.12.1)."""
        self._wire.send_auth(ReasonCode.SUCCESS, answer)
        self._collect()

    def _will_allowed(self, connect: Connect) -> bool:
        will = connect.will
        assert will is not None
        if will.qos > self._settings.qos_max:
            self.refuse_connect(ReasonCode.QOS_NOT_SUPPORTED, "the will's QoS is above the maximum")
            return False
        if will.retain and not self._settings.retain_available:
            self.refuse_connect(ReasonCode.RETAIN_NOT_SUPPORTED, "retained messages are not available")
            return False
        try:
            destination_of(will.topic)
        except InvalidName as error:
            self.refuse_connect(ReasonCode.TOPIC_NAME_INVALID, str(error))
            return False
        return True

    def _session_expiry(self, connect: Connect, properties: Properties, answer: Properties) -> int:
        """Seconds the session is kept without a connection; in 3.1.1 for good or not at all."""
        if self._version == 5:
            asked = properties.session_expiry_s or 0
        else:
            asked = 0 if connect.clean_start else NEVER
        granted = min(asked, self._settings.session_expiry_max_s)
        if granted != asked:
            answer.session_expiry_s = granted
        return granted

    def _adopt(self, session: MqttSession, properties: Properties) -> None:
        """Become the session's connection."""
        self.session = session
        self.publisher = session.publisher
        self.throttled = session.publisher.held
        if properties.maximum_packet_size is not None:
            self._packet_size_max = properties.maximum_packet_size
        window = self._settings.inflight_max
        if self._version == 5:
            # Absent means 65,535 (§3.1.2.11.3); ours is the smaller.
            window = min(properties.receive_maximum or 65_535, self.limits.max_inflight)
        session.connected(self, min(window, self.limits.max_inflight))

    def _negotiate(self, connect: Connect, answer: Properties) -> None:
        """What the client must know of our limits (§3.2.2.3), and the keep-alive that rules."""
        settings = self._settings
        keep_alive_s = connect.keep_alive_s
        maximum_s = settings.keep_alive_max_s
        if maximum_s and (keep_alive_s == 0 or keep_alive_s > maximum_s):
            keep_alive_s = maximum_s
            answer.server_keep_alive_s = maximum_s
        self._wire.keep_alive_ms = keep_alive_s * 1000
        if keep_alive_s == 0 and self.limits.idle_timeout_ms:
            self._wire.keep_alive_ms = self.limits.idle_timeout_ms * 2 // 3
        answer.receive_maximum = settings.receive_maximum
        answer.maximum_packet_size = self.limits.max_frame_size
        answer.topic_alias_maximum = settings.topic_alias_maximum
        if settings.qos_max < 2:
            answer.maximum_qos = settings.qos_max
        if not settings.retain_available:
            answer.retain_available = 0

    def refuse_connect(self, reason: ReasonCode, why: str) -> None:
        """CONNACK with a failure, then the end; after the CONNACK, DISCONNECT."""
        if self.session is not None:
            self.fail(reason, why)
            return
        answer: Properties | None = None
        if self._version == 5:
            answer = Properties()
            answer.reason_string = why
        self._wire.send_connack(False, reason, answer)
        self._collect()
        self.failure = why
        self.closing = True

    # -- publishing

    def _on_publish(self, publish: Publish) -> None:
        topics = self._topics
        topic = None if topics is None else topics.get(publish.topic)
        if topic is None:
            topic = self._resolve(publish)
            if topic is None:
                return
        self.counters.messages_in += 1
        if publish.retain and not self._settings.retain_available:
            self.fail(ReasonCode.RETAIN_NOT_SUPPORTED, "retained messages are not available")
            return
        broker = self.broker
        if publish.qos == 0:
            broker.publish(message_from(publish, topic.destination, broker, self.publisher), topic)
        elif self._begin_exchange(publish):
            message = message_from(publish, topic.destination, broker, self.publisher)
            self._confirm_publish(publish, broker.publish(message, topic))

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
        topics = self._topics
        if topics is None:
            topics = self._topics = {}
        elif len(topics) >= TOPICS_REMEMBERED_MAX:
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
        message = message_from(publish, destination_of(publish.topic), self.broker, self.publisher)
        message.retain = False
        position = self.broker.enqueue(message, queue)
        if position == REFUSED:
            self._refuse_publish(publish, ReasonCode.QUOTA_EXCEEDED, "the queue is full")
        elif publish.qos:
            self._confirm_publish(publish, position)

    def _begin_exchange(self, publish: Publish) -> bool:
        """Look whether a QoS 1 or 2 PUBLISH is to be published; False when it is a repeat, or too much."""
        if publish.qos > self._settings.qos_max:
            self.fail(ReasonCode.QOS_NOT_SUPPORTED, "the QoS is above the maximum")
            return False
        received = self._session().received
        if publish.qos == 2 and received is not None and publish.packet_id in received:
            # The message was published when it came first (§4.3.3, method B); only the answer was lost.
            self.confirm(NOTHING, encode_pubrec(publish.packet_id, 0, self._version))
            return False
        unfinished = self.unconfirmed + (0 if received is None else len(received))
        if self._version == 5 and unfinished >= self._settings.receive_maximum:
            self.counters.limit_hits += 1
            self.fail(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, "more than Receive Maximum in flight")
            return False
        return True

    def _confirm_publish(self, publish: Publish, position: int) -> None:
        """PUBACK or PUBREC, once the message is safe."""
        reason = 0
        if position == UNROUTED:
            position = NOTHING
            if self._version == 5:
                reason = ReasonCode.NO_MATCHING_SUBSCRIBERS.value
        if publish.qos == 1:
            self.confirm(position, encode_puback(publish.packet_id, reason, self._version))
            return
        session = self._session()
        if session.received is None:
            session.received = set()
        session.received.add(publish.packet_id)
        self.confirm(position, encode_pubrec(publish.packet_id, reason, self._version))

    def _refuse_publish(self, publish: Publish, reason: ReasonCode, why: str) -> None:
        """Answer a PUBLISH that is not taken.  3.1.1 has no word for it but closing (MQTT 3.1.1 §3.3.5)."""
        if self._version != 5:
            self.fail(reason, why)
        elif publish.qos == 1:
            self.confirm(NOTHING, encode_puback(publish.packet_id, reason.value, self._version))
        elif publish.qos == 2:
            self.confirm(NOTHING, encode_pubrec(publish.packet_id, reason.value, self._version))
        else:
            self.broker.counters.discarded += 1

    def _on_pubrel(self, pubrel: Pubrel) -> None:
        received = self._session().received
        known = received is not None and pubrel.packet_id in received
        if known and received is not None:
            received.discard(pubrel.packet_id)
        reason = 0 if known or self._version != 5 else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND.value
        self.confirm(NOTHING, encode_pubcomp(pubrel.packet_id, reason, self._version))

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
        self._wire.send_suback(subscribe.packet_id, codes)
        self._collect()
        # Retained messages follow the SUBACK, which some clients rely on.
        for binding, filter in replays:
            self._replay(session, binding, filter)

    def _subscribe_one(self, session: MqttSession, request: SubscriptionRequest, identifier: int) -> int:
        """The reason code of one filter: the granted QoS, or why not."""
        if filter_error(request.filter):
            return self._subscription_failed(ReasonCode.TOPIC_FILTER_INVALID)
        qos = min(request.qos, self._settings.qos_max)
        try:
            filter = filter_of(request.filter)
        except InvalidName:
            return self._subscription_failed(ReasonCode.TOPIC_FILTER_INVALID)
        kind = QUEUE if filter.queue else 1
        if not self.broker.authorizer.may_subscribe(self.publisher, kind, filter.pattern):
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

    def _replay(self, session: MqttSession, binding: MqttBinding, filter: Filter) -> None:
        """Send the last values of the topics under a new subscription (§3.8.4)."""
        messages = self.broker.retained_for(filter.pattern, session.publisher)
        if messages:
            replaying = binding.replaying()
            for message in messages:
                session.offer(message, replaying)

    def _on_unsubscribe(self, unsubscribe: Unsubscribe) -> None:
        session = self._session()
        codes: list[int] = []
        for text in unsubscribe.filters:
            found = session.unsubscribe(text)
            codes.append(0 if found else ReasonCode.NO_SUBSCRIPTION_EXISTED.value)
        self._wire.send_unsuback(unsubscribe.packet_id, codes)

    # -- delivering

    def send_qos0(self, message: Message, binding: MqttBinding) -> None:
        """Send a QoS 0 delivery, or let the slow-consumer policy have it."""
        origin = message.origin
        if binding.plain and isinstance(origin, MqttOrigin) and origin.forwardable == self._forwards:
            frame = origin.publish.frame
        else:
            frame = qos0_frame(message, binding, self._version, self.broker.now_ms)
        if len(frame) > self._packet_size_max:
            self.counters.dropped_slow += 1
            return
        self.counters.messages_out += 1
        if self.congested:
            self.hold_publisher(message.publisher)
        self.push(frame)

    def send_delivery(
        self, delivery: Delivery, binding: MqttBinding, qos: int, packet_id: int, dup: bool
    ) -> bool:
        """Send a QoS 1 or 2 delivery; False when it is larger than the client takes (§3.1.2.11.4)."""
        frame = acknowledged_frame(
            delivery.message, binding, self._version, qos, packet_id, dup, self.broker.now_ms
        )
        if len(frame) > self._packet_size_max:
            self.counters.dropped_slow += 1
            return False
        self.counters.messages_out += 1
        self.push_sure(frame)
        return True

    def send_pubrel(self, packet_id: int) -> None:
        """Go on with a QoS 2 delivery that the client has."""
        self.say(encode_pubrel(packet_id, 0, self._version))

    def _on_pubrec(self, pubrec: Pubrec) -> None:
        session = self._session()
        if pubrec.reason_code >= UNSPECIFIED:
            session.acknowledged(pubrec.packet_id, True)
            return
        reason = 0
        if not session.note_pubrec(pubrec.packet_id) and self._version == 5:
            reason = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND.value
        self.say(encode_pubrel(pubrec.packet_id, reason, self._version))

    # -- the end

    def _on_disconnect(self, disconnect: Disconnect, now_ms: int) -> None:
        session = self._session()
        properties = disconnect.properties
        if properties is not None and properties.session_expiry_s is not None:
            if session.expiry_s == 0 and properties.session_expiry_s != 0:
                # A session that was to end with the connection cannot be kept after all (§3.14.2.2.2).
                self.fail(ReasonCode.PROTOCOL_ERROR, "session expiry changed from 0")
                return
            session.expiry_s = min(properties.session_expiry_s, self._settings.session_expiry_max_s)
        if disconnect.reason_code != ReasonCode.DISCONNECT_WITH_WILL.value:
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
        if self.session is not None:
            self._wire.send_disconnect(reason, None)
        self._collect()
        self.closing = True
        self.turn.mark(self)

    def _end_session(self, now_ms: int) -> None:
        """The session goes on without this connection, if it was this one's."""
        session = self.session
        self.session = None
        if session is not None and session.connector is self:
            self.broker.now_ms = now_ms
            self._sessions.disconnected(session, now_ms)

    def _collect(self) -> None:
        """Take over what the wire room wants to say, behind what we have said."""
        wire = self._wire
        if wire.out:
            for frame in wire.data_to_send():
                self.say(frame)
        if wire.closing and not self.closing:
            self.closing = True
            self.turn.mark(self)


@final
class MqttAcceptor(Acceptor):
    """Makes connectors for one MQTT listener."""

    __slots__ = ("_service",)

    def __init__(self, name: str, protocol: str, limits: Limits, service: "MqttService") -> None:
        super().__init__(name, protocol, limits)
        self._service = service

    def accept(self, peer: str, turn: Turn, now_ms: int) -> Connector:
        """See Acceptor."""
        service = self._service
        return MqttConnector(
            service.broker, turn, self.limits, self.counters, peer, service.sessions, service.settings, now_ms
        )


@final
class MqttService(Service):
    """MQTT on one broker: the sessions, shared by its listeners."""

    __slots__ = ("broker", "sessions", "settings")

    def __init__(self, broker: Broker, settings: MqttSettings) -> None:
        self.broker = broker
        self.settings = settings
        self.sessions = Sessions(broker, settings)

    def acceptor(self, name: str, scheme: str, limits: Limits) -> Acceptor:
        """See Service."""
        return MqttAcceptor(name, scheme, limits, self)

    def carriage(self) -> Carriage | None:
        """See Service.  MQTT 5.0 §6: binary frames only, subprotocol `mqtt`; MQTT 3.1 said `mqttv3.1`."""
        return Carriage(("mqtt", "mqttv3.1"), False, 2, (b"\x10",))

    def tick(self, now_ms: int) -> None:
        """See Service."""
        self.sessions.tick(now_ms)

    def stats(self) -> dict[str, int]:
        """See Service."""
        sessions = self.sessions
        return {
            "mqtt_sessions": len(sessions),
            "mqtt_sessions_connected": sessions.connected,
            "mqtt_wills_published": sessions.wills_published,
        }

    def close(self, now_ms: int) -> None:
        """See Service."""
        self.sessions.close()
