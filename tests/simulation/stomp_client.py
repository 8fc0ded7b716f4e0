"""A STOMP client that keeps its side of the protocol, whatever is done to it, and reports what it sees."""

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tests.behaviour import stomp_text
from tests.behaviour.stomp_text import StompFrame
from tests.simulation.client import Client, Say, anything, confirm, no_more, nothing
from tests.simulation.clock import Clock
from tests.simulation.ledger import (
    NEVER,
    QUEUES,
    VIRTUAL_QUEUE,
    VIRTUAL_TOPIC,
    Copy,
    Group,
    Holder,
    Ledger,
    Sent,
    Violation,
    is_for_virtual,
)
from tests.simulation.mqtt_client import matches
from tests.simulation.network import Connection
from tests.simulation.stomp_sending import dressed
from tests.simulation.subscription import (
    AUTO,
    BROWSER,
    CLIENT,
    DURABLE,
    INDIVIDUAL,
    LIVE,
    QUEUE,
    REPLIES,
    Browser,
    Subscription,
)

AUTO_QUEUE: Final = "q3"
"""Where readers that acknowledge nothing may lose what they were sent."""
TOPICS: Final = ("t/a", "t/b")
KINDS: Final = 3
"""Values of the property that selectors ask for."""
DEAD: Final = "DLQ"

VERSIONS: Final = ("1.2", "1.1", "1.2", "1.0")

GARBAGE: Final = (
    b"NONSENSE\n\n\0",
    b"SEND\n\nno destination\0",
    b"SEND\ndestination\n\n\0",  # a header without a colon
    b"SEND\ndestination:/queue/\n\n\0",
    b"ACK\nid:never\nmessage-id:never\nsubscription:never\n\n\0",
    b"COMMIT\ntransaction:never\n\n\0",
    b"SEND\ndestination:/queue/q1\ncontent-length:1\n\nlonger\0",
    b"CONNECT\n\n\0",
)
"""Each ends the connection that it comes by."""

REPLY_QUEUE: Final = "/temp-queue/replies"
"""By this name it is the connection's own."""


