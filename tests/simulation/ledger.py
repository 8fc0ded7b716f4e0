"""What was promised, plain and slow: every message that was sent, and every copy of it that somebody must get.

A holder keeps copies for whoever reads it: a queue, the session of an MQTT client, a durable subscription, or the dead
letters of one of these.  Promises (each is a sentence in `Violation`):

- what was confirmed while a holder wanted it is there until it is acknowledged; what is not persistent, as long as the
  process lives, unless it was dropped and counted;
- what was never sent, or only in a transaction that was not committed, is never received;
- what was acknowledged, and that confirmed, never comes again, unless its sender has repeated it at QoS 1, which makes
  one more message of it each time (MQTT 5.0 §4.3.2); QoS 2 all the way comes once;
- what came before says so when it comes again, and how often it has failed; that never falls, over restarts either;
- of a transaction all comes, or nothing: its messages together, and what it acknowledged goes if and only if they come;
- per connection, destination and priority, what comes for the first time comes in order;
- what is to come later does not come before its time, and whoever connects when a message's time is over does not get it;
- what is among the dead letters has died of what it says, once, and comes out of nowhere else.
"""

from collections.abc import Callable
from typing import Final

from tests.simulation.last_values import LastValues
from tests.simulation.messages import (
    CONFIRMED,
    HELD,
    KEPT_TARGETS,
    NEVER,
    VIRTUAL_QUEUE,
    WRITTEN,
    Copy,
    Group,
    Sent,
    Violation,
)
from tests.simulation.rights import Rights

