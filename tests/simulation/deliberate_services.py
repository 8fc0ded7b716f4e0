"""Deliberate faults in what is done for clients beside carrying their messages; see `deliberate.py`."""

from collections.abc import Callable
from typing import Any, Final
from unittest import mock

from gateway.connectors.mqtt.sessions import Sessions
from gateway.connectors.reconsidering import Reconsidering
from gateway.connectors.stomp import sending as stomp_sending
from gateway.connectors.stomp.connector import StompConnector
from gateway.core.checking import Checks
from gateway.core.counters import CoreCounters
from gateway.core.journal import Journal
from gateway.core.last_values import LastValues
from gateway.core.ports import Retained
from gateway.core.retained import RetainedTree
from gateway.core.schedule import Schedule
from gateway.core.transaction import Transaction


def _in_place(owner: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: mock.patch.object(owner, name, make(getattr(owner, name)))


def _nothing(*_: Any) -> None:
    pass


def _never_done(_: Any) -> Any:
    return _nothing


def _first_only(real: Any) -> Any:
    return lambda *arguments: real(*arguments)[:1]


def _without_wills(recover: Any) -> Any:
    """A crash takes along what clients have left behind."""

    def careless(self: Any, found: Any, now_ms: int) -> None:
        recover(self, found, now_ms)
        for session in self._by_id.values():
            session.set_will(None)
            session.will_due_ms = 0

    return careless


def _without_lines(recover: Any) -> Any:
    def careless(self: Any, notes: Any) -> None:
        recover(self, notes)
        self._heap = [job for job in self._heap if job.timing.cron is None]

    return careless


def _keeps_the_first(set: Any) -> Any:
    def careless(self: Any, name: str, message: Any) -> None:
        if self.get(name) is None:
            set(self, name, message)

    return careless


def _values_end_with_process(append: Any) -> Any:
    def careless(self: Any, operation: Any) -> Any:
        return self.position if isinstance(operation, Retained) else append(self, operation)

    return careless


SERVICES: Final[dict[str, Callable[[], Any]]] = {
    "wills are not published": _in_place(Sessions, "_publish", _never_done),
    "wills end with the process": _in_place(Sessions, "recover", _without_wills),
    "several destinations are the first": _in_place(stomp_sending, "destinations_of", _first_only),
    "what a transaction settles is settled at once": _in_place(
        Transaction, "settle", lambda _: lambda self, delivery, outcome: delivery.settle(outcome)
    ),
    "dead letters are not counted": _in_place(CoreCounters, "bury", _never_done),
    "who reads is not asked again": _in_place(Reconsidering, "_read", _never_done),
    "what may be sent is not asked again": _in_place(StompConnector, "forget_permissions", _never_done),
    "transactions are not asked about again": _in_place(Checks, "may_send", _never_done),
    "last values are the first": _in_place(RetainedTree, "set", _keeps_the_first),
    "last values are not cleared": _in_place(
        LastValues, "clear", lambda _: lambda self, message, name: self._broker.store.position
    ),
    "last values end with the process": _in_place(Journal, "append", _values_end_with_process),
    "cron lines end with the process": _in_place(Schedule, "recover", _without_lines),
}
"""What is wrong → puts it in place for a while."""
