"""Subscriptions to all queues of a pattern: they are told of each named queue that is there, and of each that is made."""

from typing import Final, final

from gateway.core.chores import Chore, Chores
from gateway.core.pattern import Pattern
from gateway.core.queue import Queue
from gateway.core.queue_key import NAMED
from gateway.core.subscription import Binding, Sink
from gateway.core.topics import TopicTree

QUEUES_AT_ONCE: Final = 64
"""Queues that a new subscription is told of, or asked about, in one step."""


class QueueWatcher(Sink):
    """Wants to know of named queues: a subscription to all queues of some patterns."""

    __slots__ = ()

    def queue_made(self, queue: Queue) -> None:
        """`queue` is there, or new and empty.  Queues that fall under several patterns may be told more than once."""
        raise NotImplementedError


@final
class Watching:
    """Who watches which queues.  Making a queue costs what those do who want it, however many others there are."""

    __slots__ = ("_chores", "_tree")

    def __init__(self, chores: Chores) -> None:
        self._chores = chores
        # Who watches looks itself whose a temporary queue is.
        self._tree = TopicTree(hides_temporary=False)

    def begin(self, watcher: QueueWatcher, pattern: Pattern, queues: list[Queue]) -> Binding:
        """Tell `watcher` of those of `queues` that match, in this turn or later ones, and of each that is made."""
        watch = Binding(pattern, watcher)
        self._tree.bind(watch)
        telling = _Telling(watcher, watch, queues)
        if telling.go_on():
            self._chores.add(telling)
        return watch

    def end(self, watch: Binding) -> None:
        """Undo `begin`."""
        self._tree.unbind(watch)

    def made(self, queue: Queue) -> None:
        """A named queue is new."""
        if self._tree.bindings_count == 0:
            return
        for watch in self._tree.match(queue.destination.name):
            watcher = watch.sink
            assert isinstance(watcher, QueueWatcher)
            watcher.queue_made(queue)


@final
class _Telling(Chore):
    """Tells a new watcher of the queues that are there already."""

    __slots__ = ("_at", "_queues", "_watch", "_watcher")

    def __init__(self, watcher: QueueWatcher, watch: Binding, queues: list[Queue]) -> None:
        self._watcher = watcher
        self._watch = watch
        self._queues = queues
        self._at = 0

    def go_on(self) -> bool:
        """See Chore."""
        queues = self._queues
        until = min(self._at + QUEUES_AT_ONCE, len(queues))
        pattern = self._watch.pattern
        for at in range(self._at, until):
            queue = queues[at]
            # The watcher may end by what it is told.
            if self._watch.place < 0:
                return False
            named = queue.key.kind == NAMED and not queue.deleted
            if named and pattern.matches(queue.destination.name):
                self._watcher.queue_made(queue)
        self._at = until
        return until < len(queues)