REJECTED: Final = "rejected"
MAXLEN: Final = "maxlen"
DELIVERY_LIMIT: Final = "delivery_limit"
EXPIRED: Final = "expired"
UNREPRESENTABLE: Final = "unrepresentable"
"""Reasons of dead letters (manual, dead letters)."""


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
        self.keeps_passing = False
        """While the gateway lives, what is not persistent is there too until it is acknowledged."""
        self.tries = 0
        """How often one of its messages may have been delivered in vain: once by each reader, once by each transaction."""
        self.is_session = name.startswith("session ")
        self.members: set[str] = set()
        """Who keeps a shared subscription for sure."""
        self.copies: dict[int, Copy] = {}
        self._last: dict[tuple[str, int, str, str, int], int] = {}

    # -- what it wants

    def take(self, wants: Callable[[Sent], bool]) -> None:
        """From now on it takes that."""
        self.wants = wants

    @property
    def is_virtual(self) -> bool:
        """Does it take what a topic gets, from when somebody reads it?"""
        return self.name == f"queue {VIRTUAL_QUEUE}"

    def may_take(self, wants: Callable[[Sent], bool]) -> None:
        """It takes that from some moment on."""
        self.ever.append(wants)

    def take_less(self, wants: Callable[[Sent], bool]) -> None:
        """It is about to take no more than that: what is on its way may come before or after."""
        self.wants = wants
        self.generation += 1

    def take_nothing(self) -> None:
        """It may be gone at some moment, or be there again with all it has."""
        self.wants = None
        self.generation += 1

    def forget(self) -> None:
        """Its wish may end from now on: nothing need be there that was."""
        self.wants = None
        self.generation += 1
        for copy in self.copies.values():
            copy.must = False
            copy.must_in = 0

    # -- what comes out of it

    def copy_of(self, sent: Sent) -> Copy:
        """Its copy, made when it is first asked for."""
        copy = self.copies.get(sent.uid)
        if copy is None:
            copy = self.copies[sent.uid] = Copy(sent)
        return copy

    def received(
        self,
        body: str,
        reader: str,
        redelivered: bool,
        once: bool,
        failures: int | None = None,
        flagged: bool = True,
        late: bool = False,
    ) -> Copy:
        """A reader has got that.

        `redelivered`: it says that it may have come before, `failures` times in vain, if it says that; where it cannot
        say anything, it is not `flagged`.  `once`: it must not come again, however it is flagged.  `late`: the gateway had
        ended the connection before, so that it is somebody else's by now.
        """
        sent = self._ledger.find(body)
        copy = self.copy_of(sent)
        self._ledger.heard += 1
        if late:
            if sent.state in (HELD, NEVER):
                raise Violation(f"{self.name}: {sent} was received by {reader}")
            copy.fresh += not redelivered
            return copy
        self._look_whether_it_may_come(copy, reader)
        if once and copy.deliveries > sent.repetitions:
            raise Violation(f"{self.name}: {sent} came to {reader} {copy.deliveries + 1} times at QoS 2")
        if flagged:
            self._look_at_flags(copy, reader, redelivered, failures)
        copy.deliveries += 1
        if self.ordered and not redelivered and sent.due_s is None:
            key = (sent.sender, sent.connection, sent.target, reader, sent.priority)
            if sent.again < self._last.get(key, 0):
                raise Violation(f"{self.name}: {sent} came to {reader} after a later one")
            self._last[key] = max(sent.stamp, self._last.get(key, 0))
        return copy

    def _look_whether_it_may_come(self, copy: Copy, reader: str) -> None:
        sent = copy.sent
        if sent.state in (HELD, NEVER):
            raise Violation(f"{self.name}: {sent} was received by {reader}")
        if sent.hidden is not None and sent.hidden():
            raise Violation(f"{self.name}: {sent} was received by {reader} before it was to be sent")
        self._ledger.rights.received(sent, reader)
        if sent.group is not None:
            sent.group.came()
        if not any(wants(sent) for wants in self.ever):
            raise Violation(f"{self.name}: {sent} was received by {reader}, which has never asked for it")
        if copy.confirmations > sent.repetitions:
            raise Violation(
                f"{self.name}: {sent} came to {reader} again after its acknowledgement was confirmed"
            )
        if copy.given_up and not sent.others:
            raise Violation(f"{self.name}: {sent} came to {reader} again after its refusal was confirmed")
        if copy.buried > sent.others:
            raise Violation(f"{self.name}: {sent} came to {reader}, though it is among the dead letters")
        if copy.group is not None and not sent.others:
            copy.group.came_again()

    def _look_at_flags(self, copy: Copy, reader: str, redelivered: bool, failures: int | None) -> None:
        """What came before says so (MQTT 5.0 §3.3.1.1), and a count of failures never falls."""
        sent = copy.sent
        others = sent.others
        if not redelivered:
            copy.fresh += 1
            if copy.fresh > 1 + others:
                raise Violation(f"{self.name}: {sent} came to {reader} again, and does not say so")
        if others or failures is None:
            return
        if failures > self.tries:
            raise Violation(
                f"{self.name}: {sent} has failed {failures} times, of {self.tries} that were tried"
            )
        ledger = self._ledger
        of_earlier_life = copy.failures_life < ledger.life and copy.failures_stamp < ledger.safe
        if failures < copy.failures and of_earlier_life:
            raise Violation(
                f"{self.name}: {sent} came to {reader} as failed {failures} times, and before {copy.failures}"
            )
        copy.failures = failures
        copy.failures_stamp = ledger.stamp
        copy.failures_life = ledger.life

    # -- the end

    def buries(self, sent: Sent) -> bool:
        """Does that go to the dead letters should its time run out, and is not only counted?"""
        named = self.name.startswith("queue ")
        return named or (self.name.startswith("durable ") and (sent.persistent or not sent.topic))

    @property
    def drops(self) -> bool:
        """May it let go of what was confirmed, by its own policy, as long as it is counted?"""
        return self._ledger.sessions_drop if self.is_session else self._ledger.dropping

    @property
    def drops_passing(self) -> bool:
        """The same of what is not persistent, which a topic waits for only so long."""
        return self.drops or self.is_session or self.is_virtual or not self.name.startswith("queue ")

    def lost(self) -> list[Sent]:
        """What should have come out by the end, and has not."""
        if self.lossy:
            return []
        return [copy.sent for copy in self.copies.values() if copy.must and _is_owed(copy)]

    def lost_passing(self) -> list[Sent]:
        """The same of what is not persistent, and was there as long as the process."""
        if self.lossy:
            return []
        life = self._ledger.life
        return [copy.sent for copy in self.copies.values() if copy.must_in == life and _is_owed(copy)]


def _is_owed(copy: Copy) -> bool:
    return not copy.acknowledged


