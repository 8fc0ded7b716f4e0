"""What an MQTT client is told: deliveries to packets, reasons, and the last words."""

from collections import deque
from typing import TYPE_CHECKING, Final, final

from gateway.connectors.base import Counters, Limits, Turn
from gateway.connectors.hearing import FrameConnector
from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.mqtt.mapping import (
    MqttOrigin,
    acknowledged_frame,
    fitted_frame,
    is_long,
    json_packet,
    long_frame,
    qos0_frame,
)
from gateway.connectors.mqtt.properties_out import MqttTarget
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.parts import LONG, Parts, Pieces
from gateway.core.delivery import Delivery
from gateway.core.message import Message
from gateway.core.ports import NOTHING
from gateway.core.router import Broker
from gateway.core.waiters import Waiter
from protocols.mqtt.alias import ALIAS_BYTES, TopicAliases
from protocols.mqtt.codec import encode_pubrel
from protocols.mqtt.connection import SEND_MAX, MqttConnection, MqttLimits
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.properties import Properties
from protocols.mqtt.strings import UNWELCOME, has_control_characters

if TYPE_CHECKING:
    from gateway.connectors.mqtt.session import MqttSession

ACKNOWLEDGEMENT_BYTES: Final = 20
"""What there is in a PUBACK or a PUBREC beside its reason string, at most."""

UNSPECIFIED: Final = 0x80
"""The first reason code that is a failure (§2.4)."""

ELSEWHERE: Final = (ReasonCode.USE_ANOTHER_SERVER, ReasonCode.SERVER_MOVED)
"""Reasons that come with a Server Reference (§4.11)."""


