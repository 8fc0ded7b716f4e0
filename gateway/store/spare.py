"""Descriptors kept back, so that the store can open a file when nobody else can any more."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar, final

from gateway.store.errors import NO_DESCRIPTOR

SPARES: Final = 4
"""A segment, its directory, the directory above, and one to read from."""


T = TypeVar("T")


@final
class Spares:
    """Not for two threads at once."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self.regain()

    def regain(self) -> None:
        """Hold as many as there should be, if they can be had."""
        with suppress(OSError):
            while len(self._held) < SPARES:
                self._held.append(os.open(os.devnull, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)))

    def attempt(self, call: Callable[[], T]) -> T:
        """What `call` returns, which opens a file; a spare descriptor makes way for it where there is no other."""
        while True:
            try:
                return call()
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR or not self._held:
                    raise
                os.close(self._held.pop())

    def close(self) -> None:
        """Let go of them."""
        while self._held:
            os.close(self._held.pop())
