"""One client that speaks `gateway.json`: operations to calls on the core, deliveries to JSON."""

from collections.abc import Iterator
from typing import Final, cast, final

from gateway.connectors.base import Counters, Limits, Turn
from gateway.connectors.bound import FOREIGN, IN_USE, NO_ROOM, UNKNOWN, NotHad, bound_queue, delete_durable
from gateway.connectors.ending import end_all
from gateway.connectors.envelope import InvalidEnvelope, envelope_from
from gateway.connectors.hearing import FrameConnector
from gateway.connectors.reading import Reading
from gateway.connectors.replay import Replays
from gateway.connectors.sources import Source, durable_key, may_read, share_key
from gateway.connectors.websocket.addresses import destination_of, source_of
from gateway.connectors.websocket.messages import JSON, message_from, once_parts
from gateway.connectors.websocket.refusal import JsonRefusal, check_name
from gateway.connectors.websocket.settings import JsonSettings
from gateway.connectors.websocket.subscription import JsonSubscription, check_options
from gateway.core.credit import Credit
from gateway.core.dedup import KeyReused, Once
from gateway.core.delivery import ACCEPTED, FAILED, REJECTED, RELEASED
from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName
from gateway.core.message import Message
from gateway.core.once import hold_once, publish_once
from gateway.core.ports import NOTHING, Credentials
from gateway.core.queue import Queue
from gateway.core.queue_key import DURABLE, NAMED, PRIVATE, SHARED, QueueKey
from gateway.core.room import REFUSED
from gateway.core.router import Broker, LimitReached
from gateway.core.schedule import ScheduleRefused, Timing
from gateway.core.subscription import Binding
from gateway.core.transaction import Transaction, TransactionDenied, TransactionRefused, TransactionTooLarge
from protocols.gatewayjson import constants as c
from protocols.gatewayjson.codec import (
    PING,
    decode,
    encode_connected,
    encode_done,
    encode_error,
    encode_ok,
    encode_pong,
    operations_of,
)
from protocols.gatewayjson.errors import JsonError
from protocols.gatewayjson.frames import (
    Connect,
    Id,
    Mistake,
    Operation,
    Ping,
    Publish,
    Settle,
    Subscribe,
    Transact,
    Unsubscribe,
)
from protocols.gatewayjson.frames import (
    Credit as GiveCredit,
)
from protocols.gatewayjson.reading import AT_ONCE, JsonText

SERVER: Final = "gateway-broker/0.1.0"

_NOT_HAD: Final = {FOREIGN: c.NOT_ALLOWED, IN_USE: c.IN_USE, NO_ROOM: c.FULL, UNKNOWN: c.UNKNOWN}


