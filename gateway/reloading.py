"""Users, rules, [pki] and TLS files are exchanged in the running gateway: all that was asked for, or nothing of it."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, final

from pydantic import ValidationError

from gateway.config import Config, ConfigError, ConnectorSection
from gateway.config.section import Section
from gateway.connectors.base import Limits
from gateway.connectors.reading import Readings
from gateway.connectors.reconsidering import Reconsidered, Reconsidering
from gateway.connectors.service import Service
from gateway.core.router import Broker
from gateway.keeping import Keeping
from gateway.net.identity import Keeper
from gateway.net.listener import Listener
from gateway.net.tls import TlsError
from gateway.security.guard import Guard, User
from gateway.security.rules import Area, Rule, Rules

log = logging.getLogger("gateway")

RELOADED: Final = ("user", "rule", "pki")
"""Tables of the file that are taken over; for the rest a restart is needed."""


class NotReloaded(Exception):
    """All stays as it was, for these reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def users_of(config: Config) -> dict[str, User]:
    """[[user]] as the guard wants it."""
    return {user.name: User(user.name, user.hash, frozenset(user.groups)) for user in config.user}


def rules_of(config: Config) -> Rules:
    """[[rule]] as the guard wants it."""
    return Rules(
        [
            Rule(
                bool(rule.allow),
                frozenset(rule.allow or rule.deny),
                frozenset(rule.users),
                frozenset(rule.groups),
                tuple([Area.parse(text) for text in rule.destinations]),
            )
            for rule in config.rule
        ]
    )


@final
class Reloading:
    """See the module."""

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config] | None,
        broker: Broker,
        guard: Guard,
        keeping: Keeping,
    ) -> None:
        """`read` gives the configuration as it is now, or raises ConfigError; None where there is no file."""
        self.config = config
        """What is in use."""
        self.services: dict[str, Service] = {}
        self.listeners: list[Listener] = []
        self.limits: list[tuple[ConnectorSection, Limits]] = []
        """Of each connector, all that its connections go by."""
        self._read = read
        self._broker = broker
        self._guard = guard
        self._keeping = keeping
        self._lock = asyncio.Lock()
        self._working: set[asyncio.Task[str]] = set()
        self._next: asyncio.Task[str] | None = None

    def ask(self) -> asyncio.Task[str]:
        """Do it: what was done is in the log, and what the task returns; or it raises NotReloaded.

        Who asks while others wait for their turn gets what those get.
        """
        task = self._next
        if task is None:
            task = self._next = asyncio.get_running_loop().create_task(self._in_turn())
            self._working.add(task)
            task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[str]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            # Nobody may have waited for it; it is in the log.
            task.exception()

    def stop(self) -> None:
        """The gateway stops: nothing is exchanged any more."""
        for task in list(self._working):
            task.cancel()

    async def _in_turn(self) -> str:
        async with self._lock:
            self._next = None
            try:
                line = await self._reload()
            except NotReloaded as error:
                log.warning("not reloaded, all stays as it was: %s", error)
                raise
            except Exception as error:
                log.exception("not reloaded, all stays as it was: internal error")
                raise NotReloaded([f"internal error: {error}"]) from None
            log.info("reloaded: %s", line)
            return line

    async def _reload(self) -> str:
        loop = asyncio.get_running_loop()
        found = self.config
        if self._read is not None:
            try:
                found = await loop.run_in_executor(None, self._read)
            except ConfigError as error:
                raise NotReloaded(error.problems) from None
        config, users, rules = await loop.run_in_executor(None, partial(self._prepare, found))
        keepers = [listener.keeper for listener in self.listeners if listener.keeper is not None]
        exchanges = await _read_files(keepers)
        before = self.config
        others = _keys(before.pki, config.pki)
        if others:
            # The last that may fail: what it has opened is used.
            exchanges.append(await self._prepare_pki(config))
        # Nothing waits from here on, and nothing fails: nobody sees one half of it.
        self.config = config
        for exchange in exchanges:
            exchange()
        parts = _differences(before, config)
        if parts:
            kept = self._guard.exchange(users, rules)
            for section, limits in self.limits:
                limits.allow_anonymous = section.anonymous(bool(config.user))
            self._broker.topics.forget_routes()
            found_out = await self._reconsider(kept)
            if found_out.fault is not None:
                log.error("internal error while clients were asked again\n%s", found_out.fault)
            parts += _counted(found_out)
        else:
            parts.append("users and rules are as they were")
        if others:
            parts.append(f"[pki] with another {', '.join(others)}")
        if keepers:
            parts.append(f"TLS files of {', '.join(keeper.name for keeper in keepers)}")
        changed = changed_keys(config, found)
        if changed:
            parts.append(f"a restart is needed for {', '.join(changed)}")
        return "; ".join(parts)

    def _prepare(self, found: Config) -> tuple[Config, dict[str, User], Rules]:
        """What is to be in use: RELOADED of `found`, the rest as it is.  Raises NotReloaded."""
        values: dict[str, Any] = {name: getattr(self.config, name) for name in Config.model_fields}
        for name in RELOADED:
            values[name] = getattr(found, name)
        try:
            config = Config.model_validate(values)
        except ValidationError as error:
            # Each half is right by itself, but they do not fit until there is a restart.
            said = [item["msg"].removeprefix("Value error, ") for item in error.errors()]
            raise NotReloaded([f"with the connectors that are open: {text}" for text in said]) from None
        opened = _opened(self.config, config)
        if opened:
            raise NotReloaded(opened)
        return config, users_of(config), rules_of(config)

    async def _prepare_pki(self, config: Config) -> Callable[[], None]:
        try:
            return await self._keeping.prepare(config.pki)
        except OSError as error:
            raise NotReloaded([f"pki.uri = {config.pki.uri!r}: {error.strerror or error}"]) from None

    async def _reconsider(self, kept: frozenset[str]) -> Reconsidered:
        """Ask who is connected, and all that is read, again; a little at a time."""
        done: asyncio.Future[Reconsidered] = asyncio.get_running_loop().create_future()
        guard = self._guard
        connectors = [
            transport.connector
            for listener in self.listeners
            for transport in listener.transports
            if transport.connector is not None
        ]
        readers: Iterator[Readings] = chain.from_iterable(
            service.readers() for service in self.services.values()
        )

        def holds(user: str, certified: str | None) -> bool:
            return user == certified or user in kept or guard.believes

        def over(found: Reconsidered) -> None:
            if not done.done():
                done.set_result(found)

        self._broker.chores.add(Reconsidering(self._broker, connectors, readers, holds, over))
        return await done


