"""What the status counts is what happened: a session of all protocols whose messages are known."""

import asyncio
import json
from typing import Any

import websockets

from gateway.app import Gateway
from gateway.config import Config

WAIT_S = 20


def config() -> Config:
    uris = {
        "mqtt": "mqtt://127.0.0.1:0?maximumConnections=2",
        "stomp": "stomp://127.0.0.1:0",
        "ws": "ws://127.0.0.1:0",
    }
    return Config.model_validate(
        {
            "connector": [{"name": name, "uri": uri} for name, uri in uris.items()],
            "admin": {"enabled": False},
            "store": {"path": ""},
            "mqtt": {"sys_interval_s": 0},
        }
    )


class Client:
    """A connection to one of the connectors."""

    def __init__(self, gateway: Gateway, at: int) -> None:
        self._port = gateway.listeners[at].port

    async def open(self, data: bytes, until: bytes) -> "Client":
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self.say(data, until)
        return self

    async def say(self, data: bytes, until: bytes, times: int = 1) -> bytes:
        """Write, and read until `until` has come so often."""
        self.writer.write(data)
        said = b""
        async with asyncio.timeout(WAIT_S):
            while said.count(until) < times:
                more = await self._reader.read(65_536)
                assert more, said
                said += more
        return said


def mqtt(client_id: bytes) -> bytes:
    return b"\x10%c\0\4MQTT\4\2\0\x3c\0%c%b" % (12 + len(client_id), len(client_id), client_id)


def http(line: bytes, body: bytes = b"", more: bytes = b"") -> bytes:
    return b"%b HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b" % (line, more, len(body), body)


STOMP = b"CONNECT\naccept-version:1.2\nhost:x\n\n\0"


async def counted(gateway: Gateway, connector: int, **wanted: int) -> None:
    """The connector's counters come to be these; what is on its way to a client may not have been written yet."""

    def now() -> dict[str, Any]:
        found = gateway.status()["connectors"][connector]
        return {key: found[key] for key in wanted}

    try:
        async with asyncio.timeout(WAIT_S):
            while now() != wanted:
                await asyncio.sleep(0.01)
    except TimeoutError:
        assert now() == wanted


async def test_messages_of_all_protocols_are_counted_where_they_come_in_and_where_they_go_out() -> None:
    async with Gateway(config()) as gateway:
        device = await Client(gateway, 0).open(mqtt(b"d") + b"\x82\x08\0\1\0\3t/#\1", b"\x90")
        subscribe = b"SUBSCRIBE\nid:1\ndestination:/topic/t.>\nreceipt:r\n\n\0"
        script = await Client(gateway, 1).open(STOMP + subscribe, b"RECEIPT")
        page_uri = f"ws://127.0.0.1:{gateway.listeners[2].port}/"
        async with websockets.connect(
            page_uri, subprotocols=[websockets.Subprotocol("gateway.json")]
        ) as page:
            await page.send('{"op": "subscribe", "id": 1, "sub": "a", "from": "topic:t.>"}')
            await page.recv()
            await device.say(b"\x30\6\0\3t/xy" * 10, b"t/xy", 10)
            await script.say(b"SEND\ndestination:/topic/t.y\n\ny\0" * 5, b"MESSAGE", 5)
            await page.send(json.dumps([{"op": "publish", "to": "topic:t.z", "body": "z"}] * 3))
            asking = await Client(gateway, 2).open(http(b"POST /topics/t.h", b"h"), b" 202 ")
            got = 0
            async with asyncio.timeout(WAIT_S):
                while got < 19:
                    found = json.loads(await page.recv())
                    got += len(
                        [one for one in (found if isinstance(found, list) else [found]) if "body" in one]
                    )
            # Everybody gets all 19 of them, the one who sent them too.
            await counted(gateway, 0, messages_in=10, messages_out=19, connections=1)
            await counted(gateway, 1, messages_in=5, messages_out=19, connections=1)
            await counted(gateway, 2, messages_in=4, messages_out=19, connections=2)
            assert gateway.status()["core"]["published"] == 19
        await counted(gateway, 2, messages_in=4, messages_out=19, connections=1)

        for body in (b"1", b"2", b"3"):
            await asking.say(http(b"POST /queues/q", body), b" 202 ")
        await asking.say(http(b"GET /queues/q?ack=auto"), b" 200 ")
        take = b"SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client-individual\n\n\0"
        worker = await Client(gateway, 1).open(STOMP, b"CONNECTED")
        said = await worker.say(take, b"\0\n", 2)
        one, other = [part.split(b"\n")[0] for part in said.split(b"\nack:")[1:]]
        settle = b"NACK\nid:%b\nrequeue:false\n\n\0ACK\nid:%b\nreceipt:done\n\n\0" % (one, other)
        await worker.say(settle, b"receipt-id:done")
        await counted(gateway, 1, messages_in=5, messages_out=21, protocol_errors=0)
        await counted(gateway, 2, messages_in=7, messages_out=20)
        core = gateway.status()["core"]
        assert (core["published"], core["dead_lettered"], core["expired"]) == (22, 1, 0)

        second = await Client(gateway, 0).open(mqtt(b"e"), b"\x20\2\0\0")
        # CONNACK 3: server unavailable (MQTT 3.1.1 §3.2.2.3).
        third = await Client(gateway, 0).open(mqtt(b"f"), b"\x20\2\0\3")
        await worker.say(b"NONSENSE\n\n\0", b"ERROR")
        await counted(gateway, 0, connections=2, connections_total=3, refused=1)
        await counted(gateway, 1, connections_total=2, protocol_errors=1)
        for client in (device, script, asking, worker, second, third):
            client.writer.close()
