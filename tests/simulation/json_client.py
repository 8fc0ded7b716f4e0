"""A client of `gateway.json` over WebSocket that keeps its side, whatever is done to it, and reports what it sees."""

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tests.simulation import websocket_frames as ws
from tests.simulation.client import Client, Say, anything, confirm, no_more, nothing
from tests.simulation.clock import Clock
from tests.simulation.ledger import Holder, Ledger
from tests.simulation.messages import (
    AUTO_QUEUE,
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
from tests.simulation.mqtt_client import is_shared, matches
from tests.simulation.network import Connection
from tests.simulation.selectors import properties_of
from tests.simulation.stomp_reading import SHARED
from tests.simulation.stomp_sending import composite
from tests.simulation.subscription import AUTO, DURABLE, INDIVIDUAL, LIVE, QUEUE, Subscription
from tests.simulation.transaction import Transaction

LIVES_MS: Final = (50, 1_000, 10_000, 100_000)
DELAYS_MS: Final = (1, 50, 1_000, 4_000)

REMEMBERED_S: Final = 500
"""For how long a key of what is to be sent once can be relied on: less than `core.dedup_window_ms`."""

GARBAGE: Final = (
    ws.frame(ws.TEXT, b"{"),
    ws.frame(ws.TEXT, b"\xff"),
    ws.frame(ws.TEXT, b'[{"op":"ping"}'),
    b"\x81\x01x",  # not masked
    b"\xf1\x80aaaa",  # reserved bits
    b"\x83\x80aaaa",  # an opcode that is none
    b"\x80\x80aaaa",  # goes on with nothing
)
"""Each ends the connection that it comes by."""


class Asked:
    """An operation that waits for its answer."""

    def __init__(self, then: Callable[[], object], refused: Callable[[], object]) -> None:
        self.then = then
        self.refused = refused


class JsonClient(Client):
    """See the module."""

    port: Final = 61614

    def __init__(self, name: str, ledger: Ledger, clock: Clock, say: Say) -> None:
        super().__init__(name, ledger, clock, say)
        # Of the answer to its handshake.
        self._data = b""
        self._messages = ws.Messages()
        self._number = 0
        self._asked: dict[int, Asked] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._credits: dict[str, int] = {}
        self._transaction: Transaction | None = None
        self._durable_wish: Callable[[Sent], bool] | None = None
        self._durable_words: dict[str, Any] = {}
        # What was to be sent once, and has no answer yet: the operation, when, and by which clock.
        self._unsure: dict[int, tuple[Sent, dict[str, Any], int, float]] = {}

    # -- what it does

    def connect(self, connection: Connection) -> None:
        self._begin_connection(connection)
        self._data = b""
        connection.say(ws.REQUEST)

    def send(self, chance: random.Random, size: int, guarded: bool = False) -> None:
        """Send a message, in the transaction if there is one; `guarded`: to where rights are needed."""
        if not self.connected:
            return
        name = chance.choice((*QUEUES, *QUEUES, AUTO_QUEUE, GUARDED_QUEUE))
        topic = chance.choice((*TOPICS, *TOPICS, VIRTUAL_TOPIC, GUARDED_TOPIC))
        target = f"queue:{name}" if chance.random() < 0.6 else f"topic:{topic}"
        if guarded:
            target = chance.choice(sorted(GUARDED))
        if target[6:] in TOPICS and chance.random() < 0.05:
            values = self._ledger.values
            clear = {"to": _name_of(target), "body": "", "durable": True, "retain": True}
            self._op("publish", clear, partial(values.confirm, values.begin(topic, None)))
            return
        k = chance.randrange(KINDS)
        persistent = chance.random() < 0.85
        sent = self._ledger.new(self.name, target, 1, persistent, k, size)
        sent.connection = self._connections
        if chance.random() < 0.12:
            composite(sent, chance)
        names = [_name_of(one) for one in sent.targets]
        words: dict[str, Any] = {
            "to": names[0] if len(names) == 1 else names,
            "properties": properties_of(sent),
        }
        words |= {"body": sent.body, "durable": persistent}
        self._dress(sent, words, chance)
        transaction = self._transaction
        if transaction is not None and chance.random() < 0.7:
            transaction.sends.append(sent)
            self._within(transaction, "publish", words, partial(self._never, sent))
            return
        self._ledger.written(sent)
        if chance.random() < 0.1:
            self._op("publish", words)
            return
        if chance.random() < 0.2:
            words["dedup"] = f"key {sent.uid}"
            self._unsure[sent.uid] = (sent, words, self._clock.us, self._clock.served_offset_s)
        self._op("publish", words, partial(self._confirmed, sent), partial(self._never, sent))

    def _dress(self, sent: Sent, words: dict[str, Any], chance: random.Random) -> None:
        """Further fields, at random."""
        if chance.random() < 0.2:
            sent.priority = words["priority"] = chance.choice((0, 4, 5, 9))
        sent.offset_s = self._clock.served_offset_s
        rare = chance.random()
        if rare < 0.06:
            expires_ms = round(self._clock.served_s() * 1_000) + chance.choice(LIVES_MS)
            sent.expires_s = expires_ms / 1_000
            words["expires_at"] = expires_ms
        elif rare < 0.12:
            sent.life_s = chance.choice(LIVES_MS) / 1_000
            # It counts from when the server has it.
            sent.expires_s = float("inf")
            words["ttl"] = round(sent.life_s * 1_000)
        elif rare < 0.24 and not sent.topic:
            delay_ms = chance.choice(DELAYS_MS)
            sent.due_s = self._clock.served_s() + delay_ms / 1_000
            words["delay"] = delay_ms
        elif rare < 0.36 and sent.topic in TOPICS:
            sent.retains = words["retain"] = True

    def _confirmed(self, sent: Sent) -> None:
        self._unsure.pop(sent.uid, None)
        if sent.life_s:
            sent.expires_s = self._clock.served_s() + sent.life_s
        self._ledger.confirmed(sent)

    def _never(self, sent: Sent) -> None:
        """It was refused: an error says that it has arrived nowhere."""
        self._unsure.pop(sent.uid, None)
        sent.state = NEVER

    def subscribe(self, chance: random.Random) -> None:
        """Read a queue, or a topic, durably or not."""
        if not self.connected or len(self._subscriptions) >= 4:
            return
        kind = chance.choices((DURABLE, QUEUE, AUTO, LIVE, SHARED), (5, 8, 2, 4, 2))[0]
        if kind == DURABLE:
            self.subscribe_durably(chance)
        elif kind == LIVE:
            self._listen(chance)
        elif kind == SHARED:
            holder = self._ledger.holder("shared g")
            holder.may_take(is_shared)
            self._begin(SHARED, holder, INDIVIDUAL, {"from": "share:g/u.s"})
        elif kind == AUTO:
            self._begin(
                QUEUE, self._ledger.holder(f"queue {AUTO_QUEUE}"), AUTO, {"from": f"queue:{AUTO_QUEUE}"}
            )
        else:
            self.read(chance.choice((*QUEUES, AUTO_QUEUE, GUARDED_QUEUE)), chance)

    def read(self, queue: str, chance: random.Random | None = None) -> None:
        """Read a queue."""
        words: dict[str, Any] = {"from": f"queue:{queue}"}
        if chance is not None:
            words |= chance.choice(({}, {"window": 1}, {"window": 3}, {"credit": 2}, {"credit": 0}))
        self._begin(QUEUE, self._ledger.holder(f"queue {queue}"), INDIVIDUAL, words)
        rights = self._ledger.rights
        self._asked[self._number].then = partial(rights.granted, f"queue:{queue}", rights.epoch, self.name)

    def _listen(self, chance: random.Random) -> None:
        """Read a topic for as long as the connection lasts."""
        holder = self._ledger.holder(f"live {self.name} {self._number}")
        wish, words = self._wish(chance)
        mode = chance.choice((AUTO, AUTO, INDIVIDUAL))
        holder.may_take(wish)
        retained = mode == AUTO and not words["no_local"] and chance.random() < 0.4
        subscription = self._begin(LIVE, holder, mode, {**words, "retained": retained})
        if retained:
            filter = words["from"].removeprefix("topic:").replace(".", "/").replace("*", "+")
            subscription.ask_last(self._ledger.values, [one for one in TOPICS if matches(filter, one)])
        if mode == AUTO:
            # What is confirmed from then on comes.
            self._asked[self._number].then = lambda: (
                holder.take(wish) if subscription.id in self._subscriptions else None
            )

    def _wish(self, chance: random.Random) -> tuple[Callable[[Sent], bool], dict[str, Any]]:
        """A topic filter, perhaps without what this client sends itself."""
        filter = chance.choice(("t/a", "t/+"))
        no_local = chance.random() < 0.3
        name = self.name

        def wish(sent: Sent) -> bool:
            mine = no_local and sent.sender == name
            return matches(filter, sent.topic) and not mine

        words = {"from": "topic:" + filter.replace("/", ".").replace("+", "*"), "no_local": no_local}
        return wish, words

    def subscribe_durably(self, chance: random.Random) -> None:
        """Read a topic by a subscription that stays."""
        if self.reads_durably or not self.connected:
            return
        holder = self._ledger.holder(f"durable {self.name}")
        holder.keeps_passing = True
        if self._durable_wish is None:
            self._durable_wish, self._durable_words = self._wish(chance)
            holder.may_take(self._durable_wish)
        wish = self._durable_wish
        self._begin(DURABLE, holder, INDIVIDUAL, {**self._durable_words, "durable": "d"})
        self._asked[self._number].then = lambda: holder.take(wish) if self._durable_wish is wish else None

    def _begin(self, kind: str, holder: Holder, mode: str, words: dict[str, Any]) -> Subscription:
        self._number += 1
        holder.tries += 1
        id = f"j{self._number}"
        subscription = self._subscriptions[id] = Subscription(id, kind, holder, mode, anything)
        if "credit" in words:
            self._credits[id] = words["credit"]
        ack = "auto" if mode == AUTO else "client"
        self._op("subscribe", {"sub": id, "ack": ack, **words}, nothing, partial(self._refused, id))
        return subscription

    def _refused(self, id: str) -> None:
        """There is no such subscription."""
        subscription = self._subscriptions.pop(id, None)
        if subscription is not None:
            subscription.left()

    def unsubscribe(self, chance: random.Random) -> None:
        """Give up a subscription; a durable one for good."""
        if not self.connected or not self._subscriptions or self._transaction is not None:
            return
        id = chance.choice(sorted(self._subscriptions))
        subscription = self._subscriptions[id]
        words: dict[str, Any] = {"sub": id}
        then: Callable[[], object] = nothing
        if subscription.kind == LIVE and subscription.mode == AUTO:
            # What was confirmed before comes before the answer, so it is heard to the end.
            subscription.holder.take_less(no_more)
            then = partial(self._heard_out, subscription)
        else:
            del self._subscriptions[id]
            subscription.left()
            if subscription.kind == DURABLE:
                words["delete"] = True
                subscription.holder.forget()
                self._durable_wish = None
        self._op("unsubscribe", words, then)

    def _heard_out(self, subscription: Subscription) -> None:
        """A live subscription is over."""
        self._subscriptions.pop(subscription.id, None)
        for copy in subscription.holder.copies.values():
            if copy.must and not copy.deliveries:
                raise Violation(
                    f"{self.name} by {subscription.id} never got {copy.sent}, which was confirmed"
                )
        subscription.left()

    def acknowledge(self, chance: random.Random) -> None:
        """Acknowledge some of what it has, or refuse it, and ask for more."""
        if not self.connected:
            return
        for id in list(self._credits):
            if id in self._subscriptions and chance.random() < 0.5:
                self._op("credit", {"sub": id, "count": 2})
        for subscription in list(self._subscriptions.values()):
            if not subscription.owed:
                continue
            at = chance.randrange(len(subscription.owed))
            if chance.random() < 0.15:
                self._refuse(subscription, at, chance)
            else:
                self._settle(subscription, at, chance)

    def _refuse(self, subscription: Subscription, at: int, chance: random.Random) -> None:
        """Give one back, or refuse it, in the transaction if there is one."""
        outcome = chance.choice(("failed", "release", "reject"))
        tag, copy = taken = subscription.owed.pop(at)
        subscription.holder.tries += 1
        words = {"tag": int(tag), "outcome": outcome}
        transaction = self._transaction
        if transaction is not None and chance.random() < 0.5:
            if outcome == "reject":
                transaction.refusals.append((copy, True))
            self._within(
                transaction, "nack", words, partial(self._not_within, transaction, subscription, [taken])
            )
            return
        then: Callable[[], object] = nothing
        if outcome == "reject":
            copy.refused = copy.rejected = True
            then = partial(self._ledger.refused, copy)
        self._op("nack", words, then)

    def acknowledge_all(self) -> None:
        """Acknowledge what it has, and end its transaction."""
        if not self.connected:
            return
        if self._transaction is not None:
            self._end(self._transaction, True)
        for subscription in self._subscriptions.values():
            while subscription.owed:
                self._settle(subscription, 0)

    def _settle(self, subscription: Subscription, at: int, chance: random.Random | None = None) -> None:
        """Acknowledge one, or all up to it."""
        tag = subscription.owed[at][0]
        upto = chance is not None and chance.random() < 0.3
        first = 0 if upto else at
        taken = subscription.owed[first : at + 1]
        del subscription.owed[first : at + 1]
        copies = [copy for _, copy in taken]
        transaction = self._transaction
        words: dict[str, Any] = {"tag": int(tag), "upto": upto}
        if transaction is not None and chance is not None and chance.random() < 0.7:
            transaction.acks += copies
            subscription.holder.tries += 1
            self._within(
                transaction, "ack", words, partial(self._not_within, transaction, subscription, taken)
            )
            return
        for copy in copies:
            copy.acknowledged = True
        self._op("ack", words, lambda: confirm(copies))

    def _within(
        self, transaction: Transaction, op: str, words: dict[str, Any], refused: Callable[[], object]
    ) -> None:
        """An operation of a transaction, which may be beyond its limits."""

        def answered() -> None:
            transaction.unanswered -= 1

        def was_refused() -> None:
            transaction.unanswered -= 1
            refused()

        transaction.unanswered += 1
        self._op(op, {**words, "tx": transaction.id}, answered, was_refused)

    def _not_within(
        self, transaction: Transaction, subscription: Subscription, taken: list[tuple[str, Copy]]
    ) -> None:
        """An acknowledgement, or refusal, is no part of it: those deliveries still wait for one."""
        for _, copy in taken:
            if copy in transaction.acks:
                transaction.acks.remove(copy)
            transaction.refusals = [one for one in transaction.refusals if one[0] is not copy]
        if self._subscriptions.get(subscription.id) is subscription:
            subscription.owed = sorted(subscription.owed + taken, key=lambda one: int(one[0]))

    def transact(self, chance: random.Random) -> None:
        """Begin a transaction, or end it."""
        if not self.connected:
            return
        transaction = self._transaction
        if transaction is None:
            self._number += 1
            self._transaction = Transaction(f"x{self._number}")
            self._op("begin", {"tx": self._transaction.id})
            return
        self._end(transaction, chance.random() >= 0.3)

    def _end(self, transaction: Transaction, commit: bool) -> None:
        self._transaction = None
        if not commit:
            for sent in transaction.sends:
                sent.state = NEVER
            self._op("abort", {"tx": transaction.id}, nothing)
            return
        # Of what was refused it has been told, or will be before the answer.
        sends = [sent for sent in transaction.sends if sent.state != NEVER]
        group = self._ledger.committed(sends, transaction.acks)
        if transaction.unanswered:
            # What is refused does not make the rest of it come to nothing.
            for copy in group.acknowledged:
                copy.group = None
            group.acknowledged = []
            group.loose = True
        refused = transaction.refuse()
        then = partial(self._committed, group, [] if group.loose else refused)
        self._op("commit", {"tx": transaction.id}, then, partial(_not_committed, group))

    def _committed(self, group: Group, refused: list[Copy]) -> None:
        group.sends = [sent for sent in group.sends if sent.state != NEVER]
        for sent in group.sends:
            self._confirmed(sent)
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
        how = chance.choice(("in order", "closes", "breaks"))
        self._say(f"{self.name} leaves: {how}")
        if how == "in order" and self.connected and not self.doomed:
            connection.say(ws.frame(ws.CLOSE, b"\x03\xe8"))
            connection.leave()
        elif how == "closes":
            connection.leave()
        else:
            connection.break_off()
        self._ended(connection)

    @property
    def idle(self) -> bool:
        """Does it wait for nothing?"""
        owed = any(subscription.owed or subscription.due for subscription in self._subscriptions.values())
        waits = self._asked or owed or self._unsure or self._transaction is not None
        return self.connected and not waits

    @property
    def unanswered(self) -> bool:
        """Does it wait for an answer?"""
        return self.connected and bool(self._asked)

    @property
    def reads_durably(self) -> bool:
        return any(subscription.kind == DURABLE for subscription in self._subscriptions.values())

    @property
    def has_durable(self) -> bool:
        return self._durable_wish is not None

    def waits_for(self) -> str:
        """For people."""
        return f"{self.name}: connected {self.connected}, asked {sorted(self._asked)}"

    # -- the wire

    def _op(
        self,
        op: str,
        words: dict[str, Any],
        then: Callable[[], object] | None = None,
        refused: Callable[[], object] | None = None,
    ) -> None:
        """Say one operation; with `then` it wants an answer."""
        self._number += 1
        words = {"op": op, **words}
        if then is not None:
            words["id"] = self._number
            self._asked[self._number] = Asked(then, refused or nothing)
        data = json.dumps(words).encode()
        self._say(f"{self.name} > {data[:110].decode()}")
        if self.connection is not None and not self.doomed:
            self.connection.say(ws.text(data, self._number % 40))

    def _ended(self, connection: Connection) -> None:
        if self.connection is not connection:
            return
        self._say(f"{self.name} is disconnected")
        connection.leave()
        self.connection = None
        self.connected = False
        self._asked.clear()
        if self._transaction is not None:
            for sent in self._transaction.sends:
                sent.state = NEVER
            self._transaction = None
        for subscription in self._subscriptions.values():
            subscription.left()
        self._subscriptions.clear()
        self._credits.clear()

    def _receive(self, connection: Connection, data: bytes) -> None:
        if self.connection is not connection:
            return
        if self.connected:
            self._messages.push(data)
        else:
            self._data += data
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._data.startswith(ws.SWITCHED):
                # It stops, or has no room: it closes.
                self._say(f"{self.name} < {self._data[:60]!r}")
                self._data = b""
                return
            self._messages = ws.Messages()
            self._messages.push(self._data[end + 4 :])
            self.connected = True
            self._op("connect", {"client_id": self.name}, self._welcomed)
        while self.connection is connection and (message := self._messages.next_message()) is not None:
            opcode, payload = message
            if opcode == ws.PING:
                connection.say(ws.frame(ws.PONG, payload))
            elif opcode == ws.TEXT:
                self._say(f"{self.name} < {payload[:110].decode()}")
                self._handle(json.loads(payload))

    def _welcomed(self) -> None:
        """What was to be sent once is sent again, as long as the key is known for sure."""
        for sent, words, us, offset_s in list(self._unsure.values()):
            young = self._clock.us - us < REMEMBERED_S * 1_000_000
            if not young or offset_s != self._clock.served_offset_s:
                del self._unsure[sent.uid]
                continue
            sent.connection = self._connections
            self._ledger.resent(sent)
            self._op("publish", words, partial(self._confirmed, sent), partial(self._refused_again, sent))

    def _refused_again(self, sent: Sent) -> None:
        """The first may have arrived all the same."""
        self._unsure.pop(sent.uid, None)

    def _handle(self, answer: dict[str, Any]) -> None:
        op = answer["op"]
        if op in ("ok", "connected"):
            self._asked.pop(answer["id"]).then()
        elif op == "error":
            if "id" in answer:
                self._asked.pop(answer["id"]).refused()
        elif op == "message":
            self._got(answer)

    def _got(self, message: dict[str, Any]) -> None:
        subscription = self._subscriptions.get(message["sub"])
        if subscription is None:
            # It was on its way when the subscription was given up.
            return
        body = message.get("body", "")
        reader = f"{self.name} by {subscription.id}"
        if not body:
            # Somebody has cleared a last value.
            copy = Copy(self._ledger.nothing)
        else:
            sent = self._ledger.find(body)
            sent.look_at_time(self._clock.served_s(), self._opened_s, self._clock.served_offset_s)
            if message["to"].replace(".", "/") not in [to.replace(".", "/") for to in sent.targets]:
                raise Violation(f"{reader}: {sent} came as {message['to']}")
            if message.get("retained"):
                subscription.told(sent, self._ledger.values, reader)
                return
            redelivered, failures = message.get("redelivered", False), message.get("delivery_count", 0)
            copy = subscription.received(body, sent, reader, redelivered, failures)
        if subscription.mode == AUTO:
            copy.acknowledged = True
            return
        if subscription.id in self._credits:
            self._credits[subscription.id] -= 1
        subscription.owed.append((str(message["tag"]), copy))
        if self.prompt:
            self._settle(subscription, len(subscription.owed) - 1)
            if self._credits.get(subscription.id, 1) <= 0:
                self._credits[subscription.id] = 2
                self._op("credit", {"sub": subscription.id, "count": 2})


def _name_of(target: str) -> str:
    """As this protocol has it."""
    kind, _, path = target.partition(":")
    return f"{kind}:{path.replace('/', '.')}"


def _not_committed(group: Group) -> None:
    """What cannot be done as a whole is aborted."""
    group.came_again()
