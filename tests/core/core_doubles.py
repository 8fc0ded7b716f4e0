"""What the core's tests put at its ends: a store, an outlet, a valve, a waiter, and short ways to build messages.

The core's native classes cannot be subclassed by these tests once they are compiled, but for Store and Waiter, which
allow it.  Tests that need an Outlet or a Valve of their own carry `needs_outlet` and say so when they are skipped;
tests/behaviour covers the same ground with real connectors, compiled or not.
"""

import pytest

import gateway.core.router
from gateway.core.credit import Credit
from gateway.core.delivery import Delivery
from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.flow import Publisher, Valve
from gateway.core.limits import CoreLimits, QueuePolicy
from gateway.core.message import PRIORITY_NONE, Fields, Message, Origin
from gateway.core.pattern import MANY, ONE, Pattern
from gateway.core.ports import NOTHING, Authorizer, Operation, Store
from gateway.core.queue import Queue
from gateway.core.router import Broker
from gateway.core.subscription import Binding, Consumer, Outlet
from gateway.core.waiters import Waiter

COMPILED = not str(gateway.core.router.__file__).endswith(".py")

needs_outlet = pytest.mark.skipif(
    COMPILED, reason="needs an interpreted Outlet, Valve or Origin, which the compiled core does not take"
)


class LogStore(Store):
    """Remembers what it was asked to keep; nothing is durable before `release`."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.depth = 0

    def append(self, operation: Operation) -> int:
        self.operations.append(operation)
        self.position = len(self.operations)
        return self.position

    def begin(self) -> None:
        self.depth += 1

    def end(self) -> None:
        assert self.depth > 0
        self.depth -= 1

    def release(self, broker: Broker) -> None:
        """Commit everything."""
        assert self.depth == 0
        self.durable = len(self.operations)
        broker.on_durable(self.durable)


class LogWaiter(Waiter):
    """Waits until it has seen `wanted`."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.seen: list[int] = []

    def on_durable(self, position: int) -> bool:
        self.seen.append(position)
        return position < self.wanted


def broker_with(limits: CoreLimits | None = None, policy: QueuePolicy | None = None) -> Broker:
    return Broker(LogStore(), Authorizer(), limits or CoreLimits(), policy or QueuePolicy())


def store_of(broker: Broker) -> LogStore:
    store = broker.store
    assert isinstance(store, LogStore)
    return store


def pattern(text: str) -> Pattern:
    """`a.*.>`: ONE is written `*`, MANY `>`."""
    return Pattern(tuple([ONE if x == "*" else MANY if x == ">" else x for x in text.split(".")]))


if not COMPILED:

    class BodyOrigin(Origin):
        """A bare body."""

        __slots__ = ("_body",)

        def __init__(self, body: bytes) -> None:
            self._body = body

        def body(self) -> bytes:
            return self._body

        def decode(self) -> Fields:
            fields = Fields()
            fields.subject = self._body.decode()
            return fields

    class LogValve(Valve):
        """Remembers how it was turned."""

        __slots__ = ("cut_offs", "suspended", "turns")

        def __init__(self) -> None:
            self.turns: list[bool] = []
            self.cut_offs: list[str] = []
            self.suspended = 0

        def throttle(self, shut: bool) -> None:
            self.turns.append(shut)

        def cut_off(self, why: str) -> None:
            self.cut_offs.append(why)

        def suspend(self) -> None:
            self.suspended += 1

        def resume(self) -> None:
            self.suspended -= 1

        @property
        def shut(self) -> bool:
            return bool(self.turns) and self.turns[-1]

    class LogOutlet(Outlet):
        """Remembers what it was given; settles at once when told to."""

        __slots__ = ("at_once", "messages", "open", "taken")

        def __init__(self, at_once: int | None = None) -> None:
            super().__init__()
            self.at_once = at_once
            self.taken: list[Delivery] = []
            self.open: list[Delivery] = []
            self.messages: list[Message] = []

        def offer(self, message: Message, binding: Binding) -> int:
            self.messages.append(message)
            return 0

        def deliver(self, delivery: Delivery) -> None:
            self.taken.append(delivery)
            self.messages.append(delivery.message)
            if self.at_once is not None:
                delivery.settle(self.at_once)
            else:
                self.open.append(delivery)

        @property
        def ids(self) -> list[int]:
            return [message.id for message in self.messages]

    class LookedAtOutlet(LogOutlet):
        """Counts how often a queue looks whether it is congested."""

        __slots__ = ("_congested", "looks")

        def __init__(self, at_once: int | None = None) -> None:
            self.looks = 0
            self._congested = False
            super().__init__(at_once)

        @property
        def congested(self) -> bool:  # type: ignore[override]
            self.looks += 1
            return self._congested

        @congested.setter
        def congested(self, congested: bool) -> None:
            self._congested = congested


def origin_of(body: bytes) -> Origin:
    if not COMPILED:
        return BodyOrigin(body)
    from gateway.connectors.mqtt.mapping import MqttOrigin
    from protocols.mqtt.frames import Publish

    return MqttOrigin(Publish(body, "t", 0, 2, False, False, 1, b"", 0, -1, 4), 0)


def message(
    broker: Broker,
    to: str = "q",
    body: bytes = b"x",
    *,
    kind: int = QUEUE,
    persistent: bool = False,
    priority: int = PRIORITY_NONE,
    expires_at_ms: int = 0,
    retain: bool = False,
    publisher: Publisher | None = None,
    size: int = 0,
) -> Message:
    return Message(
        broker.next_message_id(),
        Destination(kind, to),
        origin_of(body),
        size or len(body),
        broker.now_ms,
        persistent,
        2,
        retain,
        priority,
        expires_at_ms,
        publisher,
    )


def topic_message(
    broker: Broker, to: str, body: bytes = b"x", *, retain: bool = False, persistent: bool = False
) -> Message:
    return message(broker, to, body, kind=TOPIC, retain=retain, persistent=persistent)


def consume(
    queue: Queue, outlet: Outlet, credit: Credit | int = 10, *, automatic: bool = False, tag: object = None
) -> Consumer:
    """Attach a consumer."""
    window = Credit(credit) if isinstance(credit, int) else credit
    consumer = Consumer(queue, outlet, window, automatic, tag)
    queue.attach(consumer)
    return consumer


def waiting_ids(queue: Queue) -> list[int]:
    return [delivery.message.id for delivery in queue.browse()]


def queue_with(policy: QueuePolicy | None = None) -> Queue:
    return broker_with(policy=policy).queue("q")


def fill(queue: Queue, count: int) -> list[int]:
    """Offer `count` messages; returns their ids."""
    ids = []
    for _ in range(count):
        one = message(queue.broker)
        assert queue.offer(one) == NOTHING
        ids.append(one.id)
    return ids


def dead(broker: Broker) -> list[Delivery]:
    return broker.queue("DLQ").browse()
