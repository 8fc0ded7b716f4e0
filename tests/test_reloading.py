"""Reload in a running gateway: users, rules, [pki] and TLS files at once, or nothing of it; who lost by it is sent away."""

import asyncio
import gc
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import Config, ConfigError
from gateway.connectors.reconsidering import Reconsidering
from gateway.net.tls import TlsError
from gateway.pki.folder import Folder, Plan
from gateway.reloading import NotReloaded, changed_keys
from gateway.security.passwords import hash_password

HASH = {name: hash_password(name) for name in ("ann", "bob", "eve")}
ALL = {"allow": ["publish", "subscribe"], "users": ["*"], "destinations": ["topic:>", "queue:>"]}


def config(*users: str, rules: object = (ALL,), **sections: object) -> Config:
    values: dict[str, object] = {
        "connector": [{"name": "s", "uri": "stomp://127.0.0.1:0", "allow_anonymous": not users}],
        "admin": {"enabled": False},
        "store": {"path": ""},
        "user": [{"name": name, "hash": HASH[name]} for name in users],
        "rule": rules if users else (),
    }
    return Config.model_validate(values | sections)


class Stomp:
    """A client that has tried to connect."""

    def __init__(self, gateway: Gateway) -> None:
        self._port = gateway.listeners[0].port
        self.said = b""

    async def open(self, login: str | None = None, *frames: bytes) -> "Stomp":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        who = "" if login is None else f"login:{login}\npasscode:{login}\n"
        self._writer.write(f"CONNECT\naccept-version:1.2\nhost:x\n{who}\n\0".encode() + b"".join(frames))
        self.said = await self._reader.readuntil(b"\0\n")
        return self

    async def frame(self) -> bytes:
        async with asyncio.timeout(10):
            return await self._reader.readuntil(b"\0\n")

    def close(self) -> None:
        self._writer.close()


class File:
    """What a configuration file says: a Config, or mistakes."""

    def __init__(self, first: Config) -> None:
        self.now: Config | list[str] = first

    def read(self) -> Config:
        if isinstance(self.now, list):
            raise ConfigError(self.now)
        return self.now


async def test_users_who_are_gone_or_have_another_password_are_sent_away_and_the_others_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    file = File(config("ann", "bob", "eve"))
    async with Gateway(file.read(), file.read) as gateway:
        ann, bob, eve = [await Stomp(gateway).open(name) for name in ("ann", "bob", "eve")]
        users = [{"name": "ann", "hash": HASH["ann"]}, {"name": "bob", "hash": hash_password("another")}]
        file.now = config("ann", "bob", user=users)
        line = await gateway.reloading.ask()
        assert "2 users, 0 new, 1 gone, 1 changed" in line
        assert "2 connections ended" in line
        assert [record.getMessage() for record in caplog.records if "reloaded" in record.getMessage()] == [
            f"reloaded: {line}"
        ]
        for client in (bob, eve):
            assert b"the login does not hold any more" in await client.frame()
        ann._writer.write(b"SEND\ndestination:/queue/q\nreceipt:r\n\nx\0")
        assert (await ann.frame()).startswith(b"RECEIPT")
        assert (await Stomp(gateway).open("eve")).said.startswith(b"ERROR")
        assert (await Stomp(gateway).open("bob")).said.startswith(b"ERROR")
        assert HASH["bob"] not in caplog.text


async def test_where_everybody_was_believed_users_end_whoever_has_only_claimed_a_name() -> None:
    everybody = [{"name": "s", "uri": "stomp://127.0.0.1:0"}]
    file = File(config(connector=everybody))
    async with Gateway(file.read(), file.read) as gateway:
        claims = await Stomp(gateway).open("ann")
        nobody = await Stomp(gateway).open()
        assert nobody.said.startswith(b"CONNECTED")
        file.now = config("ann", connector=everybody)
        await gateway.reloading.ask()
        assert b"does not hold" in await claims.frame()
        assert b"does not hold" in await nobody.frame()
        # On loopback anonymous clients were welcome only while there were no users.
        assert (await Stomp(gateway).open()).said.startswith(b"ERROR")
        assert (await Stomp(gateway).open("ann")).said.startswith(b"CONNECTED")


