"""HTTP/1.1: whole requests out of any cut, one at a time, and nobody can make it hold more than it should."""

import tracemalloc

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.http.connection import CHUNK_BYTES, CHUNKS_FREE, FED_AT_ONCE, HttpConnection, HttpLimits
from protocols.http.frames import Request, RequestFailed

POST = b"POST /a%20b?x=1&y=%C3%A9 HTTP/1.1\r\nHost: h\r\nX-Y: z\r\nContent-Length: 3\r\n\r\nabc"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def one(events: list[Request | RequestFailed]) -> Request:
    """The request among them."""
    [request] = events
    assert isinstance(request, Request)
    return request


@pytest.mark.parametrize("cut", range(len(POST) + 1))
def test_a_request_cut_anywhere(cut: int) -> None:
    connection = HttpConnection(HttpLimits())
    request = one(connection.receive_data(POST[:cut]) + connection.receive_data(POST[cut:]))
    assert (request.method, request.path(), request.segments(), request.body) == (
        "POST",
        "/a%20b",
        ["a b"],
        b"abc",
    )
    assert (request.header("x-y"), request.header("nothing")) == ("z", None)
    assert (request.query(), request.parameter("y"), request.parameter("z")) == (
        [("x", "1"), ("y", "é")],
        "é",
        None,
    )
    assert not request.wants_upgrade()


def test_requests_one_after_the_other() -> None:
    connection = HttpConnection(HttpLimits())
    assert one(connection.receive_data(GET + POST)).method == "GET"
    assert connection.receive_data(b"") == []
    connection.send_response(200, [], b"first")
    assert one(connection.receive_data(b"")).method == "POST"
    connection.send_response(204, [], b"")
    assert b"".join(connection.out).count(b"HTTP/1.1 ") == 2
    assert not connection.closing
    with pytest.raises(LocalProtocolError):
        connection.send_response(200, [], b"")
        connection.send_response(200, [], b"")


CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_body_may_have_small_chunks_but_not_very_many() -> None:
    connection = HttpConnection(HttpLimits())
    few = b"1\r\nx\r\n" * CHUNKS_FREE
    assert len(one(connection.receive_data(CHUNKED + few + b"0\r\n\r\n")).body) == CHUNKS_FREE
    connection = HttpConnection(HttpLimits())
    [failed] = connection.receive_data(CHUNKED + b"1\r\nx\r\n" * (2 * CHUNKS_FREE))
    assert isinstance(failed, RequestFailed)
    assert failed.status == 413
    # It is told at once, before all that came in the same read is looked at, and nothing more is.
    assert connection.receive_data(b"1\r\nx\r\n") == []


def test_chunks_of_some_size_may_be_as_many_as_the_body_has_room_for() -> None:
    connection = HttpConnection(HttpLimits(asked_body_bytes=1 << 30))
    count = 4 * CHUNKS_FREE
    chunk = b"%x\r\n%s\r\n" % (CHUNK_BYTES, b"x" * CHUNK_BYTES)
    body = one(connection.receive_data(CHUNKED + chunk * count + b"0\r\n\r\n")).body
    assert len(body) == count * CHUNK_BYTES


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_connection_that_is_to_end_ends(version: bytes) -> None:
    connection = HttpConnection(HttpLimits())
    connection.receive_data(b"GET / HTTP/%s\r\nHost: h\r\nConnection: close\r\n\r\n" % version)
    connection.send_response(200, [], b"x")
    assert connection.closing


