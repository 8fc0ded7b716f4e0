"""What the core may hold, and what it does when it may not hold more."""

from dataclasses import dataclass
from typing import Final, final

from gateway.core.destination import SEPARATORS_MAX

# What happens to a message for which a queue has no room.
BLOCK: Final = "block"
"""It is taken, and its producer's socket is not read until there is room."""
REJECT: Final = "reject"
"""It is refused, and its producer is told so."""
DROP_OLDEST: Final = "drop-oldest"
"""The oldest waiting message makes room."""
DROP_NEWEST: Final = "drop-newest"
"""It is dropped."""
DISCONNECT: Final = "disconnect"
"""A subscriber that is so slow is disconnected.  For subscribers' buffers only."""


FEW_STEPS: Final = 128
"""Steps of a look-up that need not be counted where there are many of them."""

LOOKUP_STEPS_MAX: Final = 5_000
"""Nodes of the tree of patterns that the look-up of one name may visit: two milliseconds, about."""


class LimitReached(Exception):
    """The broker holds as many of something as its limits allow; `str(error)` names it, fit for the client."""


@final
@dataclass(init=False, slots=True)
class QueuePolicy:
    """How one queue behaves."""

    messages_max: int
    """Messages it holds, 0 for no limit of its own."""
    bytes_max: int
    """Bytes of messages it holds in memory, 0 for no limit of its own."""
    when_full: str
    """BLOCK, REJECT, DROP_OLDEST or DROP_NEWEST."""
    deliveries_max: int
    """Failed deliveries after which a message is dead-lettered, 0 for never."""
    dead_letters: str | None
    """Name of the queue for rejected, exhausted and expired messages; None discards and counts them."""
    durable: bool
    """Persistent messages in it are kept by the store."""
    stored_bytes_max: int
    """Bytes of messages it holds, those included that only the store has; 0 for no limit of its own."""
    synchronous: bool
    """Confirmations wait until a message in it is safe; if not, the last moments before a crash are lost."""
    buries_refused_only: bool
    """Only what a consumer refused or cannot be given goes to the dead letters; what nobody came for does not."""
    topic_wait_max_ms: int
    """How long it may make who publishes to a topic wait while nothing leaves it, 0 for ever; see Stalls."""
    dead_letters_of_expired_topics: bool
    """Do messages of topics that are not persistent go to the dead letters too when their time has run out?"""

    def __init__(
        self,
        messages_max: int = 0,
        bytes_max: int = 268_435_456,
        when_full: str = BLOCK,
        deliveries_max: int = 20,
        dead_letters: str | None = None,
        durable: bool = True,
        stored_bytes_max: int = 0,
        synchronous: bool = True,
        buries_refused_only: bool = False,
        topic_wait_max_ms: int = 10_000,
        dead_letters_of_expired_topics: bool = False,
    ) -> None:
        self.messages_max = messages_max
        self.bytes_max = bytes_max
        self.when_full = when_full
        self.deliveries_max = deliveries_max
        self.dead_letters = dead_letters
        self.durable = durable
        self.buries_refused_only = buries_refused_only
        self.dead_letters_of_expired_topics = dead_letters_of_expired_topics
        self.stored_bytes_max = stored_bytes_max
        self.synchronous = synchronous
        self.topic_wait_max_ms = topic_wait_max_ms

    def relaxed(self) -> "QueuePolicy":
        """The same, but for `synchronous`."""
        return self._kept(self.durable, False)

    def passing(self) -> "QueuePolicy":
        """The same for a queue that does not outlive the process."""
        return self._kept(False, self.synchronous)

    def _kept(self, durable: bool, synchronous: bool) -> "QueuePolicy":
        return QueuePolicy(
            self.messages_max,
            self.bytes_max,
            self.when_full,
            self.deliveries_max,
            self.dead_letters,
            durable,
            self.stored_bytes_max,
            synchronous,
            self.buries_refused_only,
            self.topic_wait_max_ms,
            self.dead_letters_of_expired_topics,
        )


