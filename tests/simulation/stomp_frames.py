"""What a STOMP client makes of the frames that it gets, and what ends its connection."""

from collections.abc import Callable
from typing import Any, Final

from tests.behaviour.stomp_text import StompFrame
from tests.simulation.messages import Sent

GARBAGE: Final = (
    b"NONSENSE\n\n\0",
    b"SEND\n\nno destination\0",
    b"SEND\ndestination\n\n\0",  # a header without a colon
    b"SEND\ndestination:/queue/\n\n\0",
    b"SEND\ndestination:/queue/q.1,/topic/\n\nall of them or none\0",
    b"ACK\nid:never\nmessage-id:never\nsubscription:never\n\n\0",
    b"COMMIT\ntransaction:never\n\n\0",
    b"SEND\ndestination:/queue/q.1\ncontent-length:1\n\nlonger\0",
    b"SUBSCRIBE\nid:bad\ndestination:/queue/q.1\nselector:k BETWEEN\n\n\0",
    b"CONNECT\n\n\0",
)
"""Each ends the connection that it comes by."""


def tried(frame: StompFrame) -> tuple[bool, int]:
    """Does it say that it has come before, and how often in vain?"""
    return frame.get("redelivered") == "true", int(frame.get("x-mx-delivery-count") or "0")


def holder_of(origin: str) -> str:
    """The holder of which a dead letter says that it died there, by the key of its queue; empty for one of no name."""
    kind, colon, rest = origin.partition(":")
    if not colon:
        return f"queue {origin}"
    if kind == "private":
        return ""
    # The length of the client's name comes first.
    return f"{kind} {rest.partition(':')[2].partition('/')[0]}"


def target_of(destination: str) -> str:
    """Where it was sent to, as the ledger has it."""
    _, kind, name = destination.split("/", 2)
    return f"topic:{name.replace('.', '/')}" if kind == "topic" else f"{kind}:{name}"


def destination_of(target: str) -> str:
    """And back."""
    kind, _, name = target.partition(":")
    return f"/{kind}/{name.replace('/', '.')}"


def to(target: str, wants: Callable[[Sent], bool]) -> Callable[[Sent], bool]:
    """The same, of what goes there."""
    return lambda sent: target in sent.targets and wants(sent)


def shown(reader: str, frame: StompFrame) -> str:
    """For people."""
    headers: Any = dict(frame.headers)
    names = ("receipt-id", "subscription", "ack", "redelivered", "message", "destination")
    words = [f"{name}:{headers[name]}" for name in names if name in headers]
    return " ".join([reader, "<", frame.command, *words, frame.body[:20].replace("\n", " ")])
