"""The half of a STOMP client that reads: queues, topics, durable and shared subscriptions, and what it looks into."""

import random
from collections.abc import Callable
from functools import partial
from typing import Final

from tests.simulation.client import Client, Say, anything, no_more, nothing
from tests.simulation.clock import Clock
from tests.simulation.ledger import Holder, Ledger
from tests.simulation.messages import (
    AUTO_QUEUE,
    GUARDED_QUEUE,
    GUARDED_TOPIC,
    QUEUES,
    TOPICS,
    VIRTUAL_QUEUE,
    Sent,
    Violation,
    is_for_virtual,
)
from tests.simulation.mqtt_client import is_shared, matches
from tests.simulation.selectors import SELECTORS
from tests.simulation.stomp_frames import target_of, to
from tests.simulation.subscription import (
    AUTO,
    BROWSER,
    CLIENT,
    DURABLE,
    INDIVIDUAL,
    LIVE,
    QUEUE,
    SEVERAL,
    Browser,
    Several,
    Subscription,
)

OTHERS: Final = "others"
"""A durable subscription of somebody else."""
OWNERS: Final = ("s1", "s2", "j1")
SHARED: Final = "shared"

QUEUE_PATTERNS: Final = ("/queue/q.*", "/queue/q.>")
SEVERAL_AT_ONCE: Final = (
    QUEUE_PATTERNS[:1],
    QUEUE_PATTERNS[1:],
    ("/queue/q.2", "/queue/q.1"),
    ("/queue/q.1", "/topic/t.a"),
    ("/queue/*.q", "/queue/q.1"),
    ("/topic/t.b", f"/queue/{AUTO_QUEUE}", "/queue/q.*"),
)