@final
class JsonConnector(FrameConnector):
    """See the module and FrameConnector.  `bytes_in` takes one whole message of the carrier at a time."""

    __slots__ = (
        "_asked",
        "_connect",
        "_connect_by_ms",
        "_inflight",
        "_last_in_ms",
        "_last_out_ms",
        "_ping_ms",
        "_refusing",
        "_replays",
        "_settings",
        "_subscriptions",
        "_tag",
        "_text",
        "_transactions",
        "client_id",
        "node",
        "owner",
        "tags",
    )

    def __init__(
        self,
        broker: Broker,
        turn: Turn,
        limits: Limits,
        counters: Counters,
        peer: str,
        settings: JsonSettings,
        node: str,
        owner: str,
        now_ms: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self._settings = settings
        self.node = node
        """This run of the gateway, in the names of what dies with it."""
        self.owner = owner
        """This connection."""
        self.client_id = ""
        self.stranger = not limits.allow_anonymous
        self._connect_by_ms = now_ms + limits.connect_timeout_ms
        self._last_in_ms = now_ms
        self._last_out_ms = now_ms
        self._ping_ms = 0
        self._refusing = False
        # It has been asked who this is; the answer has come.
        self._asked = False
        self._connect: Connect | None = None
        self._subscriptions: dict[str, JsonSubscription] = {}
        # What all of them together may have unacknowledged; made when first used.
        self._inflight: Credit | None = None
        self._replays: Replays | None = None
        self.tags: dict[int, JsonSubscription] = {}
        """Which subscription a tag belongs to."""
        self._tag = 0
        self._transactions: dict[str, Transaction] = {}
        # A large text that is being read.
        self._text: JsonText | None = None

    # -- driven by net

    def decode(self, data: bytes, now_ms: int) -> list[object]:
        """See FrameConnector."""
        settings = self._settings
        operations: list[Operation] = []
        try:
            if len(data) > AT_ONCE:
                self._text = JsonText(data, settings.values_max, True)
            elif data:
                self._last_in_ms = now_ms
                return cast("list[object]", decode(data, settings.operations_max, settings.values_max))
            if self._text is not None:
                # A large one is read in many steps, which count as one sign of life each.
                self._last_in_ms = now_ms
                operations = self._read_on(self._text)
        except JsonError as error:
            self._text = None
            self._end(error.code, error.reason)
        return cast("list[object]", operations)

    def _read_on(self, text: JsonText) -> list[Operation]:
        """A part of a large text; the operations once all of it has been read."""
        try:
            if not text.step():
                return []
        except JsonError as error:
            if error.code != c.BAD_REQUEST:
                raise
            self._text = None
            return [Mistake(None, error.code, error.reason)]
        self._text = None
        return operations_of(text.value, text.size, self._settings.operations_max, text.halves)

    def has_more(self) -> bool:
        """See FrameConnector.  What more has come is with the carrier, but for the rest of a large text."""
        return self._text is not None

    def carry_out(self, frames: list[object], now_ms: int) -> bool:
        """See FrameConnector."""
        for frame in frames:
            operation = cast(Operation, frame)
            if not self.known:
                if not self._asked:
                    self._who(operation)
                if not self.known:
                    # Carried out when it is known who this is.
                    self.untaken = True
                    return self.stops_at(frames, frame)
            self._obey(operation)
            self.tire()
            if self.closing or self.throttled or self.tired:
                return self.stops_at(frames, frame)
        return True

    def _collect(self) -> None:
        """See FrameConnector.  What is said is said at once."""

    def beyond_rate(self, frame: object) -> None:
        """See FrameConnector."""
        self.on_rate_exceeded()

    def eof(self, now_ms: int) -> None:
        """See Connector."""
        self.broker.now_ms = now_ms
        self._let_go()
        self.detach()

    def next_deadline_ms(self) -> int | None:
        """See Connector."""
        due_ms: int | None = None
        if not self.known:
            # Where nobody needs a name, who has only opened the connection may take its time.
            due_ms = self._connect_by_ms if self.stranger or self._asked else None
        elif self.limits.idle_timeout_ms and not self.throttled:
            due_ms = self._last_in_ms + self.limits.idle_timeout_ms
        if self._ping_ms and (due_ms is None or self._last_out_ms + self._ping_ms < due_ms):
            due_ms = self._last_out_ms + self._ping_ms
        return due_ms

    def deadline(self, now_ms: int) -> None:
        """See Connector."""
        if not self.known and (self.stranger or self._asked) and now_ms >= self._connect_by_ms:
            self._end(c.LIMIT, "nothing was asked for in time")
            return
        idle_ms = self.limits.idle_timeout_ms
        if self.known and idle_ms and not self.throttled and now_ms >= self._last_in_ms + idle_ms:
            self._end(c.LIMIT, "silent for too long")
            return
        if self._ping_ms and now_ms >= self._last_out_ms + self._ping_ms:
            self._last_out_ms = now_ms
            self.say(PING)

    def prepare_out(self, now_ms: int) -> None:
        """See Connector."""
        if self.out:
            self._last_out_ms = now_ms

    def shutdown(self, now_ms: int) -> None:
        """See Connector.  The carrier's Close says why."""
        self.hang_up()

    def dismiss(self, why: str, now_ms: int) -> None:
        """See Connector."""
        self.say(encode_error(None, c.NOT_ALLOWED, why))
        self.failure = why
        self.hang_up()

    def readings(self) -> Iterator[Reading]:
        """See Connector."""
        return iter([subscription.reading for subscription in self._subscriptions.values()])

    def refuse(self, now_ms: int) -> None:
        """See Connector."""
        self._refusing = True

    def written(self) -> None:
        """See Connector."""
        super().written()
        if self._replays is not None:
            self._replays.go_on()

    def resumed(self) -> None:
        """See Connector."""
        for subscription in list(self._subscriptions.values()):
            subscription.wake()

    def congestion_changed(self) -> None:
        """See Connector."""
        for subscription in self._subscriptions.values():
            subscription.congested = self.congested

    def on_rate_exceeded(self) -> None:
        """See Connector."""
        self.counters.limit_hits += 1
        self._end(c.LIMIT, "sends faster than its limit")

    def on_unfinished(self, why: str) -> None:
        """See Connector.  What is not whole of its messages is kept by what carries them."""
        self.counters.limit_hits += 1
        self._end(c.LIMIT, why)

    def on_too_slow(self, now_ms: int) -> None:
        """See Connector."""
        self.say(encode_error(None, c.LIMIT, self.failure))
        self.hang_up()

    # -- operations

    def _obey(self, operation: Operation) -> None:
        if isinstance(operation, Mistake):
            self._error(operation.id, operation.code, operation.reason)
            return
        try:
            self._carry_out(operation)
        except JsonRefusal as refusal:
            self._error(operation.id, refusal.code, refusal.reason)
        except KeyReused as reused:
            self._error(operation.id, c.IN_USE, str(reused))
        except NotHad as refused:
            self._error(operation.id, _NOT_HAD[refused.why], str(refused))
        except InvalidName as invalid:
            self._error(operation.id, c.BAD_DESTINATION, str(invalid))
        except InvalidEnvelope as bad:
            self._error(operation.id, c.BAD_REQUEST, str(bad))
        except (LimitReached, TransactionTooLarge, ScheduleRefused) as limit:
            self.counters.limit_hits += 1
            self._error(operation.id, c.LIMIT, str(limit))
        except TransactionDenied as denied:
            self._error(operation.id, c.NOT_ALLOWED, str(denied))
        except TransactionRefused as full:
            self.counters.limit_hits += 1
            self._error(operation.id, c.FULL, str(full))

    def _carry_out(self, operation: Operation) -> None:
        if isinstance(operation, Publish):
            self._on_publish(operation)
        elif isinstance(operation, Settle):
            self._on_settle(operation)
        elif isinstance(operation, GiveCredit):
            self._subscription(operation.sub).give(operation.count)
            self._ok(NOTHING, operation.id)
        elif isinstance(operation, Subscribe):
            self._on_subscribe(operation)
        elif isinstance(operation, Unsubscribe):
            self._on_unsubscribe(operation)
        elif isinstance(operation, Transact):
            self._on_transact(operation)
        elif isinstance(operation, Ping):
            if not operation.pong:
                self.say(encode_pong(operation.id))
        elif isinstance(operation, Connect):
            if self._connect is not operation:
                raise JsonRefusal(c.IN_USE, "this connection has been opened already")
            self._connect = None
            self._welcome(operation)

    def _ok(self, position: int, id: Id) -> None:
        if id is not None:
            self.confirm(position, encode_ok(id))

    def _error(self, id: Id, code: str, reason: str) -> None:
        self.say(encode_error(id, code, reason))

    # -- connecting

    def _who(self, first: Operation) -> None:
        """The first operation says who this is; if it is no `connect`, the HTTP request did, or it is anonymous."""
        self._asked = True
        offered = self.offered
        user = None if offered is None else offered.user
        secret = None if offered is None else offered.secret
        if isinstance(first, Connect):
            self._connect = first
            self.client_id = first.client_id
            self._ping_ms = first.ping_ms
            if first.user is not None or first.secret is not None:
                user = first.user
                secret = None if first.secret is None else first.secret.encode("utf-8", "replace")
        if self._refusing:
            self._turn_away(user, c.LIMIT, "maximumConnections is reached")
            return
        if self.says_too_little(user, secret):
            self._turn_away(user, c.UNAUTHORIZED, "anonymous clients are not allowed")
            return
        self.ask(Credentials(user, secret, self.client_id, self.peer, self.certificate_user))

    def identified(self, granted: bool, user: str | None) -> None:
        """See Connector."""
        if not granted:
            self._end(c.UNAUTHORIZED, "bad user, password or token")
            return
        self.stranger = False
        self.publisher.user = user
        self.publisher.client_id = self.client_id
        if self.client_id:
            self.publisher.id = self.client_id

    def _welcome(self, connect: Connect) -> None:
        self.say(encode_connected(connect.id, f"{self.node}-{self.owner}", SERVER, self.publisher.user))

    # -- publishing

    def _on_publish(self, publish: Publish) -> None:
        broker = self.broker
        destinations: list[Destination] = []
        for name in publish.to:
            destination = destination_of(name)
            if destination in destinations:
                continue
            if not broker.authorizer.may_publish(self.publisher, destination):
                raise JsonRefusal(c.NOT_ALLOWED, f"not allowed to send to {name[:200]}")
            if broker.is_gone(destination):
                raise JsonRefusal(c.UNKNOWN, f"{destination} is gone")
            destinations.append(destination)
        held = None if publish.tx is None else self._transaction(publish.tx)
        if broker.places.shut and held is None and self._must_wait(destinations, publish):
            return
        once: Once | None = None
        if publish.dedup is not None:
            content = self.content_of(once_parts(publish))
            if not content:
                return
            once = broker.dedup.once(self.publisher, publish.dedup, content)
        self.counters.messages_in += 1
        members = publish.envelope
        members["to"] = publish.to
        envelope = envelope_from(members)
        if not broker.authorizer.may_claim(self.publisher, envelope.fields.user_id):
            raise JsonRefusal(c.NOT_ALLOWED, "it claims to be from another user")
        timing = envelope.timing(broker.now_ms)
        messages: list[Message] = []
        for destination in destinations:
            message = message_from(envelope, JSON, publish.size, destination, broker, self.publisher)
            if destination.kind == QUEUE or destination.temporary:
                message.retain = False
            messages.append(message)
        if once is not None and held is not None:
            hold_once(broker, held, once, messages, timing)
            self._ok(NOTHING, publish.id)
        elif once is not None:
            outcome = publish_once(broker, once, messages, timing)
            if publish.id is not None:
                done = encode_done(publish.id, outcome.message, outcome.repeated)
                self.confirm(outcome.position, done)
        elif held is not None:
            held.hold(messages, timing)
            self._ok(NOTHING, publish.id)
        elif len(messages) == 1:
            self._ok(self._publish(messages[0], timing), publish.id)
        else:
            # To several destinations, all of them or none: an error says that it has arrived nowhere.
            position = broker.transaction(self.publisher).commit_with(messages, timing)
            self._ok(position, publish.id)

    def _must_wait(self, destinations: list[Destination], publish: Publish) -> bool:
        """Is there no room for the message where it is to go?  Then it is carried out when there is."""
        persistent = publish.envelope.get("durable") is not False
        for destination in destinations:
            if self.broker.keeps_waiting_at(self.publisher, destination, persistent):
                self.untaken = True
        return self.untaken

    def _publish(self, message: Message, timing: Timing | None) -> int:
        """Outside transactions; the position that makes it safe."""
        if timing is not None:
            return self.broker.schedule.add(message, timing)
        position = self.broker.publish_to(message.destination, message)
        if position == REFUSED:
            self.counters.limit_hits += 1
            raise JsonRefusal(c.FULL, self.broker.why_refused(message.persistent, str(message.destination)))
        return position

    # -- subscribing

    def _subscription(self, name: str) -> JsonSubscription:
        subscription = self._subscriptions.get(name)
        if subscription is None:
            raise JsonRefusal(c.UNKNOWN, "there is no such subscription")
        return subscription

    def _on_subscribe(self, subscribe: Subscribe) -> None:
        if subscribe.sub in self._subscriptions:
            raise JsonRefusal(c.IN_USE, "there is a subscription of that name already")
        if len(self._subscriptions) >= self.limits.max_subscriptions:
            self.counters.limit_hits += 1
            raise JsonRefusal(c.LIMIT, "too many subscriptions")
        check_name("sub", subscribe.sub, self._settings.name_bytes_max)
        source = source_of(subscribe.source)
        reading = Reading(subscribe.source, source.kind, source.pattern, bool(source.group))
        if not may_read(self.broker, self.publisher, reading.kind, reading.pattern, reading.whole):
            raise JsonRefusal(c.NOT_ALLOWED, f"not allowed to read from {subscribe.source[:200]}")
        check_options(subscribe, source, self.client_id)
        automatic = subscribe.ack == c.ACK_AUTO
        subscription = JsonSubscription(self, subscribe.sub, reading, automatic, subscribe.credit >= 0)
        subscription.claim(subscription.size)
        try:
            self._begin(subscribe, subscription, source)
        except Exception:
            subscription.unclaim()
            raise

    def _begin(self, subscribe: Subscribe, subscription: JsonSubscription, source: Source) -> None:
        """Bind it, or have its queue and read that."""
        no_local = self.publisher if subscribe.no_local else None
        if source.kind == TOPIC and not source.group and subscribe.durable is None and subscription.automatic:
            binding = Binding(source.pattern, subscription, no_local, self.publisher)
            self.broker.bind(binding, self.publisher)
            subscription.binding = binding
            subscription.congested = self.congested
            self._subscriptions[subscribe.sub] = subscription
            self._ok(NOTHING, subscribe.id)
        else:
            before = self.broker.store.position
            queue = self._source_queue(subscribe, subscription, source)
            self._subscriptions[subscribe.sub] = subscription
            # A durable one is to be found again after a crash, once it is confirmed.
            self._ok(max(self.appended_since(before), queue.noted_at), subscribe.id)
            subscription.attach(queue, self._credit_of(subscribe))
        if subscribe.retained and source.kind == TOPIC:
            if self._replays is None:
                self._replays = Replays(self)
            self._replays.begin(subscription, self.broker.values.search([source.pattern], self.publisher))

    def _credit_of(self, subscribe: Subscribe) -> Credit:
        available = subscribe.credit
        if available < 0:
            available = subscribe.window if subscribe.window > 0 else self._settings.window
        if self._inflight is None:
            self._inflight = Credit(self.limits.max_inflight)
        return Credit(available, self._inflight)

    def _source_queue(self, subscribe: Subscribe, subscription: JsonSubscription, source: Source) -> Queue:
        """The queue behind a subscription: named, shared, durable, or one of its own for a topic with outcomes."""
        broker = self.broker
        if source.kind == QUEUE:
            return broker.queue(source.queue, maker=self.publisher)
        if source.group:
            key = share_key(source.group, source.pattern)
        elif subscribe.durable is not None:
            key = durable_key(self.client_id, subscribe.durable)
        else:
            key = QueueKey(PRIVATE, f"{self.node}-{self.owner}", subscribe.sub)
            subscription.private = True
        return bound_queue(broker, key, [source.pattern], self.publisher, subscribe.no_local)[0]

    def _on_unsubscribe(self, unsubscribe: Unsubscribe) -> None:
        before = self.broker.store.position
        if unsubscribe.durable is not None:
            delete_durable(self.broker, durable_key(self.client_id, unsubscribe.durable), self.publisher, 0)
        else:
            self._leave(self._subscription(unsubscribe.sub), unsubscribe.delete)
        self._ok(self.appended_since(before), unsubscribe.id)

    def _leave(self, subscription: JsonSubscription, delete: bool) -> None:
        """End a subscription; with `delete` what is kept for it goes too, or nothing is done."""
        consumer = subscription.consumer
        if delete and consumer is not None:
            key = consumer.queue.key
            if key.kind == DURABLE:
                delete_durable(self.broker, key, self.publisher, 1)
            elif key.kind == NAMED or key.kind == SHARED:
                raise JsonRefusal(c.BAD_REQUEST, "`delete` is for durable subscriptions")
        del self._subscriptions[subscription.id]
        if self._replays is not None:
            self._replays.drop(subscription)
        subscription.detach()
        subscription.give_back(False)

    # -- outcomes

    def next_tag(self) -> int:
        """A name for one more delivery."""
        self._tag += 1
        return self._tag

    def _on_settle(self, settle: Settle) -> None:
        outcome = ACCEPTED
        if settle.outcome == c.FAILED:
            outcome = FAILED
        elif settle.outcome == c.REJECT:
            outcome = REJECTED
        elif settle.outcome == c.RELEASE:
            outcome = RELEASED
        held = None if settle.tx is None else self._transaction(settle.tx)
        tags = self._meant(settle)
        if held is not None:
            held.check_room(len(tags))
        position = NOTHING
        for tag in tags:
            subscription = self.tags[tag]
            delivery = subscription.take(tag)
            subscription.spend()
            delivery.returned = delivery.returned or outcome == RELEASED
            if held is None:
                position = max(position, delivery.settle(outcome))
            else:
                held.settle(delivery, outcome)
        self._ok(position, settle.id)

    def _meant(self, settle: Settle) -> list[int]:
        """The tags that it means, each once: all of them wait for their outcome, or nothing is done."""
        meant: dict[int, None] = {}
        last: dict[str, int] = {}
        for tag in settle.tags:
            subscription = self.tags.get(tag)
            if subscription is None:
                raise JsonRefusal(c.UNKNOWN, f"nothing waits for an outcome of tag {tag}")
            meant[tag] = None
            last[subscription.id] = max(tag, last.get(subscription.id, 0))
        if not settle.upto:
            return list(meant)
        return [tag for sub, upto in last.items() for tag in self._subscriptions[sub].up_to(upto)]

    # -- transactions

    def _transaction(self, name: str) -> Transaction:
        transaction = self._transactions.get(name)
        if transaction is None:
            raise JsonRefusal(c.UNKNOWN, "there is no such transaction")
        return transaction

    def _on_transact(self, transact: Transact) -> None:
        name = transact.tx
        before = self.broker.store.position
        position = NOTHING
        if transact.word == "begin":
            if name in self._transactions:
                raise JsonRefusal(c.IN_USE, "there is a transaction of that name already")
            check_name("tx", name, self._settings.name_bytes_max)
            if len(self._transactions) >= self._settings.transactions_max:
                self.counters.limit_hits += 1
                raise JsonRefusal(c.LIMIT, "too many transactions")
            self._transactions[name] = self.broker.transaction(self.publisher)
        else:
            transaction = self._transaction(name)
            if transact.word == "commit":
                self.untaken = transaction.must_wait(self.publisher)
                if self.untaken:
                    return
            # One that cannot be done as a whole is aborted.
            del self._transactions[name]
            if transact.word == "commit":
                position = transaction.commit()
            else:
                transaction.abort()
                position = self.appended_since(before)
        self._ok(position, transact.id)

    # -- the end

    def _turn_away(self, user: str | None, code: str, reason: str) -> None:
        self.turn_away(user, self.client_id, reason)
        self._end(code, reason)

    def _end(self, code: str, reason: str) -> None:
        """Say why, and close."""
        if self.closing:
            return
        self.counters.protocol_errors += 1
        self.failure = reason
        self.say(encode_error(None, code, reason))
        self._let_go()
        self.hang_up()

    def _let_go(self) -> None:
        """Give back everything: see `end_all`."""
        subscriptions = self._subscriptions
        self._subscriptions = {}
        if self._replays is not None:
            self._replays.end()
            self._replays = None
        transactions = self._transactions
        self._transactions = {}
        end_all(self.broker, list(subscriptions.values()), list(transactions.values()), [], True)
        self._undone = None
        self._text = None
