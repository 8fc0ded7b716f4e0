"""What the core's tests put at its ends: a store, an outlet, a valve and a waiter.

The core's native classes cannot be subclassed by these tests once they are compiled, but for Store and Waiter, which
allow it.  Tests that need an Outlet or a Valve of their own carry `needs_outlet` and say so when they are skipped;
tests/behaviour covers the same ground with real connectors, compiled or not.
"""

import pytest

import gateway.core.router
from gateway.core.delivery import Delivery
from gateway.core.flow import Valve
from gateway.core.message import Message
from gateway.core.ports import Operation, Store
from gateway.core.router import Broker
from gateway.core.subscription import Binding, Outlet
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


if not COMPILED:

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
