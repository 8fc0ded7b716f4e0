"""RFC 9112 and RFC 9110 clause by clause, as bytes: what is a request, and what an answer has to say.

Not here: 9112 §7.1.1 (h11 reads chunk extensions and forgets them), §9.6 (closing, in tests/net).
"""

import re

import pytest
from http_client import World

HOST = b"Host: localhost\r\n"
BODY = b"Content-Length: 1\r\n\r\nx"
CHUNKED = b"POST /queues/q HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def answers(data: bytes, step: int = 0) -> tuple[list[int], bytes, bool]:
    """The statuses of all answers, the bytes, and whether the connection ends with them."""
    client = World().client()
    written = b""
    for at in range(0, len(data), step or len(data)):
        client.raw(data[at : at + (step or len(data))])
        written += client.written()
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", written)]
    return statuses, written, client.connector.closing


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        # 9112 §2.2: line ends before a request, whole bare LF, whitespace within the line
        (b"\r\nGET /page HTTP/1.1\r\n" + HOST + b"\r\n", 200),
        (b"\n\r\n\r\nGET /page HTTP/1.1\r\n" + HOST + b"\r\n", 200),
        (b"GET /page HTTP/1.1\n" + HOST.replace(b"\r", b"") + b"\n", 200),
        (b"GET  /page HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        # 9112 §2.3, 9110 §15.6.6
        (b"GET /page HTTP/1.0\r\n" + HOST + b"\r\n", 200),
        (b"GET /page HTTP/1.2\r\n" + HOST + b"\r\n", 200),
        (b"GET /page HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        # 9110 §9.1
        (b"FOO /page HTTP/1.1\r\n" + HOST + b"\r\n", 501),
        (b"PUT /page HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        # 9112 §3: too long a target; 9110 §5.4 and 6585 §5: too long a head
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET /page HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        # 9110 §10.1.1
        (b"GET /page HTTP/1.1\r\n" + HOST + b"Expect: miracles\r\n\r\n", 417),
        (b"GET /page HTTP/1.1\r\n" + HOST + b"Expect: 100-Continue\r\n\r\n", 200),
        # 9112 §3.2: Host
        (b"GET /page HTTP/1.1\r\n\r\n", 400),
        (b"GET /page HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET /page HTTP/1.1\r\nHost: local host\r\n\r\n", 400),
        (b"GET /page HTTP/1.1\r\nHost: localhost/x\r\n\r\n", 400),
        (b"GET /page HTTP/1.1\r\nHost: u@localhost\r\n\r\n", 400),
        (b"GET /page HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200),
        # 9112 §3.2.1 to §3.2.4: forms of the target
        (b"GET page HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 204),
        (b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"GET /page#part HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"POST /queues/%zz HTTP/1.1\r\n" + HOST + BODY, 400),
        (b"POST /queues/%4 HTTP/1.1\r\n" + HOST + BODY, 400),
        # 9112 §5.1, §5.2, 9110 §5.5: fields
        (b"GET /page HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET /page HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400),
        (b"GET /page HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n", 400),
        # 9112 §6.1, §6.3: how long a body is
        (b"POST /queues/q HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (b"POST /queues/q HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\nx", 400),
        (b"POST /queues/q HTTP/1.1\r\n" + HOST + b"Content-Length: 0x1\r\n\r\nx", 400),
        (b"POST /queues/q HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", 400),
        (b"POST /queues/q HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST /queues/q HTTP/1.1\r\n" + HOST + b"\r\n", 202),
        # 9112 §7.1: chunks
        (CHUNKED + b"1;a=b\r\nx\r\n0\r\nX-T: 1\r\n\r\n", 202),
        (CHUNKED + b"-1\r\nx\r\n0\r\n\r\n", 400),
        (CHUNKED + b"1\r\nxy\r\n0\r\n\r\n", 400),
        (CHUNKED + b"1\r\nx\r\n0\r\n" + b"X-T: 1\r\n" * 5_000 + b"\r\n", 431),
    ],
)  # fmt: skip
def test_requests(data: bytes, status: int, step: int) -> None:
    if step and len(data) > 10_000:
        step = 1_000
    statuses, written, closing = answers(data, step)
    assert statuses == [status]
    # 9112 §9.6: who has sent what is no request gets no further answer, and is told so.
    assert closing == (b"connection: close" in written.lower())
    assert closing or status not in (400, 414, 431, 505)
    assert b"bytearray" not in written


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r\n\r\n"])
@pytest.mark.parametrize("step", [0, 1])
def test_9112_2_2_a_line_end_behind_a_body_is_no_request(end: bytes, step: int) -> None:
    post = b"POST /queues/q HTTP/1.1\r\n" + HOST + BODY + end
    assert answers(post * 3, step)[0] == [202] * 3
    assert answers(post, step)[2] is False


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://localhost/page", b"evil.example", 200),
        (b"HTTP://127.0.0.1:61614/page", b"", 200),
        (b"http://evil.example/page", b"localhost", 403),
        (b"http://u@localhost/page", b"localhost", 400),
        (b"ftp://localhost/page", b"localhost", 400),
    ],
)  # fmt: skip
def test_9112_3_2_2_the_host_of_a_whole_uri_goes_before_host(target: bytes, host: bytes, status: int) -> None:
    assert answers(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")[0] == [status]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/queues/q", "POST, GET, OPTIONS"),
        ("/topics/t", "POST, OPTIONS"),
        ("/messages", "POST, OPTIONS"),
        ("/events", "GET, OPTIONS"),
        ("/receipts/r", "DELETE, OPTIONS"),
        ("/receipts/r/release", "POST, OPTIONS"),
        ("/page", "GET, HEAD, OPTIONS"),
    ],
)
def test_9110_9_3_7_options_say_what_is_allowed_and_so_does_405(path: str, allowed: str) -> None:
    world = World()
    answer = world.once("OPTIONS", path)
    assert (answer.status, answer.headers["allow"]) == (204, allowed)
    answer = world.once("PATCH", path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


def test_9110_6_6_1_every_answer_is_dated() -> None:
    world = World()
    for target in ("/page", "/nothing", "/queues/q"):
        assert world.once("GET", target).headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert b"\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n" in answers(b"nonsense\r\n\r\n")[1]


def test_9110_9_3_2_head_says_what_get_would_say_without_the_body() -> None:
    world = World()
    get, head = world.once("GET", "/page"), world.client()
    head.raw(b"HEAD /page HTTP/1.1\r\n" + HOST + b"\r\n")
    said = head.written()
    assert said.endswith(b"\r\n\r\n")
    assert f"content-length: {get.headers['content-length']}".encode() in said


def test_9110_9_3_2_head_that_is_not_whole_or_takes_too_long_has_no_body_either() -> None:
    for behind in (b"Host: a/b\r\n\r\n", HOST + b"Content-Length: 200000000\r\n\r\n", HOST):
        world = World()
        head = world.client()
        head.raw(b"HEAD /queues/q HTTP/1.1\r\n" + behind)
        if behind is HOST:
            head.pass_time(60_000)
        said = head.written()
        assert said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ", b"HTTP/1.1 408 "))
        assert said.endswith(b"\r\n\r\n")
        assert said.count(b"\r\n\r\n") == 1


def test_9110_10_1_1_a_client_that_waits_is_told_to_go_on_and_an_older_one_is_not() -> None:
    head = b"POST /queues/q HTTP/1.%d\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    assert answers(head % 1)[0] == [100]
    assert answers(head % 1 + b"x")[0] == [202]
    assert answers(head % 0)[0] == []
    # One that has not been asked to send its body may not be.
    assert answers(head.replace(b"h: 1", b"h: 999999999") % 1)[0] == [413]


def test_9112_9_3_connections_persist_unless_somebody_says_otherwise() -> None:
    get = b"GET /page HTTP/1.%d\r\n" + HOST + b"%s\r\n"
    assert answers(get % (1, b"") * 2)[0::2] == ([200, 200], False)
    assert answers(get % (1, b"Connection: close\r\n") * 2)[0::2] == ([200], True)
    assert answers(get % (1, b"Connection: Keep-Alive, CLOSE\r\n") * 2)[0::2] == ([200], True)
    assert answers(get % (0, b"") * 2)[0::2] == ([200], True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"GET /queues/q?wiat=5", b"no parameter 'wiat'; there are: ack, max, wait, retain"),
        (b"GET /queues/q?ack=auto&ack=client", b"ack is said twice"),
        (b"POST /topics/t?retian=true", b"no parameter 'retian'"),
        (b"POST /messages?retain=true", b"there are: none"),
        (b"GET /events?destination=topic:a&destination=topic:b&retained=true&x=", b"no parameter 'x'"),
    ],
)
def test_a_parameter_that_nobody_would_look_at_is_refused(line: bytes, said: bytes) -> None:
    statuses, written, closing = answers(line + b" HTTP/1.1\r\n" + HOST + BODY)
    assert statuses == [400]
    assert said in written
    assert not closing
