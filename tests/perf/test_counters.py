"""The load counts and answers rightly, wherever the bytes are cut."""

import socket
from collections.abc import Iterator

import pytest

from tests.perf.counters import ByBytes, ByNul, Counter, StompAcks
from tests.perf.load import Flow, blob
from tests.perf.wires import Content, Endpoint, Mqtt, Stomp

NOWHERE = Endpoint(0)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection: the broker's end and the load's, which does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = socket.create_connection(listener.getsockname())
        load, _ = listener.accept()
    with broker, load:
        load.settimeout(5)
        yield broker, load


def _feed(counter: Counter, ends: tuple[socket.socket, socket.socket], data: bytes, cut: int) -> bytes:
    """What `counter` answers to `data` when it comes in pieces of `cut` bytes."""
    broker, load = ends
    for start in range(0, len(data), cut):
        broker.sendall(data[start : start + cut])
        assert counter.read(load)
    load.shutdown(socket.SHUT_WR)
    answers = b""
    while piece := broker.recv(65_536):
        answers += piece
    return answers


def _packets(first: int, ids: range) -> bytes:
    return b"".join([bytes((first, 2)) + number.to_bytes(2, "big") for number in ids])


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1_000])
def test_qos_0_deliveries_and_pubacks_are_counted_by_size(
    ends: tuple[socket.socket, socket.socket], cut: int
) -> None:
    counter = ByBytes(4)
    assert _feed(counter, ends, _packets(0x40, range(1, 6)) + b"\x40\x02", cut) == b""
    assert counter.count == 5


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1_000])
def test_qos_1_deliveries_are_acknowledged(ends: tuple[socket.socket, socket.socket], cut: int) -> None:
    mqtt = Mqtt(NOWHERE, Content(("t",), b"body"), qos=1)
    counter = mqtt.deliveries()
    # An id that reads like a PUBLISH.
    numbers = range(0x3232 - 2, 0x3232 + 2)
    assert _feed(counter, ends, b"".join(map(mqtt.publish, numbers)), cut) == _packets(0x40, numbers)
    assert counter.count == 4


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1_000])
def test_qos_2_deliveries_go_through_both_steps(ends: tuple[socket.socket, socket.socket], cut: int) -> None:
    mqtt = Mqtt(NOWHERE, Content(("t",), b"body"), qos=2)
    counter = mqtt.deliveries()
    first, second = range(0x6202, 0x6205), range(0x6205, 0x6206)
    data = b"".join(map(mqtt.publish, first)) + _packets(0x62, first)
    data += b"".join(map(mqtt.publish, second)) + _packets(0x62, second)
    answers = _packets(0x50, first) + _packets(0x70, first) + _packets(0x50, second) + _packets(0x70, second)
    assert _feed(counter, ends, data, cut) == answers
    assert counter.count == 4


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1_000])
def test_qos_2_publishers_release_what_was_received(
    ends: tuple[socket.socket, socket.socket], cut: int
) -> None:
    counter = Mqtt(NOWHERE, Content(("t",)), qos=2).confirmations()
    assert counter is not None
    data = _packets(0x50, range(1, 4)) + _packets(0x70, range(1, 3)) + _packets(0x50, range(4, 5))
    assert _feed(counter, ends, data, cut) == _packets(0x62, range(1, 5))
    assert counter.count == 2


def test_an_unexpected_packet_is_an_error(ends: tuple[socket.socket, socket.socket]) -> None:
    counter = Mqtt(NOWHERE, Content(("t",)), qos=2).confirmations()
    assert counter is not None
    with pytest.raises(RuntimeError):
        _feed(counter, ends, b"\xe0\x01\x8e" + _packets(0x50, range(1, 4)), 1_000)


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1_000])
def test_stomp_messages_are_acknowledged_one_by_one(
    ends: tuple[socket.socket, socket.socket], cut: int
) -> None:
    counter = StompAcks()
    frames = b"MESSAGE\nack:a\\c1\nmessage-id:1\n\nx\0\nMESSAGE\nmessage-id:2\nack:2\n\nx\0"
    assert _feed(counter, ends, frames + b"MESSAGE\nack:3", cut) == b"ACK\nid:a\\c1\n\n\0ACK\nid:2\n\n\0"
    assert counter.count == 2


def test_stomp_frames_are_counted_by_their_nul(ends: tuple[socket.socket, socket.socket]) -> None:
    counter = ByNul()
    assert _feed(counter, ends, b"\nMESSAGE\n\nx\0\nMESSAGE\n\ny\0RECEIPT", 5) == b""
    assert counter.count == 2


@pytest.mark.parametrize("size", [64, 1 << 16])
@pytest.mark.parametrize("subscribers", [1, 100])
@pytest.mark.parametrize("publishers", [1, 100])
def test_windows_bound_messages_and_bytes(size: int, subscribers: int, publishers: int) -> None:
    stomp = Stomp(NOWHERE, Content(("/topic/t",), b"x" * size))
    flow = Flow(stomp, stomp, ["/topic/t"] * subscribers, publishers)
    message = len(stomp.publish(1))
    assert flow.batch >= 1
    assert flow.window <= 8_000
    assert flow.window == 8 or flow.window * message * subscribers <= 8 << 20
    assert len(blob(flow)) % (message * flow.batch) == 0


def test_messages_unconfirmed_at_once_have_different_ids() -> None:
    mqtt = Mqtt(NOWHERE, Content(("a", "b", "c")), qos=1)
    flow = Flow(mqtt, mqtt, ["+"], in_flight=100)
    assert flow.batch == 100
    assert bytes(blob(flow)[: len(mqtt.publish(1))]) == mqtt.publish(1)
    assert len(blob(flow)) == 100 * len(mqtt.publish(1))
