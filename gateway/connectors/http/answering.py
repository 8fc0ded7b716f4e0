"""The half of an HTTP connection that answers: what carries out a request knows no more of the connection than this."""

from email.utils import formatdate
from typing import Final

from gateway.connectors.base import RESUME_BYTES, Connector, Counters, Limits, Turn
from gateway.connectors.http.requests import MESSAGE_ID, META, once_parts
from gateway.connectors.http.stream_parts import StreamParts
from gateway.connectors.parts import Parts, Pieces
from gateway.connectors.text import LONG_TEXT, Looking
from gateway.core.dedup import Content
from gateway.core.message import Message
from gateway.core.router import Broker
from gateway.core.schedule import Timing
from protocols.gatewayjson.codec import load
from protocols.gatewayjson.errors import JsonError
from protocols.gatewayjson.reading import AT_ONCE, HALF, JsonText
from protocols.http.connection import HttpConnection, HttpLimits
from protocols.http.frames import Request

PLAIN: Final = "text/plain; charset=utf-8"
TAKEN: Final = (
    f"Authorization, Content-Encoding, Content-Type, Idempotency-Key, Last-Event-ID, X-Mx-Ttl, {META}"
)
SHOWN: Final = f"Content-Encoding, Idempotent-Replayed, Location, {META}, {MESSAGE_ID}"
METHODS: Final = "GET, HEAD, POST, DELETE, OPTIONS"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What our own pages may do: nothing but what came with them, and talk to a gateway."""

SANDBOX: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
"""What everything else may do that a browser shows, above all a message's body: nothing, and as nobody's page."""


class Answering(Connector):
    """See the module.  One request is answered at a time."""

    __slots__ = (
        "_content",
        "_looking",
        "_text",
        "body_is_utf8",
        "cors",
        "json",
        "more_later",
        "posted",
        "request",
        "stored_later",
        "wire",
    )

    def __init__(
        self,
        broker: Broker,
        turn: Turn,
        limits: Limits,
        counters: Counters,
        peer: str,
        header_bytes_max: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self.wire = HttpConnection(
            HttpLimits(header_bytes_max, limits.max_frame_size, limits.connect_frame_size)
        )
        self.request: Request | None = None
        """The one that is being answered."""
        self.cors: str | None = None
        """The page that it comes from, when that may see the answer."""
        self.stored_later = False
        """What it asked for is done; the response waits until the store has it."""
        self.more_later: list[tuple[str, str]] | None = None
        """Headers of that response."""
        # The request's JSON, while it is read.
        self._text: JsonText | None = None
        self._looking: Looking | None = None
        self._content: Content | None = None
        self.body_is_utf8: bool | None = None
        """Whether the request's body is, where `has_looked` has looked."""
        self.json: object = None
        """What it says, once `has_read` says so."""
        self.posted: list[tuple[Message, Timing | None]] = []
        """The messages of a request that brings many, as far as they have been made."""

    # -- a request that goes on in later turns

    def goes_on(self) -> None:
        """There is more to do for the request: it is carried out again, from its beginning, when others had their turn."""
        self.untaken = True
        self.resumes = True
        self.turn.mark(self)

    def has_read(self, data: bytes, values_max: int) -> bool:
        """Read the request's JSON into `json`: a small one at once.  Of others a part, and False: it `goes_on`.

        Raises JsonError.
        """
        text = self._text
        if text is None:
            if len(data) <= AT_ONCE:
                self.json = load(data, values_max)
                return True
            text = self._text = JsonText(data, values_max, True)
        if text.step():
            if text.halves:
                raise JsonError(HALF)
            self.json = text.value
            return True
        self.goes_on()
        return False

    def has_looked(self, body: bytes) -> bool:
        """Find out whether the request's body is UTF-8, if it is long: a part of it, and False, as long as it `goes_on`."""
        looking = self._looking
        if looking is None:
            if len(body) <= LONG_TEXT:
                return True
            looking = self._looking = Looking(body)
        if self.body_is_utf8 is None:
            if not looking.step():
                self.goes_on()
                return False
            self.body_is_utf8 = looking.found
        return True

    def content_of(self, request: Request) -> bytes:
        """What tells a request that is to be carried out once from others; empty as long as it `goes_on`."""
        content = self._content
        if content is None:
            content = self._content = Content(once_parts(request))
        elif content.digest:
            # It had to wait for something else since.
            return content.digest
        if not content.step():
            self.goes_on()
        return content.digest

    def forget_request(self) -> None:
        """It has been answered, or nobody waits for that any more."""
        self._content = None
        self._looking = None
        self.body_is_utf8 = None
        self.request = None
        self._text = None
        self.json = None
        if self.posted:
            self.posted = []

    # -- answers

    def headers(
        self, content_type: str, more: list[tuple[str, str]] | None = None, policy: str = SANDBOX
    ) -> list[tuple[str, str]]:
        """What every response says, and `more`."""
        headers = [
            # A server with a clock says when (RFC 9110 §6.6.1).
            ("Date", formatdate(self.broker.now_ms // 1000, usegmt=True)),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Content-Security-Policy", policy),
        ]
        if policy is SANDBOX:
            # What is taken from a queue is not there twice, whatever a cache may think of GET (RFC 9111 §4.2.2).
            headers.append(("Cache-Control", "no-store"))
        if content_type:
            headers.append(("Content-Type", content_type))
        if self.cors is not None:
            headers += [
                ("Access-Control-Allow-Origin", self.cors),
                ("Access-Control-Allow-Methods", METHODS),
                ("Access-Control-Allow-Headers", TAKEN),
                ("Access-Control-Expose-Headers", SHOWN),
                ("Vary", "Origin"),
            ]
        return headers + more if more else headers

    def respond(
        self,
        status: int,
        content_type: str,
        body: bytes,
        more: list[tuple[str, str]] | None = None,
        policy: str = SANDBOX,
    ) -> None:
        """Answer the request, whole."""
        self.forget_request()
        self.wire.send_response(status, self.headers(content_type, more, policy), body)

    def respond_parts(self, status: int, content_type: str, body: Parts) -> None:
        """The same with a body that is made and written a part at a time."""
        self.forget_request()
        wire = self.wire
        wire.start_body(status, self.headers(content_type))
        self.collect()
        self.say_parts(StreamParts(body, wire.chunked))
        wire.end_stream()

    def deny(self, status: int, reason: str, more: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer that it cannot be, with these headers beside all others."""
        headers = list(more)
        if status == 401:
            headers.append(("WWW-Authenticate", 'Basic realm="gateway", charset="UTF-8"'))
        elif status == 503:
            headers.append(("Connection", "close"))
        self.respond(status, PLAIN, reason.encode("utf-8", "replace") + b"\n", headers)

    def stored(self, position: int, more: list[tuple[str, str]] | None = None) -> None:
        """202, once the store has it; the answer has `more` headers."""
        if position <= self.broker.store.durable and not self.unconfirmed:
            self.respond(202, PLAIN, b"", more)
            return
        self.stored_later = True
        self.more_later = more
        self.confirm(position, b"")

    def supersede(self) -> None:
        """The client has come again by another connection for what it was being sent here: this one is dead, and ends."""
        raise NotImplementedError

    def collect(self) -> None:
        """Write what the wire room has to say."""
        wire = self.wire
        if wire.out:
            pieces = wire.out
            wire.out = []
            if sum([len(piece) for piece in pieces]) > RESUME_BYTES:
                self.say_parts(Pieces(list(pieces)))
            else:
                self.say_all(pieces)
        if wire.closing and not self.closing:
            self.hang_up()
