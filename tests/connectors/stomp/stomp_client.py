"""A broker in memory and STOMP clients that are driven by hand: no socket, and the clock moves when told to."""

from dataclasses import dataclass, field

from gateway.connectors.base import Connector, Limits, Turn
from gateway.connectors.stomp.service import StompService
from gateway.connectors.stomp.settings import StompSettings
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer, Store
from gateway.core.router import Broker
from gateway.store.memory import MemoryStore


@dataclass
class Received:
    """A frame of the server, taken apart without our own codec."""

    command: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class World:
    """One broker with one STOMP listener."""

    def __init__(
        self,
        settings: StompSettings | None = None,
        limits: Limits | None = None,
        store: Store | None = None,
        authorizer: Authorizer | None = None,
        policy: QueuePolicy | None = None,
        core: CoreLimits | None = None,
    ) -> None:
        self.now_ms = 1_700_000_000_000
        self.broker = Broker(
            store or MemoryStore(),
            authorizer or Authorizer(),
            core or CoreLimits(),
            policy or QueuePolicy(dead_letters="DLQ", deliveries_max=2),
        )
        self.broker.now_ms = self.now_ms
        self.service = StompService(self.broker, settings or StompSettings())
        self.acceptor = self.service.acceptor("stomp", "stomp", limits or Limits())
        self.turn = Turn(lambda: None)

    def client(self, version: str = "1.2", **headers: str) -> "Client":
        """A client that has connected and read its CONNECTED."""
        client = Client(self)
        client.send("CONNECT", accept_version=version, host="h", **headers)
        [connected] = client.received()
        assert connected.command == "CONNECTED"
        assert connected.headers["version"] == version
        return client


class Client:
    """One connection, seen from the client's side."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.connector: Connector = world.acceptor.accept("test", world.turn, world.now_ms)

    def raw(self, data: bytes) -> "Client":
        """Send bytes."""
        self.world.broker.now_ms = self.world.now_ms
        self.connector.bytes_in(data, self.world.now_ms)
        return self

    def send(self, command: str, body: bytes | str = b"", **headers: str) -> "Client":
        """Send a frame; in a header's name `_` stands for `-`, `__` for itself, and a trailing `_` for nothing."""
        lines = [command]
        for name, value in headers.items():
            lines.append(f"{name.removesuffix('_').replace('_', '-')}:{value}")
        data = body if isinstance(body, bytes) else body.encode()
        return self.raw("\n".join(lines).encode() + b"\n\n" + data + b"\0")

    def received_bytes(self) -> bytes:
        """What the connector has to write."""
        frames = self.connector.bytes_out(self.world.now_ms)
        self.connector.written()
        self.connector.marked = False
        return b"".join(frames)

    def received(self) -> list[Received]:
        """The frames that came since the last call."""
        data = self.received_bytes()
        found: list[Received] = []
        while data.lstrip(b"\n"):
            data = data.lstrip(b"\n")
            head, _, rest = data.partition(b"\n\n")
            command, *lines = head.decode().split("\n")
            frame = Received(command)
            for line in lines:
                name, _, value = line.partition(":")
                frame.headers.setdefault(name, value)
            size = frame.headers.get("content-length")
            end = rest.index(b"\0") if size is None else int(size)
            frame.body = rest[:end]
            assert rest[end : end + 1] == b"\0"
            data = rest[end + 1 :]
            found.append(frame)
        return found

    def bodies(self) -> list[bytes]:
        """The bodies of the MESSAGEs that came."""
        return [frame.body for frame in self.received() if frame.command == "MESSAGE"]

    def lose(self) -> None:
        """The connection breaks."""
        self.connector.eof(self.world.now_ms)
