"""SIGKILL at a moment that is chosen: a commit is over, in which a message has moved, and the next has not begun.

A message is sent while a commit runs, and moves on before the next one: its place is struck, as it need not be written.
What it moved to is not on the disk yet, so its producer must not hear that it is safe.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crash_world import CONFIG, Server
from fault_clients import CONNECTION_LOST, StompClient, frame, until

WAIT_S = 15.0

TEXT = "it"
PLACES = ("/queue/source", "/queue/moved", "/queue/DLQ")

CAREFUL = "gated_gateway.py"
CARELESS = "gated_careless_gateway.py"

REJECTING = """
[stomp]
nack = "rejected"
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


class Peer(StompClient):
    """One connection, used step by step."""

    async def open(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        await self._open()

    def say(self, command: str, body: str = "", **headers: str) -> None:
        self.writer.write(
            frame(command, {name.replace("_", "-"): value for name, value in headers.items()}, body)
        )

    async def hear(self, command: str) -> dict[str, str]:
        """The headers of the next frame, which must be such a one."""
        async with asyncio.timeout(WAIT_S):
            heard, headers, body = await self.read()
        assert heard == command, (heard, headers, body)
        return headers | {"": body}

    async def ask(self) -> None:
        """Wait until the gateway has carried out what was said before.  Nothing of that may have a receipt."""
        self.say("BEGIN", transaction="asked", receipt="asked")
        self.say("ABORT", transaction="asked")
        assert (await self.hear("RECEIPT"))["receipt-id"] == "asked"

    async def keep(self, destination: str, body: str) -> None:
        """Send a message and hear that it is safe."""
        self.say("SEND", body, destination=destination, persistent="true", receipt=body)
        assert (await self.hear("RECEIPT"))["receipt-id"] == body

    def subscribe(self, destination: str) -> None:
        self.say("SUBSCRIBE", id=destination, destination=destination, ack="client-individual")

    async def rest(self) -> list[str]:
        """The receipts among all that has been sent to it, after the gateway has been killed."""
        receipts: list[str] = []
        with contextlib.suppress(*CONNECTION_LOST):
            async with asyncio.timeout(WAIT_S):
                while True:
                    _, headers, _ = await self.read()
                    receipts.append(headers.get("receipt-id", ""))
        return receipts


Move = Callable[[Peer, dict[str, str]], None]


def send_on(consumer: Peer, message: dict[str, str]) -> None:
    """In one transaction with its acknowledgement."""
    consumer.say("BEGIN", transaction="t")
    consumer.say("SEND", message[""], destination="/queue/moved", persistent="true", transaction="t")
    consumer.say("ACK", id=message["ack"], transaction="t")
    consumer.say("COMMIT", transaction="t")


def acknowledge_first(consumer: Peer, message: dict[str, str]) -> None:
    """The same the other way round: what leaves is known before what comes."""
    consumer.say("BEGIN", transaction="t")
    consumer.say("ACK", id=message["ack"], transaction="t")
    consumer.say("SEND", message[""], destination="/queue/moved", persistent="true", transaction="t")
    consumer.say("COMMIT", transaction="t")


def reject(consumer: Peer, message: dict[str, str]) -> None:
    """Into the dead letters."""
    consumer.say("NACK", id=message["ack"])


class Gate:
    """See gated_gateway.py."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def shut(self) -> None:
        (self._directory / "gate").touch()

    def open(self) -> None:
        (self._directory / "gate").unlink()

    async def reached(self, number: int) -> None:
        """The writer waits to begin its commit of this number."""
        assert await until((self._directory / f"at-{number}").exists, WAIT_S)

    def let_pass(self, number: int) -> None:
        (self._directory / f"pass-{number}").touch()


async def moved_and_killed(
    directory: Path, program: str, move: Move, committed: bool
) -> tuple[bool, list[str]]:
    """Was the message confirmed, and in which queues is it after a kill?

    The kill comes before the commit of what it moved to has begun, or after it was confirmed.
    """
    server = Server(directory, [str(Path(__file__).with_name(program))], CONFIG + REJECTING)
    gate = Gate(directory)
    await server.start()
    try:
        producer, consumer, other = peers = Peer("producer"), Peer("consumer"), Peer("other")
        for peer in peers:
            await peer.open(server.ports["stomp"])
        # Their queues are in the store.
        for place in PLACES:
            await producer.keep(place, "first")
        consumer.subscribe("/queue/source")
        consumer.say("ACK", id=(await consumer.hear("MESSAGE"))["ack"])
        await other.keep("/queue/other", "all is on the disk")

        gate.shut()
        other.say("SEND", "running", destination="/queue/other", persistent="true")
        await gate.reached(1)
        producer.say("SEND", TEXT, destination="/queue/source", persistent="true", receipt=TEXT)
        move(consumer, await consumer.hear("MESSAGE"))
        await consumer.ask()
        gate.let_pass(1)
        await gate.reached(2)
        if committed:
            gate.let_pass(2)
            assert (await producer.hear("RECEIPT"))["receipt-id"] == TEXT
        await server.kill()
        confirmed = committed or TEXT in await producer.rest()

        gate.open()
        await server.start()
        return confirmed, await places_of(server.ports["stomp"])
    finally:
        if server.process.returncode is None:
            await server.stop()


async def places_of(port: int) -> list[str]:
    """The queues in which it is."""
    reader = Peer("reader")
    await reader.open(port)
    found = []
    for place in PLACES:
        await reader.keep(place, "last")
        reader.subscribe(place)
        while (message := await reader.hear("MESSAGE"))[""] != "last":
            if message[""] == TEXT:
                found.append(place)
            reader.say("ACK", id=message["ack"])
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("move", "committed"),
    [(send_on, False), (acknowledge_first, False), (reject, False), (send_on, True), (reject, True)],
)
async def test_what_has_moved_is_safe_in_one_place_once_it_is_confirmed(
    move: Move, committed: bool, tmp_path: Path
) -> None:
    confirmed, places = await moved_and_killed(tmp_path, CAREFUL, move, committed)
    assert confirmed == committed
    if committed:
        assert places == ["/queue/DLQ" if move is reject else "/queue/moved"]
    else:
        assert len(places) <= 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("move", [send_on, reject])
async def test_the_proof_itself_finds_a_place_that_is_called_durable_before_its_group(
    move: Move, tmp_path: Path
) -> None:
    confirmed, places = await moved_and_killed(tmp_path, CARELESS, move, False)
    assert confirmed
    assert places == []


# -- a transaction that goes on over many turns of the loop


PARTS = 6_000


async def committed_and_killed(directory: Path, turns: int) -> tuple[bool, int]:
    """Was the COMMIT of PARTS messages confirmed, and how many are there after a kill, so many turns later?"""
    server = Server(directory, ["-m", "gateway", "run"], CONFIG)
    await server.start()
    try:
        producer, other = peers = Peer("producer"), Peer("other")
        for peer in peers:
            await peer.open(server.ports["stomp"])
        await producer.keep("/queue/large", "first")
        producer.say("BEGIN", transaction="large")
        for number in range(PARTS):
            producer.say(
                "SEND", str(number), destination="/queue/large", persistent="true", transaction="large"
            )
        await producer.ask()
        producer.say("COMMIT", transaction="large", receipt="large")
        for _ in range(turns):
            # Others are heard meanwhile; what they have stored is safe with the transaction.
            other.say("SEND", "beside", destination="/queue/beside", persistent="true")
            await other.ask()
        await server.kill()
        confirmed = "large" in await producer.rest()
        await server.start()
        return confirmed, await waiting(server.ports["stomp"], "/queue/large")
    finally:
        if server.process.returncode is None:
            await server.stop()


async def waiting(port: int, place: str) -> int:
    """How many messages there are, but for the first that was there before."""
    reader = Peer("reader")
    await reader.open(port)
    await reader.keep(place, "last")
    reader.say("SUBSCRIBE", id="0", destination=place, ack="auto")
    count = 0
    while (await reader.hear("MESSAGE"))[""] != "last":
        count += 1
    return count - 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("turns", [1, 5, 20, 60, 200])
async def test_a_large_transaction_is_there_as_a_whole_or_not_at_all(turns: int, tmp_path: Path) -> None:
    confirmed, count = await committed_and_killed(tmp_path, turns)
    assert count in (0, PARTS)
    assert count == PARTS or not confirmed
    if turns == 1:
        # Others are heard before it has been carried out.
        assert not confirmed
