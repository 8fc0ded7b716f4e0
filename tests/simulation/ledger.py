"""What was promised, plain and slow: every message that was sent, and every copy of it that somebody must get.

A holder keeps copies for whoever reads it: a queue, the session of an MQTT client, a durable subscription.  Promises
(each is a sentence in `Violation`):

- what was confirmed while a holder wanted it is there until it is acknowledged;
- what was never sent, or only in a transaction that was not committed, is never received;
- what was acknowledged, and that confirmed, never comes again, unless its sender has repeated it at QoS 1, which makes
  one more message of it each time (MQTT 5.0 §4.3.2); QoS 2 all the way comes once;
- of a transaction all comes, or nothing;
- per sender and destination, what comes for the first time comes in order.
"""

from collections.abc import Callable
from typing import Final

WRITTEN: Final = "written"
CONFIRMED: Final = "confirmed"
HELD: Final = "within a transaction"
NEVER: Final = "not to be seen"


class Violation(Exception):
    """A promise was broken."""


class Sent:
    """A message, as its sender knows it."""

    __slots__ = (
        "again",
        "body",
        "k",
        "persistent",
        "qos",
        "repetitions",
        "sender",
        "stamp",
        "state",
        "target",
        "uid",
        "wanted",
    )

    def __init__(
        self, uid: int, sender: str, target: str, qos: int, persistent: bool, k: int, size: int
    ) -> None:
        self.uid = uid
        self.sender = sender
        self.target = target
        """`queue:NAME` or `topic:a/b`."""
        self.qos = qos
        self.persistent = persistent
        self.k = k
        """A property that selectors ask for; -1 is none."""
        self.body = f"{uid}:".ljust(size, "x")
        self.state = HELD
        self.stamp = 0
        """Its place among what its sender has said."""
        self.again = 0
        """And that of its last repetition."""
        self.repetitions = 0
        """How many more messages may have been made of it."""
        self.wanted: list[tuple[Holder, int]] = []
        """Who wanted it when it was written, with the generation of the wish."""

    def __str__(self) -> str:
        return f"message {self.uid} of {self.sender} to {self.target} ({self.state})"


class Copy:
    """A message at a holder."""

    __slots__ = ("acknowledged", "confirmations", "deliveries", "must", "sent")

    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        self.must = False
        self.deliveries = 0
        self.acknowledged = False
        """The acknowledgement was sent."""
        self.confirmations = 0
        """Acknowledgements that were answered."""


class Holder:
    """See the module."""

    def __init__(self, name: str, ledger: "Ledger") -> None:
        self.name = name
        self._ledger = ledger
        self.wants: Callable[[Sent], bool] | None = None
        """What it takes now, for sure; None while that is not known, or it takes nothing."""
        self.ever: list[Callable[[Sent], bool]] = []
        """All it may ever have taken."""
        self.generation = 0
        """Rises whenever what it held may have been let go."""
        self.ordered = True
        self.lossy = False
        """Its readers may lose what they were sent, or it may drop by a stated policy."""
        self.copies: dict[int, Copy] = {}
        self._last: dict[tuple[str, str, str], int] = {}

    def take(self, wants: Callable[[Sent], bool]) -> None:
        """From now on it takes that."""
        self.wants = wants

    def may_take(self, wants: Callable[[Sent], bool]) -> None:
        """It takes that from some moment on."""
        self.ever.append(wants)

    def take_less(self, wants: Callable[[Sent], bool]) -> None:
        """It is about to take no more than that: what is on its way may come before or after."""
        self.wants = wants
        self.generation += 1

    def forget(self) -> None:
        """Its wish may end from now on: nothing need be there that was."""
        self.wants = None
        self.generation += 1
        for copy in self.copies.values():
            copy.must = False

    def received(self, body: str, reader: str, redelivered: bool, once: bool) -> Copy:
        """A reader has got that; `once`: it must not come again, however it is flagged."""
        sent = self._ledger.find(body)
        copy = self.copies.get(sent.uid)
        if copy is None:
            copy = self.copies[sent.uid] = Copy(sent)
        copy.deliveries += 1
        if sent.state in (HELD, NEVER):
            raise Violation(f"{self.name}: {sent} was received by {reader}")
        if not any(wants(sent) for wants in self.ever):
            raise Violation(f"{self.name}: {sent} was received by {reader}, which has never asked for it")
        if copy.confirmations > sent.repetitions:
            raise Violation(
                f"{self.name}: {sent} came to {reader} again after its acknowledgement was confirmed"
            )
        if once and copy.deliveries > 1:
            raise Violation(f"{self.name}: {sent} came to {reader} {copy.deliveries} times at QoS 2")
        if self.ordered and not redelivered:
            key = (sent.sender, sent.target, reader)
            if sent.again < self._last.get(key, 0):
                raise Violation(f"{self.name}: {sent} came to {reader} after a later one")
            self._last[key] = max(sent.stamp, self._last.get(key, 0))
        return copy

    def lost(self) -> list[Sent]:
        """What should have come out by the end, and has not."""
        if self.lossy:
            return []
        return [copy.sent for copy in self.copies.values() if copy.must and not copy.acknowledged]


