"""Clients that come by the hundred, say what is nearly right in every protocol, read little and leave without a word."""

import json
import random
import socket
import struct
from collections.abc import Callable

NEVER_READ_S = 0.02
"""How long one waits for an answer before it leaves."""

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: gateway.json\r\n\r\n"
)


class Careless:
    """All of them, from one seed.  Names and client ids are few, so that what the gateway has to keep is bounded."""

    def __init__(self, seed: int, ports: dict[str, int]) -> None:
        self._random = random.Random(seed)
        self._ports = ports
        self._kinds: list[tuple[str, Callable[[], list[bytes]]]] = [
            ("mqtt", self._mqtt),
            ("stomp", self._stomp),
            ("ws", self._http),
            ("ws", self._json),
        ]

    def come(self, count: int) -> None:
        """So many, one after the other."""
        for _ in range(count):
            connector, frames = self._random.choice(self._kinds)
            parts = frames()
            if self._random.random() < 0.7:
                at = self._random.randrange(len(parts))
                parts[at] = self._spoilt(parts[at])
            with socket.create_connection(("127.0.0.1", self._ports[connector]), 10) as sock:
                sock.settimeout(NEVER_READ_S)
                try:
                    sock.sendall(b"".join(parts))
                    sock.recv(65_536)
                    if self._random.random() < 0.5:
                        sock.shutdown(socket.SHUT_WR)
                        sock.recv(65_536)
                except OSError:
                    # It has been ended, or nothing came.
                    continue

    def _spoilt(self, frame: bytes) -> bytes:
        chosen = self._random
        data = bytearray(frame)
        for _ in range(chosen.randrange(1, 4)):
            at = chosen.randrange(len(data) + 1)
            how = chosen.randrange(4)
            if how == 0:
                data[at : at + 1] = chosen.randbytes(1)
            elif how == 1:
                del data[at : at + chosen.randrange(1, 5)]
            elif how == 2:
                data[at:at] = chosen.randbytes(chosen.randrange(1, 5))
            else:
                data[at:at] = data[at : at + 20]
        return bytes(data)

    def _name(self, separator: str) -> str:
        return f"n{self._random.randrange(40)}{separator}m{self._random.randrange(5)}"

    # -- protocols

    def _mqtt(self) -> list[bytes]:
        chosen = self._random
        version = chosen.choice((3, 4, 5))
        properties = b"\0" if version == 5 else b""
        kept = b"\x05\x11\0\0\0\x64" if version == 5 and chosen.random() < 0.5 else properties
        name = _text("MQIsdp" if version == 3 else "MQTT")
        head = name + bytes((version, chosen.choice((0, 2)))) + b"\0\x1e" + kept
        frames = [_packet(0x10, head + _text(f"c{chosen.randrange(30)}"))]
        for _ in range(chosen.randrange(1, 40)):
            kind = chosen.randrange(8)
            qos = chosen.randrange(3)
            packet_id = struct.pack(">H", chosen.randrange(1, 99))
            if kind < 4:
                topic = chosen.choice(("", "$queue/", "$json/")) + self._name("/")
                body = chosen.randbytes(chosen.randrange(60))
                first = 0x30 | qos << 1 | chosen.randrange(2)
                frames.append(_packet(first, _text(topic) + (packet_id if qos else b"") + properties + body))
            elif kind == 4:
                name = self._name("/")
                filters = ("#", "+/+", "n1/#", name, f"$share/g/{name}", f"$queue/{name}")
                frames.append(
                    _packet(0x82, packet_id + properties + _text(chosen.choice(filters)) + bytes((qos,)))
                )
            elif kind == 5:
                frames.append(_packet(0xA2, packet_id + properties + _text(self._name("/"))))
            elif kind == 6:
                frames.append(bytes((chosen.choice((0x40, 0x50, 0x62, 0x70)), 2)) + packet_id)
            else:
                frames.append(b"\xc0\0")
        return frames

    def _stomp(self) -> list[bytes]:
        chosen = self._random
        version = chosen.choice(("1.0", "1.1", "1.2"))
        frames = [f"CONNECT\naccept-version:{version}\nhost:h\nclient-id:c{chosen.randrange(20)}\n\n\0"]
        for number in range(chosen.randrange(1, 40)):
            kind = chosen.randrange(8)
            to = chosen.choice(("/queue/", "/topic/")) + self._name(".")
            if kind < 4:
                extra = chosen.choice(("", "persistent:true\n", "retain:true\n", "receipt:r\n"))
                frames.append(f"SEND\ndestination:{to}\n{extra}x:{chosen.randrange(9)}\n\nbody\0")
            elif kind == 4:
                source = chosen.choice((to, "/topic/>", "/queue/n1.>"))
                mode = chosen.choice(("auto", "client", "client-individual"))
                extra = chosen.choice(("", "selector:x > 3\n"))
                frames.append(f"SUBSCRIBE\nid:{number}\ndestination:{source}\nack:{mode}\n{extra}\n\0")
            elif kind == 5:
                end = chosen.choice(("COMMIT", "ABORT"))
                send = f"SEND\ntransaction:t\ndestination:{to}\n\nb\0"
                frames.append(f"BEGIN\ntransaction:t\n\n\0{send}{end}\ntransaction:t\n\n\0")
            else:
                frames.append(f"UNSUBSCRIBE\nid:{chosen.randrange(40)}\n\n\0" if kind == 6 else "\n")
        return [frame.encode() for frame in frames]

    def _http(self) -> list[bytes]:
        chosen = self._random
        requests: list[str] = []
        for _ in range(chosen.randrange(1, 8)):
            where = chosen.choice(("topics", "queues")) + "/" + self._name(".")
            post = f"POST /{where} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
            get = f"GET /queues/{self._name('.')} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            requests.append(chosen.choice((post, get)))
        return [request.encode() for request in requests]

    def _json(self) -> list[bytes]:
        chosen = self._random
        frames = [HANDSHAKE]
        for number in range(chosen.randrange(1, 20)):
            name = self._name(".")
            source = chosen.choice(("topic:>", f"queue:{name}", f"topic:{name}"))
            operations: list[dict[str, object]] = [
                {"op": "publish", "to": f"topic:{name}", "body": "x"},
                {"op": "publish", "to": f"queue:{name}", "body": {"a": 1}},
                {"op": "subscribe", "sub": str(number), "from": source},
            ]
            frames.append(self._masked(json.dumps(chosen.choice(operations)).encode()))
        return frames

    def _masked(self, payload: bytes) -> bytes:
        mask = self._random.randbytes(4)
        size = len(payload)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + struct.pack(">H", size)
        return b"\x81" + length + mask + bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _packet(first: int, body: bytes) -> bytes:
    size = len(body)
    length = b""
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return bytes((first,)) + length + bytes((size,)) + body
