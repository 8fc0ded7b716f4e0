"""What makes connectors: an Acceptor a listener, a Service a protocol."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from gateway.connectors.base import Connector, Turn
from gateway.connectors.limits import Counters, Limits
from gateway.connectors.reading import Readings
from gateway.core.ports import Recovered


@final
@dataclass(init=False, slots=True)
class Carriage:
    """How a protocol travels inside WebSocket."""

    names: tuple[str, ...]
    """Its subprotocols (RFC 6455 §1.9)."""
    whole: bool
    """It lives in messages; otherwise they are a stream of bytes that may be cut anywhere."""
    only: int
    """The opcode of its messages: 1 is text, 2 binary, 0 either."""
    starts: tuple[bytes, ...]
    """How what a client says first begins, for those that name no subprotocol."""

    def __init__(self, names: tuple[str, ...], whole: bool, only: int, starts: tuple[bytes, ...]) -> None:
        self.names = names
        self.whole = whole
        self.only = only
        self.starts = starts


class Acceptor:
    """Makes a connector for each connection of one listener."""

    __slots__ = ("counters", "limits", "name", "protocol")

    def __init__(self, name: str, protocol: str, limits: Limits) -> None:
        self.name = name
        """The listener's name in the configuration."""
        self.protocol = protocol
        """The scheme of its URI."""
        self.limits = limits
        self.counters = Counters()

    def accept(self, peer: str, turn: Turn, now_ms: int) -> Connector:
        """A connector for a connection from `peer` that has just been accepted."""
        raise NotImplementedError


class Service:
    """What all connectors of one protocol share (for MQTT: its sessions).  One per broker and protocol."""

    __slots__ = ()

    def acceptor(self, name: str, scheme: str, limits: Limits) -> Acceptor:
        """The acceptor for one listener of this protocol."""
        return _ServiceAcceptor(name, scheme, limits, self)

    def connector(self, acceptor: Acceptor, peer: str, turn: Turn, now_ms: int) -> Connector:
        """A connector for a connection that `acceptor` has accepted; see there."""
        raise NotImplementedError

    def recover(self, found: Recovered, now_ms: int) -> None:
        """Bring back what earlier runs left of this protocol.  Called once, after the broker's own."""

    def carriage(self) -> Carriage | None:
        """How it travels inside WebSocket; None when it does not."""
        return None

    def readers(self) -> Iterator[Readings]:
        """Who reads without being a connection, to be asked again when the rules have changed."""
        return iter(())

    def tick(self, now_ms: int) -> None:
        """Let time pass where no connection does it: about four times a second."""

    def stats(self) -> dict[str, int]:
        """What there is to report beside the listeners' counters."""
        return {}

    def close(self, now_ms: int) -> None:
        """The gateway has stopped: everything that waits for a time will not come."""


@final
class _ServiceAcceptor(Acceptor):
    """Has the service make the connectors, for those that need no more of their listener than any."""

    __slots__ = ("_service",)

    def __init__(self, name: str, protocol: str, limits: Limits, service: Service) -> None:
        super().__init__(name, protocol, limits)
        self._service = service

    def accept(self, peer: str, turn: Turn, now_ms: int) -> Connector:
        """See Acceptor."""
        return self._service.connector(self, peer, turn, now_ms)