class Ledger:
    """All of a run."""

    def __init__(self) -> None:
        self.sent: dict[int, Sent] = {}
        self.holders: dict[str, Holder] = {}
        self.groups: list[list[Sent]] = []
        """What was sent to queues in one transaction: all of it comes, or nothing."""
        self._stamp = 0

    def look_at_groups(self) -> None:
        """To be called at the end.  Raises Violation."""
        for group in self.groups:
            missing = [sent for sent in group if not self._came(sent)]
            if missing and len(missing) < len(group):
                raise Violation(f"{missing[0]} never came, but others of its transaction did")

    def _came(self, sent: Sent) -> bool:
        return any(
            sent.uid in holder.copies and holder.copies[sent.uid].deliveries
            for holder in self.holders.values()
        )

    def holder(self, name: str) -> Holder:
        """The one of that name."""
        found = self.holders.get(name)
        if found is None:
            found = self.holders[name] = Holder(name, self)
        return found

    def new(self, sender: str, target: str, qos: int, persistent: bool, k: int, size: int) -> Sent:
        """A message that is about to be sent."""
        uid = len(self.sent) + 1
        found = self.sent[uid] = Sent(uid, sender, target, qos, persistent, k, size)
        return found

    def find(self, body: str) -> Sent:
        """The message that has this body."""
        uid = body.partition(":")[0]
        sent = self.sent.get(int(uid)) if uid.isdecimal() else None
        if sent is None or sent.body != body:
            raise Violation(f"something was received that was never sent: {body[:60]!r}")
        return sent

    def dead(self, sent: Sent) -> None:
        """It is among the dead letters: whoever refused it is done with it."""
        for holder in self.holders.values():
            if (copy := holder.copies.get(sent.uid)) is not None:
                copy.acknowledged = True

    def written(self, sent: Sent) -> None:
        """It, or the COMMIT of its transaction, is on the wire."""
        sent.state = WRITTEN
        self._stamp += 1
        sent.stamp = sent.again = self._stamp
        for holder in self.holders.values():
            if holder.wants is not None and holder.wants(sent):
                sent.wanted.append((holder, holder.generation))

    def repeated(self, sent: Sent) -> None:
        """It is sent once more, since nobody has confirmed it."""
        self._stamp += 1
        sent.again = self._stamp
        if sent.qos == 1:
            sent.repetitions += 1

    def confirmed(self, sent: Sent) -> None:
        """Its sender was told that it is safe."""
        sent.state = CONFIRMED
        if not sent.persistent:
            return
        for holder, generation in sent.wanted:
            if holder.generation == generation:
                copy = holder.copies.get(sent.uid)
                if copy is None:
                    copy = holder.copies[sent.uid] = Copy(sent)
                copy.must = True
