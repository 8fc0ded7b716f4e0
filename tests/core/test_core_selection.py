"""Consumers with selectors and exclusive consumers of one queue: who gets what, in which order, at which cost."""

import pytest
from core_doubles import LogOutlet, needs_outlet
from core_messages import message
from core_queues import broker_with, waiting_ids
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway.core.selector
from gateway.core.credit import Credit
from gateway.core.delivery import ACCEPTED, FAILED, RELEASED
from gateway.core.limits import DROP_OLDEST, REJECT, QueuePolicy
from gateway.core.message import Fields, Message
from gateway.core.purging import purge
from gateway.core.queue import Queue
from gateway.core.queue_key import DURABLE, QueueKey
from gateway.core.roster import Roster
from gateway.core.router import Broker
from gateway.core.selection import LOOKS_A_STEP, LOOKS_AT_ONCE
from gateway.core.selector_parser import parse_selector
from gateway.core.subscription import Binding, Consumer
from gateway.core.transaction import TransactionRefused

pytestmark = needs_outlet


def coloured(broker: Broker, queue: Queue, colour: str, *, priority: int = -1, expires_at_ms: int = 0) -> int:
    """Put a message with this colour into the queue; its id."""
    made = message(broker, "q", priority=priority, expires_at_ms=expires_at_ms)
    fields = Fields()
    fields.properties = [("colour", colour)]
    made._fields = fields
    queue.offer(made)
    return made.id


def wants(
    queue: Queue, outlet: "LogOutlet", text: str | None, credit: int = 100, *, exclusive: bool = False
) -> Consumer:
    """Attach a consumer with this selector."""
    selector = None if text is None else parse_selector(text, 4096, 64, False)
    consumer = Consumer(queue, outlet, Credit(credit), False, None, selector, exclusive)
    queue.attach(consumer)
    return consumer


def test_consumer_gets_only_what_it_selects_whatever_stands_before() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    blue = [coloured(broker, queue, "blue") for _ in range(2)]
    red = [coloured(broker, queue, "red")]
    outlet = LogOutlet()
    wants(queue, outlet, "colour = 'red'")
    red.append(coloured(broker, queue, "red"))
    blue.append(coloured(broker, queue, "blue"))
    assert outlet.ids == red
    assert waiting_ids(queue) == blue
    assert (queue.waiting, queue.depth) == (3, 5)


def test_what_nobody_selects_waits_for_who_takes_everything() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    picky, other = LogOutlet(), LogOutlet()
    wants(queue, picky, "colour = 'red'")
    ids = [coloured(broker, queue, colour) for colour in ("blue", "red", "green")]
    assert picky.ids == [ids[1]]
    wants(queue, other, None)
    assert other.ids == [ids[0], ids[2]]
    assert queue.waiting == 0


def test_selecting_and_other_consumers_share_in_turn() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    picky, other = LogOutlet(), LogOutlet()
    wants(queue, picky, "colour = 'red'")
    wants(queue, other, None)
    ids = [coloured(broker, queue, "red") for _ in range(4)]
    assert picky.ids == [ids[0], ids[2]]
    assert other.ids == [ids[1], ids[3]]


def test_what_comes_back_takes_its_old_place_for_every_kind_of_consumer() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    picky = LogOutlet()
    first = wants(queue, picky, "colour = 'red'", 1)
    ids = [coloured(broker, queue, colour) for colour in ("blue", "red", "red", "blue")]
    assert picky.ids == [ids[1]]
    queue.detach(first)
    picky.open[0].settle(FAILED)
    assert waiting_ids(queue) == ids
    everything = LogOutlet()
    wants(queue, everything, None)
    assert everything.ids == ids


def test_selector_may_ask_for_redelivered_messages() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    plain, second = LogOutlet(), LogOutlet()
    consumer = wants(queue, plain, "JMSRedelivered = FALSE", 1)
    wants(queue, second, "JMSRedelivered = TRUE")
    one = coloured(broker, queue, "red")
    assert (plain.ids, second.ids) == ([one], [])
    queue.detach(consumer)
    plain.open[0].settle(FAILED)
    assert second.ids == [one]