async def test_a_password_that_is_being_checked_while_it_is_exchanged_is_not_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = File(config("ann"))
    async with Gateway(file.read(), file.read) as gateway:
        answers: list[Callable[[bool], None]] = []
        monkeypatch.setattr(
            gateway.guard._checks, "check", lambda name, hash, secret, answer: answers.append(answer)
        )
        coming = asyncio.ensure_future(Stomp(gateway).open("ann"))
        async with asyncio.timeout(10):
            while not answers:
                await asyncio.sleep(0.002)
        file.now = config("bob")
        await gateway.reloading.ask()
        answers[0](True)
        assert (await coming).said.startswith(b"ERROR")


class Broken:
    """Stands for the TLS of a listener whose certificate is gone."""

    name = "s"

    async def read(self) -> Callable[[], None]:
        raise TlsError("broker.crt: no such file")

    def tick(self, now_s: int) -> None:
        """Nothing is looked at."""


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (["gateway.toml: unknown key user.nam", "another"], "unknown key user.nam; another"),
        # In the file it listens on loopback, where nobody needs a name; what is open does not.
        (config(), "with the connectors that are open: connector[s].uri = 'stomp://0.0.0.0:0'"),
        (config("bob"), "s: TLS: broker.crt: no such file"),
    ],
)
async def test_nothing_is_taken_over_where_anything_is_wrong(
    now: Config | list[str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = File(config("ann", connector=[{"name": "s", "uri": "stomp://0.0.0.0:0"}]))
    async with Gateway(file.read(), file.read) as gateway:
        ann = await Stomp(gateway).open("ann")
        file.now = now
        if "TLS" in why:
            gateway.listeners[0].keeper = Broken()  # type: ignore[assignment]
        with pytest.raises(NotReloaded, match=re.escape(why)) as caught:
            await gateway.reloading.ask()
        gateway.listeners[0].keeper = None
        assert f"not reloaded, all stays as it was: {caught.value}" in caplog.text
        assert (await Stomp(gateway).open("ann")).said.startswith(b"CONNECTED")
        assert (await Stomp(gateway).open("bob")).said.startswith(b"ERROR")
        ann._writer.write(b"SEND\ndestination:/queue/q\nreceipt:r\n\nx\0")
        assert (await ann.frame()).startswith(b"RECEIPT")


FOR_ALL = {"allow": ["publish", "subscribe"], "destinations": ["topic:>", "queue:>"]}
LOOPBACK = [{"name": "s", "uri": "stomp://127.0.0.1:0"}]


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (config(connector=LOOPBACK, user=[]), "no [[user]] is left, so that everybody would be let in by s"),
        (config(connector=LOOPBACK, user=[]), "no [[rule]] is left, so that everybody might do everything"),
        (config("ann", connector=LOOPBACK, rule=[]), "no [[rule]] is left"),
    ],
)
async def test_a_file_that_was_emptied_or_cut_short_lets_nobody_in_and_allows_nothing(
    now: Config, why: str
) -> None:
    file = File(config("ann", connector=LOOPBACK))
    async with Gateway(file.read(), file.read) as gateway:
        file.now = now
        with pytest.raises(NotReloaded, match=re.escape(why)):
            await gateway.reloading.ask()
        assert (await Stomp(gateway).open()).said.startswith(b"ERROR")
        assert (await Stomp(gateway).open("eve")).said.startswith(b"ERROR")
        assert (await Stomp(gateway).open("ann")).said.startswith(b"CONNECTED")


async def test_where_everybody_is_let_in_anyway_the_last_user_may_go() -> None:
    everybody = [{"name": "s", "uri": "stomp://127.0.0.1:0", "allow_anonymous": True}]
    file = File(config("ann", connector=everybody))
    async with Gateway(file.read(), file.read) as gateway:
        file.now = config(connector=everybody, user=[], rule=[FOR_ALL])
        assert "0 users, 0 new, 1 gone" in await gateway.reloading.ask()
        assert (await Stomp(gateway).open()).said.startswith(b"CONNECTED")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "certs")
    made.init(Plan())
    return made


