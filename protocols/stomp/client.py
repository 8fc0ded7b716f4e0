"""A client's frames as bytes, for tests and for bridges."""

from protocols.stomp.codec import durable_name_of
from protocols.stomp.constants import V1_0, V_CONNECT
from protocols.stomp.frames import (
    Abort,
    Ack,
    AckMode,
    Begin,
    Commit,
    Connect,
    Frame,
    Nack,
    Send,
    Subscribe,
    Unsubscribe,
)
from protocols.stomp.headers import encode_header, first


def encode_send(destination: str, body: bytes, headers: list[tuple[str, str]], version: str) -> bytes:
    """SEND with a content-length; `headers` are all others."""
    given = [("destination", destination), *headers, ("content-length", str(len(body)))]
    return _encode("SEND", given, version, body)


def encode_frame(frame: Frame, version: str) -> bytes:
    """Any frame of a client.

    A Send is written from its `lines` alone; the others from their `headers`, completed from their fields.
    """
    if isinstance(frame, Send):
        return b"SEND\n" + b"".join([line + b"\n" for line in frame.lines]) + b"\n" + frame.body + b"\0"
    if isinstance(frame, Connect):
        return _encode("CONNECT", _connect_headers(frame), V_CONNECT, b"")
    if isinstance(frame, Subscribe):
        return _encode("SUBSCRIBE", _subscribe_headers(frame), version, b"")
    if isinstance(frame, Unsubscribe):
        return _encode("UNSUBSCRIBE", _unsubscribe_headers(frame), version, b"")
    headers: list[tuple[str, str]] = []
    command = "DISCONNECT"
    if isinstance(frame, Begin):
        command = "BEGIN"
        headers.append(("transaction", frame.transaction))
    elif isinstance(frame, Commit):
        command = "COMMIT"
        headers.append(("transaction", frame.transaction))
    elif isinstance(frame, Abort):
        command = "ABORT"
        headers.append(("transaction", frame.transaction))
    elif isinstance(frame, Ack):
        command = "ACK"
        _delivery(headers, frame.id, frame.message_id, frame.subscription, frame.transaction)
    elif isinstance(frame, Nack):
        command = "NACK"
        _delivery(headers, frame.id, frame.message_id, frame.subscription, frame.transaction)
        if frame.requeue is not None:
            headers.append(("requeue", "true" if frame.requeue else "false"))
    _complete(headers, "receipt", frame.receipt)
    return _encode(command, headers, version, b"")


def _connect_headers(frame: Connect) -> list[tuple[str, str]]:
    headers = list(frame.headers)
    if frame.accept_versions:
        _complete(headers, "accept-version", ",".join(frame.accept_versions))
    _complete(headers, "host", frame.host)
    _complete(headers, "login", frame.login)
    _complete(headers, "passcode", frame.passcode)
    if frame.version != V1_0:
        _complete(headers, "heart-beat", f"{frame.heart_beat[0]},{frame.heart_beat[1]}")
    _complete(headers, "client-id", frame.client_id)
    return headers


def _subscribe_headers(frame: Subscribe) -> list[tuple[str, str]]:
    headers = list(frame.headers)
    _complete(headers, "destination", frame.destination)
    _complete(headers, "id", frame.id)
    if frame.ack != AckMode.AUTO:
        _complete(headers, "ack", frame.ack.value)
    if frame.prefetch >= 0 and first(headers, "activemq.prefetchSize") is None:
        _complete(headers, "prefetch-count", str(frame.prefetch))
    _complete_durable(headers, frame.durable_name, frame.id)
    _complete(headers, "selector", frame.selector)
    if frame.no_local and first(headers, "activemq.noLocal") is None:
        _complete(headers, "no-local", "true")
    if frame.exclusive and first(headers, "exclusive") is None:
        _complete(headers, "activemq.exclusive", "true")
    if frame.browser:
        _complete(headers, "browser", "true")
    if frame.retained and first(headers, "activemq.retroactive") is None:
        _complete(headers, "retained", "true")
    if frame.window >= 0:
        _complete(headers, "consumer-window-size", str(frame.window))
    _complete(headers, "receipt", frame.receipt)
    return headers


def _unsubscribe_headers(frame: Unsubscribe) -> list[tuple[str, str]]:
    headers = list(frame.headers)
    _complete(headers, "id", frame.id)
    _complete(headers, "destination", frame.destination)
    _complete_durable(headers, frame.durable_name, frame.id)
    _complete(headers, "receipt", frame.receipt)
    return headers


def _delivery(
    headers: list[tuple[str, str]],
    handle: str | None,
    message_id: str | None,
    subscription: str | None,
    transaction: str | None,
) -> None:
    _complete(headers, "id", handle)
    _complete(headers, "message-id", message_id)
    _complete(headers, "subscription", subscription)
    _complete(headers, "transaction", transaction)


def _complete(headers: list[tuple[str, str]], name: str, value: str | None) -> None:
    if value is not None and first(headers, name) is None:
        headers.append((name, value))


def _complete_durable(headers: list[tuple[str, str]], name: str | None, subscription: str | None) -> None:
    if name is not None and durable_name_of(headers, subscription) is None:
        headers.append(("activemq.subscriptionName", name))


def _encode(command: str, headers: list[tuple[str, str]], version: str, body: bytes) -> bytes:
    lines = [command.encode()]
    for name, value in headers:
        lines.append(encode_header(name, value, version))
    return b"\n".join(lines) + b"\n\n" + body + b"\0"
