"""Clients of MQTT 3.1.1 and 5 and of the three STOMPs with one face, for tests that try every ordered pair of them.

A client publishes a `Said`, hears `Said`s, and can echo one: send back every field and free-form property that its
protocol lets a client set, as it was received.  STOMP's wire is read and written here without the gateway's own code.
"""

import json
from dataclasses import dataclass, field, replace

from harness import Gateway

from gateway.connectors.base import Connector, Limits
from gateway.connectors.envelope import EnvelopeOrigin, from_envelope
from gateway.connectors.mqtt.service import MqttService
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.service import Acceptor
from gateway.connectors.side import CARRY_AUTO
from gateway.connectors.stomp.service import StompService
from gateway.connectors.stomp.settings import StompSettings
from gateway.core.limits import QueuePolicy
from gateway.core.message import Message
from gateway.core.pattern import literal
from gateway.core.queue_key import DURABLE, QueueKey
from gateway.core.subscription import Binding
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.decoder import PacketDecoder
from protocols.mqtt.frames import (
    Connect,
    Packet,
    Puback,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    SubscriptionRequest,
)
from protocols.mqtt.properties import Properties, decode_properties, encode_properties

CODES = ("M3", "M5", "ST0", "ST1", "ST2")
PAIRS = [(a, b) for a in CODES for b in CODES]
FAMILY = {"M3": "M", "M5": "M", "ST0": "ST", "ST1": "ST", "ST2": "ST"}
CROSS = [(a, b) for a, b in PAIRS if FAMILY[a] != FAMILY[b]]
WITHIN = [(a, b) for a, b in PAIRS if FAMILY[a] == FAMILY[b]]

VERSIONS = {"ST0": "1.0", "ST1": "1.1", "ST2": "1.2"}

Pairs = list[tuple[str, str]]


@dataclass
class Said:
    """One message as a client says or hears it."""

    body: bytes = b""
    free: Pairs = field(default_factory=list)
    """STOMP: all headers that are not the server's; MQTT 5: user properties."""
    qos: int = 0
    retain: bool = False
    content_type: str | None = None
    """This and the following: MQTT 5."""
    correlation: bytes | None = None
    response: str | None = None
    format: int | None = None
    expiry_s: int | None = None
    topic: str = ""
    """As the protocol spells it."""
    dup: bool = False
    server: Pairs = field(default_factory=list)
    """STOMP: the headers of the server."""
    raw: bytes = b""

    def get(self, name: str) -> str | None:
        """The first free-form property of that name."""
        for known, value in [*self.server, *self.free]:
            if known == name:
                return value
        return None


def topic_in(code: str, name: str) -> str:
    """The topic of canonical name `name`, of plain letters and dots."""
    return name.replace(".", "/") if code.startswith("M") else f"/topic/{name}"


class Pair:
    """One broker with listeners for both families."""

    def __init__(
        self,
        carry: int = CARRY_AUTO,
        untyped: str = "auto",
        identity: bool = False,
        policy: QueuePolicy | None = None,
    ) -> None:
        self.gw = Gateway(policy=policy)
        self.broker = self.gw.broker
        limits = Limits(carry=carry, publish_identity=identity)
        self.mqtt = MqttService(self.broker, MqttSettings(control_characters=True)).acceptor(
            "m", "mqtt", limits
        )
        self.stomp = StompService(self.broker, StompSettings(untyped=untyped)).acceptor("s", "stomp", limits)
        self._clients = 0

    def client(self, code: str, user: str | None = None, maximum: int | None = None) -> "Client":
        """A connected client; `maximum` is the largest packet it takes."""
        self._clients += 1
        if code.startswith("M"):
            return MqttClient(self, self.mqtt, code, f"c{self._clients}", user, maximum)
        return StompClient(self, self.stomp, code, f"c{self._clients}", user)

    def watch(self, name: str) -> "Watch":
        """Keep what is published to the topic `name`."""
        return Watch(self, name)

    @property
    def omitted(self) -> dict[tuple[str, str, str], int]:
        """What was lost in translation."""
        return self.broker.counters.omitted


class Watch:
    """The broker's own messages of one topic."""

    def __init__(self, pair: Pair, name: str) -> None:
        self._queue = pair.broker.bound_queue(QueueKey(DURABLE, "watch", name), QueuePolicy(), None)
        pair.broker.bind_queue(self._queue, Binding(literal(name), self._queue))

    def messages(self) -> list[Message]:
        """All of them, oldest first."""
        return [
            delivery.message for delivery in sorted(self._queue.browse(), key=lambda found: found.sequence)
        ]

    def last(self) -> Message:
        """The newest."""
        return self.messages()[-1]


