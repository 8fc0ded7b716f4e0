"""What one STOMP client sends: SEND to calls on the core, within transactions and without."""

from typing import Final, final

from gateway.connectors.base import Counters, Limits, Turn
from gateway.connectors.hearing import FrameConnector
from gateway.connectors.scheduling import NAMES, InvalidTiming, timing_of
from gateway.connectors.stomp.addresses import Spelling, destinations_of, temporary_name
from gateway.connectors.stomp.mapping import Head, StompOrigin, message_from
from gateway.connectors.stomp.refusal import StompRefusal
from gateway.connectors.stomp.settings import StompSettings
from gateway.connectors.text import LONG_TEXT, Looking
from gateway.core.dedup import KeyReused
from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.footprint import text_bytes, wire_bytes
from gateway.core.message import Message
from gateway.core.once import done_before, hold_once, publish_once
from gateway.core.ports import NOTHING
from gateway.core.queue import Queue
from gateway.core.room import REFUSED
from gateway.core.router import UNROUTED, Broker
from gateway.core.schedule import Timing
from gateway.core.topics import Topic
from gateway.core.transaction import Transaction
from protocols.stomp.codec import encode_receipt
from protocols.stomp.constants import (
    SPECIAL_MESSAGE_ID,
    SPECIAL_NOT_UTF8,
    SPECIAL_REPLY_TO,
    SPECIAL_SCHEDULED,
    SPECIAL_UTF8,
)
from protocols.stomp.frames import Begin, Send
from protocols.stomp.headers import decode_headers, first

TARGETS_REMEMBERED_MAX: Final = 1_024
RECEIPT_BYTES: Final = 64
"""What a receipt takes beside its characters while it is held."""
TARGET_LENGTH_MAX: Final = 128
"""Destinations whose lookup and access check a connection remembers, and characters of the longest of them."""


