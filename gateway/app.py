"""The composition root: builds the rooms from the configuration, and owns the order of start and stop."""

import asyncio
import errno
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final, final

import gateway
from gateway.admin.server import DEGRADED, UP, AdminServer
from gateway.config import AUTO, OPTIONS, Config, ConnectorSection, KeyPairSection, TlsSection, is_loopback
from gateway.connectors.base import Limits
from gateway.connectors.carriage import Route
from gateway.connectors.http.service import HttpAcceptor, HttpService
from gateway.connectors.http.settings import HttpSettings, Page
from gateway.connectors.mqtt.service import MqttService
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.service import Acceptor, Service
from gateway.connectors.side import CARRY_NAMES
from gateway.connectors.stomp.service import StompService
from gateway.connectors.stomp.settings import StompSettings
from gateway.connectors.websocket.service import JsonService
from gateway.connectors.websocket.settings import JsonSettings
from gateway.core.destination import bound_separators
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.message import DECODERS
from gateway.core.pattern import MANY, ONE, Pattern
from gateway.core.router import Broker
from gateway.keeping import Keeping
from gateway.net import detect
from gateway.net.clock import Clock
from gateway.net.deadlines import Deadlines
from gateway.net.files import files_max
from gateway.net.identity import Keeper
from gateway.net.listener import Listener, Machinery
from gateway.net.memory import HeapTrim, trim_heap
from gateway.net.reports import Reports
from gateway.net.tls import KeyPair, TlsError, TlsSettings
from gateway.net.tls import load as load_tls
from gateway.net.turn import Caretaker, Flusher
from gateway.net.unfinished import Unfinished
from gateway.net.unix import UnixSocket
from gateway.observe.bugs import BUGS
from gateway.reloading import Reloading, rules_of, users_of
from gateway.security.guard import Guard
from gateway.security.passwords import PasswordChecks
from gateway.store.passing import PassingStore
from gateway.storing import Storing

log = logging.getLogger("gateway")

TICK_S: Final = 0.25
"""How often time passes for sessions that nobody touches."""

QUEUE_TICKS: Final = 4
"""Ticks after which it passes for queues too."""

DRAIN_STEP_S: Final = 0.02
"""How often a stop looks whether the clients are gone."""

LINGER_S: Final = 0.3
"""How long a stop waits, once all is written, for clients to close their side."""

RATE_WINDOW: Final = 20
"""Ticks over which the rates in `status` are taken: five seconds."""


def core_limits(config: Config) -> CoreLimits:
    """[core] as the core wants it."""
    section = config.core
    return CoreLimits(**section.model_dump())


def queue_policy(config: Config) -> QueuePolicy:
    """[queues] as the core wants it."""
    section = config.queues
    return QueuePolicy(
        section.messages_max,
        section.bytes_max,
        section.when_full,
        section.deliveries_max,
        section.dead_letters or None,
        stored_bytes_max=section.stored_bytes_max,
        topic_wait_max_ms=section.topic_wait_max_ms,
        dead_letters_of_expired_topics=section.dead_letters_of_expired_topics,
    )


def guard(
    config: Config, post: Callable[[Callable[[], None]], None], before_answer: Callable[[], None]
) -> Guard:
    """[security], [[user]] and [[rule]] as an authorizer."""
    section = config.security
    checks = PasswordChecks(post, section.password_threads, section.password_checks_max)
    certificates = any(connector.certified for connector in config.connector)
    return Guard(
        users_of(config), rules_of(config), checks, before_answer, certificates, section.decisions_bytes_max
    )


def queue_pattern(text: str) -> Pattern:
    """A pattern of queue names: `*` stands for one level, `>` for any number."""
    levels = [ONE if level == "*" else MANY if level == ">" else level for level in text.split(".")]
    return Pattern(tuple(levels))


def tls_settings(section: TlsSection, protocols: Sequence[str]) -> TlsSettings:
    """[connector.tls] as net wants it, for a connector that speaks `protocols`."""
    fields = section.model_dump(exclude={"certificate", "key", "key_password", "more", "alpn"})
    more = tuple([_key_pair(pair) for pair in section.more])
    return TlsSettings(_key_pair(section), more, alpn=section.alpn or tuple(protocols), **fields)


