"""What a peer can do wrong, each with what it must be told.

ProtocolError
└── StompError             becomes an ERROR frame (§ERROR): `title` and the reason
    ├── MalformedFrame         cannot be parsed, or lacks what its command needs
    ├── FrameTooLarge          above a limit of the listener
    ├── FrameNotAllowed        parsed, and not legal at this moment
    ├── UnsupportedVersion     no version in common: the ERROR carries ours (§Protocol Negotiation)
    ├── PeerSilent             no CONNECT, or no heart-beat, in time
    └── NotStomp               the first bytes are another protocol's: nothing is answered
"""

from protocols.errors import ProtocolError


class StompError(ProtocolError):
    """The peer broke STOMP; `receipt` is the receipt id of the frame at fault, where it had one."""

    def __init__(self, reason: str, title: str = "protocol error") -> None:
        super().__init__(reason)
        self.title = title
        self.receipt: str | None = None


class MalformedFrame(StompError):
    """Cannot be parsed, or lacks what its command needs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "malformed frame")


class FrameTooLarge(StompError):
    """Above a limit of the listener."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what} above the limit of {limit}", "frame too large")


class FrameNotAllowed(StompError):
    """Not legal at this moment."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "frame not allowed")


class UnsupportedVersion(StompError):
    """No version in common."""

    def __init__(self, asked: str) -> None:
        super().__init__(f"none of the versions {asked} is spoken here", "unsupported protocol version")


class PeerSilent(StompError):
    """Nothing came in time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "timeout")


class NotStomp(StompError):
    """The first bytes are another protocol's."""

    def __init__(self, looks_like: str) -> None:
        super().__init__(f"not STOMP: looks like {looks_like}", "not STOMP")
