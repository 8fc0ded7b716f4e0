"""One subscription of a session: its options, and what stands for it in the core."""

from typing import final

from gateway.connectors.mqtt.addresses import Filter
from gateway.connectors.mqtt.stored import stored_options
from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern
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
