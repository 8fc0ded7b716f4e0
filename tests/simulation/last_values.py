"""The last value of each topic, as far as the order of who sets it is known: what a subscriber must or may be told.

Settings of different clients that overlap may have come in any order, and one that nobody has confirmed may be lost, or be
there again after a crash; so what is exact is this: one that was confirmed before another began, which was confirmed too
before somebody asked, is over; and where a confirmed one is over by nothing, the topic has a value.
"""

from collections.abc import Iterable

from tests.simulation.messages import HELD, NEVER, Sent, Violation


class Setting:
    """A message that is to be retained; without a message it clears the value."""

    def __init__(self, topic: str, sent: Sent | None, begun: int) -> None:
        self.topic = topic
        self.sent = sent
        self.begun = begun
        self.confirmed: int | None = None

    def is_over(self, by: "Setting", now: int) -> bool:
        """Has that one certainly taken its place before `now`?"""
        if by.confirmed is None or by.confirmed > now or self.confirmed is None:
            return False
        return self.confirmed < by.begun


class LastValues:
    """All topics of a run."""

    def __init__(self) -> None:
        self._settings: dict[str, list[Setting]] = {}
        self._now = 0

    def now(self) -> int:
        """A moment, after all that there were before."""
        self._now += 1
        return self._now

    def begin(self, topic: str, sent: Sent | None) -> Setting:
        """A value is on its way."""
        setting = Setting(topic, sent, self.now())
        self._settings.setdefault(topic, []).append(setting)
        return setting

    def confirm(self, setting: Setting) -> None:
        """It has arrived, for good."""
        setting.confirmed = self.now()

    def due(self, topics: Iterable[str], now: int) -> set[str]:
        """Those of them of which who asks at that moment must be told a value."""
        return {topic for topic in topics if self.has_value(topic, now)}

    def has_value(self, topic: str, now: int) -> bool:
        """Has it one for sure, for who asks at that moment?"""
        settings = self._settings.get(topic, [])
        there = [
            one
            for one in settings
            if one.sent is not None and one.confirmed is not None and one.confirmed <= now
        ]
        clears = [one for one in settings if one.sent is None]
        return bool(there) and all(any(clear.is_over(one, now) for one in there) for clear in clears)

    def tell_once_more(self, topic: str) -> None:
        """Somebody asks, who may have been given it before: there is one more of what is its value now."""
        for setting in self._settings.get(topic, []):
            if setting.sent is not None:
                setting.sent.repetitions_of_any_qos += 1

    def was_cleared(self, topic: str) -> bool:
        """Has anybody ever tried to clear it?"""
        return any(one.sent is None for one in self._settings.get(topic, []))

    def look_at(self, topic: str, sent: Sent, asked: int) -> None:
        """Somebody who asked at that moment is told that this is the value.  Raises Violation."""
        if sent.state in (HELD, NEVER) or (sent.hidden is not None and sent.hidden()):
            raise Violation(f"{sent} is told as the value of {topic}")
        settings = self._settings.get(topic, [])
        mine = [one for one in settings if one.sent is sent]
        if not mine:
            raise Violation(f"{sent} is told as the value of {topic}, and has never been one")
        for one in settings:
            if mine[0].is_over(one, asked):
                what = "it was cleared" if one.sent is None else f"{one.sent} was confirmed"
                raise Violation(f"{sent} is told as the value of {topic} after {what}")
