"""The $SYS topics: how the broker is, as retained messages under the names that Mosquitto gave them."""

from dataclasses import dataclass
from typing import Final, final

from gateway.connectors.mqtt.mapping import own_message
from gateway.connectors.mqtt.session import MqttSession
from gateway.connectors.mqtt.sessions import Sessions
from gateway.connectors.service import Acceptor
from gateway.core.chores import Chore
from gateway.core.router import Broker

ROOT: Final = "$SYS/broker/"

COUNTED_AT_ONCE: Final = 512
"""Sessions whose messages are counted in one step."""

AVERAGED_MIN: Final = (1, 5, 15)
"""Minutes over which loads are averaged."""


@final
@dataclass(init=False, slots=True)
class Load:
    """A rate per minute, averaged over the last minutes with the older ones counting less."""

    name: str
    total: int
    """The counter at the last look."""
    rates: list[float]

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0
        self.rates = [0.0, 0.0, 0.0]

    def look(self, total: int, elapsed_ms: int) -> None:
        """Take the counter's value, `elapsed_ms` after the last one."""
        per_minute = (total - self.total) * 60_000 / elapsed_ms
        self.total = total
        for at, minutes in enumerate(AVERAGED_MIN):
            # What is older than the period hardly counts any more.
            weight = min(1.0, elapsed_ms / (minutes * 60_000))
            self.rates[at] += (per_minute - self.rates[at]) * weight


@final
class SysTopics:
    """Publishes what has changed, every so often."""

    __slots__ = (
        "_acceptors",
        "_broker",
        "_counting",
        "_interval_ms",
        "_last_ms",
        "_loads",
        "_maximum_connected",
        "_next_ms",
        "_said",
        "_sessions",
        "_started_ms",
        "_version",
    )

    def __init__(
        self, broker: Broker, sessions: Sessions, acceptors: list[Acceptor], interval_s: int, version: str
    ) -> None:
        self._broker = broker
        self._sessions = sessions
        self._acceptors = acceptors
        self._counting = False
        self._interval_ms = interval_s * 1000
        self._version = version
        self._started_ms = 0
        self._last_ms = 0
        self._next_ms = 0
        self._maximum_connected = 0
        self._said: dict[str, str] = {}
        names = ("messages/received", "messages/sent", "bytes/received", "bytes/sent", "connections")
        self._loads = [Load(name) for name in names]

    def tick(self, now_ms: int) -> None:
        """Publish if it is time."""
        if self._interval_ms == 0 or now_ms < self._next_ms:
            return
        if self._started_ms == 0:
            self._started_ms = self._last_ms = now_ms
        self._next_ms = now_ms + self._interval_ms
        if not self._counting:
            self._counting = True
            self._broker.chores.add(_Counting(self, self._sessions.all(), now_ms))

    def counted(self, queued: int, now_ms: int) -> None:
        """So many messages wait in all sessions: publish what has changed."""
        self._counting = False
        for name, value in self._values(queued, now_ms):
            if self._said.get(name) != value:
                self._said[name] = value
                self._publish(name, value)

    def _publish(self, name: str, value: str) -> None:
        message = own_message(ROOT + name, value.encode(), self._broker)
        self._broker.announce(message, self._broker.topics.topic(message.destination.name))

    def _values(self, queued: int, now_ms: int) -> list[tuple[str, str]]:
        """All topics below ROOT, and what they say now."""
        received = sent = bytes_in = bytes_out = connections = dropped = 0
        for acceptor in self._acceptors:
            counters = acceptor.counters
            received += counters.messages_in
            sent += counters.messages_out
            bytes_in += counters.bytes_in
            bytes_out += counters.bytes_out
            connections += counters.connections_total
            dropped += counters.dropped_slow + counters.dropped_large
        sessions = self._sessions
        connected = sessions.connected
        total = len(sessions)
        self._maximum_connected = max(self._maximum_connected, connected)
        broker = self._broker
        core = broker.counters
        values = [
            ("version", self._version),
            ("uptime", f"{(now_ms - self._started_ms) // 1000} seconds"),
            ("clients/total", str(total)),
            ("clients/connected", str(connected)),
            ("clients/active", str(connected)),
            ("clients/disconnected", str(total - connected)),
            ("clients/inactive", str(total - connected)),
            ("clients/maximum", str(self._maximum_connected)),
            ("clients/expired", str(sessions.expired)),
            ("messages/received", str(received)),
            ("messages/sent", str(sent)),
            ("publish/messages/received", str(received)),
            ("publish/messages/sent", str(sent)),
            ("publish/messages/dropped", str(dropped + core.dropped_full)),
            ("bytes/received", str(bytes_in)),
            ("bytes/sent", str(bytes_out)),
            ("subscriptions/count", str(broker.topics.bindings_count)),
            ("retained messages/count", str(broker.retained.count)),
            ("messages/stored", str(broker.retained.count + queued)),
        ]
        self._add_loads(values, (received, sent, bytes_in, bytes_out, connections), now_ms)
        return values

    def _add_loads(self, values: list[tuple[str, str]], totals: tuple[int, ...], now_ms: int) -> None:
        elapsed_ms = now_ms - self._last_ms
        self._last_ms = now_ms
        for load, total in zip(self._loads, totals, strict=True):
            if elapsed_ms:
                load.look(total, elapsed_ms)
            for minutes, rate in zip(AVERAGED_MIN, load.rates, strict=True):
                values.append((f"load/{load.name}/{minutes}min", f"{rate:.2f}"))


@final
class _Counting(Chore):
    """Counts the messages that wait in all sessions, a part of them at a time."""

    __slots__ = ("_at", "_now_ms", "_queued", "_sessions", "_topics")

    def __init__(self, topics: SysTopics, sessions: list[MqttSession], now_ms: int) -> None:
        self._topics = topics
        self._sessions = sessions
        self._now_ms = now_ms
        self._at = 0
        self._queued = 0

    def go_on(self) -> bool:
        """See Chore."""
        sessions = self._sessions
        end = min(self._at + COUNTED_AT_ONCE, len(sessions))
        while self._at < end:
            self._queued += sessions[self._at].queued
            self._at += 1
        if end < len(sessions):
            return True
        self._topics.counted(self._queued, self._now_ms)
        return False
