"""What a client holds back until it is committed."""

from tests.simulation.messages import Copy, Sent


class Transaction:
    """One that is open."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.sends: list[Sent] = []
        self.acks: list[Copy] = []
        self.refusals: list[tuple[Copy, bool]] = []
        """What was refused in it and is not asked for again, and whether in so many words that nobody is to have it."""
        self.unanswered = 0
        """Operations of which nobody has said yet whether they are part of it."""

    def refuse(self) -> list[Copy]:
        """It is about to be committed, and what was refused in it with it: these copies."""
        for copy, rejected in self.refusals:
            copy.refused = True
            copy.rejected = copy.rejected or rejected
        return [copy for copy, _ in self.refusals]
