"""Names that tell apart the runs of a gateway, and the connections of one run."""

import secrets
from typing import final


def new_node() -> str:
    """A name for this run: what dies with it cannot be taken for what another had."""
    return secrets.token_hex(4)


@final
class Owners:
    """Names for the connections of one protocol, which name what is theirs."""

    __slots__ = ("_count", "_node")

    def __init__(self, node: str) -> None:
        self._node = node
        self._count = 0

    def next(self) -> str:
        """A name for one more connection."""
        self._count += 1
        return f"{self._node}{self._count}"
