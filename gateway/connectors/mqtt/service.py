"""What all MQTT connections of a broker share, and what makes them."""

from collections.abc import Iterator
from typing import final

from gateway.connectors.base import Connector, Limits, Turn
from gateway.connectors.mqtt.connector import MqttConnector
from gateway.connectors.mqtt.reading import SessionReadings
from gateway.connectors.mqtt.recovery import MqttRestorer
from gateway.connectors.mqtt.sessions import Sessions
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.mqtt.stored import WIRE_ID
from gateway.connectors.mqtt.systopics import SysTopics
from gateway.connectors.reading import Readings
from gateway.connectors.service import Acceptor, Carriage, Service
from gateway.core.ports import Recovered
from gateway.core.router import Broker
from gateway.core.topics import Topic


@final
class MqttService(Service):
    """MQTT on one broker: the sessions, shared by its listeners."""

    __slots__ = ("_acceptors", "_sys_topics", "broker", "sessions", "settings", "topics")

    def __init__(self, broker: Broker, settings: MqttSettings, version: str = "gateway-broker") -> None:
        self.broker = broker
        self.settings = settings
        self.sessions = Sessions(broker, settings)
        broker.decoder.restorers[WIRE_ID] = MqttRestorer()
        self.topics: dict[str, Topic] = {}
        """Topic names that clients have published to."""
        self._acceptors: list[Acceptor] = []
        self._sys_topics = SysTopics(broker, self.sessions, self._acceptors, settings.sys_interval_s, version)

    def acceptor(self, name: str, scheme: str, limits: Limits) -> Acceptor:
        """See Service."""
        acceptor = super().acceptor(name, scheme, limits)
        self._acceptors.append(acceptor)
        return acceptor

    def connector(self, acceptor: Acceptor, peer: str, turn: Turn, now_ms: int) -> Connector:
        """See Service."""
        return MqttConnector(
            self.broker,
            turn,
            acceptor.limits,
            acceptor.counters,
            peer,
            self.sessions,
            self.settings,
            self.topics,
            now_ms,
        )

    def recover(self, found: Recovered, now_ms: int) -> None:
        """See Service."""
        self.sessions.recover(found, now_ms)

    def readers(self) -> Iterator[Readings]:
        """See Service."""
        for session in self.sessions.all():
            if not session.ended:
                yield SessionReadings(session)

    def carriage(self) -> Carriage | None:
        """See Service.  MQTT 5.0 §6: binary frames only, subprotocol `mqtt`; MQTT 3.1 said `mqttv3.1`."""
        return Carriage(("mqtt", "mqttv3.1"), False, 2, (b"\x10",))

    def tick(self, now_ms: int) -> None:
        """See Service."""
        self.sessions.tick(now_ms)
        self._sys_topics.tick(now_ms)

    def stats(self) -> dict[str, int]:
        """See Service."""
        sessions = self.sessions
        return {
            "mqtt_sessions": len(sessions),
            "mqtt_sessions_connected": sessions.connected,
            "mqtt_wills_published": sessions.wills_published,
        }

    def close(self, now_ms: int) -> None:
        """See Service."""
        self.sessions.close()
