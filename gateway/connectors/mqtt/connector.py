"""One MQTT connection, from its CONNECT to its end.  What it publishes and what it is sent: see the halves."""

from typing import cast, final

from gateway.connectors.base import Counters, Limits, Turn
from gateway.connectors.hearing import TIRING_BYTES
from gateway.connectors.mqtt.addresses import Filter, filter_of
from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.mqtt.handshake import Handshake
from gateway.connectors.mqtt.properties_out import MqttTarget
from gateway.connectors.mqtt.publishing import MqttPublishing
from gateway.connectors.mqtt.reading import reading_of
from gateway.connectors.mqtt.replay import Replay
from gateway.connectors.mqtt.sending import ELSEWHERE, UNSPECIFIED
from gateway.connectors.mqtt.session import MqttSession
from gateway.connectors.mqtt.sessions import Sessions
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.mqtt.subscribing import Subscribing, Unsubscribing
from gateway.connectors.mqtt.welcome import Welcome
from gateway.connectors.sources import may_read
from gateway.core.destination import InvalidName
from gateway.core.ports import NOTHING
from gateway.core.router import Broker, LimitReached
from gateway.core.topics import Topic
from protocols.mqtt.alias import TopicAliases
from protocols.mqtt.constants import PUBACK, PUBCOMP, PUBREC, VERSION_3_1, ReasonCode
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


