"""Last values of topics on their way to a new subscription, at the pace of its client (MQTT 5.0 §3.8.4).

What is found at once may be far more than a client's output buffer: none of it is dropped, and none of it in the way of
what comes live.
"""

from collections import deque
from typing import Final, final

from gateway.connectors.base import Connector
from gateway.core.message import Message
from gateway.core.router import Broker
from gateway.core.subscription import Outlet

TURN_BYTES: Final = 131_072
TURN_MESSAGES: Final = 100
"""How much of it one turn of the loop is given; others have their turn in between."""


class Replay:
    """What one subscription has found and is not yet sent."""

    __slots__ = ("_at", "_messages")

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages
        self._at = 0

    @final
    @property
    def over(self) -> bool:
        """Is nothing left of it?"""
        return self._at >= len(self._messages)

    @final
    def step(self, broker: Broker) -> Message | None:
        """The next message, while there is one; None when it is not its topic's last value any more.

        One that was replaced meanwhile has reached the subscriber as a live message.
        """
        message = self._messages[self._at]
        self._at += 1
        current = broker.retained.get(message.destination.name)
        return message if current is message and not message.expired(broker.now_ms) else None

    @final
    def take(self, broker: Broker) -> Message | None:
        """The next message that is still its topic's last value; None at the end."""
        while not self.over:
            message = self.step(broker)
            if message is not None:
                return message
        return None


class RetainedOutlet(Outlet):
    """A subscriber that may ask for the last values of its topics."""

    __slots__ = ()

    def replay(self, message: Message) -> None:
        """Send one of them."""
        raise NotImplementedError


@final
class _Showing:
    """A replay, and who it is for."""

    __slots__ = ("outlet", "replay")

    def __init__(self, outlet: RetainedOutlet, replay: Replay) -> None:
        self.outlet = outlet
        self.replay = replay


@final
class Replays:
    """The replays of one connection, one after the other.  `go_on` is called when its client has taken something."""

    __slots__ = ("_connector", "_waiting")

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._waiting: deque[_Showing] = deque()

    def begin(self, outlet: RetainedOutlet, messages: list[Message]) -> None:
        """Send these to `outlet`, some of them at once."""
        self._waiting.append(_Showing(outlet, Replay(messages)))
        if len(self._waiting) == 1:
            self.go_on()

    def drop(self, outlet: RetainedOutlet) -> None:
        """It wants no more of them."""
        self._waiting = deque([showing for showing in self._waiting if showing.outlet is not outlet])

    def go_on(self) -> None:
        """Send as much as one turn may bring, while the client keeps up."""
        connector = self._connector
        waiting = self._waiting
        # Below half of its buffer the client is not congested by this: what comes live falls under no policy.
        bytes_max = min(TURN_BYTES, connector.limits.output_buffer // 2)
        steps = 0
        while waiting and not connector.congested and not connector.closing:
            if steps >= TURN_MESSAGES or connector.out_bytes > bytes_max:
                # Once it is written this is called again.
                connector.turn.mark(connector)
                return
            steps += 1
            showing = waiting[0]
            if showing.replay.over:
                waiting.popleft()
                continue
            message = showing.replay.step(connector.broker)
            if message is not None:
                showing.outlet.replay(message)


def once_each(found: list[list[Message]]) -> list[Message]:
    """What several filters have found, without repetitions, oldest first."""
    if len(found) == 1:
        return found[0]
    messages = {message.id: message for part in found for message in part}
    return [messages[id] for id in sorted(messages)]