class Ledger:
    """All of a run."""

    def __init__(self) -> None:
        self.sent: dict[int, Sent] = {}
        self.nothing = Sent(0, "", "", 1, False, -1, 0)
        """What clears a last value: who listens gets it as a message without a body."""
        self.holders: dict[str, Holder] = {}
        self.groups: list[Group] = []
        self.stamp = 0
        """How much has been said by senders."""
        self.safe = 0
        """What was said up to here is on the disk, with all that the gateway had noted by then."""
        self.life = 1
        """Which process of the gateway it is."""
        self.heard = 0
        """Messages that clients have received from it."""
        self.published = 0
        """Messages that it was sent, and has confirmed."""
        self.buried = 0
        """Messages that have come out of the dead letters, each once for each holder that it has died in."""
        self.deliveries_max = 0
        """Failures after which a message is given up on; 0 for never."""
        self.refusing = False
        """A refusal (NACK) is final, and no failure that is tried again."""
        self.rights = Rights()
        self.values = LastValues()
        self.now_s: Callable[[], float] = lambda: 0.0
        """The gateway's wall clock."""
        self.due_until_s = 0.0
        """When the last is due that cron lines have been said for, by the wall clock."""
        self.cron_lines = False
        """Whether there are any."""
        self.dropping = False
        """A full queue drops, and counts that."""
        self.was_full = False
        """The disk has been."""
        self.full_refuses = False
        """It says no."""
        self.sessions_drop = False
        """And that of an MQTT session."""

    def holder(self, name: str) -> Holder:
        """The one of that name."""
        found = self.holders.get(name)
        if found is None:
            found = self.holders[name] = Holder(name, self)
        return found

    # -- what is sent

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

    def written(self, sent: Sent) -> None:
        """It, or the COMMIT of its transaction, is on the wire."""
        sent.state = WRITTEN
        sent.life = self.life
        self.stamp += 1
        sent.stamp = sent.again = self.stamp
        self.rights.sent(sent)
        self.cron_lines = self.cron_lines or sent.by_cron
        if sent.retains and sent.topic:
            sent.sets = self.values.begin(sent.topic, sent)
        self.wanted(sent)

    def wanted(self, sent: Sent) -> None:
        """From now on whoever wants it is to get it."""
        sent.wanted = [
            (holder, holder.generation)
            for holder in self.holders.values()
            if holder.wants is not None and holder.wants(sent)
        ]

    def committed(self, sends: list[Sent], acknowledged: list[Copy]) -> Group:
        """The COMMIT of a transaction is on the wire."""
        group = Group(sends, acknowledged)
        for sent in sends:
            self.written(sent)
            sent.group = group
        for copy in acknowledged:
            copy.acknowledged = True
            copy.group = group
        self.groups.append(group)
        return group

    def repeated(self, sent: Sent) -> None:
        """It is sent once more, since nobody has confirmed it."""
        self.stamp += 1
        sent.again = self.stamp
        sent.repetitions_of_any_qos += 1
        if sent.qos == 1:
            sent.repetitions += 1

    def resent(self, sent: Sent) -> None:
        """It is sent once more under the same key, under which nobody takes it twice.

        It may have arrived the first time, so who wants it only now need not get it.
        """
        self.stamp += 1
        sent.again = self.stamp
        sent.repetitions_of_any_qos += 1
        if not sent.persistent:
            # Nothing keeps it, so it may have been read before a crash that has undone its key.
            sent.repetitions += 1

    def confirmed(self, sent: Sent) -> None:
        """Its sender was told that it is safe."""
        if sent.state == NEVER:
            raise Violation(f"{sent} was confirmed, though its transaction came to nothing")
        self.rights.confirmed(sent)
        self.published += sent.life == self.life and sent.state != CONFIRMED
        if sent.sets is not None and sent.persistent:
            self.values.confirm(sent.sets)
        sent.state = CONFIRMED
        if sent.persistent and sent.target.startswith("queue:"):
            # There is one order for all that is written to the disk.
            self.safe = max(self.safe, sent.stamp)
        # What comes when its time is over is nobody's, and only counted.
        in_time = sent.expires_s is None or self.now_s() < sent.expires_s
        if sent.by_cron and sent.due_s is not None:
            # A line whose time has gone by means another day.
            if self.now_s() >= sent.due_s:
                return
            self.due_until_s = max(self.due_until_s, sent.due_s)
        for holder, generation in sent.wanted:
            if holder.generation == generation and (
                sent.expires_s is None or (in_time and holder.buries(sent))
            ):
                if sent.persistent:
                    holder.copy_of(sent).must = True
                elif holder.keeps_passing and sent.life == self.life:
                    # Else it may have been taken before, and have ended with that process.
                    holder.copy_of(sent).must_in = self.life

    def refused(self, copy: Copy) -> None:
        """That a copy is not wanted was answered."""
        copy.given_up = self.refusing or copy.rejected

    # -- the gateway's process

    def life_over(self, in_order: bool) -> None:
        """It has ended; `in_order`: with all that it knew on the disk."""
        self.life += 1
        self.heard = self.published = 0
        if in_order:
            self.safe = self.stamp + 1

    # -- dead letters

    def dead_letters(self, origin: str) -> Holder:
        """Of what died in the holder `origin`: a message may die in each of those that took it."""
        holder = self.holder(f"dead letters of {origin}")
        if not holder.ever:
            holder.ordered = False
            holder.may_take(lambda _: True)
        return holder

    def dead(self, sent: Sent, origin: str, reason: str, count: int) -> None:
        """It has come out of the dead letters: whoever it has died with is done with it."""
        holder = self.holders.get(origin)
        if holder is None:
            raise Violation(f"{sent} has died in {origin}, which nobody knows")
        copy = holder.copy_of(sent)
        copy.buried += 1
        self.buried += copy.buried == 1
        copy.acknowledged = True
        others = sent.others
        if count > 1 + others:
            raise Violation(f"{sent} has died {count} times in {origin}")
        if copy.confirmations > others:
            raise Violation(f"{sent} has died in {origin}, though its acknowledgement was confirmed")
        if reason == REJECTED:
            if not copy.rejected and not (copy.refused and self.refusing):
                raise Violation(f"{sent} is said to be rejected in {origin}, and nobody has refused it")
        elif reason == DELIVERY_LIMIT:
            if not self.deliveries_max or holder.tries < self.deliveries_max:
                raise Violation(
                    f"{sent} was given up on in {origin} after {self.deliveries_max} failures, of {holder.tries} tries"
                )
        elif reason == MAXLEN:
            if not self.dropping:
                raise Violation(f"{sent} is said to have been dropped in {origin}, which does not drop")
        elif reason != UNREPRESENTABLE and (reason != EXPIRED or not sent.mortal):
            raise Violation(f"{sent} has died in {origin} of {reason!r}, which has no cause")

    # -- the end

    def look_for_losses(self, dropped: int, dropped_in_this_life: int) -> None:
        """To be called at the end, with how many the gateway says to have dropped.  Raises Violation."""
        lost = [(holder, sent) for holder in self.holders.values() for sent in holder.lost()]
        self._look_at(lost, dropped, "was confirmed, and never comes", lambda holder, _: holder.drops)
        passing = [(holder, sent) for holder in self.holders.values() for sent in holder.lost_passing()]
        what = "was taken, and never comes though the gateway lives"
        # What is not persistent and whose time has run out has no place in dead letters that are full.
        self._look_at(
            passing, dropped_in_this_life, what, lambda holder, sent: holder.drops_passing or sent.mortal
        )

    def _look_at(
        self, lost: list[tuple[Holder, Sent]], dropped: int, what: str, drops: Callable[[Holder, Sent], bool]
    ) -> None:
        """Where nothing is to be dropped nothing is lost, and elsewhere as much as was counted.  Raises Violation."""
        # Whose time is counted from when it comes in may be too late by then, having waited: it is nowhere.
        lost = [(holder, sent) for holder, sent in lost if not sent.life_s or self._came(sent)]
        for holder, sent in lost:
            if not drops(holder, sent):
                raise Violation(f"{holder.name}: {sent} {what}, and nothing may be dropped there")
        if len(lost) > dropped:
            holder, sent = lost[0]
            raise Violation(f"{holder.name}: {sent} {what} ({len(lost)} such, {dropped} counted as dropped)")

    def look_at_groups(self) -> None:
        """To be called at the end.  Raises Violation."""
        for group in self.groups:
            # Of what was carried out a full queue may drop a part.
            whole = [] if self.dropping else group.whole
            missing = [sent for sent in whole if not self._came(sent)]
            if missing and (group.done or len(missing) < len(whole)):
                raise Violation(f"{missing[0]} never came, but its transaction was carried out")

    def look_at_composites(self) -> None:
        """To be called at the end: what names several queues comes to all of them, or none.  Raises Violation."""
        if self.dropping:
            return
        for sent in self.sent.values():
            if len(sent.targets) > 1 and sent.persistent and not sent.mortal:
                kept = [target for target in sent.targets if target in KEPT_TARGETS]
                there = [target for target in kept if self._came_out_of(sent, f"queue {target[6:]}")]
                if there and len(there) < len(kept):
                    raise Violation(f"{sent} came out of {', '.join(there)} only")

    def _came_out_of(self, sent: Sent, holder: str) -> bool:
        copy = self.holders[holder].copies.get(sent.uid)
        return copy is not None and bool(copy.deliveries or copy.buried)

    def _came(self, sent: Sent) -> bool:
        return any(
            sent.uid in holder.copies and holder.copies[sent.uid].deliveries
            for holder in self.holders.values()
        )
