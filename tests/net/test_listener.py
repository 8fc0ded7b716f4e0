"""Accepting, and turning away what is above maximumConnections."""

import asyncio
import logging
import socket

import pytest

from gateway.connectors.base import REFUSED_TALKING_MAX
from gateway.net.reports import ENDED, INTERVAL_MS, LINES_MAX, Reports


async def test_port_zero_takes_a_free_port_and_reports_it(net) -> None:
    assert net.listener.port > 0
    reader, writer = await net.client()
    writer.write(b"hello\n")
    assert await reader.readline() == b"ok hello\n"


async def test_connections_above_the_limit_are_refused_in_the_protocols_words(net) -> None:
    clients = [await net.client() for _ in range(3)]
    reader, _ = await net.client()
    assert await reader.read() == b"full\n"
    assert [connector.refused for connector in net.acceptor.made] == [False, False, False, True]
    counters = net.listener.counters
    assert (counters.connections, counters.refused, counters.connections_total) == (3, 1, 4)
    for client_reader, writer in clients:
        writer.write(b"still here\n")
        assert await client_reader.readline() == b"ok still here\n"


async def test_a_place_that_becomes_free_is_given_away_again(net) -> None:
    clients = [await net.client() for _ in range(3)]
    await net.until(lambda: net.listener.counters.connections == 3)
    clients[0][1].close()
    await net.until(lambda: net.listener.counters.connections == 2)
    reader, writer = await net.client()
    writer.write(b"in\n")
    assert await reader.readline() == b"ok in\n"


async def test_only_so_many_are_refused_at_a_time_the_rest_are_closed_unheard(net) -> None:
    for _ in range(3):
        await net.client()
    # Clients that never close their side keep being talked to for a while.
    for _ in range(REFUSED_TALKING_MAX):
        await net.client()
    await net.until(lambda: net.listener.counters.refused == REFUSED_TALKING_MAX)
    reader, _ = await net.client()
    with pytest.raises(ConnectionError):
        if await reader.read() == b"":
            raise ConnectionResetError("closed without a word")
    assert len(net.acceptor.made) == 3 + REFUSED_TALKING_MAX
    assert net.listener.counters.refused == REFUSED_TALKING_MAX + 1


async def test_a_port_that_is_taken_is_an_error_of_the_system(net) -> None:
    other = type(net.listener)(net.acceptor, "127.0.0.1", net.listener.port, net.machinery)
    with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
        await other.open()


async def test_nobody_is_accepted_after_stopping_but_connections_stay(net) -> None:
    reader, writer = await net.client()
    writer.write(b"one\n")
    assert await reader.readline() == b"ok one\n"
    net.listener.stop_accepting()
    with pytest.raises(OSError):
        await net.client()
    writer.write(b"two\n")
    assert await reader.readline() == b"ok two\n"


async def test_an_acceptor_that_fails_costs_that_connection_only(
    net, caplog: pytest.LogCaptureFixture
) -> None:
    net.acceptor.broken = True
    reader, _ = await net.client()
    with pytest.raises(ConnectionError):
        if await reader.read() == b"":
            raise ConnectionResetError("closed")
    net.acceptor.broken = False
    await net.until(lambda: net.listener.counters.connections == 0)
    reader, writer = await net.client()
    writer.write(b"fine\n")
    assert await reader.readline() == b"ok fine\n"
    assert net.listener.internal_errors == 1


async def test_reasons_are_logged_with_the_peer_but_only_so_many_an_interval(
    net, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.net")
    for _ in range(LINES_MAX + 5):
        reader, writer = await net.client()
        writer.write(b"fail no good\n")
        assert await reader.readline() == b"bad: no good\n"
        writer.close()
        await net.until(lambda: net.listener.counters.connections == 0)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == LINES_MAX
    assert lines[0].startswith("lines: 127.0.0.1:")
    assert lines[0].endswith(": no good")
    net.machinery.reports.tick(net.machinery.clock.now_ms())
    assert "5 more connections" in caplog.records[-1].getMessage()
    assert caplog.records[-1].getMessage().endswith(": no good")


def test_a_flood_is_one_line_an_interval_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.net")
    reports = Reports(10, INTERVAL_MS)
    said: list[int] = []
    reports.tick(0)
    for interval, count in enumerate((1_000, 1_000, 3, 3), 1):
        for _ in range(count):
            reports.add("refused logins", "mqtt: 10.0.0.1:1: 'bob' is not let in")
        reports.add(ENDED, "another kind has lines of its own")
        reports.tick(interval * INTERVAL_MS)
        said.append(
            sum("refused logins" in r.getMessage() or "bob" in r.getMessage() for r in caplog.records)
        )
        assert sum("another" in record.getMessage() for record in caplog.records) == 1
        caplog.clear()
    # Of a flood's first interval its first lines; then its count; then there are lines again.
    assert said == [11, 1, 1, 3]


async def test_many_connections_at_once(net) -> None:
    net.acceptor.limits.maximum_connections = 500
    clients = await asyncio.gather(*[net.client() for _ in range(200)])
    for _, writer in clients:
        writer.write(b"x\n")
    answers = await asyncio.gather(*[reader.readline() for reader, _ in clients])
    assert answers == [b"ok x\n"] * 200
    assert net.listener.counters.connections == 200


async def test_a_refused_client_that_leaves_makes_room_for_another_to_be_told(net) -> None:
    for _ in range(3):
        await net.client()
    for _ in range(REFUSED_TALKING_MAX + 5):
        reader, writer = await net.client()
        assert await reader.read() == b"full\n"
        writer.close()
    assert net.listener.counters.refused == REFUSED_TALKING_MAX + 5


async def test_a_connection_above_the_open_files_is_refused_unheard_and_counted(net) -> None:
    first = await net.client()
    await net.until(lambda: net.listener.counters.connections == 1)
    # Whatever comes now has a number above this one.
    net.machinery.files_max = 1
    reader, _ = await net.client()
    with pytest.raises(ConnectionError):
        if await reader.read() == b"":
            raise ConnectionResetError("closed without a word")
    await net.until(lambda: net.listener.counters.refused == 1)
    assert len(net.acceptor.made) == 1
    first[1].write(b"still here\n")
    assert await first[0].readline() == b"ok still here\n"
    net.machinery.files_max = 0
    reader, writer = await net.client()
    writer.write(b"in\n")
    assert await reader.readline() == b"ok in\n"


async def test_what_is_written_is_not_held_back_for_more(net) -> None:
    # Nagle's algorithm (RFC 9293 §3.7.4): the loops turn it off, and nothing here asks for the socket to do it again.
    await net.client()
    await net.until(lambda: net.listener.transports)
    [transport] = net.listener.transports
    accepted = transport._socket.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
