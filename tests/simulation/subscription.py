"""What a client has asked to read, and what it checks of each message that comes of it."""

from collections.abc import Callable
from typing import Final

from tests.simulation.last_values import LastValues
from tests.simulation.ledger import Holder
from tests.simulation.messages import HELD, NEVER, Copy, Sent, Violation

QUEUE: Final = "queue"
DURABLE: Final = "durable"
LIVE: Final = "live"
"""On a topic, as long as the connection lasts."""
REPLIES: Final = "replies"
BROWSER: Final = "browser"
SEVERAL: Final = "several"

AUTO: Final = "auto"
CLIENT: Final = "client"
INDIVIDUAL: Final = "client-individual"


class Subscription:
    """One that has been asked for."""

    def __init__(self, id: str, kind: str, holder: Holder, mode: str, wants: Callable[[Sent], bool]) -> None:
        self.id = id
        self.kind = kind
        self.holder = holder
        self.mode = mode
        self.wants = wants
        """Its selector."""
        self.owed: list[tuple[str, Copy]] = []
        """Ack id and copy of what is not acknowledged yet, oldest first."""
        self.due: set[str] = set()
        """Topics whose last values are to come yet."""
        # When it asked for these; 0 for never.
        self._asked = 0

    def ask_last(self, values: LastValues, topics: list[str]) -> None:
        """It asks for the last values of these too."""
        self._asked = values.now()
        self.due = values.due(topics, self._asked)

    def told(self, sent: Sent, values: LastValues, reader: str) -> None:
        """A last value has come.  Raises Violation."""
        if not self._asked:
            raise Violation(f"{reader} was told {sent} as a last value, and has not asked")
        values.look_at(sent.topic, sent, self._asked)
        self.due.discard(sent.topic)

    def holder_of(self, target: str) -> Holder:
        """Which holder that comes out of which was sent to `target`."""
        return self.holder

    def tries(self) -> None:
        """What it has may have been delivered in vain."""
        self.holder.tries += 1

    def received(
        self,
        body: str,
        sent: Sent,
        reader: str,
        redelivered: bool,
        failures: int,
        late: bool = False,
        target: str = "",
    ) -> Copy:
        """A message has come, as sent to `target` if that is known; see Holder.received.  Raises Violation."""
        if target and target not in sent.targets:
            raise Violation(f"{reader}: {sent} came as one to {target}")
        copy = self.holder_of(target).received(body, reader, redelivered, False, failures, late=late)
        if not self.wants(sent):
            raise Violation(f"{reader} got {sent}, which its selector does not want")
        return copy

    def left(self) -> None:
        """It, or its connection, has come to its end."""
        if self.kind == LIVE:
            # What nobody has read is dropped, and nobody is told of what comes now.
            self.holder.forget()
        elif self.holder.is_virtual:
            # Once nobody reads it and nothing is in it, it is no more.
            self.holder.take_nothing()
        elif self.mode == AUTO:
            # Whatever was on its way is gone: it counted as read when it was written.
            self.holder.lossy = True


class Several(Subscription):
    """Reads several queues and topics; what comes says by where it was sent to out of which."""

    def __init__(self, id: str, holders: dict[str, Holder], mode: str, wants: Callable[[Sent], bool]) -> None:
        super().__init__(id, SEVERAL, next(iter(holders.values())), mode, wants)
        self._holders = holders

    def holder_of(self, target: str) -> Holder:
        """See Subscription."""
        holder = self._holders.get(target)
        if holder is None:
            raise Violation(f"{self.id} reads {', '.join(self._holders)}, and is given something of {target}")
        return holder

    def tries(self) -> None:
        """See Subscription."""
        for holder in self._holders.values():
            holder.tries += 1

    def left(self) -> None:
        """See Subscription: it acknowledges all that it takes, and what it has of topics goes with it."""
        for target, holder in self._holders.items():
            if target.startswith("topic:"):
                holder.forget()


class Browser(Subscription):
    """Is shown what waits in a queue, and takes nothing."""

    def __init__(self, id: str, holder: Holder, wants: Callable[[Sent], bool]) -> None:
        super().__init__(id, BROWSER, holder, AUTO, wants)
        self._gone = {
            uid for uid, copy in holder.copies.items() if copy.confirmations > copy.sent.repetitions
        }
        self.seen: set[int] = set()
        self.ended = False

    def show(self, sent: Sent, reader: str) -> None:
        """A message has come.  Raises Violation."""
        if self.ended:
            raise Violation(f"{reader} was shown {sent} after the end")
        if sent.state in (HELD, NEVER):
            raise Violation(f"{reader} was shown {sent}")
        if not any(wants(sent) for wants in self.holder.ever) or not self.wants(sent):
            raise Violation(f"{reader} was shown {sent}, for which it has not asked")
        if sent.uid in self._gone:
            raise Violation(f"{reader} was shown {sent}, whose acknowledgement was confirmed before")
        if sent.uid in self.seen and not sent.repetitions:
            raise Violation(f"{reader} was shown {sent} twice")
        self.seen.add(sent.uid)

    def left(self) -> None:
        """See Subscription: nothing was taken."""
