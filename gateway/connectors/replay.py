"""Last values of topics on their way to a new subscription, at the pace of its client (MQTT 5.0 §3.8.4).

What is found may be far more than a client's output buffer: none of it is dropped, and none of it in the way of what
comes live.  It is searched for when what was asked for before has been sent, a little at a time.
"""

from collections import OrderedDict
from typing import Final, final

from gateway.connectors.base import TAKES_NOTHING, Connector
from gateway.core.flow import Publisher
from gateway.core.message import Message
from gateway.core.router import Broker
from gateway.core.searching import Search, Seeker
from gateway.core.subscription import Outlet

TURN_BYTES: Final = 131_072
TURN_MESSAGES: Final = 100
"""How much of it one turn of the loop is given; others have their turn in between."""


class Replay:
    """What one subscription is to find and is not yet sent."""

    __slots__ = ("_search",)

    def __init__(self, search: Search) -> None:
        self._search = search

    @final
    def ready(self, seeker: Seeker) -> bool:
        """Has it found what there is?  Else `seeker` is told when it has."""
        search = self._search
        if not search.begun:
            search.begin(seeker)
        return search.done

    @final
    @property
    def over(self) -> bool:
        """Is nothing left of it?"""
        return self._search.over

    @final
    def step(self, broker: Broker) -> Message | None:
        """The next message, once it is ready; None when it is not its topic's last value any more.

        One that was replaced meanwhile has reached the subscriber as a live message.
        """
        message = self._search.take()
        if message is None:
            return None
        current = broker.retained.get(message.destination.name)
        return message if current is message and not message.expired(broker.now_ms) else None

    @final
    def drop(self) -> None:
        """Nobody wants the rest."""
        self._search.stop()


class RetainedOutlet(Outlet):
    """A subscription that lives and ends with one connection, and may ask for the last values of its topics."""

    __slots__ = ("_claimed", "_reader", "over")

    def __init__(self, connector: Connector) -> None:
        super().__init__()
        self._reader = connector
        self.publishes_as = connector.publisher
        self.over = False
        """Its connection has let go of it: it gets nothing more, wherever it is still known."""
        self._claimed = 0

    @final
    def claim(self, size: int) -> None:
        """It is to take these bytes; see Footprint.  Raises LimitReached."""
        self._reader.share.claim(size)
        self._claimed += size

    @final
    def unclaim(self) -> None:
        """It is gone, or was never made."""
        self._reader.share.count(-self._claimed)
        self._claimed = 0

    @final
    def stop(self) -> None:
        """Get nothing more; `detach` follows."""
        self.over = True
        self.congested = True

    def detach(self) -> None:
        """Be known nowhere any more.  What is unacknowledged stays, until `give_back`."""
        raise NotImplementedError

    def give_back(self, tried: bool) -> None:
        """What was not acknowledged goes back, and what was its own goes.  `tried`: see `leaving.give_back`."""
        raise NotImplementedError

    def replay(self, message: Message) -> None:
        """Send one of them."""
        raise NotImplementedError

    @final
    def keeps_waiting(self, publisher: Publisher, persistent: bool) -> bool:
        """See Sink."""
        return self._reader.keeps_waiting(publisher)

    @final
    def holds_up(self) -> None:
        """See Outlet."""
        self._reader.give_up(self._reader.broker.now_ms, TAKES_NOTHING)

    @final
    def broke(self, error: Exception) -> None:
        """See Outlet."""
        self._reader.broke(error)


@final
class ReplayLine:
    """Replays in the order in which they were asked for, each found by who asked: there may be thousands."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: OrderedDict[object, list[Replay]] = OrderedDict()

    @property
    def empty(self) -> bool:
        """Is there none?"""
        return not self._of

    def add(self, owner: object, replay: Replay) -> None:
        """One more of `owner`'s, behind the others."""
        of_owner = self._of.get(owner)
        if of_owner is None:
            self._of[owner] = [replay]
        else:
            of_owner.append(replay)

    @property
    def first(self) -> Replay:
        """The one whose turn it is.  There must be one."""
        return next(iter(self._of.values()))[0]

    def pass_first(self) -> None:
        """It is over."""
        owner, of_owner = next(iter(self._of.items()))
        del of_owner[0]
        if not of_owner:
            del self._of[owner]

    def drop(self, owner: object) -> None:
        """Those of `owner` are not wanted any more."""
        for replay in self._of.pop(owner, ()):
            replay.drop()

    def end(self) -> None:
        """None is."""
        for of_owner in self._of.values():
            for replay in of_owner:
                replay.drop()
        self._of.clear()


@final
class _Showing(Replay):
    """A replay, and who it is for."""

    __slots__ = ("outlet",)

    def __init__(self, outlet: RetainedOutlet, search: Search) -> None:
        super().__init__(search)
        self.outlet = outlet


@final
class Replays(Seeker):
    """The replays of one connection, one after the other.  `go_on` is called when its client has taken something."""

    __slots__ = ("_connector", "_waiting")

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._waiting = ReplayLine()

    @property
    def over(self) -> bool:
        """Has all of them been sent?"""
        return self._waiting.empty

    def begin(self, outlet: RetainedOutlet, search: Search) -> None:
        """Send what `search` finds to `outlet`, some of it at once."""
        waited = not self._waiting.empty
        self._waiting.add(outlet, _Showing(outlet, search))
        if not waited:
            self.go_on()

    def drop(self, outlet: RetainedOutlet) -> None:
        """It wants no more of them."""
        self._waiting.drop(outlet)

    def end(self) -> None:
        """Nobody wants any more."""
        self._waiting.end()

    def found(self) -> None:
        """See Seeker."""
        self.go_on()

    def go_on(self) -> None:
        """Send as much as one turn may bring, while the client keeps up."""
        connector = self._connector
        waiting = self._waiting
        # Below half of its buffer the client is not congested by this: what comes live falls under no policy.
        bytes_max = min(TURN_BYTES, connector.limits.output_buffer // 2)
        steps = 0
        while not waiting.empty and not connector.congested and not connector.closing:
            if steps >= TURN_MESSAGES or connector.out_bytes > bytes_max:
                # Once it is written this is called again.
                connector.turn.mark(connector)
                return
            steps += 1
            showing = waiting.first
            assert isinstance(showing, _Showing)
            if not showing.ready(self):
                # It comes back here by way of `found`.
                return
            if showing.over:
                waiting.pass_first()
                continue
            message = showing.step(connector.broker)
            if message is not None:
                showing.outlet.replay(message)
