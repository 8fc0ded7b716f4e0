"""What the operator may choose about `gateway.json`."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(init=False, slots=True)
class JsonSettings:
    """Shared by all connections of a broker that speak it."""

    window: int
    """Unacknowledged deliveries to a subscription that asks for no number of its own."""
    operations_max: int
    """Operations in one batch."""
    transactions_max: int
    """Open transactions on one connection."""
    values_max: int
    """Values in one JSON text."""
    name_bytes_max: int
    """Bytes of the name of a subscription or transaction."""

    def __init__(
        self,
        window: int = 100,
        operations_max: int = 1_000,
        transactions_max: int = 100,
        values_max: int = 50_000,
        name_bytes_max: int = 1_024,
    ) -> None:
        self.window = window
        self.operations_max = operations_max
        self.transactions_max = transactions_max
        self.values_max = values_max
        self.name_bytes_max = name_bytes_max
