"""The browsers of one connection: each is shown what waits in queues, at the pace of its client.

A browser reads a queue of its own, into which copies come no faster than it is read: as far as its credit goes, while the
connection keeps up, and of one browser after the other.  So what is on its way to a client that does not read is never
more than what its connection may have waiting, however many browsers it has and however much they are to be shown.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from gateway.connectors.replay import TURN_BYTES
from gateway.core.browsing import OVER, WAITS, Browsing, Viewer
from gateway.core.message import Message
from gateway.core.pattern import Pattern
from gateway.core.queue import Queue
from protocols.stomp.frames import AckMode

if TYPE_CHECKING:
    from gateway.connectors.stomp.connector import StompConnector
    from gateway.connectors.stomp.subscription import StompSubscription

LOOK_MS: Final = 500
"""How often it is looked whether a browser that waits can go on, or has no more coming, for reasons that nobody tells:
its last copies have expired, or a transaction that holds its acknowledgements has come to its end."""


@final
class Browser(Viewer):
    """One of them.  Puts what it wants to see into its own queue, some at a time."""

    __slots__ = (
        "_browsers",
        "_copies",
        "_left",
        "_named",
        "_patterns",
        "browsing",
        "subscription",
    )

    def __init__(
        self,
        browsers: "Browsers",
        subscription: "StompSubscription",
        copies: Queue,
        messages_max: int,
        named: list[Queue],
        patterns: list[Pattern],
    ) -> None:
        self._browsers = browsers
        self.subscription = subscription
        self.browsing: Browsing | None = None
        """What is still to be shown."""
        self._named = set(named)
        self._patterns = patterns
        self._copies = copies
        self._left = messages_max

    def wants(self, queue: Queue) -> bool:
        """See Viewer."""
        if queue in self._named:
            return True
        for pattern in self._patterns:
            if pattern.matches(queue.destination.name):
                return self.subscription.may_read(queue)
        return False

    def takes(self) -> bool:
        """See Viewer."""
        subscription = self.subscription
        if subscription.congested or self._copies.waiting or not self._browsers.keeps_up:
            return False
        return subscription.mode == AckMode.AUTO or subscription.credit.open

    def show(self, message: Message, failures: int) -> bool:
        """See Viewer."""
        if self._left == 0 or self._copies.deleted:
            return False
        selector = self.subscription.selector
        if selector is None or selector.matches(message, failures):
            self._copies.take_in(message, None)
            self._left -= 1
        return True

    def found(self) -> None:
        """See Viewer."""
        self._browsers.found()


@final
class Browsers:
    """See the module.  `go_on` is called when the client has taken something."""

    __slots__ = ("_connector", "_line", "_look_ms", "_showing", "_waits")

    def __init__(self, connector: "StompConnector") -> None:
        self._connector = connector
        # All that have not been told their end.
        self._showing: dict[StompSubscription, Browser] = {}
        # Those of them that can be shown more, as far as is known.
        self._line: OrderedDict[StompSubscription, Browser] = OrderedDict()
        # The first in line waits for the store.
        self._waits = False
        self._look_ms = 0

    def begin(self, browser: Browser, queues: list[Queue], everywhere: bool) -> None:
        """Show it what waits in `queues`, or in all that it wants; some of it at once."""
        broker = self._connector.broker
        subscription = browser.subscription
        browser.browsing = Browsing(broker, queues, browser, everywhere)
        assert subscription.private is not None
        subscription.read(subscription.private)
        self._look_ms = broker.now_ms + LOOK_MS
        self._showing[subscription] = browser
        self.take(subscription)

    def drop(self, subscription: "StompSubscription") -> None:
        """It wants no more."""
        browser = self._showing.pop(subscription, None)
        if browser is None:
            return
        if browser.browsing is not None:
            browser.browsing.end()
        if self._waits and next(iter(self._line)) is subscription:
            self._waits = False
        self._line.pop(subscription, None)
        self.go_on()

    def end(self) -> None:
        """The connection is over."""
        for browser in self._showing.values():
            if browser.browsing is not None:
                browser.browsing.end()
        self._showing = {}
        self._line = OrderedDict()
        self._waits = False

    def looks_into(self, subscription: "StompSubscription") -> Queue | None:
        """Whose messages it is being shown."""
        browser = self._showing.get(subscription)
        return None if browser is None or browser.browsing is None else browser.browsing.queue

    # -- showing

    def take(self, subscription: "StompSubscription") -> None:
        """It may take more: it has acknowledged something, say."""
        browser = self._showing.get(subscription)
        if browser is not None and browser.browsing is not None:
            # Whoever is in line keeps its place.
            self._line[subscription] = browser
            self.go_on()

    def take_all(self) -> None:
        """Any of them may."""
        for subscription, browser in self._showing.items():
            if browser.browsing is not None:
                self._line[subscription] = browser

    def found(self) -> None:
        """The store has answered the first."""
        self._waits = False
        self.go_on()

    @property
    def keeps_up(self) -> bool:
        """Has the client so little to read that it can be shown more?

        Below half of its buffer it is not congested by this: what comes live falls under no policy.
        """
        connector = self._connector
        room = min(TURN_BYTES, connector.limits.output_buffer // 2)
        return connector.out_bytes <= room and not connector.congested and not connector.closing

    def go_on(self) -> None:
        """Show as much as one turn may bring, while the client keeps up."""
        line = self._line
        while line and not self._waits and self.keeps_up:
            subscription = next(iter(line))
            browser = line[subscription]
            browsing = browser.browsing
            state = OVER if browsing is None else browsing.look()
            if state == WAITS:
                self._waits = True
            elif state == OVER:
                browser.browsing = None
                del line[subscription]
                subscription.shown = True
                subscription.look_at_end()
            elif self.keeps_up and not browser.takes():
                # Until it has acknowledged something.
                del line[subscription]
            else:
                line.move_to_end(subscription)
                # Once what there is has been written this is called again.
                self._connector.turn.mark(self._connector)
                return

    # -- time

    @property
    def next_look_ms(self) -> int:
        """When `look` is to be called; 0 for never."""
        return self._look_ms if self._showing else 0

    def look(self, now_ms: int) -> None:
        """Have those go on that can, and tell those their end that have no more coming."""
        if 0 < self.next_look_ms <= now_ms:
            self._look_ms = now_ms + LOOK_MS
            for subscription in list(self._showing):
                subscription.look_at_end()
                if subscription.ended:
                    del self._showing[subscription]
            self.take_all()
            self.go_on()
