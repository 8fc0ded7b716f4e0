"""What a client asks for and cannot have."""


class StompRefusal(Exception):
    """Why a frame cannot be carried out: the message of the ERROR that ends the connection."""
