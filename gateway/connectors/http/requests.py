"""What a request says: who it is, numbers, and the message in it."""

import base64
import binascii
from typing import Any, Final

from gateway.connectors.envelope import Envelope, envelope_from
from gateway.connectors.websocket.messages import raw_envelope
from gateway.core.dedup import KEY_LENGTH_MAX
from gateway.core.destination import Destination
from gateway.core.ports import Credentials
from protocols.gatewayjson.codec import load
from protocols.http.frames import Request

ENVELOPE_TYPE: Final = "application/vnd.mx+json"
META: Final = "X-Mx-Meta"
MESSAGE_ID: Final = "X-Mx-Message-Id"
DESTINATION: Final = "destination"
PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "messages": (),
    "events": (DESTINATION, "retained"),
    "receipts": (),
    "topics": ("retain",),
    "queues": ("ack", "max", "wait", "retain"),
}
"""What may stand behind `?`, by the first part of the path."""


class HttpRefusal(Exception):
    """Why a request cannot be carried out."""

    def __init__(self, status: int, reason: str, more: tuple[tuple[str, str], ...] = ()) -> None:
        """`more` are headers that the answer has then."""
        super().__init__(reason)
        self.status = status
        self.more = more
        self.reason = reason


def not_allowed(reason: str, methods: tuple[str, ...]) -> HttpRefusal:
    """405, and what is allowed there (RFC 9110 §10.2.1)."""
    return HttpRefusal(405, reason, (("Allow", ", ".join([*methods, "OPTIONS"])),))


def credentials_of(request: Request, peer: str, certificate_user: str | None) -> Credentials:
    """What the Authorization header says (RFC 7617, RFC 6750).  Raises HttpRefusal when it is damaged."""
    value = request.header("authorization")
    user: str | None = None
    secret: bytes | None = None
    if value is not None:
        scheme, _, rest = value.partition(" ")
        if scheme.lower() == "basic":
            try:
                name, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
                user = name.decode()
            except (binascii.Error, ValueError):
                raise HttpRefusal(401, "the Authorization header is damaged") from None
            secret = password if colon else None
        elif scheme.lower() == "bearer":
            secret = rest.strip().encode()
        else:
            raise HttpRefusal(401, "Basic or Bearer, please")
    return Credentials(user, secret, "", peer, certificate_user)


def without_framing(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What the refusal of a handshake says beyond what every response says."""
    known = ("content-length", "content-type", "connection", "date")
    return [(name, value) for name, value in headers if name.lower() not in known]


def check_parameters(request: Request, room: str) -> None:
    """Refuse what nobody would look at: of a misspelt `ack=auto` the sender believes that it was heeded."""
    seen: set[str] = set()
    for name, _ in request.query():
        if name not in PARAMETERS[room]:
            known = ", ".join(PARAMETERS[room]) or "none"
            raise HttpRefusal(400, f"/{room} has no parameter {name[:40]!r}; there are: {known}")
        if name in seen and name != DESTINATION:
            raise HttpRefusal(400, f"{name} is said twice")
        seen.add(name)


def number_of(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A parameter that is a whole number.  Raises HttpRefusal."""
    text = request.parameter(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not least <= int(text) <= most:
        raise HttpRefusal(400, f"{name} is a whole number from {least} to {most}")
    return int(text)


def idempotency_key(request: Request) -> str | None:
    """The key under which it is to be done once: a string as in draft-ietf-httpapi-idempotency-key-header §2.1, or bare
    as Stripe's clients send it.  Raises HttpRefusal."""
    values = request.all("idempotency-key")
    if not values:
        return None
    key = values[0]
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1]
    if len(values) > 1 or not 0 < len(key) <= KEY_LENGTH_MAX or '"' in key:
        raise HttpRefusal(400, f"Idempotency-Key is one key of 1 to {KEY_LENGTH_MAX} characters")
    return key


def once_parts(request: Request) -> list[bytes]:
    """What tells a request that is to be done once from others: all of it but who asks, and how."""
    parts = [request.target.encode("latin-1"), request.body]
    for name in ("content-type", "content-encoding", "x-mx-meta", "x-mx-ttl"):
        parts.append(",".join(request.all(name)).encode("latin-1"))
    return parts


def wants_envelope(request: Request) -> bool:
    """Does it ask for whole envelopes?"""
    return ENVELOPE_TYPE in (request.header("accept") or "")


def is_envelope(request: Request) -> bool:
    """Is the body a whole envelope?"""
    content_type = request.header("content-type")
    return content_type is not None and content_type.partition(";")[0].strip().lower() == ENVELOPE_TYPE


def envelope_in(
    request: Request,
    whole: bool,
    members: Any,
    destination: Destination,
    values_max: int,
    coding: str | None,
    known: bool | None = None,
) -> Envelope:
    """One message that came by POST, its body packed in `coding`.  Raises HttpRefusal, JsonError or InvalidEnvelope.

    `whole`: the body is an envelope, and says `members`.  `known`: whether it is UTF-8, if that is.
    """
    content_type = request.header("content-type")
    meta = request.header("x-mx-meta")
    if whole:
        if not isinstance(members, dict):
            raise HttpRefusal(400, "the body is one message; several go to /messages")
    else:
        members = {} if meta is None else load(meta.encode("latin-1"), values_max)
        if not isinstance(members, dict) or "body" in members or "body_b64" in members:
            raise HttpRefusal(400, f"{META} is a JSON object, without a body")
    if coding is not None:
        members["content_encoding"] = coding
    # The path says where it goes; an envelope that was received may say so too.
    members["to"] = str(destination)
    ttl = request.header("x-mx-ttl")
    if ttl is not None:
        if not (ttl.isascii() and ttl.isdigit()) or len(ttl) > 15:
            raise HttpRefusal(400, "X-Mx-Ttl is a number of milliseconds")
        members["ttl"] = int(ttl)
    if request.parameter("retain") == "true":
        members["retain"] = True
    return envelope_from(members) if whole else raw_envelope(members, content_type, request.body, known)