async def _read_files(keepers: Sequence[Keeper]) -> list[Callable[[], None]]:
    """Read the TLS files of all: what is to be called to have them used.  Raises NotReloaded."""
    exchanges: list[Callable[[], None]] = []
    problems: list[str] = []
    for keeper in keepers:
        try:
            exchanges.append(await keeper.read())
        except TlsError as error:
            problems.append(f"{keeper.name}: TLS: {error}")
    if problems:
        raise NotReloaded(problems)
    return exchanges


def _opened(before: Config, config: Config) -> list[str]:
    """Why everybody could do more than anybody has written: a file that was emptied, or cut short, must not say that."""
    reasons: list[str] = []
    if before.user and not config.user:
        doors = [one.name for one in config.connector if one.anonymous(False) and not one.anonymous(True)]
        if doors:
            reasons.append(
                f"no [[user]] is left, so that everybody would be let in by {', '.join(doors)}: "
                "restart the gateway if that is meant"
            )
    if before.rule and not config.rule:
        reasons.append(
            "no [[rule]] is left, so that everybody might do everything: write one that allows it, or restart the gateway"
        )
    return reasons


def _differences(before: Config, config: Config) -> list[str]:
    """What is exchanged, in words."""
    parts: list[str] = []
    was = {user.name: user for user in before.user}
    now = {user.name: user for user in config.user}
    if was != now:
        new, gone = len(now.keys() - was.keys()), len(was.keys() - now.keys())
        other = sum(now[name] != was[name] for name in now.keys() & was.keys())
        parts.append(f"{len(now)} users, {new} new, {gone} gone, {other} changed")
    if before.rule != config.rule:
        parts.append(f"{len(config.rule)} rules, which are others")
    return parts


def _counted(found: Reconsidered) -> list[str]:
    """What came of it, in words."""
    return [
        f"{found.logins} connections ended, whose login does not hold any more",
        f"{found.readings} subscriptions ended, which are not allowed any more",
    ]


def changed_keys(used: Config, found: Config) -> list[str]:
    """The keys that have another value in `found`, as a message names them: `core.memory_max`, `connector[mqtt].uri`."""
    keys: list[str] = []
    for name in Config.model_fields:
        if name in RELOADED:
            continue
        here, there = getattr(used, name), getattr(found, name)
        if name != "connector":
            keys += [f"{name}.{key}" for key in _keys(here, there)]
            continue
        old, new = {one.name: one for one in here}, {one.name: one for one in there}
        for one in dict.fromkeys((*old, *new)):
            if one not in old or one not in new:
                keys.append(f"connector[{one}]")
            else:
                keys += [f"connector[{one}].{key}" for key in _keys(old[one], new[one])]
    return keys


def _keys(used: Section, found: Section) -> list[str]:
    """The keys of one section that have another value in `found`."""
    return [key for key in type(used).model_fields if getattr(used, key) != getattr(found, key)]