def send_envelope(pair: Pair, **members: object) -> None:
    """Publish what neither MQTT nor STOMP could have sent."""
    envelope = from_envelope(json.dumps(members).encode())
    broker = pair.broker
    broker.now_ms = pair.gw.now_ms
    for destination in envelope.destinations:
        message = Message(
            broker.next_message_id(),
            destination,
            EnvelopeOrigin(envelope, "JS"),
            len(envelope.body),
            broker.now_ms,
            envelope.durable,
            2,
            envelope.retain,
            envelope.priority,
            envelope.expires_at_ms,
            None,
        )
        broker.publish_to(destination, message)


class Client:
    """See the module."""

    def __init__(self, pair: Pair, acceptor: Acceptor, code: str, name: str) -> None:
        self.pair = pair
        self.code = code
        self.name = name
        self.connector: Connector = acceptor.accept(name, pair.gw.turn, pair.gw.now_ms)

    def give(self, data: bytes) -> None:
        """Send bytes."""
        self.pair.broker.now_ms = self.pair.gw.now_ms
        self.connector.bytes_in(data, self.pair.gw.now_ms)

    def taken(self) -> bytes:
        """The bytes that came."""
        data = b""
        parted = True
        while parted:
            parted = self.connector.unwritten
            data += b"".join(self.connector.bytes_out(self.pair.gw.now_ms))
            self.connector.written()
        self.connector.marked = False
        return data

    def subscribe(self, topic: str, qos: int = 0, *, rap: bool = False) -> None:
        """Subscribe, in the protocol's own spelling."""
        raise NotImplementedError

    def publish(self, topic: str, said: Said) -> None:
        """Publish, in the protocol's own spelling."""
        raise NotImplementedError

    def heard(self) -> list[Said]:
        """The messages that came, acknowledged."""
        raise NotImplementedError

    def one(self) -> Said:
        """The message that came."""
        [said] = self.heard()
        return said

    def echo(self, said: Said, topic: str) -> None:
        """Send it back, all that a client can set."""
        self.publish(topic, replace(said, server=[]))


class MqttClient(Client):
    """MQTT 3.1.1 or 5."""

    def __init__(
        self, pair: Pair, acceptor: Acceptor, code: str, name: str, user: str | None, maximum: int | None
    ) -> None:
        super().__init__(pair, acceptor, code, name)
        self.version = {"M31": 3, "M3": 4, "M5": 5}[code]
        self._decoder = PacketDecoder(1 << 28, self.version, -1)
        self._ids = 0
        self.others: list[Packet] = []
        connect = Connect(name, True, 0, self.version, None, user, b"x" if user else None)
        if self.version == 5:
            connect.properties = Properties()
            connect.properties.maximum_packet_size = maximum
        self.give(encode_packet(connect, self.version))
        self.heard()

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def subscribe(self, topic: str, qos: int = 0, *, rap: bool = False) -> None:
        """See Client."""
        request = SubscriptionRequest(topic, qos, False, rap)
        self.give(encode_packet(Subscribe(self._id(), [request]), self.version))

    def publish(self, topic: str, said: Said) -> None:
        """See Client."""
        block: bytes | None = None
        if self.version == 5:
            properties = Properties()
            properties.content_type = said.content_type
            properties.correlation_data = said.correlation
            properties.response_topic = said.response
            properties.payload_format = said.format
            properties.message_expiry_s = said.expiry_s
            properties.user = said.free
            block = encode_properties(properties)
        number = self._id() if said.qos else 0
        self.give(encode_publish(topic, said.body, said.qos, said.retain, False, number, block))
        if said.qos == 2:
            self.give(encode_packet(Pubrel(number), self.version))

    def heard(self) -> list[Said]:
        """See Client."""
        said: list[Said] = []
        while data := self.taken():
            self._decoder.push(data)
            while (frame := self._decoder.next_frame()) is not None:
                packet = self._decoder.decode(frame)
                if isinstance(packet, Publish):
                    said.append(self._said(packet, frame))
                else:
                    self.others.append(packet)
                    if isinstance(packet, Pubrel):
                        from protocols.mqtt.frames import Pubcomp

                        self.give(encode_packet(Pubcomp(packet.packet_id), self.version))
        return said

    def _said(self, packet: Publish, frame: bytes) -> Said:
        if packet.qos == 1:
            self.give(encode_packet(Puback(packet.packet_id), self.version))
        elif packet.qos == 2:
            self.give(encode_packet(Pubrec(packet.packet_id), self.version))
        properties = decode_properties(packet.properties) if packet.properties else Properties()
        return Said(
            packet.payload(),
            properties.user,
            packet.qos,
            packet.retain,
            properties.content_type,
            properties.correlation_data,
            properties.response_topic,
            properties.payload_format,
            properties.message_expiry_s,
            packet.topic,
            packet.dup,
            [],
            frame,
        )