class Transaction:
    """What is held back until it is committed."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.sends: list[Sent] = []
        self.acks: list[Copy] = []


class StompClient(Client):
    """See the module."""

    port: Final = 61613

    def __init__(self, name: str, ledger: Ledger, clock: Clock, say: Say) -> None:
        super().__init__(name, ledger, clock, say)
        self.version = VERSIONS[0]
        self.refusals = 0
        self.drains = False
        """Has it begun to take all there is?"""
        self._data = b""
        self._replies = ""
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
        self._begin_connection(connection)
        self._data = b""
        self._said = []
        self._leaving = False
        self._replies = f"temporary:{self.name}-{connection.number}"
        self.version = VERSIONS[connection.number % len(VERSIONS)]
        # Who says nothing speaks 1.0.
        accept = "" if self.version == "1.0" else f" accept-version:{self.version}"
        self._write(f"CONNECT{accept} host:h client-id:{self.name} heart-beat:0,0")

    def send(self, chance: random.Random, size: int) -> None:
        """Send a message, in the transaction if there is one."""
        if not self.connected:
            return
        if chance.random() < 0.6:
            name = chance.choice((*QUEUES, *QUEUES, AUTO_QUEUE))
            destination, target = f"/queue/{name}", f"queue:{name}"
        else:
            topic = chance.choice((*TOPICS, *TOPICS, VIRTUAL_TOPIC))
            destination, target = "/topic/" + topic.replace("/", "."), f"topic:{topic}"
        k = chance.randrange(KINDS)
        persistent = chance.random() < 0.85
        sent = self._ledger.new(self.name, target, 1, persistent, k, size)
        sent.connection = self._connections
        words = f"SEND destination:{destination}" + dressed(sent, chance, self._clock)
        if chance.random() < 0.15:
            self._expect_replies()
            sent.reply_to = self._replies
            words += f" reply-to:{REPLY_QUEUE}"
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

    def _expect_replies(self) -> None:
        """The SEND that names it subscribes to it (RabbitMQ)."""
        if REPLY_QUEUE not in self._subscriptions:
            target = self._replies
            holder = self._ledger.holder(f"replies to {target}")
            holder.may_take(lambda sent: sent.target == target)
            self._subscriptions[REPLY_QUEUE] = Subscription(REPLY_QUEUE, REPLIES, holder, AUTO, anything)

    def subscribe(self, chance: random.Random) -> None:
        """Read a queue, perhaps with a selector, or a topic, durably or not, or look into a queue."""
        if not self.connected or len(self._subscriptions) >= 4:
            return
        mode = chance.choice((CLIENT, INDIVIDUAL, INDIVIDUAL))
        kind = chance.choices((DURABLE, QUEUE, AUTO, LIVE, BROWSER), (7, 10, 2, 4, 2))[0]
        if kind == DURABLE:
            self.subscribe_durably(chance, mode)
            return
        words, wants = "", anything
        if chance.random() < 0.4:
            k = chance.randrange(KINDS)
            words = f" 'selector:k = {k}'"
            wants = _only(k)
        if chance.random() < 0.2:
            words += f" consumer-window-size:{chance.choice((0, 1_000, 100_000))}"
        words += f" {chance.choice(('prefetch-count', 'activemq.prefetchSize'))}:{chance.choice((1, 3, 100))}"
        if kind == BROWSER:
            self.browse(chance.choice((*QUEUES, AUTO_QUEUE)), words, wants)
        elif kind == LIVE:
            self._listen(chance.choice(("t/a", "t/+")), chance.choice((AUTO, AUTO, mode)), words, wants)
        elif kind == AUTO:
            self.read(AUTO_QUEUE, AUTO, words, wants)
        else:
            self.read(chance.choice((*QUEUES, *QUEUES, AUTO_QUEUE, VIRTUAL_QUEUE)), mode, words, wants)

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
        self._write(f"SUBSCRIBE id:{subscription.id} destination:/queue/{queue} ack:{mode}{words}")

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
            return sent.target[:6] == "topic:" and matches(filter, sent.target[6:]) and wants(sent)

        holder.may_take(wish)
        subscription = self._subscribed(LIVE, holder, mode, wants)
        receipt = ""
        if mode == AUTO:
            receipt = self._receipt(
                lambda: holder.take(wish) if subscription.id in self._subscriptions else None
            )
        destination = "/topic/" + filter.replace("/", ".").replace("+", "*")
        self._write(f"SUBSCRIBE id:{subscription.id} destination:{destination} ack:{mode}{words}{receipt}")

    def subscribe_durably(self, chance: random.Random, mode: str) -> None:
        """Read a topic by a subscription that stays."""
        if self.reads_durably or not self.connected:
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
        holder.tries += 1
        subscription = Subscription(f"s{self._number}", kind, holder, mode, wants)
        self._subscriptions[subscription.id] = subscription
        return subscription

    def unsubscribe(self, chance: random.Random) -> None:
        """Give up a subscription; a durable one for good."""
        if not self.connected or not self._subscriptions or self._transaction is not None:
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
        elif subscription.kind == LIVE and subscription.mode == AUTO:
            # What was confirmed before comes before the receipt, so it is heard to the end.
            self._subscriptions[id] = subscription
            subscription.holder.take_less(no_more)
            then = partial(self._heard_out, subscription)
        else:
            subscription.left()
        self._write(words + self._receipt(then))

    def _heard_out(self, subscription: Subscription) -> None:
        """A live subscription is over."""
        del self._subscriptions[subscription.id]
        for copy in subscription.holder.copies.values():
            if copy.must and not copy.deliveries:
                raise Violation(
                    f"{self.name} by {subscription.id} never got {copy.sent}, which was confirmed"
                )
        subscription.left()

    def acknowledge(self, chance: random.Random) -> None:
        """Acknowledge some of what it has, or refuse it."""
        if not self.connected:
            return
        for subscription in list(self._subscriptions.values()):
            if subscription.owed:
                at = chance.randrange(len(subscription.owed))
                if chance.random() < 0.15 and subscription.mode == INDIVIDUAL and self.version != "1.0":
                    ack, copy = subscription.owed.pop(at)
                    again = chance.choice(("", "", " requeue:true", " requeue:false"))
                    subscription.holder.tries += 1
                    then: Callable[[], object] = nothing
                    if again != " requeue:true":
                        copy.refused = True
                        copy.rejected = copy.rejected or again == " requeue:false"
                        then = partial(self._ledger.refused, copy)
                    self._write(self._named("NACK", subscription, ack) + again + self._receipt(then))
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
        first = 0 if subscription.mode == CLIENT else at
        taken = subscription.owed[first : at + 1]
        del subscription.owed[first : at + 1]
        copies = [copy for _, copy in taken]
        transaction = self._transaction
        if transaction is not None and chance.random() < 0.7:
            transaction.acks += copies
            subscription.holder.tries += 1
            self._write(self._named("ACK", subscription, ack) + f" transaction:{transaction.id}")
            return
        for copy in copies:
            copy.acknowledged = True
        self._write(self._named("ACK", subscription, ack) + self._receipt(lambda: confirm(copies)))

    def _named(self, command: str, subscription: Subscription, ack: str) -> str:
        """Each version names what it acknowledges in its own way."""
        if self.version == "1.2":
            return f"{command} id:{ack}"
        return f"{command} subscription:{subscription.id} message-id:{ack}"

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

    def talk_nonsense(self, chance: random.Random) -> None:
        """Say what ends the connection."""
        if self.connected and self.connection is not None:
            self._say(f"{self.name} > nonsense")
            self.connection.say(chance.choice(GARBAGE))
            self.doomed = True

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
            self._give_up_all()
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

    def _give_up_all(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.left()
        self._subscriptions.clear()

    @property
    def idle(self) -> bool:
        """Does it wait for nothing?"""
        waits = any(
            subscription.owed or (isinstance(subscription, Browser) and not subscription.ended)
            for subscription in self._subscriptions.values()
        )
        return self.connected and not self._receipts and not waits and self._transaction is None

    @property
    def unanswered(self) -> bool:
        """Does it wait for an answer?"""
        return (self.connected or self._leaving) and bool(self._receipts)

    @property
    def in_transaction(self) -> bool:
        return self._transaction is not None

    @property
    def reads_durably(self) -> bool:
        return any(subscription.kind == DURABLE for subscription in self._subscriptions.values())

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
        if self.connection is not None and not self.doomed:
            self.connection.say(stomp_text.write(words, self.version))

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
        self._give_up_all()
        self.drains = False

    def _receive(self, connection: Connection, data: bytes) -> None:
        if self.connection is not connection:
            return
        self._data += data
        while self.connection is connection:
            frame, end = stomp_text.parse(self._data, self.version)
            self._data = self._data[end:]
            if frame is None:
                return
            self._say(partial(_shown, self.name, frame))
            self._handle(frame)

    def _handle(self, frame: StompFrame) -> None:
        if frame.command == "CONNECTED":
            self.connected = True
            if (agreed := frame.get("version") or "1.0") != self.version:
                raise Violation(f"{self.name} asked for STOMP {self.version}, and is told {agreed}")
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
        if isinstance(subscription, Browser) and frame.get("browser") == "end":
            subscription.ended = True
            return
        if not frame.body:
            # Somebody has cleared a last value.
            if subscription.mode != AUTO:
                self._owe(subscription, frame, Copy(self._ledger.nothing))
            return
        sent = self._ledger.find(frame.body)
        if subscription.holder.name == f"queue {DEAD}":
            self._owe(subscription, frame, self._dead(subscription, sent, frame, reader))
            return
        sent.look_at_time(self._clock.served_s(), self._opened_s, self._clock.served_offset_s)
        if isinstance(subscription, Browser):
            subscription.show(sent, reader)
            return
        redelivered, failures = _tried(frame)
        copy = subscription.received(frame.body, sent, reader, redelivered, failures, self._is_late)
        if sent.reply_to and subscription.kind == QUEUE and sent.uid % 2:
            self._reply(sent, frame.get("reply-to") or "")
        if subscription.mode == AUTO:
            copy.acknowledged = True
            return
        self._owe(subscription, frame, copy)

    @property
    def _is_late(self) -> bool:
        """Has the gateway ended the connection from which this is read?"""
        return self.connection is None or self.connection.is_ended

    def _dead(self, subscription: Subscription, sent: Sent, frame: StompFrame, reader: str) -> Copy:
        """A dead letter, which says of what it has died, and where."""
        deaths = json.loads(frame.get("x-death") or "[]")
        if not deaths:
            raise Violation(f"{reader} got {sent} from the dead letters, without a cause")
        origin = _holder_of(deaths[0]["queue"])
        if not origin:
            return Copy(sent)
        grave = self._ledger.dead_letters(origin)
        grave.tries = subscription.holder.tries
        redelivered, failures = _tried(frame)
        copy = grave.received(frame.body, reader, redelivered, False, failures, late=self._is_late)
        self._ledger.dead(sent, origin, deaths[0]["reason"], deaths[0]["count"])
        return copy

    def _owe(self, subscription: Subscription, frame: StompFrame, copy: Copy) -> None:
        ack = frame.get("ack" if self.version == "1.2" else "message-id") or ""
        subscription.owed.append((ack, copy))
        if self.prompt:
            self._settle(subscription, len(subscription.owed) - 1, _Never())

    def _reply(self, sent: Sent, destination: str) -> None:
        """To whoever has sent it; that is perhaps not there any more, so nobody is told whether it arrives."""
        reply = self._ledger.new(self.name, sent.reply_to, 1, False, -1, 20)
        self._ledger.written(reply)
        self._write(f"SEND destination:{destination} body:{reply.body}")


class _Never(random.Random):
    """Chance for what is left to none."""

    def random(self) -> float:
        return 0.99


def _tried(frame: StompFrame) -> tuple[bool, int]:
    """Does it say that it has come before, and how often in vain?"""
    return frame.get("redelivered") == "true", int(frame.get("x-mx-delivery-count") or "0")


def _holder_of(origin: str) -> str:
    """The holder of which a dead letter says that it died there, by the key of its queue; empty for one of no name."""
    kind, colon, rest = origin.partition(":")
    if not colon:
        return f"queue {origin}"
    if kind == "private":
        return ""
    # The length of the client's name comes first.
    return f"{kind} {rest.partition(':')[2].partition('/')[0]}"


def _only(k: int) -> Callable[[Sent], bool]:
    return lambda sent: sent.k == k


def _shown(reader: str, frame: StompFrame) -> str:
    headers: Any = dict(frame.headers)
    names = ("receipt-id", "subscription", "ack", "redelivered", "message", "destination")
    words = [f"{name}:{headers[name]}" for name in names if name in headers]
    return " ".join([reader, "<", frame.command, *words, frame.body[:20].replace("\n", " ")])
