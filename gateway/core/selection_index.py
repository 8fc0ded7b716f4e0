"""Which selections could want a message: those whose selector needs a property to equal what the message has there.

It is a filter in front of the selectors, not in their place: it may name one that does not want the message, and never
leaves out one that does (`Selector.one_of`).
"""

from typing import TYPE_CHECKING, final

from gateway.core.delivery import Delivery
from gateway.core.selector import HEADER_NAMES, Subject, comparable, plain

if TYPE_CHECKING:
    from gateway.core.selection import Selection


@final
class _Values:
    """The selections that need one property to equal something, by what; apart for those that convert."""

    __slots__ = ("converted", "count", "plain")

    def __init__(self) -> None:
        self.plain: dict[object, dict[Selection, None]] = {}
        self.converted: dict[object, dict[Selection, None]] = {}
        self.count = 0

    def having(self, value: object, found: "dict[Selection, None]") -> None:
        """Add those that a property of this value satisfies."""
        if self.plain:
            found.update(self.plain.get(comparable(value, False), {}))
        if self.converted:
            found.update(self.converted.get(comparable(value, True), {}))


@final
class SelectionIndex:
    """The selections of one queue."""

    __slots__ = ("_headers", "_others", "_properties")

    def __init__(self) -> None:
        self._properties: dict[str, _Values] = {}
        # Of names that may be a header field: their value is found by the rules of JMS.
        self._headers: dict[str, _Values] = {}
        # Those that need nothing that is known here.
        self._others: dict[Selection, None] = {}

    def add(self, selection: "Selection") -> None:
        """One more."""
        selector = selection.selector
        if selector.one_of is None:
            self._others[selection] = None
            return
        for name, value in selector.one_of:
            table = self._headers if name in HEADER_NAMES else self._properties
            values = table.get(name)
            if values is None:
                values = table[name] = _Values()
            by_value = values.converted if selector.converts else values.plain
            key = comparable(value, selector.converts)
            if key not in by_value:
                by_value[key] = {}
                values.count += 1
            by_value[key][selection] = None

    def remove(self, selection: "Selection") -> None:
        """One less."""
        selector = selection.selector
        if selector.one_of is None:
            del self._others[selection]
            return
        for name, value in selector.one_of:
            table = self._headers if name in HEADER_NAMES else self._properties
            values = table.get(name)
            if values is None:
                # The same equality twice in one selector.
                continue
            by_value = values.converted if selector.converts else values.plain
            key = comparable(value, selector.converts)
            there = by_value.get(key)
            if there is not None:
                there.pop(selection, None)
                if not there:
                    del by_value[key]
                    values.count -= 1
            if not values.count:
                del table[name]

    def candidates(self, delivery: Delivery) -> "list[Selection]":
        """Those that are to be asked about this message."""
        found = dict(self._others)
        if self._headers:
            subject = Subject(delivery.message, delivery.failures, False, delivery.redelivered)
            for name, values in self._headers.items():
                values.having(subject.named(name), found)
        properties = self._properties
        if properties:
            for name, value in delivery.message.fields().properties:
                wanted = properties.get(name)
                if wanted is not None:
                    wanted.having(plain(value), found)
        return list(found)
