"""Threads that take turns when they are told to: greenlets, of which the world chooses who goes on.

`Threads` has what the store uses of `threading` and `queue`, so its very code runs; where a thread would wait (for a
request, a lock, a disk), it says so, and somebody else goes on.
"""

import random
from collections import deque
from collections.abc import Callable
from queue import Empty
from typing import Any, Final

from greenlet import getcurrent, greenlet

from tests.simulation.clock import Clock

NEVER: Final = float("inf")


class Killed(BaseException):
    """Thrown into what still runs when its process is killed."""


class Task:
    """A thread, and what it waits for."""

    __slots__ = ("_work", "failure", "greenlet", "name", "ready", "until_s")

    def __init__(self, hub: "Hub", name: str, work: Callable[[], object]) -> None:
        self.name = name
        self.ready: Callable[[], object] | None = None
        """Whether it may go on before `until_s`; None: it may."""
        self.until_s = 0.0
        self.failure: BaseException | None = None
        self._work = work
        self.greenlet = greenlet(self._run, hub.main)

    def _run(self) -> None:
        try:
            self._work()
        except Killed:
            pass
        except BaseException as error:
            self.failure = error


class Hub:
    """The tasks of one process."""

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        self.clock = clock
        self.chance = chance
        self.main = getcurrent()
        self.tasks: list[Task] = []
        self.killed = False
        self._current: Task | None = None

    def spawn(self, name: str, work: Callable[[], object]) -> Task:
        task = Task(self, name, work)
        self.tasks.append(task)
        return task

    def runnable(self) -> list[Task]:
        """Those that may go on now."""
        now_s = self.clock.us / 1_000_000
        found = []
        for task in self.tasks:
            if task.until_s <= now_s or ((ready := task.ready) is not None and ready()):
                found.append(task)
        return found

    def next_s(self) -> float:
        """When the next one may that only waits for time."""
        found = NEVER
        for task in self.tasks:
            if task.until_s < found:
                found = task.until_s
        return found

    def go_on(self, task: Task) -> None:
        """Let it run until it waits.  Raises what it raised."""
        self._current = task
        task.greenlet.switch()
        self._current = None
        if task.greenlet.dead:
            self.tasks.remove(task)
            if task.failure is not None:
                raise task.failure

    def wait(self, ready: Callable[[], object] | None, until_s: float = NEVER) -> None:
        """Called by a task: let others go on until it is ready or that time has come."""
        task = self._current
        if task is None or self.killed:
            # Nobody else runs: during a start, or while what is killed is cleared away.
            assert self.killed or ready is None or ready(), "waits for itself"
            return
        task.ready = ready
        task.until_s = until_s
        self._current = None
        self.main.switch()
        self._current = task

    def pause(self, seconds: float) -> None:
        """Called by a task: take so long."""
        self.wait(None, self.clock.us / 1_000_000 + seconds)

    def kill(self) -> None:
        """End all tasks where they are."""
        self.killed = True
        while self.tasks:
            task = self.tasks.pop()
            if task.greenlet.gr_frame is not None:
                task.greenlet.throw(Killed)


class Threads:
    """What a module finds in `threading`, bound to a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def Thread(self, target: Callable[[], object], name: str = "", daemon: bool = False) -> "SimulatedThread":
        return SimulatedThread(self._hub, target, name)

    def Lock(self) -> "SimulatedLock":
        return SimulatedLock(self._hub)

    def Event(self) -> "SimulatedEvent":
        return SimulatedEvent()

    def SimpleQueue(self) -> "SimulatedQueue":
        return SimulatedQueue(self._hub)


class SimulatedThread:
    """See threading.Thread."""

    def __init__(self, hub: Hub, target: Callable[[], object], name: str) -> None:
        self._hub = hub
        self._target = target
        self._name = name
        self._task: Task | None = None

    def start(self) -> None:
        self._task = self._hub.spawn(self._name, self._target)

    def join(self) -> None:
        task = self._task
        assert task is not None
        if not task.greenlet.dead:
            self._hub.wait(lambda: task.greenlet.dead)


class SimulatedEvent:
    """See threading.Event, as far as nobody waits for it."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set


class SimulatedLock:
    """See threading.Lock."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._held = False

    def acquire(self, blocking: bool = True) -> bool:
        if self._held and blocking:
            self._hub.wait(lambda: not self._held)
        if self._held:
            return False
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SimulatedQueue:
    """See queue.SimpleQueue."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get(self, timeout: float) -> Any:
        # Even what is there is not taken at once: whoever asked goes on first, or does not.
        self._hub.wait(self._items.__len__, self._hub.clock.now_s + timeout)
        if not self._items:
            raise Empty
        return self._items.popleft()
