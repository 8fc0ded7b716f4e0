"""What a client asks for and cannot have."""

from typing import Final

STORE_FULL: Final = "the store can keep nothing more"


class StompRefusal(Exception):
    """Why a frame cannot be carried out: the message of the ERROR that ends the connection."""