class StompReader(Client):
    """See the module."""

    def __init__(self, name: str, ledger: Ledger, clock: Clock, say: Say) -> None:
        super().__init__(name, ledger, clock, say)
        self.has_durable = False
        """May it have a durable subscription?"""
        self._number = 0
        self._subscriptions: dict[str, Subscription] = {}
        self._durable_wish: Callable[[Sent], bool] | None = None
        self._durable_words = ""

    def _write(self, words: str) -> None:
        """Say that."""
        raise NotImplementedError

    def _receipt(self, then: Callable[[], object]) -> str:
        """Words that ask for a receipt, and what is to be done then."""
        raise NotImplementedError

    @property
    def in_transaction(self) -> bool:
        """Is one open?"""
        raise NotImplementedError

    @property
    def reads_durably(self) -> bool:
        """Does it read its durable subscription?"""
        return any(subscription.kind == DURABLE for subscription in self._subscriptions.values())

    def subscribe(self, chance: random.Random) -> None:
        """Read a queue, perhaps with a selector, or a topic, durably or not, or look into a queue."""
        if not self.connected or len(self._subscriptions) >= 4:
            return
        mode = chance.choice((CLIENT, INDIVIDUAL, INDIVIDUAL))
        kind = chance.choices(
            (DURABLE, QUEUE, AUTO, LIVE, BROWSER, SEVERAL, OTHERS, SHARED), (7, 10, 2, 4, 2, 4, 2, 2)
        )[0]
        if kind == DURABLE:
            self.subscribe_durably(chance, mode)
            return
        words, wants = "", anything
        if chance.random() < 0.4:
            text, wants = chance.choice(SELECTORS)
            words = f' "selector:{text}"'
        if chance.random() < 0.2:
            words += f" consumer-window-size:{chance.choice((0, 1_000, 100_000))}"
        words += f" {chance.choice(('prefetch-count', 'activemq.prefetchSize'))}:{chance.choice((1, 3, 100))}"
        if kind == BROWSER:
            self.browse(chance.choice((*QUEUES, AUTO_QUEUE)), words, wants)
        elif kind == SEVERAL:
            self._read_several(chance.choice(SEVERAL_AT_ONCE), mode, words, wants)
        elif kind == OTHERS:
            self._read_of_other(chance.choice(OWNERS), mode, words)
        elif kind == SHARED:
            # A selector would be the whole group's.
            self._share(mode)
        elif kind == LIVE:
            self._listen(
                chance.choice(("t/a", "t/+", "t/+", "+/a", GUARDED_TOPIC)),
                chance.choice((AUTO, AUTO, mode)),
                words,
                wants,
            )
        elif kind == AUTO:
            self.read(AUTO_QUEUE, AUTO, words, wants)
        else:
            queues = (*QUEUES, *QUEUES, AUTO_QUEUE, VIRTUAL_QUEUE, GUARDED_QUEUE)
            self.read(chance.choice(queues), mode, words, wants)

    def read(
        self, queue: str, mode: str, words: str = "", wants: Callable[[Sent], bool] | None = None
    ) -> None:
        """Read a queue."""
        holder = self._ledger.holder(f"queue {queue}")
        subscription = self._subscribed(QUEUE, holder, mode, wants or anything)
        if holder.is_virtual:
            words += self._receipt(
                lambda: holder.take(is_for_virtual) if subscription.id in self._subscriptions else None
            )
        elif queue == GUARDED_QUEUE:
            words += self._receipt(self._granted(f"queue:{queue}"))
        self._write(f"SUBSCRIBE id:{subscription.id} destination:/queue/{queue} ack:{mode}{words}")

    def _read_several(
        self, destinations: tuple[str, ...], mode: str, words: str, wants: Callable[[Sent], bool]
    ) -> None:
        """Read several by one subscription, named one by one or by a pattern."""
        holders: dict[str, Holder] = {}
        for destination in destinations:
            if destination == "/queue/*.q":
                holders[f"queue:{GUARDED_QUEUE}"] = self._ledger.holder(f"queue {GUARDED_QUEUE}")
            elif destination in QUEUE_PATTERNS:
                holders |= {f"queue:{name}": self._ledger.holder(f"queue {name}") for name in QUEUES}
            elif destination.startswith("/queue/"):
                name = destination.removeprefix("/queue/")
                holders[f"queue:{name}"] = self._ledger.holder(f"queue {name}")
            else:
                target = target_of(destination)
                holder = holders[target] = self._ledger.holder(f"live {self.name} {self._number}")
                holder.may_take(to(target, wants))
        self._number += 1
        subscription = Several(f"s{self._number}", holders, mode, wants)
        subscription.tries()
        self._subscriptions[subscription.id] = subscription
        destination = ",".join(destinations)
        self._write(f"SUBSCRIBE id:{subscription.id} destination:{destination} ack:{mode}{words}")

    def _read_of_other(self, owner: str, mode: str, words: str) -> None:
        """Read a durable subscription of somebody else, if it is there."""
        subscription = self._subscribed(OTHERS, self._ledger.holder(f"durable {owner}"), mode, anything)
        self._write(f"SUBSCRIBE id:{subscription.id} destination:/dsub/{owner}/d ack:{mode}{words}")

    def _share(self, mode: str) -> None:
        """Read what clients of MQTT share."""
        holder = self._ledger.holder("shared g")
        holder.may_take(is_shared)
        subscription = self._subscribed(SHARED, holder, mode, anything)
        self._write(f"SUBSCRIBE id:{subscription.id} destination:/share/g/u.s ack:{mode}")

    def browse(self, queue: str, words: str = "", wants: Callable[[Sent], bool] | None = None) -> None:
        """Look into a queue."""
        self._number += 1
        browser = Browser(f"s{self._number}", self._ledger.holder(f"queue {queue}"), wants or anything)
        self._subscriptions[browser.id] = browser
        self._write(f"SUBSCRIBE id:{browser.id} destination:/queue/{queue} browser:true{words}")

    def _listen(self, filter: str, mode: str, words: str, wants: Callable[[Sent], bool]) -> None:
        """Read a topic for as long as the connection lasts."""
        holder = self._ledger.holder(f"live {self.name} {self._number}")

        def wish(sent: Sent) -> bool:
            return matches(filter, sent.topic) and wants(sent)

        def sure(sent: Sent) -> bool:
            return sent.topic != GUARDED_TOPIC and wish(sent)

        holder.may_take(wish)
        subscription = self._subscribed(LIVE, holder, mode, wants)
        receipt = ""
        if filter == GUARDED_TOPIC:
            # What is guarded may be taken from it.
            receipt = self._receipt(self._granted(f"topic:{filter}"))
        elif mode == AUTO:
            receipt = self._receipt(
                lambda: holder.take(sure) if subscription.id in self._subscriptions else None
            )
            if wants is anything and self._number % 3 == 0:
                subscription.ask_last(
                    self._ledger.values, [topic for topic in TOPICS if matches(filter, topic)]
                )
                receipt += " retained:true"
        destination = "/topic/" + filter.replace("/", ".").replace("+", "*")
        self._write(f"SUBSCRIBE id:{subscription.id} destination:{destination} ack:{mode}{words}{receipt}")

    def _granted(self, target: str) -> Callable[[], object]:
        """What is to be done once it is told to be reading that."""
        rights = self._ledger.rights
        return partial(rights.granted, target, rights.epoch, self.name)

    def subscribe_durably(self, chance: random.Random, mode: str) -> None:
        """Read a topic by a subscription that stays."""
        if self.reads_durably or not self.connected:
            return
        holder = self._ledger.holder(f"durable {self.name}")
        holder.keeps_passing = True
        if self._durable_wish is None:
            filter = chance.choice(("t/a", "t/+"))
            self._durable_words = "/topic/" + filter.replace("/", ".").replace("+", "*")
            selected = anything
            if chance.random() < 0.5:
                text, selected = chance.choice(SELECTORS)
                self._durable_words += f' "selector:{text}"'
            self._durable_wish = lambda sent: matches(filter, sent.topic) and selected(sent)
            holder.may_take(self._durable_wish)
        wish = self._durable_wish
        self.has_durable = True
        subscription = self._subscribed(DURABLE, holder, mode, wish)
        receipt = self._receipt(lambda: holder.take(wish) if self._durable_wish is wish else None)
        self._write(
            f"SUBSCRIBE id:{subscription.id} ack:{mode} activemq.subscriptionName:d{receipt}"
            f" destination:{self._durable_words}"
        )

    def _subscribed(
        self, kind: str, holder: Holder, mode: str, wants: Callable[[Sent], bool]
    ) -> Subscription:
        self._number += 1
        subscription = Subscription(f"s{self._number}", kind, holder, mode, wants)
        subscription.tries()
        self._subscriptions[subscription.id] = subscription
        return subscription

    def unsubscribe(self, chance: random.Random) -> None:
        """Give up a subscription; a durable one for good."""
        if not self.connected or not self._subscriptions or self.in_transaction:
            return
        id = chance.choice(sorted(self._subscriptions))
        subscription = self._subscriptions.pop(id)
        words = f"UNSUBSCRIBE id:{id}"
        then: Callable[[], object] = nothing
        if subscription.kind == DURABLE:
            words += " activemq.subscriptionName:d"
            subscription.holder.forget()
            # Until it is known to be gone, the old one may still be there.
            self._durable_wish = None
            then = self._has_no_durable
        elif subscription.kind == LIVE and subscription.mode == AUTO:
            # What was confirmed before comes before the receipt, so it is heard to the end.
            self._subscriptions[id] = subscription
            subscription.holder.take_less(no_more)
            then = partial(self._heard_out, subscription)
        else:
            subscription.left()
        self._write(words + self._receipt(then))

    def _has_no_durable(self) -> None:
        """Its durable subscription is gone for good."""
        self.has_durable = False

    def _heard_out(self, subscription: Subscription) -> None:
        """A live subscription is over."""
        del self._subscriptions[subscription.id]
        for copy in subscription.holder.copies.values():
            if copy.must and not copy.deliveries:
                raise Violation(
                    f"{self.name} by {subscription.id} never got {copy.sent}, which was confirmed"
                )
        subscription.left()
