"""No broker, but what one could reach at best: copies the bytes of one publisher to one subscriber, and reads none.

Both greet it in MQTT 3.1.1; the subscriber comes first.  `python -m tests.perf.relay PORT`.
"""

import socket
import sys
from typing import Final

BUFFER_BYTES: Final = 1 << 20
CONNACK: Final = b"\x20\x02\x00\x00"
SUBACK: Final = b"\x90\x03\x00\x01\x00"


def serve(port: int) -> None:
    """Relay for one pair after the other, until the process is ended."""
    listener = socket.create_server(("127.0.0.1", port))
    subscriber: socket.socket | None = None
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not sock.recv(1_000):
            sock.close()  # somebody has looked whether we are there
            continue
        sock.sendall(CONNACK)
        if subscriber is None:
            sock.recv(1_000)
            sock.sendall(SUBACK)
            subscriber = sock
        else:
            _copy(sock, subscriber)
            sock.close()
            subscriber.close()
            subscriber = None


def _copy(publisher: socket.socket, subscriber: socket.socket) -> None:
    buffer = memoryview(bytearray(BUFFER_BYTES))
    try:
        while size := publisher.recv_into(buffer):
            subscriber.sendall(buffer[:size])
    except ConnectionError:
        pass


if __name__ == "__main__":
    serve(int(sys.argv[1]))
