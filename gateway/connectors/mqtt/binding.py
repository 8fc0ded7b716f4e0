"""One subscription of a session: its options, and what stands for it in the core."""

from typing import final

from gateway.connectors.mqtt.addresses import Filter
from gateway.connectors.mqtt.stored import stored_options
from gateway.core.delivery import Delivery
from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern
from gateway.core.queue_key import SHARED
from gateway.core.subscription import Binding, Consumer, Sink


@final
class MqttBinding(Binding):
    """A binding with the subscription options of MQTT 5.0 §3.8.3.1."""

    __slots__ = ("_stored", "identifiers", "json", "plain", "qos", "replay", "retain_as_published")

    def __init__(
        self,
        pattern: Pattern,
        sink: Sink,
        no_local: Publisher | None,
        qos: int,
        retain_as_published: bool,
        identifiers: list[int],
        replay: bool = False,
        owner: Publisher | None = None,
        json: bool = False,
    ) -> None:
        super().__init__(pattern, sink, no_local, owner)
        self.qos = qos
        self.retain_as_published = retain_as_published
        self.identifiers = identifiers
        self.replay = replay
        """Carries retained messages to a new subscription: they keep their RETAIN flag (§3.3.1.3)."""
        self.json = json
        """The subscriber is given whole messages as JSON."""
        self.plain = not retain_as_published and not identifiers and not replay and not json
        """A QoS 0 delivery of it is the same packet for every subscriber."""
        self._stored = b""

    def stored(self) -> bytes:
        """See Binding."""
        if not self._stored:
            self._stored = stored_options(
                self.qos, self.retain_as_published, self.replay, self.json, self.identifiers
            )
        return self._stored

    def replaying(self) -> "MqttBinding":
        """The same, for the retained messages that follow a SUBSCRIBE."""
        return MqttBinding(
            self.pattern,
            self.sink,
            self.no_local,
            self.qos,
            True,
            self.identifiers,
            True,
            self.owner,
            self.json,
        )


@final
class MqttSubscription:
    """One topic filter of a session and what stands for it in the core."""

    __slots__ = ("binding", "consumer", "filter")

    def __init__(self, filter: Filter, binding: MqttBinding, consumer: Consumer | None) -> None:
        self.filter = filter
        self.binding = binding
        self.consumer = consumer
        """For shared subscriptions and queues, which have a queue of their own."""


def merged_bindings(bindings: list[Binding], sink: Sink, subscriber: Publisher, json: bool) -> MqttBinding:
    """One copy for overlapping filters: the highest QoS, all identifiers (§3.3.4)."""
    qos = 0
    retain_as_published = False
    # The message is wanted when any of the filters wants it from this publisher.
    no_local: Publisher | None = subscriber
    identifiers: list[int] = []
    for binding in bindings:
        assert isinstance(binding, MqttBinding)
        qos = max(qos, binding.qos)
        retain_as_published = retain_as_published or binding.retain_as_published
        if binding.no_local is None:
            no_local = None
        identifiers.extend(binding.identifiers)
    return MqttBinding(
        bindings[0].pattern,
        sink,
        no_local,
        qos,
        retain_as_published,
        identifiers,
        owner=subscriber,
        json=json,
    )


def comes_again(delivery: Delivery) -> bool:
    """Does another reader of its queue get an unfinished delivery when its session ends?

    Another member of a shared subscription gets it at QoS 1, but not at QoS 2 [MQTT-4.8.2-5].
    """
    shared = delivery.queue.key.kind == SHARED
    return not shared or min(delivery.message.qos, binding_of(delivery).qos) != 2


def binding_of(delivery: Delivery) -> MqttBinding:
    """The options that rule a delivery: those of its consumer, or of the filter through which it came."""
    consumer = delivery.consumer
    assert consumer is not None
    binding = delivery.binding if consumer.tag is None else consumer.tag
    assert isinstance(binding, MqttBinding)
    return binding
