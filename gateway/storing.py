"""The store of a running gateway: opened before anything else, closed after everything else."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from gateway.config import StoreSection
from gateway.connectors.envelope import EnvelopeRestorer
from gateway.connectors.mqtt.recovery import MqttRestorer
from gateway.connectors.mqtt.stored import WIRE_ID as MQTT_ID
from gateway.connectors.service import Service
from gateway.connectors.stomp.recovery import StompRestorer
from gateway.connectors.stomp.stored import WIRE_ID as STOMP_ID
from gateway.connectors.stored_fields import WIRE_ID as ENVELOPE_ID
from gateway.core.ports import Entry, Operation, Page, Recovered, StoreListener
from gateway.core.router import Broker
from gateway.store.errors import StoreError
from gateway.store.passing import PassingStore
from gateway.store.room import Room
from gateway.store.segments import Segments
from gateway.store.sqlite import SqliteStore

log = logging.getLogger("gateway.store")

EXIT_FAILED: Final = 74
"""The process gave up because the disk failed (EX_IOERR of sysexits.h)."""


@final
class Storing:
    """Puts a store behind a broker, and brings back what it kept."""

    def __init__(self, section: StoreSection, broker: Broker) -> None:
        self._section = section
        self._broker = broker
        self._sqlite: SqliteStore | None = None
        self._found: Recovered | None = None
        # Everybody has back what they had.
        self._recovered = False
        self.failure: StoreError | None = None
        """Why nothing can be kept any more."""

    def open(self) -> None:
        """Open the store and bring back the broker's own part.  Raises StoreError."""
        broker = self._broker
        # Messages of every protocol may be there, whichever are served now.
        broker.decoder.restorers[MQTT_ID] = MqttRestorer()
        broker.decoder.restorers[STOMP_ID] = StompRestorer()
        broker.decoder.restorers[ENVELOPE_ID] = EnvelopeRestorer()
        if not self._section.path:
            broker.use(PassingStore())
            return
        path = Path(self._section.path)
        segments = Segments(path, self._section.large_bytes, self._section.segment_bytes)
        room = Room(path, self._section.free_bytes_min, self._section.reserve_bytes)
        store = SqliteStore(
            path,
            self._section.pending_bytes_max,
            segments=segments,
            room=room,
            batch_operations_max=self._section.batch_operations_max,
            batch_bytes_max=self._section.batch_bytes_max,
            fanout_max=self._section.fanout_copies_max,
            check_bytes_max=self._section.check_bytes_max,
        )
        self._sqlite = store
        broker.use(store)
        found = self._found = store.recover()
        broker.recover(found)
        waiting = sum(lane.count for queue in found.queues for lane in queue.lanes)
        if found.epoch == 1:
            log.info("store %s: new", store.path)
        else:
            log.info(
                "store %s: %d queues with %d messages, %d retained, after %s",
                store.path,
                len(found.queues),
                waiting,
                len(found.retained),
                "an orderly stop" if found.clean else "a crash",
            )

    def recover(self, services: list[Service]) -> None:
        """Bring back the connectors' parts; call once all services are there."""
        if self._found is not None:
            for service in services:
                service.recover(self._found, self._broker.now_ms)
            self._broker.fan_outs.finish_found()
            # Its retained records can be large.
            self._found = None
            self._recovered = True
            for line in self._broker.aside.lines:
                log.error("store: %s", line)

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        flush: Callable[[], None],
        on_failure: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """Begin to commit.

        `flush` writes what connections have to say; `on_failure` is called on the loop when nothing can be kept any
        more; `report` gets a line for each record that cannot be written.
        """
        store = self._sqlite
        if store is None:
            return

        def failed(error: StoreError) -> None:
            self.failure = error
            on_failure()

        store.start(
            _Told(self._broker, flush, report),
            loop.call_soon,
            loop.call_soon_threadsafe,
            failed,
            loop.call_later,
        )

    async def close(self) -> None:
        """Commit what waits, unless it failed, and let go of the file."""
        store = self._sqlite
        if store is not None:
            self._sqlite = None
            self._broker.kept.note_unsettled()
            store.retire()
            try:
                # The loop goes on turning, so that a second signal is heard whatever the disk does.
                # A start that came to nothing has told nobody what the last run left in doubt.
                await _aside(partial(store.close, self._recovered))
            except StoreError as error:
                self.failure = error
                log.critical("store: %s: what was not committed is lost", error)

    def trouble(self) -> str:
        """Why nothing new is kept; empty while all is well."""
        return "" if self._sqlite is None else self._sqlite.trouble

    def compact(self) -> None:
        """Have all given back that the file takes and does not need; the status says when it is done."""
        if self._sqlite is not None:
            self._sqlite.compact()

    def status(self) -> dict[str, Any]:
        """What there is to know, as JSON's types."""
        store = self._sqlite
        if store is None:
            return {"kind": "memory"}
        return {
            "kind": "sqlite",
            "path": str(store.path),
            "accepting": store.accepting,
            "trouble": store.trouble,
            "commits": store.commits,
            "compacting": store.compacting,
            "waiting": store.waiting,
            "uncommitted_bytes": store.uncommitted_bytes,
            "damages": store.damages + self._broker.aside.lines,
            "failure": None if store.failure is None else str(store.failure),
        }


async def _aside(work: Callable[[], None]) -> None:
    """Have `work` done on a thread of its own, which does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def carry_out() -> None:
        try:
            work()
        except Exception as error:
            tell = partial(done.set_exception, error)
        else:
            tell = partial(done.set_result, None)
        # The loop is closed where nobody waited.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=carry_out, name="store-close", daemon=True).start()
    await done


@final
class _Told(StoreListener):
    """The broker, as the store sees it; confirmations are written at once, not in another turn of the loop."""

    def __init__(self, broker: Broker, flush: Callable[[], None], report: Callable[[str], None]) -> None:
        self._broker = broker
        self._flush = flush
        self._report = report

    def on_durable(self, position: int) -> None:
        """See StoreListener."""
        self._broker.on_durable(position)
        self._flush()

    def on_refused(self, operation: Operation, why: str) -> None:
        """See StoreListener."""
        self._report(f"store: {type(operation).__name__} cannot be written: {why}")
        self._broker.on_refused(operation, why)

    def on_loaded(self, page: Page, entries: list[Entry]) -> None:
        """See StoreListener."""
        self._broker.on_loaded(page, entries)

    def on_accepting(self, accepting: bool) -> None:
        """See StoreListener."""
        self._broker.on_accepting(accepting)
