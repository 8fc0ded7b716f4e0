"""The server's side of one MQTT connection: bytes in, packets out; answers in, bytes out."""

from dataclasses import dataclass
from typing import Final, final

from protocols.errors import LocalProtocolError
from protocols.mqtt import constants as c
from protocols.mqtt.accepted import ANYTHING, Accepted
from protocols.mqtt.codec import (
    PINGRESP,
    check_first,
    encode_packet,
)
from protocols.mqtt.connecting import encode_connack
from protocols.mqtt.constants import RETURN_CODES_3, SERVER_UNAVAILABLE_3, ReasonCode
from protocols.mqtt.decoder import PACKETS_A_CALL, PacketDecoder
from protocols.mqtt.errors import MalformedPacket, MqttError, NotMqtt, ProtocolViolation
from protocols.mqtt.frames import (
    Auth,
    Connack,
    Connect,
    ConnectionFailed,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from protocols.mqtt.framing import looks_like
from protocols.mqtt.properties import (
    Properties,
    decode_properties,
    leave_out,
    refuse_control_characters,
)
from protocols.mqtt.state import (
    AUTHENTICATING,
    CLOSING,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    NEW,
    STATE_NAMES,
    may_receive,
)
from protocols.mqtt.strings import has_control_characters

CONNECT_SIZE_MAX: Final = 524_288
"""Bytes of a packet before it is known who the client is: room for five strings of the largest size, and more."""

PENDING_MAX: Final = 1_048_576
"""Bytes that a client may send behind a CONNECT that is not answered yet: what a few reads bring."""

# The only faults of a CONNECT for which MQTT before 5 has an answer.
_BAD_VERSION_3: Final = b"\x20\x02\x00\x01"
_BAD_CLIENT_ID_3: Final = b"\x20\x02\x00\x02"

SEND_MAX: Final = 268_435_460
"""No MQTT packet is larger than this (§2.1.4)."""

_INSTEAD: Final = 0x88
"""Server unavailable: what a CONNACK says for a reason that only a DISCONNECT can carry."""


def _refuse_control_characters(text: str, what: str) -> None:
    if has_control_characters(text):
        raise MalformedPacket(f"a control character in {what}")


@final
@dataclass(init=False, slots=True)
class MqttLimits:
    """Bounds on one connection."""

    max_packet_size: int
    """Bytes of a packet, header included."""
    connect_timeout_ms: int
    topic_alias_maximum: int
    accepted: Accepted
    """Protocol versions, and how many properties and filters."""
    client_id_max_3_1: int
    """Characters of an MQTT 3.1 client id; 0 is any number.  MQTT 3.1 §3.1 allows 23, which few servers insist on."""
    control_characters: bool
    """Are U+0001 to U+001F and U+007F to U+009F allowed in client ids, user names, topic names and filters?"""

    def __init__(
        self,
        max_packet_size: int = 104_857_600,
        connect_timeout_ms: int = 10_000,
        topic_alias_maximum: int = 10,
        accepted: Accepted = ANYTHING,
        client_id_max_3_1: int = 0,
        control_characters: bool = False,
    ) -> None:
        self.max_packet_size = max_packet_size
        self.connect_timeout_ms = connect_timeout_ms
        self.topic_alias_maximum = topic_alias_maximum
        self.accepted = accepted
        self.client_id_max_3_1 = client_id_max_3_1
        self.control_characters = control_characters


@final
class MqttConnection:
    """See the module.  The owner calls `data_to_send` after each call in, and closes once `closing` is set."""

    __slots__ = (
        "_connect_deadline_ms",
        "_decoder",
        "_heard_ms",
        "_limits",
        "_listening",
        "_more",
        "closing",
        "keep_alive_ms",
        "out",
        "send_max",
        "state",
        "version",
    )

    def __init__(self, limits: MqttLimits, now_ms: int) -> None:
        self._limits = limits
        self._decoder = PacketDecoder(
            min(limits.max_packet_size, CONNECT_SIZE_MAX),
            control_characters=limits.control_characters,
            accepted=limits.accepted,
        )
        self._connect_deadline_ms = now_ms + limits.connect_timeout_ms
        self._heard_ms = now_ms
        self._listening = True
        self._more = False
        self.state = NEW
        self.version = 0
        """3, 4 or 5 once a CONNECT has come."""
        self.keep_alive_ms = 0
        """Silence the client promised not to exceed; 0 for none (§3.1.2.10)."""
        self.closing = False
        """Send what there is to send, then close."""
        self.out: list[bytes] = []
        self.send_max = SEND_MAX
        """Bytes of a packet that the client takes, from its CONNECT on (§3.1.2.11.4)."""

    # -- bytes in

    def receive_data(self, data: bytes, now_ms: int) -> list[Packet]:
        """The packets that `data` completes.  A ConnectionFailed is the last one of a connection.

        What follows a CONNECT is kept until that is answered; see `more`.
        """
        packets: list[Packet] = []
        if self.state >= DISCONNECTED:
            return packets
        self._heard_ms = now_ms
        self._more = False
        decoder = self._decoder
        frame: bytes | None = None
        try:
            if self.state == NEW:
                self._check_first_bytes(data)
            decoder.push(data)
            if self.state == CONNECTING:
                if decoder.buffered > PENDING_MAX:
                    raise ProtocolViolation(
                        "too much behind an unanswered CONNECT", ReasonCode.QUOTA_EXCEEDED
                    )
                self._more = True
                return packets
            left = PACKETS_A_CALL
            decoder.begin_call()
            while True:
                if left == 0 or decoder.enough(packets):
                    self._more = True
                    break
                left -= 1
                frame = decoder.take_publishes(packets) if self.state == CONNECTED else decoder.next_frame()
                if frame is None:
                    self._more = decoder.enough(packets)
                    if not self._more:
                        self._check_begun()
                    break
                self._check_legal(frame[0])
                packet = decoder.decode(frame)
                self._check_names(packet)
                if isinstance(packet, Pingreq):
                    self.out.append(PINGRESP)
                    continue
                packets.append(packet)
                if isinstance(packet, Connect):
                    self._on_connect(packet)
                    self._more = True
                    break
                if isinstance(packet, Auth) and self.state == AUTHENTICATING:
                    self.state = CONNECTING
                    self._more = True
                    break
                if isinstance(packet, Disconnect):
                    # Nothing may follow (§3.14.4).
                    self.state = DISCONNECTED
                    decoder.discard()
                    break
        except MqttError as error:
            packets.append(self._fail(error, frame or b""))
        return packets

    @property
    def more(self) -> bool:
        """Packets may have come behind the CONNECT, and it has been answered, or behind as many as one call may bring:
        call `receive_data` again."""
        return self._more and self.state != CONNECTING

    @property
    def unfinished(self) -> int:
        """Bytes that are kept of a large packet that is not whole."""
        return self._decoder.unfinished

    def receive_eof(self, now_ms: int) -> list[Packet]:
        """The peer closed its side."""
        self._close()
        return []

    def _check_first_bytes(self, data: bytes) -> None:
        if self._decoder.buffered == 0 and data:
            other = looks_like(data)
            if other:
                raise NotMqtt(other)
            if data[0] >> 4 != c.CONNECT:
                # [MQTT-3.1.0-1]: no need to wait for the rest of it.
                raise ProtocolViolation("the first packet is no CONNECT")

    def _check_begun(self) -> None:
        """Nothing is waited for that will not be taken.  Raises MqttError."""
        first = self._decoder.begun()
        if first >= 0:
            self._check_legal(first)
            check_first(first, self.version)

    def _check_legal(self, first: int) -> None:
        if not may_receive(self.state, first >> 4):
            raise ProtocolViolation(
                f"{c.PACKET_NAMES[first >> 4]} on a connection that is {STATE_NAMES[self.state]}"
            )

    def _check_names(self, packet: Packet) -> None:
        """What is allowed beyond the specification's own rules.  Raises MqttError."""
        if isinstance(packet, Connect):
            self._check_client_id(packet)
        if self._limits.control_characters:
            return
        if isinstance(packet, Subscribe):
            for request in packet.requests:
                _refuse_control_characters(request.filter, "a topic filter")
        elif isinstance(packet, Unsubscribe):
            for text in packet.filters:
                _refuse_control_characters(text, "a topic filter")
        elif isinstance(packet, Connect):
            _refuse_control_characters(packet.client_id, "a client id")
            if packet.username is not None:
                _refuse_control_characters(packet.username, "a user name")
            if packet.will is not None:
                _refuse_control_characters(packet.will.topic, "a topic name")
                if packet.will.properties:
                    refuse_control_characters(decode_properties(packet.will.properties, c.WILL))

    def _check_client_id(self, connect: Connect) -> None:
        """MQTT 3.1 §3.1: a client has a name, and not a long one."""
        if connect.protocol_version != c.VERSION_3_1:
            return
        longest = self._limits.client_id_max_3_1
        if not connect.client_id or (longest and len(connect.client_id) > longest):
            raise ProtocolViolation("the client id's length", ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)

    def _on_connect(self, connect: Connect) -> None:
        self.version = connect.protocol_version
        self._decoder.version = self.version
        self.keep_alive_ms = connect.keep_alive_s * 1000
        properties = connect.properties
        if properties is not None and properties.maximum_packet_size is not None:
            self.send_max = properties.maximum_packet_size
        self.state = CONNECTING

    def _fail(self, error: MqttError, frame: bytes) -> ConnectionFailed:
        """Tell the peer, as far as its version has words for it, and close (§4.13)."""
        reason_code = error.reason_code
        if self.state == NEW:
            self._refuse_connect(error, frame or self._decoder.head())
        else:
            self._say_goodbye(reason_code, None)
        self._close()
        return ConnectionFailed(reason_code, str(error))

    def _say_goodbye(self, reason_code: ReasonCode, properties: Properties | None) -> None:
        """Why the connection ends, where the version has words for it: before MQTT 5 a server just closes."""
        if self.version == c.VERSION_5:
            if self.state == CONNECTED or self.state == DISCONNECTED:
                self._say(Disconnect(reason_code.value, properties), properties)
            else:
                code = reason_code.value if reason_code.value in c.CONNACK_CODES else _INSTEAD
                self._say(Connack(False, code, properties), properties)

    def _refuse_connect(self, error: MqttError, frame: bytes) -> None:
        """Answer a bad CONNECT in the words of the version that it names, if it came as far as that."""
        if isinstance(error, NotMqtt) or frame[:1] != b"\x10":
            return
        at = frame.find(b"\x00\x04MQTT", 0, 11)
        # Above 0x7F are the versions of Mosquitto's bridges, which come again without that bit when told so in 3.1.1's way.
        if at > 0 and len(frame) >= at + 7 and c.VERSION_5 <= frame[at + 6] < 0x80:
            self.out.append(encode_connack(Connack(False, error.reason_code.value), c.VERSION_5))
        elif error.reason_code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
            # [MQTT-3.1.2-2]
            self.out.append(_BAD_VERSION_3)
        elif error.reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID:
            self.out.append(_BAD_CLIENT_ID_3)

    def _close(self) -> None:
        self.state = CLOSING
        self.closing = True
        self._decoder.discard()

    # -- time

    def next_deadline_ms(self) -> int | None:
        """When `handle_deadline` wants to be called."""
        if self.state == NEW or self.state == AUTHENTICATING:
            return self._connect_deadline_ms
        if self.state >= DISCONNECTED or self.keep_alive_ms == 0 or not self._listening:
            return None
        return self._heard_ms + self.keep_alive_ms * 3 // 2

    def handle_deadline(self, now_ms: int) -> list[Packet]:
        """Time has passed: a CONNECT that did not come, or a peer that fell silent (§3.1.2.10)."""
        due_ms = self.next_deadline_ms()
        if due_ms is None or now_ms < due_ms:
            return []
        if self.state == NEW:
            self._close()
            return [ConnectionFailed(ReasonCode.MAXIMUM_CONNECT_TIME, "no CONNECT in time")]
        if self.state == AUTHENTICATING:
            self._say_goodbye(ReasonCode.NOT_AUTHORIZED, None)
            self._close()
            return [ConnectionFailed(ReasonCode.MAXIMUM_CONNECT_TIME, "not authenticated in time")]
        self._say_goodbye(ReasonCode.KEEP_ALIVE_TIMEOUT, None)
        self._close()
        return [ConnectionFailed(ReasonCode.KEEP_ALIVE_TIMEOUT, "keep-alive timeout")]

    def listen(self, yes: bool, now_ms: int) -> None:
        """Whether the peer's bytes are read at all: while they are not, its silence is not its fault."""
        if yes and not self._listening:
            self._heard_ms = now_ms
        self._listening = yes

    # -- answers

    def data_to_send(self) -> list[bytes]:
        """Take what is to be written."""
        out = self.out
        self.out = []
        return out

    def send_connack(
        self, session_present: bool, reason_code: ReasonCode, properties: Properties | None = None
    ) -> None:
        """Answer the CONNECT; anything but SUCCESS closes.  Before MQTT 5 the code becomes a return code."""
        if self.state != CONNECTING:
            raise LocalProtocolError(f"CONNACK on a connection that is {STATE_NAMES[self.state]}")
        code = reason_code.value
        if self.version != c.VERSION_5:
            code = RETURN_CODES_3.get(code, SERVER_UNAVAILABLE_3)
            if self.version == c.VERSION_3_1:
                session_present = False
        said = self._say(Connack(session_present and code == 0, code, properties), properties)
        if said and code == 0:
            self.state = CONNECTED
            # Only now that it is known who sends it may a packet be large.
            decoder = self._decoder
            decoder.limit = self._limits.max_packet_size
            decoder.alias_maximum = self._limits.topic_alias_maximum
        else:
            self._close()

    def takes_connack(self, properties: Properties) -> bool:
        """Does the client take a CONNACK with these?  Some may be left out for that."""
        return self._fitted(Connack(False, 0, properties), properties) is not None

    def takes_codes(self, count: int) -> bool:
        """Does the client take a SUBACK or an UNSUBACK of so many reason codes?"""
        return self.send_max == SEND_MAX or self._fitted(Suback(1, [0] * count, None), None) is not None

    def _say(self, packet: Packet, properties: Properties | None) -> bool:
        """Write `packet`, whose properties these are; False when the client does not take so large a packet."""
        frame = self._fitted(packet, properties)
        if frame is None:
            return False
        self.out.append(frame)
        return True

    def _fitted(self, packet: Packet, properties: Properties | None) -> bytes | None:
        """`packet`, without what may be left out where it is too large for the client; None when it still is.

        The client's Maximum Packet Size is for every packet [MQTT-3.1.2-24].
        """
        frame = encode_packet(packet, self.version)
        while len(frame) > self.send_max:
            if properties is None or not leave_out(properties):
                return None
            frame = encode_packet(packet, self.version)
        return frame

    def send_puback(self, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> None:
        """Acknowledge a QoS 1 PUBLISH."""
        self._say(Puback(packet_id, reason_code, properties), properties)

    def send_pubrec(self, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> None:
        """First answer to a QoS 2 PUBLISH."""
        self._say(Pubrec(packet_id, reason_code, properties), properties)

    def send_pubrel(self, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> None:
        """Answer to a PUBREC."""
        self._say(Pubrel(packet_id, reason_code, properties), properties)

    def send_pubcomp(
        self, packet_id: int, reason_code: int = 0, properties: Properties | None = None
    ) -> None:
        """Answer to a PUBREL."""
        self._say(Pubcomp(packet_id, reason_code, properties), properties)

    def send_suback(self, packet_id: int, codes: list[int], properties: Properties | None = None) -> None:
        """Answer a SUBSCRIBE, a code for each filter: see `takes_codes`."""
        self._say(Suback(packet_id, codes, properties), properties)

    def send_unsuback(self, packet_id: int, codes: list[int], properties: Properties | None = None) -> None:
        """Answer an UNSUBSCRIBE, a code for each filter: see `takes_codes`."""
        self._say(Unsuback(packet_id, codes, properties), properties)

    def send_auth(self, reason_code: ReasonCode, properties: Properties | None = None) -> bool:
        """Go on with an enhanced authentication (§4.12); False when the client does not take so large a packet."""
        if not self._say(Auth(reason_code.value, properties), properties):
            return False
        if self.state == CONNECTING:
            self.state = AUTHENTICATING
        return True

    def send_disconnect(self, reason_code: ReasonCode, properties: Properties | None = None) -> None:
        """Close, and say why where the version has words for it."""
        if self.state == CLOSING:
            return
        self._say_goodbye(reason_code, properties)
        self._close()
