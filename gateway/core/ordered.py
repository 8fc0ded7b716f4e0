"""Deliveries by sequence, in blocks: where one comes, goes or is looked for in the midst of very many, no more than a
block of them is touched, and no more than a reference a block.
"""

from bisect import bisect_left
from collections import deque
from itertools import islice
from operator import attrgetter
from typing import Final, final

from gateway.core.delivery import Delivery

BLOCK: Final = 256
"""Deliveries in a block, about: twice as many at most."""

SPARSE: Final = BLOCK // 4
"""A block of fewer is joined with a neighbour, where that makes one of no more than BLOCK."""

_SEQUENCE: Final = attrgetter("sequence")


@final
class Ordered:
    """See the module.  A sequence is there once at most."""

    __slots__ = ("_blocks", "_last")

    def __init__(self) -> None:
        # None is empty, unless it is the only one.
        self._last: deque[Delivery] = deque()
        self._blocks: list[deque[Delivery]] = [self._last]

    @property
    def empty(self) -> bool:
        """Is there none?"""
        return not self._blocks[0]

    @property
    def blocks(self) -> list[deque[Delivery]]:
        """What it is made of, in order: for who takes it apart."""
        return self._blocks

    def push(self, delivery: Delivery) -> None:
        """One more, whose sequence is above all others'."""
        last = self._last
        if len(last) >= BLOCK:
            last = self._last = deque()
            self._blocks.append(last)
        last.append(delivery)

    def put(self, delivery: Delivery) -> bool:
        """One more, in its place.  False when its sequence was there already: then this one stands for it."""
        last = self._last
        sequence = delivery.sequence
        if not last or last[-1].sequence < sequence:
            self.push(delivery)
            return True
        at = self._block_of(sequence)
        block = self._blocks[at]
        place = _place_of(block, sequence)
        if block[place].sequence == sequence:
            block[place] = delivery
            return False
        block.insert(place, delivery)
        if len(block) > 2 * BLOCK:
            self._split(at)
        return True

    def first(self) -> Delivery:
        """The lowest, left in place.  There must be one."""
        return self._blocks[0][0]

    def pop(self) -> Delivery:
        """The lowest, taken out.  There must be one."""
        blocks = self._blocks
        block = blocks[0]
        delivery = block.popleft()
        if not block and len(blocks) > 1:
            del blocks[0]
        return delivery

    def remove(self, delivery: Delivery) -> None:
        """One less; it must be there."""
        at = self._block_of(delivery.sequence)
        block = self._blocks[at]
        place = _place_of(block, delivery.sequence)
        assert block[place] is delivery
        del block[place]
        if len(block) < SPARSE:
            self._join(at)

    def after(self, sequence: int, last: int, count_max: int) -> list[Delivery]:
        """Those of a higher sequence, up to `last`, the lowest first and so many at most; left in place."""
        found: list[Delivery] = []
        blocks = self._blocks
        if not self._last or self._last[-1].sequence <= sequence:
            return found
        at = self._block_of(sequence + 1)
        place = _place_of(blocks[at], sequence + 1)
        while at < len(blocks) and len(found) < count_max:
            for delivery in islice(blocks[at], place, place + count_max - len(found)):
                if delivery.sequence > last:
                    return found
                found.append(delivery)
            at += 1
            place = 0
        return found

    # -- blocks

    def _block_of(self, sequence: int) -> int:
        """The first block that ends with this sequence or a higher one.  There must be one."""
        blocks = self._blocks
        # What comes back is older than most.
        if blocks[0][-1].sequence >= sequence:
            return 0
        low, high = 1, len(blocks) - 1
        while low < high:
            middle = (low + high) // 2
            if blocks[middle][-1].sequence < sequence:
                low = middle + 1
            else:
                high = middle
        return low

    def _split(self, at: int) -> None:
        blocks = self._blocks
        block = blocks[at]
        blocks[at : at + 1] = [deque(islice(block, BLOCK)), deque(islice(block, BLOCK, None))]
        self._last = blocks[-1]

    def _join(self, at: int) -> None:
        """A block has few: they join a neighbour that has room; an empty one goes."""
        blocks = self._blocks
        if not blocks[at]:
            if len(blocks) > 1:
                del blocks[at]
        elif not self._joined(at) and at > 0:
            self._joined(at - 1)
        self._last = blocks[-1]

    def _joined(self, at: int) -> bool:
        """Make one block of this one and the next, if that is not too large."""
        blocks = self._blocks
        if at + 1 == len(blocks) or len(blocks[at]) + len(blocks[at + 1]) > BLOCK:
            return False
        blocks[at].extend(blocks[at + 1])
        del blocks[at + 1]
        return True


def _place_of(block: deque[Delivery], sequence: int) -> int:
    """Where a delivery of this sequence is within its block, or would be."""
    return bisect_left(block, sequence, key=_SEQUENCE)