def tls_problems(config: Config) -> list[str]:
    """What is wrong with the certificates and keys that the connectors name, a line each."""
    problems: list[str] = []
    for section in config.connector:
        if section.tls_section is not None:
            try:
                found = load_tls(tls_settings(section.tls_section, [section.protocol]))
                problems += [f"connector[{section.name}].tls: {text}" for text in found.unfit]
            except TlsError as error:
                problems.append(f"connector[{section.name}].tls: {error}")
    return problems


def _key_pair(section: KeyPairSection) -> KeyPair:
    kind, _, rest = section.key_password.partition(":")

    def password() -> str | None:
        if kind == "env":
            return os.environ.get(rest)
        try:
            return Path(rest).read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise TlsError(f"{rest}: {getattr(error, 'strerror', '') or error}") from None

    return KeyPair(section.certificate, section.key, password if kind else None)


def limits_by_option(limits: Limits) -> dict[str, int | str]:
    """A listener's limits by the names they have in its URI."""
    named: dict[str, int | str] = {name: getattr(limits, field) for name, (field, _, _) in OPTIONS.items()}
    named["slowConsumer"] = limits.slow_consumer
    named["carry"] = next(name for name, number in CARRY_NAMES.items() if number == limits.carry)
    named["publishIdentity"] = str(limits.publish_identity).lower()
    return named


def mqtt_service(broker: Broker, config: Config) -> Service:
    """MQTT as [mqtt] wants it."""
    return MqttService(
        broker, MqttSettings(**config.mqtt.model_dump()), f"gateway-broker {gateway.__version__}"
    )


def stomp_service(broker: Broker, config: Config) -> Service:
    """STOMP as [stomp] wants it."""
    return StompService(broker, StompSettings(**config.stomp.model_dump()))


def http_settings(config: Config) -> HttpSettings:
    """[websocket] and [http] as their room wants them."""
    section = config.websocket
    http = config.http
    return HttpSettings(
        section.paths,
        section.origins,
        section.handshake_bytes_max,
        section.ping_interval_ms,
        section.compression,
        section.compression_window_bits,
        section.unpacked_max,
        section.demo,
        http.receipts_max,
        http.visibility_timeout_ms,
        http.pull_max,
        http.wait_max_ms,
        http.event_ping_ms,
        http.messages_max,
        http.meta_bytes_max,
        http.event_kept_ms,
        http.event_kept_max,
        http.event_kept_bytes_max,
        http.event_kept_total_bytes_max,
        http.event_streams_max,
        section.json_values_max,
    )


def json_settings(config: Config) -> JsonSettings:
    """gateway.json as [websocket] wants it."""
    section = config.websocket
    return JsonSettings(
        section.json_window,
        section.json_operations_max,
        section.json_transactions_max,
        section.json_values_max,
        section.json_name_bytes_max,
    )


def ws_service(broker: Broker, config: Config) -> Service:
    """HTTP, and the door to WebSocket."""
    return HttpService(
        broker, http_settings(config), web_pages(config.websocket.demo, config.websocket.json_operations_max)
    )


def json_service(broker: Broker, config: Config) -> Service:
    """The subprotocol gateway.json."""
    return JsonService(broker, json_settings(config))


SCHEMA: Final = "/gateway.schema.json"

WEB_FILES: Final = {
    SCHEMA: ("gateway.schema.json", "application/schema+json"),
    "/": ("live.html", "text/html; charset=utf-8"),
    "/live.css": ("live.css", "text/css; charset=utf-8"),
    "/live.js": ("live.js", "text/javascript; charset=utf-8"),
}
"""Path → file in gateway/web, and its type."""


def web_pages(demo: bool, operations_max: int) -> dict[str, Page]:
    """The files that ws connectors serve: the schema, and with `demo` the live page."""
    room = resources.files("gateway.web")
    pages: dict[str, Page] = {}
    for path, (name, content_type) in WEB_FILES.items():
        if demo or path == SCHEMA:
            data = (room / name).read_bytes()
            if path == SCHEMA:
                data = _as_configured(data, operations_max)
            pages[path] = Page(content_type, data)
    return pages


def _as_configured(schema: bytes, operations_max: int) -> bytes:
    """The schema with the operator's own limit of a batch."""
    loaded = json.loads(schema)
    loaded["$defs"]["fromClient"]["anyOf"][1]["maxItems"] = operations_max
    return json.dumps(loaded, ensure_ascii=False, indent=1).encode()


