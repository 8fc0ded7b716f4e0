"""The composition root inside a program: start, real ports, status, stop, and what a failing start leaves behind."""

import asyncio
import logging

import pytest

from gateway import app
from gateway.app import SERVICES, Gateway, core_limits, queue_policy
from gateway.config import SCHEMES, Config, ConnectorSection


def config(**sections: object) -> Config:
    """Two connectors and the status endpoint on free ports."""
    values: dict[str, object] = {
        "connector": (
            ConnectorSection(name="m", uri="mqtt://127.0.0.1:0?maximumConnections=3"),
            ConnectorSection(name="s", uri="stomp://127.0.0.1:0"),
        ),
        "admin": {"uri": "http://127.0.0.1:0"},
        "store": {"path": ""},
    }
    return Config.model_validate(values | sections)


async def stomp_client(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connected STOMP client."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.listeners[1].port)
    writer.write(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0")
    assert (await reader.readuntil(b"\0\n")).startswith(b"CONNECTED\n")
    return reader, writer


async def test_listeners_have_real_ports_inside_and_none_afterwards() -> None:
    async with Gateway(config()) as gateway:
        ports = [listener.port for listener in gateway.listeners]
        assert all(ports)
        assert len(set(ports)) == 2
        await stomp_client(gateway)
    for port in ports:
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_clients_hear_the_stop_and_stopping_twice_is_harmless() -> None:
    async with Gateway(config()) as gateway:
        reader, writer = await stomp_client(gateway)
        await gateway.stop()
        assert b"shutting down" in await reader.read()
        writer.close()
    assert gateway.listeners[1].counters.connections == 0


async def test_two_gateways_live_in_one_program() -> None:
    async with Gateway(config()) as one, Gateway(config()) as two:
        _, writer = await stomp_client(one)
        writer.write(b"SEND\ndestination:/queue/q\n\nhi\0")
        reader, writer = await stomp_client(two)
        writer.write(b"SUBSCRIBE\nid:1\ndestination:/queue/q\nreceipt:r\n\n\0")
        assert (await reader.readuntil(b"\0\n")).startswith(b"RECEIPT\n")
        assert set(two.broker.queues) == {"queue:q"}


async def test_a_start_that_fails_says_which_connector_and_frees_what_it_had() -> None:
    async with Gateway(config()) as other:
        taken = other.listeners[0].port
        sections = (
            ConnectorSection(name="fine", uri="mqtt://127.0.0.1:0"),
            ConnectorSection(name="late", uri=f"stomp://127.0.0.1:{taken}"),
        )
        second = Gateway(config(connector=sections))
        with pytest.raises(OSError, match=f"connector late on 127.0.0.1:{taken}"):
            await second.__aenter__()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", second.listeners[0].port)


async def test_status_counts_what_happened() -> None:
    async with Gateway(config()) as gateway:
        reader, writer = await stomp_client(gateway)
        writer.write(b"SUBSCRIBE\nid:1\ndestination:/topic/t\n\n\0SEND\ndestination:/topic/t\n\nhi\0")
        assert (await reader.readuntil(b"\0\n")).startswith(b"MESSAGE\n")
        status = gateway.status()
    mqtt, stomp = status["connectors"]
    assert mqtt["limits"]["maximumConnections"] == 3
    assert mqtt["limits"]["slowConsumer"] == "drop-oldest"
    assert (stomp["connections"], stomp["messages_in"], stomp["messages_out"]) == (1, 1, 1)
    assert status["core"]["subscriptions"] == 1
    assert status["core"]["published"] == 1
    assert status["translation"]["gateway_translation_omitted_total"] == []
    assert status["translation"]["gateway_translation_decoded_total"] >= 0


async def test_rates_are_taken_over_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 102.0])
    gateway = Gateway(config())
    assert gateway._rates() == (0, 0)
    gateway._history = [(next(seconds), 0, 0), (next(seconds), 10, 30)]
    assert gateway._rates() == (5, 15)


async def test_time_goes_on_after_a_tick_that_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "TICK_S", 0.005)
    ticks: list[int] = []

    class Failing:
        def tick(self, now_ms: int) -> None:
            ticks.append(now_ms)
            raise RuntimeError("a bug of ours")

        def close(self, now_ms: int) -> None:
            pass

    async with Gateway(config()) as gateway:
        gateway._services["failing"] = Failing()  # type: ignore[assignment]
        async with asyncio.timeout(5):
            while len(ticks) < 3:
                await asyncio.sleep(0.005)
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_the_configuration_reaches_the_core() -> None:
    given = config(
        core={"queues_max": 7}, queues={"messages_max": 5, "dead_letters": "", "when_full": "reject"}
    )
    assert core_limits(given).queues_max == 7
    policy = queue_policy(given)
    assert (policy.messages_max, policy.when_full, policy.dead_letters) == (5, "reject", None)


def test_every_protocol_of_the_configuration_has_a_service() -> None:
    assert set(SERVICES) == set(SCHEMES)


async def test_connections_of_all_connectors_together_are_bounded() -> None:
    async with Gateway(config(gateway={"connections_max": 1})) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.listeners[0].port)
        writer.write(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c")
        assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
        refused, other = await asyncio.open_connection("127.0.0.1", gateway.listeners[1].port)
        other.write(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0")
        assert (await refused.read()).startswith(b"ERROR\n")
        writer.write(b"\xe0\x00")
        assert await reader.read() == b""
        writer.close()
        other.close()
        while gateway.listeners[0].counters.connections:
            await asyncio.sleep(0.01)
        await stomp_client(gateway)
