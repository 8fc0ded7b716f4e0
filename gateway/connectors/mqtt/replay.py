"""Retained messages on their way to a new subscription, at the pace of its client (MQTT 5.0 §3.8.4)."""

from typing import final

from gateway.connectors.mqtt.binding import MqttBinding
from gateway.core.message import Message
from gateway.core.router import Broker


@final
class Replay:
    """What one SUBSCRIBE has found and is not yet sent."""

    __slots__ = ("_at", "_messages", "binding")

    def __init__(self, binding: MqttBinding, messages: list[Message]) -> None:
        self.binding = binding
        """The subscription's, with `replay` set."""
        self._messages = messages
        self._at = 0

    def serves(self, binding: MqttBinding) -> bool:
        """Is it that of this subscription?"""
        return self.binding.sink is binding.sink and self.binding.pattern == binding.pattern

    def take(self, broker: Broker) -> Message | None:
        """The next message that is still its topic's last value; None at the end.

        One that was replaced meanwhile has reached the subscriber as a live message.
        """
        messages = self._messages
        while self._at < len(messages):
            message = messages[self._at]
            self._at += 1
            current = broker.retained.get(message.destination.name)
            if current is message and not message.expired(broker.now_ms):
                return message
        return None
