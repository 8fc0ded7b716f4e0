"""Messages that were sent, copies of them at whoever keeps them, and transactions: what the ledger is about."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.simulation.last_values import Setting
    from tests.simulation.ledger import Holder

WRITTEN: Final = "written"
CONFIRMED: Final = "confirmed"
HELD: Final = "within a transaction"
NEVER: Final = "not to be seen"

MILLISECOND_S: Final = 0.001
"""The broker's own times are no finer."""

QUEUES: Final = ("q.1", "q.2")
"""Which `/queue/q.*` means too."""
VIRTUAL_TOPIC: Final = "VirtualTopic/v"
VIRTUAL_QUEUE: Final = "Consumer.a.VirtualTopic.v"
"""Gets copies of what is sent to that topic (ActiveMQ)."""
AUTO_QUEUE: Final = "q3"
"""Where readers that acknowledge nothing may lose what they were sent."""
TOPICS: Final = ("t/a", "t/b")
KINDS: Final = 3
"""Values of the property that selectors ask for."""
DEAD: Final = "DLQ"
GUARDED_TOPIC: Final = "g/a"
GUARDED_QUEUE: Final = "g.q"
GUARDED: Final = frozenset((f"topic:{GUARDED_TOPIC}", f"queue:{GUARDED_QUEUE}"))
"""Where rules say who may send and read, now this, now that."""
KEPT_TARGETS: Final = frozenset(f"queue:{name}" for name in QUEUES)
"""Where nobody reads who could lose what he was sent."""


class Violation(Exception):
    """A promise was broken."""


class Sent:
    """A message, as its sender knows it."""

    __slots__ = (
        "again",
        "body",
        "by_cron",
        "connection",
        "due_s",
        "expires_s",
        "group",
        "hidden",
        "k",
        "life",
        "life_s",
        "offset_s",
        "persistent",
        "priority",
        "qos",
        "repetitions",
        "repetitions_of_any_qos",
        "reply_to",
        "retains",
        "sender",
        "sets",
        "stamp",
        "state",
        "target",
        "targets",
        "uid",
        "wanted",
    )

    def __init__(
        self, uid: int, sender: str, target: str, qos: int, persistent: bool, k: int, size: int
    ) -> None:
        self.uid = uid
        self.sender = sender
        self.connection = 0
        """By which it was sent: what two of a sender say may come in any order."""
        self.target = target
        """`queue:NAME` or `topic:a/b`."""
        self.targets: tuple[str, ...] = (target,)
        """All of them: a SEND may name several, of which no two are topics."""
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
        self.repetitions_of_any_qos = 0
        """The same with those of QoS 2: of one that a crash has undone the repetition is the first that is kept."""
        self.group: Group | None = None
        """The transaction that it was committed in."""
        self.wanted: list[tuple[Holder, int]] = []
        """Who wanted it when it was written, with the generation of the wish."""
        self.priority = -1
        self.due_s: float | None = None
        """By the wall clock, not to be seen before."""
        self.by_cron = False
        """That is what a cron line says, which stays for its next time."""
        self.expires_s: float | None = None
        """By the wall clock, not to be delivered from then on."""
        self.life = 0
        """The process to which it was sent first."""
        self.life_s = 0.0
        """Seconds for which it is to be there from when the broker has it; 0 is for ever."""
        self.hidden: Callable[[], bool] | None = None
        """Whether it must not be seen yet."""
        self.offset_s = 0.0
        """How that clock was set when they were said."""
        self.retains = False
        """It is to be the last value of its topic."""
        self.sets: Setting | None = None
        """And is on its way there."""
        self.reply_to = ""
        """Where replies go; empty is nowhere."""

    @property
    def topic(self) -> str:
        """The topic to which it goes, as MQTT writes it; empty for none."""
        for target in self.targets:
            if target.startswith("topic:"):
                return target[6:]
        return ""

    @property
    def mortal(self) -> bool:
        """May its time run out?"""
        return self.expires_s is not None

    def look_at_time(self, wall_s: float, opened_s: float, offset_s: float) -> None:
        """It has come at that time, over a connection opened at the other.  Raises Violation.

        Once somebody has set the clock, what it says means nothing for this message.
        """
        if offset_s != self.offset_s:
            return
        if self.due_s is not None and wall_s < self.due_s - MILLISECOND_S:
            raise Violation(f"{self} came {self.due_s - wall_s:.3f} s too early")
        # What was on its way in time may arrive later.
        if self.expires_s is not None and opened_s > self.expires_s + MILLISECOND_S:
            raise Violation(f"{self} came to who connected {opened_s - self.expires_s:.3f} s after its time")

    @property
    def others(self) -> int:
        """How many more of it there may be, for whoever gets it."""
        return max(self.repetitions, self.repetitions_of_any_qos)

    def __str__(self) -> str:
        return f"message {self.uid} of {self.sender} to {' and '.join(self.targets)} ({self.state})"


class Copy:
    """A message at a holder."""

    __slots__ = (
        "acknowledged",
        "buried",
        "confirmations",
        "deliveries",
        "failures",
        "failures_life",
        "failures_stamp",
        "fresh",
        "given_up",
        "group",
        "must",
        "must_in",
        "refused",
        "rejected",
        "sent",
    )

    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        self.must = False
        self.must_in = 0
        """The life of the gateway's process in which it is there, since nothing keeps it; 0 is none."""
        self.deliveries = 0
        self.fresh = 0
        """Those that said nothing of an earlier one."""
        self.failures = 0
        """As many failed deliveries it has been said to have had, at most."""
        self.failures_stamp = 0
        self.failures_life = 0
        """When that was said."""
        self.acknowledged = False
        """The acknowledgement was sent."""
        self.refused = False
        """It was said that it is not wanted."""
        self.rejected = False
        """And in so many words that nobody else is to be given it."""
        self.given_up = False
        """And that was answered: nobody is to be given it again."""
        self.buried = 0
        """How often it has come out of the dead letters."""
        self.confirmations = 0
        """Acknowledgements that were answered."""
        self.group: Group | None = None
        """The transaction in which it was acknowledged last."""


class Group:
    """A transaction whose COMMIT is on the wire."""

    def __init__(self, sends: list[Sent], acknowledged: list[Copy]) -> None:
        self.sends = sends
        self.acknowledged = acknowledged
        self.done = False
        """It is known to be carried out."""
        self.undone = False
        """It is known not to be."""
        self.loose = False
        """Whether all that was said to be part of it is, nobody knows."""

    def confirm(self) -> None:
        """Its sender was told that it is done, or something shows it."""
        if not self.done:
            self.done = True
            for copy in self.acknowledged:
                copy.confirmations += 1

    def came(self) -> None:
        """One of its messages was received: all of it is done, for nothing of it is seen before it is safe."""
        self.confirm()

    def came_again(self) -> None:
        """Something that it acknowledged was delivered again: it came to nothing, so none of its messages may be seen."""
        if not self.undone:
            self.undone = True
            for sent in self.sends:
                sent.state = NEVER

    @property
    def whole(self) -> list[Sent]:
        """Those that somebody reads in any case, and that a crash does not lose."""
        if self.loose:
            return []
        return [
            sent
            for sent in self.sends
            if sent.persistent and not sent.mortal and KEPT_TARGETS.issuperset(sent.targets)
        ]


def is_for_virtual(sent: Sent) -> bool:
    """Does the queue behind the virtual topic want it?"""
    return f"topic:{VIRTUAL_TOPIC}" in sent.targets
