"""A CONNACK that waits until the will is safe: who is told to be connected counts on it, whatever happens next."""

from typing import TYPE_CHECKING, final

from gateway.core.waiters import DONE, WAITS, Waiter

if TYPE_CHECKING:
    from gateway.connectors.mqtt.connector import MqttConnector


@final
class Welcome(Waiter):
    """Stands in the broker's list for a connection, and lets go of it when that ends."""

    __slots__ = ("_position", "connector")

    def __init__(self, connector: "MqttConnector", position: int) -> None:
        self.connector: MqttConnector | None = connector
        self._position = position

    def on_durable(self, position: int) -> int:
        """See Waiter."""
        connector = self.connector
        if connector is not None:
            if position < self._position:
                return WAITS
            connector.welcomed()
        return DONE