@pytest.mark.parametrize("outcome", [FAILED, RELEASED])
def test_what_another_consumer_has_had_is_no_first_delivery_any_more(outcome: int) -> None:
    broker = broker_with()
    queue = broker.queue("q")
    reds, firsts = LogOutlet(), LogOutlet()
    red = wants(queue, reds, "colour = 'red'", 1)
    first = wants(queue, firsts, "JMSRedelivered = FALSE", 0)
    one = coloured(broker, queue, "red")
    queue.detach(red)
    reds.open[0].returned = True
    reds.open[0].settle(outcome)
    first.credit.give(5)
    assert firsts.ids == []
    assert waiting_ids(queue) == [one]
    two = coloured(broker, queue, "red")
    assert firsts.ids == [two]


def test_higher_priority_goes_first_among_what_is_selected() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    low = coloured(broker, queue, "red", priority=1)
    coloured(broker, queue, "blue", priority=9)
    high = coloured(broker, queue, "red", priority=8)
    outlet = LogOutlet()
    wants(queue, outlet, "colour = 'red'")
    assert outlet.ids == [high, low]


def test_expired_messages_are_not_selected_but_buried() -> None:
    broker = broker_with(policy=QueuePolicy(dead_letters="DLQ"))
    broker.now_ms = 1_000
    queue = broker.queue("q")
    coloured(broker, queue, "red", expires_at_ms=2_000)
    live = coloured(broker, queue, "red")
    broker.now_ms = 3_000
    outlet = LogOutlet()
    wants(queue, outlet, "colour = 'red'")
    assert outlet.ids == [live]
    assert (broker.counters.expired, broker.queue("DLQ").depth) == (1, 1)


def test_full_queue_drops_its_oldest_though_some_are_taken_from_its_middle() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=3, when_full=DROP_OLDEST))
    queue = broker.queue("q")
    outlet = LogOutlet()
    wants(queue, outlet, "colour = 'red'", 1)
    ids = [coloured(broker, queue, colour) for colour in ("blue", "red", "blue", "green", "green")]
    assert waiting_ids(queue) == ids[3:]
    assert queue.depth == 3


def test_purge_and_deletion_leave_no_selection_behind() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    outlet = LogOutlet()
    consumer = wants(queue, outlet, "colour = 'red'", 0)
    coloured(broker, queue, "red")
    assert purge(queue).count == 1
    consumer.credit.give(5)
    assert outlet.ids == []
    broker.delete_queue(queue)
    assert queue.consumers_count == 0
    assert queue.selections is None


def test_without_selecting_consumers_nothing_is_kept_for_them() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    consumers = [wants(queue, LogOutlet(), "colour = 'red'") for _ in range(2)]
    assert queue.selections is not None
    assert len(queue.selections._by_text) == 1
    for consumer in consumers:
        queue.detach(consumer)
    assert queue.selections is None


def test_each_message_is_looked_at_once_however_often_consumers_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    named = gateway.core.selector.Subject.named

    def counting(self: gateway.core.selector.Subject, name: str) -> object:
        nonlocal looked
        looked += 1
        return named(self, name)

    monkeypatch.setattr(gateway.core.selector.Subject, "named", counting)
    broker = broker_with()
    queue = broker.queue("q")
    outlet = LogOutlet()
    consumer = wants(queue, outlet, "colour LIKE 'red'", 1)
    for _ in range(500):
        coloured(broker, queue, "blue")
    for _ in range(500):
        coloured(broker, queue, "red")
    for _ in range(500):
        outlet.open.pop().settle(ACCEPTED)
        consumer.credit.wake()
    assert len(outlet.ids) == 500
    assert looked == 1_000