@final
@dataclass(init=False, slots=True)
class CoreLimits:
    """Bounds on the whole broker."""

    queues_max: int
    queues_per_user_max: int
    queues_per_address_max: int
    """Named queues that one user, or one address, may have made; 0 for no limit of its own."""
    queue_names_bytes_max: int
    """Bytes of the names of all queues, beyond 255 of each."""
    subscriptions_max: int
    """Bindings in the topic space."""
    subscriptions_bytes_max: int
    """Bytes of what clients can make subscriptions larger by; see Footprint."""
    subscriptions_bytes_per_client_max: int
    """Those of one connection."""
    followed_queues_max: int
    """Queues that are read by subscriptions to all queues of a pattern, counted once for each subscription."""
    followed_queues_per_user_max: int
    followed_queues_per_address_max: int
    """Those of them that one user, or one address, may have; 0 for no limit of its own."""
    lookup_steps_max: int
    """Steps that it may take to find who is to have what goes to one name; see TopicTree.steps."""
    topics_cached_bytes_max: int
    """Bytes of topics that are remembered with their routes."""
    route_bindings_max: int
    """Bindings in all routes that are remembered; topics that match the same patterns share a route."""
    separators_max: int
    """Separators of a name or filter; see destination.bound_separators."""
    retained_messages_max: int
    retained_bytes_max: int
    memory_max: int
    """Bytes of messages in queues, above which those that the store has too are let go."""
    unstored_bytes_max: int
    """Bytes in memory of messages that the store does not keep, in all queues; see Unstored."""
    transaction_operations_max: int
    """Sends and outcomes that one transaction may hold back."""
    transaction_bytes_max: int
    """Bytes of messages that one transaction may hold back."""
    transactions_bytes_max: int
    """Bytes of messages that all open transactions may hold back together."""
    scheduled_messages_max: int
    """Messages that wait for their time."""
    scheduled_bytes_max: int
    scheduled_delay_max_ms: int
    scheduled_period_min_ms: int
    """Between two deliveries of a message that is repeated."""
    selector_length_max: int
    """Characters."""
    selector_depth_max: int
    """Brackets, signs and operations within each other."""
    dedup_window_ms: int
    """How long the keys of producers are remembered."""
    dedup_keys_max: int
    dedup_keys_per_producer_max: int
    """Keys that are remembered; the oldest give way."""

    def __init__(
        self,
        queues_max: int = 100_000,
        subscriptions_max: int = 1_000_000,
        retained_messages_max: int = 1_000_000,
        retained_bytes_max: int = 268_435_456,
        transaction_operations_max: int = 10_000,
        scheduled_messages_max: int = 100_000,
        scheduled_bytes_max: int = 67_108_864,
        scheduled_delay_max_ms: int = 2_678_400_000,
        scheduled_period_min_ms: int = 100,
        selector_length_max: int = 4_096,
        selector_depth_max: int = 64,
        memory_max: int = 268_435_456,
        topics_cached_bytes_max: int = 67_108_864,
        route_bindings_max: int = 1_000_000,
        queues_per_user_max: int = 50_000,
        queues_per_address_max: int = 50_000,
        transaction_bytes_max: int = 134_217_728,
        transactions_bytes_max: int = 268_435_456,
        separators_max: int = SEPARATORS_MAX,
        dedup_window_ms: int = 600_000,
        dedup_keys_max: int = 100_000,
        dedup_keys_per_producer_max: int = 10_000,
        followed_queues_max: int = 1_000_000,
        followed_queues_per_user_max: int = 500_000,
        followed_queues_per_address_max: int = 500_000,
        lookup_steps_max: int = LOOKUP_STEPS_MAX,
        unstored_bytes_max: int = 536_870_912,
        subscriptions_bytes_max: int = 268_435_456,
        queue_names_bytes_max: int = 67_108_864,
        subscriptions_bytes_per_client_max: int = 8_388_608,
    ) -> None:
        self.queues_max = queues_max
        self.queue_names_bytes_max = queue_names_bytes_max
        self.separators_max = separators_max
        self.queues_per_user_max = queues_per_user_max
        self.queues_per_address_max = queues_per_address_max
        self.subscriptions_max = subscriptions_max
        self.subscriptions_bytes_max = subscriptions_bytes_max
        self.subscriptions_bytes_per_client_max = subscriptions_bytes_per_client_max
        self.followed_queues_max = followed_queues_max
        self.followed_queues_per_user_max = followed_queues_per_user_max
        self.followed_queues_per_address_max = followed_queues_per_address_max
        self.lookup_steps_max = lookup_steps_max
        self.topics_cached_bytes_max = topics_cached_bytes_max
        self.route_bindings_max = route_bindings_max
        self.retained_messages_max = retained_messages_max
        self.retained_bytes_max = retained_bytes_max
        self.transaction_operations_max = transaction_operations_max
        self.transaction_bytes_max = transaction_bytes_max
        self.transactions_bytes_max = transactions_bytes_max
        self.scheduled_messages_max = scheduled_messages_max
        self.scheduled_bytes_max = scheduled_bytes_max
        self.scheduled_delay_max_ms = scheduled_delay_max_ms
        self.scheduled_period_min_ms = scheduled_period_min_ms
        self.selector_length_max = selector_length_max
        self.selector_depth_max = selector_depth_max
        self.memory_max = memory_max
        self.unstored_bytes_max = unstored_bytes_max
        self.dedup_window_ms = dedup_window_ms
        self.dedup_keys_max = dedup_keys_max
        self.dedup_keys_per_producer_max = dedup_keys_per_producer_max
