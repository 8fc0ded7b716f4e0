"""Clients whose messages move before they arrive: in transactions, to the dead letters; and one that says goodbye."""

import asyncio

from fault_clients import History, StompClient, frame


class Mover(StompClient):
    """Takes each message and sends it on, both in one transaction."""

    def __init__(self, name: str, source: str, target: str) -> None:
        super().__init__(name)
        self.source = source
        self.target = target
        self.subscribed = asyncio.Event()

    async def connected(self) -> None:
        await self._open()
        self.writer.write(
            frame(
                "SUBSCRIBE",
                {"id": "1", "destination": self.source, "ack": "client-individual", "receipt": "sub"},
            )
        )
        number = 0
        while True:
            command, headers, body = await self.read()
            if command == "RECEIPT":
                self.subscribed.set()
                continue
            assert command == "MESSAGE", (command, body)
            number += 1
            transaction = {"transaction": f"move-{number}"}
            self.writer.write(frame("BEGIN", transaction))
            self.writer.write(
                frame("SEND", {"destination": self.target, "persistent": "true"} | transaction, body)
            )
            self.writer.write(frame("ACK", {"id": headers["ack"]} | transaction))
            self.writer.write(frame("COMMIT", transaction))


class Rejecter(Mover):
    """Wants none of what it is given."""

    def __init__(self, name: str, source: str) -> None:
        super().__init__(name, source, "")

    async def connected(self) -> None:
        await self._open()
        self.writer.write(
            frame(
                "SUBSCRIBE",
                {"id": "1", "destination": self.source, "ack": "client-individual", "receipt": "sub"},
            )
        )
        while True:
            command, headers, body = await self.read()
            if command == "RECEIPT":
                self.subscribed.set()
                continue
            assert command == "MESSAGE", (command, body)
            self.writer.write(frame("NACK", {"id": headers["ack"]}))


class Leaver(StompClient):
    """Sends some messages without receipts, then DISCONNECT: its receipt says that all of them are safe."""

    def __init__(self, name: str, destination: str, history: History, count: int = 50) -> None:
        super().__init__(name)
        self.destination = destination
        self.history = history
        self.count = count
        self.producing = True
        self._number = 0

    @property
    def finished(self) -> bool:
        return True

    async def connected(self) -> None:
        if not self.producing:
            await asyncio.sleep(0.05)
            return
        await self._open()
        texts = []
        for _ in range(self.count):
            self._number += 1
            texts.append(f"{self.name}:{self._number:06}")
            self.writer.write(
                frame("SEND", {"destination": self.destination, "persistent": "true"}, texts[-1])
            )
        self.history.attempted.update(texts)
        self.writer.write(frame("DISCONNECT", {"receipt": "bye"}))
        command, _, body = await self.read()
        assert command == "RECEIPT", (command, body)
        self.history.confirmed.update(texts)
