"""Users and rules as real clients meet them: paho-mqtt and stomp.py."""

import queue
import uuid

import paho.mqtt.client as mqtt
import pytest
import stomp
from clients import TIMEOUT_S, Ports

V3 = mqtt.MQTTv311
V5 = mqtt.MQTTv5


class Device:
    """A paho client that keeps what it is told."""

    def __init__(self, port: int, version: int, user: str | None, password: str | None) -> None:
        self.codes: queue.Queue[int] = queue.Queue()
        self.answers: queue.Queue[list[int]] = queue.Queue()
        self.got: queue.Queue[str] = queue.Queue()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, f"c-{uuid.uuid4().hex[:8]}", protocol=version
        )
        if user is not None:
            self.client.username_pw_set(user, password)
        self.client.on_connect = lambda c, u, f, code, p: self.codes.put(code.value)
        self.client.on_subscribe = lambda c, u, mid, codes, p: self.answers.put([x.value for x in codes])
        self.client.on_publish = lambda c, u, mid, code, p: self.answers.put([code.value])
        self.client.on_message = lambda c, u, message: self.got.put(message.topic)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.code = self.codes.get(timeout=TIMEOUT_S)

    def subscribe(self, topic: str) -> int:
        """The reason code of a subscription."""
        self.client.subscribe(topic, 1)
        return self.answers.get(timeout=TIMEOUT_S)[0]

    def publish(self, topic: str) -> int:
        """The reason code of a QoS 1 publish."""
        self.client.publish(topic, b"x", 1)
        return self.answers.get(timeout=TIMEOUT_S)[0]

    def close(self) -> None:
        """Leave."""
        self.client.disconnect()
        self.client.loop_stop()


# paho shows the return codes of 3.1.1 as the reason codes that mean the same.
@pytest.mark.parametrize("version", [V3, V5])
@pytest.mark.parametrize(
    ("user", "password", "code"),
    [("device", "right", 0), ("device", "wrong", 0x86), ("nobody", "right", 0x86), (None, None, 0x87)],
)
def test_mqtt_who_may_connect(
    guarded: Ports, version: int, user: str | None, password: str | None, code: int
) -> None:
    device = Device(guarded.mqtt, version, user, password)
    assert device.code == code
    device.close()


def test_mqtt_5_is_told_for_each_packet_and_filter(guarded: Ports) -> None:
    device = Device(guarded.mqtt, V5, "device", "right")
    assert device.subscribe("sensors/device/#") == 1
    assert device.subscribe("sensors/#") == 0x87
    assert device.subscribe("$queue/jobs") == 1
    assert device.subscribe("$queue/other") == 0x87
    assert device.publish("sensors/device/t") == 0
    assert device.publish("sensors/other/t") == 0x87
    device.close()


def test_mqtt_3_1_1_is_told_for_each_filter(guarded: Ports) -> None:
    device = Device(guarded.mqtt, V3, "device", "right")
    assert device.subscribe("sensors/device/#") == 1
    assert device.subscribe("sensors/#") == 0x80
    device.close()


def test_what_may_not_be_received_stays_away_from_wide_subscriptions(guarded: Ports) -> None:
    ops = Device(guarded.mqtt, V5, "ops", "right")
    assert ops.subscribe("sensors/#") == 1
    device = Device(guarded.mqtt, V5, "device", "right")
    assert device.publish("sensors/device/secret") == 0x10
    assert device.publish("sensors/device/t") == 0
    assert ops.got.get(timeout=TIMEOUT_S) == "sensors/device/t"
    device.close()
    ops.close()


class Errors(stomp.ConnectionListener):
    """Keeps what ERROR frames say."""

    def __init__(self) -> None:
        self.said: queue.Queue[str] = queue.Queue()
        self.receipts: queue.Queue[str] = queue.Queue()

    def on_error(self, frame: object) -> None:
        self.said.put(frame.headers["message"])  # type: ignore[attr-defined]

    def on_receipt(self, frame: object) -> None:
        self.receipts.put(frame.headers["receipt-id"])  # type: ignore[attr-defined]


def script(port: int, login: str | None, passcode: str | None) -> tuple[stomp.Connection12, Errors]:
    """A stomp.py client that has sent its CONNECT."""
    connection = stomp.Connection12([("127.0.0.1", port)], reconnect_attempts_max=1)
    errors = Errors()
    connection.set_listener("", errors)
    connection.connect(login, passcode)
    return connection, errors


@pytest.mark.parametrize(
    ("login", "passcode", "said"),
    [("ops", "wrong", "bad login or passcode"), (None, None, "anonymous clients are not allowed")],
)
def test_stomp_who_may_not_connect_is_told_in_an_error(
    guarded: Ports, login: str | None, passcode: str | None, said: str
) -> None:
    _, errors = script(guarded.stomp, login, passcode)
    assert errors.said.get(timeout=TIMEOUT_S) == said


def test_stomp_send_and_subscribe_follow_the_rules(guarded: Ports) -> None:
    connection, errors = script(guarded.stomp, "device", "right")
    connection.send("/topic/sensors.device.t", "x", receipt="ok")
    assert errors.receipts.get(timeout=TIMEOUT_S) == "ok"
    connection.send("/topic/sensors.other.t", "x")
    assert errors.said.get(timeout=TIMEOUT_S) == "not allowed to send to /topic/sensors.other.t"
    connection, errors = script(guarded.stomp, "device", "right")
    connection.subscribe("/topic/sensors.*.t", id="1")
    assert errors.said.get(timeout=TIMEOUT_S) == "not allowed to subscribe to /topic/sensors.*.t"
