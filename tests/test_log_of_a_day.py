"""What an operator finds in the log: who came and went and why, who was not let in, what was set aside, what was found."""

import asyncio
import base64
import logging
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import Config
from gateway.core.counters import DEATHS_MAX, CoreCounters
from gateway.net.reports import LINE_MAX
from gateway.security.passwords import hash_password

SECRET = "s3cret-of-bob"


def config(**sections: object) -> Config:
    values: dict[str, object] = {
        "connector": [
            {"name": "m", "uri": "mqtt://127.0.0.1:0", "allow_anonymous": False},
            {"name": "s", "uri": "stomp://127.0.0.1:0", "allow_anonymous": False},
            {"name": "w", "uri": "ws://127.0.0.1:0", "allow_anonymous": False},
        ],
        "admin": {"enabled": False},
        "store": {"path": ""},
        "user": [{"name": "bob", "hash": hash_password(SECRET)}],
    }
    return Config.model_validate(values | sections)


async def said_to(gateway: Gateway, at: int, data: bytes) -> bytes:
    """What the listener answers, until it closes; a client that is let in closes itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.listeners[at].port)
    writer.write(data)
    answer = await reader.read(4096)
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(10):
        while gateway.listeners[at].transports:
            await asyncio.sleep(0.002)
    return answer


def mqtt(user: str, password: str, client_id: str, will: str = "") -> bytes:
    parts = [part.encode() for part in (client_id, *((will, "gone") if will else ()), user, password)]
    flags = 0xC6 if will else 0xC2
    body = b"\0\4MQTT\4%c\0\x3c" % flags + b"".join(len(part).to_bytes(2) + part for part in parts)
    return bytes([0x10, len(body)]) + body


def publish(topic: str) -> bytes:
    body = len(topic).to_bytes(2) + topic.encode() + b"\0\1secret"
    return bytes([0x32, len(body)]) + body


def stomp(user: str, password: str) -> bytes:
    return f"CONNECT\naccept-version:1.2\nhost:x\nlogin:{user}\npasscode:{password}\nclient-id:script\n\n\0".encode()


def http(user: str, password: str, more: str = "") -> bytes:
    proof = base64.b64encode(f"{user}:{password}".encode()).decode()
    return (
        f"GET /queues/q HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {proof}\r\n{more}"
        "Connection: close\r\n\r\n"
    ).encode()


def lines(caplog: pytest.LogCaptureFixture, level: int, of: str = "gateway") -> list[str]:
    """Those of the logger `of` and below it: another test may have left on what a gateway says of itself."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and f"{record.name}.".startswith(f"{of}.")
    ]


async def test_who_is_not_let_in_is_named_in_every_protocol_and_no_secret_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "gateway")
    async with Gateway(config()) as gateway:
        await said_to(gateway, 0, mqtt("bob", "wrong-1", "device"))
        await said_to(gateway, 1, stomp("eve", "wrong-2"))
        await said_to(gateway, 2, http("bob", "wrong-3"))
        port = gateway.listeners[2].port
        await said_to(
            gateway, 2, f"GET /queues/q HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer wrong-4\r\n"
            "Connection: close\r\n\r\n".encode()
        )  # fmt: skip
    found = [line for line in lines(caplog, logging.INFO) if "is not let in" in line]
    assert [line.split(": ", 2)[2] for line in found] == [
        "'bob' as 'device' is not let in",
        "'eve' as 'script' is not let in",
        "'bob' is not let in",
        "somebody without a name is not let in",
    ]
    assert all(line.split(":")[1] == " 127.0.0.1" for line in found)
    whole = "\n".join(record.getMessage() for record in caplog.records)
    assert "wrong" not in whole
    assert SECRET not in whole


NOBODY_MQTT = b"\x10\x10\0\4MQTT\4\2\0\x3c\0\4door"
NOBODY_STOMP = b"CONNECT\naccept-version:1.2\nhost:h\nclient-id:script\n\n\0"


