"""Just enough of each protocol to load a broker: frames made once, deliveries counted without being parsed."""

import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.perf.counters import ByBytes, ByNul, Counter, Kind, Packets, StompAcks

CONNECT_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True)
class Endpoint:
    """Where a broker listens for one protocol, and as whom to come."""

    port: int
    user: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None
    """Speak TLS, if there is one."""


@dataclass(frozen=True)
class Content:
    """What is published: the same payload to each of some topics in turn."""

    topics: Sequence[str]
    """As the protocol writes them, all equally long: deliveries are counted by their size."""
    payload: bytes = b"x" * 64
    properties: Sequence[tuple[str, str]] = ()
    """User properties, where the protocol has them."""


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """`size` bytes.  Raises ConnectionError when the broker closes first."""
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        data += piece
    return data


class Wire(ABC):
    """A protocol as the load uses it."""

    def __init__(self, endpoint: Endpoint, content: Content) -> None:
        assert len({len(topic) for topic in content.topics}) == 1
        self.endpoint = endpoint
        self.content = content

    def connect(self, name: str, source: str = "127.0.0.1") -> socket.socket:
        """A connection that has logged in."""
        sock = socket.create_connection(
            ("127.0.0.1", self.endpoint.port), CONNECT_TIMEOUT_S, source_address=(source, 0)
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.endpoint.tls is not None:
            sock = self.endpoint.tls.wrap_socket(sock, server_hostname="localhost")
        self.log_in(sock, name)
        return sock

    def topic(self, number: int) -> str:
        """Where message `number`, from 1, goes."""
        return self.content.topics[(number - 1) % len(self.content.topics)]

    @abstractmethod
    def log_in(self, sock: socket.socket, name: str) -> None:
        """The protocol's greeting."""

    @abstractmethod
    def subscribe(self, sock: socket.socket, destination: str) -> None:
        """Subscribe, and wait until that is confirmed."""

    @abstractmethod
    def publish(self, number: int) -> bytes:
        """One message; `number` from 1 names it where that is needed."""

    @abstractmethod
    def deliveries(self) -> Counter:
        """Counts, and acknowledges, what a subscriber gets."""

    def confirmations(self) -> Counter | None:
        """Counts what a publisher is confirmed; None when it is told nothing."""
        return None


# -- MQTT


def mqtt_string(text: str) -> bytes:
    """Text with its length in front."""
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def mqtt_length(size: int) -> bytes:
    """A variable byte integer."""
    length = bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes(length)


def mqtt_packet(first: int, body: bytes) -> bytes:
    """A packet with its remaining length."""
    return bytes((first,)) + mqtt_length(len(body)) + body


def mqtt_receive(sock: socket.socket) -> bytes:
    """The body of the next packet."""
    return mqtt_next(sock)[1]


def mqtt_next(sock: socket.socket) -> tuple[int, bytes]:
    """First byte and body of the next packet."""
    first = receive_exactly(sock, 1)[0]
    size = shift = 0
    while True:
        byte = receive_exactly(sock, 1)[0]
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return first, receive_exactly(sock, size)


class Mqtt(Wire):
    """MQTT 3.1.1, or 5.0 with `version` 5."""

    def __init__(self, endpoint: Endpoint, content: Content, qos: int = 0, version: int = 4) -> None:
        super().__init__(endpoint, content)
        self.qos = qos
        self._no_properties = b"\0" if version == 5 else b""
        self._version = version

    def log_in(self, sock: socket.socket, name: str) -> None:
        """See Wire."""
        flags = 0x02
        tail = b""
        if self.endpoint.user:
            flags |= 0xC0
            tail = mqtt_string(self.endpoint.user) + mqtt_string(self.endpoint.password)
        head = mqtt_string("MQTT") + bytes((self._version, flags, 0, 0)) + self._no_properties
        sock.sendall(mqtt_packet(0x10, head + mqtt_string(name) + tail))
        connack = mqtt_receive(sock)
        if connack[1]:
            raise ConnectionError(f"refused with {connack[1]:#04x}")

    def subscribe(self, sock: socket.socket, destination: str) -> None:
        """See Wire."""
        self.subscribe_many(sock, [destination])

    def subscribe_many(self, sock: socket.socket, filters: Sequence[str]) -> None:
        """Several filters in one packet."""
        body = b"\x00\x01" + self._no_properties
        body += b"".join([mqtt_string(name) + bytes((self.qos,)) for name in filters])
        sock.sendall(mqtt_packet(0x82, body))
        first, body = mqtt_next(sock)
        while first != 0x90:
            # What a kept session had waiting comes first, or retained values do [MQTT-3.8.4-5].
            first, body = mqtt_next(sock)
        granted = body[-len(filters) :]
        if any(code != self.qos for code in granted):
            raise RuntimeError(f"subscription granted with {sorted(set(granted))}")

    def publish(self, number: int) -> bytes:
        """See Wire."""
        packet_id = number.to_bytes(2, "big") if self.qos else b""
        properties = self._no_properties
        if properties and self.content.properties:
            pairs = [b"\x26" + mqtt_string(k) + mqtt_string(v) for k, v in self.content.properties]
            properties = mqtt_length(len(b"".join(pairs))) + b"".join(pairs)
        head = mqtt_string(self.topic(number)) + packet_id + properties
        return mqtt_packet(0x30 | self.qos << 1, head + self.content.payload)

    def deliveries(self) -> Counter:
        """See Wire."""
        size = len(self.publish(1))
        if self.qos == 0:
            return ByBytes(size)
        id_offset = size - len(self.content.payload) - 2
        if self.qos == 1:
            return Packets(Kind(rb"[\x32\x3a]", size, id_offset, 0x40, counts=True))
        return Packets(Kind(rb"[\x34\x3c]", size, id_offset, 0x50), Kind(rb"\x62", 4, 2, 0x70, counts=True))

    def confirmations(self) -> Counter | None:
        """See Wire."""
        if self.qos == 0:
            return None
        if self.qos == 1:
            return ByBytes(4)
        return Packets(Kind(rb"\x50", 4, 2, 0x62), Kind(rb"\x70", 4, 2, counts=True))


# -- the others


class Stomp(Wire):
    """STOMP 1.2."""

    def __init__(
        self,
        endpoint: Endpoint,
        content: Content,
        ack: str = "auto",
        receipts: bool = False,
        prefetch: int = 0,
    ) -> None:
        super().__init__(endpoint, content)
        self._ack = ack
        self._receipts = receipts
        self._prefetch = prefetch

    def log_in(self, sock: socket.socket, name: str) -> None:
        """See Wire."""
        head = b"CONNECT\naccept-version:1.2\nhost:/\nheart-beat:0,0\n"
        if self.endpoint.user:
            head += f"login:{self.endpoint.user}\npasscode:{self.endpoint.password}\n".encode()
        sock.sendall(head + b"\n\0")
        answer = self._frame(sock)
        if not answer.lstrip().startswith(b"CONNECTED"):
            raise ConnectionError(answer.decode(errors="replace"))

    def subscribe(self, sock: socket.socket, destination: str) -> None:
        """See Wire."""
        prefetch = f"activemq.prefetchSize:{self._prefetch}\nprefetch-count:{self._prefetch}\n"
        head = f"SUBSCRIBE\nid:0\ndestination:{destination}\nack:{self._ack}\nreceipt:r\n"
        sock.sendall((head + (prefetch if self._prefetch else "") + "\n\0").encode())
        self._frame(sock)

    def publish(self, number: int) -> bytes:
        """See Wire."""
        receipt = f"receipt:{number:06}\n" if self._receipts else ""
        size = len(self.content.payload)
        head = f"SEND\ndestination:{self.topic(number)}\n{receipt}content-length:{size}\n\n"
        return head.encode() + self.content.payload + b"\0"

    def deliveries(self) -> Counter:
        """See Wire."""
        return ByNul() if self._ack == "auto" else StompAcks()

    def confirmations(self) -> Counter | None:
        """See Wire."""
        return ByNul() if self._receipts else None

    @staticmethod
    def _frame(sock: socket.socket) -> bytes:
        data = b""
        while b"\0" not in data:
            piece = sock.recv(4096)
            if not piece:
                raise ConnectionError("the broker closed the connection")
            data += piece
        return data


class Nats(Wire):
    """The NATS client protocol: what somebody would use who needs nothing but speed."""

    def log_in(self, sock: socket.socket, name: str) -> None:
        """See Wire."""
        sock.recv(65_536)
        sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
        self._pong(sock)

    def subscribe(self, sock: socket.socket, destination: str) -> None:
        """See Wire."""
        sock.sendall(f"SUB {destination} 1\r\nPING\r\n".encode())
        self._pong(sock)

    def publish(self, number: int) -> bytes:
        """See Wire."""
        size = len(self.content.payload)
        return f"PUB {self.topic(number)} {size}\r\n".encode() + self.content.payload + b"\r\n"

    def deliveries(self) -> Counter:
        """See Wire."""
        size = len(self.content.payload)
        return ByBytes(len(f"MSG {self.topic(1)} 1 {size}\r\n") + size + 2)

    @staticmethod
    def _pong(sock: socket.socket) -> None:
        data = b""
        while b"PONG\r\n" not in data:
            data += receive_exactly(sock, 1)
