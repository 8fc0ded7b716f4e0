"""A closed loop of publishers and subscribers that costs next to nothing, so that the broker is what is measured.

One process, non-blocking sockets.  Publishes are encoded once, in blobs; deliveries are counted, never parsed.  Never
more than a window of messages, and of bytes, is on its way, so no broker is driven to drop any.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from tests.perf.counters import NOT_NOW, Counter
from tests.perf.wires import Wire

STALL_S: Final = 3.0
"""Silence after which what is missing counts as lost."""
WINDOW: Final = 8_000
"""Messages on their way, from the publishers to the slowest subscriber."""
WINDOW_BYTES: Final = 8 << 20
"""Bytes on their way to all subscribers together."""
BATCHES: Final = 8
"""Batches in a window."""
PAUSE_S: Final = 0.0001
"""Rest after a turn that brought little: a broker that writes message by message is not to be charged with reading
message by message."""


@dataclass(frozen=True)
class Flow:
    """Who publishes what, and who gets it."""

    publish: Wire
    subscribe: Wire
    destinations: Sequence[str]
    """A subscriber for each; every message reaches all of them, or with `shared` one of them."""
    publishers: int = 1
    in_flight: int = 0
    """Messages of one publisher that may be unconfirmed; 0 for a batch."""
    shared: bool = False

    @property
    def window(self) -> int:
        """Messages that may be on their way."""
        size = len(self.publish.publish(1)) * (1 if self.shared else len(self.destinations))
        return max(BATCHES, min(WINDOW, WINDOW_BYTES // size))

    @property
    def batch(self) -> int:
        """Messages that a publisher sends in one go."""
        batch = max(1, self.window // BATCHES // ceil(self.publishers / BATCHES))
        return min(batch, self.in_flight) if self.in_flight else batch


@dataclass
class Result:
    """What a run showed."""

    published: int
    delivered: int
    lost: int
    seconds: float
    load: float
    """Part of the time that the load itself was computing."""
    broker: float
    """The same of the broker, all its threads together."""

    @property
    def delivered_per_s(self) -> float:
        """Deliveries a second, all subscribers together."""
        return self.delivered / self.seconds


class _Subscriber:
    def __init__(self, sock: socket.socket, counter: Counter) -> None:
        self.sock = sock
        self.counter = counter

    def read(self) -> bool:
        """False when the broker has closed."""
        return self.counter.read(self.sock)

    def go_on(self) -> None:
        """Send the acknowledgements that are left over."""
        self.counter.reply(self.sock)


class _Publisher:
    """Sends slices of one blob of messages, over and over; never more than `in_flight` unconfirmed."""

    def __init__(self, sock: socket.socket, flow: Flow, blob: memoryview, counter: Counter | None) -> None:
        self.sock = sock
        self._counter = counter
        self._blob = blob
        self._batch = flow.batch
        self._in_flight = flow.in_flight or flow.batch
        self._slice = len(flow.publish.publish(1)) * flow.batch
        self._at = 0
        self._pending = blob[:0]
        self._sent = 0

    @property
    def ready(self) -> bool:
        """May it begin another batch?"""
        if self._pending:
            return False
        return self._counter is None or self._sent - self._counter.count + self._batch <= self._in_flight

    def begin(self) -> None:
        """Send another batch."""
        self._pending = self._blob[self._at : self._at + self._slice]
        self._at = (self._at + self._slice) % len(self._blob)
        self._sent += self._batch
        self.go_on()

    def go_on(self) -> None:
        """Send what is pending."""
        if self._pending:
            try:
                self._pending = self._pending[self.sock.send(self._pending) :]
            except NOT_NOW:
                pass
        if self._counter is not None:
            self._counter.reply(self.sock)

    def read(self) -> bool:
        """False when the broker has closed."""
        return self._counter is None or self._counter.read(self.sock)


def blob(flow: Flow) -> memoryview:
    """Messages to every topic, in whole batches; no two that are unconfirmed at once have the same number."""
    least = max(flow.batch, flow.in_flight, len(flow.publish.content.topics))
    messages = [flow.publish.publish(number + 1) for number in range(ceil(least / flow.batch) * flow.batch)]
    assert len({len(message) for message in messages}) == 1
    return memoryview(b"".join(messages))


def run(flow: Flow, seconds: float, broker_cpu_s: Callable[[], float]) -> Result:
    """Publish for some seconds, then wait for what is still on its way; `broker_cpu_s` says what the broker has used."""
    selector = selectors.DefaultSelector()
    subs: list[_Subscriber] = []
    pubs: deque[_Publisher] = deque()
    sockets: list[socket.socket] = []
    try:
        for number, destination in enumerate(flow.destinations):
            sock = flow.subscribe.connect(f"bench-sub-{number}")
            sockets.append(sock)
            subs.append(_Subscriber(sock, flow.subscribe.deliveries()))
            flow.subscribe.subscribe(sock, destination)
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, subs[-1])
        time.sleep(0.3)  # some brokers confirm a subscription before it is in place
        messages = blob(flow)
        for number in range(flow.publishers):
            sock = flow.publish.connect(f"bench-pub-{number}")
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            counter = flow.publish.confirmations()
            pubs.append(_Publisher(sock, flow, messages, counter))
            if counter is not None:
                selector.register(sock, selectors.EVENT_READ, pubs[-1])
        return _Loop(selector, pubs, subs, flow).run(seconds, broker_cpu_s)
    finally:
        selector.close()
        for sock in sockets:
            sock.close()


class _Loop:
    def __init__(
        self,
        selector: selectors.BaseSelector,
        pubs: deque[_Publisher],
        subs: list[_Subscriber],
        flow: Flow,
    ) -> None:
        self._selector = selector
        self._pubs = pubs
        self._subs = subs
        self._batch = flow.batch
        self._window = flow.window
        self._delivered: Callable[[list[int]], int] = sum if flow.shared else min
        self._sent = 0

    def run(self, seconds: float, broker_cpu_s: Callable[[], float]) -> Result:
        """See `run` of the module."""
        broker = broker_cpu_s()
        load = time.process_time()
        begin = time.perf_counter()
        before = total = 0
        while (now := time.perf_counter()) < begin + seconds:
            self._publish()
            self._turn()
            total = sum(self._counts())
            if total - before < self._batch // 4:
                time.sleep(PAUSE_S)
            before = total
        took = now - begin
        load = (time.process_time() - load) / took
        broker = (broker_cpu_s() - broker) / took
        return Result(self._sent, total, self._drain(), took, load, broker)

    def _counts(self) -> list[int]:
        return [sub.counter.count for sub in self._subs]

    def _publish(self) -> None:
        """Begin what the window allows; each publisher gets its turn."""
        credit = self._window - (self._sent - self._delivered(self._counts()))
        for _ in range(len(self._pubs)):
            pub = self._pubs[0]
            self._pubs.rotate(-1)
            if pub.ready and credit >= self._batch:
                pub.begin()
                self._sent += self._batch
                credit -= self._batch

    def _turn(self) -> bool:
        """Go on with what is pending and take what has come; False when nothing has."""
        for pub in self._pubs:
            pub.go_on()
        events = self._selector.select(0.0005)
        for key, _ in events:
            if not key.data.read():
                raise ConnectionError("the broker closed a connection")
        for sub in self._subs:
            sub.go_on()
        return bool(events)

    def _drain(self) -> int:
        """Wait for the rest; returns how many did not come."""
        last = time.perf_counter()
        while (now := time.perf_counter()) < last + STALL_S:
            if self._delivered(self._counts()) >= self._sent:
                break
            if self._turn():
                last = now
        copies = 1 if self._delivered is sum else len(self._subs)
        return self._sent * copies - sum(self._counts())
