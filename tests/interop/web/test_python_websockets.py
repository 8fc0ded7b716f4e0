"""Python's own clients inside WebSocket: paho-mqtt and stomp.py."""

import queue
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import stomp
from clients import TIMEOUT_S, Inbox, Paho, Stomp
from web_peers import WebGateway


class Listener(stomp.ConnectionListener):  # type: ignore[misc]
    """Keeps what comes."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.receipts: queue.Queue[str] = queue.Queue()

    def on_message(self, frame: Any) -> None:
        """Called by stomp.py."""
        self.inbox.put(frame.headers["destination"], frame.body.encode())

    def on_receipt(self, frame: Any) -> None:
        """Called by stomp.py."""
        self.receipts.put(frame.headers["receipt-id"])


@pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_paho_inside_websocket(web: WebGateway, version: int) -> None:
    inbox = Inbox()
    subscribed: queue.Queue[object] = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "w", protocol=version, transport="websockets")  # type: ignore[arg-type]
    client.ws_set_options(path="/mqtt")
    client.on_connect = lambda *_: client.subscribe("a/#", 2)
    client.on_subscribe = lambda *_: subscribed.put(None)
    client.on_message = lambda _, __, message: inbox.put(message.topic, message.payload)
    client.connect("127.0.0.1", web.ports["ws"])
    client.loop_start()
    subscribed.get(timeout=TIMEOUT_S)
    with Paho(web.ports["mqtt"]) as other:
        other.subscribe("b", 2)
        client.publish("b", b"x" * 300_000, 2).wait_for_publish(TIMEOUT_S)
        assert other.inbox.take(1) == [("b", b"x" * 300_000)]
        for n in range(20):
            other.publish("a/b", b"%d" % n, 2)
    assert inbox.take(20) == [("a/b", b"%d" % n) for n in range(20)]
    client.disconnect()
    client.loop_stop()


def test_stomp_py_inside_websocket(web: WebGateway) -> None:
    listener = Listener()
    connection = stomp.WSStompConnection([("127.0.0.1", web.ports["ws"])], ws_path="/ws")
    connection.set_listener("", listener)
    connection.connect(wait=True)
    connection.subscribe("/queue/q", id="1", headers={"receipt": "r"})
    assert listener.receipts.get(timeout=TIMEOUT_S) == "r"
    with Stomp(web.ports["stomp"]) as other:
        other.subscribe("/topic/t")
        other.publish("/queue/q", "é".encode())
        assert listener.inbox.take(1) == [("/queue/q", "é".encode())]
        connection.send("/topic/t", "back")
        assert other.inbox.take(1) == [("/topic/t", b"back")]
    connection.disconnect()
