"""SUBSCRIBE and UNSUBSCRIBE: one may name very many filters, and is then carried out in later turns of the loop.

The client is not heard meanwhile, and is answered when all of them have been looked at.
"""

from typing import TYPE_CHECKING, Final, final

from gateway.connectors.mqtt.addresses import Filter, filter_of
from gateway.connectors.mqtt.binding import MqttBinding
from gateway.core.chores import Chore
from gateway.core.destination import InvalidName
from gateway.core.flow import Gate, nobody_is_next
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.frames import Subscribe, Unsubscribe
from protocols.mqtt.topics import filter_error

if TYPE_CHECKING:
    from gateway.connectors.mqtt.connector import MqttConnector
    from gateway.connectors.mqtt.session import MqttSession

FILTERS_AT_ONCE: Final = 32
"""Filters in one step."""


class ManyFilters(Chore):
    """Either of them."""

    __slots__ = ("_at", "_count", "_gate", "_session", "codes", "connector")

    def __init__(self, connector: "MqttConnector", session: "MqttSession", count: int) -> None:
        self.connector = connector
        self.codes: list[int] = []
        """The reason codes, so far."""
        self._session = session
        self._count = count
        self._at = 0
        self._gate = Gate(nobody_is_next)

    @property
    def _at_once(self) -> int:
        # Where look-ups are long, what one filter adds to them may take as long to count.
        return 1 if self.connector.broker.looks_up_long else FILTERS_AT_ONCE

    @final
    def begin(self) -> None:
        """Carry it out, at once unless it is too much for that."""
        connector = self.connector
        if self._count <= self._at_once:
            self._some()
            self.answer()
        else:
            self._gate.hold(connector.publisher)
            connector.broker.chores.add(self)

    @final
    def go_on(self) -> bool:
        """See Chore."""
        connector = self.connector
        try:
            if connector.session is self._session and not connector.closing:
                self._some()
                if self._at < self._count:
                    return True
                self.answer()
        except Exception as error:
            connector.broke(error)
        self._gate.open()
        return False

    @final
    def _some(self) -> None:
        end = min(self._at + self._at_once, self._count)
        while self._at < end:
            self.codes.append(self.one(self._at))
            self._at += 1

    def one(self, at: int) -> int:
        """Carry out the filter in this place; its reason code."""
        raise NotImplementedError

    def answer(self) -> None:
        """All are carried out."""
        raise NotImplementedError


@final
class Subscribing(ManyFilters):
    """A SUBSCRIBE."""

    __slots__ = ("_packet", "_replays")

    def __init__(self, connector: "MqttConnector", session: "MqttSession", packet: Subscribe) -> None:
        super().__init__(connector, session, len(packet.requests))
        self._packet = packet
        # What retained messages are to follow.
        self._replays: list[tuple[MqttBinding, Filter]] = []

    def one(self, at: int) -> int:
        """See ManyFilters."""
        packet = self._packet
        return self.connector.subscribe_to(packet.requests[at], packet.subscription_id, self._replays)

    def answer(self) -> None:
        """See ManyFilters."""
        self.connector.subscribed(self._packet.packet_id, self.codes, self._replays)


@final
class Unsubscribing(ManyFilters):
    """An UNSUBSCRIBE."""

    __slots__ = ("_packet",)

    def __init__(self, connector: "MqttConnector", session: "MqttSession", packet: Unsubscribe) -> None:
        super().__init__(connector, session, len(packet.filters))
        self._packet = packet

    def one(self, at: int) -> int:
        """See ManyFilters."""
        text = self._packet.filters[at]
        if self._session.unsubscribe(text):
            return 0
        # Nobody can be subscribed to what is no filter, here or ever (§3.11.3).
        reason = ReasonCode.NO_SUBSCRIPTION_EXISTED if is_filter(text) else ReasonCode.TOPIC_FILTER_INVALID
        return reason.value

    def answer(self) -> None:
        """See ManyFilters."""
        self.connector.unsubscribed(self._packet.packet_id, self.codes)


def is_filter(text: str) -> bool:
    """Could it be subscribed to?"""
    if filter_error(text):
        return False
    try:
        filter_of(text)
    except InvalidName:
        return False
    return True
