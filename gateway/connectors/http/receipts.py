"""Deliveries over HTTP that wait for their outcome: they outlive the connection that fetched them."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, final

from gateway.core.chores import Chore, Chores
from gateway.core.delivery import FAILED, Delivery

ENDED_AT_ONCE: Final = 64
"""Deliveries whose time has run out, in one step: one client may have fetched all of them at the same time."""


@final
@dataclass(init=False, slots=True)
class _Waiting:
    delivery: Delivery
    user: str | None
    until_ms: int

    def __init__(self, delivery: Delivery, user: str | None, until_ms: int) -> None:
        self.delivery = delivery
        self.user = user
        self.until_ms = until_ms


@final
class Receipts(Chore):
    """Name → delivery, in the order of their time-outs.  Who knows a name, and is the user it was given to, may use it."""

    __slots__ = ("_chores", "_maximum", "_now_ms", "_timeout_ms", "_waiting", "_working")

    def __init__(self, chores: Chores, maximum: int, timeout_ms: int) -> None:
        self._chores = chores
        self._now_ms = 0
        self._working = False
        self._maximum = maximum
        self._timeout_ms = timeout_ms
        # Insertion is in order of time, and all wait equally long: the first is the first to run out.
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def room(self) -> int:
        """How many more there may be."""
        return self._maximum - len(self._waiting)

    def add(self, delivery: Delivery, user: str | None, now_ms: int) -> str:
        """A name for one more delivery."""
        name = secrets.token_urlsafe(16)
        self._waiting[name] = _Waiting(delivery, user, now_ms + self._timeout_ms)
        return name

    def settle(self, name: str, user: str | None, outcome: int) -> int:
        """End that delivery; returns the store's position to wait for, -1 when there is none of that name."""
        waiting = self._waiting.get(name)
        if waiting is None or waiting.user != user:
            return -1
        del self._waiting[name]
        delivery = waiting.delivery
        # Whatever becomes of it, its client has had it.
        delivery.returned = True
        return delivery.settle(outcome)

    def tick(self, now_ms: int) -> None:
        """Those whose time has run out count as failed, in this turn of the loop or later ones."""
        self._now_ms = now_ms
        if not self._working and self._is_due():
            self._working = True
            self._chores.add(self)

    def go_on(self) -> bool:
        """See Chore."""
        # Not only at the end: were a step to fail, the next tick would begin anew.
        self._working = False
        for _ in range(ENDED_AT_ONCE):
            if not self._is_due():
                return False
            self._waiting.pop(next(iter(self._waiting))).delivery.settle(FAILED)
        self._working = self._is_due()
        return self._working

    def _is_due(self) -> bool:
        waiting = self._waiting
        return len(waiting) > 0 and waiting[next(iter(waiting))].until_ms <= self._now_ms

    def close(self) -> None:
        """Nobody will come any more: all of it goes back."""
        for waiting in list(self._waiting.values()):
            waiting.delivery.settle(FAILED)
        self._waiting.clear()
