"""Who may do what, while the rules change: what is denied never gets through, whichever way it comes in.

Everybody may do everything but with what is guarded, a topic and a queue.  What the rules say of those is known for sure
from when the gateway has told that it has taken them over until somebody changes them again: an `epoch`.  What was sent in
one that denies sending is received and confirmed by nobody as long as it lasts; of what was refused nothing ever comes.
What was sent in one that denies reading is read by nobody as long as it lasts, and no subscription is granted.
"""

from typing import Final

from gateway.config.access import RuleSection
from tests.simulation.messages import GUARDED, Sent, Violation

OPEN: Final = "open"
NO_SENDING: Final = "no sending"
NO_READING: Final = "no reading"
NO_RECEIVING: Final = "no receiving"
KINDS: Final = (OPEN, NO_SENDING, NO_READING, NO_RECEIVING)

_AREAS: Final = ("topic:g.>", "queue:g.>")
_ALL: Final = [
    RuleSection(deny=("publish",), destinations=("topic:nobody.>",)),
    RuleSection(allow=("publish", "subscribe"), destinations=("topic:>", "queue:>")),
]
RULES: Final = {
    OPEN: _ALL,
    NO_SENDING: [RuleSection(deny=("publish",), destinations=_AREAS), *_ALL],
    NO_READING: [RuleSection(deny=("subscribe",), destinations=_AREAS), *_ALL],
    NO_RECEIVING: [RuleSection(deny=("receive",), destinations=_AREAS), *_ALL],
}


class Rights:
    """See the module."""

    def __init__(self) -> None:
        self.epoch = 0
        """Rises with each moment from which something else may hold."""
        self.kind = OPEN
        """What the rules say, in the file."""
        self._known = True
        # By message: the epoch in which it was sent, and whether it was known for sure then what holds.
        self._sent: dict[int, tuple[int, bool]] = {}

    # -- the rules

    def changed(self, kind: str) -> None:
        """The file says this from now on, and the gateway is about to read it."""
        if kind != self.kind:
            self.kind = kind
            self._begin(False)

    def taken_over(self) -> None:
        """The gateway goes by the file as it is."""
        if not self._known:
            self._begin(True)

    def started(self) -> None:
        """It has started, which is as good as a change: whatever was under way is over."""
        self._begin(True)

    def _begin(self, known: bool) -> None:
        self.epoch += 1
        self._known = known

    @property
    def denies_sending(self) -> bool:
        """For sure?"""
        return self._known and self.kind == NO_SENDING

    @property
    def denies_reading(self) -> bool:
        """For sure, whether it is asked for or waited for?"""
        return self._known and self.kind in (NO_READING, NO_RECEIVING)

    # -- what is done

    def sent(self, sent: Sent) -> None:
        """A message is on the wire."""
        if not GUARDED.isdisjoint(sent.targets):
            self._sent[sent.uid] = (self.epoch, self._known)

    def surely_taken(self, sent: Sent) -> bool:
        """Was it allowed all the time, so that an answer which could mean either means that it was taken?"""
        found = self._sent.get(sent.uid)
        return found is None or (found == (self.epoch, True) and self.kind != NO_SENDING)

    def confirmed(self, sent: Sent) -> None:
        """Its sender was told that it is safe.  Raises Violation."""
        if self.denies_sending and self._sent.get(sent.uid) == (self.epoch, True):
            raise Violation(f"{sent} was confirmed, and nobody may send there")

    def received(self, sent: Sent, reader: str) -> None:
        """Somebody has it.  Raises Violation."""
        if self._sent.get(sent.uid) != (self.epoch, True):
            return
        if self.denies_sending:
            raise Violation(f"{sent} was received by {reader}, and nobody may send there")
        if self.denies_reading and GUARDED.issuperset(sent.targets):
            raise Violation(f"{sent} was received by {reader}, and nobody may read there")

    def granted(self, target: str, asked: int, reader: str) -> None:
        """Somebody who asked in epoch `asked` was told to be reading that.  Raises Violation."""
        # Who may not receive may subscribe to topics: he gets nothing of them.
        denied = self.kind == NO_READING or (self.kind == NO_RECEIVING and target.startswith("queue:"))
        if self._known and denied and asked == self.epoch and target in GUARDED:
            raise Violation(f"{reader} was let read {target}, which nobody may")