async def fetched(address: tuple[str, int], path: str) -> int:
    """The status that is answered there; 0 where nobody listens any more."""
    try:
        reader, writer = await asyncio.open_connection(*address)
    except ConnectionRefusedError:
        return 0
    writer.write(f"GET {path} HTTP/1.1\r\nHost: pki\r\n\r\n".encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return int(answer.split()[1])


async def test_the_pki_folder_is_looked_after_and_published_from_a_reload_on(folder: Folder) -> None:
    folder.crl_path("intermediate-ca").unlink()
    file = File(config())
    async with Gateway(file.read(), file.read) as gateway:
        pki = {"dir": folder.path, "uri": "http://127.0.0.1:0", "renew_lists": True}
        file.now = config(pki=pki)
        line = await gateway.reloading.ask()
        assert "[pki] with another dir, renew_lists, uri" in line
        assert "restart" not in line
        assert gateway.keeping.server is not None
        first = ("127.0.0.1", gateway.keeping.server.port)
        async with asyncio.timeout(10):
            while not folder.crl_path("intermediate-ca").exists():
                await asyncio.sleep(0.01)
        assert await fetched(first, "/intermediate-ca.crl") == 200
        assert await fetched(first, "/ocsp") == 404
        # The address is the same: it stays open, and answers otherwise.
        file.now = config(pki=pki | {"ocsp": True})
        assert "[pki] with another ocsp" in await gateway.reloading.ask()
        assert await fetched(first, "/ocsp") == 200
        file.now = config(pki=pki | {"uri": "http://localhost:0"})
        assert "[pki] with another uri, ocsp" in await gateway.reloading.ask()
        assert await fetched(("localhost", gateway.keeping.server.port), "/intermediate-ca.crl") == 200
        async with asyncio.timeout(10):
            while await fetched(first, "/intermediate-ca.crl"):
                await asyncio.sleep(0.01)
        file.now = config()
        await gateway.reloading.ask()
        assert gateway.keeping.server is None


async def test_an_address_of_pki_that_is_taken_leaves_all_as_it_was(folder: Folder) -> None:
    pki = {"dir": folder.path, "uri": "http://127.0.0.1:0"}
    file = File(config("ann", pki=pki))
    async with Gateway(file.read(), file.read) as gateway:
        assert gateway.keeping.server is not None
        address = ("127.0.0.1", gateway.keeping.server.port)
        taken = gateway.listeners[0].port
        file.now = config("bob", pki=pki | {"uri": f"http://127.0.0.1:{taken}"})
        with pytest.raises(NotReloaded, match=r"pki\.uri = 'http://127\.0\.0\.1:.*in use"):
            await gateway.reloading.ask()
        assert await fetched(address, "/intermediate-ca.crl") == 200
        assert (await Stomp(gateway).open("ann")).said.startswith(b"CONNECTED")


async def test_keys_for_which_a_restart_is_needed_are_named() -> None:
    file = File(config("ann"))
    async with Gateway(file.read(), file.read) as gateway:
        file.now = config("ann", core={"separators_max": 7}, log={"level": "debug"})
        line = await gateway.reloading.ask()
        assert "a restart is needed for core.separators_max, log.level" in line
        assert "users and rules are as they were" in line


def test_connectors_that_differ_are_named_by_their_key() -> None:
    one = config(
        connector=[{"name": "a", "uri": "mqtt://127.0.0.1:0"}, {"name": "b", "uri": "ws://127.0.0.1:0"}]
    )
    two = config(
        connector=[{"name": "a", "uri": "mqtt://127.0.0.1:1"}, {"name": "c", "uri": "ws://127.0.0.1:0"}]
    )
    assert changed_keys(one, two) == ["connector[a].uri", "connector[b]", "connector[c]"]
    assert changed_keys(one, one) == []


class Faulty:
    """Stands for a service that does not know who reads."""

    def readers(self) -> object:
        raise RuntimeError("a bug")


async def test_a_bug_while_clients_are_asked_again_is_logged_and_leaves_nothing_to_the_collector(
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = File(config("ann"))
    async with Gateway(file.read(), file.read) as gateway:
        gateway.reloading.services = {"faulty": Faulty()}  # type: ignore[dict-item]
        file.now = config("ann", "bob")
        gc.collect()
        gc.disable()
        try:
            assert "2 users, 1 new" in await gateway.reloading.ask()
            assert "internal error while clients were asked again" in caplog.text
            caplog.clear()
            left = [one for one in gc.get_objects() if isinstance(one, Reconsidering)]
        finally:
            gc.enable()
        assert not left


async def test_who_asks_while_others_wait_shares_their_turn() -> None:
    file = File(config("ann"))
    async with Gateway(file.read(), file.read) as gateway:
        first = gateway.reloading.ask()
        await asyncio.sleep(0)
        second, third = gateway.reloading.ask(), gateway.reloading.ask()
        assert second is third
        assert first is not second
        await asyncio.gather(first, second)


async def test_a_stop_ends_what_is_being_reloaded() -> None:
    file = File(config("ann"))
    async with Gateway(file.read(), file.read) as gateway:
        task = gateway.reloading.ask()
    with pytest.raises(asyncio.CancelledError):
        await task
