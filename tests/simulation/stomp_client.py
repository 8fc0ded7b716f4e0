"""A STOMP client that keeps its side of the protocol, whatever is done to it, and reports what it sees."""

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tests.behaviour import stomp_text
from tests.behaviour.stomp_text import StompFrame
from tests.simulation.ledger import NEVER, Copy, Group, Holder, Ledger, Sent, Violation
from tests.simulation.mqtt_client import matches
from tests.simulation.network import Connection

QUEUES: Final = ("q1", "q2")
TOPICS: Final = ("t/a", "t/b")
KINDS: Final = 3
"""Values of the property that selectors ask for."""
DEAD: Final = "DLQ"


class Subscription:
    """What the client has asked for, and what it has of it."""

    def __init__(
        self, id: str, holder: Holder, mode: str, wants: Callable[[Sent], bool], durable: bool
    ) -> None:
        self.id = id
        self.holder = holder
        self.mode = mode
        self.wants = wants
        self.durable = durable
        self.owed: list[tuple[str, Copy]] = []
        """Ack id and copy of what is not acknowledged yet, oldest first."""


class Transaction:
    """What is held back until it is committed."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.sends: list[Sent] = []
        self.acks: list[Copy] = []


class StompClient:
    """See the module."""

    port: Final = 61613

    def __init__(self, name: str, ledger: Ledger, say: Callable[[str | Callable[[], str]], None]) -> None:
        self.name = name
        self.connection: Connection | None = None
        self.prompt = True
        """Acknowledges at once."""
        self.connected = False
        self.refusals = 0
        self.drains = False
        """Has it begun to take all there is?"""
        self._ledger = ledger
        self._say = say
        self._data = b""
        self._receipts: dict[str, Callable[[], object]] = {}
        self._number = 0
        self._subscriptions: dict[str, Subscription] = {}
        self._transaction: Transaction | None = None
        # Sent in this connection, outside of transactions: the receipt of DISCONNECT confirms all of it.
        self._said: list[Sent] = []
        self._leaving = False
        self._durable_wish: Callable[[Sent], bool] | None = None
        self._durable_words = ""

    # -- what it does

    def connect(self, connection: Connection) -> None:
        self.connection = connection
        connection.on_bytes = lambda data: self._receive(connection, data)
        connection.on_end = lambda: self._ended(connection)
        self._data = b""
        self._said = []
        self._leaving = False
        self._write(f"CONNECT accept-version:1.2 host:h client-id:{self.name} heart-beat:0,0")

    def send(self, chance: random.Random, size: int) -> None:
        """Send a message, in the transaction if there is one."""
        if not self.connected:
            return
        if chance.random() < 0.6:
            name = chance.choice(QUEUES)
            destination, target = f"/queue/{name}", f"queue:{name}"
        else:
            topic = chance.choice(TOPICS)
            destination, target = "/topic/" + topic.replace("/", "."), f"topic:{topic}"
        k = chance.randrange(KINDS)
        persistent = chance.random() < 0.85
        sent = self._ledger.new(self.name, target, 1, persistent, k, size)
        words = f"SEND destination:{destination} k:{k}{' persistent:true' if persistent else ''}"
        if self._transaction is not None and chance.random() < 0.7:
            self._transaction.sends.append(sent)
            words += f" transaction:{self._transaction.id}"
            if chance.random() < 0.3:
                words += self._receipt(lambda: None)
        else:
            self._ledger.written(sent)
            self._said.append(sent)
            if chance.random() < 0.9:
                words += self._receipt(lambda: self._ledger.confirmed(sent))
        self._write(f"{words} body:{sent.body}")

    def subscribe(self, chance: random.Random) -> None:
        """Read a queue, perhaps with a selector, or a topic durably."""
        if not self.connected or len(self._subscriptions) >= 3:
            return
        mode = chance.choice(("client", "client-individual", "client-individual"))
        if chance.random() < 0.35:
            self.subscribe_durably(chance, mode)
            return
        words, wants = "", _anything
        if chance.random() < 0.4:
            k = chance.randrange(KINDS)
            words = f" 'selector:k = {k}'"
            wants = _only(k)
        self.read(chance.choice(QUEUES), mode, words, wants, chance.choice((1, 3, 100)))

    def read(
        self,
        queue: str,
        mode: str,
        words: str = "",
        wants: Callable[[Sent], bool] | None = None,
        most: int = 100,
    ) -> None:
        """Read a queue."""
        holder = self._ledger.holder(f"queue {queue}")
        subscription = self._subscribed(holder, mode, wants or _anything, False)
        self._write(
            f"SUBSCRIBE id:{subscription.id} destination:/queue/{queue} ack:{mode} prefetch-count:{most}{words}"
        )

    def subscribe_durably(self, chance: random.Random, mode: str) -> None:
        """Read a topic by a subscription that stays."""
        if any(subscription.durable for subscription in self._subscriptions.values()) or not self.connected:
            return
        holder = self._ledger.holder(f"durable {self.name}")
        holder.keeps_passing = True
        if self._durable_wish is None:
            filter = chance.choice(("t/a", "t/+"))
            k = chance.choice((-1, -1, 0, 1))
            self._durable_words = "/topic/" + filter.replace("/", ".").replace("+", "*")
            if k >= 0:
                self._durable_words += f" 'selector:k = {k}'"
            self._durable_wish = lambda sent: (
                sent.target[:6] == "topic:" and matches(filter, sent.target[6:]) and k in (-1, sent.k)
            )
            holder.may_take(self._durable_wish)
        wish = self._durable_wish
        subscription = self._subscribed(holder, mode, wish, True)
        receipt = self._receipt(lambda: holder.take(wish) if self._durable_wish is wish else None)
        self._write(
            f"SUBSCRIBE id:{subscription.id} ack:{mode} activemq.subscriptionName:d{receipt}"
            f" destination:{self._durable_words}"
        )

    def _subscribed(
        self, holder: Holder, mode: str, wants: Callable[[Sent], bool], durable: bool
    ) -> Subscription:
        self._number += 1
        holder.tries += 1
        subscription = Subscription(f"s{self._number}", holder, mode, wants, durable)
        self._subscriptions[subscription.id] = subscription
        return subscription

    def unsubscribe(self, chance: random.Random) -> None:
        """Give up a subscription; a durable one for good."""
        if not self.connected or not self._subscriptions or self._transaction is not None:
            return
        id = chance.choice(sorted(self._subscriptions))
        subscription = self._subscriptions.pop(id)
        words = f"UNSUBSCRIBE id:{id}"
        if subscription.durable:
            words += " activemq.subscriptionName:d"
            subscription.holder.forget()
            # Until it is known to be gone, the old one may still be there.
            self._durable_wish = None
        self._write(words + self._receipt(lambda: None))

    def acknowledge(self, chance: random.Random) -> None:
        """Acknowledge some of what it has, or refuse it."""
        if not self.connected:
            return
        for subscription in list(self._subscriptions.values()):
            if subscription.owed:
                at = chance.randrange(len(subscription.owed))
                if chance.random() < 0.15 and subscription.mode == "client-individual":
                    ack, copy = subscription.owed.pop(at)
                    copy.refused = True
                    subscription.holder.tries += 1
                    self._write(f"NACK id:{ack}" + self._receipt(partial(self._ledger.refused, copy)))
                else:
                    self._settle(subscription, at, chance)

    def acknowledge_all(self) -> None:
        """Acknowledge what it has, and end its transaction."""
        if not self.connected:
            return
        if self._transaction is not None:
            self.transact(_Never())
        for subscription in self._subscriptions.values():
            while subscription.owed:
                self._settle(subscription, 0, _Never())

    def _settle(self, subscription: Subscription, at: int, chance: random.Random) -> None:
        """Acknowledge one, with all before it in mode `client`."""
        ack = subscription.owed[at][0]
        first = 0 if subscription.mode == "client" else at
        taken = subscription.owed[first : at + 1]
        del subscription.owed[first : at + 1]
        copies = [copy for _, copy in taken]
        transaction = self._transaction
        if transaction is not None and chance.random() < 0.7:
            transaction.acks += copies
            subscription.holder.tries += 1
            self._write(f"ACK id:{ack} transaction:{transaction.id}")
            return
        for copy in copies:
            copy.acknowledged = True
        self._write(f"ACK id:{ack}" + self._receipt(lambda: _confirm(copies)))

    def transact(self, chance: random.Random) -> None:
        """Begin a transaction, or end it."""
        if not self.connected:
            return
        transaction = self._transaction
        if transaction is None:
            self._number += 1
            self._transaction = Transaction(f"x{self._number}")
            self._write(f"BEGIN transaction:{self._transaction.id}")
            return
        self._transaction = None
        if chance.random() < 0.3:
            for sent in transaction.sends:
                sent.state = NEVER
            # What was acknowledged in it is delivered again.
            self._write(f"ABORT transaction:{transaction.id}")
            return
        group = self._ledger.committed(transaction.sends, transaction.acks)
        self._write(f"COMMIT transaction:{transaction.id}" + self._receipt(lambda: self._committed(group)))

    def _committed(self, group: Group) -> None:
        for sent in group.sends:
            self._ledger.confirmed(sent)
        group.confirm()

    def leave(self, chance: random.Random) -> None:
        """Disconnect, one way or the other."""
        connection = self.connection
        if connection is None:
            return
        how = chance.choice(("in order", "with a receipt", "closes", "breaks", "half"))
        self._say(f"{self.name} leaves: {how}")
        if how == "with a receipt" and self.connected:
            said = self._said
            self._write("DISCONNECT" + self._receipt(lambda: self._let_go(connection, said)))
            # It says nothing more, and waits for the answer.
            self._leaving = True
            self.connected = False
            self._subscriptions.clear()
            return
        if how == "half":
            connection.end_writing()
            # It hears what it is still told, and is then closed.
            return
        if how == "in order" and self.connected:
            self._write("DISCONNECT")
            connection.leave()
        elif how == "closes":
            connection.leave()
        else:
            connection.break_off()
        self._ended(connection)

    def _let_go(self, connection: Connection, said: list[Sent]) -> None:
        """The receipt of DISCONNECT: all that was said is done, and safe."""
        for sent in said:
            if sent.state != NEVER:
                self._ledger.confirmed(sent)
        self._ended(connection)

    @property
    def idle(self) -> bool:
        """Does it wait for nothing?"""
        owed = any(subscription.owed for subscription in self._subscriptions.values())
        return self.connected and not self._receipts and not owed and self._transaction is None

    @property
    def unanswered(self) -> bool:
        """Does it wait for an answer?"""
        return (self.connected or self._leaving) and bool(self._receipts)

    @property
    def in_transaction(self) -> bool:
        return self._transaction is not None

    @property
    def reads_durably(self) -> bool:
        return any(subscription.durable for subscription in self._subscriptions.values())

    @property
    def has_durable(self) -> bool:
        return self._durable_wish is not None

    def waits_for(self) -> str:
        """For people."""
        return f"{self.name}: connected {self.connected}, receipts {sorted(self._receipts)}"

    # -- the wire

    def _receipt(self, then: Callable[[], object]) -> str:
        self._number += 1
        self._receipts[f"r{self._number}"] = then
        return f" receipt:r{self._number}"

    def _write(self, words: str) -> None:
        self._say(f"{self.name} > {words[:110]}")
        if self.connection is not None:
            self.connection.say(stomp_text.write(words, "1.2"))

    def _ended(self, connection: Connection) -> None:
        if self.connection is not connection:
            return
        self._say(f"{self.name} is disconnected")
        connection.leave()
        self.connection = None
        self.connected = False
        self._leaving = False
        self._receipts.clear()
        if self._transaction is not None:
            for sent in self._transaction.sends:
                sent.state = NEVER
            self._transaction = None
        self._subscriptions.clear()
        self.drains = False

    def _receive(self, connection: Connection, data: bytes) -> None:
        if self.connection is not connection:
            return
        self._data += data
        while self.connection is connection:
            frame, end = stomp_text.parse(self._data, "1.2")
            self._data = self._data[end:]
            if frame is None:
                return
            self._say(partial(_shown, self.name, frame))
            self._handle(frame)

    def _handle(self, frame: StompFrame) -> None:
        if frame.command == "CONNECTED":
            self.connected = True
        elif frame.command == "RECEIPT":
            self._receipts.pop(frame.get("receipt-id") or "")()
        elif frame.command == "ERROR":
            self.refusals += 1
            self._say(f"{self.name} is told: {frame.get('message')}")
        elif frame.command == "MESSAGE":
            self._got(frame)

    def _got(self, frame: StompFrame) -> None:
        subscription = self._subscriptions.get(frame.get("subscription") or "")
        if subscription is None:
            # It was on its way when the subscription was given up.
            return
        reader = f"{self.name} by {subscription.id}"
        redelivered = frame.get("redelivered") == "true"
        failures = int(frame.get("x-mx-delivery-count") or "0")
        holder = subscription.holder
        deaths = json.loads(frame.get("x-death") or "[]")
        if holder.name == f"queue {DEAD}":
            if not deaths:
                raise Violation(f"{reader} got {frame.body[:20]} from the dead letters, without a cause")
            origin = _holder_of(deaths[0]["queue"])
            grave = self._ledger.dead_letters(origin)
            grave.tries = holder.tries
            copy = grave.received(frame.body, reader, redelivered, False, failures)
            self._ledger.dead(copy.sent, origin, deaths[0]["reason"], deaths[0]["count"])
        else:
            copy = holder.received(frame.body, reader, redelivered, False, failures)
        if not subscription.wants(copy.sent):
            raise Violation(f"{reader} got {copy.sent}, which its selector does not want")
        subscription.owed.append((frame.get("ack") or "", copy))
        if self.prompt:
            self._settle(subscription, len(subscription.owed) - 1, _Never())


class _Never(random.Random):
    """Chance for what is left to none."""

    def random(self) -> float:
        return 0.99


def _holder_of(origin: str) -> str:
    """The holder of which a dead letter says that it died there, by the key of its queue."""
    kind, colon, rest = origin.partition(":")
    if not colon:
        return f"queue {origin}"
    # The length of the client's name comes first.
    return f"{kind} {rest.partition(':')[2].partition('/')[0]}"


def _confirm(copies: list[Copy]) -> None:
    for copy in copies:
        copy.confirmations += 1


def _anything(_: Sent) -> bool:
    return True


def _only(k: int) -> Callable[[Sent], bool]:
    return lambda sent: sent.k == k


def _shown(reader: str, frame: StompFrame) -> str:
    headers: Any = dict(frame.headers)
    names = ("receipt-id", "subscription", "ack", "redelivered", "message", "destination")
    words = [f"{name}:{headers[name]}" for name in names if name in headers]
    return " ".join([reader, "<", frame.command, *words, frame.body[:20].replace("\n", " ")])
