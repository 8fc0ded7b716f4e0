"""Real clients behind one small face: subscribe, publish, and wait for what comes."""

import queue
import time
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import paho.mqtt.client as mqtt
import stomp

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


class Paho:
    """paho-mqtt; `version` 4 is 3.1.1, 5 is 5.0."""

    def __init__(self, port: int, version: int = 5, client_id: str = "", clean: bool = True) -> None:
        self.inbox = Inbox()
        self._subscribed: queue.Queue[object] = queue.Queue()
        self._connected: queue.Queue[object] = queue.Queue()
        options: dict[str, object] = {} if version == 5 else {"clean_session": clean}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id or f"paho-{uuid.uuid4().hex[:8]}",
            protocol=mqtt.MQTTv5 if version == 5 else mqtt.MQTTv311,
            **options,  # type: ignore[arg-type]
        )
        self.properties: list[object] = []
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *args: self._subscribed.put(args[3])
        self.client.on_connect = lambda *args: self._connected.put(args[2])
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.connack_flags = self._connected.get(timeout=TIMEOUT_S)

    def _on_message(self, client: object, user: object, message: mqtt.MQTTMessage) -> None:
        self.properties.append(message.properties)
        self.inbox.put(message.topic, message.payload)

    def subscribe(self, topic: str, qos: int = 0) -> None:
        """Subscribe and wait for the SUBACK."""
        self.client.subscribe(topic, qos)
        self._subscribed.get(timeout=TIMEOUT_S)

    def publish(self, topic: str, body: bytes, qos: int = 0, retain: bool = False) -> None:
        """Publish and wait until the exchange is finished."""
        self.client.publish(topic, body, qos, retain).wait_for_publish(TIMEOUT_S)

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

    def __init__(self, port: int, version: str = "1.2") -> None:
        self.inbox = Inbox()
        self.frames: queue.Queue[object] = queue.Queue()
        self._receipts: queue.Queue[str] = queue.Queue()
        kind = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}[version]
        self.connection = kind([("127.0.0.1", port)])
        self.connection.set_listener("", self)
        self.connection.connect(wait=True)
        self._subscriptions = 0

    def on_message(self, frame: object) -> None:
        """Called by stomp.py."""
        self.frames.put(frame)
        self.inbox.put(frame.headers["destination"], frame.body.encode())  # type: ignore[attr-defined]

    def on_receipt(self, frame: object) -> None:
        """Called by stomp.py."""
        self._receipts.put(frame.headers["receipt-id"])  # type: ignore[attr-defined]

    def subscribe(self, destination: str, ack: str = "auto") -> str:
        """Subscribe and wait for the RECEIPT; returns the id."""
        self._subscriptions += 1
        name = str(self._subscriptions)
        self.connection.subscribe(destination, id=name, ack=ack, headers={"receipt": f"sub-{name}"})
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
