"""A group that stays open over several turns: whatever happens meanwhile, all of it is kept or nothing."""

from pathlib import Path

from store_doubles import SqliteHarness, everything, make, put, sequences

from gateway.core.ports import Noted


def test_what_came_before_is_committed_meanwhile_and_what_others_append_with_the_group(
    tmp_path: Path,
) -> None:
    harness = SqliteHarness(tmp_path / "store.db")
    harness.store.recover()
    harness.start()
    make(harness.store, 1, 2)
    before = put(harness.store, 1, 1)
    harness.store.begin()
    put(harness.store, 1, 2)
    harness.until(lambda: harness.store.durable >= before)
    others = harness.store.append(Noted("space", "key", b"value"))
    put(harness.store, 1, 3)
    harness.loop.turn_out()
    assert harness.store.durable == before
    harness.store.end()
    harness.until(lambda: harness.store.durable >= others)
    assert harness.store.durable == harness.store.position
    assert sequences(harness.load(everything(1))) == [1, 2, 3]
    harness.close()


def test_a_page_that_is_asked_for_meanwhile_holds_all_of_the_group(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "store.db")
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1)
    harness.store.begin()
    put(harness.store, 1, 2)
    harness.store.load(everything(1))
    harness.loop.turn_out()
    assert harness.listener.pages == []
    put(harness.store, 1, 3)
    harness.store.end()
    harness.until(lambda: len(harness.listener.pages) > 0)
    assert sequences(harness.listener.pages.pop()) == [1, 2, 3]
    harness.close()


def test_a_store_that_is_closed_before_a_group_is_whole_keeps_nothing_of_it(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path / "store.db")
    harness.store.recover()
    harness.start()
    make(harness.store, 1)
    put(harness.store, 1, 1)
    harness.store.begin()
    put(harness.store, 1, 2)
    harness.reopen()
    harness.store.recover()
    harness.start()
    assert sequences(harness.load(everything(1))) == [1]
    harness.close()
