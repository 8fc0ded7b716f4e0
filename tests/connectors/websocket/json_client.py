"""A client of `gateway.json` in memory: what it says and hears is checked against the schema that is served."""

import json
from typing import Any

from json_schema import FROM_CLIENT, from_server

from gateway.connectors.base import Connector, Limits, Turn
from gateway.connectors.parts import BEGINS, WHOLE
from gateway.connectors.service import Acceptor
from gateway.connectors.websocket.service import JsonService
from gateway.connectors.websocket.settings import JsonSettings
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer, Credentials, Operation, Store
from gateway.core.router import Broker
from gateway.store.memory import MemoryStore

NOW_MS = 1_700_000_000_000


class HoldingStore(Store):
    """Nothing is durable before `release`."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0

    def append(self, operation: Operation) -> int:
        self.position += 1
        return self.position

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def release(self, broker: Broker) -> None:
        """Commit everything."""
        self.durable = self.position
        broker.on_durable(self.position)


class World:
    """A broker and its JSON clients."""

    def __init__(
        self,
        limits: Limits | None = None,
        settings: JsonSettings | None = None,
        policy: QueuePolicy | None = None,
        store: Store | None = None,
        authorizer: Authorizer | None = None,
        core: CoreLimits | None = None,
        broker: Broker | None = None,
    ) -> None:
        self.now_ms = NOW_MS
        self.broker = broker or Broker(
            store or MemoryStore(),
            authorizer or Authorizer(),
            core or CoreLimits(),
            policy or QueuePolicy(dead_letters="DLQ", deliveries_max=2),
        )
        self.broker.now_ms = NOW_MS
        self.turn = Turn(lambda: None)
        self.service = JsonService(self.broker, settings or JsonSettings())
        self.acceptor: Acceptor = self.service.acceptor("w", "json", limits or Limits())

    def client(self, offered: Credentials | None = None) -> "JsonClient":
        """One more connection."""
        connector = self.acceptor.accept("127.0.0.1:1", self.turn, self.now_ms)
        connector.offered = offered
        return JsonClient(self, connector)


class JsonClient:
    """One connection, seen from the client."""

    def __init__(self, world: World, connector: Connector) -> None:
        self.world = world
        self.connector = connector

    def say(self, value: dict[str, Any] | list[dict[str, Any]], valid: bool = True) -> None:
        """Send one WebSocket message."""
        assert FROM_CLIENT.is_valid(value) == valid
        self.raw(json.dumps(value).encode())

    def op(self, op: str, **fields: Any) -> list[dict[str, Any]]:
        """Send one operation; what came by then.  `from_` stands for `from`."""
        if "from_" in fields:
            fields["from"] = fields.pop("from_")
        self.say({"op": op, **fields})
        return self.heard()

    def raw(self, data: bytes) -> None:
        """Send these bytes as one message."""
        self.world.broker.now_ms = self.world.now_ms
        self.connector.bytes_in(data, self.world.now_ms)
        # As net does.
        while self.connector.resumes and not self.world.turn.over:
            self.connector.go_on(self.world.now_ms)

    def heard(self) -> list[dict[str, Any]]:
        """What has come."""
        frames: list[bytes] = []
        parted = True
        while parted:
            parted = self.connector.unwritten
            taken = self.connector.bytes_out(self.world.now_ms)
            if self.connector.cut != WHOLE and not self.connector.cut & BEGINS:
                frames[-1] += taken[0]
            else:
                frames.extend(taken)
            self.connector.written()
        self.connector.marked = False
        return [from_server(frame) for frame in frames]

    def bodies(self) -> list[Any]:
        """The bodies of what has come."""
        return [message["body"] for message in self.heard() if message["op"] == "message"]

    def drop(self) -> None:
        """The connection breaks."""
        self.connector.eof(self.world.now_ms)


def error(answers: list[dict[str, Any]]) -> tuple[object, str]:
    """The one answer, an error: its id and code."""
    [answer] = answers
    assert answer["op"] == "error", answer
    return answer.get("id"), answer["code"]
