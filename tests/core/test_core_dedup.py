"""What a producer says twice under the same key is done once: the window, whose keys they are, and restarts."""

import pytest
from core_messages import message as new_message

from gateway.core.dedup import SPACE, KeyReused, Once, summed
from gateway.core.flow import Publisher
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.message import Message
from gateway.core.once import hold_once, publish_once
from gateway.core.pattern import literal
from gateway.core.ports import Authorizer, Noted
from gateway.core.router import Broker
from gateway.core.transaction import TransactionRefused
from gateway.store.memory import Kept, MemoryStore

NOW_MS = 1_700_000_000_000


class Life:
    """A broker on a store that outlives it; what was not committed is lost."""

    def __init__(self, kept: Kept | None = None, **limits: int) -> None:
        self.kept = kept or Kept()
        self.store = MemoryStore(self.kept, held=True, pages=True)
        self.broker = Broker(self.store, Authorizer(), CoreLimits(**limits), QueuePolicy())
        self.store.listener = self.broker
        self.broker.recover(self.store.recover())
        self.broker.now_ms = NOW_MS

    def say(
        self, key: str, text: bytes = b"x", who: Publisher | None = None, persistent: bool = True
    ) -> bool:
        """Send once; was it a repetition?"""
        broker = self.broker
        once = broker.dedup.once(who or someone("u"), key, summed([text]))
        message = new_message(broker, "q", text, persistent=persistent)
        return publish_once(broker, once, [message], None).repeated

    @property
    def depth(self) -> int:
        return self.broker.queues["queue:q"].depth

    def next(self, **limits: int) -> "Life":
        """After a crash."""
        return Life(self.kept, **limits)


def someone(user: str | None, client_id: str = "", address: str = "") -> Publisher:
    publisher = Publisher("p", None)
    publisher.user = user
    publisher.client_id = client_id
    publisher.address = address
    return publisher


def test_what_is_said_again_is_not_done_again() -> None:
    life = Life()
    assert [life.say("k"), life.say("k"), life.say("l")] == [False, True, False]
    assert life.depth == 2
    assert life.broker.counters.repeated == 1


def test_a_repetition_has_the_number_of_the_first_message_and_its_position() -> None:
    life = Life()
    broker = life.broker
    outcomes = [
        publish_once(
            broker,
            broker.dedup.once(someone("u"), "k", summed([])),
            [new_message(broker, persistent=True)],
            None,
        )
        for _ in range(2)
    ]
    assert outcomes[0].message == outcomes[1].message > 0
    # Both wait for the message and for its key.
    assert outcomes[0].position == outcomes[1].position == life.store.position > life.store.durable


@pytest.mark.parametrize("before", [True, False])
def test_a_transaction_that_repeats_what_is_not_safe_yet_is_safe_when_that_is(before: bool) -> None:
    life = Life()
    broker = life.broker

    def once() -> tuple[Once, list[Message]]:
        return broker.dedup.once(someone("u"), "k", summed([])), [new_message(broker, persistent=True)]

    transaction = broker.transaction()
    if before:
        position = publish_once(broker, *once(), None).position
    hold_once(broker, transaction, *once(), None)
    if not before:
        # Somebody else does it before the commit.
        position = publish_once(broker, *once(), None).position
    assert transaction.commit() == position > life.store.durable
    assert life.depth == 1


def test_a_key_means_one_thing() -> None:
    life = Life()
    life.say("k", b"x")
    with pytest.raises(KeyReused, match="something else"):
        life.say("k", b"y")
    assert life.depth == 1


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_what_cannot_be_a_key(key: str) -> None:
    with pytest.raises(KeyReused, match="1 to 255"):
        Life().say(key)


def test_keys_of_255_characters() -> None:
    life = Life()
    assert not life.say("é" * 255)
    assert life.say("é" * 255)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (someone("u"), someone("v")),
        (someone("u"), someone(None)),
        (someone("u", "c"), someone("u", "d")),
        (someone(None, "u"), someone("u")),
        (someone(None, "", "192.0.2.1"), someone(None, "", "192.0.2.2")),
        (someone("ab", "c"), someone("a", "bc")),
    ],
)
def test_a_key_is_its_producers_own(one: Publisher, other: Publisher) -> None:
    life = Life()
    assert [life.say("k", b"x", one), life.say("k", b"y", other)] == [False, False]
    assert [life.say("k", b"x", one), life.say("k", b"y", other)] == [True, True]


def test_who_has_a_name_may_come_from_anywhere() -> None:
    life = Life()
    assert not life.say("k", b"x", someone("u", "", "192.0.2.1"))
    assert life.say("k", b"x", someone("u", "", "192.0.2.2"))


def test_the_window_is_one_of_time() -> None:
    life = Life(dedup_window_ms=1_000)
    life.say("k")
    life.broker.now_ms += 999
    assert life.say("k")
    life.broker.now_ms += 1
    assert not life.say("k")
    assert life.broker.dedup.count == 1
    life.broker.tick(life.broker.now_ms + 1_000)
    assert life.broker.dedup.count == 0


def test_the_window_is_one_of_count() -> None:
    life = Life(dedup_keys_max=3)
    for n in range(4):
        life.say(str(n))
    assert life.broker.dedup.count == 3
    assert [life.say("3"), life.say("1"), life.say("0")] == [True, True, False]


