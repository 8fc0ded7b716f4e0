"""What an MQTT client publishes: PUBLISH to messages, and the exchanges that follow."""

from collections import deque
from typing import Final, final
from zlib import crc32

from gateway.connectors.base import Counters, Limits, Turn, shown
from gateway.connectors.mqtt import journal
from gateway.connectors.mqtt.addresses import NAME_REMEMBERED_MAX, Reserved, destination_of
from gateway.connectors.mqtt.looks import Looks
from gateway.connectors.mqtt.mapping import has_items, message_from, take_items
from gateway.connectors.mqtt.sending import MqttSender
from gateway.connectors.mqtt.settings import ACKNOWLEDGE, MqttSettings
from gateway.connectors.side import Routing
from gateway.connectors.text import is_utf8
from gateway.core.dedup import KeyReused, summed
from gateway.core.destination import QUEUE, Destination, InvalidName
from gateway.core.message import Message
from gateway.core.once import publish_once
from gateway.core.ports import NOTHING
from gateway.core.room import REFUSED
from gateway.core.router import UNROUTED, Broker, LimitReached, QueueGone
from gateway.core.schedule import ScheduleRefused, Timing
from gateway.core.topics import Topic
from gateway.core.transaction import TransactionRefused, TransactionTooLarge
from protocols.mqtt.codec import encode_puback, encode_pubcomp, encode_pubrec
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.frames import LongPayload, Publish, Pubrel
from protocols.mqtt.properties import decode_properties

TOPICS_SHARED_MAX: Final = 65_536
"""Topics whose lookup is remembered for all connections."""

TOPICS_REMEMBERED_MAX: Final = 1_024
"""Topics whose lookup and access check are remembered for one connection, where there are rules."""


def reason_for(error: InvalidName) -> ReasonCode:
    """Why nothing is published to such a name."""
    reserved = isinstance(error, Reserved)
    return ReasonCode.NOT_AUTHORIZED if reserved else ReasonCode.TOPIC_NAME_INVALID


