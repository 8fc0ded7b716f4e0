"""What all clients are: somebody with a name and one connection at a time, who writes into the ledger what is promised."""

from collections.abc import Callable

from tests.simulation.clock import Clock
from tests.simulation.ledger import Ledger
from tests.simulation.messages import Copy, Sent
from tests.simulation.network import Connection

Say = Callable[[str | Callable[[], str]], None]
"""Takes a line of the trace, or what makes it where somebody reads it."""


class Client:
    """Connects again and again; each protocol says what its bytes are."""

    port: int

    def __init__(self, name: str, ledger: Ledger, clock: Clock, say: Say) -> None:
        self.name = name
        self.connection: Connection | None = None
        self.connected = False
        self.prompt = True
        """Acknowledges at once."""
        self.doomed = False
        """It has said what ends its connection."""
        self._ledger = ledger
        self._clock = clock
        self._say = say
        self._opened_s = 0.0
        self._connections = 0

    def _begin_connection(self, connection: Connection) -> None:
        """Over this one from now on."""
        self.connection = connection
        connection.on_bytes = lambda data: self._receive(connection, data)
        connection.on_end = lambda: self._ended(connection)
        self.doomed = False
        self._connections += 1
        self._opened_s = self._clock.served_s()

    def _receive(self, connection: Connection, data: bytes) -> None:
        """Bytes have come."""
        raise NotImplementedError

    def _ended(self, connection: Connection) -> None:
        """The connection is over, whoever ended it."""
        raise NotImplementedError


def confirm(copies: list[Copy]) -> None:
    """Their acknowledgement was answered."""
    for copy in copies:
        copy.confirmations += 1


def anything(_: Sent) -> bool:
    """The wish of who asks for all."""
    return True


def no_more(_: Sent) -> bool:
    """The wish of who is about to leave."""
    return False


def nothing() -> None:
    """What is to be done where no answer matters."""
