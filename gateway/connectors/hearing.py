"""A client is heard frame by frame: when it has to wait, what it has sent and is not handled waits with it.

Some dozen frames are one step; net says when the next is taken, since only net knows how long others have waited.  A step
ends early behind a frame that took long, when the client has had its share of the turn (`Turn.over`).
"""

from typing import Final

from gateway.connectors.base import Connector, Counters, Limits, Turn
from gateway.core.dedup import Content
from gateway.core.router import Broker

TIRING_BYTES: Final = 8_192
"""Bytes of a message behind which it is asked whether its client has had its share: thousands of properties take as long to
translate as some hundred small messages."""


class FrameConnector(Connector):
    """The half of a connection that hears.

    A subclass decodes (`decode`, `has_more`), handles (`carry_out`, which asks `stops_at` when it has to), says what it
    has to (`_collect`), and what is too much (`beyond_rate`).
    """

    __slots__ = ("_beyond", "_content", "_undone", "tired")

    def __init__(self, broker: Broker, turn: Turn, limits: Limits, counters: Counters, peer: str) -> None:
        super().__init__(broker, turn, limits, counters, peer)
        # Decoded and not handled: the client has to wait.
        self._undone: list[object] | None = None
        # The first frame that it may not send: told so once what it might send is done.
        self._beyond: object | None = None
        # Of what is said under a key, while it is long and being summed up.
        self._content: Content | None = None
        self.tired = False
        """The client has had its share of this turn."""

    # -- what a subclass says

    def decode(self, data: bytes, now_ms: int) -> list[object]:
        """The next frames that are whole."""
        raise NotImplementedError

    def has_more(self) -> bool:
        """Is there more in what has been read already?"""
        raise NotImplementedError

    def carry_out(self, frames: list[object], now_ms: int) -> bool:
        """One after the other, until `closing`, `throttled` or `tired`; then the answer is that of `stops_at`, else True.

        Looks for itself whether the client is tired by frames that may cost much.
        """
        raise NotImplementedError

    def _collect(self) -> None:
        """Take over what the wire room wants to say, behind what has been said."""
        raise NotImplementedError

    def beyond_rate(self, frame: object) -> None:
        """This frame, and all behind it, is not carried out: it was sent faster than it may be."""
        raise NotImplementedError

    # -- driven by net

    def bytes_in(self, data: bytes, now_ms: int) -> None:
        """See Connector."""
        self.counters.bytes_in += len(data)
        self.tired = False
        self._take(data, now_ms)
        self._collect()
        if (self._undone is not None or self.has_more()) and not self.closing and not self.throttled:
            self.resumes = True
            self.turn.mark(self)

    def tire(self) -> None:
        """See Valve."""
        if self.turn.over:
            self.tired = True

    def goes_on(self) -> None:
        """There is more to do for the frame that is handled: it is handled again, from its beginning, in a further step."""
        self.untaken = True
        self.tired = True

    def content_of(self, parts: list[bytes]) -> bytes:
        """What tells a frame that is to be carried out once from others; empty if it `goes_on`."""
        content = self._content
        if content is None or not content.says(parts):
            content = self._content = Content(parts)
        if not content.step():
            self.goes_on()
            return b""
        self._content = None
        return content.digest

    def _take(self, data: bytes, now_ms: int) -> None:
        undone = self._undone
        if undone is not None and not data:
            # No more is decoded than is handled.
            frames = undone
            self._undone = None
        else:
            frames = self._decoded(data, now_ms)
        if self.carry_out(frames, now_ms) and self._beyond is not None and not self.closing:
            self.beyond_rate(self._beyond)

    def _decoded(self, data: bytes, now_ms: int) -> list[object]:
        """The next frames that the client may send, behind those that are not handled yet."""
        frames = [] if self._beyond is not None else self.decode(data, now_ms)
        count = len(frames)
        admitted = self.admit(count, len(data), now_ms)
        if admitted < count:
            self._beyond = frames[admitted]
            frames = frames[:admitted]
        if self._undone is not None:
            frames = self._undone + frames
            self._undone = None
        return frames

    def stops_at(self, frames: list[object], frame: object) -> bool:
        """`frame` is the last that could be handled for now: keep those behind it, unless the client is to leave.

        Answers whether none is left and the client stays.
        """
        if self.closing:
            return False
        done = 0
        while frames[done] is not frame:
            # Not by `index`: frames that say the same are equal.
            done += 1
        if self.untaken:
            self.untaken = False
        else:
            done += 1
        if done == len(frames):
            return True
        self._undone = frames[done:]
        return False
