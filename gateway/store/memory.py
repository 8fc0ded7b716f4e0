"""Stores that keep nothing beyond the process."""

from typing import final

from gateway.core.ports import Operation, Store


@final
class MemoryStore(Store):
    """Calls everything durable at once: what queues hold in memory is all there is."""

    def __init__(self) -> None:
        super().__init__()

    def append(self, operation: Operation) -> int:
        """See Store."""
        self.durable += 1
        return self.durable

    def begin(self) -> None:
        """See Store."""

    def end(self) -> None:
        """See Store."""


@final
class HeldStore(Store):
    """Makes nothing durable until told to: shows in tests that confirmations wait."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0
        self.operations: list[Operation] = []

    def append(self, operation: Operation) -> int:
        """See Store."""
        self.position += 1
        self.operations.append(operation)
        return self.position

    def begin(self) -> None:
        """See Store."""

    def end(self) -> None:
        """See Store."""

    def release(self) -> int:
        """Everything so far is durable now; returns the position to hand to Broker.on_durable."""
        self.durable = self.position
        return self.durable
