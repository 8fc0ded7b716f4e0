"""All protocols on one broker with a table of rules, and clients that are driven with bytes: what they hear can be searched
for bodies, so a leak shows whatever form it takes.
"""

import base64
import json

from gateway.connectors.base import Connector, Limits, Turn
from gateway.connectors.http.service import HttpService
from gateway.connectors.http.settings import HttpSettings
from gateway.connectors.mqtt.service import MqttService
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.service import Service
from gateway.connectors.stomp.service import StompService
from gateway.connectors.stomp.settings import StompSettings
from gateway.connectors.websocket.service import JsonService
from gateway.connectors.websocket.settings import JsonSettings
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Asker, Credentials
from gateway.core.router import Broker
from gateway.security.guard import Guard
from gateway.security.passwords import PasswordChecks
from gateway.security.rules import Area, Rule, Rules
from gateway.store.memory import Kept, MemoryStore
from protocols.mqtt.codec import encode_packet
from protocols.mqtt.frames import Connect, Subscribe, SubscriptionRequest, Will
from protocols.mqtt.properties import Properties

KEPT = Properties()
KEPT.session_expiry_s = 1_000

NOW_MS = 1_700_000_000_000

PRIVATE = ("topic:private.>", "queue:private.>", "topic:VirtualTopic.private")
TABLE = (
    Rule(
        False,
        frozenset({"receive"}),
        frozenset({"bob"}),
        frozenset(),
        (
            Area.parse("topic:sensors.*.secret"),
            Area.parse("queue:sealed.>"),
            Area.parse("queue:Consumer.sealed.>"),
        ),
    ),
    Rule(
        False,
        frozenset({"publish", "subscribe"}),
        frozenset({"bob"}),
        frozenset(),
        tuple([Area.parse(text) for text in PRIVATE]),
    ),
    Rule(
        True,
        frozenset({"publish", "subscribe", "receive"}),
        frozenset({"ann", "bob"}),
        frozenset(),
        (Area.parse("topic:>"), Area.parse("queue:>")),
    ),
)
"""bob may not have what is secret or sealed, though he may subscribe to it, and has no business with what is private."""

OPEN = "open.x"
FORBIDDEN = ("sensors.x.secret", "private.x")


class Believing(Guard):
    """The guard of a gateway with users, whose passwords are right."""

    def authenticate(self, credentials: Credentials, asker: Asker) -> None:
        asker.answer(True, credentials.user)


class World:
    """All protocols on one broker, over what the store has kept."""

    def __init__(self) -> None:
        self._kept = Kept()
        self._table = TABLE
        self._start()

    def restart(self, table: tuple[Rule, ...] = TABLE) -> None:
        """The gateway is killed and comes back, with these rules."""
        self.store.commit()
        self._table = table
        self._start()

    def _start(self) -> None:
        checks = PasswordChecks(lambda work: None, 1, 0)
        guard = Believing({}, Rules(self._table), checks, lambda: None, True)
        store = self.store = MemoryStore(self._kept, held=True, pages=True)
        self.broker = Broker(store, guard, CoreLimits(), QueuePolicy(dead_letters="DLQ"))
        self.broker.now_ms = NOW_MS
        store.listener = self.broker
        mqtt = MqttService(self.broker, MqttSettings())
        self._services: dict[str, Service] = {
            "mqtt": mqtt,
            "stomp": StompService(self.broker, StompSettings()),
            "json": JsonService(self.broker, JsonSettings()),
            "http": HttpService(self.broker, HttpSettings(), {}),
        }
        self.turn = Turn(lambda: None)
        found = store.recover()
        self.broker.recover(found)
        mqtt.recover(found, NOW_MS)

    def client(
        self, protocol: str, user: str, id: str = "", will: Will | None = None, version: str = ""
    ) -> "Client":
        """One that has connected; `version`: 3, 4 or 5 of MQTT, 1.0, 1.1 or 1.2 of STOMP."""
        acceptor = self._services[protocol].acceptor(protocol, protocol, Limits(allow_anonymous=False))
        return Client(
            self,
            protocol,
            user,
            id or f"{user}s",
            acceptor.accept("127.0.0.1:1", self.turn, NOW_MS),
            will,
            version,
        )

    def send(self, topic: str, body: str, *headers: str) -> None:
        """ann, who may, sends to a topic or queue: `topic` is /topic/NAME or /queue/NAME."""
        ann = self.client("stomp", "ann")
        ann.frame("SEND", f"destination:{topic}", "receipt:r", "persistent:true", *headers, body=body)
        assert b"RECEIPT" in ann.heard()
        ann.drop()


class Client:
    """One connection of any protocol, in bytes."""

    def __init__(
        self,
        world: World,
        protocol: str,
        user: str,
        id: str,
        connector: Connector,
        will: Will | None,
        version: str,
    ) -> None:
        self.world = world
        self.connector = connector
        self.user = user
        self.level = int(version or "5") if protocol == "mqtt" else 0
        if protocol == "mqtt":
            properties = KEPT if self.level == 5 else None
            self.raw(
                encode_packet(Connect(id, False, 0, self.level, will, user, b"", properties), self.level)
            )
        elif protocol == "stomp":
            version = version or "1.2"
            accepts = [] if version == "1.0" else [f"accept-version:{version}", "host:h"]
            self.frame("CONNECT", *accepts, f"login:{user}", f"client-id:{id}")
        elif protocol == "json":
            self.op("connect", user=user, password="x", client_id=id)

    def raw(self, data: bytes) -> None:
        self.connector.bytes_in(data, NOW_MS)

    def heard(self) -> bytes:
        """What it was told, in this turn and those that follow of themselves."""
        heard = b""
        for _ in range(5):
            self.world.broker.chores.finish()
            self.world.store.commit()
            heard += b"".join(self.connector.bytes_out(NOW_MS))
            self.connector.written()
            self.connector.marked = False
        return heard

    def drop(self) -> None:
        self.connector.eof(NOW_MS)

    def frame(self, command: str, *headers: str, body: str = "") -> None:
        """STOMP."""
        self.raw("\n".join([command, *headers, "", body]).encode() + b"\0")

    def op(self, op: str, **fields: object) -> None:
        """gateway.json; `from_` stands for `from`."""
        named = {name.rstrip("_"): value for name, value in fields.items()}
        self.raw(json.dumps({"op": op, **named}).encode())

    def subscribe(self, filter: str, qos: int = 1) -> None:
        """MQTT."""
        self.raw(encode_packet(Subscribe(1, [SubscriptionRequest(filter, qos)]), self.level))

    def ask(self, method: str, target: str, body: str = "", *headers: str) -> None:
        """HTTP."""
        access = base64.b64encode(f"{self.user}:x".encode()).decode()
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Authorization: Basic {access}", *headers]
        self.raw("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode())
