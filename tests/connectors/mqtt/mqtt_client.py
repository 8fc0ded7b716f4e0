"""A broker in memory and MQTT clients that are driven by hand: no socket, and the clock moves when told to."""

from gateway.connectors.base import Connector, Limits, Turn
from gateway.connectors.mqtt.service import MqttService
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer, Store
from gateway.core.router import Broker
from gateway.store.memory import MemoryStore
from protocols.mqtt.codec import encode_packet, encode_publish
from protocols.mqtt.decoder import PacketDecoder
from protocols.mqtt.frames import Connect, Packet, Publish, Subscribe, SubscriptionRequest, Will
from protocols.mqtt.properties import Properties, encode_properties


class World:
    """One broker with one MQTT listener."""

    def __init__(
        self,
        settings: MqttSettings | None = None,
        limits: Limits | None = None,
        store: Store | None = None,
        authorizer: Authorizer | None = None,
        core: CoreLimits | None = None,
    ) -> None:
        self.now_ms = 1_700_000_000_000
        self.broker = Broker(
            store or MemoryStore(),
            authorizer or Authorizer(),
            core or CoreLimits(),
            QueuePolicy(dead_letters="DLQ"),
        )
        self.broker.now_ms = self.now_ms
        self.service = MqttService(self.broker, settings or MqttSettings())
        self.acceptor = self.service.acceptor("mqtt", "mqtt", limits or Limits())
        self.turn = Turn(lambda: None)

    def advance(self, ms: int) -> None:
        """Let time pass for sessions and queues."""
        self.now_ms += ms
        self.broker.tick(self.now_ms)
        self.service.tick(self.now_ms)

    def client(self, client_id: str = "c", version: int = 4, **fields: object) -> "Client":
        """A client that has connected; its CONNACK is still to be read."""
        client = Client(self, version)
        client.send(Connect(client_id, protocol_version=version, **fields))  # type: ignore[arg-type]
        return client


class Client:
    """One connection, seen from the client's side."""

    def __init__(self, world: World, version: int = 4) -> None:
        self.world = world
        self.version = version
        self.connector: Connector = world.acceptor.accept("test", world.turn, world.now_ms)
        self.decoder = PacketDecoder(1 << 28, version, -1)

    def raw(self, data: bytes) -> "Client":
        """Send bytes."""
        self.world.broker.now_ms = self.world.now_ms
        self.connector.bytes_in(data, self.world.now_ms)
        return self

    def send(self, packet: Packet) -> "Client":
        """Send a packet."""
        return self.raw(encode_packet(packet, self.version))

    def publish(
        self,
        topic: str,
        payload: bytes = b"x",
        qos: int = 0,
        packet_id: int = 0,
        retain: bool = False,
        dup: bool = False,
        properties: Properties | None = None,
    ) -> "Client":
        """Send a PUBLISH."""
        block = None
        if self.version == 5:
            block = b"" if properties is None else encode_properties(properties)
        return self.raw(encode_publish(topic, payload, qos, retain, dup, packet_id, block))

    def subscribe(self, *filters: tuple[str, int] | SubscriptionRequest, packet_id: int = 1) -> "Client":
        """Send a SUBSCRIBE."""
        requests = [
            f if isinstance(f, SubscriptionRequest) else SubscriptionRequest(f[0], f[1]) for f in filters
        ]
        return self.send(Subscribe(packet_id, requests))

    def received_bytes(self) -> bytes:
        """What the connector has to write."""
        frames = self.connector.bytes_out(self.world.now_ms)
        self.connector.written()
        self.connector.marked = False
        return b"".join(frames)

    def received(self) -> list[Packet]:
        """The packets that came since the last call."""
        self.decoder.push(self.received_bytes())
        packets: list[Packet] = []
        while (frame := self.decoder.next_frame()) is not None:
            packets.append(self.decoder.decode(frame))
        return packets

    def publishes(self) -> list[Publish]:
        """The PUBLISH packets among them."""
        return [packet for packet in self.received() if isinstance(packet, Publish)]

    def lose(self) -> None:
        """The connection breaks."""
        self.connector.eof(self.world.now_ms)


def payloads(packets: list[Publish]) -> list[bytes]:
    """Just the payloads."""
    return [packet.payload() for packet in packets]


def because(reason: str) -> Properties:
    """The properties of an acknowledgement that says why."""
    properties = Properties()
    properties.reason_string = reason
    return properties


__all__ = ["Client", "Properties", "Will", "World", "because", "payloads"]
