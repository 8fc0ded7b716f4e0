"""A whole gateway in memory, for transcripts: `>>` is said to it, `<<` must be what it says.

    gw = Gateway()
    gw.mqtt("s") >> "CONNECT s" << "CONNACK 0 present=0" >> "SUBSCRIBE 1 a/#" << "SUBACK 1 0"
    gw.stomp("p") >> "SEND destination:/topic/a.b body:hi"
    gw.mqtt("s") << "PUBLISH a/b hi" >> DROP

No socket, and the clock stands still until `gw.advance`.
"""

from typing import Self

import mqtt_text
import stomp_text

from gateway.connectors.base import Connector, Limits, Turn
from gateway.connectors.mqtt.service import MqttService
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.service import Acceptor
from gateway.connectors.stomp.service import StompService
from gateway.connectors.stomp.settings import StompSettings
from gateway.core.limits import DROP_OLDEST, CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer, Store
from gateway.core.router import Broker
from gateway.store.memory import MemoryStore
from protocols.mqtt.decoder import PacketDecoder
from protocols.mqtt.frames import Packet

DROP = object()
"""Said instead of a frame: the connection breaks."""

START_MS = 1_700_000_000_000


class Gateway:
    """The broker, a listener for each protocol, and the parties that have appeared."""

    def __init__(
        self,
        store: Store | None = None,
        policy: QueuePolicy | None = None,
        mqtt: MqttSettings | None = None,
        mqtt_limits: Limits | None = None,
        authorizer: Authorizer | None = None,
        stomp: StompSettings | None = None,
        stomp_limits: Limits | None = None,
    ) -> None:
        self.now_ms = START_MS
        self.broker = Broker(
            store or MemoryStore(),
            authorizer or Authorizer(),
            CoreLimits(),
            policy or QueuePolicy(dead_letters="DLQ", deliveries_max=2),
        )
        self.broker.now_ms = self.now_ms
        self.turn = Turn(lambda: None)
        self._mqtt_service = MqttService(self.broker, mqtt or MqttSettings())
        self._mqtt = self._mqtt_service.acceptor(
            "mqtt", "mqtt", mqtt_limits or Limits(slow_consumer=DROP_OLDEST)
        )
        self._stomp_service = StompService(self.broker, stomp or StompSettings())
        self._stomp = self._stomp_service.acceptor("stomp", "stomp", stomp_limits or Limits())
        self._parties: dict[str, Party] = {}

    def mqtt(self, name: str, version: int = 4) -> "MqttParty":
        """The MQTT client `name`; a new one the first time, and after DROP."""
        party = self._party(name, MqttParty, self._mqtt, version)
        assert isinstance(party, MqttParty)
        return party

    def stomp(self, name: str, version: str = "1.2") -> "StompParty":
        """The STOMP client `name`, already connected; a new one the first time, and after DROP."""
        known = self._parties.get(name)
        party = self.stomp_unconnected(name, version)
        if party is not known:
            party >> f"CONNECT accept-version:{version} host:h" << f"CONNECTED version:{version}"
        return party

    def stomp_unconnected(self, name: str, version: str = "1.2") -> "StompParty":
        """The STOMP client `name` before its CONNECT; `version` is the one it will agree on."""
        party = self._party(name, StompParty, self._stomp, version)
        assert isinstance(party, StompParty)
        return party

    def _party(self, name: str, kind: "type[Party]", acceptor: Acceptor, version: int | str) -> "Party":
        party = self._parties.get(name)
        if party is None or party.gone:
            connector = acceptor.accept(name, self.turn, self.now_ms)
            party = self._parties[name] = kind(self, connector, version)
        return party

    def go_on(self) -> None:
        """What net does once a turn for those that have waited and may go on."""
        while True:
            waiting = [party.connector for party in self._parties.values() if party.connector.resumes]
            if not waiting:
                return
            for connector in waiting:
                connector.go_on(self.now_ms)

    def advance(self, ms: int) -> None:
        """Let time pass: for sessions, queues and every connection that has a deadline."""
        self.now_ms += ms
        self.broker.tick(self.now_ms)
        self._mqtt_service.tick(self.now_ms)
        self._stomp_service.tick(self.now_ms)
        for party in self._parties.values():
            party.pass_time()