class MqttSender(FrameConnector):
    """The half of a connection that speaks."""

    __slots__ = (
        "_aliases",
        "_behind",
        "_explains",
        "_forwards",
        "_packet_size_max",
        "_promised",
        "_target",
        "_version",
        "_wire",
        "session",
        "settings",
    )

    def __init__(
        self,
        broker: Broker,
        turn: Turn,
        limits: Limits,
        counters: Counters,
        peer: str,
        settings: MqttSettings,
        now_ms: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self.settings = settings
        self._wire = MqttConnection(
            MqttLimits(
                max_packet_size=limits.max_frame_size,
                connect_timeout_ms=limits.connect_timeout_ms,
                topic_alias_maximum=settings.topic_alias_maximum,
                accepted=settings.accepted,
                client_id_max_3_1=settings.client_id_max_3_1,
                control_characters=settings.control_characters,
            ),
            now_ms,
        )
        self._version = 0
        # Made anew when the CONNECT has said the version.
        self._target = MqttTarget(0, limits.carry, limits.publish_identity, broker.counters)
        # Packets of this origin go to this client as they are: 3 before MQTT 5, else 5.
        self._forwards = 0
        self._packet_size_max = SEND_MAX
        # The client wants to be told why (Request Problem Information, §3.1.2.11.7).
        self._explains = False
        self._aliases: TopicAliases | None = None
        # QoS 2 deliveries whose packet id is not safe yet, each with the position to wait for, and all of QoS 1 and 2
        # behind them: what was sent first comes first when it is sent again (§4.6).
        self._behind: deque[tuple[int, bytes | Parts]] | None = None
        self._promised: _DeliveriesWaiter | None = None
        self.session: MqttSession | None = None

    @final
    def _session(self) -> "MqttSession":
        session = self.session
        assert session is not None
        return session

    # -- delivering

    @final
    def send_qos0(
        self, message: Message, binding: MqttBinding, failures: int = 0, redelivered: bool = False
    ) -> None:
        """Send a QoS 0 delivery, or let the slow-consumer policy have it."""
        origin = message.origin
        frame: bytes | None
        if (
            binding.plain
            and isinstance(origin, MqttOrigin)
            and origin.forwardable == self._forwards
            and failures == 0
        ):
            frame = origin.publish.frame
            tail = origin.publish.tail
            if tail is not None:
                if not self._sends_long(Pieces([frame, tail.data]), False, NOTHING):
                    self.counters.dropped_large += 1
                return
        elif binding.json and message.size >= LONG:
            self._send_json(message, binding, 0, 0, False, failures, redelivered, NOTHING)
            return
        elif is_long(message, binding):
            long = long_frame(message, binding, self._target, 0, 0, False, self.broker.now_ms, failures)
            if self._sends_long(long, False, NOTHING):
                return
            frame = None
        else:
            frame = qos0_frame(message, binding, self._target, self.broker.now_ms, failures, redelivered)
        if frame is None or len(frame) > self._packet_size_max:
            frame = self._fitted(message, binding, 0, 0, False, failures)
            if frame is None:
                return
        if self._aliases is not None and len(frame) + ALIAS_BYTES <= self._packet_size_max:
            frame = self._aliases.shorten(frame, not self.congested)
        self.counters.messages_out += 1
        self.push(frame)

    @final
    def send_delivery(
        self, delivery: Delivery, binding: MqttBinding, qos: int, packet_id: int, dup: bool, position: int
    ) -> bool:
        """Send a QoS 1 or 2 delivery, once `position` is durable.

        False when it is larger than the client takes (§3.1.2.11.4).
        """
        frame: bytes | None
        if binding.json and delivery.message.size >= LONG:
            self._send_json(
                delivery.message,
                binding,
                qos,
                packet_id,
                dup,
                delivery.failures,
                delivery.redelivered,
                position,
            )
            return True
        if is_long(delivery.message, binding):
            long = long_frame(
                delivery.message,
                binding,
                self._target,
                qos,
                packet_id,
                dup,
                self.broker.now_ms,
                delivery.failures,
            )
            if self._sends_long(long, True, position):
                return True
            frame = None
        else:
            frame = acknowledged_frame(
                delivery.message,
                binding,
                self._target,
                qos,
                packet_id,
                dup,
                self.broker.now_ms,
                delivery.failures,
                binding.json and delivery.redelivered,
            )
        if frame is None or len(frame) > self._packet_size_max:
            frame = self._fitted(delivery.message, binding, qos, packet_id, dup, delivery.failures)
            if frame is None:
                return False
        behind = self._behind
        waits = behind is not None or position > self.broker.store.durable
        if self._aliases is not None and len(frame) + ALIAS_BYTES <= self._packet_size_max:
            # QoS 0 will overtake one that waits: it must not be the one that says what an alias means.
            frame = self._aliases.shorten(frame, not waits)
        self.counters.messages_out += 1
        if behind is not None:
            behind.append((position, frame))
        elif waits:
            self._wait_with(position, frame)
        else:
            self.push_sure(frame)
        return True

    @final
    def _sends_long(self, frame: Pieces, sure: bool, position: int) -> bool:
        """Send it, unless it is larger than the client takes; no alias pays for it."""
        if frame.size > self._packet_size_max:
            return False
        self._send_parts(frame, sure, position)
        return True

    @final
    def _send_json(
        self,
        message: Message,
        binding: MqttBinding,
        qos: int,
        packet_id: int,
        dup: bool,
        failures: int,
        redelivered: bool,
        position: int,
    ) -> None:
        """Send a large message as its JSON; whether the client takes it is known only when all of that has been made."""
        now_ms = self.broker.now_ms
        packet = json_packet(
            message, binding, self._target, qos, packet_id, dup, now_ms, failures, redelivered
        )
        packet.ask(self._takes)
        self._send_parts(packet, qos > 0, position)

    @final
    def _takes(self, packet_id: int, size: int) -> bool:
        """Does the client take a packet of so many bytes?  One that is larger is done with (§3.1.2.11.4)."""
        if size <= self._packet_size_max:
            return True
        self.counters.dropped_large += 1
        self.counters.messages_out -= 1
        session = self.session
        if packet_id and session is not None and session.inflight and packet_id in session.inflight:
            session.skip(packet_id)
        return False

    @final
    def _send_parts(self, frame: Parts, sure: bool, position: int) -> None:
        self.counters.messages_out += 1
        if not sure:
            self.push_parts(frame, False)
        elif self._behind is not None:
            self._behind.append((position, frame))
        elif position > self.broker.store.durable:
            self._wait_with(position, frame)
        else:
            self.push_parts(frame, True)

    @final
    def _wait_with(self, position: int, frame: bytes | Parts) -> None:
        """The first delivery that waits: all that come now are behind it."""
        self._behind = deque([(position, frame)])
        self._promised = _DeliveriesWaiter(self)
        self.broker.wait(self._promised)

    @final
    def release_deliveries(self, durable: int) -> bool:
        """Send the deliveries that waited for `durable`; answers whether there are more."""
        behind = self._behind
        while behind:
            if behind[0][0] > durable:
                return True
            frame = behind.popleft()[1]
            if isinstance(frame, Parts):
                self.push_parts(frame, True)
            else:
                self.push_sure(frame)
        self._behind = None
        self._promised = None
        return False

    def detach(self) -> None:
        """See Connector."""
        super().detach()
        self._behind = None
        if self._promised is not None:
            self._promised.connector = None
            self._promised = None

    @final
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

    @final
    def send_pubrel(self, packet_id: int) -> None:
        """Go on with a QoS 2 delivery that the client has."""
        self._say_pubrel(packet_id, 0)

    @final
    def _say_pubrel(self, packet_id: int, reason: int) -> None:
        """PUBREL, once it is sure that the client's PUBREC will not be forgotten."""
        position = self.broker.store.position if self._session().noted else NOTHING
        self.confirm(position, encode_pubrel(packet_id, reason, self._version))

    @final
    def _why(self, why: str) -> Properties | None:
        """A reason string for an acknowledgement, if the client wants one and has room for it [MQTT-3.4.2-2]."""
        if not self._explains or self._packet_size_max < len(why.encode()) + ACKNOWLEDGEMENT_BYTES:
            return None
        return self._reason_string(why)

    @final
    def _reason_string(self, why: str) -> Properties:
        if has_control_characters(why):
            # It quotes what came.
            why = UNWELCOME.sub("?", why)
        properties = Properties()
        properties.reason_string = why
        return properties

    # -- the last words

    @final
    def fail(self, reason: ReasonCode, why: str) -> None:
        """The client did what it may not: say why and close; its will is due."""
        self.counters.protocol_errors += 1
        self.failure = why
        self._say_goodbye(reason)

    @final
    def _say_goodbye(self, reason: ReasonCode) -> None:
        if self._version:
            properties: Properties | None = None
            if self.settings.server_reference and reason in ELSEWHERE:
                properties = Properties()
                properties.server_reference = self.settings.server_reference
            self._wire.send_disconnect(reason, properties)
        self._collect()
        self.hang_up()

    @final
    def _collect(self) -> None:
        """Take over what the wire room wants to say, behind what we have said."""
        wire = self._wire
        if wire.out:
            self.say_all(wire.data_to_send())
        if wire.closing and not self.closing:
            self.hang_up()


@final
class _DeliveriesWaiter(Waiter):
    """Stands in the broker's list for a connector whose deliveries wait, and lets go of it when the connection ends."""

    __slots__ = ("connector",)

    def __init__(self, connector: MqttSender) -> None:
        self.connector: MqttSender | None = connector

    def on_durable(self, position: int) -> bool:
        """See Waiter."""
        connector = self.connector
        return connector is not None and connector.release_deliveries(position)
