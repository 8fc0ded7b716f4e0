"""A closed connection leaves nothing that only the collector can find: its pauses would be everybody's."""

import asyncio
import gc
import socket
import ssl
import struct
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tls_files import Pki

from gateway.app import Gateway
from gateway.config import Config
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.frames import Connect, Subscribe, SubscriptionRequest, Will

TIMES = 3
"""Connections of each kind that are looked at."""

OURS = ("gateway", "protocols", "websockets", "h11")


@dataclass
class Visit:
    """One connection: what it says, a part after the answer to the one before, and how it ends."""

    to: str
    said: tuple[bytes, ...]
    answered: bool = True
    """Does each part get an answer?"""
    reset: bool = False
    """It ends without a word, and what was under way is lost."""
    tls: bool = False


def mqtt(version: int, *rest: bytes, **fields: object) -> tuple[bytes, ...]:
    return encode_packet(Connect("c", protocol_version=version, **fields), version), *rest  # type: ignore[arg-type]


def subscribe(version: int, filter: str = "t") -> bytes:
    return encode_packet(Subscribe(1, [SubscriptionRequest(filter, 2)]), version)


def publish(version: int, qos: int) -> bytes:
    return encode_publish("t", b"x", qos, True, False, 7, b"" if version == 5 else None)


def stomp(*frames: str) -> tuple[bytes, ...]:
    return tuple(frame.encode() + b"\n\n\0" for frame in ("CONNECT\naccept-version:1.2\nhost:h", *frames))


def http(line: str, headers: str = "", body: str = "") -> bytes:
    return f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n{body}".encode()


