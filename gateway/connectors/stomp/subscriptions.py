"""What one connection is subscribed to, and how its acknowledgements find their deliveries."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, final

from gateway.connectors.bound import bound_queue, delete_durable, durable_queue
from gateway.connectors.reading import Reading
from gateway.connectors.replay import Replays, RetainedOutlet
from gateway.connectors.sources import Source, durable_key, may_read, share_key
from gateway.connectors.stomp.addresses import destination_of, source_of, sources_of
from gateway.connectors.stomp.browsers import Browser, Browsers
from gateway.connectors.stomp.refusal import StompRefusal
from gateway.connectors.stomp.subscription import StompSubscription
from gateway.core.chores import Chore
from gateway.core.credit import Credit
from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.footprint import pattern_bytes, text_bytes
from gateway.core.limits import QueuePolicy
from gateway.core.pattern import Pattern
from gateway.core.queue import Queue
from gateway.core.queue_key import BROWSE, NAMED, PRIVATE, QueueKey
from gateway.core.searching import Search
from gateway.core.selector import Selector
from gateway.core.selector_parser import parse_selector
from gateway.core.subscription import Binding
from protocols.stomp.frames import AckMode, Subscribe, Unsubscribe

if TYPE_CHECKING:
    from gateway.connectors.stomp.connector import StompConnector


ID_COPIES: Final = 4
"""How often the id of a subscription is there: by itself, within its key, and within the heads of its MESSAGEs."""

SOURCE_BYTES: Final = 350
"""What a subscription takes for each destination that it names behind the first."""

KEPT_AT_ONCE: Final = 32
"""Last values that a durable subscription takes in one step."""


@final
class Subscriptions:
    """All subscriptions of one connection.  Methods raise StompRefusal for what cannot be."""

    __slots__ = (
        "_browsers",
        "_by_key",
        "_by_number",
        "_connector",
        "_inflight",
        "_made",
        "_replays",
        "_replies",
    )

    def __init__(self, connector: "StompConnector") -> None:
        self._connector = connector
        # What all of them together may have unacknowledged.
        self._inflight = Credit(connector.limits.max_inflight)
        self._by_key: dict[str, StompSubscription] = {}
        self._by_number: dict[str, StompSubscription] = {}
        self._made = 0
        self._replies: dict[str, str] = {}
        """Temporary queues that a reply-to has named, as it named them: the key of the subscription it made, or ""."""
        # Made when first used.
        self._browsers: Browsers | None = None
        self._replays: Replays | None = None

    # -- SUBSCRIBE

    def add(self, subscribe: Subscribe) -> None:
        """Carry out a SUBSCRIBE, and confirm it before its first message.

        Also raises InvalidName, InvalidSelector and LimitReached.
        """
        connector = self._connector
        key = _key(subscribe.id, subscribe.destination)
        connector.check_id(subscribe.id)
        if key in self._by_key and self._replies.get(subscribe.destination) != key:
            raise StompRefusal(f"there is a subscription {key} already")
        sources = sources_of(subscribe.destination, connector.owner, connector.spelling)
        self._check(subscribe, sources)
        selector = self._selector_of(subscribe)
        size = _bytes_of(subscribe, sources) + (0 if selector is None else selector.bytes)
        subscription = self._new(key, subscribe.id or "", subscribe.destination, subscribe.ack, size)
        subscription.sources = sources
        subscription.selector = selector
        subscription.exclusive = subscribe.exclusive
        subscription.credit.available = self._prefetch(subscribe.prefetch)
        if subscribe.window >= 0 and subscribe.ack != AckMode.AUTO:
            # One message goes out in any case: 0 is one at a time (Artemis).  Without acknowledgements nothing fills it.
            subscription.window = max(subscribe.window, 1)
        before = connector.broker.store.position
        queues = self._prepare(subscribe, subscription, sources)
        # A durable subscription is to be found again after a crash, once it is confirmed.
        position = connector.appended_since(before)
        for queue in queues:
            position = max(position, queue.noted_at)
        connector.confirm_frame(position, subscribe.receipt)
        subscription.look_at_congestion()
        self._begin(subscribe, subscription, sources, queues)

    def _new(self, key: str, id: str, destination: str, mode: AckMode, size: int) -> StompSubscription:
        """A subscription that takes so many bytes; see Footprint."""
        connector = self._connector
        implicit = self._forget_reply(destination)
        if implicit:
            # The client has come to subscribe itself.
            self._drop(implicit)
        if len(self._by_key) >= connector.limits.max_subscriptions:
            connector.counters.limit_hits += 1
            raise StompRefusal("too many subscriptions")
        self._made += 1
        subscription = StompSubscription(connector, self._made, id, destination, mode, self._inflight)
        subscription.claim(size)
        self._by_key[key] = subscription
        self._by_number[str(self._made)] = subscription
        return subscription

    def _prefetch(self, asked: int) -> int:
        """Unacknowledged deliveries; 0 is as many as may be (RabbitMQ)."""
        most = self._connector.limits.max_inflight
        if asked < 0:
            asked = self._connector.settings.prefetch
        return most if asked == 0 else min(asked, most)

    def _check(self, subscribe: Subscribe, sources: list[Source]) -> None:
        for source in sources:
            if subscribe.browser and source.kind != QUEUE:
                raise StompRefusal("only queues can be browsed")
            if source.durable_key is None:
                self._check_rights(source, subscribe.destination)

    def _check_rights(self, source: Source, text: str) -> None:
        connector = self._connector
        shared = bool(source.group)
        if not may_read(
            connector.broker, connector.publisher, source.kind, source.pattern, shared, connector.owner
        ):
            raise StompRefusal(f"not allowed to subscribe to {text}")

    def _selector_of(self, subscribe: Subscribe) -> Selector | None:
        text = subscribe.selector
        if text is None or not text.strip():
            return None
        limits = self._connector.broker.limits
        return parse_selector(
            text,
            limits.selector_length_max,
            limits.selector_depth_max,
            self._connector.settings.selector_converts,
        )

    def _prepare(
        self, subscribe: Subscribe, subscription: StompSubscription, sources: list[Source]
    ) -> list[Queue]:
        """Bind what is to be live, and find or make the queues that are to be read; nothing is delivered yet."""
        topics: list[Pattern] = []
        queues: list[Queue] = []
        for source in sources:
            if source.durable_key is not None:
                queues.append(self._durable_there(subscribe, source.durable_key))
            elif source.group:
                key = share_key(source.group, source.pattern)
                queues.append(self._bound(subscribe, subscription, key, [source.pattern]))
            elif source.kind == TOPIC:
                topics.append(source.pattern)
            elif source.queue:
                queue = self._connector.queue_for(Destination(QUEUE, source.queue))
                if queue not in queues:
                    queues.append(queue)
        if not topics:
            return queues
        if subscribe.durable_name:
            key = durable_key(self._connector.client_id, subscribe.durable_name)
            queues.append(self._bound(subscribe, subscription, key, topics))
        elif subscribe.ack == AckMode.AUTO:
            for pattern in topics:
                subscription.bind(pattern, subscribe.no_local)
        else:
            key = QueueKey(
                PRIVATE, f"{self._connector.node}-{self._connector.owner}", str(subscription.number)
            )
            subscription.private = self._bound(subscribe, subscription, key, topics)
            queues.append(subscription.private)
        return queues

    def _durable_there(self, subscribe: Subscribe, key: QueueKey) -> Queue:
        """The durable subscription that /dsub/ names."""
        connector = self._connector
        broker = connector.broker
        queue = durable_queue(broker, key, connector.publisher)
        if queue is None:
            raise StompRefusal(f"there is no durable subscription {subscribe.destination}")
        for binding in queue.bindings:
            # Without an owner nothing was held back from what waits in it.
            if not may_read(broker, connector.publisher, TOPIC, binding.pattern, binding.owner is None):
                raise StompRefusal(f"not allowed to subscribe to {subscribe.destination}")
        return queue

    def _bound(
        self, subscribe: Subscribe, subscription: StompSubscription, key: QueueKey, patterns: list[Pattern]
    ) -> Queue:
        """The queue of a shared, durable or private subscription, bound to what it asks for."""
        connector = self._connector
        queue, new = bound_queue(
            connector.broker, key, patterns, connector.publisher, subscribe.no_local, subscription.selector
        )
        if new and subscribe.retained:
            self._keep_retained(queue)
        return queue

    def _keep_retained(self, queue: Queue) -> None:
        """The last values of its topics, for a queue that is new to them."""
        broker = self._connector.broker
        for binding in queue.bindings:
            keeping = _Keeping(
                queue, binding, broker.values.search([binding.pattern], self._connector.publisher)
            )
            if keeping.go_on():
                broker.chores.add(keeping)

    def _begin(
        self,
        subscribe: Subscribe,
        subscription: StompSubscription,
        sources: list[Source],
        queues: list[Queue],
    ) -> None:
        """Let messages come."""
        if subscribe.browser:
            self._show(subscription, sources, queues)
            return
        for queue in queues:
            subscription.read(queue)
        for source in sources:
            if source.kind == QUEUE and not source.queue:
                subscription.follow(source.pattern)
        if subscribe.retained and subscription.bindings:
            connector = self._connector
            patterns = [binding.pattern for binding in subscription.bindings]
            if self._replays is None:
                self._replays = Replays(connector)
            self._replays.begin(subscription, connector.broker.values.search(patterns, connector.publisher))

    def _show(self, subscription: StompSubscription, sources: list[Source], queues: list[Queue]) -> None:
        """A browser reads a queue of its own, which holds the same messages as those it asked for."""
        connector = self._connector
        broker = connector.broker
        patterns = [source.pattern for source in sources if not source.queue]
        copies = broker.bound_queue(
            QueueKey(BROWSE, f"{connector.node}-{connector.owner}", str(subscription.number)),
            QueuePolicy(0, 0, dead_letters=None, durable=False),
        )
        subscription.private = copies
        subscription.browsed = subscription.destination
        if self._browsers is None:
            self._browsers = Browsers(connector)
        browser = Browser(
            self._browsers, subscription, copies, connector.settings.browse_messages_max, queues, patterns
        )
        self._browsers.begin(browser, queues, bool(patterns))

    # -- replies

    def expect_replies(self, text: str) -> None:
        """A SEND names a temporary queue of this connection in its reply-to: have the queue, and perhaps read it.

        RabbitMQ subscribes to it in the client's name, under the id that it is spelled with; ActiveMQ leaves that to
        the client; it is a subscription like others, which the rules may refuse.  Raises InvalidName, LimitReached.
        """
        if text in self._replies:
            return
        connector = self._connector
        destination = destination_of(text, connector.owner, connector.spelling)
        queue = connector.queue_for(destination)
        key = _key(text, "")
        if (
            connector.settings.temp_queue_replies != "implicit"
            or queue.consumers_count
            or key in self._by_key
        ):
            if len(self._replies) < connector.limits.max_subscriptions:
                connector.share.claim(text_bytes(text))
                self._replies[text] = ""
            return
        source = source_of(text, connector.owner, connector.spelling)
        self._check_rights(source, text)
        size = ID_COPIES * text_bytes(text) + text_bytes(text) + pattern_bytes(source.pattern)
        subscription = self._new(key, text, text, AckMode.AUTO, size)
        subscription.sources = [source]
        self._replies[text] = key
        subscription.look_at_congestion()
        subscription.read(queue)

    def _forget_reply(self, text: str) -> str:
        """A temporary queue is no longer one that a reply-to has named: the key of the subscription that made, or ""."""
        key = self._replies.pop(text, None)
        if key == "":
            self._connector.share.count(-text_bytes(text))
        return key or ""

    # -- UNSUBSCRIBE

    def remove(self, unsubscribe: Unsubscribe) -> None:
        """Carry out an UNSUBSCRIBE; one that names a durable subscription ends that too."""
        keys = self._named(unsubscribe)
        for key in keys:
            self._drop(key)
        if not keys and not unsubscribe.durable_name:
            raise StompRefusal(
                f"there is no subscription {_key(unsubscribe.id, unsubscribe.destination or '')}"
            )
        if unsubscribe.durable_name:
            connector = self._connector
            name = durable_key(connector.client_id, unsubscribe.durable_name)
            delete_durable(connector.broker, name, connector.publisher, 0)

    def _named(self, unsubscribe: Unsubscribe) -> list[str]:
        """The keys that an UNSUBSCRIBE means: of 1.0, by a destination, all that read it, with an id or without."""
        if not unsubscribe.id and unsubscribe.destination:
            destination = unsubscribe.destination
            return [key for key, one in self._by_key.items() if one.destination == destination]
        key = _key(unsubscribe.id, "")
        return [key] if key in self._by_key else []

    def _drop(self, key: str) -> None:
        subscription = self._by_key.pop(key)
        del self._by_number[str(subscription.number)]
        self._forget_reply(subscription.destination)
        if self._browsers is not None:
            self._browsers.drop(subscription)
        if self._replays is not None:
            self._replays.drop(subscription)
        subscription.detach()
        subscription.give_back(False)

    # -- ACK and NACK

    def of_handle(self, handle: str) -> StompSubscription | None:
        """1.2: the `ack` header names the subscription too."""
        return self._by_number.get(handle[: handle.find("-")])

    def of_message(self, message_id: str, subscription_id: str | None) -> StompSubscription | None:
        """Before 1.2: message-id and subscription; some clients make the latter up, then the message-id alone decides."""
        if subscription_id is not None:
            named = self._by_key.get(_key(subscription_id, ""))
            if named is not None and named.handle_of(message_id):
                return named
        for subscription in self._by_key.values():
            if subscription.handle_of(message_id):
                return subscription
        return None

    # -- browsers

    @property
    def next_look_ms(self) -> int:
        """When `look_at_browsers` is to be called; 0 for never."""
        return 0 if self._browsers is None else self._browsers.next_look_ms

    def look_at_browsers(self, now_ms: int) -> None:
        """See Browsers."""
        if self._browsers is not None:
            self._browsers.look(now_ms)

    def acknowledged(self, subscription: StompSubscription) -> None:
        """The client has acknowledged something of `subscription`: a browser may be shown more."""
        if self._browsers is not None:
            self._browsers.take(subscription)

    # -- the connection

    def readings(self) -> Iterator[Reading]:
        """What they read; each queue by itself where they read all of a pattern."""
        for subscription in list(self._by_key.values()):
            for source in subscription.sources:
                yield from self._readings_of(subscription, source)

    def _readings_of(self, subscription: StompSubscription, source: Source) -> Iterator[Reading]:
        owner = self._connector.owner
        name = subscription.destination
        if source.durable_key is not None:
            queue = self._connector.broker.queues.get(source.durable_key.text)
            for binding in [] if queue is None else list(queue.bindings):
                yield Reading(name, TOPIC, binding.pattern, binding.owner is None)
            return
        yield Reading(name, source.kind, source.pattern, bool(source.group), owner)
        if source.kind == QUEUE and not source.queue:
            for queue in self._read_by(subscription):
                destination = queue.destination
                yield Reading(str(destination), QUEUE, Pattern((destination.name,)), False, owner)

    def _read_by(self, subscription: StompSubscription) -> list[Queue]:
        """Those that rules are about: not what is made for the subscription itself."""
        queues = [consumer.queue for consumer in subscription.consumers]
        shown = None if self._browsers is None else self._browsers.looks_into(subscription)
        if shown is not None:
            queues.append(shown)
        return [queue for queue in queues if queue.key.kind == NAMED]

    def wake(self) -> None:
        """The client reads again."""
        for subscription in list(self._by_key.values()):
            subscription.wake()
        if self._browsers is not None:
            self._browsers.take_all()
        self.go_on_showing()

    def go_on_showing(self) -> None:
        """The client has been written what was there: send more of the last values, or queues, that it asked for."""
        if self._replays is not None:
            self._replays.go_on()
        if self._browsers is not None:
            self._browsers.go_on()

    def look_at_congestion(self) -> None:
        """The connection is congested, or no longer."""
        for subscription in self._by_key.values():
            subscription.look_at_congestion()

    def leave(self) -> list[RetainedOutlet]:
        """The end: show nothing more; answers with all of them, for `end_all`."""
        for text in list(self._replies):
            self._forget_reply(text)
        if self._replays is not None:
            self._replays.end()
        if self._browsers is not None:
            self._browsers.end()
        return list(self._by_key.values())


@final
class _Keeping(Chore):
    """Puts the last values of a binding's topics into its queue, some at a time."""

    __slots__ = ("_binding", "_queue", "_search")

    def __init__(self, queue: Queue, binding: Binding, search: Search) -> None:
        self._queue = queue
        self._binding = binding
        self._search = search

    def go_on(self) -> bool:
        """See Chore."""
        queue = self._queue
        search = self._search
        if queue.deleted or self._binding.place < 0:
            return False
        if not search.done and search.go_on():
            return True
        for _ in range(KEPT_AT_ONCE):
            message = search.take()
            if message is None:
                return False
            # One that was replaced meanwhile has come live.
            if queue.broker.retained.get(message.destination.name) is message:
                queue.offer(message, self._binding)
        return True


def _bytes_of(subscribe: Subscribe, sources: list[Source]) -> int:
    """What a subscription takes beside a short one, and beside its selector; see Footprint."""
    named = subscribe.destination
    size = text_bytes(named) + (len(sources) - 1) * SOURCE_BYTES
    size += ID_COPIES * text_bytes(subscribe.id) if subscribe.id else text_bytes(named)
    for source in sources:
        size += pattern_bytes(source.pattern)
    return size


def _key(id: str | None, destination: str) -> str:
    """What names a subscription within its connection: the id, in 1.0 the destination when there is none."""
    return f"destination {destination}" if not id else f"id {id}"