def test_head_has_no_body_and_an_upgrade_leaves_the_rest() -> None:
    connection = HttpConnection(HttpLimits())
    connection.receive_data(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    connection.send_response(200, [], b"body")
    assert b"content-length: 4" in connection.out[0]
    assert b"body" not in b"".join(connection.out)
    switch = HttpConnection(HttpLimits())
    asked = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00"
    assert one(switch.receive_data(asked)).wants_upgrade()
    switch.send_switch([("Upgrade", "websocket")])
    assert switch.upgraded() == b"\x81\x00"


@pytest.mark.parametrize(
    ("behind", "status"),
    [
        (b"Host: a/b\r\n\r\n", 400),
        (b"Host: a b\r\n\r\n", 400),
        (b"\r\n", 400),
        (b"Host: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"Host: h\r\nContent-Length: 4\r\n\r\n", 413),
        (b"Host: h\r\nContent-Length: x\r\n\r\n", 400),
        (b"Host: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"Host: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
@pytest.mark.parametrize("at_once", [1, 3, 100_000])
@pytest.mark.parametrize("before", [b"", b"\r\n", GET, GET + b"\r\n"])
def test_a_head_that_fails_is_answered_without_a_body(
    before: bytes, at_once: int, behind: bytes, status: int
) -> None:
    """RFC 9110 §9.3.2, whoever refuses it, and whatever has come of it."""
    connection = HttpConnection(HttpLimits(max_body_bytes=3))
    data = before + b"HEAD / HTTP/1.1\r\n" + behind
    failed = None
    for at in range(0, len(data), at_once):
        events = connection.receive_data(data[at : at + at_once])
        while events:
            if isinstance(events[0], RequestFailed):
                failed = events[0]
                break
            connection.send_response(200, [], b"first")
            events = connection.receive_data(b"")
    assert failed is not None
    assert failed.status == status
    connection.out.clear()
    connection.send_response(failed.status, [], b"why not\n")
    answer = b"".join(connection.out)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 8" in answer
    assert b"connection: close" in answer
    assert b"why not" not in answer
    assert connection.closing


def test_what_fails_after_a_head_on_the_same_connection_has_its_body() -> None:
    connection = HttpConnection(HttpLimits())
    connection.receive_data(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")
    connection.send_response(200, [], b"body")
    [failed] = connection.receive_data(b"")
    assert isinstance(failed, RequestFailed)
    connection.send_response(failed.status, [], b"why not\n")
    assert b"".join(connection.out).endswith(b"\r\n\r\nwhy not\n")


def test_a_stream() -> None:
    connection = HttpConnection(HttpLimits())
    connection.receive_data(GET)
    connection.start_stream(200, [("Content-Type", "text/event-stream")])
    assert connection.stream(b"piece") == b"5\r\npiece\r\n"
    connection.end_stream()
    assert connection.out[-1] == b"0\r\n\r\n"
    assert connection.closing


@pytest.mark.parametrize("length", [b"4", b"99999999999999999999"])
def test_a_body_is_refused_by_its_length(length: bytes) -> None:
    connection = HttpConnection(HttpLimits(max_body_bytes=3))
    events = connection.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + length + b"\r\n\r\n")
    assert events == [RequestFailed(413, "a body may have 3 bytes")]
    assert connection.receive_data(b"abcd") == []
    connection.send_response(413, [], b"")
    assert connection.closing


@given(st.binary(max_size=300))
def test_garbage_is_a_failed_request_or_none(data: bytes) -> None:
    connection = HttpConnection(HttpLimits(max_header_bytes=1_024))
    for at in range(0, len(data), 11):
        for event in connection.receive_data(data[at : at + 11]):
            if isinstance(event, RequestFailed):
                assert 400 <= event.status < 500
                connection.send_response(event.status, [], b"")
                assert connection.closing


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://h:1/a/b?c=d", "/a/b", "d"),
        (b"HTTPS://h/", "/", None),
        (b"http://h", "/", None),
        (b"http://h?c=/e", "/", "/e"),
        (b"/x?c=http://h/y", "/x", "http://h/y"),
    ],
)
def test_9112_3_2_2_targets_may_be_whole_uris(target: bytes, path: str, query: str | None) -> None:
    request = one(
        HttpConnection(HttpLimits()).receive_data(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    )
    assert (request.path(), request.parameter("c")) == (path, query)


def test_9112_6_1_a_length_beside_a_transfer_encoding_ends_the_connection() -> None:
    connection = HttpConnection(HttpLimits())
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert one(connection.receive_data(head + b"1\r\nx\r\n0\r\n\r\n" + GET)).body == b"x"
    connection.send_response(200, [], b"")
    assert b"connection: close" in b"".join(connection.out).lower()
    assert connection.closing
    assert connection.receive_data(b"") == []


def test_a_head_has_its_limit_within_one_read_too() -> None:
    long = b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2_000 + b"\r\n\r\n"
    [failed] = HttpConnection(HttpLimits(max_header_bytes=1_000)).receive_data(long)
    assert isinstance(failed, RequestFailed)
    assert failed.status == 431
    assert one(HttpConnection(HttpLimits(max_header_bytes=3_000)).receive_data(long)).method == "GET"


def test_requests_that_come_in_one_read_are_not_all_copied_with_each_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied: list[int] = []
    trailing_data = h11.Connection.trailing_data.fget

    def counted(connection: h11.Connection) -> tuple[bytes, bool]:
        found: tuple[bytes, bool] = trailing_data(connection)
        copied.append(len(found[0]))
        return found

    monkeypatch.setattr(h11.Connection, "trailing_data", property(counted))
    connection = HttpConnection(HttpLimits())
    events = connection.receive_data((GET + b"\r\n") * 1_000)
    count = 0
    while events:
        assert one(events).method == "GET"
        count += 1
        connection.send_response(204, [], b"")
        events = connection.receive_data(b"")
    assert count == 1_000
    assert not connection.started
    assert max(copied) <= FED_AT_ONCE


def test_a_body_that_trickles_is_kept_in_few_pieces() -> None:
    connection = HttpConnection(HttpLimits())
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n")
    tracemalloc.start()
    try:
        for _ in range(24_999):
            assert connection.receive_data(b"ab") == []
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # An object of its own for each would take twenty times as much.
    assert held < 200_000
    assert one(connection.receive_data(b"ab")).body == b"ab" * 25_000


def test_what_follows_a_request_to_switch_is_kept_however_much_it_is() -> None:
    connection = HttpConnection(HttpLimits())
    upgrade = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    rest = bytes(range(256)) * 100
    assert one(connection.receive_data(upgrade + rest)).wants_upgrade()
    connection.send_switch([("upgrade", "websocket"), ("connection", "upgrade")])
    assert connection.upgraded() == rest
