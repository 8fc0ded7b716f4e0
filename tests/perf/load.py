"""A closed loop of publishers and subscribers that costs next to nothing, so that the broker is what is measured.

One process, non-blocking sockets.  Publishes are encoded once, in blobs; deliveries are counted by bytes, or by NUL
for STOMP, and never parsed.  Never more than `window` messages are on their way, so no broker is driven to drop any.
"""

import selectors
import socket
import time
from dataclasses import dataclass
from typing import Final

from tests.perf.wires import Wire

READ_BYTES: Final = 1 << 20
STALL_S: Final = 3.0
"""Silence after which what is missing counts as lost."""


@dataclass
class Result:
    """What a run showed."""

    published: int
    delivered: int
    lost: int
    seconds: float

    @property
    def delivered_per_s(self) -> float:
        """Deliveries a second, all subscribers together."""
        return self.delivered / self.seconds


class _Subscriber:
    """Counts deliveries; at QoS 1 acknowledges them."""

    def __init__(self, sock: socket.socket, wire: Wire) -> None:
        self.sock = sock
        self.size = wire.delivered_size
        self.id_offset = self.size - len(wire.payload) - 2 if wire.qos else -1
        self.count = 0
        self._bytes = 0
        self._rest = b""
        self._acks = b""
        self._buffer = bytearray(READ_BYTES)

    def read(self) -> bool:
        """Take what is there; False when the broker has closed."""
        try:
            if self.id_offset >= 0:
                return self._read_acknowledging()
            size = self.sock.recv_into(self._buffer)
        except BlockingIOError:
            return True
        if self.size:
            self._bytes += size
            self.count = self._bytes // self.size
        else:
            self.count += self._buffer.count(0, 0, size)
        return size > 0

    def _read_acknowledging(self) -> bool:
        """PUBACKs by slicing: the packet ids stand at the same place in each packet."""
        piece = self.sock.recv(READ_BYTES)
        data = self._rest + piece
        count = len(data) // self.size
        whole = data[: count * self.size]
        self._rest = data[count * self.size :]
        self.count += count
        acks = bytearray(b"\x40\x02\0\0" * count)
        acks[2::4] = whole[self.id_offset :: self.size]
        acks[3::4] = whole[self.id_offset + 1 :: self.size]
        self._acks += acks
        self.flush()
        return bool(piece)

    def flush(self) -> None:
        """Send the PUBACKs that the socket takes."""
        if self._acks:
            try:
                self._acks = self._acks[self.sock.send(self._acks) :]
            except BlockingIOError:
                pass


class _Publisher:
    """Sends blobs of messages; at QoS 1 the next one after the PUBACKs of the last."""

    def __init__(self, sock: socket.socket, wire: Wire, batch: int) -> None:
        self.sock = sock
        self.batch = batch
        self.waits = wire.qos > 0
        self.blob = b"".join([wire.publish(number + 1) for number in range(batch)])
        self.pending = memoryview(b"")
        self.unconfirmed = 0
        self._buffer = bytearray(65_536)
        self._ack_bytes = 0

    def send(self) -> None:
        """Go on with what is pending."""
        if self.pending:
            try:
                self.pending = self.pending[self.sock.send(self.pending) :]
            except BlockingIOError:
                pass

    def read(self) -> bool:
        """Count PUBACKs; False when the broker has closed."""
        try:
            size = self.sock.recv_into(self._buffer)
        except BlockingIOError:
            return True
        self._ack_bytes += size
        count, self._ack_bytes = divmod(self._ack_bytes, 4)
        self.unconfirmed -= count
        return size > 0


def run(
    publish: Wire,
    subscribe: Wire,
    *,
    publishers: int = 1,
    subscribers: int = 1,
    seconds: float = 3.0,
    window: int = 8_000,
    batch: int = 1_000,
) -> Result:
    """Publish through one protocol, receive through another (or the same), for some seconds."""
    selector = selectors.DefaultSelector()
    subs: list[_Subscriber] = []
    pubs: list[_Publisher] = []
    sockets: list[socket.socket] = []
    try:
        for number in range(subscribers):
            sock = subscribe.connect(f"bench-sub-{number}")
            sockets.append(sock)
            subscribe.subscribe(sock, subscribe.topic)
            sock.setblocking(False)
            subs.append(_Subscriber(sock, subscribe))
            selector.register(sock, selectors.EVENT_READ, subs[-1])
        time.sleep(0.3)  # some brokers confirm a subscription before it is in place
        for number in range(publishers):
            sock = publish.connect(f"bench-pub-{number}")
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            pubs.append(_Publisher(sock, publish, batch))
            if publish.qos:
                selector.register(sock, selectors.EVENT_READ, pubs[-1])
        return _loop(selector, pubs, subs, seconds, window)
    finally:
        selector.close()
        for sock in sockets:
            sock.close()


def _loop(
    selector: selectors.BaseSelector,
    pubs: list[_Publisher],
    subs: list[_Subscriber],
    seconds: float,
    window: int,
) -> Result:
    sent = 0
    start = time.perf_counter()
    end = start + seconds
    last = start
    result: Result | None = None
    while True:
        now = time.perf_counter()
        if result is None and now >= end:
            result = Result(sent, sum([sub.count for sub in subs]), 0, now - start)
        if result is not None and (all(sub.count >= sent for sub in subs) or now > last + STALL_S):
            break
        if result is None:
            slowest = min([sub.count for sub in subs])
            for pub in pubs:
                if (
                    not pub.pending
                    and sent - slowest + pub.batch <= window
                    and not (pub.waits and pub.unconfirmed > 0)
                ):
                    pub.pending = memoryview(pub.blob)
                    pub.unconfirmed += pub.batch
                    sent += pub.batch
        for pub in pubs:
            pub.send()
        for key, _ in selector.select(0.0005):
            last = now
            if not key.data.read():
                raise ConnectionError("the broker closed a connection")
        for sub in subs:
            sub.flush()
    result.lost = sent * len(subs) - sum([sub.count for sub in subs])
    return result