@pytest.mark.parametrize(
    ("at", "data", "line"),
    [
        (0, mqtt("bob", SECRET, "d", "no/go"), " 'bob' as 'd': not allowed to publish its will to 'no/go'"),
        (0, mqtt("bob", SECRET, "d", "$SYS/x"), " 'bob' as 'd': its will: nobody may publish to $SYS/x"),
        (0, mqtt("bob", SECRET, "d") + publish("no/go"), " 'bob' as 'd': not allowed to publish to 'no/go'"),
        (0, NOBODY_MQTT, ": somebody without a name as 'door' is not let in: anonymous clients are not allowed"),
        (1, NOBODY_STOMP, ": somebody without a name as 'script' is not let in: anonymous clients are not allowed"),
        (1, stomp("bob", SECRET), ": 'bob' as 'script' is not let in: unknown virtual host 'x'"),
        (
            1,
            stomp("bob", SECRET).replace(b":x\n", b":h\n") + b"SEND\ndestination:/queue/no\n\nsecret\0",
            " 'bob' as 'script': not allowed to send to /queue/no",
        ),
    ],
)  # fmt: skip
async def test_who_is_refused_something_and_what_is_in_the_one_line_that_says_so(
    at: int, data: bytes, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.net")
    rule = {"allow": ["publish", "subscribe"], "users": ["*"], "destinations": ["topic:ok.>"]}
    more = {"mqtt": {"publish_denied": "disconnect"}, "stomp": {"virtual_hosts": ["h"]}, "rule": [rule]}
    async with Gateway(config(**more)) as gateway:
        await said_to(gateway, at, data)
    assert [
        said.split(":", 2)[2].lstrip("0123456789") for said in lines(caplog, logging.INFO, "gateway.net")
    ] == [line]
    assert "secret" not in caplog.text


async def test_a_line_of_the_log_is_not_as_long_as_a_name_may_be(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.net")
    async with Gateway(config(rule=[{"deny": ["publish"], "destinations": ["queue:>"]}])) as gateway:
        send = b"SEND\ndestination:/queue/%b\n\nx\0" % (b"n" * 30_000)
        await said_to(gateway, 1, stomp("bob", SECRET) + send)
    (line,) = lines(caplog, logging.INFO, "gateway.net")
    assert "not allowed to send to /queue/nnn" in line
    assert len(line) <= LINE_MAX + 1


async def test_who_comes_and_goes_is_said_at_debug_and_a_failure_at_info(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "gateway")
    async with Gateway(config()) as gateway:
        await said_to(gateway, 0, mqtt("bob", SECRET, "device"))
        await said_to(gateway, 1, stomp("bob", SECRET) + b"DISCONNECT\n\n\0")
        await said_to(gateway, 1, stomp("bob", SECRET) + b"NONSENSE\n\n\0")
    debug = [line.split(" ", 2)[2] for line in lines(caplog, logging.DEBUG) if "127.0.0.1" in line]
    assert debug[:2] == ["'bob' as 'device' has come", "'bob' as 'device' has left by closing the connection"]
    assert debug[2:4] == ["'bob' as 'script' has come", "'bob' as 'script' has left"]
    assert debug[4:] == ["'bob' as 'script' has come"]
    (failed,) = [line for line in lines(caplog, logging.INFO) if "'script'" in line]
    assert "NONSENSE" in failed
    assert SECRET not in "\n".join(record.getMessage() for record in caplog.records)


async def test_pages_that_may_not_use_it_are_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    async with Gateway(config()) as gateway:
        await said_to(gateway, 2, http("bob", SECRET, "Origin: http://evil.example\r\n"))
        await said_to(gateway, 2, http("bob", SECRET, "Sec-Fetch-Site: cross-site\r\n"))
        await said_to(gateway, 2, b"GET / HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n")
    found = [line.split(": ", 2)[2] for line in lines(caplog, logging.INFO) if line.startswith("w: ")]
    assert found == [
        "pages of 'http://evil.example' may not use this gateway",
        "a page of another site, which is not named, may not use this gateway",
        "asked for as 'rebound.example', which is not its name",
    ]


async def test_dead_letters_are_summed_up_by_queue_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    async with Gateway(config()) as gateway:
        sends = b"SEND\ndestination:/queue/jobs\n\nx\0" * 3
        take = b"SUBSCRIBE\nid:1\ndestination:/queue/jobs\nack:client-individual\n\n\0"
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.listeners[1].port)
        writer.write(stomp("bob", SECRET) + sends + take)
        for _ in range(3):
            frame = await reader.readuntil(b"MESSAGE\n") + await reader.readuntil(b"\0\n")
            handle = frame.split(b"ack:")[1].split(b"\n")[0]
            writer.write(b"NACK\nid:" + handle + b"\nrequeue:false\n\n\0")
        writer.write(b"DISCONNECT\nreceipt:end\n\n\0")
        await reader.readuntil(b"receipt-id:end")
        writer.close()
    assert "3 dead letters of queue:jobs: rejected" in lines(caplog, logging.INFO)


def test_deaths_in_very_many_queues_are_added_up() -> None:
    counters = CoreCounters()
    for number in range(DEATHS_MAX + 100):
        counters.bury(f"queue:{number}", "expired")
    deaths = counters.take_deaths()
    assert len(deaths) == DEATHS_MAX + 1
    assert sum(deaths.values()) == counters.dead_lettered
    assert counters.take_deaths() == {}


async def test_a_new_store_is_neither_after_a_crash_nor_after_an_orderly_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    kept = config(store={"path": str(tmp_path / "store.db"), "reserve_bytes": 0})

    def said() -> str:
        (line,) = [line for line in lines(caplog, logging.INFO) if line.startswith("store ")]
        caplog.clear()
        return line.rpartition(": ")[2]

    async with Gateway(kept):
        assert said() == "new"
        # What the files are at this moment is what a crash leaves.
        copy = tmp_path / "crashed"
        copy.mkdir()
        for file in tmp_path.glob("store.db*"):
            (copy / file.name).write_bytes(file.read_bytes())
    async with Gateway(kept):
        assert said().endswith("after an orderly stop")
    async with Gateway(config(store={"path": str(copy / "store.db"), "reserve_bytes": 0})):
        assert said().endswith("after a crash")
