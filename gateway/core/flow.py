"""Back-pressure towards publishers: a gate that is shut, and those who wait at it."""

from typing import final


class Valve:
    """What can stop reading from a publisher's socket: its connector."""

    __slots__ = ()

    def throttle(self, shut: bool) -> None:
        """Stop (True) or go on (False) reading what the publisher sends."""
        raise NotImplementedError

    def cut_off(self, why: str) -> None:
        """End the connection: something that the publisher sent is lost, so nothing is confirmed to it any more."""
        raise NotImplementedError


@final
class Publisher:
    """Who sent a message: the identity that no-local compares, and the way back to its valve.

    Messages keep their publisher; a connection that ends takes its valve away, so a queued message does not
    keep a dead connection in memory.
    """

    __slots__ = ("_holds", "id", "user", "valve")

    def __init__(self, id: str, valve: Valve | None) -> None:
        self.id = id
        """Client id or connection id, for logs and broker-verified identity."""
        self.user: str | None = None
        self.valve = valve
        self._holds = 0

    @property
    def held(self) -> bool:
        """Is any gate making it wait?"""
        return self._holds > 0

    def hold(self) -> None:
        """One more gate makes it wait."""
        self._holds += 1
        if self._holds == 1 and self.valve is not None:
            self.valve.throttle(True)

    def release(self) -> None:
        """One gate fewer."""
        assert self._holds > 0
        self._holds -= 1
        if self._holds == 0 and self.valve is not None:
            self.valve.throttle(False)


@final
class Gate:
    """Publishers that wait for room at one place (a full queue, a slow subscriber)."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: set[Publisher] | None = None

    def hold(self, publisher: Publisher | None) -> None:
        """Make `publisher` wait; once is enough."""
        if publisher is None or publisher.valve is None:
            return
        if self._waiting is None:
            self._waiting = set()
        if publisher not in self._waiting:
            self._waiting.add(publisher)
            publisher.hold()

    def open(self) -> None:
        """There is room again: let all of them go on."""
        waiting = self._waiting
        if waiting is None:
            return
        self._waiting = None
        for publisher in waiting:
            publisher.release()