class MqttPublishing(MqttSender):
    """The half of a connection that publishes."""

    __slots__ = ("_answers", "_itemless", "_looks", "_shared_topics", "_summed", "_topic_sum", "_topics")

    def __init__(
        self,
        broker: Broker,
        turn: Turn,
        limits: Limits,
        counters: Counters,
        peer: str,
        settings: MqttSettings,
        topics: dict[str, Topic],
        now_ms: int,
    ) -> None:
        super().__init__(broker, turn, limits, counters, peer, settings, now_ms)
        # Properties in which nothing has a reserved name.
        self._itemless = b""
        # At the long payload of the next PUBLISH, while they go on.
        self._looks: Looks | None = None
        # The topic whose checksum was made last, and that.
        self._summed = ""
        self._topic_sum = 0
        self._shared_topics = topics
        self._topics = topics
        self.choose_topics()
        # Positions for which the PUBACKs and PUBCOMPs wait that have not been sent.
        self._answers: deque[int] | None = None

    @final
    def choose_topics(self) -> None:
        """Remember topics with all connections together, unless what one client may do another may not."""
        self._topics = {} if self.broker.authorizer.restricts_publish else self._shared_topics

    @final
    def _on_publish(self, publish: Publish) -> None:
        # Before it waits for room: once that is there it is to be taken in this turn.
        if publish.tail is not None and not self._has_looked(publish, publish.tail):
            return
        if self.broker.places.shut and self._must_wait(publish):
            return
        items: Routing | None = None
        if publish.properties and publish.properties is not self._itemless:
            if has_items(publish):
                items = take_items(publish)
            else:
                # The decoder hands out the same object as long as the properties do not change.
                self._itemless = publish.properties
        if items is not None and not self.broker.authorizer.may_claim(self.publisher, items.claimed_user):
            self._refuse_publish(publish, ReasonCode.NOT_AUTHORIZED, "it claims to be from another user")
            return
        if publish.retain and not self.settings.retain_available:
            why = f"retained messages are not available, as to {shown(publish.topic)}"
            self.fail(ReasonCode.RETAIN_NOT_SUPPORTED, why)
            return
        if self.settings.check_payload_format and not self._is_what_it_says(publish):
            return
        if items is not None and items.dedup is not None:
            self._publish_once(publish, items.dedup, items.timing)
            return
        if items is not None and items.timing is not None:
            self._publish_later(publish, items.timing)
            return
        topic = self._topics.get(publish.topic)
        if topic is None:
            topic = self._resolve(publish)
            if topic is None:
                return
        self.counters.messages_in += 1
        broker = self.broker
        if publish.qos == 0:
            message = message_from(publish, topic.destination, broker, self.publisher, items is not None)
            broker.publish(message, topic)
        elif self._begin_exchange(publish):
            message = message_from(publish, topic.destination, broker, self.publisher, items is not None)
            if publish.qos == 1:
                self._confirm_publish(publish, broker.publish(message, topic))
                return
            # The message and its packet id are kept, or lost, together.
            broker.store.begin()
            try:
                self._confirm_publish(publish, broker.publish(message, topic))
            finally:
                broker.store.end()

    @final
    def _has_looked(self, publish: Publish, tail: LongPayload) -> bool:
        """Find out what is to be known of a long payload: some of it, and False, as long as it `goes_on`."""
        looks = self._looks
        if looks is None or looks.tail is not tail:
            looks = self._looks = Looks(publish, tail)
        if not looks.step():
            self.goes_on()
            return False
        self._looks = None
        return True

    @final
    def _publish_later(self, publish: Publish, timing: Timing) -> None:
        """A PUBLISH with ActiveMQ's properties for delivery later."""
        message = self._begin_special(publish)
        if message is None:
            return
        store = self.broker.store
        store.begin()
        try:
            position = self.broker.schedule.add(message, timing)
            if publish.qos:
                self._confirm_publish(publish, position)
        except ScheduleRefused as error:
            self.counters.limit_hits += 1
            self._refuse_publish(publish, ReasonCode.QUOTA_EXCEEDED, str(error))
        finally:
            store.end()

    @final
    def _begin_special(self, publish: Publish) -> Message | None:
        """The message of a PUBLISH with items that the router must know; None when it is not to be published."""
        destination = self._destination(publish)
        if destination is None:
            return None
        self.counters.messages_in += 1
        if publish.qos and not self._begin_exchange(publish):
            return None
        message = message_from(publish, destination, self.broker, self.publisher, True)
        if destination.kind == QUEUE:
            message.retain = False
        return message

    @final
    def _destination(self, publish: Publish) -> Destination | None:
        """Where a PUBLISH goes; None when it may not, which has been dealt with."""
        try:
            destination = destination_of(publish.topic)
        except InvalidName as error:
            self._refuse_publish(publish, reason_for(error), str(error))
            return None
        if not self.broker.authorizer.may_publish(self.publisher, destination):
            why = f"not allowed to publish to {shown(publish.topic)}"
            self._refuse_publish(publish, ReasonCode.NOT_AUTHORIZED, why)
            return None
        return destination

    @final
    def _must_wait(self, publish: Publish) -> bool:
        """Is there no room for the message where it is to go?  Then it is handled when there is."""
        topic = self._topics.get(publish.topic)
        if topic is not None:
            self.untaken = self.broker.keeps_waiting(self.publisher, topic, publish.qos > 0)
            return self.untaken
        try:
            destination = destination_of(publish.topic)
        except InvalidName:
            return False
        if self.broker.authorizer.may_publish(self.publisher, destination):
            self.untaken = self.broker.keeps_waiting_at(self.publisher, destination, publish.qos > 0)
        return self.untaken

    @final
    def _is_what_it_says(self, publish: Publish) -> bool:
        """Payload Format Indicator 1 says UTF-8 (§3.3.2.3.2); False when it lies, which has been dealt with."""
        if not publish.properties or decode_properties(publish.properties).payload_format != 1:
            return True
        if is_utf8(publish.payload(), None if publish.tail is None else publish.tail.is_utf8):
            return True
        self._refuse_publish(
            publish, ReasonCode.PAYLOAD_FORMAT_INVALID, "the payload is not the UTF-8 that it says it is"
        )
        return False

    @final
    def _resolve(self, publish: Publish) -> Topic | None:
        """The topic of a PUBLISH, looked up and checked; None when it was a queue's or was refused, and is dealt with."""
        destination = self._destination(publish)
        if destination is None:
            return None
        if destination.kind == QUEUE:
            self._publish_to_queue(publish, destination.name)
            return None
        topic = self.broker.topics.topic(destination.name)
        if len(publish.topic) > NAME_REMEMBERED_MAX:
            return topic
        topics = self._topics
        if len(topics) >= (
            TOPICS_REMEMBERED_MAX if self.broker.authorizer.restricts_publish else TOPICS_SHARED_MAX
        ):
            topics.clear()
        topics[publish.topic] = topic
        return topic

    @final
    def _publish_to_queue(self, publish: Publish, name: str) -> None:
        """PUBLISH to `$queue/NAME`; RETAIN means nothing there."""
        self.counters.messages_in += 1
        if publish.qos and not self._begin_exchange(publish):
            return
        try:
            queue = self.broker.queue(name, maker=self.publisher)
        except QueueGone:
            # Whoever waited for a reply has left, which is no fault of who replies, and no later try would help.
            self.broker.counters.discarded += 1
            if publish.qos:
                self._confirm_publish(publish, UNROUTED)
            return
        except LimitReached as error:
            self.counters.limit_hits += 1
            self._refuse_publish(publish, ReasonCode.QUOTA_EXCEEDED, str(error))
            return
        message = message_from(
            publish, destination_of(publish.topic), self.broker, self.publisher, has_items(publish)
        )
        message.retain = False
        store = self.broker.store
        store.begin()
        try:
            position = self.broker.enqueue(message, queue)
            if position == REFUSED:
                self._refuse_publish(
                    publish, ReasonCode.QUOTA_EXCEEDED, self.broker.why_refused(message.persistent)
                )
            elif publish.qos:
                self._confirm_publish(publish, position)
        finally:
            store.end()

    @final
    def _publish_once(self, publish: Publish, key: str, timing: Timing | None) -> None:
        """PUBLISH with `x-mx-dedup`: what was published under this key is not published again, and acknowledged again."""
        broker = self.broker
        message = self._begin_special(publish)
        if message is None:
            return
        content = b"" if publish.tail is None else publish.tail.content
        if not content:
            content = summed([publish.topic.encode(), publish.payload()])
        broker.store.begin()
        try:
            once = broker.dedup.once(self.publisher, key, content)
            position = publish_once(broker, once, [message], timing).position
            if publish.qos:
                self._confirm_publish(publish, position)
        except KeyReused as reused:
            self._refuse_publish(publish, ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, str(reused))
        except (LimitReached, ScheduleRefused, TransactionTooLarge, TransactionRefused) as limit:
            self.counters.limit_hits += 1
            self._refuse_publish(publish, ReasonCode.QUOTA_EXCEEDED, str(limit))
        finally:
            broker.store.end()

    @final
    def _begin_exchange(self, publish: Publish) -> bool:
        """Look whether a QoS 1 or 2 PUBLISH is to be published; False when it is a repeat, or too much."""
        if publish.qos > self.settings.qos_max:
            self.fail(
                ReasonCode.QOS_NOT_SUPPORTED,
                f"QoS {publish.qos} to {shown(publish.topic)} is above the maximum",
            )
            return False
        received = self._session().received
        if received is not None and publish.packet_id in received:
            if publish.qos == 2 and (
                publish.dup
                or received[publish.packet_id]
                in (journal.UNKNOWN, hash(publish.frame), self._checksum(publish))
            ):
                # The message was published when it came first (§4.3.3, method B); only the answer was lost.  Not all
                # clients set DUP then.  The answer may still wait for the message to be safe.
                self.confirm(self.broker.store.position, encode_pubrec(publish.packet_id, 0, self._version))
            else:
                self._refuse_in_use(publish, received)
            return False
        if self._version == 5 and self._unfinished() >= self.settings.receive_maximum:
            self.counters.limit_hits += 1
            self.fail(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, "more than Receive Maximum in flight")
            return False
        return True

    @final
    def _likeness(self, publish: Publish) -> int:
        """What tells a message that is sent again from another one.

        In one connection it is sent again as the same packet, whose hash is made at once.
        """
        session = self._session()
        if (
            session.noted
            or session.expiry_s
            or publish.dup
            or publish.topic_alias
            or publish.tail is not None
        ):
            return self._checksum(publish)
        return hash(publish.frame)

    @final
    def _checksum(self, publish: Publish) -> int:
        """The same in every connection and in every run, whatever the packet and its alias are like."""
        tail = publish.tail
        if tail is not None and tail.checksum >= 0:
            return tail.checksum
        topic = publish.topic
        if topic != self._summed:
            self._summed = topic
            self._topic_sum = crc32(topic.encode())
        return crc32(publish.payload(), self._topic_sum)

    @final
    def _refuse_in_use(self, publish: Publish, received: dict[int, int]) -> None:
        """The client has forgotten that a QoS 2 exchange has this packet id, which another message cannot be a part of.

        Told so, it may use the packet id anew [MQTT-4.3.3-9]; were it not forgotten here too, it would be told for ever.
        """
        del received[publish.packet_id]
        journal.forget_received(self._session(), publish.packet_id)
        self._refuse_publish(publish, ReasonCode.PACKET_IDENTIFIER_IN_USE, "the packet id is in use")

    @final
    def _unfinished(self) -> int:
        """Exchanges of the client that count towards our Receive Maximum (§4.9).

        One of QoS 1 does until its PUBACK has left, one of QoS 2 until its PUBCOMP has.
        """
        received = self._session().received
        count = 0 if received is None else len(received)
        answers = self._answers
        if answers is not None:
            durable = self.broker.store.durable
            while answers and answers[0] <= durable:
                answers.popleft()
            count += len(answers)
        return count

    @final
    def _conclude(self, position: int, frame: bytes) -> None:
        """Say that an exchange is over, once `position` is durable; until then it counts."""
        if self._version == 5 and position > self.broker.store.durable:
            if self._answers is None:
                self._answers = deque()
            self._answers.append(position)
        self.confirm(position, frame)

    @final
    def _confirm_publish(self, publish: Publish, position: int) -> None:
        """PUBACK or PUBREC, once the message is safe."""
        reason = 0
        if position == REFUSED:
            self._refuse_publish(publish, ReasonCode.QUOTA_EXCEEDED, self.broker.why_refused(True))
            return
        if position == UNROUTED:
            position = NOTHING
            if self._version == 5:
                reason = ReasonCode.NO_MATCHING_SUBSCRIBERS.value
        if publish.qos == 1:
            self._conclude(position, encode_puback(publish.packet_id, reason, self._version))
            return
        position = max(position, self._note_received(publish))
        self.confirm(position, encode_pubrec(publish.packet_id, reason, self._version))

    @final
    def _note_received(self, publish: Publish) -> int:
        """A QoS 2 message has come; the same packet id means the same message until its PUBREL (§4.3.3).

        Returns the position to wait for.
        """
        session = self._session()
        if session.received is None:
            session.received = {}
        which = session.received[publish.packet_id] = self._likeness(publish)
        return journal.note_received(session, publish.packet_id, which)

    @final
    def _refuse_publish(self, publish: Publish, reason: ReasonCode, why: str) -> None:
        """Answer a PUBLISH that is not taken.

        3.1.1 has no word for it but closing, or acknowledging what is thrown away (MQTT 3.1.1 §3.3.5).  The latter is
        for who may not publish there; a message that cannot be kept for want of room is never acknowledged.
        """
        version = self._version
        code = reason.value
        if version != 5:
            if reason == ReasonCode.QUOTA_EXCEEDED and self.put_off():
                self.counters.messages_in -= 1
                return
            if reason != ReasonCode.NOT_AUTHORIZED or self.settings.publish_denied != ACKNOWLEDGE:
                self.fail(reason, why)
                return
            code = 0
        if publish.qos == 1:
            self.confirm(NOTHING, encode_puback(publish.packet_id, code, version, self._why(why)))
        elif publish.qos == 2:
            if code == 0:
                self._note_received(publish)
            self.confirm(NOTHING, encode_pubrec(publish.packet_id, code, version, self._why(why)))
        self.broker.counters.discarded += 1

    @final
    def _on_pubrel(self, pubrel: Pubrel) -> None:
        session = self._session()
        received = session.received
        position = NOTHING
        reason = 0
        if received is not None and received.pop(pubrel.packet_id, None) is not None:
            # Were it still known after a crash, the next message under this packet id would be taken for a repeat.
            position = journal.forget_received(session, pubrel.packet_id)
        else:
            if session.noted:
                # An earlier connection may have released it a moment ago, and that may not be safe yet.
                position = self.broker.store.position
            if self._version == 5:
                reason = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND.value
        self._conclude(position, encode_pubcomp(pubrel.packet_id, reason, self._version))
