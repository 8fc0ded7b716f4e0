"""Errors shared by all wire rooms.

ProtocolError         the peer broke its protocol; each room subclasses it with what the peer must be told
LocalProtocolError    our own code asked for the impossible: a bug, never sent to a peer

The two share no base below Exception, so that no handler catches both.
"""


class ProtocolError(Exception):
    """The peer broke the protocol; `str(error)` is a reason fit for the peer and for a log line."""


class LocalProtocolError(Exception):
    """We asked a connection for something its state or its protocol does not allow."""
