"""One STOMP connection: frames to calls on the core, deliveries to frames."""

from typing import Final, final

from gateway.connectors.base import TOO_SLOW, Connector, Counters, Limits, Turn
from gateway.connectors.stomp.addresses import (
    Spelling,
    destinations_of,
    temporary_name,
)
from gateway.connectors.stomp.headers_out import StompTarget
from gateway.connectors.stomp.mapping import Head, StompOrigin, message_from
from gateway.connectors.stomp.refusal import StompRefusal
from gateway.connectors.stomp.scheduling import timing_of
from gateway.connectors.stomp.settings import StompSettings
from gateway.connectors.stomp.subscriptions import Subscriptions
from gateway.core.cron import InvalidCron
from gateway.core.delivery import ACCEPTED, RELEASED
from gateway.core.destination import QUEUE, TOPIC, Destination, InvalidName
from gateway.core.message import Message
from gateway.core.ports import NOTHING, Credentials
from gateway.core.queue import Queue
from gateway.core.room import REFUSED
from gateway.core.router import UNROUTED, Broker, LimitReached
from gateway.core.schedule import ScheduleRefused, Timing
from gateway.core.selector_parser import InvalidSelector
from gateway.core.topics import Topic
from gateway.core.transaction import Transaction, TransactionRefused, TransactionTooLarge
from protocols.stomp.codec import encode_receipt
from protocols.stomp.connection import StompConnection, StompLimits
from protocols.stomp.constants import (
    SPECIAL_MESSAGE_ID,
    SPECIAL_REPLY_TO,
    SPECIAL_SCHEDULED,
    V1_2,
)
from protocols.stomp.frames import (
    Abort,
    Ack,
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
from protocols.stomp.headers import decode_headers, first
from protocols.stomp.state import NEW

SERVER: Final = "gateway-broker/0.1.0"

TARGETS_REMEMBERED_MAX: Final = 1_024
TARGET_LENGTH_MAX: Final = 128
"""Destinations whose lookup and access check a connection remembers, and characters of the longest of them."""


@final
class StompConnector(Connector):
    """See the module and Connector."""

    __slots__ = (
        "_head",
        "_held_receipts",
        "_leaving",
        "_queues",
        "_refusing",
        "_subscriptions",
        "_temporary",
        "_topics",
        "_transactions",
        "_undone",
        "_wire",
        "client_id",
        "node",
        "owner",
        "settings",
        "spelling",
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
        spelling: Spelling,
        node: str,
        owner: str,
        now_ms: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self.settings = settings
        self.spelling = spelling
        self._wire = StompConnection(
            StompLimits(
                max_frame_size=limits.max_frame_size,
                connect_timeout_ms=limits.connect_timeout_ms,
                max_headers=settings.headers_max,
                max_header_bytes=settings.header_bytes_max,
                max_line_bytes=settings.header_line_bytes_max,
                implicit_connect=settings.implicit_connect,
                heart_beat_send_ms=settings.heart_beat_send_ms,
                heart_beat_want_ms=settings.heart_beat_want_ms,
            ),
            now_ms,
        )
        self.node = node
        """This run of the gateway, in the names of what dies with it."""
        self.owner = owner
        """This connection, in the names of its temporary queues."""
        self.version = ""
        self.target = StompTarget("", owner, broker.counters)
        """What its MESSAGEs are made for."""
        self.client_id = ""
        self._refusing = False
        self._leaving = False
        # Decoded and not handled: the client has to wait.
        self._undone: list[Frame] | None = None
        # Made when first used.
        self._head: Head | None = None
        self._topics: dict[str, Topic] | None = None
        self._queues: dict[str, Queue] | None = None
        self._subscriptions: Subscriptions | None = None
        self._transactions: dict[str, Transaction] | None = None
        self._held_receipts: dict[str, list[str]] | None = None
        self._temporary: dict[str, Queue] | None = None

    # -- driven by net

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        """See Connector."""
        self.counters.bytes_in += len(data)
        self._take(data, now_ms)
        while self._wire.more and not self.closing and not self.throttled:
            self._collect()
            self._take(b"", now_ms)
        self._collect()

    def _take(self, data: bytes, now_ms: int) -> None:
        frames = self._wire.receive_data(data, now_ms)
        count = len(frames)
        admitted = self.admit(count, len(data), now_ms)
        beyond = None if admitted == count else frames[admitted]
        if beyond is not None:
            frames = frames[:admitted]
        if self._undone is not None:
            frames = self._undone + frames
            self._undone = None
        if frames:
            self._carry_out(frames, now_ms)
        if beyond is not None and not self.closing:
            self._too_fast(beyond.receipt)

    def _carry_out(self, frames: list[Frame], now_ms: int) -> None:
        """One after the other, as long as the client need not wait."""
        done = 0
        for frame in frames:
            try:
                if isinstance(frame, Send):
                    self._on_send(frame)
                else:
                    self._on_frame(frame, now_ms)
            except (StompRefusal, InvalidName, InvalidSelector, InvalidCron) as error:
                self._fail(str(error), frame.receipt)
            except (LimitReached, TransactionTooLarge, TransactionRefused, ScheduleRefused) as limit:
                self.counters.limit_hits += 1
                self._fail(str(limit), frame.receipt)
            if self.closing:
                return
            done += 1
            if self.throttled:
                if self.untaken:
                    self.untaken = False
                    done -= 1
                if done < len(frames):
                    self._undone = frames[done:]
                return

    def eof(self, now_ms: int) -> None:
        """See Connector."""
        self.broker.now_ms = now_ms
        self._let_go()
        self.detach()

    def next_deadline_ms(self) -> int | None:
        """See Connector."""
        due_ms = self._wire.next_deadline_ms()
        look_ms = 0 if self._subscriptions is None else self._subscriptions.next_look_ms
        return look_ms if look_ms and (due_ms is None or look_ms < due_ms) else due_ms

    def deadline(self, now_ms: int) -> None:
        """See Connector."""
        for frame in self._wire.handle_deadline(now_ms):
            self._on_frame(frame, now_ms)
        if self._subscriptions is not None:
            self._subscriptions.look_at_browsers(now_ms)
        self._collect()

    def prepare_out(self, now_ms: int) -> None:
        """See Connector.  What we write stands for a heart-beat."""
        if self.out:
            self._wire.last_sent_ms = now_ms

    def shutdown(self, now_ms: int) -> None:
        """See Connector."""
        self._say_goodbye("the gateway is shutting down")

    def dismiss(self, why: str, now_ms: int) -> None:
        """See Connector."""
        self.failure = why
        self._say_goodbye(why)

    def refuse(self, now_ms: int) -> None:
        """See Connector."""
        self._refusing = True

    def reading_changed(self) -> None:
        """See Connector."""
        self._wire.listen(not self.throttled, self.broker.now_ms)

    def written(self) -> None:
        """See Connector."""
        super().written()
        if self._subscriptions is not None:
            self._subscriptions.go_on_replaying()

    def resumed(self) -> None:
        """See Connector."""
        if self._subscriptions is not None:
            self._subscriptions.wake()

    def congestion_changed(self) -> None:
        """See Connector."""
        if self._subscriptions is not None:
            self._subscriptions.look_at_congestion()

    def on_rate_exceeded(self) -> None:
        """See Connector."""
        self._too_fast(None)

    def _too_fast(self, receipt: str | None) -> None:
        """The frame that wanted this receipt, and all behind it, is not carried out."""
        self.counters.limit_hits += 1
        self._fail("sends faster than its limit", receipt)

    def on_too_slow(self, now_ms: int) -> None:
        """See Connector."""
        self._say_goodbye(f"{TOO_SLOW}: it made others wait for {self.limits.slow_consumer_timeout_ms} ms")

    def release_confirmations(self, position: int) -> bool:
        """See Connector.  After a DISCONNECT the last confirmation ends the connection."""
        more = super().release_confirmations(position)
        if self._leaving and not more:
            self.hang_up()
        return more

    # -- frames

    def _on_frame(self, frame: Frame, now_ms: int) -> None:
        if isinstance(frame, Ack):
            self._settle(
                frame.id, frame.message_id, frame.subscription, frame.transaction, ACCEPTED, frame.receipt
            )
        elif isinstance(frame, Nack):
            outcome = self.settings.nack_outcome(frame.requeue)
            self._settle(
                frame.id, frame.message_id, frame.subscription, frame.transaction, outcome, frame.receipt
            )
        elif isinstance(frame, Subscribe):
            if self._subscriptions is None:
                self._subscriptions = Subscriptions(self)
            self._subscriptions.add(frame)
        elif isinstance(frame, Unsubscribe):
            if self._subscriptions is None:
                self._subscriptions = Subscriptions(self)
            before = self.broker.store.position
            self._subscriptions.remove(frame)
            self.confirm_frame(self.appended_since(before), frame.receipt)
        elif isinstance(frame, Begin):
            self._on_begin(frame)
            self.confirm_frame(NOTHING, frame.receipt)
        elif isinstance(frame, Commit):
            if self.broker.places.shut:
                self.untaken = self._transaction(frame.transaction).keeps_waiting(self.publisher)
            if not self.untaken:
                self._end_transaction(frame.transaction, True, frame.receipt)
        elif isinstance(frame, Abort):
            self._end_transaction(frame.transaction, False, frame.receipt)
        elif isinstance(frame, Connect):
            self._on_connect(frame)
        elif isinstance(frame, Disconnect):
            self._on_disconnect(frame)
        elif isinstance(frame, ConnectionFailed):
            self._on_failed(frame)

    def confirm_frame(self, position: int, receipt: str | None) -> None:
        """RECEIPT, once `position` is durable (§RECEIPT)."""
        if receipt is not None:
            self.confirm(position, encode_receipt(receipt, self.version))

    def _on_connect(self, connect: Connect) -> None:
        self.version = self._wire.version
        limits = self.limits
        self.target = StompTarget(
            self.version,
            self.owner,
            self.broker.counters,
            limits.carry,
            limits.publish_identity,
            self.settings.untyped_by_length,
        )
        if self._refusing:
            self._refuse("maximumConnections is reached")
            return
        if connect.login is None and self.certificate_user is None and not self.limits.allow_anonymous:
            self._refuse("anonymous clients are not allowed")
            return
        if not self.settings.serves(connect.host):
            self._refuse("unknown virtual host")
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
        if self.broker.places.shut and self._must_wait(send):
            return
        self.counters.messages_in += 1
        broker = self.broker
        if send.special and self._on_special(send):
            return
        if send.transaction is None:
            topics = self._topics
            topic = None if topics is None else topics.get(send.destination)
            if topic is not None:
                origin = StompOrigin(send, self._head_of(send))
                message = message_from(send, topic.destination, origin, broker, self.publisher)
                position = broker.publish(message, topic)
                if position == REFUSED:
                    raise self._refusal(message, send.destination)
                if send.receipt is not None:
                    self.confirm_frame(max(position, NOTHING), send.receipt)
                return
            queues = self._queues
            queue = None if queues is None else queues.get(send.destination)
            if queue is not None and not queue.deleted:
                self.confirm_frame(
                    self._enqueue(send, queue, StompOrigin(send, self._head_of(send))), send.receipt
                )
                return
        self._send_anywhere(send)

    def _must_wait(self, send: Send) -> bool:
        """Is there no room for the message where it is to go?  Then it is handled when there is."""
        if send.transaction is None and send.special & SPECIAL_SCHEDULED == 0:
            for destination in self._allowed(send):
                if self.broker.keeps_waiting_at(self.publisher, destination):
                    self.untaken = True
        return self.untaken

    def _head_of(self, send: Send) -> Head:
        """What is made of the header lines, made anew only when they change."""
        head = self._head
        if head is None or head.lines is not send.lines:
            head = Head(send.lines, send.version, self.owner, self.settings.untyped_by_length)
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
            raise self._refusal(message, send.destination)
        return position

    def _refusal(self, message: Message, destination: str) -> StompRefusal:
        """Why the broker does not take a message to `destination`."""
        self.counters.limit_hits += 1
        return StompRefusal(self.broker.why_refused(message.persistent, destination))

    def _on_special(self, send: Send) -> bool:
        """Look at the rare headers of a SEND; True when it has been dealt with."""
        special = send.special
        if special & SPECIAL_MESSAGE_ID and self.settings.message_id_on_send == "refuse":
            raise StompRefusal("message-id is not for clients to give")
        if special & (SPECIAL_REPLY_TO | SPECIAL_SCHEDULED) == 0:
            return False
        headers = decode_headers(send.lines, send.version)
        if special & SPECIAL_REPLY_TO:
            if self._subscriptions is None:
                self._subscriptions = Subscriptions(self)
            self._subscriptions.expect_replies((first(headers, "reply-to") or "").strip())
        timing = timing_of(headers) if special & SPECIAL_SCHEDULED else None
        if timing is None:
            return False
        self._send_later(send, timing)
        return True

    def _allowed(self, send: Send) -> list[Destination]:
        """Where a SEND goes, once it is sure that it may."""
        destinations = destinations_of(send.destination, self.owner, self.spelling)
        for destination in destinations:
            if not self.broker.authorizer.may_publish(self.publisher, destination):
                raise StompRefusal(f"not allowed to send to {send.destination}")
        return destinations

    def _send_anywhere(self, send: Send) -> None:
        """A SEND whose destination is new to this connection, is several, or that is part of a transaction."""
        destinations = self._allowed(send)
        if send.transaction is not None:
            transaction = self._transaction(send.transaction)
            for message in self._messages(send, destinations):
                transaction.publish(message)
            self._confirm_within(send.transaction, send.receipt)
            return
        if len(destinations) == 1:
            position = self._send_to(send, destinations[0])
        else:
            position = self._send_to_all(send, destinations)
        if position == UNROUTED and send.receipt is not None:
            raise StompRefusal(f"{send.destination} is gone")
        self.confirm_frame(max(position, NOTHING), send.receipt)

    def _send_to_all(self, send: Send, destinations: list[Destination]) -> int:
        """To several destinations, all of them or none: an ERROR would leave open where it has arrived."""
        messages = self._messages(send, destinations)
        if not messages:
            return UNROUTED
        transaction = self.broker.transaction()
        try:
            for message in messages:
                transaction.publish(message)
        except TransactionTooLarge:
            transaction.abort()
            raise
        return transaction.commit()

    def _messages(self, send: Send, destinations: list[Destination]) -> list[Message]:
        """One for each destination that is there; temporary queues of this connection are made for it."""
        messages: list[Message] = []
        for destination in destinations:
            if not self._there(destination):
                self.broker.counters.unroutable += 1
                continue
            if destination.kind == QUEUE and self._own(destination):
                self.queue_for(destination)
            messages.append(self._message(send, destination))
        return messages

    def _send_to(self, send: Send, destination: Destination) -> int:
        """To one destination, which is remembered.  UNROUTED for a temporary queue that is gone."""
        broker = self.broker
        if destination.kind == TOPIC:
            topic = broker.topics.topic(destination.name)
            message = self._message(send, destination)
            position = broker.publish(message, topic)
            if position == REFUSED:
                raise self._refusal(message, send.destination)
            if not destination.temporary:
                self._remember_topic(send.destination, topic)
            return max(position, NOTHING)
        if not self._there(destination):
            broker.counters.unroutable += 1
            return UNROUTED
        queue = self.queue_for(destination)
        position = self._enqueue(send, queue, StompOrigin(send, self._head_of(send)))
        self._remember_queue(send.destination, queue)
        return position

    def _message(self, send: Send, destination: Destination) -> Message:
        origin = StompOrigin(send, self._head_of(send))
        message = message_from(send, destination, origin, self.broker, self.publisher)
        if destination.kind == QUEUE or destination.temporary:
            # A last value is a topic's, and must not outlive the connection that a temporary one belongs to.
            message.retain = False
        return message

    def _send_later(self, send: Send, timing: Timing) -> None:
        """A SEND with AMQ_SCHEDULED_ headers."""
        messages = [self._message(send, destination) for destination in self._allowed(send)]
        if send.transaction is not None:
            transaction = self._transaction(send.transaction)
            for message in messages:
                transaction.schedule(message, timing)
            self._confirm_within(send.transaction, send.receipt)
            return
        if len(messages) == 1:
            self.confirm_frame(self.broker.schedule.add(messages[0], timing), send.receipt)
            return
        transaction = self.broker.transaction()
        try:
            for message in messages:
                transaction.schedule(message, timing)
        except TransactionTooLarge:
            transaction.abort()
            raise
        self.confirm_frame(transaction.commit(), send.receipt)

    def _own(self, destination: Destination) -> bool:
        return destination.temporary and destination.name.startswith(temporary_name("", self.owner))

    def _there(self, destination: Destination) -> bool:
        """Is it to be had?  All but the temporary queue of another connection that is gone."""
        return not self.broker.is_gone(destination) or self._own(destination)

    def queue_for(self, destination: Destination) -> Queue:
        """The queue of that name; a temporary one of this connection is made with it as owner, to die with it."""
        own = self._own(destination)
        queue = self.broker.queue(destination.name, None, self if own else None)
        if own:
            if self._temporary is None:
                self._temporary = {}
            self._temporary[queue.key] = queue
        return queue

    def _remember_topic(self, text: str, topic: Topic) -> None:
        if len(text) > TARGET_LENGTH_MAX:
            return
        topics = self._topics
        if topics is None:
            topics = self._topics = {}
        elif len(topics) >= TARGETS_REMEMBERED_MAX:
            topics.clear()
        topics[text] = topic

    def _remember_queue(self, text: str, queue: Queue) -> None:
        if len(text) > TARGET_LENGTH_MAX:
            return
        queues = self._queues
        if queues is None:
            queues = self._queues = {}
        elif len(queues) >= TARGETS_REMEMBERED_MAX:
            queues.clear()
        queues[text] = queue

    # -- acknowledging

    def _settle(
        self,
        id: str | None,
        message_id: str | None,
        subscription_id: str | None,
        transaction: str | None,
        outcome: int,
        receipt: str | None,
    ) -> None:
        subscriptions = self._subscriptions
        if self.version == V1_2:
            handle = id or ""
            subscription = None if subscriptions is None else subscriptions.of_handle(handle)
        else:
            handle = message_id or ""
            subscription = (
                None if subscriptions is None else subscriptions.of_message(handle, subscription_id)
            )
            if subscription is not None:
                handle = subscription.handle_of(handle)
        held = None if transaction is None else self._transaction(transaction)
        handles = [] if subscription is None else subscription.meant(handle)
        if subscription is None or not handles:
            raise StompRefusal(f"nothing waits for an acknowledgement of {id or message_id or ''}")
        if held is not None:
            # All of them or none: a delivery that was taken and is not held would be nobody's.
            held.check_room(len(handles))
        deliveries = subscription.take(handles)
        if outcome == RELEASED:
            for delivery in deliveries:
                delivery.returned = True
        if held is None or transaction is None:
            position = NOTHING
            for delivery in deliveries:
                position = max(position, delivery.settle(outcome))
            if receipt is not None:
                self.confirm_frame(position, receipt)
            return
        for delivery in deliveries:
            held.settle(delivery, outcome)
        self._confirm_within(transaction, receipt)
        # What is acknowledged within a transaction makes room in the window at once.
        subscription.wake()

    # -- transactions

    def _on_begin(self, begin: Begin) -> None:
        transactions = self._transactions
        if transactions is None:
            transactions = self._transactions = {}
        if begin.transaction in transactions:
            raise StompRefusal(f"there is a transaction {begin.transaction} already")
        if len(transactions) >= self.settings.transactions_max:
            self.counters.limit_hits += 1
            raise StompRefusal("too many transactions")
        transactions[begin.transaction] = self.broker.transaction()

    def _transaction(self, name: str) -> Transaction:
        transaction = None if self._transactions is None else self._transactions.get(name)
        if transaction is None:
            raise StompRefusal(f"there is no transaction {name}")
        return transaction

    def _confirm_within(self, name: str, receipt: str | None) -> None:
        """RECEIPT for a frame of a transaction: at once, or held until the transaction ends."""
        if receipt is None or self.settings.transaction_receipts != "commit":
            self.confirm_frame(NOTHING, receipt)
            return
        held = self._held_receipts
        if held is None:
            held = self._held_receipts = {}
        held.setdefault(name, []).append(receipt)

    def _end_transaction(self, name: str, commit: bool, receipt: str | None) -> None:
        transaction = self._transaction(name)
        assert self._transactions is not None
        del self._transactions[name]
        before = self.broker.store.position
        if commit:
            position = transaction.commit()
        else:
            transaction.abort()
            # Deliveries that it held have failed once more.
            position = self.appended_since(before)
        if self._held_receipts is not None:
            for held in self._held_receipts.pop(name, []):
                self.confirm_frame(position, held)
        self.confirm_frame(position, receipt)

    # -- the end

    def _on_disconnect(self, disconnect: Disconnect) -> None:
        """The RECEIPT says that all before it has been done, so all of it is safe; it is the last that the client hears.

        §DISCONNECT: whoever has it may close the socket without losing anything.
        """
        self._let_go()
        self.confirm_frame(self.broker.store.position, disconnect.receipt)
        self._collect()
        if self.unconfirmed:
            self._leaving = True
        else:
            self.hang_up()

    def _on_failed(self, failed: ConnectionFailed) -> None:
        self.counters.protocol_errors += 1
        self.failure = failed.reason
        self._collect()
        self._let_go()
        self.hang_up()

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
        self.hang_up()

    def _let_go(self) -> None:
        """Give back everything: no more deliveries, then what was not acknowledged, in order, then what was its own."""
        subscriptions = self._subscriptions
        self._subscriptions = None
        transactions = self._transactions
        self._transactions = None
        if subscriptions is not None:
            subscriptions.detach()
        if transactions is not None:
            for transaction in transactions.values():
                transaction.abort()
        if subscriptions is not None:
            subscriptions.give_back()
        self._topics = None
        self._queues = None
        temporary = self._temporary
        self._temporary = None
        if temporary is not None:
            for queue in temporary.values():
                self.broker.delete_queue(queue)

    def _collect(self) -> None:
        """Take over what the wire room wants to say, behind what we have said."""
        wire = self._wire
        if wire.out:
            frames = wire.out
            wire.out = []
            self.say_all(frames)
        if wire.closing and not self.closing and not self._leaving:
            self.hang_up()
