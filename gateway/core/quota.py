"""How many things of one kind each user, and each address, may have: one alone must not use up what is for all."""

from typing import final

from gateway.core.flow import Publisher


@final
class Quota:
    """Counts by user and by address.  What nobody in particular has made, or an earlier run, counts for nobody."""

    __slots__ = ("_by_address", "_by_user", "_made", "each_address", "each_user")

    def __init__(self, each_user: int, each_address: int) -> None:
        self.each_user = each_user
        self.each_address = each_address
        """0 for no limit."""
        self._by_user: dict[str, int] = {}
        self._by_address: dict[str, int] = {}
        self._made: dict[object, tuple[str, str]] = {}

    def has_room(self, maker: Publisher | None) -> bool:
        """May `maker` make one more?"""
        if maker is None:
            return True
        return _below(self._by_user, maker.user or "", self.each_user) and _below(
            self._by_address, maker.address, self.each_address
        )

    def made(self, thing: object, maker: Publisher | None) -> None:
        """`maker` has made it."""
        if maker is None:
            return
        user, address = maker.user or "", maker.address
        if user or address:
            self._made[thing] = (user, address)
            self.count(maker, 1)

    def count(self, maker: Publisher, change: int) -> None:
        """`maker` has so many more, or fewer, of things that need not be told apart."""
        _count(self._by_user, maker.user or "", change)
        _count(self._by_address, maker.address, change)

    def gone(self, thing: object) -> None:
        """It is no more."""
        maker = self._made.pop(thing, None)
        if maker is not None:
            _count(self._by_user, maker[0], -1)
            _count(self._by_address, maker[1], -1)


def address_of(peer: str) -> str:
    """The address in `host:port`, or in `[host]:port`; empty for who has none, on a Unix socket."""
    return peer.rpartition(":")[0]


def _below(counts: dict[str, int], name: str, most: int) -> bool:
    return not name or most == 0 or counts.get(name, 0) < most


def _count(counts: dict[str, int], name: str, change: int) -> None:
    if not name:
        return
    count = counts.get(name, 0) + change
    if count:
        counts[name] = count
    else:
        counts.pop(name, None)