class Party:
    """A client, seen from its own side of the wire."""

    def __init__(self, gateway: Gateway, connector: Connector, version: int | str) -> None:
        self.gateway = gateway
        self.connector = connector
        self.version = version
        self.gone = False
        self._heard: list[object] = []

    def __rshift__(self, said: str | bytes | object) -> Self:
        """Say a frame, or any bytes, or DROP."""
        self.gateway.broker.now_ms = self.gateway.now_ms
        if said is DROP:
            self.gone = True
            self.connector.eof(self.gateway.now_ms)
        elif isinstance(said, bytes):
            self.connector.bytes_in(said, self.gateway.now_ms)
        else:
            assert isinstance(said, str)
            self.connector.bytes_in(self.write(said), self.gateway.now_ms)
        self.gateway.go_on()
        return self

    def __lshift__(self, expected: str) -> Self:
        """The next frame must be this one."""
        self._listen()
        assert self._heard, f"nothing came; expected {expected}"
        self.check(self._heard.pop(0), expected)
        return self

    def silent(self) -> Self:
        """Nothing more has come."""
        self._listen()
        assert self._heard == [], [str(frame) for frame in self._heard]
        return self

    @property
    def closed(self) -> bool:
        """Has the gateway ended the connection?"""
        return self.connector.closing

    def pass_time(self) -> None:
        """Call the connection's deadline if it is due."""
        due_ms = self.connector.next_deadline_ms()
        if not self.gone and due_ms is not None and due_ms <= self.gateway.now_ms:
            self.connector.deadline(self.gateway.now_ms)
        if not self.gone and 0 < self.connector.slow_by_ms <= self.gateway.now_ms:
            self.connector.give_up(self.gateway.now_ms)

    def _listen(self) -> None:
        data = b"".join(self.connector.bytes_out(self.gateway.now_ms))
        self.connector.written()
        self.connector.marked = False
        self._heard += self.read(data)
        self.gateway.go_on()

    def write(self, text: str) -> bytes:
        """The bytes of a frame."""
        raise NotImplementedError

    def read(self, data: bytes) -> list[object]:
        """The frames that came."""
        raise NotImplementedError

    def check(self, frame: object, expected: str) -> None:
        """Is it what was expected?"""
        raise NotImplementedError


class Heard(str):
    """A packet as text, and the packet itself."""

    packet: Packet


class MqttParty(Party):
    """An MQTT client."""

    def __init__(self, gateway: Gateway, connector: Connector, version: int | str) -> None:
        super().__init__(gateway, connector, version)
        assert isinstance(version, int)
        self._version = version
        self._decoder = PacketDecoder(1 << 28, version, -1)

    def write(self, text: str) -> bytes:
        """See Party."""
        return mqtt_text.write(text, self._version)

    def read(self, data: bytes) -> list[object]:
        """See Party."""
        self._decoder.push(data)
        packets: list[object] = []
        while (frame := self._decoder.next_frame()) is not None:
            packet = self._decoder.decode(frame)
            heard = Heard(mqtt_text.show(packet))
            heard.packet = packet
            packets.append(heard)
        return packets

    def take(self) -> Packet:
        """The next packet, for a closer look than its text allows."""
        self._listen()
        assert self._heard, "nothing came"
        heard = self._heard.pop(0)
        assert isinstance(heard, Heard)
        return heard.packet

    def rest(self) -> list[str]:
        """The text of all that has come and not been looked at."""
        self._listen()
        heard = [str(packet) for packet in self._heard]
        self._heard.clear()
        return heard

    def check(self, frame: object, expected: str) -> None:
        """See Party."""
        assert frame == expected


class StompParty(Party):
    """A STOMP client."""

    def __init__(self, gateway: Gateway, connector: Connector, version: int | str) -> None:
        super().__init__(gateway, connector, version)
        assert isinstance(version, str)
        self._version = version
        self.last: stomp_text.StompFrame | None = None
        """The last frame that was expected and came."""

    def write(self, text: str) -> bytes:
        """See Party.  `@ack` stands for the ack header of the last MESSAGE that was expected."""
        if "@ack" in text and self.last is not None:
            text = text.replace("@ack", self.last.get("ack") or "")
        return stomp_text.write(text, self._version)

    def read(self, data: bytes) -> list[object]:
        """See Party."""
        frames: list[object] = []
        while data.lstrip(b"\n"):
            frame, end = stomp_text.parse(data, self._version)
            assert frame is not None, data
            frames.append(frame)
            data = data[end:]
        return frames

    def check(self, frame: object, expected: str) -> None:
        """See Party."""
        assert isinstance(frame, stomp_text.StompFrame)
        assert frame.fits(expected), f"{frame}  does not fit  {expected}"
        self.last = frame

    def wire(self) -> bytes:
        """The bytes that have come and not been looked at."""
        data = b"".join(self.connector.bytes_out(self.gateway.now_ms))
        self.connector.written()
        self.connector.marked = False
        return data

    def rest(self) -> list[stomp_text.StompFrame]:
        """All frames that have come and not been looked at."""
        self._listen()
        frames = [frame for frame in self._heard if isinstance(frame, stomp_text.StompFrame)]
        self._heard.clear()
        return frames

    def bodies(self) -> list[str]:
        """The bodies of all MESSAGEs that have come and not been looked at; nothing else has come."""
        frames = self.rest()
        assert {frame.command for frame in frames} <= {"MESSAGE"}, [str(frame) for frame in frames]
        return [frame.body for frame in frames]
