"""A store as version 3 wrote it: the queues of subscriptions and sessions get names that nothing else can have.

`version3.sql` is what the gateway wrote when it named them CLIENT/NAME: for the MQTT session `a/b`, the durable
subscriptions `b/c` and `n` of the STOMP client `a` and `z` of `x/y`, the shared one `g` and the queue `q/1`.
"""

from pathlib import Path

import pytest
from store_doubles import SqliteHarness, everything

from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.ports import Authorizer
from gateway.core.queue_key import DURABLE, NAMED, SESSION, SHARED, QueueKey
from gateway.core.router import Broker
from gateway.store import maintenance
from gateway.store.database import Database
from gateway.store.old_keys import new_key
from gateway.store.schema import VERSION, begin

KEYS = {
    1: QueueKey(DURABLE, "a", "b/c").text,
    2: QueueKey(DURABLE, "a", "n").text,
    3: QueueKey(DURABLE, "x/y", "z").text,
    4: QueueKey(SHARED, "g", "t.>").text,
    5: QueueKey(SESSION, "a/b", "").text,
    6: QueueKey(NAMED, "", "q/1").text,
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    database = begin(path, Database, 3)
    for statement in (Path(__file__).parent / "version3.sql").read_text().splitlines():
        database.execute(statement)
    database.close()
    return path


def found_in(path: Path) -> dict[int, str]:
    harness = SqliteHarness(path)
    assert harness.sqlite.damages == []
    found = {queue.number: queue.key for queue in harness.sqlite.recover().queues}
    harness.start()
    harness.close()
    return found


def test_queues_are_renamed_once(old: Path) -> None:
    assert found_in(old) == KEYS
    database = Database(str(old), read_only=True)
    assert database.value("PRAGMA user_version") == VERSION
    database.close()
    assert found_in(old) == KEYS


def test_their_messages_and_what_they_are_bound_to_are_there(old: Path) -> None:
    harness = SqliteHarness(old)
    broker = Broker(harness.store, Authorizer(), CoreLimits(), QueuePolicy())
    broker.recover(harness.sqlite.recover())
    assert {queue.number: queue.key.text for queue in broker.queues.values()} == KEYS
    assert {queue.depth for queue in broker.queues.values()} == {1}
    durable = broker.queues[KEYS[3]]
    assert (durable.key.owner, durable.key.name) == ("x/y", "z")
    assert [str(binding.pattern) for binding in durable.bindings] == ["t.>"]
    harness.start()
    assert [entry.record.endswith(b"old") for entry in harness.load(everything(1))] == [True]
    harness.close()


def test_whoever_looks_at_an_older_store_sees_the_new_names(old: Path) -> None:
    assert [queue.key for queue in maintenance.stats(old).queues] == list(KEYS.values())
    lines = maintenance.why_kept(old)
    assert [line for line in lines if "until the MQTT client a/b fetches them" in line]
    assert len([line for line in lines if "until the durable subscriber fetches them" in line]) == 3


def test_a_backup_of_an_older_store_is_renamed_when_it_is_used(old: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    maintenance.backup(old, copy, lambda done, total: None)
    old.unlink()
    maintenance.restore(old, copy, lambda done, total: None)
    assert found_in(old) == KEYS


def test_names_that_are_new_are_left_as_they_are() -> None:
    """A damaged store may be taken for one of the version before, which had the same tables."""
    assert [text for text in KEYS.values() if new_key(text, b"") is not None] == []


@pytest.mark.parametrize(
    ("text", "note", "key"),
    [
        ("sub:a/b/", b"", QueueKey(SESSION, "a/b", "")),
        ("sub:a/b/", b'[[["t"],null,["s",null,"a"],null]]', QueueKey(DURABLE, "a", "b/")),
        ("sub:a/b/c", b'[[["t"],null,["s",null,"a/b"],null]]', QueueKey(DURABLE, "a/b", "c")),
        ("sub:a/b/c", b'[[["t"],null,["s",null],null]]', QueueKey(DURABLE, "a", "b/c")),
        ("sub:a/b/c", b'[[["t"],null,["s",null,"other"],null]]', QueueKey(DURABLE, "a", "b/c")),
        ("sub:a/b/c", b"damaged", QueueKey(DURABLE, "a", "b/c")),
        ("sub:a", b"", QueueKey(DURABLE, "a", "")),
        ("share:g/a/b.>", b"", QueueKey(SHARED, "g", "a/b.>")),
    ],
)
def test_what_a_durable_subscription_is_bound_to_says_whose_it_is(
    text: str, note: bytes, key: QueueKey
) -> None:
    found = new_key(text, note)
    assert found is not None
    assert (found.kind, found.owner, found.name) == (key.kind, key.owner, key.name)
