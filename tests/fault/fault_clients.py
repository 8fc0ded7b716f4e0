"""Clients that survive the gateway: they connect again, go on where they were, and write down what they saw."""

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

CONNECTION_LOST = (ConnectionError, asyncio.IncompleteReadError, OSError)


class History:
    """What one stream of numbered messages looked like from outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.attempted: set[str] = set()
        self.confirmed: set[str] = set()
        self.resent: set[str] = set()
        """Sent again by their producer, which asked in vain for a confirmation: may come twice."""
        self.received: Counter[str] = Counter()
        self.order: list[str] = []
        """First receptions."""
        self.unflagged: list[str] = []
        """Received again without a sign that it might be a repetition."""

    def see(self, text: str, flagged: bool) -> None:
        self.received[text] += 1
        if self.received[text] == 1:
            self.order.append(text)
        elif not flagged and text not in self.resent:
            self.unflagged.append(text)


class Client:
    """Connects again and again until told to stop."""

    connector: str
    """To which connector, by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.port = 0
        self._up = asyncio.Event()
        # How often the gateway has come up.
        self._life = 0
        self._stopping = False

    def gateway_up(self, port: int) -> None:
        self.port = port
        self._life += 1
        self._up.set()

    def gateway_down(self) -> None:
        self._up.clear()

    def stop(self) -> None:
        self._stopping = True
        self._up.set()

    async def run(self) -> None:
        while True:
            await self._up.wait()
            if self._stopping:
                return
            life = self._life
            try:
                await self.serve()
            except CONNECTION_LOST:
                # The loss may be noticed only when the next one is up already.
                if life == self._life and not self._stopping:
                    self._up.clear()
                await asyncio.sleep(0)

    async def serve(self) -> None:
        """One connection."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await self.connected()
        finally:
            self.writer.close()

    async def connected(self) -> None:
        """Serve one connection until it is lost."""
        raise NotImplementedError


# -- MQTT 3.1.1


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def packet(first: int, body: bytes) -> bytes:
    size = len(body)
    head = bytearray((first,))
    while True:
        byte = size & 127
        size >>= 7
        head.append(byte | (128 if size else 0))
        if not size:
            return bytes(head) + body


class MqttClient(Client):
    connector = "mqtt"

    async def _open(self) -> None:
        body = _string("MQTT") + bytes((4, 0)) + struct.pack(">H", 60) + _string(self.name)
        self.writer.write(packet(0x10, body))
        first, answer = await self.read()
        assert (first, answer[1]) == (0x20, 0), answer

    async def read(self) -> tuple[int, bytes]:
        first = (await self.reader.readexactly(1))[0]
        size = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return first, await self.reader.readexactly(size)


class MqttProducer(MqttClient):
    """Numbered messages at QoS 1 or 2, `window` at a time; what was not confirmed is sent again."""

    def __init__(self, name: str, topic: str, qos: int, history: History, window: int = 20) -> None:
        super().__init__(name)
        self.topic = topic
        self.qos = qos
        self.history = history
        self.window = window
        self.producing = True
        self._number = 0
        # Packet id → text; at QoS 2 None once the PUBREC has come.
        self._open_ids: dict[int, str | None] = {}

    @property
    def finished(self) -> bool:
        return not self._open_ids

    async def connected(self) -> None:
        await self._open()
        for packet_id, text in list(self._open_ids.items()):
            if text is None:
                self.writer.write(packet(0x62, struct.pack(">H", packet_id)))
            else:
                self.history.resent.add(text)
                self._publish(packet_id, text, True)
        while True:
            while self.producing and len(self._open_ids) < self.window:
                self._number += 1
                text = f"{self.name}:{self._number:06}"
                packet_id = self._number % 60_000 + 1
                self._open_ids[packet_id] = text
                self.history.attempted.add(text)
                self._publish(packet_id, text, False)
            await self.writer.drain()
            first, body = await self.read()
            self._on_answer(first >> 4, struct.unpack(">H", body[:2])[0])

    def _publish(self, packet_id: int, text: str, dup: bool) -> None:
        body = _string(self.topic) + struct.pack(">H", packet_id) + text.encode()
        self.writer.write(packet(0x30 | (8 if dup else 0) | self.qos << 1, body))

    def _on_answer(self, kind: int, packet_id: int) -> None:
        text = self._open_ids.get(packet_id)
        if kind == 5:
            # The gateway has it: from here on it must not get lost.
            assert text is not None
            self.history.confirmed.add(text)
            self._open_ids[packet_id] = None
            self.writer.write(packet(0x62, struct.pack(">H", packet_id)))
            return
        if kind == 4:
            assert text is not None
            self.history.confirmed.add(text)
        del self._open_ids[packet_id]


class MqttConsumer(MqttClient):
    """A persistent session with one subscription."""

    def __init__(self, name: str, topic: str, qos: int, sort: Callable[[str], History | None]) -> None:
        super().__init__(name)
        self.topic = topic
        self.qos = qos
        self.subscribed = asyncio.Event()
        self._sort = sort
        self._held: set[int] = set()

    async def connected(self) -> None:
        await self._open()
        if not self.subscribed.is_set():
            self.writer.write(packet(0x82, struct.pack(">H", 1) + _string(self.topic) + bytes((self.qos,))))
        while True:
            first, body = await self.read()
            kind = first >> 4
            if kind == 9:
                self.subscribed.set()
            elif kind == 3:
                self._on_publish(first, body)
            elif kind == 6:
                (packet_id,) = struct.unpack(">H", body)
                self._held.discard(packet_id)
                self.writer.write(packet(0x70, struct.pack(">H", packet_id)))

    def _on_publish(self, first: int, body: bytes) -> None:
        (size,) = struct.unpack(">H", body[:2])
        packet_id = body[2 + size : 4 + size]
        text = body[4 + size :].decode()
        (number,) = struct.unpack(">H", packet_id)
        history = self._sort(text)
        if first >> 1 & 3 == 2:
            if number not in self._held:
                self._held.add(number)
                if history is not None:
                    history.see(text, False)
            self.writer.write(packet(0x50, packet_id))
            return
        if history is not None:
            history.see(text, bool(first & 8))
        self.writer.write(packet(0x40, packet_id))


# -- STOMP 1.2


def frame(command: str, headers: dict[str, Any], body: str = "") -> bytes:
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    return f"{command}\n{lines}\n{body}\0".encode()


class StompClient(Client):
    connector = "stomp"

    async def _open(self) -> None:
        self.writer.write(frame("CONNECT", {"accept-version": "1.2", "host": "x", "client-id": self.name}))
        command, _, _ = await self.read()
        assert command == "CONNECTED"

    async def read(self) -> tuple[str, dict[str, str], str]:
        data = (await self.reader.readuntil(b"\0"))[:-1].lstrip(b"\n").decode()
        head, _, body = data.partition("\n\n")
        command, *lines = head.split("\n")
        return command, dict(line.split(":", 1) for line in reversed(lines)), body


class StompProducer(StompClient):
    """Numbered messages with receipts, `window` at a time; in transactions of `parts` if there are several."""

    def __init__(
        self, name: str, destination: str, history: History, window: int = 20, parts: int = 1
    ) -> None:
        super().__init__(name)
        self.destination = destination
        self.history = history
        self.window = window
        self.parts = parts
        self.producing = True
        self._number = 0
        self._open_receipts: dict[str, list[str]] = {}

    @property
    def finished(self) -> bool:
        return not self._open_receipts

    async def connected(self) -> None:
        # What was not confirmed may be there or not; it is not sent again.
        self._open_receipts.clear()
        await self._open()
        while True:
            while self.producing and len(self._open_receipts) < self.window:
                self._send()
            await self.writer.drain()
            command, headers, body = await self.read()
            assert command == "RECEIPT", (command, body)
            self.history.confirmed.update(self._open_receipts.pop(headers["receipt-id"]))

    def _send(self) -> None:
        self._number += 1
        receipt = str(self._number)
        texts = [f"{self.name}:{self._number:06}"]
        headers: dict[str, Any] = {"destination": self.destination, "persistent": "true"}
        if self.parts == 1:
            self.writer.write(frame("SEND", headers | {"receipt": receipt}, texts[0]))
        else:
            texts = [f"{texts[0]}/{part}" for part in range(self.parts)]
            transaction = {"transaction": f"tx-{receipt}"}
            self.writer.write(frame("BEGIN", transaction))
            for text in texts:
                self.writer.write(frame("SEND", headers | transaction, text))
            self.writer.write(frame("COMMIT", transaction | {"receipt": receipt}))
        self._open_receipts[receipt] = texts
        self.history.attempted.update(texts)


class StompConsumer(StompClient):
    """Acknowledges each message on its own."""

    def __init__(
        self,
        name: str,
        destination: str,
        sort: Callable[[str], History | None],
        durable: bool = False,
        prefetch: int = 0,
    ) -> None:
        super().__init__(name)
        self.destination = destination
        self.subscribed = asyncio.Event()
        self._sort = sort
        self._durable = durable
        self._prefetch = prefetch

    async def connected(self) -> None:
        await self._open()
        headers = {"id": "1", "destination": self.destination, "ack": "client-individual", "receipt": "sub"}
        if self._durable:
            headers["activemq.subscriptionName"] = "durable"
        if self._prefetch:
            headers["activemq.prefetchSize"] = str(self._prefetch)
        self.writer.write(frame("SUBSCRIBE", headers))
        while True:
            command, headers, body = await self.read()
            if command == "RECEIPT":
                self.subscribed.set()
                continue
            assert command == "MESSAGE", (command, body)
            history = self._sort(body)
            if history is not None:
                history.see(body, headers.get("redelivered") == "true")
            self.writer.write(frame("ACK", {"id": headers["ack"]}))


async def until(met: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; False when it did not come."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not met():
                await asyncio.sleep(0.02)
            return True
    return met()


async def until_still(met: Callable[[], bool], count: Callable[[], int], seconds: float) -> bool:
    """Wait for a condition as long as `count` grows; False when it stood still for so long.

    How fast things come is a matter of the machine and of who else is on it, so no time bounds all of them.
    """
    before = -1
    while not met() and (now := count()) != before:
        before = now
        await until(met, seconds)
    return met()
