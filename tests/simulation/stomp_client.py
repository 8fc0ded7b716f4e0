"""A STOMP client that keeps its side of the protocol, whatever is done to it, and reports what it sees."""

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Final

from tests.behaviour import stomp_text
from tests.behaviour.stomp_text import StompFrame
from tests.simulation.client import Say, anything, confirm, nothing
from tests.simulation.clock import Clock
from tests.simulation.ledger import Ledger
from tests.simulation.messages import (
    AUTO_QUEUE,
    DEAD,
    GUARDED,
    GUARDED_QUEUE,
    GUARDED_TOPIC,
    KINDS,
    NEVER,
    QUEUES,
    TOPICS,
    VIRTUAL_TOPIC,
    Copy,
    Group,
    Sent,
    Violation,
)
from tests.simulation.network import Connection
from tests.simulation.stomp_frames import (
    GARBAGE,
    destination_of,
    holder_of,
    shown,
    target_of,
    tried,
)
from tests.simulation.stomp_reading import OTHERS, SHARED, StompReader
from tests.simulation.stomp_sending import composite, dressed
from tests.simulation.subscription import (
    AUTO,
    CLIENT,
    DURABLE,
    INDIVIDUAL,
    LIVE,
    QUEUE,
    REPLIES,
    SEVERAL,
    Browser,
    Subscription,
)
from tests.simulation.transaction import Transaction

VERSIONS: Final = ("1.2", "1.1", "1.2", "1.0")

REPLY_QUEUE: Final = "/temp-queue/replies"
"""By this name it is the connection's own."""


PLAIN: Final = (QUEUE, DURABLE, LIVE, SEVERAL, OTHERS, SHARED)


class StompClient(StompReader):
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
        self._transaction: Transaction | None = None
        # Sent in this connection, outside of transactions: the receipt of DISCONNECT confirms all of it.
        self._said: list[Sent] = []
        self._leaving = False

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

    def send(self, chance: random.Random, size: int, guarded: bool = False) -> None:
        """Send a message, in the transaction if there is one; `guarded`: to where rights are needed."""
        if not self.connected:
            return
        if chance.random() < 0.6:
            target = f"queue:{chance.choice((*QUEUES, *QUEUES, AUTO_QUEUE, GUARDED_QUEUE))}"
        else:
            target = f"topic:{chance.choice((*TOPICS, *TOPICS, VIRTUAL_TOPIC, GUARDED_TOPIC))}"
        if guarded:
            target = chance.choice(sorted(GUARDED))
        if target[6:] in TOPICS and chance.random() < 0.05:
            self._clear(target[6:])
            return
        k = chance.randrange(KINDS)
        persistent = chance.random() < 0.85
        sent = self._ledger.new(self.name, target, 1, persistent, k, size)
        sent.connection = self._connections
        if chance.random() < 0.12:
            composite(sent, chance)
        destination = ",".join(map(destination_of, sent.targets))
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

    def _clear(self, topic: str) -> None:
        """Take a topic's last value back."""
        values = self._ledger.values
        receipt = self._receipt(partial(values.confirm, values.begin(topic, None)))
        self._write(
            f"SEND destination:{destination_of(f'topic:{topic}')} persistent:true retain:true{receipt}"
        )

    def _expect_replies(self) -> None:
        """The SEND that names it subscribes to it (RabbitMQ)."""
        if REPLY_QUEUE not in self._subscriptions:
            target = self._replies
            holder = self._ledger.holder(f"replies to {target}")
            holder.may_take(lambda sent: target in sent.targets)
            self._subscriptions[REPLY_QUEUE] = Subscription(REPLY_QUEUE, REPLIES, holder, AUTO, anything)

    def acknowledge(self, chance: random.Random) -> None:
        """Acknowledge some of what it has, or refuse it."""
        if not self.connected:
            return
        for subscription in list(self._subscriptions.values()):
            if subscription.owed:
                at = chance.randrange(len(subscription.owed))
                if chance.random() < 0.15 and subscription.mode == INDIVIDUAL and self.version != "1.0":
                    self._refuse(subscription, at, chance)
                else:
                    self._settle(subscription, at, chance)

    def _refuse(self, subscription: Subscription, at: int, chance: random.Random) -> None:
        """NACK one, in the transaction if there is one."""
        ack, copy = subscription.owed.pop(self._first_of(subscription, at))
        again = chance.choice(("", "", " requeue:true", " requeue:false"))
        subscription.tries()
        words = self._named("NACK", subscription, ack) + again
        final, rejected = again != " requeue:true", again == " requeue:false"
        transaction = self._transaction
        if transaction is not None and chance.random() < 0.7:
            if final:
                transaction.refusals.append((copy, rejected))
            self._write(f"{words} transaction:{transaction.id}")
            return
        then: Callable[[], object] = nothing
        if final:
            copy.refused = True
            copy.rejected = copy.rejected or rejected
            then = partial(self._ledger.refused, copy)
        self._write(words + self._receipt(then))

    def _first_of(self, subscription: Subscription, at: int) -> int:
        """Before 1.2, what has come twice by one subscription is acknowledged in the order in which it came."""
        ack = subscription.owed[at][0]
        return next(place for place, (other, _) in enumerate(subscription.owed) if other == ack)

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
        at = self._first_of(subscription, at)
        ack = subscription.owed[at][0]
        first = 0 if subscription.mode == CLIENT else at
        taken = subscription.owed[first : at + 1]
        del subscription.owed[first : at + 1]
        copies = [copy for _, copy in taken]
        transaction = self._transaction
        if transaction is not None and chance.random() < 0.7:
            transaction.acks += copies
            subscription.tries()
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
        refused = transaction.refuse()
        then = partial(self._committed, group, refused)
        self._write(f"COMMIT transaction:{transaction.id}" + self._receipt(then))

    def _committed(self, group: Group, refused: list[Copy]) -> None:
        for sent in group.sends:
            self._ledger.confirmed(sent)
        group.confirm()
        for copy in refused:
            self._ledger.refused(copy)

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
            subscription.owed
            or subscription.due
            or (isinstance(subscription, Browser) and not subscription.ended)
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
            self._say(partial(shown, self.name, frame))
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
        if frame.get("retained") == "true":
            subscription.told(sent, self._ledger.values, reader)
            return
        redelivered, failures = tried(frame)
        target = target_of(frame.get("destination") or "") if self._is_plain(subscription) else ""
        copy = subscription.received(
            frame.body, sent, reader, redelivered, failures, self._is_late, target=target
        )
        if sent.reply_to and subscription.kind == QUEUE and sent.uid % 2:
            self._reply(sent, frame.get("reply-to") or "")
        if subscription.mode == AUTO:
            copy.acknowledged = True
            return
        self._owe(subscription, frame, copy)

    def _is_plain(self, subscription: Subscription) -> bool:
        """Does what comes say where it was sent to, whoever made it so?"""
        return subscription.kind in PLAIN and not subscription.holder.is_virtual

    @property
    def _is_late(self) -> bool:
        """Has the gateway ended the connection from which this is read?"""
        return self.connection is None or self.connection.is_ended

    def _dead(self, subscription: Subscription, sent: Sent, frame: StompFrame, reader: str) -> Copy:
        """A dead letter, which says of what it has died, and where."""
        deaths = json.loads(frame.get("x-death") or "[]")
        if not deaths:
            raise Violation(f"{reader} got {sent} from the dead letters, without a cause")
        origin = holder_of(deaths[0]["queue"])
        if not origin:
            return Copy(sent)
        grave = self._ledger.dead_letters(origin)
        grave.tries = subscription.holder.tries
        redelivered, failures = tried(frame)
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
