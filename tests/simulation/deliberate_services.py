"""Deliberate faults in what is done for one client beside carrying its messages; see `deliberate.py`."""

from typing import Any, Final
from unittest import mock

from gateway.connectors.mqtt.sessions import Sessions
from gateway.connectors.stomp import sending as stomp_sending
from gateway.core.destination import Destination


def _nothing(*_: Any) -> None:
    pass


def _instead(owner: Any, name: str, other: Any) -> Any:
    return lambda: mock.patch.object(owner, name, other)


def _first_only(real: Any) -> Any:
    def careless(*arguments: Any) -> list[Destination]:
        found: list[Destination] = real(*arguments)
        return found[:1]

    return careless


SERVICES: Final[dict[str, Any]] = {
    "wills are not published": _instead(Sessions, "_publish", _nothing),
    "wills end with the process": _instead(
        Sessions, "recover", lambda self, found, now_ms: _recovered_without_wills(self, found, now_ms)
    ),
    "several destinations are the first": _instead(
        stomp_sending, "destinations_of", _first_only(stomp_sending.destinations_of)
    ),
}
"""What is wrong → puts it in place for a while."""

_recover = Sessions.recover


def _recovered_without_wills(self: Any, found: Any, now_ms: int) -> None:
    _recover(self, found, now_ms)
    for session in self._by_id.values():
        session.set_will(None)
        session.will_due_ms = 0
