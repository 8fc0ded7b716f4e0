"""Real clients behind one small face: subscribe, publish, and wait for what comes."""

import queue
import socket
import time
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import paho.mqtt.client as mqtt
import stomp
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

TIMEOUT_S = 10.0


@dataclass
class Ports:
    """Where the gateway listens."""

    mqtt: int
    stomp: int
    admin: int


class Inbox:
    """Messages that have come: (address, body)."""

    def __init__(self) -> None:
        self._messages: queue.Queue[tuple[str, bytes]] = queue.Queue()

    def put(self, address: str, body: bytes) -> None:
        """Called by the client's thread."""
        self._messages.put((address, body))

    def take(self, count: int) -> list[tuple[str, bytes]]:
        """The next messages.  Raises queue.Empty when they do not come."""
        deadline = time.monotonic() + TIMEOUT_S
        return [self._messages.get(timeout=max(0.01, deadline - time.monotonic())) for _ in range(count)]

    def empty(self) -> bool:
        """Is nothing waiting?"""
        return self._messages.empty()


def mqtt_properties(kind: str, **values: object) -> Properties:
    """paho's properties of a packet, by its name there: `CONNECT`, `PUBLISH`, `WILLMESSAGE`."""
    properties = Properties(getattr(PacketTypes, kind))
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


@dataclass
class Will:
    """What a client leaves behind."""

    topic: str
    body: bytes
    qos: int = 1
    retain: bool = False
    delay_s: int = 0


class Paho:
    """paho-mqtt; `version` 3 is 3.1, 4 is 3.1.1, 5 is 5.0; `connect` are properties of its CONNECT."""

    def __init__(
        self,
        port: int,
        version: int = 5,
        client_id: str = "",
        clean: bool = True,
        will: Will | None = None,
        hold_acks: bool = False,
        **connect: object,
    ) -> None:
        self.inbox = Inbox()
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        """All that is known of each message."""
        self.reasons: queue.Queue[int] = queue.Queue()
        """Why connections have ended."""
        self.version = version
        self._answers: queue.Queue[list[int]] = queue.Queue()
        self._connected: queue.Queue[mqtt.ConnectFlags] = queue.Queue()
        options: dict[str, object] = {} if version == 5 else {"clean_session": clean}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id or f"paho-{uuid.uuid4().hex[:8]}",
            protocol=mqtt.MQTTProtocolVersion(version),
            manual_ack=hold_acks,
            reconnect_on_failure=False,
            **options,  # type: ignore[arg-type]
        )
        if will is not None:
            properties = None
            if version == 5:
                properties = mqtt_properties("WILLMESSAGE", WillDelayInterval=will.delay_s)
            self.client.will_set(will.topic, will.body, will.qos, will.retain, properties)
        self.properties: list[object] = []
        self.client.on_message = self._on_message
        self.client.on_subscribe = self._on_answer
        self.client.on_unsubscribe = self._on_answer
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *args: self.reasons.put(args[3].value)
        if version == 5:
            self.client.connect(
                "127.0.0.1", port, clean_start=clean, properties=mqtt_properties("CONNECT", **connect)
            )
        else:
            self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.connack_flags = self._connected.get(timeout=TIMEOUT_S)

    def _on_connect(self, *args: object) -> None:
        self.connack_properties = args[4]
        self._connected.put(args[2])  # type: ignore[arg-type]

    def _on_answer(self, *args: object) -> None:
        self._answers.put([code.value for code in args[3]])  # type: ignore[attr-defined]

    def _on_message(self, client: object, user: object, message: mqtt.MQTTMessage) -> None:
        self.properties.append(message.properties)
        self.messages.put(message)
        self.inbox.put(message.topic, message.payload)

    def message(self) -> mqtt.MQTTMessage:
        """The next message.  Raises queue.Empty when it does not come."""
        return self.messages.get(timeout=TIMEOUT_S)

    def subscribe(self, topic: str, qos: int = 0, **options: object) -> list[int]:
        """Subscribe and wait for the SUBACK; returns its codes.  `options` are paho's SubscribeOptions."""
        if options:
            self.client.subscribe(topic, options=SubscribeOptions(qos, **options))  # type: ignore[arg-type]
        else:
            self.client.subscribe(topic, qos)
        return self._answers.get(timeout=TIMEOUT_S)

    def unsubscribe(self, topic: str) -> list[int]:
        """Unsubscribe and wait for the UNSUBACK; returns its codes."""
        self.client.unsubscribe(topic)
        return self._answers.get(timeout=TIMEOUT_S)

    def publish(
        self, topic: str, body: bytes, qos: int = 0, retain: bool = False, **properties: object
    ) -> None:
        """Publish and wait until the exchange is finished."""
        extra = mqtt_properties("PUBLISH", **properties) if properties else None
        self.client.publish(topic, body, qos, retain, extra).wait_for_publish(TIMEOUT_S)

    def drop(self) -> None:
        """Lose the connection."""
        sock = self.client.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class Stomp(stomp.ConnectionListener):  # type: ignore[misc]
    """stomp.py in version 1.0, 1.1 or 1.2."""

    def __init__(
        self, port: int, version: str = "1.2", heart_beats: tuple[int, int] = (0, 0), **connect: str
    ) -> None:
        self.inbox = Inbox()
        self.frames: queue.Queue[object] = queue.Queue()
        self.errors: queue.Queue[object] = queue.Queue()
        self.beats: queue.Queue[float] = queue.Queue()
        """When heart-beats have come."""
        self._receipts: queue.Queue[str] = queue.Queue()
        kind = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}[version]
        options = {} if version == "1.0" else {"heartbeats": heart_beats}
        self.connection = kind([("127.0.0.1", port)], **options)
        self.connection.set_listener("", self)
        self.connection.connect(wait=True, headers=connect)
        self._subscriptions = 0

    def on_message(self, frame: object) -> None:
        """Called by stomp.py."""
        self.frames.put(frame)
        self.inbox.put(frame.headers["destination"], frame.body.encode())  # type: ignore[attr-defined]

    def on_receipt(self, frame: object) -> None:
        """Called by stomp.py."""
        self._receipts.put(frame.headers["receipt-id"])  # type: ignore[attr-defined]

    def on_error(self, frame: object) -> None:
        """Called by stomp.py."""
        self.errors.put(frame)

    def on_heartbeat(self) -> None:
        """Called by stomp.py."""
        self.beats.put(time.monotonic())

    def frame(self) -> stomp.utils.Frame:
        """The next MESSAGE.  Raises queue.Empty when it does not come."""
        return self.frames.get(timeout=TIMEOUT_S)

    def await_receipt(self, name: str) -> None:
        """Wait for this RECEIPT."""
        assert self._receipts.get(timeout=TIMEOUT_S) == name

    def drop(self) -> None:
        """Lose the connection."""
        self.connection.transport.disconnect_socket()

    def subscribe(self, destination: str, ack: str = "auto", **headers: str) -> str:
        """Subscribe and wait for the RECEIPT; returns the id."""
        self._subscriptions += 1
        name = str(self._subscriptions)
        self.connection.subscribe(
            destination, id=name, ack=ack, headers={"receipt": f"sub-{name}", **headers}
        )
        assert self._receipts.get(timeout=TIMEOUT_S) == f"sub-{name}"
        return name

    def publish(self, destination: str, body: bytes, **headers: str) -> None:
        """Send and wait for the RECEIPT."""
        self.connection.send(destination, body, headers={"receipt": "send", **headers})
        assert self._receipts.get(timeout=TIMEOUT_S) == "send"

    def close(self) -> None:
        """Disconnect."""
        self.connection.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
