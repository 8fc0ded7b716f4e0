"""Which queues have got their copy of a message that very many are to have."""

from typing import final


@final
class Copying:
    """`Broker.copying`, while such a message is offered."""

    __slots__ = ("had", "queues")

    def __init__(self) -> None:
        self.had: set[int] = set()
        """Numbers of queues that an earlier run has given it to: they are not to have it twice."""
        self.queues: list[int] = []
        """Numbers of those that have it from this run."""
