"""Wills that must come: of who was told to be connected, and has ended without saying so (MQTT 5.0 §3.1.2.5).

Whoever has wanted its topic since then gets it, over any number of crashes.  Only the client's return takes one back that
is still waiting (§3.1.3.2.2), so a delayed one counts as taken back where it may have been waiting.
"""

from typing import Final

from tests.simulation.ledger import Ledger
from tests.simulation.messages import Sent
from tests.simulation.network import Connection

REPETITIONS_MAX: Final = 1_000
"""How often a start may find one again, of which nobody could note that it was published."""
PUBLISHED_AFTER_S: Final = 60
"""By when one is certainly published whose delay is over: more than the process ever stands still."""


class Will:
    """What one connection leaves behind."""

    def __init__(self, sent: Sent, delay_s: int, connection: Connection, ledger: Ledger) -> None:
        self.sent = sent
        self._delay_s = delay_s
        self._connection = connection
        self._ledger = ledger
        self._told = False
        self._life = 0
        self._due = False
        if ledger.was_full:
            self.may_repeat()

    def may_repeat(self) -> None:
        """The disk is full: it is published as one that nothing keeps, and that it was is not noted."""
        self.sent.repetitions = REPETITIONS_MAX

    def told(self) -> None:
        """The client was told that it is connected."""
        self._told = True
        self._life = self._ledger.life

    def left(self, in_order: bool) -> None:
        """The client knows that its connection is over, perhaps since it has said so itself."""
        if in_order or not self._told:
            return
        connection = self._connection
        if not connection.given_up or connection.died:
            # Nobody can have published it before: whoever wants it now gets it.
            self._ledger.wanted(self.sent)
        self._due = True

    def returned(self, now_s: float) -> None:
        """The client is back."""
        if self._delay_s and self._due:
            ended_s = self._connection.ended_s
            published = ended_s is not None and now_s > ended_s + self._delay_s + PUBLISHED_AFTER_S
            # With another process its time begins anew.
            self._due = published and self._life == self._ledger.life

    def look(self) -> None:
        """To be called at the end: who has wanted it all the time must have got it."""
        # A full queue that refuses refuses a will too, and nobody is there to say it again.
        if self._due and self.sent.persistent and not self._ledger.full_refuses:
            for holder, generation in self.sent.wanted:
                if holder.generation == generation:
                    holder.copy_of(self.sent).must = True