def test_a_producer_of_many_keys_crowds_out_its_own() -> None:
    life = Life(dedup_keys_max=10, dedup_keys_per_producer_max=3)
    life.say("k", b"x", someone("quiet"))
    for n in range(20):
        life.say(str(n), b"x", someone("loud"))
    assert life.say("k", b"x", someone("quiet"))
    assert [life.say("19", b"x", someone("loud")), life.say("16", b"x", someone("loud"))] == [True, False]


def test_a_key_is_safe_with_its_message_and_lost_with_it() -> None:
    life = Life()
    life.say("k")
    # Neither had been committed.
    life = life.next()
    assert not life.say("k")
    life.store.commit()
    life = life.next()
    assert life.say("k")
    assert life.depth == 1
    with pytest.raises(KeyReused):
        life.say("k", b"y")


def test_the_window_ends_over_a_restart_too() -> None:
    life = Life(dedup_window_ms=1_000)
    life.say("k")
    life.store.commit()
    life = life.next(dedup_window_ms=1_000)
    life.broker.now_ms += 1_000
    assert not life.say("k")


def test_what_is_not_stored_is_not_remembered_over_a_restart() -> None:
    life = Life()
    life.say("k", persistent=False)
    assert life.say("k", persistent=False)
    life.store.commit()
    assert not life.next().say("k", persistent=False)


def test_where_a_queue_confirms_at_once_its_keys_are_stored_all_the_same() -> None:
    life = Life()
    life.broker.asynchronous = [literal("q")]
    once = life.broker.dedup.once(someone("u"), "k", summed([b"x"]))
    outcome = publish_once(life.broker, once, [new_message(life.broker, persistent=True)], None)
    assert outcome.position == 0
    life.store.commit()
    assert life.next().say("k")


def test_forgotten_keys_leave_the_store() -> None:
    life = Life(dedup_window_ms=1_000)
    life.say("k")
    life.store.commit()
    assert len(life.store.recover().notes[SPACE]) == 1
    life.broker.tick(NOW_MS + 1_000)
    life.store.commit()
    assert not life.store.recover().notes.get(SPACE)


def test_more_keys_than_a_new_configuration_allows_are_forgotten_oldest_first() -> None:
    life = Life()
    for n in range(5):
        life.say(str(n))
        life.broker.now_ms += 1
    life.store.commit()
    life = life.next(dedup_keys_max=2)
    assert life.broker.dedup.count == 2
    assert [life.say("3"), life.say("4")] == [True, True]


def test_a_note_that_cannot_be_read_is_set_aside() -> None:
    life = Life()
    life.store.append(Noted(SPACE, "no hex", b"x" * 48))
    life.store.append(Noted(SPACE, "00" * 16, b"short"))
    life.store.commit()
    assert life.next().broker.aside.count == 2


def test_what_the_store_could_not_keep_is_not_done() -> None:
    life = Life()
    life.say("k")
    note = Noted(SPACE, next(iter(life.broker.dedup._done)).hex(), b"value")
    life.broker.on_refused(note, "a bug")
    assert not life.say("k")


def test_what_is_refused_may_be_tried_again_under_its_key() -> None:
    life = Life()
    life.store.accepting = False
    with pytest.raises(TransactionRefused):
        life.say("k")
    life.store.accepting = True
    assert not life.say("k")


# -- in transactions


def test_a_key_counts_from_the_commit_on() -> None:
    life = Life()
    broker = life.broker
    transaction = broker.transaction()
    once = broker.dedup.once(someone("u"), "k", summed([b"x"]))
    hold_once(broker, transaction, once, [new_message(broker, persistent=True)], None)
    # Said twice in one transaction, it is a part of it once.
    hold_once(broker, transaction, once, [new_message(broker, persistent=True)], None)
    transaction.abort()
    assert not life.say("k")
    transaction = broker.transaction()
    hold_once(
        broker,
        transaction,
        broker.dedup.once(someone("u"), "l", summed([b"x"])),
        [new_message(broker, persistent=True)],
        None,
    )
    transaction.commit()
    assert life.say("l")
    assert life.depth == 2


def test_what_another_connection_has_done_meanwhile_is_left_out_of_the_commit() -> None:
    life = Life()
    broker = life.broker
    transaction = broker.transaction()
    once = broker.dedup.once(someone("u"), "k", summed([b"x"]))
    hold_once(broker, transaction, once, [new_message(broker, persistent=True)], None)
    transaction.publish(new_message(broker, "q", b"other", persistent=True))
    life.say("k")
    transaction.commit()
    assert life.depth == 2


def test_a_key_that_means_something_else_meanwhile_undoes_the_transaction() -> None:
    life = Life()
    broker = life.broker
    transaction = broker.transaction()
    hold_once(
        broker,
        transaction,
        broker.dedup.once(someone("u"), "k", summed([b"x"])),
        [new_message(broker, persistent=True)],
        None,
    )
    life.say("k", b"y")
    with pytest.raises(TransactionRefused, match="something else"):
        transaction.commit()
    assert life.depth == 1


def test_of_each_producer_no_more_keys_are_taken_up_than_a_new_configuration_allows() -> None:
    life = Life()
    life.say("k", b"x", someone("quiet"))
    for n in range(5):
        life.broker.now_ms += 1
        life.say(str(n), b"x", someone("loud"))
    life.store.commit()
    life = life.next(dedup_keys_per_producer_max=2)
    assert life.broker.dedup.count == 3
    life.store.commit()
    assert len(life.store.recover().notes[SPACE]) == 3
    assert [life.say(str(n), b"x", someone("loud")) for n in (4, 3)] == [True, True]
    assert life.say("k", b"x", someone("quiet"))