class StompSender(FrameConnector):
    """The half of a STOMP connection that sends.  Methods raise StompRefusal for what cannot be."""

    __slots__ = (
        "_head",
        "_held_receipts",
        "_looking",
        "_queues",
        "_temporary",
        "_topics",
        "_transactions",
        "owner",
        "settings",
        "spelling",
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
        owner: str,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        self.settings = settings
        self.spelling = spelling
        self.owner = owner
        """This connection, in the names of its temporary queues."""
        self.version = ""
        # At the long body of the next SEND, while that goes on.
        self._looking: Looking | None = None
        # Made when first used.
        self._head: Head | None = None
        self._topics: dict[str, Topic] | None = None
        self._queues: dict[str, Queue] | None = None
        self._transactions: dict[str, Transaction] | None = None
        self._held_receipts: dict[str, list[str]] | None = None
        self._temporary: dict[str, Queue] | None = None

    def expect_replies(self, text: str) -> None:
        """A SEND names this temporary queue of the connection in its reply-to."""
        raise NotImplementedError

    def confirm_frame(self, position: int, receipt: str | None) -> None:
        """RECEIPT, once `position` is durable (§RECEIPT)."""
        if receipt is not None:
            self.confirm(position, encode_receipt(receipt, self.version))

    @final
    def forget_targets(self) -> None:
        """Whether the client may send where it has sent before, and in whose name, is to be asked anew."""
        self._head = None
        self._topics = None
        self._queues = None

    # -- publishing

    def _on_send(self, send: Send) -> None:
        # Before it waits for room: once that is there it is to be taken in this turn.
        if len(send.body) > LONG_TEXT and not self._has_looked(send):
            return
        if self.broker.places.shut and self._must_wait(send):
            return
        self.counters.messages_in += 1
        broker = self.broker
        if send.special:
            now = self._on_special(send)
            if now is None:
                return
            send = now
        head = self._head_of(send)
        if head.routing is not None and head.routing.dedup is not None:
            self._send_once(send, head.routing.dedup, None)
            return
        if send.transaction is None:
            topics = self._topics
            topic = None if topics is None else topics.get(send.destination)
            if topic is not None:
                origin = StompOrigin(send, head)
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
                self.confirm_frame(self._enqueue(send, queue, StompOrigin(send, head)), send.receipt)
                return
        self._send_anywhere(send)

    def _has_looked(self, send: Send) -> bool:
        """Find out whether a long body is UTF-8: a part of it, and False, as long as it `goes_on`."""
        if send.is_utf8 is None:
            looking = self._looking
            if looking is None or looking.body is not send.body:
                looking = self._looking = Looking(send.body)
            if not looking.step():
                self.goes_on()
                return False
            send.special |= SPECIAL_UTF8 if looking.found else SPECIAL_NOT_UTF8
            self._looking = None
        return True

    def _must_wait(self, send: Send) -> bool:
        """Is there no room for the message where it is to go?  Then it is handled when there is."""
        if send.transaction is None and send.special & SPECIAL_SCHEDULED == 0:
            for destination in self._allowed(send):
                if self.broker.keeps_waiting_at(self.publisher, destination, send.persistent):
                    self.untaken = True
        return self.untaken

    def _head_of(self, send: Send) -> Head:
        """What is made of the header lines, made anew only when they change."""
        head = self._head
        if head is None or head.lines is not send.lines:
            head = Head(send.lines, send.version, self.owner, self.settings.untyped_by_length)
            if not self.broker.authorizer.may_claim(self.publisher, head.claimed_user):
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

    def _on_special(self, send: Send) -> Send | None:
        """Look at the rare headers of a SEND; what is to be sent now, None when it has been dealt with."""
        special = send.special
        if special & SPECIAL_MESSAGE_ID and self.settings.message_id_on_send == "refuse":
            raise StompRefusal("message-id is not for clients to give")
        if special & (SPECIAL_REPLY_TO | SPECIAL_SCHEDULED) == 0:
            return send
        headers = decode_headers(send.lines, send.version)
        if special & SPECIAL_REPLY_TO:
            self.expect_replies((first(headers, "reply-to") or "").strip())
        if special & SPECIAL_SCHEDULED == 0:
            return send
        try:
            timing = timing_of(headers)
        except InvalidTiming as error:
            raise StompRefusal(str(error)) from None
        kept = [line for line, header in zip(send.lines, headers, strict=True) if header[0] not in NAMES]
        send = send.with_lines(kept)
        if timing is None:
            return send
        self._send_later(send, timing)
        return None

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
            transaction.hold(self._messages(send, destinations), None)
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
        return self.broker.transaction(self.publisher).commit_with(messages, None)

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

    def _send_once(self, send: Send, key: str, timing: Timing | None) -> None:
        """A SEND with `x-mx-dedup`: what was sent under this key is not sent again, and has its RECEIPT again."""
        destinations = self._allowed(send)
        broker = self.broker
        content = self.content_of([send.destination.encode(), send.body])
        if not content:
            self.counters.messages_in -= 1
            return
        try:
            once = broker.dedup.once(self.publisher, key, content)
            if send.transaction is not None:
                transaction = self._transaction(send.transaction)
                hold_once(broker, transaction, once, self._messages(send, destinations), timing)
                self._confirm_within(send.transaction, send.receipt)
                return
            outcome = done_before(broker, once)
            if outcome is None:
                messages = self._messages(send, destinations)
                if not messages and send.receipt is not None:
                    raise StompRefusal(f"{send.destination} is gone")
                outcome = publish_once(broker, once, messages, timing)
        except KeyReused as reused:
            raise StompRefusal(str(reused)) from None
        self.confirm_frame(outcome.position, send.receipt)

    def _send_later(self, send: Send, timing: Timing) -> None:
        """A SEND with AMQ_SCHEDULED_ headers."""
        routing = self._head_of(send).routing
        if routing is not None and routing.dedup is not None:
            self._send_once(send, routing.dedup, timing)
            return
        messages = [self._message(send, destination) for destination in self._allowed(send)]
        if send.transaction is not None:
            self._transaction(send.transaction).hold(messages, timing)
            self._confirm_within(send.transaction, send.receipt)
            return
        if len(messages) == 1:
            self.confirm_frame(self.broker.schedule.add(messages[0], timing), send.receipt)
            return
        position = self.broker.transaction(self.publisher).commit_with(messages, timing)
        self.confirm_frame(position, send.receipt)

    def _own(self, destination: Destination) -> bool:
        return destination.temporary and destination.name.startswith(temporary_name("", self.owner))

    def _there(self, destination: Destination) -> bool:
        """Is it to be had?  All but the temporary queue of another connection that is gone."""
        return not self.broker.is_gone(destination) or self._own(destination)

    def queue_for(self, destination: Destination) -> Queue:
        """The queue of that name; a temporary one of this connection is made with it as owner, to die with it."""
        own = self._own(destination)
        queue = self.broker.queue(destination.name, None, self if own else None, self.publisher)
        if own:
            if self._temporary is None:
                self._temporary = {}
            self._temporary[queue.key.text] = queue
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

    def check_id(self, id: str | None) -> None:
        """Raise StompRefusal for a name of a subscription or transaction that is too long to be kept."""
        most = self.settings.id_bytes_max
        if id is not None and len(id) > most // 4 and wire_bytes(id) > most:
            raise StompRefusal(f"an id may have {most} bytes")

    # -- transactions

    def _on_begin(self, begin: Begin) -> None:
        transactions = self._transactions
        if transactions is None:
            transactions = self._transactions = {}
        self.check_id(begin.transaction)
        if begin.transaction in transactions:
            raise StompRefusal(f"there is a transaction {begin.transaction} already")
        if len(transactions) >= self.settings.transactions_max:
            self.counters.limit_hits += 1
            raise StompRefusal("too many transactions")
        transactions[begin.transaction] = self.broker.transaction(self.publisher)

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
        self.share.claim(text_bytes(receipt) + RECEIPT_BYTES)
        held.setdefault(name, []).append(receipt)

    def _forget_receipts(self) -> None:
        """The transactions that would have ended with them have ended without."""
        held = self._held_receipts
        self._held_receipts = None
        for receipts in () if held is None else held.values():
            for receipt in receipts:
                self.share.count(-text_bytes(receipt) - RECEIPT_BYTES)

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
                self.share.count(-text_bytes(held) - RECEIPT_BYTES)
                self.confirm_frame(position, held)
        self.confirm_frame(position, receipt)
