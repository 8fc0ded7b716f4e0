"""What an MQTT session reads, whether its client is there or not."""

from collections.abc import Iterator
from typing import final

from gateway.connectors.mqtt.addresses import Filter
from gateway.connectors.mqtt.session import MqttSession
from gateway.connectors.reading import Reading, Readings
from gateway.core.destination import QUEUE, TOPIC
from gateway.core.pattern import literal


def reading_of(filter: Filter) -> Reading:
    """What a subscription to `filter` reads; the members of a shared one get whatever comes."""
    if filter.queue:
        return Reading(filter.text, QUEUE, literal(filter.queue))
    return Reading(filter.text, TOPIC, filter.pattern, bool(filter.group))


@final
class SessionReadings(Readings):
    """See the module."""

    __slots__ = ("_session",)

    def __init__(self, session: MqttSession) -> None:
        super().__init__(session.publisher)
        self._session = session

    def all(self) -> Iterator[Reading]:
        """See Readings."""
        return iter([reading_of(one.filter) for one in list((self._session.subscriptions or {}).values())])

    def lose(self, reading: Reading, why: str) -> bool:
        """See Readings.  MQTT has no word for the end of a subscription, so its client is sent away."""
        session = self._session
        if not session.ended and session.unsubscribe(reading.name) and session.connector is not None:
            session.connector.revoke(why)
        return True
