"""What the store's tests put around a store: a loop that turns when told to, a listener, messages, every implementation."""

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.destination import QUEUE, Destination
from gateway.core.message import PRIORITY_NONE, Message
from gateway.core.ports import Dequeued, Enqueued, Entry, Operation, Page, QueueMade, Store, StoreListener
from gateway.core.record import BareOrigin
from gateway.store.database import Database
from gateway.store.errors import StoreError
from gateway.store.memory import Kept, MemoryStore
from gateway.store.recovery import CHECK_BYTES_MAX
from gateway.store.schema import Opener
from gateway.store.segments import LARGE, SEGMENT_BYTES, Files, Segments
from gateway.store.sqlite import SqliteStore

WAIT_S = 30.0
"""Far above anything that can happen; a test that reaches it has failed."""


class Loop:
    """Carries out what it is given, on the thread that turns it."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._there = threading.Condition()

    def soon(self, call: Callable[[], None]) -> None:
        with self._there:
            self._calls.append(call)
            self._there.notify()

    def turn_until(self, met: Callable[[], bool]) -> None:
        """Carry out calls until the condition holds."""
        while not met():
            with self._there:
                assert self._there.wait_for(lambda: bool(self._calls), WAIT_S), "nothing more happens"
                call = self._calls.popleft()
            call()

    def turn_out(self) -> None:
        """Carry out what is there now."""
        while True:
            with self._there:
                if not self._calls:
                    return
                call = self._calls.popleft()
            call()


class Listener(StoreListener):
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.durable: list[int] = []
        self.pages: list[list[Entry]] = []
        self.accepting: list[bool] = []
        self.failures: list[StoreError] = []
        self.refused: list[Operation] = []

    def on_durable(self, position: int) -> None:
        self.durable.append(position)

    def on_refused(self, operation: Operation, why: str) -> None:
        self.refused.append(operation)

    def on_loaded(self, page: Page, entries: list[Entry]) -> None:
        self.pages.append(entries)

    def on_accepting(self, accepting: bool) -> None:
        self.accepting.append(accepting)


class Harness:
    """One implementation of Store that can be stopped, killed and started again."""

    implementation = "sqlite"

    def __init__(self) -> None:
        self.listener = Listener()

    store: Store

    def start(self) -> None:
        """Begin to commit; `recover` and `fetch` come before."""
        raise NotImplementedError

    def settle(self) -> None:
        """Wait until everything appended is durable."""
        raise NotImplementedError

    def until(self, met: Callable[[], bool]) -> None:
        """Wait for a condition that follows from what was appended."""
        raise NotImplementedError

    def load(self, page: Page) -> list[Entry]:
        """Ask for a page and wait for it."""
        raise NotImplementedError

    def reopen(self, clean: bool = True) -> None:
        """Stop in order and open again, not started."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class MemoryHarness(Harness):
    implementation = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.kept = Kept()
        self._open()

    def _open(self) -> None:
        self.memory = self.store = MemoryStore(self.kept, held=True, pages=True)

    def start(self) -> None:
        self.memory.listener = self.listener

    def settle(self) -> None:
        self.memory.commit()

    def until(self, met: Callable[[], bool]) -> None:
        self.memory.commit()
        assert met()

    def load(self, page: Page) -> list[Entry]:
        self.memory.load(page)
        self.memory.commit()
        return self.listener.pages.pop()

    def reopen(self, clean: bool = True) -> None:
        self.memory.close(clean)
        self._open()

    def close(self) -> None:
        self.memory.close(True)


class SqliteHarness(Harness):
    """`here`: the loop's thread commits a few operations from the first on.  `large`, `segment_bytes`: see Segments."""

    def __init__(
        self,
        path: Path,
        opener: Opener = Database,
        bytes_max: int = 67_108_864,
        here: bool = False,
        large: int = LARGE,
        segment_bytes: int = SEGMENT_BYTES,
        files: Files | None = None,
        check_bytes_max: int = CHECK_BYTES_MAX,
    ) -> None:
        super().__init__()
        self.check_bytes_max = check_bytes_max
        self.here = here
        self.large = large
        self.segment_bytes = segment_bytes
        self.files = files
        self.path = path
        self.opener = opener
        self.bytes_max = bytes_max
        self._open()

    def _open(self) -> None:
        self.loop = Loop()
        segments = Segments(self.path, self.large, self.segment_bytes, self.files)
        self.sqlite = self.store = SqliteStore(
            self.path, self.bytes_max, self.opener, segments, check_bytes_max=self.check_bytes_max
        )
        if self.here:
            self.sqlite._probation = 0

    def start(self) -> None:
        self.sqlite.start(self.listener, self.loop.soon, self.loop.soon, self.listener.failures.append)

    def settle(self) -> None:
        self._turn_until(lambda: self.sqlite.durable >= self.sqlite.position)

    def _turn_until(self, met: Callable[[], bool]) -> None:
        self.loop.turn_until(lambda: met() or bool(self.listener.failures))
        assert self.listener.failures == []

    def until(self, met: Callable[[], bool]) -> None:
        self._turn_until(met)

    def load(self, page: Page) -> list[Entry]:
        before = len(self.listener.pages)
        self.sqlite.load(page)
        self._turn_until(lambda: len(self.listener.pages) > before)
        return self.listener.pages.pop()

    def reopen(self, clean: bool = True) -> None:
        self.sqlite.close(clean)
        self._open()

    def close(self) -> None:
        self.sqlite.close(True)


def message(
    id: int,
    body: bytes = b"x",
    *,
    name: str = "q",
    priority: int = PRIORITY_NONE,
    expires_at_ms: int = 0,
    retain: bool = False,
) -> Message:
    return Message(
        id,
        Destination(QUEUE, name),
        BareOrigin(body, 0),
        len(body),
        1_700_000_000_000,
        True,
        1,
        retain,
        priority,
        expires_at_ms,
        None,
    )


def put(store: Store, queue: int, *sequences: int, body: bytes = b"x", **fields: int) -> int:
    """Enqueue a message at each of these places; its id is its sequence."""
    position = 0
    for sequence in sequences:
        position = store.append(Enqueued(queue, sequence, message(sequence, body, **fields)))  # type: ignore[arg-type]
    return position


def take(store: Store, queue: int, *sequences: int) -> int:
    position = 0
    for sequence in sequences:
        position = store.append(Dequeued(queue, sequence))
    return position


def make(store: Store, *numbers: int) -> None:
    """Queues `queue:1`, `queue:2` …"""
    for number in numbers:
        store.append(QueueMade(number, f"queue:{number}"))


def everything(queue: int, count_max: int = 1_000_000, heads_only: bool = False) -> Page:
    return Page(queue, -1, 0, (1 << 40) - 1, count_max, 1 << 40, heads_only=heads_only)


def sequences(entries: list[Entry]) -> list[int]:
    return [entry.sequence for entry in entries]


IMPLEMENTATIONS = ("memory", "sqlite", "sqlite on the loop", "sqlite with segments")
"""The last one puts every record that is not quite small into segments, and those are tiny."""


def harness_of(implementation: str, directory: Path) -> Harness:
    if implementation == "memory":
        return MemoryHarness()
    if implementation == "sqlite with segments":
        return SqliteHarness(directory / "store.db", here=True, large=80, segment_bytes=200)
    return SqliteHarness(directory / "store.db", here=implementation == "sqlite on the loop")


@pytest.fixture(params=IMPLEMENTATIONS)
def harness(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Every implementation in turn."""
    made = harness_of(request.param, tmp_path)
    yield made
    made.close()
