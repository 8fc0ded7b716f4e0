"""Subscriptions to all queues of a pattern: they are told of each named queue that is there, and of each that is made."""

from typing import Final, final

from gateway.core.chores import Chore, Chores
from gateway.core.flow import Publisher
from gateway.core.limits import CoreLimits, LimitReached
from gateway.core.pattern import Pattern
from gateway.core.queue import Queue
from gateway.core.queue_key import NAMED
from gateway.core.quota import Quota
from gateway.core.roll import Roll, Round
from gateway.core.subscription import Binding, Sink
from gateway.core.topics import TopicTree

QUEUES_AT_ONCE: Final = 64
"""Queues that a new subscription is told of, or asked about, in one step."""

WATCHERS_AT_ONCE: Final = 32
"""Subscriptions that are told of a new queue in one step."""


class QueueWatcher(Sink):
    """Wants to know of named queues: a subscription to all queues of some patterns."""

    __slots__ = ()

    def queue_made(self, queue: Queue) -> None:
        """`queue` is there, or new and empty.

        It may be told more than once: of queues that fall under several patterns, and where others are deleted meanwhile.
        """
        raise NotImplementedError


@final
class Watching:
    """Who watches which queues.  Making a queue costs what those do who want it, however many others there are."""

    __slots__ = ("_chores", "_followed_by", "_followed_max", "_roll", "_tree", "followed")

    def __init__(self, roll: Roll, chores: Chores, limits: CoreLimits) -> None:
        self._roll = roll
        self._chores = chores
        self._followed_max = limits.followed_queues_max
        self._followed_by = Quota(limits.followed_queues_per_user_max, limits.followed_queues_per_address_max)
        self.followed = 0
        """Queues that watchers read, counted once for each that does."""
        # Who watches looks itself whose a temporary queue is.
        self._tree = TopicTree(hides_temporary=False, steps_max=limits.lookup_steps_max)

    def begin(self, watcher: QueueWatcher, pattern: Pattern, maker: Publisher | None = None) -> Binding:
        """Tell `watcher` of the queues that match, in this turn or, where there are many, later ones; and of each that
        is made.  Raises LimitReached; see TopicTree.bind."""
        watch = Binding(pattern, watcher)
        self._tree.bind(watch, maker)
        telling = _Telling(watcher, watch, Round(self._roll))
        # Who begins a thousand in one go must not tell the first queues of each in one go.
        if len(self._roll) > QUEUES_AT_ONCE or telling.go_on():
            self._chores.add(telling)
        return watch

    @property
    def steps(self) -> int:
        """See TopicTree."""
        return self._tree.steps

    def follow(self, reader: Publisher) -> None:
        """A watcher of `reader` reads one queue more.  Raises LimitReached."""
        if self.followed >= self._followed_max:
            raise LimitReached("too many queues are read by subscriptions to many")
        if not self._followed_by.has_room(reader):
            raise LimitReached("too many queues of one user or address are read by subscriptions to many")
        self.followed += 1
        self._followed_by.count(reader, 1)

    def leave(self, reader: Publisher, count: int) -> None:
        """Undo `follow` for so many."""
        self.followed -= count
        self._followed_by.count(reader, -count)

    def end(self, watch: Binding) -> None:
        """Undo `begin`."""
        self._tree.unbind(watch)

    def made(self, queue: Queue) -> None:
        """A named queue is new."""
        if self._tree.bindings_count == 0:
            return
        announcing = _Announcing(queue, self._tree.match(queue.destination.name))
        if announcing.go_on():
            self._chores.add(announcing)


@final
class _Announcing(Chore):
    """Tells of a new queue all who watch it; there may be very many."""

    __slots__ = ("_queue", "_watches")

    def __init__(self, queue: Queue, watches: list[Binding]) -> None:
        self._queue = queue
        # The first last.
        self._watches = watches[::-1]

    def go_on(self) -> bool:
        """See Chore."""
        watches = self._watches
        for _ in range(min(WATCHERS_AT_ONCE, len(watches))):
            watch = watches.pop()
            watcher = watch.sink
            assert isinstance(watcher, QueueWatcher)
            # Either may have ended meanwhile.
            if watch.place >= 0 and not self._queue.deleted:
                watcher.queue_made(self._queue)
        return len(watches) > 0


@final
class _Telling(Chore):
    """Tells a new watcher of the queues that are there already."""

    __slots__ = ("_round", "_watch", "_watcher")

    def __init__(self, watcher: QueueWatcher, watch: Binding, round: Round) -> None:
        self._watcher = watcher
        self._watch = watch
        self._round = round

    def go_on(self) -> bool:
        """See Chore."""
        pattern = self._watch.pattern
        for _ in range(QUEUES_AT_ONCE):
            # The watcher may end by what it is told.
            if self._watch.place < 0:
                return False
            queue = self._round.next()
            if queue is None:
                return False
            if queue.key.kind == NAMED and pattern.matches(queue.destination.name):
                self._watcher.queue_made(queue)
        return True
