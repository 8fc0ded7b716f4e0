"""Every protocol is told by its first bytes, however they are cut, and garbage is told to be none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.detect import AMQP, HEAD_BYTES_MAX, HTTP, MQTT, OPENWIRE, STOMP, TLS, UNKNOWN, recognise

STARTS = [
    (TLS, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    (MQTT, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"),
    (MQTT, b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00"),
    (MQTT, b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05"),
    (STOMP, b"CONNECT\naccept-version:1.2\n\n\0"),
    (STOMP, b"STOMP\r\naccept-version:1.2\r\n\r\n\0"),
    (STOMP, b"\n\r\nCONNECT\n\n\0"),
    (HTTP, b"GET / HTTP/1.1\r\n"),
    (HTTP, b"CONNECT x:1 HTTP/1.1\r\n"),
    (HTTP, b"PRI * HTTP/2.0\r\n"),
    (AMQP, b"AMQP\x00\x01\x00\x00"),
    (AMQP, b"AMQP\x03\x01\x00\x00"),
    (OPENWIRE, b"\x00\x00\x00\xf0\x01ActiveMQ\x00\x00\x00\x0c"),
]


@pytest.mark.parametrize(("protocol", "data"), STARTS)
def test_each_protocol_at_every_cut(protocol: str, data: bytes) -> None:
    assert recognise(data) == protocol
    seen = [recognise(data[:size]) for size in range(len(data) + 1)]
    known = seen.index(protocol)
    assert seen[:known] == [None] * known
    assert set(seen[known:]) == {protocol}
    assert known <= HEAD_BYTES_MAX


@pytest.mark.parametrize(
    "data",
    [b"\x16\x02", b"\x10\xff\xff\xff\xff\x7f", b"\x10\x0c\x00\x05", b"SEND\n", b"CONNECTED\n", b"GETS", b"AMQQ",
     b"\x00\x00\x00\xf0\x02", b"\xff", b"\x80", b"\n" * HEAD_BYTES_MAX, b"{}"],
)  # fmt: skip
def test_others_are_none(data: bytes) -> None:
    assert recognise(data) == UNKNOWN


@given(st.binary(min_size=HEAD_BYTES_MAX, max_size=HEAD_BYTES_MAX))
def test_garbage_is_decided_after_the_longest_head(data: bytes) -> None:
    assert recognise(data) is not None
