"""Rules or users have changed: every connection and kept session is asked again, a few at a time.

Who is not who it was, or reads what it may not read any more, is ended in its protocol's words, and may come again.
"""

from collections.abc import Callable, Iterator
from traceback import format_exc
from typing import Final, final

from gateway.connectors.base import Connector
from gateway.connectors.reading import Reading, Readings
from gateway.connectors.sources import may_read
from gateway.core.chores import Chore
from gateway.core.router import Broker

ASKED_AT_ONCE: Final = 16
"""Connections and readings that are asked about in one step."""

NOT_KNOWN: Final = "the login does not hold any more"


@final
class Reconsidered:
    """What came of it."""

    __slots__ = ("fault", "logins", "readings")

    def __init__(self) -> None:
        self.fault: str | None = None
        """A bug of ours, the last of them, with its traceback; all others were asked nevertheless."""
        self.logins = 0
        """Connections that were ended, since who they said they were is not let in any more."""
        self.readings = 0
        """Subscriptions that were ended."""


@final
class Reconsidering(Chore):
    """See the module.  What is read once the rules have changed goes by the new ones anyway: who came before is asked."""

    __slots__ = ("_broker", "_connectors", "_current", "_done", "_found", "_holds", "_readers", "_readings")

    def __init__(
        self,
        broker: Broker,
        connectors: list[Connector],
        readers: Iterator[Readings],
        holds: Callable[[str, str | None], bool],
        done: Callable[[Reconsidered], None],
    ) -> None:
        """`readers`: who reads without being a connection.  `holds`: is a client of this name, with a certificate of
        that one, still who it says?  `done` is told what came of it."""
        self._broker = broker
        self._connectors = connectors
        self._readers = readers
        self._holds = holds
        self._done = done
        self._found = Reconsidered()
        self._current: Readings | None = None
        self._readings: Iterator[Reading] = iter(())

    def go_on(self) -> bool:
        """See Chore."""
        for _ in range(ASKED_AT_ONCE):
            try:
                if self._ask() or self._next():
                    continue
            except Exception:
                # In words: the exception itself would know who looked, and only the collector would free the two.
                self._found.fault = format_exc()
                self._current = None
                continue
            self._done(self._found)
            return False
        return True

    def _next(self) -> bool:
        """Turn to the next; False when that was the last."""
        if self._connectors:
            connector = self._connectors.pop()
            if not connector.closing:
                try:
                    self._look_at(connector)
                except Exception as error:
                    connector.broke(error)
            return True
        reader = next(self._readers, None)
        if reader is None:
            return False
        self._read(reader)
        return True

    def _look_at(self, connector: Connector) -> None:
        connector.forget_permissions()
        if not connector.known:
            return
        user = connector.publisher.user
        if user is None:
            stays = connector.limits.allow_anonymous
        else:
            stays = self._holds(user, connector.certificate_user)
        if stays:
            self._read(_OfConnector(connector))
        else:
            self._found.logins += 1
            connector.revoke(NOT_KNOWN)

    def _read(self, reader: Readings) -> None:
        self._current = reader
        self._readings = reader.all()

    def _ask(self) -> bool:
        """Ask about the next thing that is read; False when there is none."""
        reader = self._current
        if reader is None:
            return False
        reading = next(self._readings, None)
        if reading is None:
            self._current = None
            return False
        kind, pattern = reading.kind, reading.pattern
        if not may_read(self._broker, reader.publisher, kind, pattern, reading.whole, reading.owner):
            self._found.readings += 1
            if not reader.lose(reading, f"{reading.name} may not be read any more"):
                self._current = None
        return True


@final
class _OfConnector(Readings):
    """What a connection reads, which ends with the first part that it loses."""

    __slots__ = ("_connector",)

    def __init__(self, connector: Connector) -> None:
        super().__init__(connector.publisher)
        self._connector = connector

    def all(self) -> Iterator[Reading]:
        """See Readings."""
        return self._connector.readings()

    def lose(self, reading: Reading, why: str) -> bool:
        """See Readings."""
        self._connector.revoke(why)
        return False
