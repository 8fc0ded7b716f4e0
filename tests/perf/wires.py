"""Just enough of each protocol to load a broker: frames made once, deliveries counted without being parsed."""

import socket
from abc import ABC, abstractmethod
from typing import Final

CONNECT_TIMEOUT_S: Final = 20.0


class Endpoint:
    """Where a broker listens for one protocol, and as whom to come."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        self.port = port
        self.user = user
        self.password = password


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
    """A protocol as the load uses it: one topic, fixed payload."""

    def __init__(self, endpoint: Endpoint, topic: str, payload: bytes, qos: int = 0) -> None:
        self.endpoint = endpoint
        self.topic = topic
        self.payload = payload
        self.qos = qos

    def connect(self, name: str, source: str = "127.0.0.1") -> socket.socket:
        """A connection that has logged in."""
        sock = socket.create_connection(
            ("127.0.0.1", self.endpoint.port), CONNECT_TIMEOUT_S, source_address=(source, 0)
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.log_in(sock, name)
        return sock

    @abstractmethod
    def log_in(self, sock: socket.socket, name: str) -> None:
        """The protocol's greeting."""

    @abstractmethod
    def subscribe(self, sock: socket.socket, topic: str) -> None:
        """Subscribe, and wait until that is confirmed."""

    @abstractmethod
    def publish(self, number: int) -> bytes:
        """One message; `number` from 1 names it where that is needed."""

    @property
    @abstractmethod
    def delivered_size(self) -> int:
        """Bytes of one delivery; 0 when they are counted by NUL."""


def _mqtt_string(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def mqtt_packet(first: int, body: bytes) -> bytes:
    """A packet with its remaining length."""
    size = len(body)
    length = bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes((first,)) + length + body


class Mqtt(Wire):
    """MQTT 3.1.1."""

    def log_in(self, sock: socket.socket, name: str) -> None:
        """See Wire."""
        flags = 0x02
        tail = b""
        if self.endpoint.user:
            flags |= 0xC0
            tail = _mqtt_string(self.endpoint.user) + _mqtt_string(self.endpoint.password)
        head = _mqtt_string("MQTT") + bytes((4, flags, 0, 0))
        sock.sendall(mqtt_packet(0x10, head + _mqtt_string(name) + tail))
        connack = receive_exactly(sock, 4)
        if connack[3]:
            raise ConnectionError(f"refused with return code {connack[3]}")

    def subscribe(self, sock: socket.socket, topic: str) -> None:
        """See Wire."""
        sock.sendall(mqtt_packet(0x82, b"\x00\x01" + _mqtt_string(topic) + bytes((self.qos,))))
        receive_exactly(sock, 5)

    def publish(self, number: int) -> bytes:
        """See Wire."""
        packet_id = number.to_bytes(2, "big") if self.qos else b""
        return mqtt_packet(0x30 | self.qos << 1, _mqtt_string(self.topic) + packet_id + self.payload)

    @property
    def delivered_size(self) -> int:
        """See Wire."""
        return len(self.publish(1))


class Stomp(Wire):
    """STOMP 1.2."""

    def log_in(self, sock: socket.socket, name: str) -> None:
        """See Wire."""
        head = b"CONNECT\naccept-version:1.2\nhost:/\nheart-beat:0,0\n"
        if self.endpoint.user:
            head += f"login:{self.endpoint.user}\npasscode:{self.endpoint.password}\n".encode()
        sock.sendall(head + b"\n\0")
        answer = self._frame(sock)
        if not answer.lstrip().startswith(b"CONNECTED"):
            raise ConnectionError(answer.decode(errors="replace"))

    def subscribe(self, sock: socket.socket, topic: str) -> None:
        """See Wire."""
        sock.sendall(f"SUBSCRIBE\nid:0\ndestination:{topic}\nack:auto\nreceipt:r\n\n\0".encode())
        self._frame(sock)

    def publish(self, number: int) -> bytes:
        """See Wire."""
        head = f"SEND\ndestination:{self.topic}\ncontent-length:{len(self.payload)}\n\n"
        return head.encode() + self.payload + b"\0"

    @property
    def delivered_size(self) -> int:
        """See Wire."""
        return 0

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

    def subscribe(self, sock: socket.socket, topic: str) -> None:
        """See Wire."""
        sock.sendall(f"SUB {topic} 1\r\nPING\r\n".encode())
        self._pong(sock)

    def publish(self, number: int) -> bytes:
        """See Wire."""
        return f"PUB {self.topic} {len(self.payload)}\r\n".encode() + self.payload + b"\r\n"

    @property
    def delivered_size(self) -> int:
        """See Wire."""
        return len(f"MSG {self.topic} 1 {len(self.payload)}\r\n") + len(self.payload) + 2

    @staticmethod
    def _pong(sock: socket.socket) -> None:
        data = b""
        while b"PONG\r\n" not in data:
            data += receive_exactly(sock, 1)