def upgrade(subprotocol: str, headers: str = "") -> bytes:
    return http(
        "GET /",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {subprotocol}\r\n{headers}",
    )


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A masked frame whose mask changes nothing."""
    assert len(payload) < 126
    return bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
JSON_SUBSCRIBE = frame(b'{"op":"subscribe","id":1,"from":"topic:t","ack":"client"}')
JSON_QUEUE = frame(b'{"op":"subscribe","id":1,"from":"queue:q","ack":"client"}')
JSON_PUBLISH = frame(b'{"op":"publish","id":2,"to":"topic:t","body":"x"}')
WILL = Will("w", b"gone", 1, False)

VISITS = {
    "mqtt 3": Visit("mqtt", mqtt(4, subscribe(4), publish(4, 2))),
    "mqtt 3, disconnect": Visit("mqtt", mqtt(4, subscribe(4), b"\xe0\0")),
    "mqtt 3, reset": Visit("mqtt", mqtt(4, subscribe(4), publish(4, 2), will=WILL), reset=True),
    "mqtt 5": Visit("mqtt", mqtt(5, subscribe(5), publish(5, 1))),
    "mqtt 5, kept": Visit("mqtt", mqtt(5, subscribe(5), publish(5, 2), clean_start=False), reset=True),
    "mqtt 5, queues": Visit("mqtt", mqtt(5, subscribe(5, "$queue/m"), subscribe(5, "$share/g/t"), publish(5, 1))),
    "mqtt, silent": Visit("mqtt", ()),
    "mqtt, half a connect": Visit("mqtt", (mqtt(4)[0][:9],), answered=False, reset=True),
    "mqtt, wrong version": Visit("mqtt", (b"\x10\x0d\0\4MQTT\x09\2\0\x3c\0\1c",)),
    "mqtt, second connect": Visit("mqtt", mqtt(5, mqtt(5)[0])),
    "mqtt, garbage": Visit("mqtt", (b"\xff" * 99,)),
    "stomp": Visit("stomp", stomp("SUBSCRIBE\nid:1\ndestination:/topic/t\nack:client\nreceipt:1")),
    "stomp, transaction": Visit(
        "stomp", stomp("BEGIN\ntransaction:t\nreceipt:1", "SEND\ndestination:/queue/q\ntransaction:t\nreceipt:2")
    ),
    "stomp, browser": Visit("stomp", stomp("SUBSCRIBE\nid:1\ndestination:/queue/q\nbrowser:true\nreceipt:1")),
    "stomp, selector": Visit("stomp", stomp("SUBSCRIBE\nid:1\ndestination:/queue/>\nselector:a=1\nreceipt:1")),
    "stomp, durable": Visit(
        "stomp",
        stomp("SUBSCRIBE\nid:1\ndestination:/topic/t\nactivemq.subscriptionName:n\nclient-id:c\nreceipt:1"),
    ),
    "stomp, disconnect": Visit("stomp", stomp("DISCONNECT\nreceipt:1")),
    "stomp, reset": Visit("stomp", stomp("SUBSCRIBE\nid:1\ndestination:/queue/q\nreceipt:1"), reset=True),
    "stomp, garbage": Visit("stomp", (b"\xff" * 99 + b"\0",)),
    "http": Visit("ws", (http("GET /queues/none"), http("GET /nowhere"))),
    "http, published": Visit("ws", (http("POST /topics/t", "Content-Length: 1\r\n", "x"),)),
    "http, half a body": Visit("ws", (http("POST /topics/t", "Content-Length: 9\r\n", "x"),), False, True),
    "http, waiting": Visit("ws", (http("GET /queues/none?wait=9000"),), answered=False, reset=True),
    "http, garbage": Visit("ws", (b"\xff" * 99 + b"\r\n\r\n",)),
    "events": Visit("ws", (http("GET /events?destination=topic:t"),), reset=True),
    "json": Visit("ws", (upgrade("gateway.json"), JSON_SUBSCRIBE, JSON_PUBLISH)),
    "json, queue": Visit("ws", (upgrade("gateway.json"), JSON_QUEUE, JSON_PUBLISH), reset=True),
    "json, closed": Visit("ws", (upgrade("gateway.json"), JSON_SUBSCRIBE, frame(b"\x03\xe8", 8))),
    "json, compressed": Visit("ws", (upgrade("gateway.json", DEFLATE), JSON_SUBSCRIBE, JSON_PUBLISH)),
    "json, compressed, reset": Visit("ws", (upgrade("gateway.json", DEFLATE), JSON_SUBSCRIBE), reset=True),
    "json, garbage": Visit("ws", (upgrade("gateway.json"), frame(b"{"))),
    "mqtt in websocket": Visit("ws", (upgrade("mqtt"), frame(mqtt(4)[0], 2))),
    "stomp in websocket": Visit("ws", (upgrade("v12.stomp", DEFLATE), frame(stomp()[0]))),
    "websocket, refused": Visit("ws", (upgrade("mqtt", "Origin: http://elsewhere.example\r\n"),)),
    "auto, mqtt": Visit("auto", mqtt(4)),
    "auto, http": Visit("auto", (http("GET /queues/none"),)),
    "auto, garbage": Visit("auto", (b"\xff" * 99,)),
    "tls": Visit("tls", mqtt(5, subscribe(5)), tls=True),
    "tls, reset": Visit("tls", mqtt(4), reset=True, tls=True),
    "tls, no client of it": Visit("tls", mqtt(4)),
    "tls, silent": Visit("tls", (), reset=True),
    "tls, half a hello": Visit("tls", (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",), answered=False, reset=True),
    "one too many": Visit("few", mqtt(5)),
}  # fmt: skip

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def config(pki: Pki, path: Path) -> Config:
    pair = pki.pair()
    uris = {"mqtt": "mqtt", "stomp": "stomp", "ws": "ws", "auto": "auto", "few": "mqtt", "tls": "mqtt+ssl"}
    connectors = [{"name": name, "uri": f"{scheme}://127.0.0.1:0"} for name, scheme in uris.items()]
    connectors[4]["uri"] += "?maximumConnections=1"
    connectors[5]["tls"] = {"certificate": str(pair.certificate), "key": str(pair.key)}  # type: ignore[assignment]
    return Config.model_validate(
        {
            "connector": connectors,
            "admin": {"enabled": False},
            "store": {"path": str(path / "store.db")},
            "websocket": {"compression": True},
        }
    )


def pay(visit: Visit, port: int, root: Path) -> None:
    """A client, on a thread of its own."""
    with socket.create_connection(("127.0.0.1", port), 5) as plain:
        client = plain
        if visit.tls:
            client = ssl.create_default_context(cafile=str(root)).wrap_socket(
                plain, server_hostname="127.0.0.1"
            )
        for part in visit.said:
            client.sendall(part)
            if visit.answered:
                client.recv(65_536)
        if visit.reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif not visit.tls:
            client.shutdown(socket.SHUT_WR)
            while client.recv(65_536):
                pass
        client.close()


async def pay_all(gateway: Gateway, pki: Pki, visits: list[Visit]) -> None:
    """Each of them, one after the other; then nobody is connected."""
    ports = {listener.acceptor.name: listener for listener in gateway.listeners}
    for visit in visits:
        for _ in range(TIMES):
            await asyncio.to_thread(pay, visit, ports[visit.to].port, pki.root)
    async with asyncio.timeout(10):
        while any(listener.transports for listener in gateway.listeners if listener.acceptor.name != "few"):
            await asyncio.sleep(0.01)


def ours() -> Counter[str]:
    """What there is, by type."""
    kinds = [type(thing) for thing in gc.get_objects()]
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if kind.__module__.split(".")[0] in OURS
    )


def cycles() -> Counter[str]:
    """What goes only when the collector comes, by type.

    What it says that it has found is less: a cycle that a generator's end breaks is not counted.
    """
    before = ours()
    gc.collect()
    return before - ours()


async def left(pki: Pki, path: Path) -> dict[str, Counter[str]]:
    """What visits of each kind leave behind."""
    leaving: dict[str, Counter[str]] = {}
    async with Gateway(config(pki, path)) as gateway:
        few = next(listener for listener in gateway.listeners if listener.acceptor.name == "few")
        with socket.create_connection(("127.0.0.1", few.port)):
            # What is made once and stays, first.
            await pay_all(gateway, pki, list(VISITS.values()))
            gc.collect()
            # Only what is new is looked at from here on, which takes no time.
            gc.freeze()
            for name, visit in VISITS.items():
                await pay_all(gateway, pki, [visit])
                found = cycles()
                if found:
                    leaving[name] = found
    return leaving


@pytest.mark.parametrize("loop", LOOPS)
def test_no_connection_leaves_a_cycle(pki: Pki, tmp_path: Path, loop: str) -> None:
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            assert runner.run(left(pki, tmp_path)) == {}
    finally:
        gc.unfreeze()
        gc.enable()
