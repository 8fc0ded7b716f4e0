"""The server's side of one HTTP/1.1 connection: bytes in, whole requests out; responses in, bytes out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, final

import h11

from protocols.errors import LocalProtocolError
from protocols.http.frames import Event, Request, RequestBegun, RequestFailed
from protocols.http.targets import authority_of, head_fault
from protocols.pieces import Pieces

REASONS: Final = {
    101: b"Switching Protocols",
    200: b"OK",
    202: b"Accepted",
    204: b"No Content",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    406: b"Not Acceptable",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    415: b"Unsupported Media Type",
    417: b"Expectation Failed",
    422: b"Unprocessable Content",
    426: b"Upgrade Required",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
    507: b"Insufficient Storage",
}
"""For people; machines read the number (RFC 9112 §4)."""


CHUNKS_FREE: Final = 1_024
CHUNK_BYTES: Final = 64
"""Chunks that one body may have whatever it holds, and then one more for so many bytes of it: each costs as much as
hundreds of bytes do (RFC 9112 §7.1 leaves it to the recipient)."""


HEAD: Final = b"HEAD "
"""What a request begins with whose response has no body, whatever else is said of it (RFC 9110 §9.3.2)."""


FED_AT_ONCE: Final = 4_096
"""Bytes that h11 is given between two bodies: it looks at all it has, and copies it, with each of the requests that may have
come in one read."""


@final
@dataclass(init=False, slots=True)
class HttpLimits:
    """Bounds on one client."""

    max_header_bytes: int
    """Request line and headers."""
    max_body_bytes: int
    asked_body_bytes: int
    """Bodies above this are taken only once `accept_body` has said so."""

    def __init__(
        self,
        max_header_bytes: int = 16_384,
        max_body_bytes: int = 104_857_600,
        asked_body_bytes: int = 65_536,
    ) -> None:
        self.max_header_bytes = max_header_bytes
        self.max_body_bytes = max_body_bytes
        self.asked_body_bytes = asked_body_bytes


@final
class HttpConnection:
    """See the module.  One request at a time: the next is given out when the last has been answered."""

    __slots__ = (
        "_accepted",
        "_asking",
        "_between",
        "_body",
        "_body_bytes",
        "_busy",
        "_chunks",
        "_failed",
        "_h11",
        "_head",
        "_held",
        "_length",
        "_limits",
        "_opening",
        "_rest",
        "_rest_at",
        "closing",
        "out",
    )

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.max_header_bytes)
        self._head: h11.Request | None = None
        # Nothing has come of the next request.
        self._between = True
        # What it begins with, as far as that tells a HEAD: h11 forgets what it refuses.
        self._opening = b""
        self._body: Pieces | None = None
        self._body_bytes = 0
        # What its head says of that; 0 when it says nothing.
        self._length = 0
        # Of its chunks, and of the pieces that they came in.
        self._chunks = 0
        # The body that comes is larger than anybody may send: whether it may be is asked, and has been said.
        self._asking = False
        self._accepted = False
        # A request has been given out and waits for its response.
        self._busy = False
        self._held = 0
        # What h11 has not been given yet: from this byte on.
        self._rest = b""
        self._rest_at = 0
        self._failed = False
        self.closing = False
        """Write what is in `out`, then close."""
        self.out: list[bytes] = []

    @property
    def started(self) -> bool:
        """Has a request begun, or does one wait for its response?"""
        begun = not self._between or len(self._rest) > self._rest_at
        return self._busy or self._head is not None or begun

    @property
    def in_body(self) -> bool:
        """Have a request's headers come, and its body not yet?"""
        return self._head is not None

    @property
    def body_bytes(self) -> int:
        """What has come of that body."""
        return self._body_bytes

    # -- from the peer

    def receive_data(self, data: bytes) -> list[Event]:
        """The request that `data` completes, if any; call with nothing for one that came behind another."""
        if self.closing or self._failed:
            return []
        if self._busy or self._asking:
            # Pipelined requests wait; how many is bounded as one request's headers are.
            self._held += len(data)
            if self._held > self._limits.max_header_bytes:
                return self._fail(429, "too much was sent before the answer")
            self._keep(data)
            return []
        try:
            self._keep(data)
            return self._next()
        except h11.RemoteProtocolError as error:
            # It lies in a frame of its own traceback, and would keep all of ours until the collector comes.
            error.__traceback__ = None
            return self._fail(self._status_of(error), str(error).partition(": bytearray(")[0])

    def _keep(self, data: bytes) -> None:
        if data:
            self._rest = self._rest[self._rest_at :] + data if self._rest else data
            self._rest_at = 0

    def _feed(self) -> bool:
        """Give h11 some more of what has come; False if there is nothing."""
        rest = self._rest
        while self._rest_at < len(rest):
            at = self._rest_at
            end = len(rest) if self._head is not None else min(at + FED_AT_ONCE, len(rest))
            piece = rest[at:end]
            self._rest_at = end
            if self._between:
                # Some clients end a body with a line end of their own (RFC 9112 §2.2).
                piece = piece.lstrip(b"\r\n")
            if piece:
                self._between = False
                if len(self._opening) < len(HEAD):
                    self._opening += piece[: len(HEAD) - len(self._opening)]
                self._h11.receive_data(piece)
                return True
        self._rest = b""
        self._rest_at = 0
        return False

    def _status_of(self, error: h11.RemoteProtocolError) -> int:
        """A head that is too long before its first line ends has too long a target (RFC 9112 §3)."""
        status = error.error_status_hint
        if status == 431 and self._head is None and b"\n" not in self._h11.trailing_data[0]:
            return 414
        return status

    def _next(self) -> list[Event]:
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                # h11 asks only when something is missing: a head that comes in one read would have no limit.
                if len(event.target) > self._limits.max_header_bytes:
                    return self._fail(414, f"a head may have {self._limits.max_header_bytes} bytes")
                if _head_bytes(event) > self._limits.max_header_bytes:
                    return self._fail(431, f"a head may have {self._limits.max_header_bytes} bytes")
                if not event.http_version.startswith(b"1."):
                    # RFC 9110 §15.6.6; also who begins with HTTP/2 unasked.
                    return self._fail(505, "HTTP/1.1, please")
                wrong = head_fault(event.method, event.target, event.headers)
                if wrong:
                    return self._fail(400, wrong)
                self._head = event
                self._body = None
                self._body_bytes = 0
                self._length = _length_of(event)
                self._chunks = 0
            elif isinstance(event, h11.Data):
                # h11 says bytes and means bytearray as well.
                found: Any = event
                piece = bytes(found.data)
                self._body_bytes += len(piece)
                if self._body_bytes > self._limits.max_body_bytes:
                    return self._fail(413, f"a body may have {self._limits.max_body_bytes} bytes")
                if found.chunk_start:
                    self._chunks += 1
                    if self._chunks > CHUNKS_FREE + self._body_bytes // CHUNK_BYTES:
                        return self._fail(413, "the chunks of the body are too small")
                self._add(piece)
                if self._body_bytes > self._limits.asked_body_bytes and not self._accepted:
                    return self._ask()
            elif isinstance(event, h11.EndOfMessage):
                if _fields_bytes(event.headers) > self._limits.max_header_bytes:
                    return self._fail(431, f"trailers may have {self._limits.max_header_bytes} bytes")
                return [self._request()]
            elif event is h11.NEED_DATA:
                if self._feed():
                    continue
                if self._head is not None:
                    return self._look_ahead()
                return []
            elif event is h11.PAUSED:
                # Something follows a request to switch protocols.
                return []
            else:
                self.closing = True
                return []

    def _add(self, piece: bytes) -> None:
        body = self._body
        if body is None:
            self._body = Pieces(piece, self._length or self._limits.max_body_bytes)
        else:
            body.add(piece)

    def _look_ahead(self) -> list[Event]:
        """A body is to come: refuse one that is too long before it does, welcome the others (RFC 9110 §10.1.1)."""
        if self._length > self._limits.max_body_bytes:
            return self._fail(413, f"a body may have {self._limits.max_body_bytes} bytes")
        if self._length > self._limits.asked_body_bytes and not self._accepted:
            return self._ask()
        if self._h11.they_are_waiting_for_100_continue:
            self._say(h11.InformationalResponse(status_code=100, headers=[]))
        return []

    def _ask(self) -> list[Event]:
        """May this body come?  Nothing more is looked at before that is said."""
        assert self._head is not None
        self._asking = True
        self._held = 0
        return [RequestBegun(_request_of(self._head, b""))]

    @property
    def unfinished(self) -> int:
        """Bytes that are kept of a body that is not whole."""
        return 0 if self._body is None else self._body.size

    def accept_body(self) -> None:
        """It may; call `receive_data` with nothing for what has come of it."""
        self._asking = False
        self._accepted = True

    def _request(self) -> Request:
        head = self._head
        assert head is not None
        self._head = None
        self._busy = True
        self._accepted = False
        self._held = 0
        body = b"" if self._body is None else self._body.take()
        self._body = None
        self._body_bytes = 0
        if _is_framed_twice(head):
            # RFC 9112 §6.1: whoever sent it may see another end of it, so nothing behind it is a request.
            self.fail()
        return _request_of(head, body)

    def fail(self) -> None:
        """Take nothing more from the peer; the next response is the last."""
        self._failed = True

    def _fail(self, status: int, reason: str) -> list[Event]:
        self.fail()
        return [RequestFailed(status, reason)]

    def upgraded(self) -> bytes:
        """The connection has been given to another protocol: what has come for that already."""
        return bytes(self._h11.trailing_data[0]) + self._rest[self._rest_at :]

    # -- to the peer

    def send_response(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """A whole response; to HEAD, or to what was meant as one, without its body.  The connection stays if it can."""
        length = [("content-length", str(len(body)))] if status != 204 and status != 304 else []
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            raise LocalProtocolError("a response has been sent already")
        self._say_head(status, [*headers, *length])
        head = self._opening == HEAD
        if head and self._failed:
            # It is the last, and complete; h11 may wait for a body, as it need not have seen the method.
            self._busy = False
            self.closing = True
            return
        if body and not head and length:
            self._say(h11.Data(data=body))
        self._say(h11.EndOfMessage())
        self._done()

    def send_switch(self, headers: list[tuple[str, str]]) -> None:
        """101: from here on another protocol is spoken."""
        self._say(h11.InformationalResponse(status_code=101, headers=headers, reason=REASONS[101]))

    def start_stream(self, status: int, headers: list[tuple[str, str]]) -> None:
        """A response whose body comes piece by piece, until the connection ends."""
        self._say(
            h11.Response(
                status_code=status, headers=[*headers, ("connection", "close")], reason=REASONS[status]
            )
        )

    def stream(self, data: bytes) -> bytes:
        """A piece of a streamed body as it goes on the wire."""
        return self._h11.send(h11.Data(data=data)) or b""

    @property
    def chunked(self) -> bool:
        """Are the pieces of a streamed body chunks?

        Who speaks HTTP/1.0 has it as it is, up to the end of the connection (RFC 9112 §6.3).
        """
        version = self._h11.their_http_version
        return version is None or version >= b"1.1"

    def start_body(self, status: int, headers: list[tuple[str, str]]) -> None:
        """A response whose length is not known yet: its pieces are written by the caller, framed by `chunk_of`."""
        self._say_head(status, headers)

    def _say_head(self, status: int, headers: list[tuple[str, str]]) -> None:
        if self._failed:
            # RFC 9112 §9.6: it is the last.
            headers = [*headers, ("connection", "close")]
        self._say(h11.Response(status_code=status, headers=headers, reason=REASONS.get(status, b"")))

    def end_stream(self) -> None:
        """The body is complete."""
        self._say(h11.EndOfMessage())
        self._done()

    def _done(self) -> None:
        self._busy = False
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            self._skip_line_ends()
        else:
            self.closing = True

    def _skip_line_ends(self) -> None:
        """What has come already begins with the next request; see `receive_data`."""
        waiting = bytes(self._h11.trailing_data[0])
        self._between = not waiting
        self._opening = waiting[: len(HEAD)]
        if waiting.startswith((b"\r", b"\n")):
            waiting = waiting.lstrip(b"\r\n")
            self._between = not waiting
            self._opening = waiting[: len(HEAD)]
            self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.max_header_bytes)
            if waiting:
                self._h11.receive_data(waiting)

    def _say(self, event: h11.Event) -> None:
        pieces = self._h11.send_with_data_passthrough(event)
        if pieces is None:
            return
        if isinstance(event, h11.Data):
            # It may be large: nothing is joined to it.
            self.out.extend([piece for piece in pieces if piece])
        elif pieces:
            self.out.append(b"".join(pieces))


def chunk_of(data: bytes) -> bytes:
    """A piece of a body in chunks (RFC 9112 §7.1); there must be something in it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _length_of(head: h11.Request) -> int:
    """What it says of its body; 0 when it says nothing.  Of several lengths h11 has made one (RFC 9112 §6.3)."""
    for name, value in head.headers:
        if name == b"content-length":
            return int(value)
    return 0


def _head_bytes(head: h11.Request) -> int:
    return len(head.method) + len(head.target) + _fields_bytes(head.headers)


def _fields_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    size = 0
    for name, value in headers:
        size += len(name) + len(value) + 4
    return size


def _is_framed_twice(head: h11.Request) -> bool:
    names = [name for name, _ in head.headers]
    return b"transfer-encoding" in names and b"content-length" in names


def _request_of(head: h11.Request, body: bytes) -> Request:
    """What h11 has read, as a record."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
    authority = authority_of(head.target)
    if authority is not None:
        headers = [pair for pair in headers if pair[0] != "host"]
        headers.append(("host", authority.decode("latin-1")))
    return Request(head.method.decode("ascii"), head.target.decode("latin-1"), headers, body)