SERVICES: Final = {"mqtt": mqtt_service, "stomp": stomp_service, "ws": ws_service}
"""Scheme of a connector's URI → what serves it.  A new protocol adds a line here."""

DOORS: Final = {"ws": detect.HTTP}
"""What the first bytes are called where a protocol is not."""

ALPN: Final = {"ws": "http/1.1"}
"""The same for what TLS agrees on (RFC 7301 §6)."""

CARRIED: Final = {"json": json_service}
"""What has no scheme of its own, since it only exists inside WebSocket."""


@final
class Gateway:
    """The whole gateway inside one event loop: `async with Gateway(config) as gateway: …`."""

    def __init__(self, config: Config, read: Callable[[], Config] | None = None) -> None:
        """`read` gives the configuration as it is now, for `reload`, or raises ConfigError."""
        self.config = config
        self.guard = guard(config, self._post, self._bring_clock_up_to_date)
        bound_separators(config.core.separators_max)
        self.broker = Broker(PassingStore(), self.guard, core_limits(config), queue_policy(config))
        self.listeners: list[Listener] = []
        """With their real ports, once started."""
        self.admin: AdminServer | None = None
        self.broker.asynchronous = [queue_pattern(text) for text in config.store.asynchronous]
        self.storing = Storing(config.store, self.broker)
        self.keeping = Keeping(config.pki)
        self.failed = asyncio.Event()
        """The store failed: nothing can be promised any more."""
        self.reloading = Reloading(config, read, self.broker, self.guard, self.keeping)
        self.reloading.listeners = self.listeners
        self._services: dict[str, Service] = {}
        self.reloading.services = self._services
        self._machinery: Machinery | None = None
        self._caretaker: Caretaker | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._started_s = 0.0
        self._ticks = 0
        self._heap = HeapTrim(trim_heap)
        self._history: list[tuple[float, int, int]] = []

    async def __aenter__(self) -> "Gateway":
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- start

    async def start(self) -> None:
        """Open everything.  Raises OSError with the address in it when one cannot be had, StoreError for the store."""
        loop = asyncio.get_running_loop()
        clock = Clock()
        self.broker.now_ms = clock.now_ms()
        flusher = Flusher(loop, clock, self.broker)
        self._caretaker = Caretaker(loop, clock, self.broker)
        self._machinery = Machinery(
            loop,
            clock,
            self.broker,
            flusher,
            Deadlines(loop, clock),
            Reports(self.config.log.lines_max, self.config.log.interval_ms),
            self.config.gateway.connections_max,
            files_max=files_max(),
            unfinished=Unfinished(self.config.gateway.unfinished_bytes_max),
        )
        self._compare_with_files(self._machinery.files_max)
        self.storing.open()
        # All of them, whichever are served now: any may have left something to be brought back.
        for name in (*SERVICES, *CARRIED):
            self._service(name)
        self.storing.recover(list(self._services.values()))
        reports = self._machinery.reports
        self.storing.start(
            loop,
            flusher.flush,
            self.failed.set,
            lambda line: reports.add("records that cannot be written", line, logging.ERROR),
        )
        await _opened(f"pki {self.config.pki.uri}", self.keeping.start())
        for section in self.config.connector:
            await self._open(section, self._machinery)
        if self.config.admin.enabled:
            admin = self.config.admin
            self.admin = AdminServer(
                admin.host,
                admin.port,
                self.status,
                self.storing.trouble,
                self.storing.compact,
                self.reloading.ask,
            )
            await _opened(f"admin {self.config.admin.uri}", self.admin.open())
            log.info("the status is at http://%s:%d/status", self.admin.host, self.admin.port)
        self._started_s = time.monotonic()
        self._tick()

    async def _open(self, section: ConnectorSection, machinery: Machinery) -> None:
        protocol = section.protocol
        keeper = await self._keeper(section, machinery)
        if protocol == AUTO:
            acceptor = Acceptor(section.name, section.scheme, self._limits(section, protocol))
            doors = {DOORS.get(name, name): self._acceptor(section, name) for name in SERVICES}
            for door in doors.values():
                # One listener, one count.
                door.counters = acceptor.counters
        else:
            acceptor = self._acceptor(section, protocol)
            doors = {}
        for speaker in (acceptor, *doors.values()):
            if isinstance(speaker, HttpAcceptor):
                speaker.carry(self._routes(section), is_loopback(section.host))
        unix = UnixSocket(section.path, section.socket_mode) if section.path else None
        listener = Listener(
            acceptor, section.host, section.port, machinery, keeper, doors, section.secure, unix
        )
        listener.scheme = section.scheme
        listener.ping_interval_ms = self.config.websocket.ping_interval_ms
        await _opened(f"connector {section.name} on {listener.address}", listener.open())
        self.listeners.append(listener)
        log.info("connector %s listens on %s", section.name, listener.address)

    def _compare_with_files(self, files: int) -> None:
        """Say so where more connections are allowed than there may be open files."""
        wanted = sum(
            section.limits(section.protocol).maximum_connections for section in self.config.connector
        )
        most = self.config.gateway.connections_max
        wanted = min(wanted, most) if most else wanted
        if files and wanted > files:
            log.warning(
                "maximumConnections allow %d connections, the system %d open files (ulimit -n): further ones are refused",
                wanted,
                files,
            )

    def _service(self, name: str) -> Service:
        """The one service of that protocol, made on first use."""
        service = self._services.get(name)
        if service is None:
            make = SERVICES.get(name) or CARRIED[name]
            service = self._services[name] = make(self.broker, self.config)
        return service

    def _routes(self, section: ConnectorSection) -> list[Route]:
        """Every protocol that can travel inside WebSocket, with this connector's limits."""
        routes: list[Route] = []
        for name in (*SERVICES, *CARRIED):
            service = self._service(name)
            carriage = service.carriage()
            if carriage is not None:
                routes.append(
                    Route(carriage, service.acceptor(section.name, name, self._limits(section, name)))
                )
        return routes

    def _acceptor(self, section: ConnectorSection, protocol: str) -> Acceptor:
        return self._service(protocol).acceptor(section.name, protocol, self._limits(section, protocol))

    def _limits(self, section: ConnectorSection, protocol: str) -> Limits:
        limits = section.limits(protocol)
        limits.allow_anonymous = section.anonymous(bool(self.config.user))
        self.reloading.limits.append((section, limits))
        return limits

    async def _keeper(self, section: ConnectorSection, machinery: Machinery) -> Keeper | None:
        """The connector's TLS, with its files read; None when it has none.  Raises OSError."""
        found = section.tls_section
        if found is None:
            return None
        names = list(SERVICES) if section.protocol == AUTO else [section.protocol]
        protocols = [ALPN.get(name, name) for name in names]
        keeper = Keeper(section.name, tls_settings(found, protocols), machinery.loop)
        try:
            await keeper.load()
        except TlsError as error:
            raise OSError(errno.EINVAL, f"connector {section.name}: TLS: {error}") from None
        return keeper

    def _post(self, work: Callable[[], None]) -> None:
        """Have `work` done in a later turn of the loop; called from threads."""
        machinery = self._machinery
        if machinery is not None and not machinery.loop.is_closed():
            machinery.loop.call_soon_threadsafe(work)

    def _bring_clock_up_to_date(self) -> None:
        if self._machinery is not None:
            self.broker.now_ms = self._machinery.clock.now_ms()

    def _tick(self) -> None:
        machinery = self._machinery
        if machinery is None:
            return
        self._ticker = machinery.loop.call_later(TICK_S, self._tick)
        now_ms = machinery.clock.now_ms()
        self.broker.now_ms = now_ms
        try:
            self._let_time_pass(now_ms)
        except Exception:
            log.exception("internal error while time passed")
        if machinery.reports.tick(now_ms):
            BUGS.sum_up()
            self._report_deaths()
        now = datetime.now(UTC)
        for listener in self.listeners:
            listener.tick(now)
        self.keeping.tick(now_ms // 1000)
        self._heap.look(self.broker.resident_bytes)
        self._sample()

    def _report_deaths(self) -> None:
        """Say which messages were set aside since the last interval."""
        deaths = self.broker.counters.take_deaths()
        worst = sorted(deaths.items(), key=lambda item: -item[1])
        most = self.config.log.lines_max
        for (queue, reason), count in worst[:most]:
            log.info("%d dead letters of %s: %s", count, queue, reason)
        if len(worst) > most:
            log.info("%d more dead letters of other queues", sum(count for _, count in worst[most:]))

    def _let_time_pass(self, now_ms: int) -> None:
        for service in self._services.values():
            service.tick(now_ms)
        self._ticks += 1
        if self._ticks % QUEUE_TICKS == 0:
            self.broker.tick(now_ms)

    def _sample(self) -> None:
        """Remember the counters, for the rates."""
        counters = [listener.counters for listener in self.listeners]
        messages_in = sum(c.messages_in for c in counters)
        messages_out = sum(c.messages_out for c in counters)
        self._history.append((time.monotonic(), messages_in, messages_out))
        del self._history[: -RATE_WINDOW - 1]

    # -- stop

    async def stop(self) -> None:
        """Stop accepting, tell each client, wait until they are gone or the time is up, close everything."""
        machinery = self._machinery
        if machinery is None:
            return
        self._machinery = None
        if self._ticker is not None:
            self._ticker.cancel()
        self.reloading.stop()
        self.broker.schedule.rest()
        now_ms = machinery.clock.now_ms()
        self.broker.now_ms = now_ms
        for listener in self.listeners:
            listener.stop_accepting()
            for transport in list(listener.transports):
                transport.shutdown(now_ms)
        await self._drain()
        for listener in self.listeners:
            for transport in list(listener.transports):
                transport.abort()
        for service in self._services.values():
            service.close(now_ms)
        # Aborted sockets report their end in the next turn.
        await asyncio.sleep(0)
        if self._caretaker is not None:
            self._caretaker.finish()
        machinery.deadlines.close()
        machinery.reports.sum_up()
        BUGS.sum_up()
        self._report_deaths()
        if self.admin is not None:
            await self.admin.close()
        await self.keeping.close()
        self.guard.close()
        await self.storing.close()

    async def _drain(self) -> None:
        """Wait until all clients have taken what they are owed, and then a moment for them to close."""
        limit_s = time.monotonic() + self.config.gateway.shutdown_timeout_ms / 1000
        while time.monotonic() < limit_s:
            transports = [transport for listener in self.listeners for transport in listener.transports]
            if not transports:
                return
            if all(transport.drained for transport in transports):
                limit_s = min(limit_s, time.monotonic() + LINGER_S)
            await asyncio.sleep(DRAIN_STEP_S)

    # -- status

    def status(self) -> dict[str, Any]:
        """What there is to know about the running gateway, as JSON's types."""
        connectors = []
        for listener in self.listeners:
            connectors.append(
                {
                    "name": listener.acceptor.name,
                    "protocol": listener.scheme,
                    "address": listener.address,
                    "limits": limits_by_option(listener.acceptor.limits),
                    "internal_errors": listener.internal_errors,
                    **listener.counters.as_dict(),
                    **({} if listener.keeper is None else {"tls": listener.keeper.status()}),
                }
            )
        services: dict[str, int] = {}
        for service in self._services.values():
            services.update(service.stats())
        rate_in, rate_out = self._rates()
        broker = self.broker
        trouble = self.storing.trouble()
        return {
            "status": DEGRADED if trouble else UP,
            **({"reason": trouble} if trouble else {}),
            "name": self.config.gateway.name,
            "version": gateway.__version__,
            "compiled": gateway.is_compiled(),
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "messages_in_per_s": rate_in,
            "messages_out_per_s": rate_out,
            "connectors": connectors,
            "core": {
                "queues": len(broker.queues),
                "subscriptions": broker.topics.bindings_count,
                "retained": broker.retained.count,
                "unstored_bytes": broker.unstored.bytes,
                "unstored_wanting": broker.unstored.wanting,
                **broker.counters.as_dict(),
            },
            "store": self.storing.status(),
            "translation": {
                "gateway_translation_omitted_total": [
                    {"from": source, "to": target, "field": field, "count": count}
                    for (source, target, field), count in sorted(broker.counters.omitted.items())
                ],
                "gateway_translation_decoded_total": DECODERS.fields,
            },
            "services": services,
        }

    def _rates(self) -> tuple[int, int]:
        """Messages a second, in and out, over the last seconds."""
        if len(self._history) < 2:
            return 0, 0
        first = self._history[0]
        last = self._history[-1]
        seconds = last[0] - first[0]
        return round((last[1] - first[1]) / seconds), round((last[2] - first[2]) / seconds)


async def _opened(what: str, opening: Awaitable[None]) -> None:
    """Await `opening`; an OSError then says what could not be opened."""
    try:
        await opening
    except OSError as error:
        raise OSError(error.errno, f"{what}: {error.strerror or error}") from None
