"""One STOMP connection: frames to calls on the core, deliveries to frames."""

import secrets
from typing import Final, final

from gateway.connectors.base import Acceptor, Carriage, Connector, Counters, Limits, Service, Turn
from gateway.connectors.stomp.addresses import (
    Source,
    destinations_of,
    share_key,
    source_of,
    temporary_name,
)
from gateway.connectors.stomp.headers_out import StompTarget
from gateway.connectors.stomp.mapping import Head, StompOrigin, message_from
from gateway.connectors.stomp.settings import StompSettings
from gateway.connectors.stomp.subscription import StompSubscription
from gateway.core.delivery import ACCEPTED
from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName
from gateway.core.limits import QueuePolicy
from gateway.core.ports import NOTHING, Credentials
from gateway.core.queue import REFUSED, Queue
from gateway.core.router import Broker, LimitReached
from gateway.core.subscription import Binding
from gateway.core.topics import Topic
from gateway.core.transaction import Transaction, TransactionTooLarge
from protocols.stomp.codec import encode_receipt
from protocols.stomp.connection import StompConnection, StompLimits
from protocols.stomp.constants import V1_2
from protocols.stomp.frames import (
    Abort,
    Ack,
    AckMode,
    Begin,
    Commit,
    Connect,
    ConnectionFailed,
    Disconnect,
    Frame,
    Nack,
    Send,
    Subscribe,
    Unsubscribe,
)
from protocols.stomp.state import NEW

SERVER: Final = "gateway-broker/0.1.0"

TARGETS_REMEMBERED_MAX: Final = 1_024
"""Destinations whose lookup and access check a connection remembers."""


class StompRefusal(Exception):
    """Why a frame cannot be carried out: the message of the ERROR that ends the connection."""