@final
class MqttConnector(MqttPublishing):
    """See the module and Connector."""

    __slots__ = ("_handshake", "_refusing", "_replays", "_welcome", "sessions")

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
        super().__init__(broker, turn, limits, counters, peer, settings, topics, now_ms)
        self.sessions = sessions
        self._refusing = False
        self._replays: list[Replay] | None = None
        self._handshake: Handshake | None = None
        self._welcome: Welcome | None = None

    # -- driven by net

    def decode(self, data: bytes, now_ms: int) -> list[object]:
        """See FrameConnector."""
        return cast("list[object]", self._wire.receive_data(data, now_ms))

    def has_more(self) -> bool:
        """See FrameConnector."""
        return self._wire.more

    def carry_out(self, frames: list[object], now_ms: int) -> bool:
        """See FrameConnector."""
        for packet in frames:
            if isinstance(packet, Publish):
                self._on_publish(packet)
                if len(packet.frame) >= TIRING_BYTES or packet.tail is not None:
                    self.tire()
            else:
                assert isinstance(packet, Packet)
                self._on_packet(packet, now_ms)
            if self.closing or self.throttled or self.tired:
                return self.stops_at(frames, packet)
        return True

    def beyond_rate(self, frame: object) -> None:
        """See FrameConnector."""
        self.on_rate_exceeded()

    def eof(self, now_ms: int) -> None:
        """See Connector."""
        self._end_session(now_ms)
        # They know each other, which nobody but the collector would notice otherwise.
        self._handshake = None
        if self._welcome is not None:
            self._welcome.connector = None
            self._welcome = None
        self.detach()

    def bytes_out(self, now_ms: int) -> list[bytes]:
        """See Connector.  Nothing leaves before the CONNACK does, which is the first of all; where the connection ends
        before the CONNACK may leave, nothing ever does (§3.1.4: it is closed)."""
        if self._welcome is not None:
            return []
        return super().bytes_out(now_ms)

    def written(self) -> None:
        """See Connector."""
        if self._welcome is None:
            super().written()
            if self.session is not None:
                self.session.go_on_replaying()

    def welcomed(self) -> None:
        """The CONNACK may leave now, and all behind it."""
        self._welcome = None
        self.turn.mark(self)

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

    def forget_permissions(self) -> None:
        """See Connector."""
        self.choose_topics()

    def revoke(self, why: str) -> None:
        """See Connector."""
        if not self.closing:
            self.failure = why
            self._wire.send_disconnect(ReasonCode.NOT_AUTHORIZED, self._why(why))
            self._collect()
            self.hang_up()

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
            self.session.look_at_congestion()

    def on_rate_exceeded(self) -> None:
        """See Connector."""
        self.counters.limit_hits += 1
        self.fail(ReasonCode.MESSAGE_RATE_TOO_HIGH, "sends faster than its limit")

    @property
    def unfinished(self) -> int:
        """See Connector."""
        return self._wire.unfinished

    def on_unfinished(self, why: str) -> None:
        """See Connector."""
        self.counters.limit_hits += 1
        self.fail(ReasonCode.QUOTA_EXCEEDED, why)

    def on_too_slow(self, now_ms: int) -> None:
        """See Connector."""
        self._say_goodbye(ReasonCode.QUOTA_EXCEEDED)

    # -- packets

    def _on_packet(self, packet: Packet, now_ms: int) -> None:
        if isinstance(packet, Publish):
            self._on_publish(packet)
        elif isinstance(packet, Puback):
            if not self._session().acknowledged(packet.packet_id, packet.reason_code >= UNSPECIFIED, PUBACK):
                self._out_of_turn("PUBACK", packet.packet_id)
        elif isinstance(packet, Pubrec):
            self._on_pubrec(packet)
        elif isinstance(packet, Pubrel):
            self._on_pubrel(packet)
        elif isinstance(packet, Pubcomp):
            if not self._session().acknowledged(packet.packet_id, False, PUBCOMP):
                self._out_of_turn("PUBCOMP", packet.packet_id)
        elif isinstance(packet, Subscribe):
            self._on_subscribe(packet)
            self.tire()
        elif isinstance(packet, Unsubscribe):
            self._on_unsubscribe(packet)
            self.tire()
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

    # -- connecting

    def _on_connect(self, connect: Connect) -> None:
        self._version = connect.protocol_version
        self._forwards = 5 if self._version == 5 else 3
        self._target = MqttTarget(
            self._version,
            self.limits.carry,
            self.limits.publish_identity,
            self.broker.counters,
            self.settings.accepted.user_properties_max,
        )
        properties = connect.properties
        self._explains = self._version == 5 and (
            properties is None or properties.request_problem_information != 0
        )
        self._packet_size_max = self._wire.send_max
        handshake = self._handshake = Handshake(self, connect)
        if self._refusing:
            handshake.refuse(ReasonCode.QUOTA_EXCEEDED, "maximumConnections is reached")
        else:
            handshake.begin()

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
        session.publisher.address = self.publisher.address
        self.publisher = session.publisher
        # Whoever it was before does not go on.
        self.publisher.went_on()
        self._shut = session.publisher.held
        self._look_at_reading()
        aliases = min(properties.topic_alias_maximum or 0, self.settings.topic_alias_send_maximum)
        if aliases:
            self._aliases = TopicAliases(aliases)
        window = self.settings.inflight_max
        if self._version == 5:
            # Absent means 65,535 (§3.1.2.11.3); ours is the smaller.
            window = properties.receive_maximum or 65_535
        position = session.connected(self, min(window, self.limits.max_inflight))
        store = self.broker.store
        # A client that has been told it is connected counts on its will.  Where the store has no room it is let in
        # without that, to make room; where it has failed nobody is, as the next run would know nothing of it.
        unsafe = session.will is not None and position > store.durable
        if unsafe and (store.accepting or store.failed):
            self._welcome = Welcome(self, position)
            self.broker.wait(self._welcome)
        self.sessions.adopted(session)

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

    def takes_connack(self, answer: Properties) -> bool:
        """Has the client room for a CONNACK with these?  Some may be left out for that."""
        return self._wire.takes_connack(answer)

    def send_auth(self, reason: ReasonCode, answer: Properties) -> bool:
        """Go on with an enhanced authentication, or end it; False when the client does not take so large a packet."""
        said = self._wire.send_auth(reason, answer)
        self._collect()
        return said

    def refuse_connect(self, reason: ReasonCode, why: str) -> None:
        """CONNACK with a failure, then the end."""
        answer: Properties | None = None
        if self._version == 5:
            # A CONNACK may say why whether it was asked to or not (§3.1.2.11.7).
            answer = self._reason_string(why)
            if self.settings.server_reference and reason in ELSEWHERE:
                answer.server_reference = self.settings.server_reference
        self._wire.send_connack(False, reason, answer)
        self._collect()
        self.failure = why
        self.hang_up()

    # -- subscribing

    def _on_subscribe(self, subscribe: Subscribe) -> None:
        if self._can_answer(len(subscribe.requests)):
            Subscribing(self, self._session(), subscribe).begin()

    def _can_answer(self, count: int) -> bool:
        """Has the client room for so many reason codes?  Nothing is done that it could not be told of."""
        if self._wire.takes_codes(count):
            return True
        self.fail(ReasonCode.PACKET_TOO_LARGE, "the answer would be above its Maximum Packet Size")
        return False

    def subscribe_to(
        self, request: SubscriptionRequest, identifier: int, replays: list[tuple[MqttBinding, Filter]]
    ) -> int:
        """One filter of a SUBSCRIBE; its reason code.  `replays` gets what is to be followed by retained messages."""
        session = self._session()
        before = None if session.subscriptions is None else session.subscriptions.get(request.filter)
        code = self._subscribe_one(session, request, identifier)
        handling = request.retain_handling
        if code < UNSPECIFIED and handling != 2 and not (before and handling == 1):
            assert session.subscriptions is not None
            subscription = session.subscriptions[request.filter]
            if subscription.consumer is None:
                replays.append((subscription.binding, subscription.filter))
        if code >= UNSPECIFIED and self._version == VERSION_3_1:
            # It has no word for a refusal, and must get a positive acknowledgement (MQTT 3.1 §3.8).
            return request.qos
        return code

    def subscribed(self, packet_id: int, codes: list[int], replays: list[tuple[MqttBinding, Filter]]) -> None:
        """All filters of a SUBSCRIBE have been looked at: answer it."""
        why = None if max(codes) < UNSPECIFIED or self._version != 5 else self._explanation(max(codes))
        self._collect()
        self._wire.send_suback(packet_id, codes, why)
        self._confirm_collected()
        # Retained messages follow the SUBACK, which some clients rely on.
        for binding, filter in replays:
            search = self.broker.values.search([filter.pattern], self.publisher)
            self._replay(Replay(binding.replaying(), search))

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
        reading = reading_of(filter)
        if not may_read(self.broker, self.publisher, reading.kind, reading.pattern, reading.whole):
            return self._subscription_failed(ReasonCode.NOT_AUTHORIZED)
        count = 0 if session.subscriptions is None else len(session.subscriptions)
        new = session.subscriptions is None or request.filter not in session.subscriptions
        if new and (
            count >= self.limits.max_subscriptions or (session.noted and not self.broker.store.accepting)
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

    def _explanation(self, code: int) -> Properties | None:
        """A reason code in words, if the client wants them."""
        if not self._explains:
            return None
        store = self.broker.store
        if code == ReasonCode.QUOTA_EXCEEDED.value and not store.accepting:
            return self._reason_string(store.refusal)
        return self._reason_string(ReasonCode(code).name.replace("_", " ").lower())

    def _on_unsubscribe(self, unsubscribe: Unsubscribe) -> None:
        if self._can_answer(len(unsubscribe.filters)):
            Unsubscribing(self, self._session(), unsubscribe).begin()

    def unsubscribed(self, packet_id: int, codes: list[int]) -> None:
        """All filters of an UNSUBSCRIBE have been looked at: answer it."""
        self._collect()
        self._wire.send_unsuback(packet_id, codes)
        self._confirm_collected()

    # -- the exchanges of deliveries

    def _on_pubrec(self, pubrec: Pubrec) -> None:
        session = self._session()
        packet_id = pubrec.packet_id
        if pubrec.reason_code >= UNSPECIFIED:
            if not session.acknowledged(packet_id, True, PUBREC):
                self._out_of_turn("PUBREC", packet_id)
            return
        awaited = session.awaited(packet_id)
        if awaited == PUBACK:
            self._out_of_turn("PUBREC", packet_id)
            return
        # Where PUBCOMP is awaited it has come before, and the PUBREL may have been lost with a connection.
        if awaited == PUBREC:
            session.note_pubrec(packet_id)
        unknown = awaited == 0 and self._version == 5
        self._say_pubrel(packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND.value if unknown else 0)

    def _out_of_turn(self, name: str, packet_id: int) -> None:
        """An acknowledgement of another kind than the exchange waits for: its ends do not agree any more (§4.3)."""
        self.fail(ReasonCode.PROTOCOL_ERROR, f"{name} out of turn for packet id {packet_id}")

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
            session.set_will(None)
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

    def _end_session(self, now_ms: int) -> None:
        """The session goes on without this connection, if it was this one's."""
        session = self.session
        self.session = None
        if session is not None and session.connector is self:
            self.broker.now_ms = now_ms
            self.sessions.disconnected(session, now_ms)