ESCAPES = {
    "ST0": {},
    "ST1": {"\\": "\\\\", "\n": "\\n", ":": "\\c"},
    "ST2": {"\\": "\\\\", "\n": "\\n", ":": "\\c", "\r": "\\r"},
}
SERVERS = frozenset(
    {"destination", "message-id", "subscription", "ack", "redelivered", "content-length", "retained"}
)


def escape(text: str, code: str) -> str:
    """As a client of that version writes it."""
    return "".join(ESCAPES[code].get(letter, letter) for letter in text)


def unescape(text: str, code: str) -> str:
    """As a client of that version reads it; an escape that the version has not is a fault."""
    back = {written[1]: letter for letter, written in ESCAPES[code].items()}
    result = ""
    at = 0
    while at < len(text):
        if text[at] == "\\" and back:
            result += back[text[at + 1]]
            at += 1
        else:
            result += text[at]
        at += 1
    return result


class StompClient(Client):
    """STOMP 1.0, 1.1 or 1.2."""

    def __init__(self, pair: Pair, acceptor: Acceptor, code: str, name: str, user: str | None) -> None:
        super().__init__(pair, acceptor, code, name)
        self._ids = 0
        self.errors: list[Said] = []
        login = f"login:{user}\npasscode:x\n" if user else ""
        accept = "" if code == "ST0" else f"accept-version:{VERSIONS[code]}\nhost:h\n"
        self.give(f"CONNECT\n{accept}{login}\n\0".encode())
        assert self.taken().startswith(b"CONNECTED")

    def subscribe(self, topic: str, qos: int = 0, *, rap: bool = False) -> None:
        """See Client."""
        self._ids += 1
        self.frame("SUBSCRIBE", [("id", str(self._ids)), ("destination", topic)])

    def frame(self, command: str, headers: Pairs, body: bytes = b"") -> None:
        """Send a frame."""
        lines = [command] + [
            f"{escape(name, self.code)}:{escape(value, self.code)}" for name, value in headers
        ]
        self.give("\n".join(lines).encode() + b"\n\n" + body + b"\0")

    def publish(self, topic: str, said: Said) -> None:
        """See Client.  As most libraries do, it always sends a content-length."""
        server = [("destination", topic), ("content-length", str(len(said.body)))]
        self.frame("SEND", [*server, *said.free], said.body)

    def heard(self) -> list[Said]:
        """See Client."""
        data = self.taken()
        found: list[Said] = []
        while data.lstrip(b"\n"):
            data = data.lstrip(b"\n")
            head, _, rest = data.partition(b"\n\n")
            command, *lines = head.decode().split("\n")
            headers = [self._header(line) for line in lines]
            size = int(next(value for name, value in headers if name == "content-length"))
            assert rest[size] == 0
            raw, data = data[: len(head) + 2 + size + 1], rest[size + 1 :]
            # Messages that have no time of their own get that of their id.
            number = next((value for name, value in headers if name == "message-id"), "")
            own = [
                name in SERVERS or (name == "timestamp" and f"ID-{value}-" in number)
                for name, value in headers
            ]
            said = Said(
                rest[:size],
                [pair for pair, servers in zip(headers, own, strict=True) if not servers],
                server=[pair for pair, servers in zip(headers, own, strict=True) if servers],
                raw=raw,
            )
            said.topic = said.get("destination") or ""
            (found if command == "MESSAGE" else self.errors).append(said)
        return found

    def _header(self, line: str) -> tuple[str, str]:
        name, colon, value = line.partition(":")
        assert colon, line
        if self.code == "ST0":
            return name.strip(" "), value.strip(" ")
        return unescape(name, self.code), unescape(value, self.code)