@final
class StompConnector(Connector):
    """See the module and Connector."""

    __slots__ = (
        "_head",
        "_leaving",
        "_queues",
        "_refusing",
        "_settings",
        "_subscriptions",
        "_subscriptions_made",
        "_temporary",
        "_topics",
        "_transactions",
        "_wire",
        "client_id",
        "node",
        "owner",
        "target",
        "version",
    )

    def __init__(
        self,
        broker: Broker,
        turn: Turn,
        limits: Limits,
        counters: Counters,
        peer: str,
        settings: StompSettings,
        node: str,
        owner: str,
        now_ms: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self._settings = settings
        self._wire = StompConnection(
            StompLimits(
                max_frame_size=limits.max_frame_size,
                connect_timeout_ms=limits.connect_timeout_ms,
                max_headers=settings.headers_max,
                max_header_bytes=settings.header_bytes_max,
                heart_beat_send_ms=settings.heart_beat_send_ms,
                heart_beat_want_ms=settings.heart_beat_want_ms,
            ),
            now_ms,
        )
        self.node = node
        """This gateway, in message ids."""
        self.owner = owner
        """This connection, in the names of its temporary queues."""
        self.version = ""
        self.target = StompTarget("", owner, node, broker.counters)
        """What its MESSAGEs are made for."""
        self.client_id = ""
        self._refusing = False
        self._leaving = False
        # Made when first used.
        self._head: Head | None = None
        self._topics: dict[str, Topic] | None = None
        self._queues: dict[str, Queue] | None = None
        self._subscriptions: dict[str, StompSubscription] | None = None
        self._subscriptions_made = 0
        self._transactions: dict[str, Transaction] | None = None
        self._temporary: list[Queue] | None = None

    # -- driven by net

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        """See Connector."""
        self.counters.bytes_in += len(data)
        self._take(data, now_ms)
        while self._wire.more and not self.closing:
            self._take(b"", now_ms)
        self._collect()

    def _take(self, data: bytes, now_ms: int) -> None:
        frames = self._wire.receive_data(data, now_ms)
        if frames:
            for frame in frames:
                try:
                    if isinstance(frame, Send):
                        self._on_send(frame)
                    else:
                        self._on_frame(frame, now_ms)
                except (StompRefusal, InvalidName, LimitReached, TransactionTooLarge) as error:
                    self._fail(str(error), frame.receipt)
                if self.closing:
                    break
            if self.over_rate(len(frames), len(data), now_ms):
                self.on_rate_exceeded()

    def eof(self, now_ms: int) -> None:
        """See Connector."""
        self.broker.now_ms = now_ms
        self._let_go()
        self.detach()

    def next_deadline_ms(self) -> int | None:
        """See Connector."""
        return self._wire.next_deadline_ms()

    def deadline(self, now_ms: int) -> None:
        """See Connector."""
        for frame in self._wire.handle_deadline(now_ms):
            self._on_frame(frame, now_ms)
        self._collect()

    def prepare_out(self, now_ms: int) -> None:
        """See Connector.  What we write stands for a heart-beat."""
        if self.out:
            self._wire.last_sent_ms = now_ms

    def shutdown(self, now_ms: int) -> None:
        """See Connector."""
        self._say_goodbye("the gateway is shutting down")

    def refuse(self, now_ms: int) -> None:
        """See Connector."""
        self._refusing = True

    def reading_changed(self) -> None:
        """See Connector."""
        self._wire.listen(not self.throttled, self.broker.now_ms)

    def resumed(self) -> None:
        """See Connector."""
        if self._subscriptions is not None:
            for subscription in list(self._subscriptions.values()):
                subscription.wake()

    def congestion_changed(self) -> None:
        """See Connector."""
        if self._subscriptions is not None:
            for subscription in self._subscriptions.values():
                subscription.congested = self.congested

    def on_rate_exceeded(self) -> None:
        """See Connector."""
        self.counters.limit_hits += 1
        self._fail("sends faster than its limit", None)

    def release_confirmations(self, position: int) -> bool:
        """See Connector.  After a DISCONNECT the last confirmation ends the connection."""
        more = super().release_confirmations(position)
        if self._leaving and not more:
            self.closing = True
            self.turn.mark(self)
        return more

    # -- frames

    def _on_frame(self, frame: Frame, now_ms: int) -> None:
        if isinstance(frame, Ack):
            self._settle(frame.id, frame.message_id, frame.subscription, frame.transaction, ACCEPTED)
        elif isinstance(frame, Nack):
            outcome = self._settings.nack_outcome(frame.requeue)
            self._settle(frame.id, frame.message_id, frame.subscription, frame.transaction, outcome)
        elif isinstance(frame, Subscribe):
            self._on_subscribe(frame)
            return
        elif isinstance(frame, Unsubscribe):
            self._on_unsubscribe(frame)
        elif isinstance(frame, Begin):
            self._on_begin(frame)
        elif isinstance(frame, Commit):
            self._confirm(self._end_transaction(frame.transaction).commit(), frame.receipt)
            return
        elif isinstance(frame, Abort):
            self._end_transaction(frame.transaction).abort()
        elif isinstance(frame, Connect):
            self._on_connect(frame)
            return
        elif isinstance(frame, Disconnect):
            self._on_disconnect(frame)
            return
        elif isinstance(frame, ConnectionFailed):
            self._on_failed(frame)
            return
        self._confirm(NOTHING, frame.receipt)

    def _confirm(self, position: int, receipt: str | None) -> None:
        """RECEIPT, once `position` is durable (§RECEIPT)."""
        if receipt is not None:
            self.confirm(position, encode_receipt(receipt, self.version))

    def _on_connect(self, connect: Connect) -> None:
        self.version = self._wire.version
        limits = self.limits
        self.target = StompTarget(
            self.version,
            self.owner,
            self.node,
            self.broker.counters,
            limits.carry,
            limits.publish_identity,
            self._settings.untyped_by_length,
        )
        if self._refusing:
            self._refuse("maximumConnections is reached")
            return
        if connect.login is None and self.certificate_user is None and not self.limits.allow_anonymous:
            self._refuse("anonymous clients are not allowed")
            return
        self.client_id = connect.client_id or ""
        secret = None if connect.passcode is None else connect.passcode.encode()
        self.ask(Credentials(connect.login, secret, self.client_id, self.peer, self.certificate_user))

    def identified(self, granted: bool, user: str | None) -> None:
        """See Connector."""
        if not granted:
            self._refuse("bad login or passcode")
            return
        self.publisher.user = user
        if self._wire.silence_max_ms == 0 and self.limits.idle_timeout_ms:
            self._wire.silence_max_ms = self.limits.idle_timeout_ms
        self._wire.send_connected(f"{self.node}-{self.owner}", SERVER)
        self._collect()

    # -- publishing

    def _on_send(self, send: Send) -> None:
        self.counters.messages_in += 1
        broker = self.broker
        if send.transaction is None:
            topics = self._topics
            topic = None if topics is None else topics.get(send.destination)
            if topic is not None:
                origin = StompOrigin(send, self._head_of(send))
                message = message_from(send, topic.destination, origin, broker, self.publisher)
                position = broker.publish(message, topic)
                if send.receipt is not None:
                    self._confirm(max(position, NOTHING), send.receipt)
                return
            queues = self._queues
            queue = None if queues is None else queues.get(send.destination)
            if queue is not None and not queue.deleted:
                self._confirm(
                    self._enqueue(send, queue, StompOrigin(send, self._head_of(send))), send.receipt
                )
                return
        self._send_anywhere(send)

    def _head_of(self, send: Send) -> Head:
        """What is made of the header lines, made anew only when they change."""
        head = self._head
        if head is None or head.lines is not send.lines:
            head = Head(send.lines, send.version, self.owner, self._settings.untyped_by_length)
            user = self.publisher.user
            if head.claimed_user is not None and user is not None and head.claimed_user != user:
                raise StompRefusal("user-id names another user")
            self._head = head
        return head

    def _enqueue(self, send: Send, queue: Queue, origin: StompOrigin) -> int:
        message = message_from(send, queue.destination, origin, self.broker, self.publisher)
        message.retain = False
        position = self.broker.enqueue(message, queue)
        if position == REFUSED:
            self.counters.limit_hits += 1
            raise StompRefusal(f"{send.destination} is full")
        return position

    def _send_anywhere(self, send: Send) -> None:
        """A SEND whose destination is new to this connection, is several, or that is part of a transaction."""
        broker = self.broker
        destinations = destinations_of(send.destination, self.owner)
        for destination in destinations:
            if not broker.authorizer.may_publish(self.publisher, destination):
                raise StompRefusal(f"not allowed to send to {send.destination}")
        origin = StompOrigin(send, self._head_of(send))
        position = NOTHING
        for destination in destinations:
            if send.transaction is not None:
                message = message_from(send, destination, origin, broker, self.publisher)
                if destination.kind == QUEUE:
                    message.retain = False
                self._transaction(send.transaction).publish(message)
            elif destination.kind == TOPIC:
                topic = broker.topics.topic(destination.name)
                message = message_from(send, destination, origin, broker, self.publisher)
                position = max(position, broker.publish(message, topic))
                if len(destinations) == 1:
                    self._remember_topic(send.destination, topic)
            else:
                queue = self._queue(destination)
                position = max(position, self._enqueue(send, queue, origin))
                if len(destinations) == 1:
                    self._remember_queue(send.destination, queue)
        self._confirm(position, send.receipt)

    def _queue(self, destination: Destination) -> Queue:
        """The queue of that name; a temporary one of this connection is made with it as owner, to die with it."""
        own = destination.temporary and destination.name.startswith(temporary_name("", self.owner))
        queue = self.broker.queue(destination.name, None, self if own else None)
        if own:
            if self._temporary is None:
                self._temporary = []
            if queue not in self._temporary:
                self._temporary.append(queue)
        return queue

    def _remember_topic(self, text: str, topic: Topic) -> None:
        topics = self._topics
        if topics is None:
            topics = self._topics = {}
        elif len(topics) >= TARGETS_REMEMBERED_MAX:
            topics.clear()
        topics[text] = topic

    def _remember_queue(self, text: str, queue: Queue) -> None:
        queues = self._queues
        if queues is None:
            queues = self._queues = {}
        elif len(queues) >= TARGETS_REMEMBERED_MAX:
            queues.clear()
        queues[text] = queue

    # -- subscribing

    def _on_subscribe(self, subscribe: Subscribe) -> None:
        subscriptions = self._subscriptions
        if subscriptions is None:
            subscriptions = self._subscriptions = {}
        key = _subscription_key(subscribe.id, subscribe.destination)
        if key in subscriptions:
            raise StompRefusal(f"there is a subscription {key} already")
        if len(subscriptions) >= self.limits.max_subscriptions:
            self.counters.limit_hits += 1
            raise StompRefusal("too many subscriptions")
        source = source_of(subscribe.destination, self.owner)
        if not self.broker.authorizer.may_subscribe(
            self.publisher, source.kind, source.pattern, bool(source.group)
        ):
            raise StompRefusal(f"not allowed to subscribe to {subscribe.destination}")
        self._subscriptions_made += 1
        subscription = StompSubscription(
            self, self._subscriptions_made, subscribe.id or "", subscribe.destination, subscribe.ack
        )
        if (
            source.kind == TOPIC
            and not source.group
            and not subscribe.durable_name
            and subscribe.ack == AckMode.AUTO
        ):
            no_local = self.publisher if subscribe.no_local else None
            binding = Binding(source.pattern, subscription, no_local, self.publisher)
            self.broker.bind(binding)
            subscription.binding = binding
            subscription.congested = self.congested
            subscriptions[key] = subscription
            self._confirm(NOTHING, subscribe.receipt)
            self._replay(subscribe, subscription, source)
            return
        queue = self._source_queue(subscribe, subscription, source)
        subscriptions[key] = subscription
        self._confirm(NOTHING, subscribe.receipt)
        prefetch = subscribe.prefetch if subscribe.prefetch > 0 else self._settings.prefetch
        subscription.attach(queue, min(prefetch, self.limits.max_inflight))

    def _replay(self, subscribe: Subscribe, subscription: StompSubscription, source: Source) -> None:
        """Retained messages, for who asks for them."""
        for name, value in subscribe.headers:
            if name == "retained":
                if value == "true":
                    for message in self.broker.retained_for(source.pattern, self.publisher):
                        subscription.replay(message)
                return

    def _source_queue(self, subscribe: Subscribe, subscription: StompSubscription, source: Source) -> Queue:
        """The queue behind a subscription: named, shared, durable, or one of its own for a topic with acknowledgements."""
        broker = self.broker
        if source.kind == QUEUE:
            return self._queue(Destination(QUEUE, source.queue))
        policy = broker.policy
        if source.group:
            key = share_key(source)
        elif subscribe.durable_name:
            key = f"sub:{self.client_id}/{subscribe.durable_name}"
        else:
            key = f"sub:{self.node}-{self.owner}/{subscription.number}"
            policy = QueuePolicy(
                policy.messages_max,
                policy.bytes_max,
                policy.when_full,
                policy.deliveries_max,
                policy.dead_letters,
                durable=False,
            )
            subscription.private = True
        queue = broker.bound_queue(key, policy)
        if queue.bindings and str(queue.bindings[0].pattern) != str(source.pattern):
            # A durable subscription that changes its topic starts anew (JMS 2.0 §8.3.3).
            broker.unbind_queue(queue, queue.bindings[0])
            queue.purge()
        if not queue.bindings:
            no_local = self.publisher if subscribe.no_local else None
            broker.bind_queue(queue, Binding(source.pattern, queue, no_local))
        return queue

    def _on_unsubscribe(self, unsubscribe: Unsubscribe) -> None:
        key = _subscription_key(unsubscribe.id, unsubscribe.destination or "")
        subscriptions = self._subscriptions
        subscription = None if subscriptions is None else subscriptions.pop(key, None)
        if subscription is not None:
            subscription.detach()
            subscription.give_back()
        elif not unsubscribe.durable_name:
            raise StompRefusal(f"there is no subscription {key}")
        if unsubscribe.durable_name:
            queue = self.broker.queues.get(f"sub:{self.client_id}/{unsubscribe.durable_name}")
            if queue is not None and queue.consumers_count == 0:
                self.broker.delete_queue(queue)

    # -- acknowledging

    def _settle(
        self,
        id: str | None,
        message_id: str | None,
        subscription_id: str | None,
        transaction: str | None,
        outcome: int,
    ) -> None:
        held = None if transaction is None else self._transaction(transaction)
        if self.version == V1_2:
            handle = id or ""
            subscription = self._by_handle(handle)
        else:
            handle = message_id or ""
            subscription = self._by_message(handle, subscription_id)
        deliveries = [] if subscription is None else subscription.take(handle)
        if not deliveries:
            raise StompRefusal(f"nothing waits for an acknowledgement of {handle}")
        for delivery in deliveries:
            if held is None:
                delivery.settle(outcome)
            else:
                held.settle(delivery, outcome)

    def _by_handle(self, handle: str) -> StompSubscription | None:
        """1.2: the `ack` header names the subscription too."""
        number = handle.partition("-")[0]
        if self._subscriptions is not None:
            for subscription in self._subscriptions.values():
                if str(subscription.number) == number:
                    return subscription
        return None

    def _by_message(self, message_id: str, subscription_id: str | None) -> StompSubscription | None:
        """Before 1.2: message-id and subscription; some clients make the latter up, then the message-id alone decides."""
        subscriptions = self._subscriptions
        if subscriptions is None:
            return None
        if subscription_id is not None:
            named = subscriptions.get(_subscription_key(subscription_id, ""))
            if named is not None:
                return named
        for subscription in subscriptions.values():
            if message_id in subscription.unacked:
                return subscription
        return None

    # -- transactions

    def _on_begin(self, begin: Begin) -> None:
        transactions = self._transactions
        if transactions is None:
            transactions = self._transactions = {}
        if begin.transaction in transactions:
            raise StompRefusal(f"there is a transaction {begin.transaction} already")
        if len(transactions) >= self._settings.transactions_max:
            self.counters.limit_hits += 1
            raise StompRefusal("too many transactions")
        transactions[begin.transaction] = self.broker.transaction()

    def _transaction(self, name: str) -> Transaction:
        transaction = None if self._transactions is None else self._transactions.get(name)
        if transaction is None:
            raise StompRefusal(f"there is no transaction {name}")
        return transaction

    def _end_transaction(self, name: str) -> Transaction:
        transaction = self._transaction(name)
        assert self._transactions is not None
        del self._transactions[name]
        return transaction

    # -- the end

    def _on_disconnect(self, disconnect: Disconnect) -> None:
        """The RECEIPT is the last thing the client hears (§DISCONNECT)."""
        self._let_go()
        self._confirm(NOTHING, disconnect.receipt)
        self._collect()
        if self.unconfirmed:
            self._leaving = True
        else:
            self.closing = True
            self.turn.mark(self)

    def _on_failed(self, failed: ConnectionFailed) -> None:
        self.counters.protocol_errors += 1
        self.failure = failed.reason
        self._collect()
        self._let_go()
        self.closing = True
        self.turn.mark(self)

    def _refuse(self, why: str) -> None:
        self.failure = why
        self._say_goodbye(why)

    def _fail(self, why: str, receipt: str | None) -> None:
        """The client asked for what cannot be: say why, with the receipt it wanted, and close (§ERROR)."""
        self.counters.protocol_errors += 1
        self.failure = why
        self._wire.send_error(why, why + "\n", receipt)
        self._collect()
        self._let_go()

    def _say_goodbye(self, why: str) -> None:
        if self._wire.state != NEW:
            self._wire.send_error(why, why + "\n")
        self._collect()
        self.closing = True
        self.turn.mark(self)

    def _let_go(self) -> None:
        """Give back everything: no more deliveries, then what was not acknowledged, in order, then what was its own."""
        subscriptions = self._subscriptions
        self._subscriptions = None
        transactions = self._transactions
        self._transactions = None
        if subscriptions is not None:
            for subscription in subscriptions.values():
                subscription.detach()
        if transactions is not None:
            for transaction in transactions.values():
                transaction.abort()
        if subscriptions is not None:
            for subscription in subscriptions.values():
                subscription.give_back()
        self._topics = None
        self._queues = None
        temporary = self._temporary
        self._temporary = None
        if temporary is not None:
            for queue in temporary:
                self.broker.delete_queue(queue)

    def _collect(self) -> None:
        """Take over what the wire room wants to say, behind what we have said."""
        wire = self._wire
        if wire.out:
            out = wire.out
            wire.out = []
            for frame in out:
                self.say(frame)
        if wire.closing and not self.closing and not self._leaving:
            self.closing = True
            self.turn.mark(self)


def _subscription_key(id: str | None, destination: str) -> str:
    """What names a subscription within its connection: the id, in 1.0 the destination when there is none."""
    return f"destination {destination}" if not id else f"id {id}"


@final
class StompAcceptor(Acceptor):
    """Makes connectors for one STOMP listener."""

    __slots__ = ("_service",)

    def __init__(self, name: str, protocol: str, limits: Limits, service: "StompService") -> None:
        super().__init__(name, protocol, limits)
        self._service = service

    def accept(self, peer: str, turn: Turn, now_ms: int) -> Connector:
        """See Acceptor."""
        service = self._service
        return StompConnector(
            service.broker,
            turn,
            self.limits,
            self.counters,
            peer,
            service.settings,
            service.node,
            service.next_owner(),
            now_ms,
        )


@final
class StompService(Service):
    """STOMP on one broker."""

    __slots__ = ("_connections_made", "broker", "node", "settings")

    def __init__(self, broker: Broker, settings: StompSettings) -> None:
        self.broker = broker
        self.settings = settings
        self.node = secrets.token_hex(4)
        """Makes message ids of one run differ from those of another."""
        self._connections_made = 0

    def acceptor(self, name: str, scheme: str, limits: Limits) -> Acceptor:
        """See Service."""
        return StompAcceptor(name, scheme, limits, self)

    def carriage(self) -> Carriage | None:
        """See Service.  Text or binary: browsers' libraries speak either."""
        starts = (b"CONNECT\n", b"CONNECT\r", b"STOMP\n", b"STOMP\r")
        return Carriage(("v12.stomp", "v11.stomp", "v10.stomp"), False, 0, starts)

    def next_owner(self) -> str:
        """A name for one more connection."""
        self._connections_made += 1
        return f"{self.node}{self._connections_made}"
