"""What an MQTT client is told: deliveries to packets, reasons, and the last words."""

from collections import deque
from typing import TYPE_CHECKING, Final, final

from gateway.connectors.base import Counters, Limits, Turn
from gateway.connectors.hearing import FrameConnector
from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.mqtt.json_packet import JsonPacket
from gateway.connectors.mqtt.mapping import MqttOrigin
from gateway.connectors.mqtt.outgoing import (
    Outgoing,
    acknowledged_frame,
    has_its_own,
    is_long,
    retain_flag,
    shared_frame,
)
from gateway.connectors.mqtt.properties_out import MqttTarget
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.parts import Parts, Pieces
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
        target = self._target
        own: Outgoing | None = None
        packet: bytes | Parts
        if (
            binding.plain
            and isinstance(origin, MqttOrigin)
            and origin.forwardable == self._forwards
            and (failures == 0 or not target.five)
        ):
            packet = origin.publish.frame
            tail = origin.publish.tail
            if tail is not None:
                packet = Pieces([packet, tail.data])
        elif (
            binding.plain
            and not is_long(message, binding)
            and not has_its_own(message, binding, target, failures)
        ):
            packet = shared_frame(message, target)
        else:
            own = Outgoing(message, binding, target, self.broker.now_ms, failures, redelivered)
            packet = own.packet()
        if self._is_too_large(packet):
            if own is None:
                own = Outgoing(message, binding, target, self.broker.now_ms, failures, redelivered)
            fitted = self._fitted(own)
            if fitted is None:
                return
            packet = fitted
        self.counters.messages_out += 1
        if not isinstance(packet, bytes):
            self.push_parts(packet, False)
            return
        if self._aliases is not None and len(packet) + ALIAS_BYTES <= self._packet_size_max:
            packet = self._aliases.shorten(packet, not self.congested)
        self.push(packet)

    @final
    def send_delivery(
        self, delivery: Delivery, binding: MqttBinding, qos: int, packet_id: int, dup: bool, position: int
    ) -> bool:
        """Send a QoS 1 or 2 delivery, once `position` is durable.

        False when it is larger than the client takes (§3.1.2.11.4).
        """
        message = delivery.message
        own: Outgoing | None = None
        packet: bytes | Parts
        if is_long(message, binding) or has_its_own(message, binding, self._target, delivery.failures):
            own = self._outgoing(delivery, binding).acknowledged(qos, packet_id, dup)
            packet = own.packet()
        else:
            packet = acknowledged_frame(
                message, self._target, retain_flag(message, binding), qos, packet_id, dup
            )
        if self._is_too_large(packet):
            if own is None:
                own = self._outgoing(delivery, binding).acknowledged(qos, packet_id, dup)
            fitted = self._fitted(own)
            if fitted is None:
                return False
            packet = fitted
        waits = self._behind is not None or position > self.broker.store.durable
        if (
            self._aliases is not None
            and isinstance(packet, bytes)
            and len(packet) + ALIAS_BYTES <= self._packet_size_max
        ):
            # QoS 0 will overtake one that waits: it must not be the one that says what an alias means.
            packet = self._aliases.shorten(packet, not waits)
        self.counters.messages_out += 1
        if waits:
            self._wait_with(position, packet)
        else:
            self._push_delivery(packet)
        return True

    @final
    def _outgoing(self, delivery: Delivery, binding: MqttBinding) -> Outgoing:
        return Outgoing(
            delivery.message,
            binding,
            self._target,
            self.broker.now_ms,
            delivery.failures,
            delivery.redelivered,
        )

    @final
    def _is_too_large(self, packet: bytes | Parts) -> bool:
        """Is it more than the client takes?  Of large JSON that is known only when all of it has been made: see `_takes`."""
        if isinstance(packet, bytes):
            return len(packet) > self._packet_size_max
        if isinstance(packet, JsonPacket):
            packet.ask(self._takes)
            return False
        return packet.size > self._packet_size_max

    @final
    def _takes(self, packet_id: int, size: int) -> bool:
        """Does the client take a packet of so many bytes?  One that is larger is done with (§3.1.2.11.4)."""
        if size <= self._packet_size_max:
            return True
        self.counters.dropped_large += 1
        self.counters.messages_out -= 1
        if packet_id and self.session is not None:
            self.session.skip_late(packet_id)
        return False

    @final
    def _fitted(self, own: Outgoing) -> bytes | None:
        """A packet above the client's maximum, made to fit by leaving things out; None, and counted, if it cannot be."""
        packet = own.fitted(self._packet_size_max)
        if packet is None:
            self.counters.dropped_large += 1
        return packet

    @final
    def _push_delivery(self, packet: bytes | Parts) -> None:
        if isinstance(packet, bytes):
            self.push_sure(packet)
        else:
            self.push_parts(packet, True)

    @final
    def _wait_with(self, position: int, packet: bytes | Parts) -> None:
        """Behind the deliveries that wait; the first of them has the broker say when it need not."""
        if self._behind is None:
            self._behind = deque()
            self._promised = _DeliveriesWaiter(self)
            self.broker.wait(self._promised)
        self._behind.append((position, packet))

    @final
    def release_deliveries(self, durable: int) -> bool:
        """Send the deliveries that waited for `durable`; answers whether there are more."""
        behind = self._behind
        while behind:
            if behind[0][0] > durable:
                return True
            self._push_delivery(behind.popleft()[1])
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
