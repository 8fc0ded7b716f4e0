"""What a decoder takes, where the specification leaves it to the server."""

from dataclasses import dataclass
from typing import Final, final

from protocols.mqtt.constants import VERSION_3_1, VERSION_3_1_1, VERSION_5
from protocols.mqtt.properties import ANY_NUMBER


@final
@dataclass(init=False, slots=True)
class Accepted:
    """What a decoder takes: packets beyond it are told so before they cost anything."""

    levels: frozenset[int]
    """Protocol versions."""
    user_properties_max: int
    filters_max: int
    """Both in one packet."""

    def __init__(
        self, levels: frozenset[int], user_properties_max: int = ANY_NUMBER, filters_max: int = ANY_NUMBER
    ) -> None:
        self.levels = levels
        self.user_properties_max = user_properties_max
        self.filters_max = filters_max


ANYTHING: Final = Accepted(frozenset((VERSION_3_1, VERSION_3_1_1, VERSION_5)))