def test_messages_taken_and_released_again_and_again_do_not_pile_up() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    busy = LogOutlet()
    wants(queue, LogOutlet(), "colour = 'red'", 0)
    taker = wants(queue, busy, None, 0)
    one = coloured(broker, queue, "red")
    for _ in range(2_000):
        taker.credit.available = 0
        taker.credit.give(1)
        taker.credit.available = -1
        busy.open.pop().settle(RELEASED)
    assert waiting_ids(queue) == [one]
    assert queue.selections is not None
    [selection] = queue.selections._by_text.values()
    assert selection._entries.count < 100


def test_subscription_queue_takes_in_only_what_its_binding_selects() -> None:
    broker = broker_with()
    queue = broker.bound_queue(QueueKey(DURABLE, "c", "n"), broker.policy)
    from core_messages import pattern

    binding = Binding(pattern("t"), queue)
    binding.selector = parse_selector("JMSPriority > 5", 4096, 64, False)
    broker.bind_queue(queue, binding)
    topic = broker.topics.topic("t")
    broker.publish(message(broker, "t", priority=3), topic)
    broker.publish(message(broker, "t", priority=8), topic)
    assert queue.depth == 1


# -- very many selectors


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the selectors that are asked from now on, one for each question."""
    asked: list[str] = []
    matches = gateway.core.selector.Selector.matches

    def counting(
        self: gateway.core.selector.Selector, message: Message, failures: int = 0, redelivered: bool = False
    ) -> bool:
        asked.append(self.text)
        return matches(self, message, failures, redelivered)

    monkeypatch.setattr(gateway.core.selector.Selector, "matches", counting)
    return asked


def test_of_a_thousand_selectors_only_those_are_asked_whose_equality_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = broker_with()
    queue = broker.queue("q")
    outlets = [LogOutlet() for _ in range(1_000)]
    for number, outlet in enumerate(outlets):
        wants(queue, outlet, f"colour = '{number}'")
    asked = counted(monkeypatch)
    ids = [coloured(broker, queue, str(number)) for number in (7, 999, 7)]
    assert asked == ["colour = '7'", "colour = '999'", "colour = '7'"]
    assert outlets[7].ids == [ids[0], ids[2]]
    assert outlets[999].ids == [ids[1]]


def test_who_has_nothing_to_do_is_not_looked_at_for_each_message(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = broker_with()
    queue = broker.queue("q")
    outlets = [LogOutlet() for _ in range(1_000)]
    for number, outlet in enumerate(outlets):
        wants(queue, outlet, f"colour = '{number}'")
    coloured(broker, queue, "nobody's")
    turns = 0
    next_ready = Roster.next_ready

    def counting(self: Roster) -> Consumer | None:
        nonlocal turns
        turns += 1
        return next_ready(self)

    monkeypatch.setattr(Roster, "next_ready", counting)
    for number in range(500):
        coloured(broker, queue, str(number))
    assert [len(outlet.ids) for outlet in outlets] == [1] * 500 + [0] * 500
    # One turn to take, one to find that there is no more, and one to see that nobody else is in turn.
    assert turns <= 3 * 500


def test_selectors_that_must_all_be_asked_are_asked_some_a_turn_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = broker_with()
    queue = broker.queue("q")
    outlets = [LogOutlet() for _ in range(10 * LOOKS_AT_ONCE)]
    for number, outlet in enumerate(outlets):
        wants(queue, outlet, f"colour LIKE '%' AND {number} = {number}", 1)
    broker.chores.driven_by(lambda: None)
    asked = counted(monkeypatch)
    ids = [coloured(broker, queue, "red") for _ in range(4)]
    assert asked == []
    while broker.chores:
        before = len(asked)
        broker.chores.step()
        assert len(asked) - before <= LOOKS_A_STEP
    # Each message has gone to somebody as soon as one wanted it, and nobody is asked about what is gone.
    assert len(asked) < len(outlets)
    assert sorted(id for outlet in outlets for id in outlet.ids) == ids
    assert queue.waiting == 0


def test_a_new_selector_looks_through_what_waits_some_a_turn_and_nothing_newer_overtakes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = broker_with()
    queue = broker.queue("q")
    ids = [coloured(broker, queue, colour) for colour in ("red", "blue") * 500]
    broker.chores.driven_by(lambda: None)
    asked = counted(monkeypatch)
    outlet, other = LogOutlet(), LogOutlet()
    wants(queue, outlet, "colour = 'red'", 10_000)
    wants(queue, other, "colour = 'green'", 10_000)
    ids.append(coloured(broker, queue, "red"))
    green = coloured(broker, queue, "green")
    assert len(asked) <= LOOKS_A_STEP + 2
    assert outlet.ids == []
    while broker.chores:
        before = len(asked)
        broker.chores.step()
        assert len(asked) - before <= LOOKS_A_STEP
    assert outlet.ids == [id for place, id in enumerate(ids) if place % 2 == 0]
    assert other.ids == [green]
    assert len(asked) <= 2 * 1_000 + 2


def test_selectors_whose_consumers_leave_meanwhile_are_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = broker_with()
    queue = broker.queue("q")
    for _ in range(1_000):
        coloured(broker, queue, "blue")
    broker.chores.driven_by(lambda: None)
    stays = LogOutlet()
    gone = [wants(queue, LogOutlet(), f"colour = '{number}'") for number in range(50)]
    wants(queue, stays, "colour = 'red'")
    for consumer in gone:
        queue.detach(consumer)
    one = coloured(broker, queue, "red")
    asked = counted(monkeypatch)
    broker.chores.finish()
    assert set(asked) == {"colour = 'red'"}
    assert stays.ids == [one]


def test_what_is_selected_for_one_that_cannot_take_it_goes_to_another_with_the_same_selector() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    first, second, third = LogOutlet(), LogOutlet(), LogOutlet()
    consumer = wants(queue, first, "colour = 'red'", 1)
    wants(queue, second, "colour = 'red'", 1)
    coloured(broker, queue, "blue")
    # Both rest; each is called by one message, and has no credit for a second.
    ids = [coloured(broker, queue, "red") for _ in range(3)]
    assert (first.ids, second.ids) == ([ids[0]], [ids[1]])
    wants(queue, third, "colour = 'red'", 1)
    assert third.ids == [ids[2]]
    queue.detach(consumer)
    first.open[0].settle(RELEASED)
    second.open[0].settle(ACCEPTED)
    assert second.ids == [ids[1], ids[0]]


def test_consumers_that_rest_while_another_has_the_queue_for_itself_have_turns_when_it_leaves() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    usual, alone = LogOutlet(), LogOutlet()
    wants(queue, usual, "colour = 'red'")
    coloured(broker, queue, "green")
    exclusive = wants(queue, alone, "colour = 'blue'", exclusive=True)
    ids = [coloured(broker, queue, colour) for colour in ("red", "blue", "red")]
    assert (usual.ids, alone.ids) == ([], [ids[1]])
    queue.detach(exclusive)
    assert usual.ids == [ids[0], ids[2]]
    assert queue.consumers_count == 1


# -- exclusive


def test_exclusive_consumer_gets_everything_until_it_leaves() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    usual, first, second = LogOutlet(), LogOutlet(), LogOutlet()
    wants(queue, usual, None)
    alone = wants(queue, first, None, exclusive=True)
    heir = wants(queue, second, None, exclusive=True)
    ids = [coloured(broker, queue, "red") for _ in range(2)]
    assert (usual.ids, first.ids, second.ids) == ([], ids, [])
    assert queue.consumers_count == 3
    queue.detach(alone)
    later = coloured(broker, queue, "red")
    assert (usual.ids, second.ids) == ([], [later])
    queue.detach(heir)
    last = coloured(broker, queue, "red")
    assert usual.ids == [last]


def test_what_waits_for_a_slow_exclusive_consumer_goes_to_the_others_when_it_leaves() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    usual = LogOutlet()
    alone = wants(queue, LogOutlet(), None, 0, exclusive=True)
    wants(queue, usual, None)
    ids = [coloured(broker, queue, "red") for _ in range(3)]
    assert usual.ids == []
    queue.detach(alone)
    assert usual.ids == ids


def test_consumer_on_standby_may_leave() -> None:
    broker = broker_with()
    queue = broker.queue("q")
    outlet = LogOutlet()
    wants(queue, outlet, None, exclusive=True)
    waiting = wants(queue, LogOutlet(), "colour = 'red'")
    queue.detach(waiting)
    queue.detach(waiting)
    one = coloured(broker, queue, "red")
    assert outlet.ids == [one]
    assert queue.consumers_count == 1
    broker.delete_queue(queue)
    assert queue.consumers_count == 0


# -- transactions and refusing queues


def test_transaction_that_a_full_queue_would_refuse_is_refused_whole() -> None:
    broker = broker_with(policy=QueuePolicy(messages_max=2, when_full=REJECT))
    transaction = broker.transaction()
    for _ in range(3):
        transaction.publish(message(broker, "q"))
    with pytest.raises(TransactionRefused, match="queue:q is full"):
        transaction.commit()
    assert broker.queue("q").depth == 0


# -- against a model

COLOURS = ("red", "blue")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("offer"), st.sampled_from(COLOURS), st.sampled_from([-1, 9])),
            st.tuples(st.just("credit"), st.integers(0, 4), st.integers(1, 3)),
            st.tuples(st.just("settle"), st.integers(0, 4), st.sampled_from([ACCEPTED, RELEASED])),
            st.tuples(st.just("leave"), st.integers(0, 4), st.just(0)),
            st.tuples(st.just("come"), st.integers(0, 4), st.integers(0, 2)),
        ),
        max_size=60,
    )
)
@settings(deadline=None)
def test_model_every_consumer_gets_the_first_that_it_wants(steps: list[tuple[str, object, object]]) -> None:
    """Two for red, blue, not red, any.  After each step whatever waits is wanted by nobody who is ready."""
    broker = broker_with()
    queue = broker.queue("q")
    outlets = [LogOutlet() for _ in range(5)]
    texts = ["colour = 'red'", "colour = 'red'", "colour = 'blue'", "colour <> 'red'", None]
    colours = ("red", "red", "blue", "blue", "")
    consumers = [wants(queue, outlet, text, 0) for outlet, text in zip(outlets, texts, strict=True)]
    expected: dict[int, tuple[str, int]] = {}
    for step, first, second in steps:
        if step == "offer":
            assert isinstance(first, str)
            assert isinstance(second, int)
            expected[coloured(broker, queue, first, priority=second)] = (first, second)
        else:
            assert isinstance(first, int)
            assert isinstance(second, int)
            if step == "credit":
                consumers[first].credit.give(second)
            elif step == "leave":
                queue.detach(consumers[first])
            elif step == "come":
                if consumers[first] not in queue.roster.all():
                    consumers[first] = wants(queue, outlets[first], texts[first], second)
            elif outlets[first].open:
                delivery = outlets[first].open.pop()
                if second == ACCEPTED:
                    del expected[delivery.message.id]
                delivery.settle(second)
        held = {d.message.id for outlet in outlets for d in outlet.open}
        waiting = sorted(
            [i for i in expected if i not in held], key=lambda i: (-(9 if expected[i][1] == 9 else 4), i)
        )
        assert waiting_ids(queue) == waiting
        assert queue.depth == len(expected)
        for consumer, colour in zip(consumers, colours, strict=True):
            if consumer.ready:
                assert [i for i in waiting if not colour or expected[i][0] == colour] == []
        for outlet, colour in zip(outlets[:4], colours[:4], strict=True):
            assert all(expected[d.message.id][0] == colour for d in outlet.open)
