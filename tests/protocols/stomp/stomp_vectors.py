"""Frames of clients as bytes and as records, in each version, and how to feed them."""

from protocols.stomp.connection import StompConnection, StompLimits
from protocols.stomp.frames import (
    Abort,
    Ack,
    AckMode,
    Begin,
    Commit,
    Disconnect,
    Frame,
    Nack,
    Send,
    Subscribe,
    Unsubscribe,
)

VERSIONS = ("1.0", "1.1", "1.2")


def connected(
    version: str = "1.2", limits: StompLimits | None = None, heart_beat: str = "0,0"
) -> StompConnection:
    """A connection whose client has been welcomed, with nothing left to send."""
    connection = StompConnection(limits or StompLimits(), 0)
    head = "CONNECT\nhost:h\n" if version == "1.0" else f"CONNECT\naccept-version:{version}\nhost:h\n"
    (connect,) = connection.receive_data(f"{head}heart-beat:{heart_beat}\n\n\0".encode(), 0)
    assert connect.version == version  # type: ignore[attr-defined]
    connection.send_connected("s", "test/1")
    connection.data_to_send(0)
    return connection


def sent(connection: StompConnection, now_ms: int = 0) -> bytes:
    return b"".join(connection.data_to_send(now_ms))


def parse(frame: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    """Command, raw headers and body of one frame of a server."""
    head, body = frame.split(b"\n\n", 1)
    assert body.endswith(b"\0\n")
    command, *lines = head.decode().split("\n")
    headers = [(line.split(":", 1)[0], line.split(":", 1)[1]) for line in lines]
    return command, headers, body[:-2]


def send(
    destination: str,
    lines: list[bytes],
    body: bytes = b"",
    version: str = "1.2",
    receipt: str | None = None,
    transaction: str | None = None,
    persistent: bool = False,
    priority: int = -1,
    expires_ms: int = 0,
    expiration_ms: int = 0,
    retain: bool = False,
    content_length: bool = False,
    content_type: bytes | None = None,
) -> Send:
    return Send(
        destination,
        lines,
        body,
        receipt,
        transaction,
        persistent,
        priority,
        expires_ms,
        expiration_ms,
        retain,
        content_length,
        content_type,
        version,
    )


def _sends(version: str) -> list[tuple[str, bytes, Frame]]:
    full_lines = [
        b"destination:/topic/t",
        b"content-type:text/plain",
        b"receipt:r1",
        b"transaction:tx",
        b"persistent:true",
        b"priority:7",
        b"expires:1700000000000",
        b"expiration:5000",
        b"retain:true",
        b"own:header",
        b"content-length:3",
    ]
    return [
        (
            "send",
            b"SEND\ndestination:/queue/a\n\nhello\0",
            send("/queue/a", [b"destination:/queue/a"], b"hello", version),
        ),
        (
            "send empty",
            b"SEND\ndestination:/queue/a\n\n\0",
            send("/queue/a", [b"destination:/queue/a"], b"", version),
        ),
        (
            "send with NUL in the body",
            b"SEND\ndestination:/queue/a\ncontent-length:5\n\n\0\n\0\n\n\0",
            send(
                "/queue/a",
                [b"destination:/queue/a", b"content-length:5"],
                b"\0\n\0\n\n",
                version,
                content_length=True,
            ),
        ),
        (
            "send all headers",
            b"SEND\n" + b"\n".join(full_lines) + b"\n\na\0b\0",
            send(
                "/topic/t",
                full_lines,
                b"a\0b",
                version,
                receipt="r1",
                transaction="tx",
                persistent=True,
                priority=7,
                expires_ms=1_700_000_000_000,
                expiration_ms=5000,
                retain=True,
                content_length=True,
                content_type=b"text/plain",
            ),
        ),
        (
            "send unicode and repeated headers",
            "SEND\ndestination:/topic/é🥕\nk:1\nk:2\ndestination:/other\n\n\0".encode(),
            send(
                "/topic/é🥕",
                ["destination:/topic/é🥕".encode(), b"k:1", b"k:2", b"destination:/other"],
                b"",
                version,
            ),
        ),
    ]


def _subscriptions(version: str) -> list[tuple[str, bytes, Frame]]:
    plain = [("destination", "/queue/a"), ("id", "0")]
    full = [
        ("destination", "/topic/a.>"),
        ("id", "s1"),
        ("ack", "client-individual"),
        ("prefetch-count", "10"),
        ("activemq.subscriptionName", "name"),
        ("selector", "a > 1"),
        ("no-local", "true"),
        ("receipt", "r2"),
    ]
    return [
        (
            "subscribe",
            b"SUBSCRIBE\ndestination:/queue/a\nid:0\n\n\0",
            Subscribe("/queue/a", "0", AckMode.AUTO, -1, None, None, False, plain),
        ),
        (
            "subscribe all headers",
            b"SUBSCRIBE\n" + "".join(f"{name}:{value}\n" for name, value in full).encode() + b"\n\0",
            Subscribe(
                "/topic/a.>", "s1", AckMode.CLIENT_INDIVIDUAL, 10, "name", "a > 1", True, full, receipt="r2"
            ),
        ),
        (
            "unsubscribe",
            b"UNSUBSCRIBE\nid:s1\nreceipt:r3\n\n\0",
            Unsubscribe("s1", None, None, [("id", "s1"), ("receipt", "r3")], receipt="r3"),
        ),
    ]


def _transactions(version: str) -> list[tuple[str, bytes, Frame]]:
    return [
        ("begin", b"BEGIN\ntransaction:t\n\n\0", Begin("t")),
        ("commit", b"COMMIT\ntransaction:t\nreceipt:c\n\n\0", Commit("t", "c")),
        ("abort", b"ABORT\ntransaction:t\n\n\0", Abort("t")),
    ]


def _acknowledgements(version: str) -> list[tuple[str, bytes, Frame]]:
    if version == "1.2":
        return [
            ("ack", b"ACK\nid:a1\n\n\0", Ack("a1", None, None, None)),
            ("ack of our own kind", b"ACK\nid:12-345\n\n\0", Ack("12-345", None, None, None)),
            ("ack in tx", b"ACK\nid:a1\ntransaction:t\nreceipt:r\n\n\0", Ack("a1", None, None, "t", "r")),
            ("nack", b"NACK\nid:a1\n\n\0", Nack("a1", None, None, None)),
            (
                "nack without requeue",
                b"NACK\nid:a1\nrequeue:false\n\n\0",
                Nack("a1", None, None, None, False),
            ),
        ]
    if version == "1.1":
        return [
            (
                "ack",
                b"ACK\nmessage-id:m1\nsubscription:s\ntransaction:t\n\n\0",
                Ack(None, "m1", "s", "t"),
            ),
            (
                "nack",
                b"NACK\nmessage-id:m1\nsubscription:s\nrequeue:true\nreceipt:r\n\n\0",
                Nack(None, "m1", "s", None, True, "r"),
            ),
        ]
    return [
        ("ack", b"ACK\nmessage-id:m1\n\n\0", Ack(None, "m1", None, None)),
        (
            "unsubscribe by destination",
            b"UNSUBSCRIBE\ndestination:/queue/a\n\n\0",
            Unsubscribe(None, "/queue/a", None, [("destination", "/queue/a")]),
        ),
        (
            "subscribe without id",
            b"SUBSCRIBE\ndestination:/queue/a\n\n\0",
            Subscribe("/queue/a", None, AckMode.AUTO, -1, None, None, False, [("destination", "/queue/a")]),
        ),
    ]


def vectors(version: str) -> list[tuple[str, bytes, Frame]]:
    """(name, bytes, record) of every frame that a connected client may send."""
    return [
        *_sends(version),
        *_subscriptions(version),
        *_transactions(version),
        *_acknowledgements(version),
        ("disconnect", b"DISCONNECT\nreceipt:bye\n\n\0", Disconnect("bye")),
    ]


ALL = [(version, name, data, frame) for version in VERSIONS for name, data, frame in vectors(version)]
ALL_IDS = [f"{version} {name}" for version, name, _, _ in ALL]
