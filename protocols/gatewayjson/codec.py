"""JSON texts to operations, and answers to JSON texts."""

import json
import re
from typing import Any, Final

from protocols.gatewayjson.constants import (
    ACK_AUTO,
    ACK_CLIENT,
    BAD_JSON,
    BAD_REQUEST,
    FAILED,
    INTEGER_MAX,
    OUTCOMES,
    TEXT_MAX,
)
from protocols.gatewayjson.errors import JsonError
from protocols.gatewayjson.frames import (
    Connect,
    Credit,
    Id,
    Mistake,
    Operation,
    Ping,
    Publish,
    Settle,
    Subscribe,
    Transact,
    Unsubscribe,
)
from protocols.gatewayjson.reading import (
    HALF,
    NESTED_MAX,
    VALUES_MAX,
    JsonText,
    finite,
    plain_text,
    refuse_constant,
    refuse_repeats,
)
from protocols.json_writing import Base64

Json = Any


# A text, whole or to the end of the data, so that no byte is looked at twice; or what stands in front of a value.
_TOKENS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[,\[{]', re.DOTALL)


def _check_values(data: bytes, values_max: int) -> None:
    """Raise JsonError for too many values, before any of them is made."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") <= values_max:
        return
    # What stands within texts does not count.
    count = 0
    for token in _TOKENS.finditer(data):
        if data[token.start()] != _QUOTE:
            count += 1
            if count > values_max:
                raise JsonError(f"more than {values_max} values in one JSON text", BAD_JSON)


_QUOTE: Final = 0x22


def load(data: bytes, values_max: int = VALUES_MAX) -> Json:
    """A small JSON text; for others there is `reading.JsonText`.

    Raises JsonError: BAD_JSON, since NaN, repeated names, endless nesting and too many values are none; BAD_REQUEST for
    what is JSON and cannot be carried, a lone surrogate or a number beyond all doubles.
    """
    value = _parse(data, values_max)
    if b"\\u" in data:
        _check_text(value)
    return value


def _check_text(value: Json) -> None:
    """Raise JsonError for half of a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonError(HALF) from None


def _parse(data: bytes, values_max: int) -> Json:
    if data.count(b"[") + data.count(b"{") > NESTED_MAX:
        # It could be nested too deeply.
        text = JsonText(data, values_max)
        while not text.step():
            pass
        return text.value
    _check_values(data, values_max)
    try:
        value = json.loads(
            plain_text(data),
            parse_float=finite,
            parse_constant=refuse_constant,
            object_pairs_hook=refuse_repeats,
        )
    except (ValueError, RecursionError) as error:
        raise JsonError(
            f"not JSON: {str(error)[:100].encode('ascii', 'replace').decode()}", BAD_JSON
        ) from None
    return value


def dump(value: Json) -> bytes:
    """A JSON text without needless spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# -- operations


def decode(data: bytes, operations_max: int, values_max: int = VALUES_MAX) -> list[Operation]:
    """The operations of one WebSocket message that is small.  Raises JsonError when it is no JSON, or too many."""
    try:
        value = _parse(data, values_max)
    except JsonError as error:
        if error.code != BAD_REQUEST:
            raise
        return [Mistake(None, error.code, error.reason)]
    if b"\\u" not in data:
        return operations_of(value, len(data), operations_max, _NONE)
    items = value if isinstance(value, list) else [value]
    return operations_of(
        value, len(data), operations_max, [at for at, item in enumerate(items) if _has_half(item)]
    )


_NONE: Final[list[int]] = []


def _has_half(value: Json) -> bool:
    try:
        _check_text(value)
    except JsonError:
        return True
    return False


def operations_of(value: Json, size: int, operations_max: int, halves: list[int]) -> list[Operation]:
    """The operations of a text of `size` bytes that has been read.  Raises JsonError.

    `halves`: those in which half of a surrogate pair is, in order, see JsonText.
    """
    if isinstance(value, dict):
        return [_operation(value, size, bool(halves))]
    if not isinstance(value, list):
        raise JsonError("an operation is an object", BAD_JSON)
    if len(value) > operations_max:
        raise JsonError(f"a batch may have {operations_max} operations", BAD_JSON)
    size //= max(len(value), 1)
    bad = frozenset(halves)
    operations: list[Operation] = []
    for at, item in enumerate(value):
        if isinstance(item, dict):
            operations.append(_operation(item, size, at in bad))
        else:
            operations.append(Mistake(None, BAD_REQUEST, "an operation is an object"))
    return operations


def _operation(item: dict[str, Any], size: int, half: bool) -> Operation:
    """`half`: somewhere in it is half of a surrogate pair."""
    id: Id = None
    try:
        found = _id(item.pop("id", None))
        if half:
            _check_text(found)
        id = found
        if half:
            raise JsonError(HALF)
        word = item.pop("op", None)
        if word == "publish":
            return _publish(id, item, size)
        if not isinstance(word, str):
            raise JsonError("`op` is missing or no text")
        operation = _other(word, id, item)
        if item:
            raise JsonError(f"{word} knows no `{_shown(next(iter(item)))}`")
        return operation
    except JsonError as error:
        return Mistake(id, error.code, error.reason)


def _other(word: str, id: Id, item: dict[str, Any]) -> Operation:
    if word == "ack":
        return Settle(id, _tags(item), "", _flag(item, "upto"), _name(item, "tx"))
    if word == "nack":
        outcome = _choice(item, "outcome", OUTCOMES, FAILED)
        return Settle(id, _tags(item), outcome, _flag(item, "upto"), _name(item, "tx"))
    if word == "subscribe":
        return _subscribe(id, item)
    if word == "unsubscribe":
        return _unsubscribe(id, item)
    if word == "credit":
        return Credit(id, _needed(item, "sub"), _number(item, "count", 1, 1, 1_000_000))
    if word == "begin" or word == "commit" or word == "abort":
        return Transact(id, word, _needed(item, "tx"))
    if word == "ping" or word == "pong":
        return Ping(id, word == "pong")
    if word == "connect":
        return _connect(id, item)
    raise JsonError(f"unknown operation `{_shown(word)}`")


def _connect(id: Id, item: dict[str, Any]) -> Connect:
    user = _name(item, "user")
    password = _name(item, "password")
    token = _name(item, "token")
    if token is not None and (user is not None or password is not None):
        raise JsonError("either `token`, or `user` and `password`")
    if password is not None and user is None:
        raise JsonError("`password` without `user`")
    secret = password if token is None else token
    return Connect(
        id, user, secret, _name(item, "client_id") or "", _number(item, "ping_ms", 0, 0, 86_400_000)
    )


def _subscribe(id: Id, item: dict[str, Any]) -> Subscribe:
    ack = _choice(item, "ack", (ACK_AUTO, ACK_CLIENT), ACK_AUTO)
    credit = _number(item, "credit", -1, 0, 1_000_000)
    window = _number(item, "window", -1, 1, 65_535)
    if credit >= 0 and (window > 0 or ack == ACK_AUTO):
        raise JsonError("`credit` is for `ack`: client, without `window`")
    return Subscribe(
        id,
        _needed(item, "sub"),
        _needed(item, "from"),
        ack,
        window,
        credit,
        _flag(item, "no_local"),
        _flag(item, "retained"),
        _name(item, "durable"),
    )


def _unsubscribe(id: Id, item: dict[str, Any]) -> Unsubscribe:
    delete = _flag(item, "delete")
    durable = _name(item, "durable")
    if durable is None:
        return Unsubscribe(id, _needed(item, "sub"), delete)
    if not delete or _name(item, "sub") is not None:
        raise JsonError("`durable` is for `delete`, without `sub`")
    return Unsubscribe(id, "", True, durable)


def _publish(id: Id, item: dict[str, Any], size: int) -> Publish:
    to = item.pop("to", None)
    names = [to] if isinstance(to, str) else to
    if not isinstance(names, list) or not names or len(names) > 100:
        raise JsonError("`to` is a destination, or a list of 1 to 100")
    for name in names:
        if not isinstance(name, str):
            raise JsonError("`to` is a destination, or a list of 1 to 100")
    tx = _name(item, "tx")
    dedup = _name(item, "dedup")
    check_envelope(item)
    return Publish(id, names, item, tx, size, dedup)


# -- fields of a message

_TEXT: Final = 1
_FLAG: Final = 3
_OBJECT: Final = 4
_ANY: Final = 5
_OCTET: Final = 6
_TIME: Final = 7
_SEQUENCE: Final = 8
_MOMENT: Final = 9
_SPAN: Final = 10

ENVELOPE: Final[dict[str, int]] = {
    "message_id": _TEXT,
    "correlation_id": _TEXT,
    "reply_to": _TEXT,
    "subject": _TEXT,
    "content_type": _TEXT,
    "content_encoding": _TEXT,
    "body": _ANY,
    "body_b64": _TEXT,
    "created_at": _TIME,
    "expires_at": _MOMENT,
    "ttl": _SPAN,
    "deliver_at": _MOMENT,
    "delay": _SPAN,
    "priority": _OCTET,
    "durable": _FLAG,
    "retain": _FLAG,
    "group_id": _TEXT,
    "group_seq": _SEQUENCE,
    "reply_group": _TEXT,
    "user_id": _TEXT,
    "app_id": _TEXT,
    "properties": _OBJECT,
    "annotations": _OBJECT,
    "footer": _OBJECT,
    "ext": _OBJECT,
    # What only the broker says, or belongs to a delivery: taken and forgotten, so that what came may be sent back.
    "original_to": _ANY,
    "received_at": _ANY,
    "deaths": _ANY,
    "auth": _ANY,
    "client": _ANY,
    "delivery_count": _ANY,
    "redelivered": _ANY,
    "group_first": _ANY,
}
"""What a publisher may say of a message, and its type; null is as good as nothing."""

_I64_MOST: Final = (1 << 63) - 1
_SPAN_MOST: Final = 1 << 62
"""Milliseconds from now on: the moment must still be a time that a record holds."""


def check_envelope(envelope: dict[str, Any]) -> None:
    """Raise JsonError unless every field is known and of its type.  Whole numbers become integers however written."""
    for name, value in envelope.items():
        kind = ENVELOPE.get(name, 0)
        if kind == 0:
            raise JsonError(f"publish knows no `{_shown(name)}`")
        if isinstance(value, float) and kind >= _OCTET:
            value = envelope[name] = _whole(value)
            if value is None:
                raise JsonError(f"`{name}` is no whole number")
        if value is not None and not _fits(value, kind):
            raise JsonError(f"`{name}` is of the wrong type")
    if envelope.get("body") is not None and envelope.get("body_b64") is not None:
        raise JsonError("either `body` or `body_b64`")


def _whole(value: Any) -> int | None:
    """A whole number, which JSON may write with a fraction or exponent too: 1.0, 1e3."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _fits(value: Any, kind: int) -> bool:
    if kind == _ANY:
        return True
    if kind == _TEXT:
        # A long one has been unpacked.
        return isinstance(value, (str, Base64))
    if kind == _FLAG:
        return isinstance(value, bool)
    if kind == _OBJECT:
        return isinstance(value, dict)
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    if kind == _OCTET:
        return 0 <= value <= 255
    if kind == _SEQUENCE:
        return -(1 << 31) <= value < 1 << 32
    if kind == _SPAN:
        return 0 <= value <= _SPAN_MOST
    return (-_I64_MOST if kind == _TIME else 0) <= value <= _I64_MOST


# -- one key at a time


def _id(value: Any) -> Id:
    if value is None or (isinstance(value, str) and len(value) <= TEXT_MAX):
        return value
    number = _whole(value)
    if number is not None and abs(number) <= INTEGER_MAX:
        return number
    raise JsonError("`id` is a text or a whole number")


def _name(item: dict[str, Any], key: str) -> str | None:
    value = item.pop(key, None)
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > TEXT_MAX:
        raise JsonError(f"`{key}` is a text that is not empty")
    return value


def _needed(item: dict[str, Any], key: str) -> str:
    value = _name(item, key)
    if value is None:
        raise JsonError(f"`{key}` is missing")
    return value


def _flag(item: dict[str, Any], key: str) -> bool:
    value = item.pop(key, False)
    if not isinstance(value, bool):
        raise JsonError(f"`{key}` is true or false")
    return value


def _choice(item: dict[str, Any], key: str, choice: tuple[str, ...], default: str) -> str:
    value = item.pop(key, default)
    if not isinstance(value, str) or value not in choice:
        raise JsonError(f"`{key}` is one of {', '.join(choice)}")
    return value


def _number(item: dict[str, Any], key: str, default: int, least: int, most: int) -> int:
    if key not in item:
        return default
    value = _whole(item.pop(key))
    if value is None or not least <= value <= most:
        raise JsonError(f"`{key}` is a whole number from {least} to {most}")
    return value


def _tags(item: dict[str, Any]) -> list[int]:
    value = item.pop("tag", None)
    tags = value if isinstance(value, list) else [value]
    if not tags or len(tags) > 10_000:
        raise JsonError("`tag` is a number, or a list of them")
    found: list[int] = []
    for tag in tags:
        number = _whole(tag)
        if number is None or not 0 < number <= INTEGER_MAX:
            raise JsonError("`tag` is a number, or a list of them")
        found.append(number)
    return found


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


# -- answers


def encode_ok(id: Id) -> bytes:
    """It is done; a message with `durable` is as safe as the gateway can make it."""
    return dump({"op": "ok", "id": id})


def encode_done(id: Id, message: int, repeated: bool) -> bytes:
    """The same for what was to be sent once; `message` is the number of the one message that it is, or 0."""
    answer: dict[str, Any] = {"op": "ok", "id": id}
    if message:
        answer["message"] = str(message)
    if repeated:
        answer["repeated"] = True
    return dump(answer)


def encode_error(id: Id, code: str, reason: str) -> bytes:
    """It is not."""
    error: dict[str, Any] = {"op": "error", "code": code, "reason": reason}
    if id is not None:
        error["id"] = id
    return dump(error)


def encode_connected(id: Id, session: str, server: str, user: str | None) -> bytes:
    """Welcome."""
    connected: dict[str, Any] = {"op": "connected", "session": session, "server": server, "user": user}
    if id is not None:
        connected["id"] = id
    return dump(connected)


def encode_pong(id: Id) -> bytes:
    """The answer to a ping."""
    return b'{"op":"pong"}' if id is None else dump({"op": "pong", "id": id})


PING: Final = b'{"op":"ping"}'
"""Said after a silence, to whoever asked for it; no answer is needed."""


def message_head(sub: str) -> bytes:
    """What a `message` to one subscription begins with."""
    return b'{"op":"message","sub":' + dump(sub)
