"""MQTT packets as short text, for transcripts: `write` reads the text of a client, `show` prints what a server sent.

    CONNECT s clean=0 will=t/w will_qos=1 will_retain will_body=gone    a client id of `-` is the empty one
    CONNACK 0 present=1
    PUBLISH a/b qos=1 dup retain id=1 NAME=VALUE... the rest is the payload
    PUBACK 1, PUBACK 1 0x10                                             a reason code of 0 is not shown
    SUBSCRIBE 1 a/# qos=1 nl rap rh=2 b/c qos=2 subid=7
    SUBACK 1 1 2                                                        failures in hex
    UNSUBSCRIBE 1 a/# b/c                       DISCONNECT 0x04 expiry=10

    AUTH 0x18 authmethod=M authdata=x           PUBREC 1 0x97 reason=r user.k=v

A value may be quoted as a shell would.  Properties of MQTT 5 have the short names of PROPERTIES; `user.k=v` repeats.
"""

import shlex
from typing import Final

from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.frames import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
    Will,
)
from protocols.mqtt.properties import Properties, decode_properties, encode_properties

QUOTING: Final = frozenset("'\"\\")

# Short name → field of Properties.
NUMBERS = {
    "expiry": "session_expiry_s",
    "life": "message_expiry_s",
    "format": "payload_format",
    "recvmax": "receive_maximum",
    "maxsize": "maximum_packet_size",
    "aliases": "topic_alias_maximum",
    "alias": "topic_alias",
    "will_delay": "will_delay_s",
    "keepalive": "server_keep_alive_s",
    "maxqos": "maximum_qos",
}
TEXTS = {"ct": "content_type", "resp": "response_topic", "authmethod": "authentication_method"}
# Said, but not shown: what a server answers of these is looked at where it matters.
SAID_NUMBERS = {"problem": "request_problem_information", "response": "request_response_information"}
SAID_TEXTS = {"reason": "reason_string"}
ACKS = {"PUBACK": Puback, "PUBREC": Pubrec, "PUBREL": Pubrel, "PUBCOMP": Pubcomp}

# What every CONNACK of MQTT 5 says about our limits: not shown.
HIDDEN = ("receive_maximum", "maximum_packet_size", "topic_alias_maximum", "assigned_client_id")


def _set(properties: Properties, name: str, value: str) -> bool:
    """Set one property by its short name; False when there is none of that name."""
    if name in NUMBERS:
        setattr(properties, NUMBERS[name], int(value))
    elif name in TEXTS:
        setattr(properties, TEXTS[name], value)
    elif name in SAID_NUMBERS:
        setattr(properties, SAID_NUMBERS[name], int(value))
    elif name in SAID_TEXTS:
        setattr(properties, SAID_TEXTS[name], value)
    elif name == "authdata":
        properties.authentication_data = value.encode()
    elif name == "corr":
        properties.correlation_data = value.encode()
    elif name == "subid":
        properties.subscription_ids.append(int(value))
    elif name.startswith("user."):
        properties.user.append((name[5:], value))
    else:
        return False
    return True


def _shown(properties: Properties | None, hidden: tuple[str, ...] = ()) -> list[str]:
    """The properties by their short names."""
    if properties is None:
        return []
    words = []
    for name, field in [*NUMBERS.items(), *TEXTS.items()]:
        value = getattr(properties, field)
        if value is not None and field not in hidden:
            words.append(f"{name}={value}")
    if properties.correlation_data is not None:
        words.append("corr=" + properties.correlation_data.decode("utf-8", "backslashreplace"))
    words += [f"subid={identifier}" for identifier in sorted(properties.subscription_ids)]
    words += [f"user.{name}={value}" for name, value in properties.user]
    return words


# -- a client's packets


def write(text: str, version: int) -> bytes:
    """The bytes of the packet that `text` stands for."""
    command, _, rest = text.partition(" ")
    if command == "PUBLISH":
        return _publish(rest, version)
    words = rest.split() if QUOTING.isdisjoint(rest) else shlex.split(rest)
    return encode_packet(_packet(command, words, version), version)


def _packet(command: str, words: list[str], version: int) -> Packet:
    if command == "CONNECT":
        return _connect(words, version)
    if command == "SUBSCRIBE":
        return _subscribe(words)
    if command == "UNSUBSCRIBE":
        return Unsubscribe(int(words[0]), words[1:])
    if command == "PINGREQ":
        return Pingreq()
    if command in ACKS:
        code = int(words[1], 16) if len(words) > 1 else 0
        return ACKS[command](int(words[0]), code, _some(words[2:]))
    code = int(words.pop(0), 16) if words and "=" not in words[0] else 0
    properties = _some(words)
    if command == "AUTH":
        return Auth(code, properties or Properties())
    assert command == "DISCONNECT", command
    return Disconnect(code, properties)


