"""Deliberate faults, to check the checker: each breaks a promise, and must be found by some seed.

They are put into plain Python classes, so they work in the uncompiled gateway only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

from gateway.connectors.confirmations import Confirmations
from gateway.connectors.mqtt.publishing import MqttPublishing
from gateway.core import kept, paging
from gateway.core.backlog import Backlog
from gateway.core.flow import Gate
from gateway.core.journal import Journal
from gateway.core.ports import Cleared, Dequeued, Enqueued, Noted, Redelivered
from gateway.core.queue import Queue
from gateway.core.selector import Selector
from gateway.store.segments import Segments
from tests.simulation.disk import FaultyFile, SegmentFiles

ALWAYS: Final = 1 << 60


def _in_place(owner: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], Any]:
    """`make` gets what is there, and gives what takes its place."""
    return lambda: mock.patch.object(owner, name, make(getattr(owner, name)))


def _without(kind: type, share: int = 1) -> Callable[[], Any]:
    """One in `share` of such operations never gets to the store."""

    def make(append: Any) -> Any:
        seen = [0]

        def careless(self: Journal, operation: Any) -> Any:
            if isinstance(operation, kind):
                seen[0] += 1
                if seen[0] % share == 0:
                    return self.position
            return append(self, operation)

        return careless

    return _in_place(Journal, "append", make)


def _every(count: int, instead: Callable[..., Any]) -> Callable[[Any], Any]:
    """Each so-many-th call does something else."""

    def make(real: Any) -> Any:
        seen = [0]

        def sometimes(*arguments: Any) -> Any:
            seen[0] += 1
            return (instead if seen[0] % count == 0 else real)(*arguments)

        return sometimes

    return make


@contextmanager
def _early_confirmations() -> Iterator[None]:
    take, due = Confirmations.take, Confirmations.due
    with (
        mock.patch.object(Confirmations, "take", lambda self, _: take(self, ALWAYS)),
        mock.patch.object(Confirmations, "due", lambda self, _: due(self, ALWAYS)),
    ):
        yield


@contextmanager
def _no_groups() -> Iterator[None]:
    with (
        mock.patch.object(Journal, "begin", lambda self: None),
        mock.patch.object(Journal, "end", lambda self: None),
    ):
        yield


def _nothing(*_: Any) -> None:
    pass


FAULTS: Final[dict[str, Callable[[], Any]]] = {
    "confirmations leave before they are safe": _early_confirmations,
    "the database is not synced": _in_place(FaultyFile, "xSync", lambda _: _nothing),
    "segments are not synced": _in_place(SegmentFiles, "sync", lambda _: _nothing),
    "names of segments are not synced": _in_place(SegmentFiles, "sync_directory", lambda _: _nothing),
    "what left is not written": _without(Dequeued),
    "some of what left is not written": _without(Dequeued, 20),
    "some messages are not written": _without(Enqueued, 20),
    "notes are not written": _without(Noted),
    "notes are not removed": _without(Cleared),
    "failures are not written": _without(Redelivered),
    "transactions are not one group": _no_groups,
    "what is put back goes to the end": _in_place(Backlog, "push_back", lambda _: Backlog.push),
    "suspects are not flagged": _in_place(kept, "suspect_since", lambda _: _nothing),
    "some pages are not asked for": _in_place(paging.Paged, "ask", _every(5, _nothing)),
    "some calls of consumers are forgotten": _in_place(Queue, "call", _every(10, _nothing)),
    "selectors want everything": _in_place(Selector, "matches", lambda _: lambda *_: True),
    "gates stay shut": _in_place(Gate, "open", _every(3, _nothing)),
    "QoS 2 is taken twice": _in_place(
        MqttPublishing, "_note_received", lambda _: lambda self, _: self.broker.store.position
    ),
    "segments are removed too early": _in_place(Segments, "committed", lambda _: _nothing),
}
"""What is wrong → puts it in place for a while."""
