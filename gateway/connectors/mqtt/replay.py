"""Retained messages on their way to a new subscription, at the pace of its client (MQTT 5.0 §3.8.4)."""

from typing import final

from gateway.connectors.mqtt.binding import MqttBinding
from gateway.connectors.replay import Replay as AnyReplay
from gateway.core.message import Message


@final
class Replay(AnyReplay):
    """What one SUBSCRIBE has found and is not yet sent."""

    __slots__ = ("binding",)

    def __init__(self, binding: MqttBinding, messages: list[Message]) -> None:
        super().__init__(messages)
        self.binding = binding
        """The subscription's, with `replay` set."""

    def serves(self, binding: MqttBinding) -> bool:
        """Is it that of this subscription?"""
        return self.binding.sink is binding.sink and self.binding.pattern == binding.pattern