def _some(words: list[str]) -> Properties | None:
    """The properties that `words` set; None without any."""
    properties = Properties()
    for word in words:
        assert _set(properties, *word.split("=", 1)), word
    return properties if words else None


def _connect(words: list[str], version: int) -> Connect:
    connect = Connect("" if words[0] == "-" else words[0], True, 0, version)
    properties, will_properties = Properties(), Properties()
    will = Will("", b"", 0, False)
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name == "clean":
            connect.clean_start = value == "1"
        elif name == "keepalive":
            connect.keep_alive_s = int(value)
        elif name == "user":
            connect.username = value
        elif name == "pass":
            connect.password = value.encode()
        elif name == "will":
            will.topic = value
            connect.will = will
        elif name == "will_qos":
            will.qos = int(value)
        elif name == "will_retain":
            will.retain = True
        elif name == "will_body":
            will.payload = value.encode()
        elif name == "will_delay":
            will.delay_s = int(value)
        elif name.startswith("will_"):
            assert _set(will_properties, name[5:], value), word
        else:
            assert _set(properties, name, value), word
    if version == 5:
        connect.properties = properties
        will.properties = encode_properties(will_properties)
    return connect


def _subscribe(words: list[str]) -> Subscribe:
    subscribe = Subscribe(int(words[0]), [])
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name == "qos":
            subscribe.requests[-1].qos = int(value)
        elif name == "nl":
            subscribe.requests[-1].no_local = True
        elif name == "rap":
            subscribe.requests[-1].retain_as_published = True
        elif name == "rh":
            subscribe.requests[-1].retain_handling = int(value)
        elif name == "subid":
            subscribe.subscription_id = int(value)
        else:
            subscribe.requests.append(SubscriptionRequest(word, 0))
    return subscribe


def _publish(rest: str, version: int) -> bytes:
    topic, _, rest = rest.partition(" ")
    qos = packet_id = 0
    dup = retain = False
    properties = Properties()
    while rest:
        word, _, behind = rest.partition(" ")
        name, equals, value = word.partition("=")
        if name == "qos" and equals:
            qos = int(value)
        elif name == "id" and equals:
            packet_id = int(value)
        elif word == "dup":
            dup = True
        elif word == "retain":
            retain = True
        elif not equals or not _set(properties, name, value):
            break
        rest = behind
    block = encode_properties(properties) if version == 5 else None
    return encode_publish("" if topic == "-" else topic, rest.encode(), qos, retain, dup, packet_id, block)


# -- a server's packets


def show(packet: Packet) -> str:
    """The text of one packet."""
    if isinstance(packet, Publish):
        return _show_publish(packet)
    name = type(packet).__name__.upper()
    if isinstance(packet, Connack):
        words = [_code(packet.code), f"present={int(packet.session_present)}"]
        return " ".join([name, *words, *_shown(packet.properties, HIDDEN)])
    if isinstance(packet, (Puback, Pubrec, Pubrel, Pubcomp)):
        words = [str(packet.packet_id)] + ([_code(packet.reason_code)] if packet.reason_code else [])
        return " ".join([name, *words, *_shown(packet.properties)])
    if isinstance(packet, (Suback, Unsuback)):
        return " ".join([name, str(packet.packet_id), *[_code(code) for code in packet.codes]])
    if isinstance(packet, (Disconnect, Auth)):
        return " ".join(
            [name, *([_code(packet.reason_code)] if packet.reason_code else []), *_shown(packet.properties)]
        )
    assert isinstance(packet, Pingresp)
    return name


def _code(code: int) -> str:
    return str(code) if code < 8 else f"0x{code:02x}"


def _show_publish(publish: Publish) -> str:
    words = ["PUBLISH", publish.topic]
    if publish.qos:
        words.append(f"qos={publish.qos}")
    if publish.dup:
        words.append("dup")
    if publish.retain:
        words.append("retain")
    if publish.qos:
        words.append(f"id={publish.packet_id}")
    if publish.properties:
        words += _shown(decode_properties(publish.properties))
    payload = publish.payload().decode("utf-8", "backslashreplace")
    return " ".join(words + ([payload] if payload else []))
