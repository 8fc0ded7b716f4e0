"""The store of a gateway that keeps nothing."""

from gateway.core.ports import Entry, Operation, Page, QueueDeleted, Recovered, Store


class PassingStore(Store):
    """Calls everything durable at once: what the broker holds in memory is all there is."""

    def __init__(self) -> None:
        super().__init__()
        self.immediate = True
        self.keeps = False

    def append(self, operation: Operation) -> int:
        """See Store."""
        if isinstance(operation, QueueDeleted):
            self.numbers_free.append(operation.number)
        self.position = self.durable = self.durable + 1
        return self.durable

    def begin(self) -> None:
        """See Store."""

    def end(self) -> None:
        """See Store."""

    def load(self, page: Page) -> None:
        """Never called: `pages` says that there is nothing to load."""
        raise AssertionError("a store without pages was asked for one")

    def recover(self) -> Recovered:
        """See Store."""
        return Recovered(1, True, [], [], {}, set())

    def fetch(self, queue: int, sequences: list[int]) -> list[Entry]:
        """See Store."""
        return []

    def page(self, page: Page) -> list[Entry]:
        """See Store."""
        return []
